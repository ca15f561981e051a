//! What a command line may be (RFC 5321 §4.1, with the parameters of what is offered).

use super::reply::{self, Reply};
use crate::config::Config;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Lhlo,
    /// HELO or EHLO: this is another protocol's.
    Hello,
    Mail(Mail),
    Rcpt(Path),
    Data,
    /// Octets of the chunk that follows, and whether it is the last one (RFC 3030).
    Bdat(u64, bool),
    Rset,
    Noop,
    Vrfy,
    Quit,
}

/// The arguments of MAIL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mail {
    /// To whom errors go; nothing: to nobody.
    pub(super) sender: Option<Path>,
    /// Octets that the message has, for all that the client knows (RFC 1870).
    pub(super) size: Option<u64>,
    /// SMTPUTF8 (RFC 6531).
    pub(super) utf8: bool,
}

/// An address as it stood between angle brackets, without a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) text: String,
    pub(super) address: Address,
}

impl Path {
    pub(super) fn is_ascii(&self) -> bool {
        self.text.is_ascii()
    }
}

/// An address, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What stands before `@`, without quotes.
    pub local: String,
    /// What stands after it.
    pub domain: Option<String>,
}

/// Understands a line without its end.
pub(super) fn parse(line: &[u8], config: &Config) -> Result<Command, Reply> {
    let (verb, arguments) = match line.iter().position(|&octet| octet == b' ') {
        Some(at) => (&line[..at], line[at..].trim_ascii()),
        None => (line, &line[line.len()..]),
    };
    let alone = |command| match arguments {
        [] => Ok(command),
        _ => Err(reply::SYNTAX),
    };
    match verb.to_ascii_uppercase().as_slice() {
        b"LHLO" if is_word(arguments) => Ok(Command::Lhlo),
        b"LHLO" => Err(reply::SYNTAX),
        b"HELO" | b"EHLO" => Ok(Command::Hello),
        b"MAIL" => mail(arguments, config).map(Command::Mail),
        b"RCPT" => recipient(arguments, config).map(Command::Rcpt),
        b"DATA" => alone(Command::Data),
        b"BDAT" => chunk(arguments),
        b"RSET" => alone(Command::Rset),
        b"NOOP" => Ok(Command::Noop),
        b"VRFY" if arguments.is_empty() => Err(reply::SYNTAX),
        b"VRFY" => Ok(Command::Vrfy),
        b"QUIT" => alone(Command::Quit),
        b"EXPN" | b"HELP" | b"TURN" | b"AUTH" | b"STARTTLS" | b"ETRN" | b"XFORWARD"
        | b"XCLIENT" => Err(reply::NOT_OFFERED),
        _ => Err(reply::UNKNOWN),
    }
}

/// Whether this can be a client's name, which is not looked at further.
fn is_word(octets: &[u8]) -> bool {
    !octets.is_empty() && octets.iter().all(|&octet| octet > b' ' && octet != 0x7f)
}

fn mail(arguments: &[u8], config: &Config) -> Result<Mail, Reply> {
    let rest = keyword(arguments, b"FROM:").ok_or(reply::SYNTAX)?;
    let (sender, parameters) = path(rest, config).ok_or(reply::BAD_SENDER)?;
    let mut mail = Mail {
        sender,
        size: None,
        utf8: false,
    };
    let mut body = false;
    for parameter in words(parameters) {
        let (name, value) = match parameter.iter().position(|&octet| octet == b'=') {
            Some(at) => (&parameter[..at], Some(&parameter[at + 1..])),
            None => (parameter, None),
        };
        match (name.to_ascii_uppercase().as_slice(), value) {
            (b"SIZE", Some(digits)) if mail.size.is_none() => {
                mail.size = Some(number(digits).ok_or(reply::SYNTAX)?);
            }
            (b"BODY", Some(value)) if !body => {
                body = true;
                if !matches!(value.to_ascii_uppercase().as_slice(), b"7BIT" | b"8BITMIME") {
                    return Err(reply::SYNTAX);
                }
            }
            (b"SMTPUTF8", None) if !mail.utf8 => mail.utf8 = true,
            (b"SIZE" | b"BODY" | b"SMTPUTF8", _) => return Err(reply::SYNTAX),
            _ => return Err(reply::BAD_PARAMETER),
        }
    }
    match &mail.sender {
        Some(path) if !mail.utf8 && !path.is_ascii() => Err(reply::NEEDS_UTF8),
        _ => Ok(mail),
    }
}

fn recipient(arguments: &[u8], config: &Config) -> Result<Path, Reply> {
    let rest = keyword(arguments, b"TO:").ok_or(reply::SYNTAX)?;
    match path(rest, config) {
        Some((Some(_), parameters)) if words(parameters).next().is_some() => {
            Err(reply::BAD_PARAMETER)
        }
        Some((Some(path), _)) => Ok(path),
        _ => Err(reply::BAD_RECIPIENT),
    }
}

