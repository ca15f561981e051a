//! From octets to a message: the end of DATA and the dots in it (RFC 5321 §4.5.2).
//!
//! Only CR LF `.` CR LF ends a message, the first CR LF being that of the line before. A CR
//! or LF alone never does, nor is a line begun by it: what others might take for an end is
//! an octet of the message, which as a whole is then refused.

use memchr::memchr2;

/// Takes the dots out of DATA and finds its end.
#[derive(Debug, Default)]
pub(super) struct Unstuffer(At);

/// What the octet before was.
#[derive(Clone, Copy, Debug, Default)]
enum At {
    /// The last of a line end.
    #[default]
    LineStart,
    /// The dot that a line begins with; it is no part of the message.
    Dot,
    /// The CR after that.
    DotCr,
    /// A CR; it is held back.
    Cr,
    /// Another.
    Inside,
}

/// What became of some octets.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unstuffed {
    /// How many were read.
    pub(super) taken: usize,
    /// Whether that was all of the message.
    pub(super) ended: bool,
    /// Whether there was a CR or LF alone.
    pub(super) bare: bool,
}

impl Unstuffer {
    /// Reads `octets` up to the end of the message and appends what belongs to it: at most
    /// one octet more than was read.
    pub(super) fn read(&mut self, octets: &[u8], message: &mut Vec<u8>) -> Unstuffed {
        let mut bare = false;
        let mut taken = 0;
        while let Some(&octet) = octets.get(taken) {
            taken += 1;
            self.0 = match (self.0, octet) {
                (At::DotCr, b'\n') => {
                    let ended = true;
                    return Unstuffed { taken, ended, bare };
                }
                (At::Cr, b'\n') => {
                    message.extend_from_slice(b"\r\n");
                    At::LineStart
                }
                (At::LineStart, b'.') => At::Dot,
                (At::Dot, b'\r') => At::DotCr,
                (At::LineStart | At::Inside, b'\r') => At::Cr,
                (at, octet) => {
                    // The CR before this octet is alone, or this is a LF alone.
                    let alone = matches!(at, At::Cr | At::DotCr);
                    bare |= alone || octet == b'\n';
                    if alone {
                        message.push(b'\r');
                    }
                    if octet == b'\r' {
                        At::Cr
                    } else {
                        message.push(octet);
                        // Up to the next octet that matters, at once.
                        let rest = &octets[taken..];
                        let plain = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                        message.extend_from_slice(&rest[..plain]);
                        taken += plain;
                        At::Inside
                    }
                }
            };
        }
        let ended = false;
        Unstuffed { taken, ended, bare }
    }
}

