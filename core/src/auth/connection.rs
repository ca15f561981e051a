//! One socket of a service that has passwords checked.

use super::framing::{Found, Inbox};
use super::grammar::{self, Auth, Garbage, Line, Mechanism, Number};
use super::reply;
use super::requests::{Request, Requests, Step};
use crate::boundary::{Credentials, Event, Input, Login, LoginError, Output, Reason, Wait};
use crate::config::Config;
use crate::imap::grammar::decode_base64;
use crate::random::{Random, Seed};
use crate::sasl::{PlainError, fold_name, parse_plain};
use crate::storage::RequestId;
use crate::time::{Instant, Now};
use crate::transmit::Transmit;
use crate::workflow::RequestIds;
use core::net::IpAddr;
use std::collections::VecDeque;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The numbers that a service is told in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// SPID: which process this is.
    pub process: u32,
    /// CUID: which of its connections.
    pub connection: u32,
}

/// The server's side of one socket of the authentication protocol. Its owner drives it as
/// the [crate's documentation](crate) shows; all that it asks for is [`Output::Derive`], many
/// at once, and nothing is kept of the [`Login`] that answers it.
///
/// - [`handle_input`](Self::handle_input) never fails: a request that cannot be granted gets
///   FAIL, a line that is no line of this protocol ends the connection.
/// - After every input, [`poll_output`](Self::poll_output) is called until it returns
///   [`Output::Wait`] or [`Output::Close`].
/// - [`transmit`](Self::transmit) holds what is to be sent: at most
///   [`transmit_bytes_max`](Config::transmit_bytes_max) and the answers to
///   [`auth_requests_max`](Config::auth_requests_max) requests.
/// - Each request gets one last answer, OK or FAIL, unless it is cancelled; and so does each CONT that belongs to
///   none, as one does that crossed our FAIL. A number that is
///   used again while its request is under way ends both with one FAIL: nobody could tell
///   whose an OK would be.
/// - If there are as many requests as there may be, the one whose user has been silent for
///   longest makes room; if all are being checked, nothing more is read until one is answered.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    now: Now,
    ids: RequestIds,
    inbox: Inbox,
    transmit: Transmit,
    outputs: VecDeque<Output>,
    stage: Stage,
    requests: Requests,
    /// Since when a line has been incomplete.
    begun: Option<Instant>,
    /// When the service last read, if there is something to read.
    read: Instant,
    eof: bool,
    shutdown: bool,
}

/// How far the connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// VERSION comes next, by this time.
    Version(Instant),
    /// CPID comes next.
    Cpid(Instant),
    /// Requests come.
    Open,
    /// The socket is to be closed once everything is sent.
    Closing,
}

/// What LOGIN asks for, in base64: `Username:` and `Password:`.
const ASK_NAME: &str = "VXNlcm5hbWU6";
const ASK_PASSWORD: &str = "UGFzc3dvcmQ6";

