//! Sessions of a service, with a clock and password checks in the tests' hands.

mod limits;
mod requests;

use super::{Connection, Numbers};
use crate::boundary::{Credentials, Event, Input, Login, LoginError, Output, Reason, Wait};
use crate::config::Config;
use crate::imap::grammar::encode_base64;
use crate::mailbox::AccountId;
use crate::random::{Random, Seed};
use crate::seal::AccountKeys;
use crate::storage::RequestId;
use crate::time::{Instant, Now};
use core::time::Duration;
use proptest::prelude::*;
use std::sync::Arc;

const HELLO: &str = "VERSION\t1\t2\nCPID\t77\n";
const PASSWORD: &str = "hunter2";

/// What Postfix sends for alice with this password.
fn plain(number: u32, password: &str) -> String {
    let message = encode_base64(format!("\0alice\0{password}").as_bytes());
    format!(
        "AUTH\t{number}\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip=192.0.2.7\tresp={message}\n"
    )
}

fn encoded(text: &str) -> String {
    encode_base64(text.as_bytes())
}

struct Service {
    machine: Connection,
    now: Now,
    checks: Vec<(RequestId, Credentials)>,
    abandoned: Vec<RequestId>,
    events: Vec<Event>,
    wait: Option<Wait>,
    /// Whether it reads what is sent.
    reads: bool,
}

impl Service {
    fn with(config: Config) -> Self {
        let now = Now {
            instant: Instant(0),
            unix_ms: 0,
        };
        let numbers = Numbers {
            process: 4_711,
            connection: 3,
        };
        let machine = Connection::new(Arc::new(config), Seed::new([7; 32]), now, numbers);
        let mut service = Self {
            machine,
            now,
            checks: Vec::new(),
            abandoned: Vec::new(),
            events: Vec::new(),
            wait: None,
            reads: true,
        };
        service.drain();
        service
    }

    /// After the handshake.
    fn open(config: Config) -> Self {
        let mut service = Self::with(config);
        service.hear();
        assert_eq!(service.say(HELLO), "");
        service
    }

    fn drain(&mut self) {
        self.wait = loop {
            match self.machine.poll_output() {
                Output::Derive(id, credentials) => self.checks.push((id, credentials)),
                Output::Abandon(id) => self.abandoned.push(id),
                Output::Event(event) => self.events.push(event),
                Output::Wait(wait) => break Some(wait),
                Output::Close => break None,
                other => panic!("{other:?} in the authentication protocol"),
            }
        };
    }

    fn input(&mut self, input: Input<'_>) {
        self.machine.handle_input(self.now, input);
        self.drain();
    }

    /// What was sent since the last time.
    fn hear(&mut self) -> String {
        if !self.reads {
            return String::new();
        }
        let heard = self.machine.transmit().to_vec();
        if !heard.is_empty() {
            self.input(Input::Transmitted(heard.len()));
        }
        String::from_utf8(heard).unwrap()
    }

    /// Sends as much at a time as is taken; what is answered.
    fn say_octets(&mut self, octets: &[u8]) -> String {
        let mut rest = octets;
        while let Some(wait) = self
            .wait
            .filter(|wait| wait.receive > 0 && !rest.is_empty())
        {
            let (now, later) = rest.split_at(rest.len().min(wait.receive));
            self.input(Input::Received(now));
            rest = later;
        }
        self.hear()
    }

    fn say(&mut self, text: &str) -> String {
        self.say_octets(text.as_bytes())
    }

    /// Answers the oldest check by what its password is.
    fn check(&mut self) -> String {
        let (id, credentials) = self.checks.remove(0);
        let result = match credentials.password.as_str() {
            PASSWORD => Ok(login()),
            "altered" => Err(LoginError::Altered),
            "broken" => Err(LoginError::Unavailable),
            _ => Err(LoginError::Invalid),
        };
        self.derived(id, result)
    }

    fn derived(&mut self, id: RequestId, result: Result<Login, LoginError>) -> String {
        self.input(Input::Derived(id, result));
        self.hear()
    }

    /// Lets time pass up to the next deadline, which is that for `reason`.
    fn wait_for(&mut self, reason: Reason) -> String {
        let deadline = self.wait.and_then(|wait| wait.deadline);
        let (at, why) = deadline.expect("there is a deadline");
        assert_eq!(why, reason);
        self.now.instant = at;
        self.input(Input::Timeout);
        self.hear()
    }

    fn seconds(&self) -> u64 {
        self.now.instant.0 / 1_000_000
    }

    fn is_closed(&self) -> bool {
        self.wait.is_none()
    }
}

fn login() -> Login {
    let mut random = Random::new(Seed::new([9; 32]));
    Login {
        keys: Arc::new(AccountKeys::generate(AccountId([1; 16]), &mut random)),
    }
}

/// All that is heard when `octets` are said in these pieces and each check is answered at
/// once.
fn heard(octets: &[u8], cuts: &[usize]) -> String {
    let mut service = Service::with(Config {
        auth_requests_max: 3,
        auth_line_bytes_max: 200,
        ..Config::default()
    });
    let mut heard = service.hear();
    let mut rest = octets;
    let mut cuts = cuts.iter().copied().cycle();
    while !rest.is_empty() && !service.is_closed() {
        let len = cuts.next().unwrap_or(rest.len()).clamp(1, rest.len());
        let (now, later) = rest.split_at(len);
        heard += &service.say_octets(now);
        rest = later;
    }
    // Then: within a piece, other checks may be under way already.
    while !service.checks.is_empty() {
        heard += &service.check();
    }
    while service.wait.is_some_and(|wait| wait.deadline.is_some()) {
        let (_, reason) = service.wait.unwrap().deadline.unwrap();
        heard += &service.wait_for(reason);
    }
    heard
}

/// What a service may send, sensible or not, without its line end.
fn line() -> impl Strategy<Value = String> {
    let message = prop_oneof![
        Just(encoded("\0alice\0hunter2")),
        Just(encoded("\0alice\0wrong")),
        Just(encoded("bob\0alice\0hunter2")),
        Just(encoded("alice")),
        "[A-Za-z0-9+/=*]{0,8}",
    ];
    let number = 0..3_u32;
    prop_oneof![
        8 => (number.clone(), "PLAIN|LOGIN|OTHER", message.clone())
            .prop_map(|(number, name, it)| format!("AUTH\t{number}\t{name}\tservice=smtp\tresp={it}")),
        4 => (number.clone(), "PLAIN|LOGIN")
            .prop_map(|(number, name)| format!("AUTH\t{number}\t{name}\tservice=smtp")),
        8 => (number.clone(), message).prop_map(|(number, it)| format!("CONT\t{number}\t{it}")),
        2 => number.prop_map(|number| format!("CANCEL\t{number}")),
        1 => "[A-Z\t0-9]{0,12}",
        1 => "x{190,210}",
    ]
}

proptest! {
    #[test]
    fn cutting_makes_no_difference(
        lines in proptest::collection::vec(line(), 0..12),
        cuts in proptest::collection::vec(1..40_usize, 0..6),
    ) {
        let mut octets = HELLO.to_owned();
        for line in lines {
            octets += &line;
            octets.push('\n');
        }
        let whole = heard(octets.as_bytes(), &[]);
        prop_assert_eq!(heard(octets.as_bytes(), &cuts), whole);
    }
}