/// Looks for a CR or LF alone in what comes by BDAT.
#[derive(Debug, Default)]
pub(super) struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// Whether there is one in `octets`, as far as can be said without what follows.
    pub(super) fn bare(&mut self, octets: &[u8]) -> bool {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.after_cr {
                self.after_cr = false;
                match rest.strip_prefix(b"\n") {
                    Some(after) => rest = after,
                    None => return true,
                }
            }
            let Some(at) = memchr2(b'\r', b'\n', rest) else {
                break;
            };
            if rest[at] == b'\n' {
                return true;
            }
            self.after_cr = true;
            rest = &rest[at + 1..];
        }
        false
    }

    /// Whether the last octet of all was a CR.
    pub(super) fn bare_at_end(&self) -> bool {
        self.after_cr
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads in pieces of so many octets: the message, what was not read, whether it ended,
    /// and whether there was a bare CR or LF.
    fn read(octets: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>, bool, bool) {
        let mut unstuffer = Unstuffer::default();
        let (mut message, mut at, mut bare) = (Vec::new(), 0, false);
        while at < octets.len() {
            let piece = &octets[at..(at + piece).min(octets.len())];
            let before = message.len();
            let found = unstuffer.read(piece, &mut message);
            assert!(message.len() - before <= found.taken + 1);
            at += found.taken;
            bare |= found.bare;
            if found.ended {
                return (message, octets[at..].to_vec(), true, bare);
            }
            assert_eq!(found.taken, piece.len());
        }
        (message, Vec::new(), false, bare)
    }

    #[test]
    fn dots_and_the_end() {
        for (octets, message, rest) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
            (b"..\r\n.\r\n", b".\r\n", b""),
            (b"..a\r\n...\r\n.\r\n.\r\n", b".a\r\n..\r\n", b".\r\n"),
            // RFC 5321 §4.5.2: the first dot goes, whatever follows.
            (b".a\r\n.\r\n", b"a\r\n", b""),
            (b"a.\r\n.\r\n", b"a.\r\n", b""),
            (b"\r\n\r\n.\r\n", b"\r\n\r\n", b""),
        ] {
            for piece in 1..=octets.len() {
                let found = read(octets, piece);
                assert_eq!(found, (message.to_vec(), rest.to_vec(), true, false));
            }
        }
    }

    #[test]
    fn nothing_else_ends_a_message() {
        for octets in [
            &b"a\n.\n"[..],
            b"a\n.\r\n",
            b"a\r.\r",
            b"a\r.\r\n",
            b"a\r\n.\n",
            b"a\r\n.\r",
            b"a\r\n.\r\r\n",
            b"a\n\r.\r\n",
            b"a\r\n\n.\r\n",
            b"a\r\n\r.\r\n",
            b"a\r\n.\r.\r\n",
            b"\n.\r\n",
            b"a\r\n.\x00\r\n",
            b"a\0\r\n.",
        ] {
            for piece in 1..=octets.len() {
                let (_, _, ended, bare) = read(octets, piece);
                assert!(!ended, "{}", octets.escape_ascii());
                let may_be_whole =
                    matches!(octets.last(), Some(b'\r' | b'.')) || octets.contains(&0);
                assert!(bare || may_be_whole, "{}", octets.escape_ascii());
            }
        }
    }

    #[test]
    fn line_ends_of_chunks() {
        for (octets, bare) in [
            (&b"a\r\nb\r\n"[..], false),
            (b"\r\n\r\n", false),
            (b"a\nb", true),
            (b"a\rb", true),
            (b"a\r", true),
            (b"\r\r\n", true),
            (b"\n", true),
            (b"", false),
        ] {
            for piece in 1..=octets.len().max(1) {
                let mut ends = LineEnds::default();
                let found = octets.chunks(piece).any(|piece| ends.bare(piece));
                let found = found || ends.bare_at_end();
                assert_eq!(found, bare, "{}", octets.escape_ascii());
            }
        }
    }

    proptest! {
        /// What a client stuffs comes out as it was, in pieces of any length; and what the
        /// two scanners say of a message is the same.
        #[test]
        fn what_is_stuffed_comes_out(
            tokens in prop::collection::vec(prop::sample::select(
                vec![&b"\r\n"[..], b".", b"x", b"\r", b"\n", b"..", b"\r\n.\r\n", b"lo ng"]), 0..40),
            piece in 1_usize..9,
        ) {
            let mut message = tokens.concat();
            message.extend_from_slice(b"\r\n");
            let mut stuffed = Vec::new();
            let mut line_start = true;
            for (at, &octet) in message.iter().enumerate() {
                if line_start && octet == b'.' {
                    stuffed.push(b'.');
                }
                stuffed.push(octet);
                line_start = octet == b'\n' && at > 0 && message[at - 1] == b'\r';
            }
            stuffed.extend_from_slice(b".\r\nQUIT\r\n");
            let (read, rest, ended, bare) = read(&stuffed, piece);
            prop_assert!(ended);
            prop_assert_eq!(&read, &message);
            prop_assert_eq!(rest, b"QUIT\r\n");
            let mut ends = LineEnds::default();
            let alone = message.chunks(piece).any(|piece| ends.bare(piece)) || ends.bare_at_end();
            prop_assert_eq!(bare, alone);
        }
    }
}
