//! What the tests have in common: the program, the two servers it talks to, and a client, all of which can misbehave.

pub(crate) mod client;
pub(crate) mod facilitator;
pub(crate) mod flood;
pub(crate) mod gateway;
pub(crate) mod message;
pub(crate) mod multiplexed;
pub(crate) mod pair;
pub(crate) mod permit2;
pub(crate) mod server;
pub(crate) mod upstreams;
pub(crate) mod wait;
pub(crate) mod world;
