//! LOGIN and AUTHENTICATE PLAIN (RFC 3501 §6.2, RFC 4616, RFC 4959).
//!
//! A wrong password and an unknown user get the same words after the same time: the
//! penalty begins when the command came, so how long the check took does not show.

use super::reply::Completion;
use super::session::Session;
use super::{Activity, Connection};
use crate::boundary::{Credentials, Event, Login, LoginError, Output, Reason};
use crate::imap::grammar::{InitialResponse, Tag, decode_base64};
use crate::sasl::{PlainError, parse_plain};
use crate::storage::RequestId;
use core::time::Duration;
use zeroize::Zeroizing;

/// How far a login has come.
#[derive(Debug)]
pub(super) enum LoggingIn {
    /// `+` was sent: the client's response comes next.
    Challenged(Tag),
    /// The password is being checked.
    Deriving {
        tag: Tag,
        id: RequestId,
        name: &'static str,
    },
    /// The answer waits for the penalty.
    Penalty {
        tag: Tag,
        completion: Completion,
        name: &'static str,
    },
}

impl LoggingIn {
    pub(super) fn wants_input(&self) -> bool {
        matches!(self, Self::Challenged(_))
    }
}

const REFUSED: &str = "User name and password do not match";

impl Connection {
    pub(super) fn start_login(&mut self, tag: Tag, user: String, password: Zeroizing<String>) {
        if !self.may_log_in() {
            return self.refuse_plaintext(&tag, "LOGIN");
        }
        let credentials = Credentials {
            user,
            password,
            source: None,
        };
        self.derive(tag, credentials, "LOGIN");
    }

    pub(super) fn start_authenticate(
        &mut self,
        tag: Tag,
        mechanism: &str,
        initial: Option<InitialResponse>,
    ) {
        if !mechanism.eq_ignore_ascii_case("PLAIN") {
            let completion = Completion::no("This mechanism is not offered");
            return self.complete(&tag, &completion, "AUTHENTICATE");
        }
        if !self.may_log_in() {
            return self.refuse_plaintext(&tag, "AUTHENTICATE");
        }
        match initial {
            Some(response) => self.plain(tag, &response.0),
            None => {
                self.write(b"+ \r\n");
                self.activity = Activity::LoggingIn(LoggingIn::Challenged(tag));
            }
        }
    }

    pub(super) fn refuse_plaintext(&mut self, tag: &Tag, name: &'static str) {
        let completion =
            Completion::no("Begin TLS before you send a password").with_code("PRIVACYREQUIRED");
        self.complete(tag, &completion, name);
    }

    /// Goes on with a login; `false` until the next input.
    pub(super) fn log_in(&mut self, login: LoggingIn) -> bool {
        let LoggingIn::Challenged(tag) = login else {
            return self.rest(Activity::LoggingIn(login));
        };
        if let Some(line) = self.inbox.take_line() {
            let line = Zeroizing::new(line.to_vec());
            self.response(tag, &line);
            return true;
        }
        if self.inbox.len() > self.config.line_bytes_max {
            self.say_bye("The response is too long");
            return false;
        }
        if self.shutdown {
            self.say_bye("The server is going down");
            return false;
        }
        if self.eof {
            self.close();
            return false;
        }
        self.rest(Activity::LoggingIn(LoggingIn::Challenged(tag)))
    }

    /// The client's response to `+`.
    fn response(&mut self, tag: Tag, line: &[u8]) {
        if line == b"*" {
            return self.complete(&tag, &Completion::bad("Cancelled"), "AUTHENTICATE");
        }
        match decode_base64(line) {
            Some(response) => self.plain(tag, &Zeroizing::new(response)),
            None => self.complete(&tag, &Completion::bad("That is not base64"), "AUTHENTICATE"),
        }
    }

