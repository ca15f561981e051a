//! Reads the words that all commands are made of: atoms, numbers, quoted strings,
//! literals and parenthesised lists (RFC 3501 §4 and §9). A cursor only moves
//! forward over the octets of one command, and never looks past their end.

use super::{MailboxEncoding, Parsed, Tag, bad, too_much};
use crate::config::Config;
use crate::mailbox::MailboxName;
use std::borrow::Cow;

/// A position in the octets of a command.
pub(super) struct Cursor<'a> {
    octets: &'a [u8],
    at: usize,
    /// The limits that apply.
    pub(super) limits: &'a Config,
    names: MailboxEncoding,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(octets: &'a [u8], limits: &'a Config, names: MailboxEncoding) -> Self {
        Self {
            octets,
            at: 0,
            limits,
            names,
        }
    }

    /// The octet at the cursor; `None` at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.octets[self.at..]
    }

    /// Passes `octet` if it is next.
    pub(super) fn take(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.at += 1;
        }
        found
    }

    /// Passes `octet`, which must be next.
    pub(super) fn require(&mut self, octet: u8, text: &'static str) -> Parsed<()> {
        if self.take(octet) { Ok(()) } else { bad(text) }
    }

    /// Passes the one space between two arguments.
    pub(super) fn space(&mut self) -> Parsed<()> {
        if self.at_end() {
            return bad("An argument is missing");
        }
        self.require(b' ', "Arguments are separated by one space")
    }

    /// Whether nothing is left but spaces, which some clients leave at the end of a line.
    pub(super) fn at_end(&self) -> bool {
        self.rest().iter().all(|&octet| octet == b' ')
    }

    /// Checks that the command ends here.
    pub(super) fn end(&self) -> Parsed<()> {
        if self.at_end() {
            Ok(())
        } else {
            bad("There is more than the command takes")
        }
    }

    /// Passes the octets that `belongs` holds for; they may be none.
    pub(super) fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest
            .iter()
            .position(|&octet| !belongs(octet))
            .unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The tag (`1*<any ASTRING-CHAR except "+">`).
    pub(super) fn tag(&mut self) -> Parsed<Tag> {
        let text = ascii(self.run(|octet| is_astring_char(octet) && octet != b'+'));
        if text.is_empty() {
            return bad("A command starts with a tag");
        }
        if !matches!(self.peek(), None | Some(b' ')) {
            return bad("A tag holds letters and digits, and a space follows it");
        }
        Ok(Tag(text.to_owned()))
    }

    /// A word of the protocol in capitals: letters, digits, `.`, `-` and `_`. May be empty.
    pub(super) fn word(&mut self) -> String {
        let is_word =
            |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_');
        ascii(self.run(is_word)).to_ascii_uppercase()
    }

    /// Passes `prefix` if it is next, in any case.
    pub(super) fn take_prefix(&mut self, prefix: &[u8]) -> bool {
        let start = self.rest().get(..prefix.len());
        let found = start.is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if found {
            self.at += prefix.len();
        }
        found
    }

    /// Passes ` name` if it is next, in any case and as a whole word.
    pub(super) fn take_word_after_space(&mut self, name: &str) -> bool {
        let start = self.at;
        if self.take(b' ') && self.word() == name {
            return true;
        }
        self.at = start;
        false
    }

    /// An atom (`1*ATOM-CHAR`).
    pub(super) fn atom(&mut self) -> Parsed<&'a str> {
        let text = ascii(self.run(is_atom_char));
        if text.is_empty() {
            return bad("An atom is expected");
        }
        Ok(text)
    }

    /// A number of at most 63 bits (`number64` of RFC 9051, `mod-sequence-valzer` of RFC 7162).
    pub(super) fn number(&mut self) -> Parsed<u64> {
        let digits = self.run(|octet| octet.is_ascii_digit());
        if digits.is_empty() {
            return bad("A number is expected");
        }
        let value = digits.iter().try_fold(0_u64, |value, digit| {
            value
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))
                .filter(|&value| i64::try_from(value).is_ok())
        });
        value.map_or_else(|| bad("A number is too large"), Ok)
    }

    /// A number of 32 bits that is not zero and does not start with one (`nz-number`).
    pub(super) fn nz_number(&mut self) -> Parsed<core::num::NonZeroU32> {
        if self.peek() == Some(b'0') {
            return bad("A number here starts with 1 to 9");
        }
        let value = self.number()?;
        let value = u32::try_from(value)
            .ok()
            .and_then(core::num::NonZeroU32::new);
        value.map_or_else(|| bad("A number is too large"), Ok)
    }

    /// A quoted string or a literal, as octets.
    fn string_octets(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            Some(b'~') => bad("A literal8 is not taken here"),
            None => bad("An argument is missing"),
            Some(_) => bad("A string is expected"),
        }
    }

    /// A quoted string or a literal that holds UTF-8.
    pub(super) fn string(&mut self) -> Parsed<String> {
        self.string_octets().and_then(utf8)
    }

    /// An atom, a quoted string or a literal (`astring`) that holds UTF-8.
    pub(super) fn astring(&mut self) -> Parsed<String> {
        self.octets_or_run(is_astring_char).and_then(utf8)
    }

    /// A string, or NIL (`nstring`).
    pub(super) fn nstring(&mut self) -> Parsed<Option<String>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string().map(Some);
        }
        if self.word() == "NIL" {
            Ok(None)
        } else {
            bad("A string or NIL is expected")
        }
    }

    /// The name of a mailbox, decoded to UTF-8 (RFC 3501 §5.1.3).
    pub(super) fn mailbox(&mut self) -> Parsed<MailboxName> {
        let name = self.octets_or_run(is_astring_char).and_then(utf8)?;
        self.decode_name(name)
            .map(|name| MailboxName::new(name.as_str()))
    }

    /// The reference of LIST: the start of a name, perhaps empty.
    pub(super) fn reference(&mut self) -> Parsed<String> {
        let name = self.octets_or_run(is_astring_char).and_then(utf8)?;
        self.decode_name(name)
    }

    /// A pattern of LIST, decoded; the wildcards stay (`list-mailbox`).
    pub(super) fn list_mailbox(&mut self) -> Parsed<String> {
        let is_list_char = |octet| is_astring_char(octet) || matches!(octet, b'*' | b'%');
        let pattern = self.octets_or_run(is_list_char).and_then(utf8)?;
        self.decode_name(pattern)
    }

    /// `( item SP item … )` with at most `max` items; `text` says what is too much.
    pub(super) fn list<T>(
        &mut self,
        max: usize,
        text: &'static str,
        mut item: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        self.require(b'(', "A parenthesised list is expected")?;
        let mut items = Vec::new();
        if self.take(b')') {
            return Ok(items);
        }
        loop {
            if items.len() >= max {
                return too_much(text);
            }
            items.push(item(self)?);
            if self.take(b')') {
                return Ok(items);
            }
            self.require(b' ', "A list is not closed, or its items are not separated")?;
        }
    }

    fn octets_or_run(&mut self, belongs: impl Fn(u8) -> bool) -> Parsed<Cow<'a, [u8]>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string_octets();
        }
        let run = self.run(belongs);
        if run.is_empty() {
            return self.string_octets();
        }
        Ok(Cow::Borrowed(run))
    }

    fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.require(b'"', "A quoted string is expected")?;
        let rest = self.rest();
        let plain = self.run(is_quoted_char);
        if self.take(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        // Exactly the room it needs, so that a password is not left behind by a growing
        // buffer and many short strings do not each hold a long one.
        let mut value = Vec::with_capacity(quoted_length(rest));
        value.extend_from_slice(plain);
        loop {
            value.extend_from_slice(self.run(is_quoted_char));
            if self.take(b'"') {
                return Ok(Cow::Owned(value));
            }
            if !self.take(b'\\') {
                return bad("A quoted string is not closed");
            }
            match self.peek() {
                Some(escaped @ (b'"' | b'\\')) => value.push(escaped),
                _ => return bad("In a quoted string only \\\" and \\\\ are escapes"),
            }
            self.at += 1;
        }
    }

    fn literal(&mut self) -> Parsed<&'a [u8]> {
        self.require(b'{', "A literal is expected")?;
        let length = self.number()?;
        self.take(b'+');
        self.require(b'}', "A literal starts with {octets} or {octets+}")?;
        if !self.rest().starts_with(b"\r\n") {
            return bad("The line ends after the length of a literal");
        }
        let body = &self.rest()[2..];
        let Some(value) = usize::try_from(length)
            .ok()
            .and_then(|length| body.get(..length))
        else {
            return bad("A literal is shorter than it says");
        };
        self.at += 2 + value.len();
        if value.contains(&0) {
            return bad("A literal holds no NUL");
        }
        Ok(value)
    }

    fn decode_name(&self, name: String) -> Parsed<String> {
        let name = self.names.decode(name);
        if name.len() > self.limits.mailbox_name_bytes_max {
            return too_much("The name of a mailbox is too long");
        }
        if name.chars().any(char::is_control) {
            return bad("The name of a mailbox holds no control characters");
        }
        Ok(name)
    }
}

