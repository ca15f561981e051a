//! Encoded words (RFC 2047) and raw 8-bit octets in a header, as UTF-8.

use crate::mime::decode::{TransferDecoder, charset_of};
use std::borrow::Cow;

/// The text of a field's value for searching and sorting: each fold one space, encoded
/// words decoded, raw octets taken as UTF-8 or else as windows-1252.
#[must_use]
pub fn decode_text(value: &[u8]) -> String {
    let value = on_one_line(value);
    let mut text = Text::default();
    let mut rest: &[u8] = &value;
    while let Some(start) = memchr::memmem::find(rest, b"=?") {
        let (before, word) = rest.split_at(start);
        let Some((encoded, after)) = EncodedWord::split(word) else {
            text.plain(rest.get(..start + 2).unwrap_or(rest));
            rest = rest.get(start + 2..).unwrap_or_default();
            continue;
        };
        // White space between two encoded words is not shown (RFC 2047 §6.2).
        if !(text.after_word && before.trim_ascii().is_empty()) {
            text.plain(before);
        }
        text.word(&encoded);
        rest = after;
    }
    text.plain(rest);
    text.finish()
}

/// The value without its line ends. A fold with the white space around it stands for one space
/// (RFC 5322 §3.2.2): who looks for two words does not know where a line ended between them.
fn on_one_line(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut line = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(end) = memchr::memchr2(b'\r', b'\n', rest) {
        line.extend_from_slice(&rest[..end]);
        let behind = rest[end..].trim_ascii_start();
        let fold = &rest[end..rest.len() - behind.len()];
        let before = line.len();
        line.truncate(line.trim_ascii_end().len());
        if line.len() < before || fold.contains(&b' ') || fold.contains(&b'\t') {
            line.push(b' ');
        }
        rest = behind;
    }
    line.extend_from_slice(rest);
    Cow::Owned(line)
}

/// `=?charset?encoding?content?=`
struct EncodedWord<'a> {
    charset: &'a [u8],
    base64: bool,
    content: &'a [u8],
}

impl<'a> EncodedWord<'a> {
    /// Takes apart the word at the beginning of `octets`; returns what follows too.
    fn split(octets: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let rest = octets.get(2..)?;
        let (charset, rest) = rest.split_at(position(rest, |octet| octet == b'?')?);
        let base64 = match rest.get(1)?.to_ascii_lowercase() {
            b'b' => true,
            b'q' => false,
            _ => return None,
        };
        if rest.get(2) != Some(&b'?') {
            return None;
        }
        let rest = rest.get(3..)?;
        let (content, rest) = rest.split_at(position(rest, |octet| octet == b'?')?);
        let after = rest.strip_prefix(b"?=")?;
        // The language after the charset (RFC 2231 §5) is of no use here.
        let charset = charset.split(|&octet| octet == b'*').next()?;
        Some((
            Self {
                charset,
                base64,
                content,
            },
            after,
        ))
    }

    fn decode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if self.base64 {
            let mut decoder = TransferDecoder::base64();
            decoder.feed(self.content, &mut out);
            decoder.finish(&mut out);
        } else {
            let spaced: Vec<u8> = self
                .content
                .iter()
                .map(|&it| if it == b'_' { b' ' } else { it })
                .collect();
            let mut decoder = TransferDecoder::quoted_printable();
            decoder.feed(&spaced, &mut out);
            decoder.finish(&mut out);
        }
        out
    }
}

/// What a switch to other characters begins with (ISO 2022).
const ESCAPE: u8 = 0x1b;

/// Where `found` first holds; an encoded word has no white space (RFC 2047 §2), but
/// senders put spaces into Q all the same, so only its length is limited.
fn position(octets: &[u8], found: impl Fn(u8) -> bool) -> Option<usize> {
    const WORD_BYTES_MAX: usize = 1_024;
    octets
        .iter()
        .take(WORD_BYTES_MAX)
        .position(|&octet| found(octet))
}

/// Text as it grows. Octets of neighbouring words of one charset are decoded
/// together, because some senders split characters between words; but not those of words that
/// switch to their characters themselves, as all of ISO-2022-JP do that keep to RFC 2047 §3:
/// a switch right behind the one at the end of the word before would be malformed.
#[derive(Default)]
struct Text {
    out: String,
    pending: Vec<u8>,
    charset: Vec<u8>,
    after_word: bool,
}

impl Text {
    fn plain(&mut self, octets: &[u8]) {
        if octets.is_empty() {
            return;
        }
        self.flush();
        self.after_word = false;
        match core::str::from_utf8(octets) {
            Ok(text) => self.out.push_str(text),
            Err(_) => self.out.push_str(
                &encoding_rs::WINDOWS_1252
                    .decode_without_bom_handling(octets)
                    .0,
            ),
        }
    }

    fn word(&mut self, word: &EncodedWord<'_>) {
        let octets = word.decode();
        let switches = octets.first() == Some(&ESCAPE);
        if switches || !self.charset.eq_ignore_ascii_case(word.charset) {
            self.flush();
            self.charset = word.charset.to_vec();
        }
        self.pending.extend_from_slice(&octets);
        self.after_word = true;
    }

    fn flush(&mut self) {
        if !self.pending.is_empty() {
            let charset = charset_of(Some(&self.charset));
            self.out
                .push_str(&charset.decode_without_bom_handling(&self.pending).0);
            self.pending.clear();
        }
        self.charset.clear();
    }

    fn finish(mut self) -> String {
        self.flush();
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 2047 §8.
    #[test]
    fn the_examples_of_rfc_2047() {
        for (raw, text) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=  =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=\r\n    =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            (
                "=?ISO-8859-1?B?SWYgeW91IGNhbiByZWFkIHRoaXMgeW8=?=\r\n \
                 =?ISO-8859-2?B?dSB1bmRlcnN0YW5kIHRoZSBleGFtcGxlLg==?=",
                "If you can read this you understand the example.",
            ),
        ] {
            assert_eq!(decode_text(raw.as_bytes()), text, "{raw}");
        }
    }

    #[test]
    fn a_character_split_between_words_is_one_character() {
        assert_eq!(decode_text(b"=?utf-8?q?=E2=82?= =?UTF-8?q?=AC?="), "€");
        // One that an encoder cut without going back to ASCII.
        assert_eq!(
            decode_text(b"=?iso-2022-jp?b?GyRCRnw=?= =?iso-2022-jp?b?S1wbKEI=?="),
            "日本"
        );
    }

    #[test]
    fn words_that_begin_and_end_with_an_escape_are_one_text() {
        assert_eq!(
            decode_text(b"=?iso-2022-jp?b?GyRCRnxLXBsoQg==?=\r\n =?ISO-2022-JP?B?GyRCOGwbKEI=?="),
            "日本語"
        );
    }

    #[test]
    fn a_fold_is_one_space_whatever_it_is_made_of() {
        for raw in [
            "quarterly\r\n report",
            "quarterly\r\n\treport",
            "quarterly \r\n \t report\r\n",
            "quarterly\n\t report",
            "quarterly\r\n \r\n report",
        ] {
            assert_eq!(decode_text(raw.as_bytes()), "quarterly report", "{raw:?}");
        }
        assert_eq!(decode_text(b" a\t  b\r\n"), "a\t  b");
        assert_eq!(decode_text(b"a\rb"), "ab");
    }

    #[test]
    fn raw_octets_are_utf_8_or_windows_1252() {
        assert_eq!(decode_text("é =?x".as_bytes()), "é =?x");
        assert_eq!(decode_text(b"\xe9 =?a?z?b?="), "é =?a?z?b?=");
    }
}