    fn plain(&mut self, tag: Tag, message: &[u8]) {
        let completion = match parse_plain(message) {
            Ok(credentials) => return self.derive(tag, credentials, "AUTHENTICATE"),
            Err(PlainError::Malformed) => Completion::bad("That is not a PLAIN response"),
            // RFC 5530 §3
            Err(PlainError::ForAnother { .. }) => {
                Completion::no("You can only act for yourself").with_code("AUTHORIZATIONFAILED")
            }
        };
        self.complete(&tag, &completion, "AUTHENTICATE");
    }

    fn derive(&mut self, tag: Tag, credentials: Credentials, name: &'static str) {
        let id = self.ids.next();
        self.timers
            .set(Reason::Penalty, self.now.instant.after(self.penalty()));
        self.outputs.push_back(Output::Derive(id, credentials));
        self.activity = Activity::LoggingIn(LoggingIn::Deriving { tag, id, name });
    }

    /// How late a wrong password is answered, from when it came: doubled each time.
    fn penalty(&self) -> Duration {
        self.config.penalty * 2_u32.saturating_pow(self.wrong_passwords.min(PENALTY_DOUBLINGS_MAX))
    }

    /// The password was checked.
    pub(super) fn derived(&mut self, id: RequestId, result: Result<Login, LoginError>) {
        let activity = core::mem::replace(&mut self.activity, Activity::Ready);
        let (tag, name) = match activity {
            Activity::LoggingIn(LoggingIn::Deriving {
                tag,
                id: open,
                name,
            }) if open == id => (tag, name),
            other => {
                self.activity = other;
                return;
            }
        };
        match result {
            Ok(login) => self.logged_in(&tag, login, name),
            Err(LoginError::Invalid) => {
                self.event(Event::Rejected);
                self.wrong_passwords += 1;
                let completion = Completion::no(REFUSED).with_code("AUTHENTICATIONFAILED");
                self.activity = Activity::LoggingIn(LoggingIn::Penalty {
                    tag,
                    completion,
                    name,
                });
            }
            Err(LoginError::Unavailable) => {
                self.timers.stop(Reason::Penalty);
                let completion =
                    Completion::no("Passwords cannot be checked just now").with_code("UNAVAILABLE");
                self.complete(&tag, &completion, name);
            }
            // Only who knows the password is told so. RFC 5530 §3
            Err(LoginError::Altered) => {
                self.timers.stop(Reason::Penalty);
                let completion = Completion::no(
                    "This account is closed until its administrator has looked at it",
                )
                .with_code("CONTACTADMIN");
                self.complete(&tag, &completion, name);
            }
            Err(LoginError::TooManyConnections) => {
                self.timers.stop(Reason::Penalty);
                let completion = Completion::no("You have too many connections").with_code("LIMIT");
                self.complete(&tag, &completion, name);
            }
        }
    }

    fn logged_in(&mut self, tag: &Tag, login: Login, name: &'static str) {
        self.timers.stop(Reason::Penalty);
        self.wrong_passwords = 0;
        self.session = Session::Authenticated {
            keys: login.keys,
            view: None,
            asleep: None,
        };
        self.event(Event::Authenticated);
        let code = format!("CAPABILITY {}", self.capabilities());
        self.complete(tag, &Completion::ok("Welcome").with_code(&code), name);
    }

    /// The penalty is over.
    pub(super) fn penalty_served(&mut self) {
        match core::mem::replace(&mut self.activity, Activity::Ready) {
            Activity::LoggingIn(LoggingIn::Penalty {
                tag,
                completion,
                name,
            }) => {
                self.complete(&tag, &completion, name);
                if self.wrong_passwords >= self.config.wrong_passwords_max {
                    self.say_bye("Too many wrong passwords");
                }
            }
            // The check itself took longer: the answer goes out when it is done.
            other => {
                self.activity = other;
                self.timers
                    .set(Reason::Penalty, self.now.instant.after(PENALTY_POLL));
            }
        }
    }
}

/// 2^6 times the first penalty is the longest.
const PENALTY_DOUBLINGS_MAX: u32 = 6;
/// How long after the penalty the check is looked at again.
const PENALTY_POLL: Duration = Duration::from_millis(200);
