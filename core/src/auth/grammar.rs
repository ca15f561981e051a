//! What a line may be.
//!
//! Where Dovecot escapes (`\001` and a letter for NUL, TAB, CR, LF and itself), the values
//! that are of interest here have nothing to escape: a value that holds an escape is not a
//! number, an address, a mechanism or base64, and is taken for what that means.

use core::net::IpAddr;

/// What a service numbers a request with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Number(pub(super) u32);

/// A line of a service.
#[derive(PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Which version it speaks: only the major number matters.
    Version(u32),
    /// Who it is, which nobody here needs.
    Cpid,
    /// A new request.
    Auth(Auth<'a>),
    /// What the user answers to a challenge, in base64.
    Cont(Number, &'a str),
    /// A request is of no interest any more.
    Cancel(Number),
}

/// A new request.
#[derive(PartialEq, Eq)]
pub(super) struct Auth<'a> {
    pub(super) number: Number,
    /// `None`: one that is not offered.
    pub(super) mechanism: Option<Mechanism>,
    /// Where the user is, if the service says so.
    pub(super) source: Option<IpAddr>,
    /// What the user says unasked, in base64.
    pub(super) response: Option<&'a str>,
}

/// A mechanism that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mechanism {
    /// RFC 4616.
    Plain,
    /// User name and password, each asked for; never standardised.
    Login,
}

/// Why a line is none: nothing after it is looked at.
pub(super) type Garbage = &'static str;

const NOT_TEXT: Garbage = "a line that is not text";
const UNKNOWN: Garbage = "an unknown command";
const INCOMPLETE: Garbage = "a command without what belongs to it";
const NO_NUMBER: Garbage = "a number was expected";

/// Understands a line without its end.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, Garbage> {
    let line = core::str::from_utf8(line).map_err(|_| NOT_TEXT)?;
    if line
        .chars()
        .any(|c| c.is_control() && c != '\t' && c != '\u{1}')
    {
        return Err(NOT_TEXT);
    }
    let (name, rest) = split(line);
    let known = ["VERSION", "CPID", "AUTH", "CONT", "CANCEL"];
    if !known.contains(&name) {
        return Err(UNKNOWN);
    }
    let (first, rest) = split(rest.ok_or(INCOMPLETE)?);
    let number = parse_number(first).ok_or(NO_NUMBER)?;
    Ok(match name {
        "VERSION" => Line::Version(number),
        "CPID" => Line::Cpid,
        "AUTH" => Line::Auth(parse_auth(Number(number), rest.ok_or(INCOMPLETE)?)),
        // An empty answer may come without its TAB.
        "CONT" => Line::Cont(Number(number), rest.unwrap_or_default()),
        _ => Line::Cancel(Number(number)),
    })
}

fn parse_auth(number: Number, text: &str) -> Auth<'_> {
    let (mechanism, mut parameters) = split(text);
    let mut auth = Auth {
        number,
        mechanism: parse_mechanism(mechanism),
        source: None,
        response: None,
    };
    while let Some(text) = parameters {
        // Always the last one, so all that follows belongs to it.
        if let Some(response) = text.strip_prefix("resp=") {
            auth.response = Some(response);
            break;
        }
        let (parameter, rest) = split(text);
        if let Some(address) = parameter.strip_prefix("rip=") {
            auth.source = address.parse().ok();
        }
        parameters = rest;
    }
    auth
}

/// Names of mechanisms have no case (RFC 4422 §3.1).
fn parse_mechanism(name: &str) -> Option<Mechanism> {
    match name.to_ascii_uppercase().as_str() {
        "PLAIN" => Some(Mechanism::Plain),
        "LOGIN" => Some(Mechanism::Login),
        _ => None,
    }
}

/// What is before the next TAB, and what after.
fn split(text: &str) -> (&str, Option<&str>) {
    match text.split_once('\t') {
        Some((first, rest)) => (first, Some(rest)),
        None => (text, None),
    }
}

fn parse_number(text: &str) -> Option<u32> {
    // Rust would take a sign.
    let digits = text.bytes().all(|octet| octet.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}
