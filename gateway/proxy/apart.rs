//! Requests that bring a payment are served where money moves, on threads that stand behind those of all others: a wave
//! of payments keeps no request waiting that pays with a key, or not at all.
//!
//! Which ones they are is seen in the first bytes of their head.

use super::Gateway;

/// Which connections to an upstream are shared. Whoever made one is woken when it has something to say, and wakes whoever
/// waits for it: nobody waits for a thread that stands behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    /// Those of the threads that serve requests.
    Requests,
    /// Those of payments.
    Payments,
}

impl Group {
    /// The framework's name for it.
    pub(super) fn key(self) -> u64 {
        match self {
            Self::Requests => 0,
            Self::Payments => 1,
        }
    }
}

impl Gateway {
    /// The group of whoever is served here.
    pub(super) fn group(&self) -> Group {
        if self.server.is_here() { Group::Payments } else { Group::Requests }
    }
}
