//! Addresses as ENVELOPE shows them: taken apart, but not decoded (RFC 5322 §3.4).

use super::lexer::Lexer;
use super::{Octets, without_nul};

/// Addresses kept of one header; the rest of a longer list is not shown.
pub const ADDRESSES_MAX: usize = 8_192;

/// What stands for a part of an address that is not there. NIL would say that the
/// address is the mark of a group (RFC 3501 §7.4.2). Dovecot writes the same.
const NO_MAILBOX: &[u8] = b"MISSING_MAILBOX";
const NO_HOST: &[u8] = b"MISSING_DOMAIN";

/// One address structure (RFC 3501 §7.4.2). One without host is the mark of a group:
/// its mailbox is the group's name, or nothing at the group's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Address {
    /// The display name.
    pub name: Option<Octets>,
    /// The source route (`at-domain-list`).
    pub adl: Option<Octets>,
    /// The local part.
    pub mailbox: Option<Octets>,
    /// The domain.
    pub host: Option<Octets>,
}

impl Address {
    fn new(name: &[u8], adl: &[u8], mailbox: &[u8], host: &[u8]) -> Self {
        let or = |octets: &[u8], other| without_nul(if octets.is_empty() { other } else { octets });
        let some = |octets: &[u8]| (!octets.is_empty()).then(|| without_nul(octets));
        Self {
            name: some(name),
            adl: some(adl),
            mailbox: Some(or(mailbox, NO_MAILBOX)),
            host: Some(or(host, NO_HOST)),
        }
    }

    /// About how many octets of memory this takes.
    pub(super) fn weight(&self) -> usize {
        let texts = [&self.name, &self.adl, &self.mailbox, &self.host];
        size_of::<Self>() + texts.into_iter().flatten().map(Octets::len).sum::<usize>()
    }
}

/// Reads the address list of a field. What follows an address without a comma is
/// passed over; a semicolon outside a group separates like a comma.
pub(super) fn parse_list(value: &[u8], max: usize) -> Vec<Address> {
    let mut lexer = Lexer::new(value);
    let mut list = Vec::new();
    let mut in_group = false;
    loop {
        lexer.skip_cfws();
        if lexer.at_end() || list.len() >= max {
            break;
        }
        if lexer.eat(b',') {
            continue;
        }
        if lexer.eat(b';') {
            if in_group {
                list.push(Address::default());
                in_group = false;
            }
            continue;
        }
        let phrase = Phrase::read(&mut lexer);
        if !in_group && lexer.eat(b':') {
            in_group = true;
            list.push(Address {
                mailbox: Some(without_nul(&phrase.text)),
                ..Address::default()
            });
            continue;
        }
        list.extend(address(&mut lexer, phrase));
        lexer.take_while(|octet| octet != b',' && octet != b';');
    }
    if in_group {
        list.push(Address::default());
    }
    list
}

/// Words with dots between them: a display name, a group's name or a local part.
#[derive(Default)]
struct Phrase {
    /// The words, one space where there was any.
    text: Vec<u8>,
    /// The words without any space.
    local: Vec<u8>,
    /// Whether there is space elsewhere than around dots, so that it is no local part.
    spaced: bool,
    /// The last comment.
    comment: Vec<u8>,
}

impl Phrase {
    fn read(lexer: &mut Lexer<'_>) -> Self {
        let mut phrase = Self::default();
        loop {
            let gap = lexer.skip_cfws_keeping(&mut phrase.comment);
            let word = match lexer.peek() {
                Some(b'"') => lexer.quoted_string().unwrap_or_else(|open| open),
                Some(b'.') => {
                    lexer.bump();
                    b".".to_vec()
                }
                _ => match lexer.atom() {
                    b"" => return phrase,
                    atom => atom.to_vec(),
                },
            };
            if gap && !phrase.text.is_empty() {
                phrase.spaced |= word != b"." && !phrase.text.ends_with(b".");
                phrase.text.push(b' ');
            }
            phrase.text.extend_from_slice(&word);
            phrase.local.extend_from_slice(&word);
        }
    }
}

/// The address that begins with `phrase`, the position being behind it. `None` if
/// there is nothing that could be one.
fn address(lexer: &mut Lexer<'_>, mut phrase: Phrase) -> Option<Address> {
    if lexer.eat(b'<') {
        return Some(angle_address(lexer, &phrase.text));
    }
    if lexer.peek() == Some(b'@') && !phrase.spaced {
        lexer.bump();
        let host = domain(lexer, &mut phrase.comment);
        return Some(Address::new(&phrase.comment, b"", &phrase.local, &host));
    }
    if phrase.text.is_empty() {
        return None;
    }
    Some(if phrase.spaced {
        Address::new(&phrase.text, b"", b"", b"")
    } else {
        Address::new(&phrase.comment, b"", &phrase.local, b"")
    })
}

