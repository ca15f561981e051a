//! Modified UTF-7, how RFC 3501 §5.1.3 writes mailbox names outside ASCII: printable
//! ASCII stands for itself, `&-` is `&`, and all else is UTF-16 in base64 between `&`
//! and `-`. Decoding is strict, so that each name has one spelling; what is no modified
//! UTF-7 is taken as it stands, because clients do send `R&D`.

use super::base64::{decode_mailbox, encode_mailbox};

/// How mailbox names travel between client and server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MailboxEncoding {
    /// Modified UTF-7, until a client enables something else.
    #[default]
    ModifiedUtf7,
    /// UTF-8 as it is, after ENABLE UTF8=ACCEPT or IMAP4rev2 (RFC 6855 §3, RFC 9051 §5.1).
    Utf8,
}

impl MailboxEncoding {
    /// The name or pattern that a client wrote as `text`.
    #[must_use]
    pub fn decode(self, text: String) -> String {
        match self {
            // A name with 8-bit characters comes from a client that does not encode.
            Self::ModifiedUtf7 if text.is_ascii() => decode_mutf7(&text).unwrap_or(text),
            Self::ModifiedUtf7 | Self::Utf8 => text,
        }
    }
}

/// Decodes modified UTF-7; `None` if `text` is not what [`encode_mutf7`] makes of any name.
#[must_use]
pub fn decode_mutf7(text: &str) -> Option<String> {
    let mut name = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_base64 = false;
    while let Some(first) = rest.chars().next() {
        if first != '&' {
            if !is_printable(first) {
                return None;
            }
            name.push(first);
            rest = &rest[1..];
            after_base64 = false;
            continue;
        }
        let (encoded, after) = rest[1..].split_once('-')?;
        rest = after;
        if encoded.is_empty() {
            name.push('&');
            after_base64 = false;
            continue;
        }
        // `&…-&…-` could have been one shift: "superfluous shifts are not permitted".
        if after_base64 {
            return None;
        }
        decode_utf16(encoded, &mut name)?;
        after_base64 = true;
    }
    Some(name)
}

/// Encodes a name in modified UTF-7.
#[must_use]
pub fn encode_mutf7(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut shifted = Vec::new();
    for character in name.chars() {
        if !is_printable(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
            continue;
        }
        unshift(&mut shifted, &mut text);
        text.push(character);
        if character == '&' {
            text.push('-');
        }
    }
    unshift(&mut shifted, &mut text);
    text
}

fn unshift(shifted: &mut Vec<u8>, text: &mut String) {
    if !shifted.is_empty() {
        text.push('&');
        text.push_str(&encode_mailbox(shifted));
        text.push('-');
        shifted.clear();
    }
}

fn decode_utf16(encoded: &str, name: &mut String) -> Option<()> {
    let octets = decode_mailbox(encoded.as_bytes())?;
    let (pairs, odd) = octets.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    let units = pairs.iter().map(|&pair| u16::from_be_bytes(pair));
    for character in char::decode_utf16(units) {
        let character = character.ok().filter(|&c| !is_printable(c))?;
        name.push(character);
    }
    Some(())
}

fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_of_rfc_3501() {
        for (name, text) in [
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("☺!", "&Jjo-!"),
            ("台北日本語", "&U,BTF2XlZyyKng-"),
            ("Tom & Jerry", "Tom &- Jerry"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("💌", "&2D3cjA-"),
            ("", ""),
        ] {
            assert_eq!(encode_mutf7(name), text);
            assert_eq!(decode_mutf7(text).as_deref(), Some(name));
        }
    }

    #[test]
    fn other_spellings_are_no_modified_utf7() {
        for text in [
            "&Jjo!",              // the base64 does not end
            "&U,BTFw-&ZeVnLIqe-", // a superfluous shift (RFC 3501 §5.1.3)
            "&AEE-",              // A in base64
            "&AC8-",              // and / in base64: no second way to write a separator
            "&2D0-",              // half a surrogate pair
            "&Jj-",               // half a character
            "&Jjp-",              // bits left over
            "R&D",
            "é",
            "a\tb",
        ] {
            assert_eq!(decode_mutf7(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_clients_do_not_encode_is_taken_as_it_stands() {
        let decode = |text: &str| MailboxEncoding::ModifiedUtf7.decode(text.to_owned());
        assert_eq!(decode("R&D"), "R&D");
        assert_eq!(decode("Entwürfe &- mehr"), "Entwürfe &- mehr");
        assert_eq!(decode("Entw&APw-rfe"), "Entwürfe");
        assert_eq!(
            MailboxEncoding::Utf8.decode("Entw&APw-rfe".to_owned()),
            "Entw&APw-rfe"
        );
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name: String) {
            let text = encode_mutf7(&name);
            prop_assert!(text.bytes().all(|octet| matches!(octet, b' '..=b'~')));
            prop_assert_eq!(decode_mutf7(&text), Some(name));
        }

        #[test]
        fn every_name_has_one_spelling(text in "[a&,A-Z0-9/-]{0,12}") {
            if let Some(name) = decode_mutf7(&text) {
                prop_assert_eq!(encode_mutf7(&name), text);
            }
        }
    }
}
