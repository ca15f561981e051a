//! What is answered, and how it is written. Nothing in it needs Dovecot's escapes: a user
//! name with a control character is none.

use super::connection::Numbers;
use super::grammar::Number;

/// Why a request failed, for the user to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    text: &'static str,
    /// A parameter that tells the service of which kind it is.
    kind: Option<&'static str>,
}

const fn because(text: &'static str) -> Reason {
    Reason { text, kind: None }
}

const fn because_of(kind: &'static str, text: &'static str) -> Reason {
    let kind = Some(kind);
    Reason { text, kind }
}

pub(super) const REFUSED: Reason = because("User name and password do not match");
pub(super) const ANOTHER: Reason = because_of("authz", "You can only act for yourself");
pub(super) const UNAVAILABLE: Reason = because_of("temp", "Passwords cannot be checked just now");
pub(super) const CLOSED: Reason = because_of(
    "temp",
    "This account is closed until its administrator has looked at it",
);
pub(super) const NO_MECHANISM: Reason = because("This mechanism is not offered");
pub(super) const NOT_BASE64: Reason = because("That is not base64");
pub(super) const NOT_PLAIN: Reason = because("That is not a PLAIN response");
pub(super) const NOT_LOGIN: Reason = because("That is not a LOGIN response");
pub(super) const NO_NAME: Reason = because("That cannot be a user name");
pub(super) const NO_REQUEST: Reason = because("There is no such request, or not any more");
pub(super) const TWO_REQUESTS: Reason = because("There was a request of this number");
pub(super) const NOT_ASKED: Reason = because("Nothing was asked");
pub(super) const TIMED_OUT: Reason = because("That took too long");
pub(super) const CROWDED: Reason = because_of("temp", "There are too many requests");

impl Reason {
    /// For the log.
    pub(super) fn text(self) -> &'static str {
        self.text
    }
}

/// What a service is told first. Postfix wants the mechanisms before SPID.
pub(super) fn handshake(numbers: Numbers, cookie: [u8; 16]) -> String {
    let Numbers {
        process,
        connection,
    } = numbers;
    let cookie: String = cookie.iter().map(|octet| format!("{octet:02x}")).collect();
    format!(
        "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\n\
         SPID\t{process}\nCUID\t{connection}\nCOOKIE\t{cookie}\nDONE\n"
    )
}

/// Asks the user for more; `challenge` is base64 already.
pub(super) fn cont(number: Number, challenge: &str) -> String {
    format!("CONT\t{}\t{challenge}\n", number.0)
}

pub(super) fn ok(number: Number, user: &str) -> String {
    format!("OK\t{}\tuser={user}\n", number.0)
}

pub(super) fn fail(number: Number, user: Option<&str>, reason: Reason) -> String {
    let user = user.map_or_else(String::new, |user| format!("\tuser={user}"));
    let kind = reason
        .kind
        .map_or_else(String::new, |kind| format!("\t{kind}"));
    format!("FAIL\t{}{user}\treason={}{kind}\n", number.0, reason.text)
}
