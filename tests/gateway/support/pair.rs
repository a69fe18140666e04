//! A gateway with two facilitators: the first is asked first.

use std::io::Write as _;
use std::net::TcpListener;
use std::ops::Deref;
use std::thread;

use tollgate::sandbox::DemoWallet;

use super::facilitator::{Facilitator, kinds};
use super::gateway::{Gateway, run_to_end};
use super::message::{Framing, Reader};
use super::server::{Journal, Server};
use super::world::{Setup, World};

/// A world whose facilitator is the first of two.
#[derive(Debug)]
pub(crate) struct Pair {
    world: World,
    pub(crate) second: Facilitator,
}

impl Deref for Pair {
    type Target = World;

    fn deref(&self) -> &World {
        &self.world
    }
}

impl Pair {
    /// Two that work, each with lines of its own in the file.
    pub(crate) fn start(setup: &Setup<'_>, lines: [&str; 2]) -> Self {
        let journal = Journal::default();
        let [first, second] = [Facilitator::start(&journal), Facilitator::start(&journal)];
        let url = first.url();
        Self::between(setup, lines, &journal, [first, second], &url)
    }

    /// The first is somewhere else.
    pub(crate) fn with_first_at(setup: &Setup<'_>, url: &str) -> Self {
        let journal = Journal::default();
        let both = [Facilitator::start(&journal), Facilitator::start(&journal)];
        Self::between(setup, ["", ""], &journal, both, url)
    }

    /// Those that a test has prepared.
    pub(crate) fn between(
        setup: &Setup<'_>,
        lines: [&str; 2],
        journal: &Journal,
        [facilitator, second]: [Facilitator; 2],
        first_url: &str,
    ) -> Self {
        let upstream = Server::start("upstream", journal);
        let gateway = Gateway::start(&|addr, admin| {
            let file = setup.config(addr, admin, upstream.addr(), "").replacen("url = \"\"\n", "", 1);
            let [one, two] = lines;
            format!("{file}\n{}{}", section("first", first_url, 1, one), section("second", &second.url(), 2, two))
        });
        let (journal, wallet) = (journal.clone(), DemoWallet::random().unwrap());
        Self { world: World { gateway, upstream, facilitator, journal, wallet }, second }
    }

    /// How often the two were asked for a verdict.
    pub(crate) fn verdicts(&self) -> [usize; 2] {
        [self.facilitator.verified().len(), self.second.verified().len()]
    }

    /// How often the two were asked to settle.
    pub(crate) fn settlements(&self) -> [usize; 2] {
        [self.facilitator.settled().len(), self.second.settled().len()]
    }

    /// Pays with a payment made for it.
    #[track_caller]
    pub(crate) fn buys(&self, target: &str) -> u16 {
        self.pay(target, &self.payment(target)).status
    }

    /// Whether the metrics say that it works.
    pub(crate) fn works(&self, name: &str) -> bool {
        self.gateway.metric(&format!("gateway_facilitator_works{{facilitator=\"{name}\"}}")) == 1
    }

    /// Kills the gateway on the spot, and starts it again.
    pub(crate) fn crash_and_restart(&mut self) {
        self.world.gateway.crash_and_restart();
    }

    /// What a command on the payments in the books prints.
    #[track_caller]
    pub(crate) fn payments(&self, command: &str, more: &[&str]) -> String {
        let file = self.gateway.config_file();
        let arguments = [&["payments", command, "tollgate.toml"], more].concat();
        let (code, stdout, stderr) = run_to_end(file.parent().unwrap(), &arguments);
        assert_eq!(code, Some(0), "{stderr}");
        stdout
    }
}

/// One of `[[facilitators]]`.
pub(crate) fn section(name: &str, url: &str, order: usize, lines: &str) -> String {
    format!("[[facilitators]]\nname = \"{name}\"\nurl = \"{url}\"\norder = {order}\n{lines}\n")
}

/// A facilitator that finds one payment good, and is gone before anybody hears of it: whoever connects then is refused.
pub(crate) fn start_fleeting() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let mut listener = Some(listener);
        while let Some((mut stream, _)) = listener.as_ref().and_then(|listener| listener.accept().ok()) {
            let mut reader = Reader::new(stream.try_clone().unwrap());
            let Ok(Some(head)) = reader.head() else { continue };
            drop(reader.body(head.framing(Framing::None)));
            let body = if head.word(1) == "/verify" {
                listener = None;
                "{\"isValid\":true}".to_owned()
            } else {
                kinds().to_string()
            };
            let answer =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}