/// `ATOM-CHAR` (RFC 3501 §9).
pub(super) fn is_atom_char(octet: u8) -> bool {
    octet.is_ascii_graphic()
        && !matches!(
            octet,
            b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']'
        )
}

/// `ASTRING-CHAR` (RFC 3501 §9).
pub(super) fn is_astring_char(octet: u8) -> bool {
    is_atom_char(octet) || octet == b']'
}

fn is_quoted_char(octet: u8) -> bool {
    !matches!(octet, 0 | b'\r' | b'\n' | b'"' | b'\\')
}

/// How many octets the quoted string holds that `rest` is in, up to its end or the first
/// thing that cannot be in one.
fn quoted_length(rest: &[u8]) -> usize {
    let mut length = 0;
    let mut octets = rest.iter();
    while let Some(&octet) = octets.next() {
        if octet == b'\\' {
            octets.next();
        } else if !is_quoted_char(octet) {
            break;
        }
        length += 1;
    }
    length
}

fn utf8(octets: Cow<'_, [u8]>) -> Parsed<String> {
    String::from_utf8(octets.into_owned()).or_else(|_| bad("A string is not valid UTF-8"))
}

/// `octets` that a predicate has found to be ASCII, as text.
pub(super) fn ascii(octets: &[u8]) -> &str {
    core::str::from_utf8(octets).expect("only ASCII octets were let through")
}
