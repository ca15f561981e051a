//! Content transfer encodings, undone while octets stream by (RFC 2045 §6).

use memchr::memchr;

/// Undoes a Content-Transfer-Encoding. What is not well formed is passed over
/// (base64) or stays as it is (quoted-printable).
#[derive(Clone, Debug)]
pub struct TransferDecoder {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// 7bit, 8bit, binary, and encodings that are not known.
    Identity,
    Base64 {
        /// Bits of the group that is being read.
        group: u32,
        /// Characters of it so far, 0 to 3.
        count: u8,
    },
    QuotedPrintable {
        /// What follows a `=` that is not decided yet.
        escape: Escape,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Escape {
    None,
    /// Behind `=`.
    Begun,
    /// Behind `=` and this first hexadecimal digit.
    Digit(u8),
    /// Behind `=` and white space: a line end is to follow (RFC 2045 §6.7 rule 3).
    SoftBreak,
}

impl TransferDecoder {
    /// The decoder for a Content-Transfer-Encoding field's value.
    #[must_use]
    pub fn new(encoding: Option<&[u8]>) -> Self {
        match encoding {
            Some(name) if name.eq_ignore_ascii_case(b"base64") => Self::base64(),
            Some(name) if name.eq_ignore_ascii_case(b"quoted-printable") => {
                Self::quoted_printable()
            }
            _ => Self {
                state: State::Identity,
            },
        }
    }

    /// Decodes base64.
    #[must_use]
    pub fn base64() -> Self {
        Self {
            state: State::Base64 { group: 0, count: 0 },
        }
    }

    /// Decodes quoted-printable.
    #[must_use]
    pub fn quoted_printable() -> Self {
        Self {
            state: State::QuotedPrintable {
                escape: Escape::None,
            },
        }
    }

    /// Whether output is input.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        matches!(self.state, State::Identity)
    }

    /// Decodes the next octets and appends the result to `out`.
    pub fn feed(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        match &mut self.state {
            State::Identity => out.extend_from_slice(octets),
            State::Base64 { group, count } => base64(octets, group, count, out),
            State::QuotedPrintable { escape } => quoted_printable(octets, escape, out),
        }
    }

    /// Ends the part: appends what was held back.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.state {
            State::Identity => {}
            State::Base64 { group, count } => flush_base64(group, count, out),
            State::QuotedPrintable { escape } => {
                if let Escape::Digit(digit) = core::mem::replace(escape, Escape::None) {
                    out.extend_from_slice(&[b'=', digit]);
                }
            }
        }
    }
}

/// The value of each base64 character; 64 for others, 65 for `=`.
const BASE64: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [64; 256];
    let mut value = 0;
    while value < 64 {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table[b'=' as usize] = 65;
    table
};

fn base64(octets: &[u8], group: &mut u32, count: &mut u8, out: &mut Vec<u8>) {
    let mut rest = octets;
    out.reserve(octets.len() / 4 * 3 + 3);
    while let Some((&octet, after)) = rest.split_first() {
        if *count == 0
            && let Some((four, after)) = rest.split_first_chunk::<4>()
        {
            let values = four.map(|it| BASE64[usize::from(it)]);
            if (values[0] | values[1] | values[2] | values[3]) < 64 {
                let bits = values
                    .iter()
                    .fold(0_u32, |bits, &it| bits << 6 | u32::from(it));
                out.extend_from_slice(&bits.to_be_bytes()[1..]);
                rest = after;
                continue;
            }
        }
        rest = after;
        match BASE64[usize::from(octet)] {
            64 => {}
            65 => flush_base64(group, count, out),
            value => {
                *group = *group << 6 | u32::from(value);
                *count += 1;
                if *count == 4 {
                    out.extend_from_slice(&group.to_be_bytes()[1..]);
                    (*group, *count) = (0, 0);
                }
            }
        }
    }
}

/// Ends a group that is not full.
fn flush_base64(group: &mut u32, count: &mut u8, out: &mut Vec<u8>) {
    match *count {
        2 => out.push((*group >> 4) as u8),
        3 => out.extend_from_slice(&[(*group >> 10) as u8, (*group >> 2) as u8]),
        _ => {}
    }
    (*group, *count) = (0, 0);
}

fn quoted_printable(octets: &[u8], escape: &mut Escape, out: &mut Vec<u8>) {
    let mut rest = octets;
    while let Some(&octet) = rest.first() {
        match *escape {
            Escape::None => {
                let plain = memchr(b'=', rest).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
                if !rest.is_empty() {
                    *escape = Escape::Begun;
                    rest = &rest[1..];
                }
                continue;
            }
            Escape::Begun if octet.is_ascii_hexdigit() => *escape = Escape::Digit(octet),
            Escape::Begun | Escape::SoftBreak if matches!(octet, b' ' | b'\t' | b'\r') => {
                *escape = Escape::SoftBreak;
            }
            Escape::Begun | Escape::SoftBreak if octet == b'\n' => *escape = Escape::None,
            Escape::Digit(first) if octet.is_ascii_hexdigit() => {
                out.push(hex(first) << 4 | hex(octet));
                *escape = Escape::None;
            }
            // No escape: it stays, and this octet is looked at again.
            Escape::Digit(first) => {
                out.extend_from_slice(&[b'=', first]);
                *escape = Escape::None;
                continue;
            }
            Escape::Begun => {
                out.push(b'=');
                *escape = Escape::None;
                continue;
            }
            Escape::SoftBreak => {
                *escape = Escape::None;
                continue;
            }
        }
        rest = &rest[1..];
    }
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes in one piece and octet by octet, which must be the same.
    fn decoded(encoding: &str, octets: &[u8]) -> Vec<u8> {
        let (mut whole, mut split) = (Vec::new(), Vec::new());
        let mut decoder = TransferDecoder::new(Some(encoding.as_bytes()));
        decoder.feed(octets, &mut whole);
        decoder.finish(&mut whole);
        let mut decoder = TransferDecoder::new(Some(encoding.as_bytes()));
        for octet in octets {
            decoder.feed(&[*octet], &mut split);
        }
        decoder.finish(&mut split);
        assert_eq!(whole, split);
        whole
    }

    #[test]
    fn base64_with_line_ends_padding_and_dirt() {
        assert_eq!(
            decoded("BASE64", b"SGVs\r\nbG8s\r\nIHdv!cmxk"),
            b"Hello, world"
        );
        assert_eq!(decoded("base64", b"SGVsbG8="), b"Hello");
        assert_eq!(decoded("base64", b"SGU=SGU"), b"HeHe");
        assert_eq!(decoded("base64", b"S"), b"");
    }

    #[test]
    fn quoted_printable_with_soft_breaks_and_dirt() {
        assert_eq!(
            decoded("quoted-printable", b"a=\r\nb=  \r\nc=3D=e9=\n"),
            b"abc=\xe9"
        );
        assert_eq!(decoded("Quoted-Printable", b"a=zb=4x=4"), b"a=zb=4x=4");
    }

    #[test]
    fn what_is_not_known_stays() {
        assert_eq!(decoded("x-uuencode", b"a=3D"), b"a=3D");
    }
}
