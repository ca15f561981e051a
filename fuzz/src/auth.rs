//! What a service may send that has passwords checked, cut anywhere.
//!
//! Input: an octet of choices, the lengths of the pieces, then what the service sends.

use super::source::{Source, pieces};
use core::time::Duration;
use restante_core::auth::{Connection, Numbers};
use restante_core::boundary::{Credentials, Input, Login, LoginError, Output, Wait};
use restante_core::config::Config;
use restante_core::mailbox::AccountId;
use restante_core::random::{Random, Seed};
use restante_core::seal::AccountKeys;
use restante_core::storage::RequestId;
use restante_core::time::{Instant, Now};
use std::sync::Arc;

const GREETED: u8 = 1;
const SMALL_LIMITS: u8 = 2;
const CHECKS_AT_END: u8 = 4;
const READS_SLOWLY: u8 = 8;
const STOPS: u8 = 16;
const ENDS: u8 = 32;

/// Longer than one answer with a name of the usual length.
const ANSWER_BYTES: usize = 2 * 1024;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let choices = source.byte();
    let pattern = source.byte();
    let pattern = source.take(usize::from(pattern % 8));
    let octets = source.rest();
    let is = |choice| choices & choice != 0;

    let mut service = Service::new(config(is(SMALL_LIMITS)));
    service.hear(usize::MAX);
    let handshake = service.heard.len();
    if is(GREETED) {
        service.say(b"VERSION\t1\t2\nCPID\t1\n");
    }
    for piece in pieces(octets, pattern) {
        service.say(piece);
        service.hear(if is(READS_SLOWLY) { 5 } else { usize::MAX });
        if !is(CHECKS_AT_END) {
            service.check();
        }
    }
    if is(STOPS) {
        service.input(Input::Shutdown);
    }
    if is(ENDS) {
        service.input(Input::Eof);
    }
    service.come_to_rest();
    assert!(service.closed || !is(STOPS) && !is(ENDS), "it does not end");
    let lines = octets.iter().filter(|&&it| it == b'\n').count();
    check(&service.heard[handshake..], lines, service.granted);
}

fn config(small: bool) -> Config {
    if !small {
        return Config::default();
    }
    Config {
        transmit_bytes_max: 64,
        auth_line_bytes_max: 128,
        auth_requests_max: 2,
        auth_name_bytes_max: 8,
        ..Config::default()
    }
}

struct Service {
    machine: Connection,
    config: Config,
    now: Now,
    wait: Wait,
    closed: bool,
    checks: Vec<(RequestId, Credentials)>,
    /// Checks that were answered well while somebody waited for them.
    granted: usize,
    heard: Vec<u8>,
}

impl Service {
    fn new(config: Config) -> Self {
        let now = Now {
            instant: Instant(0),
            unix_ms: 0,
        };
        let numbers = Numbers {
            process: 1,
            connection: 1,
        };
        let seed = Seed::new([7; 32]);
        let mut service = Self {
            machine: Connection::new(Arc::new(config.clone()), seed, now, numbers),
            config,
            now,
            wait: Wait {
                receive: 0,
                deadline: None,
            },
            closed: false,
            checks: Vec::new(),
            granted: 0,
            heard: Vec::new(),
        };
        service.drain();
        service
    }

    fn input(&mut self, input: Input<'_>) {
        if !self.closed {
            self.machine.handle_input(self.now, input);
            self.drain();
        }
    }

    fn drain(&mut self) {
        loop {
            match self.machine.poll_output() {
                Output::Derive(id, credentials) => self.checks.push((id, credentials)),
                Output::Abandon(id) => self.checks.retain(|(check, _)| *check != id),
                Output::Event(_) => {}
                Output::Wait(wait) => {
                    self.wait = wait;
                    break;
                }
                Output::Close => {
                    self.closed = true;
                    break;
                }
                other => panic!("{other:?} in the authentication protocol"),
            }
        }
        let limits = &self.config;
        assert!(self.wait.receive <= limits.auth_line_bytes_max + 1);
        assert!(self.checks.len() <= limits.auth_requests_max);
        let answers = (limits.auth_requests_max + 2) * ANSWER_BYTES;
        assert!(self.machine.transmit().len() <= limits.transmit_bytes_max + answers);
        assert!(!self.closed || self.checks.is_empty(), "a check is left");
    }

    /// Sends as much as is taken, and makes room where it is not.
    fn say(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while !rest.is_empty() && !self.closed {
            if self.wait.receive == 0 {
                self.hear(usize::MAX);
                self.check();
                if self.wait.receive == 0 {
                    self.pass_time();
                }
                continue;
            }
            let (now, later) = rest.split_at(rest.len().min(self.wait.receive));
            self.input(Input::Received(now));
            rest = later;
        }
    }

    fn hear(&mut self, max: usize) {
        let sent = self.machine.transmit();
        let len = sent.len().min(max);
        self.heard.extend_from_slice(&sent[..len]);
        if len > 0 {
            if self.closed {
                self.machine.handle_input(self.now, Input::Transmitted(len));
            } else {
                self.input(Input::Transmitted(len));
            }
        }
    }

    /// Answers the oldest check.
    fn check(&mut self) {
        if self.checks.is_empty() {
            return;
        }
        let (id, credentials) = self.checks.remove(0);
        assert!(!credentials.user.is_empty());
        let result = match credentials.password.len() % 4 {
            0 => Err(LoginError::Unavailable),
            1 => Ok(login()),
            2 => Err(LoginError::Altered),
            _ => Err(LoginError::Invalid),
        };
        self.granted += usize::from(result.is_ok());
        self.input(Input::Derived(id, result));
    }

    /// To the next deadline.
    fn pass_time(&mut self) {
        let later = self.now.instant.after(Duration::from_millis(1));
        let deadline = self.wait.deadline.map_or(later, |(at, _)| at);
        self.now.instant = deadline.max(self.now.instant);
        self.input(Input::Timeout);
    }

    /// Answers everything, reads everything and waits for everything.
    fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            self.hear(usize::MAX);
            match (self.checks.is_empty(), self.wait.deadline) {
                _ if self.closed => return self.hear(usize::MAX),
                (false, _) => self.check(),
                (true, Some(_)) => self.pass_time(),
                (true, None) => return,
            }
        }
        panic!("it does not come to rest");
    }
}

fn login() -> Login {
    let mut random = Random::new(Seed::new([9; 32]));
    Login {
        keys: Arc::new(AccountKeys::generate(AccountId([1; 16]), &mut random)),
    }
}

/// What was heard must be answers: an OK for each password that was right, and no more last
/// answers than lines.
fn check(heard: &[u8], lines: usize, granted: usize) {
    let text = core::str::from_utf8(heard).expect("answers are text");
    assert!(text.is_empty() || text.ends_with('\n'), "a cut answer");
    let (mut ok, mut last) = (0, 0);
    for line in text.lines() {
        let known = |c: char| c == '\t' || !c.is_control();
        assert!(line.chars().all(known), "{line:?}");
        let mut parts = line.split('\t');
        let (word, number) = (parts.next(), parts.next());
        let number = number.and_then(|number| number.parse::<u32>().ok());
        assert!(number.is_some(), "no number: {line:?}");
        match word {
            Some("OK") => ok += 1,
            Some("FAIL") => {}
            Some("CONT") => continue,
            _ => panic!("no answer: {line:?}"),
        }
        last += 1;
    }
    assert_eq!(ok, granted, "{text:?}");
    assert!(last <= lines, "{last} answers to {lines} lines");
}