fn chunk(arguments: &[u8]) -> Result<Command, Reply> {
    let mut words = words(arguments);
    let len = words.next().and_then(number).ok_or(reply::SYNTAX)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"LAST") => true,
        Some(_) => return Err(reply::SYNTAX),
    };
    match words.next() {
        None => Ok(Command::Bdat(len, last)),
        Some(_) => Err(reply::SYNTAX),
    }
}

fn words(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    octets
        .split(|&octet| octet == b' ')
        .filter(|word| !word.is_empty())
}

/// At most 20 digits (RFC 1870 §4, RFC 3030 §2).
fn number(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.len() <= 20 && digits.iter().all(u8::is_ascii_digit);
    let digits = core::str::from_utf8(digits).ok().filter(|_| plain)?;
    // Of 20 digits, some are more than fits: more than anything that is taken.
    Some(digits.parse().unwrap_or(u64::MAX))
}

/// What follows `word`, and spaces that should not be there.
fn keyword<'a>(octets: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = octets.split_at_checked(word.len())?;
    start
        .eq_ignore_ascii_case(word)
        .then(|| rest.trim_ascii_start())
}

/// A path in angle brackets and what follows it; nothing between them is no path.
fn path<'a>(octets: &'a [u8], config: &Config) -> Option<(Option<Path>, &'a [u8])> {
    let inside = octets.strip_prefix(b"<")?;
    if let Some(rest) = inside.strip_prefix(b">") {
        return Some((None, after_path(rest)?));
    }
    let mailbox = match inside.strip_prefix(b"@") {
        // A route is read and forgotten (RFC 5321 §4.1.1.3).
        Some(route) => {
            let end = route.iter().position(|&octet| octet == b':')?;
            let plain = |&octet: &u8| octet > b' ' && !matches!(octet, b'<' | b'>' | b'"' | 0x7f);
            route[..end].iter().all(plain).then(|| &route[end + 1..])?
        }
        None => inside,
    };
    let (local, rest) = local_part(mailbox)?;
    let (domain, rest) = match rest.strip_prefix(b"@") {
        Some(rest) => {
            let (domain, rest) = domain(rest)?;
            (Some(domain), rest)
        }
        // `<Postmaster>` (RFC 5321 §4.5.1), and the plain names that LMTP is used with.
        None => (None, rest),
    };
    let len = mailbox.len() - rest.len();
    let text = core::str::from_utf8(&mailbox[..len]).ok()?.to_owned();
    if len > config.lmtp_path_bytes_max || text.chars().any(char::is_control) {
        return None;
    }
    let rest = after_path(rest.strip_prefix(b">")?)?;
    let address = Address { local, domain };
    Some((Some(Path { text, address }), rest))
}

fn after_path(rest: &[u8]) -> Option<&[u8]> {
    (rest.is_empty() || rest[0] == b' ').then_some(rest)
}

/// The local part without its quotes.
fn local_part(octets: &[u8]) -> Option<(String, &[u8])> {
    let Some(quoted) = octets.strip_prefix(b"\"") else {
        let end = octets.iter().position(|&octet| !is_atom(octet))?;
        let local = core::str::from_utf8(&octets[..end]).ok()?;
        return (!local.is_empty()).then(|| (local.to_owned(), &octets[end..]));
    };
    let mut local = Vec::new();
    let mut at = 0;
    loop {
        match quoted.get(at)? {
            b'"' => break,
            b'\\' => {
                at += 1;
                local.push(*quoted.get(at)?);
            }
            octet => local.push(*octet),
        }
        at += 1;
    }
    let local = String::from_utf8(local).ok()?;
    (!local.is_empty()).then(|| (local, &quoted[at + 1..]))
}

fn is_atom(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || octet >= 0x80 || b"!#$%&'*+-/=?^_`{|}~.".contains(&octet)
}

/// A domain or an address literal.
fn domain(octets: &[u8]) -> Option<(String, &[u8])> {
    let end = match octets.first()? {
        b'[' => octets.iter().position(|&octet| octet == b']')? + 1,
        _ => octets.iter().position(|&octet| octet == b'>')?,
    };
    let text = core::str::from_utf8(&octets[..end]).ok()?;
    let inside = text.strip_prefix('[').unwrap_or(text);
    let inside = inside.strip_suffix(']').unwrap_or(inside);
    let plain = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || "-._:".contains(c);
    (!inside.is_empty() && inside.chars().all(plain)).then(|| (text.to_owned(), &octets[end..]))
}