/// What follows `<`.
fn angle_address(lexer: &mut Lexer<'_>, name: &[u8]) -> Address {
    lexer.skip_cfws();
    let mut adl: &[u8] = b"";
    if lexer.peek() == Some(b'@') {
        adl = lexer.take_while(|octet| octet != b':' && octet != b'>');
        if !lexer.eat(b':') {
            return Address::new(name, b"", b"", adl.get(1..).unwrap_or_default());
        }
    }
    let mut local = Phrase::read(lexer);
    let mailbox = if local.spaced {
        &local.text
    } else {
        &local.local
    };
    let host = if lexer.eat(b'@') {
        domain(lexer, &mut local.comment)
    } else {
        Vec::new()
    };
    let address = Address::new(name, adl, mailbox, &host);
    lexer.take_while(|octet| octet != b'>');
    lexer.bump();
    address
}

fn domain(lexer: &mut Lexer<'_>, comment: &mut Vec<u8>) -> Vec<u8> {
    let mut host = Vec::new();
    lexer.skip_cfws_keeping(comment);
    if lexer.peek() == Some(b'[') {
        host.extend_from_slice(lexer.take_while(|octet| octet != b']'));
        if lexer.eat(b']') {
            host.push(b']');
        }
        lexer.skip_cfws_keeping(comment);
        return host;
    }
    loop {
        let labels = lexer.dot_atom();
        if !(host.is_empty() || host.ends_with(b".") || labels.starts_with(b".")) {
            return host;
        }
        host.extend_from_slice(labels);
        lexer.skip_cfws_keeping(comment);
        if labels.is_empty() {
            return host;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses as `name|adl|mailbox|host`, NIL as `-`.
    fn parsed(list: &str) -> Vec<String> {
        let text = |part: &Option<Octets>| {
            part.as_ref().map_or("-".to_owned(), |it| {
                String::from_utf8_lossy(it).into_owned()
            })
        };
        parse_list(list.as_bytes(), ADDRESSES_MAX)
            .iter()
            .map(|it| {
                [&it.name, &it.adl, &it.mailbox, &it.host]
                    .map(text)
                    .join("|")
            })
            .collect()
    }

    #[test]
    fn addresses_of_all_forms() {
        for (list, expected) in [
            ("a@b (Name)", vec!["Name|-|a|b"]),
            ("\"A \\\"B\\\" C\" <a@b>", vec!["A \"B\" C|-|a|b"]),
            ("J. Doe <a@b>, \"x y\"@z", vec!["J. Doe|-|a|b", "-|-|x y|z"]),
            ("A1 (The Enforcer) Gore <a@b>", vec!["A1 Gore|-|a|b"]),
            ("foo\r\n bar  baz <a@b>", vec!["foo bar baz|-|a|b"]),
            ("<@a,@b:c@d>", vec!["-|@a,@b|c|d"]),
            (
                "a@[1.2.3.4], a . b @ c . d",
                vec!["-|-|a|[1.2.3.4]", "-|-|a.b|c.d"],
            ),
            ("=?utf-8?q?x?= <a@b>", vec!["=?utf-8?q?x?=|-|a|b"]),
            ("\"\" <a@b>", vec!["-|-|a|b"]),
        ] {
            assert_eq!(parsed(list), expected, "{list}");
        }
    }

    #[test]
    fn groups_have_a_beginning_and_an_end() {
        assert_eq!(
            parsed("Grp: a@b, C <d@e>;, x@y"),
            ["-|-|Grp|-", "-|-|a|b", "C|-|d|e", "-|-|-|-", "-|-|x|y"]
        );
        assert_eq!(
            parsed("undisclosed-recipients:;"),
            ["-|-|undisclosed-recipients|-", "-|-|-|-"]
        );
        assert_eq!(parsed("Gr:x@y"), ["-|-|Gr|-", "-|-|x|y", "-|-|-|-"]);
    }

    #[test]
    fn what_is_missing_has_a_mark_and_is_not_taken_for_a_group() {
        for (list, expected) in [
            (
                "John Smith, foo@bar",
                vec!["John Smith|-|MISSING_MAILBOX|MISSING_DOMAIN", "-|-|foo|bar"],
            ),
            ("foo", vec!["-|-|foo|MISSING_DOMAIN"]),
            ("foo <>", vec!["foo|-|MISSING_MAILBOX|MISSING_DOMAIN"]),
            ("foo <bar>", vec!["foo|-|bar|MISSING_DOMAIN"]),
            ("foo@", vec!["-|-|foo|MISSING_DOMAIN"]),
            ("@bar", vec!["-|-|MISSING_MAILBOX|bar"]),
            ("a@b c@d, e@f", vec!["-|-|a|b", "-|-|e|f"]),
            ("a@b; c@d", vec!["-|-|a|b", "-|-|c|d"]),
            ("(nobody)", vec![]),
            ("", vec![]),
            (", ,>,", vec![]),
        ] {
            assert_eq!(parsed(list), expected, "{list}");
        }
    }
}