impl Connection {
    /// Greets the service.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: Seed, now: Now, numbers: Numbers) -> Self {
        let cookie = Random::new(seed).bytes();
        let until = now.instant.after(config.login_timeout);
        Self {
            config,
            now,
            ids: RequestIds::default(),
            inbox: Inbox::default(),
            transmit: reply::handshake(numbers, cookie).into(),
            outputs: VecDeque::new(),
            stage: Stage::Version(until),
            requests: Requests::default(),
            begun: None,
            read: now.instant,
            eof: false,
            shutdown: false,
        }
    }

    /// Takes an input. Call [`poll_output`](Self::poll_output) afterwards.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Received(octets) if !self.is_closing() => self.inbox.push(octets),
            Input::Eof => self.eof = true,
            Input::Transmitted(count) => self.transmitted(count),
            Input::Derived(id, result) => self.derived(id, result),
            Input::Timeout => self.timed_out(),
            Input::Shutdown => self.shutdown = true,
            // Of other protocols; and octets after the end.
            Input::Received(_)
            | Input::Storage(..)
            | Input::Account(_)
            | Input::Post(..)
            | Input::TlsEstablished => {}
        }
        while self.step() {}
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.is_closing() {
            return Output::Close;
        }
        // A line that is as long as it may be, and its end.
        let room = (self.config.auth_line_bytes_max + 1).saturating_sub(self.inbox.len());
        Output::Wait(Wait {
            receive: if self.eof { 0 } else { room },
            deadline: self.deadlines().into_iter().flatten().min_by_key(|it| it.0),
        })
    }

    /// What is to be sent.
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        self.transmit.waiting()
    }

    fn is_closing(&self) -> bool {
        self.stage == Stage::Closing
    }

    fn deadlines(&self) -> [Option<(Instant, Reason)>; 4] {
        let handshake = match self.stage {
            Stage::Version(until) | Stage::Cpid(until) => Some((until, Reason::Login)),
            Stage::Open | Stage::Closing => None,
        };
        let line = self.begun.map(|begun| {
            let until = begun.after(self.config.command_timeout);
            (until, Reason::Command)
        });
        let stall = (self.transmit.len() > 0).then(|| {
            let until = self.read.after(self.config.stall_timeout);
            (until, Reason::Stall)
        });
        [handshake, line, stall, self.requests.deadline()]
    }

    /// Requests first: what is left of the deadlines then concerns the whole connection.
    fn timed_out(&mut self) {
        let now = self.now.instant;
        while let Some((number, request)) = self.requests.take_due(now) {
            match request {
                Request::Refused { user, .. } => self.fail(number, Some(&user), reply::REFUSED),
                _ => self.fail(number, None, reply::TIMED_OUT),
            }
        }
        let mut deadlines = self.deadlines().into_iter().flatten();
        match deadlines.find(|(at, _)| *at <= now) {
            Some((_, Reason::Login)) => self.abort("no handshake in time"),
            Some((_, Reason::Command)) => self.abort("a line was not complete in time"),
            Some((_, Reason::Stall)) => self.abort("the service does not read"),
            _ => {}
        }
    }

    fn transmitted(&mut self, count: usize) {
        self.read = self.now.instant;
        self.transmit.sent(count, self.config.transmit_bytes_max);
        self.transmit.rest();
    }

    /// One step; `false`: nothing more can be done before the next input.
    fn step(&mut self) -> bool {
        self.begun = self.begun.filter(|_| self.inbox.len() > 0);
        if self.is_closing() || self.must_wait() {
            return false;
        }
        if self.shutdown {
            return self.close_when_done();
        }
        match self.inbox.next_line(self.config.auth_line_bytes_max) {
            Found::Incomplete if self.eof => return self.close_when_done(),
            Found::Incomplete => {
                let begun = self.begun.unwrap_or(self.now.instant);
                self.begun = (self.inbox.len() > 0).then_some(begun);
                return false;
            }
            Found::TooLong => self.abort("a line is too long"),
            Found::Line(line) => {
                self.begun = None;
                let understood = grammar::parse(&line).and_then(|line| self.line(line));
                if let Err(garbage) = understood {
                    self.abort(garbage);
                }
            }
        }
        true
    }

    /// Whether no line may be looked at for now: too much is under way already.
    fn must_wait(&self) -> bool {
        self.transmit.len() >= self.config.transmit_bytes_max
            || self.requests.len() >= self.config.auth_requests_max
                && self.requests.longest_asked().is_none()
    }

    /// Ends as soon as what is under way is answered. Whoever is asked for something will
    /// not answer any more.
    fn close_when_done(&mut self) -> bool {
        if !self.requests.are_running() {
            self.close();
        }
        false
    }

    fn line(&mut self, line: Line<'_>) -> Result<(), Garbage> {
        match (self.stage, line) {
            (Stage::Version(until), Line::Version(1)) => self.stage = Stage::Cpid(until),
            (Stage::Version(_), Line::Version(_)) => return Err("another major version"),
            (Stage::Cpid(_), Line::Cpid) => self.stage = Stage::Open,
            (Stage::Open, Line::Auth(auth)) => self.auth(&auth),
            (Stage::Open, Line::Cont(number, response)) => self.cont(number, response),
            (Stage::Open, Line::Cancel(number)) => self.cancel(number),
            _ => return Err("a command out of its turn"),
        }
        Ok(())
    }

    fn auth(&mut self, auth: &Auth<'_>) {
        let number = auth.number;
        if let Some(request) = self.requests.take(number) {
            return self.end(number, &request, reply::TWO_REQUESTS);
        }
        let Some(mechanism) = auth.mechanism else {
            return self.fail(number, None, reply::NO_MECHANISM);
        };
        match (mechanism, auth.response) {
            (Mechanism::Plain, Some(response)) => {
                self.respond(number, Step::Plain, auth.source, response);
            }
            (Mechanism::Plain, None) => self.ask(number, Step::Plain, auth.source, ""),
            (Mechanism::Login, None | Some("")) => {
                self.ask(number, Step::Name, auth.source, ASK_NAME);
            }
            (Mechanism::Login, Some(response)) => {
                self.respond(number, Step::Name, auth.source, response);
            }
        }
    }

    fn cont(&mut self, number: Number, response: &str) {
        match self.requests.take(number) {
            Some(Request::Asked { step, source, .. }) => {
                self.respond(number, step, source, response);
            }
            Some(request) => self.end(number, &request, reply::NOT_ASKED),
            // It took too long, or made room for another one.
            None => self.fail(number, None, reply::NO_REQUEST),
        }
    }

    fn cancel(&mut self, number: Number) {
        if let Some(Request::Checking { id, .. }) = self.requests.take(number) {
            self.outputs.push_back(Output::Abandon(id));
        }
    }

    /// Ends a request before its check does.
    fn end(&mut self, number: Number, request: &Request, reason: reply::Reason) {
        if let Request::Checking { id, .. } = request {
            self.outputs.push_back(Output::Abandon(*id));
        }
        self.fail(number, None, reason);
    }

    /// Asks the user for something.
    fn ask(&mut self, number: Number, step: Step, source: Option<IpAddr>, challenge: &str) {
        self.make_room();
        let until = self.now.instant.after(self.config.auth_response_timeout);
        let asked = Request::Asked {
            step,
            source,
            until,
        };
        self.requests.insert(number, asked);
        self.write(&reply::cont(number, challenge));
    }

    fn respond(&mut self, number: Number, step: Step, source: Option<IpAddr>, response: &str) {
        let Some(message) = decode_base64(response.as_bytes()) else {
            return self.fail(number, None, reply::NOT_BASE64);
        };
        let credentials = match step {
            Step::Plain => match parse_plain(&message) {
                Ok(credentials) => credentials,
                Err(PlainError::Malformed) => return self.fail(number, None, reply::NOT_PLAIN),
                Err(PlainError::ForAnother { user }) if self.is_no_name(&user) => {
                    return self.fail(number, None, reply::NO_NAME);
                }
                Err(PlainError::ForAnother { user }) => {
                    return self.fail(number, Some(&fold_name(&user)), reply::ANOTHER);
                }
            },
            Step::Name => {
                return match read_text(&message) {
                    Some(user) if self.is_no_name(user) => {
                        self.fail(number, None, reply::NO_NAME);
                    }
                    Some(user) => {
                        let step = Step::Password(user.to_owned());
                        self.ask(number, step, source, ASK_PASSWORD);
                    }
                    None => self.fail(number, None, reply::NOT_LOGIN),
                };
            }
            Step::Password(user) => match read_text(&message) {
                Some(password) => Credentials {
                    user,
                    password: Zeroizing::new(password.to_owned()),
                    source: None,
                },
                None => return self.fail(number, None, reply::NOT_LOGIN),
            },
        };
        if self.is_no_name(&credentials.user) {
            return self.fail(number, None, reply::NO_NAME);
        }
        self.check(
            number,
            Credentials {
                source,
                ..credentials
            },
        );
    }

    /// No account has such a name. Names are kept, and repeated in answers, which are text.
    fn is_no_name(&self, user: &str) -> bool {
        user.len() > self.config.auth_name_bytes_max || user.contains(char::is_control)
    }

    fn check(&mut self, number: Number, credentials: Credentials) {
        self.make_room();
        let id = self.ids.next();
        let checking = Request::Checking {
            user: fold_name(&credentials.user),
            id,
            // From now on, so that how long the check takes does not show.
            penalty: self.now.instant.after(self.config.penalty),
        };
        self.requests.insert(number, checking);
        self.outputs.push_back(Output::Derive(id, credentials));
    }

    /// Postfix does not say when its client has given up, so those who were asked and
    /// never answered must not be in the way of others.
    fn make_room(&mut self) {
        if self.requests.len() < self.config.auth_requests_max {
            return;
        }
        if let Some(number) = self.requests.longest_asked() {
            self.requests.take(number);
            self.fail(number, None, reply::CROWDED);
        }
    }

    /// A password was checked.
    fn derived(&mut self, id: RequestId, result: Result<Login, LoginError>) {
        let Some((number, user, penalty)) = self.requests.take_checked(id) else {
            return;
        };
        match result {
            Ok(_) => {
                self.event(Event::Authenticated);
                self.answer(&reply::ok(number, &user));
            }
            Err(LoginError::Invalid) => {
                self.event(Event::Rejected);
                if penalty > self.now.instant {
                    let refused = Request::Refused { user, penalty };
                    self.requests.insert(number, refused);
                } else {
                    self.fail(number, Some(&user), reply::REFUSED);
                }
            }
            Err(LoginError::Unavailable | LoginError::TooManyConnections) => {
                self.fail(number, Some(&user), reply::UNAVAILABLE);
            }
            // Only who knows the password is told so.
            Err(LoginError::Altered) => self.fail(number, Some(&user), reply::CLOSED),
        }
    }

    fn fail(&mut self, number: Number, user: Option<&str>, reason: reply::Reason) {
        if ![reply::REFUSED, reply::UNAVAILABLE, reply::CLOSED].contains(&reason) {
            self.event(Event::BadCommand(reason.text()));
        }
        self.answer(&reply::fail(number, user, reason));
    }

    /// The last answer to a request.
    fn answer(&mut self, line: &str) {
        self.event(Event::Completed { command: "AUTH" });
        self.write(line);
    }

    fn write(&mut self, line: &str) {
        if self.transmit.len() == 0 {
            self.read = self.now.instant;
        }
        self.transmit.end().extend_from_slice(line.as_bytes());
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn abort(&mut self, why: &'static str) {
        self.event(Event::Aborted(why));
        self.close();
    }

    fn close(&mut self) {
        let checks = self.requests.checks().map(Output::Abandon);
        self.outputs.extend(checks);
        self.requests = Requests::default();
        self.inbox = Inbox::default();
        self.begun = None;
        self.stage = Stage::Closing;
    }
}

/// A user name or a password of LOGIN.
fn read_text(message: &[u8]) -> Option<&str> {
    let text = core::str::from_utf8(message).ok()?;
    (!text.is_empty() && !text.contains('\0')).then_some(text)
}
