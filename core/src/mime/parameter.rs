//! Parameters of Content-Type and Content-Disposition (RFC 2045 §5.1), with the
//! pieces of long values joined (RFC 2231 §3).

use super::lexer::Lexer;
use super::{Octets, without_nul};

/// Parameters of one field, pieces of longer values counted singly; what follows is not read.
pub(super) const PARAMETERS_MAX: usize = 1_000;

/// One parameter, `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name as written. After joining pieces of which some are encoded it ends
    /// in `*`, and the value is `charset'language'percent-encoded` (RFC 2231 §4).
    pub name: Octets,
    /// The value without quotes and folds.
    pub value: Octets,
}

/// A piece `name*index` or `name*index*` of a longer value.
struct Piece {
    name: Vec<u8>,
    index: u32,
    encoded: bool,
    value: Vec<u8>,
}

/// Reads `*(";" parameter)`. What cannot be read is passed over. Plain parameters
/// come in the order of the field, joined ones after them by name.
pub(super) fn parse(lexer: &mut Lexer<'_>) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    let mut pieces = Vec::new();
    while !lexer.at_end() && parameters.len() + pieces.len() < PARAMETERS_MAX {
        let Some((name, value)) = parameter(lexer) else {
            lexer.bump();
            continue;
        };
        match piece_name(name) {
            Some((name, index, encoded)) => {
                pieces.push(Piece {
                    name: name.to_vec(),
                    index,
                    encoded,
                    value,
                });
            }
            None => parameters.push(Parameter {
                name: without_nul(name),
                value: without_nul(&value),
            }),
        }
    }
    join(pieces, &mut parameters);
    parameters
}

/// One `";" name "=" value`. `None` leaves the position where reading failed.
fn parameter<'a>(lexer: &mut Lexer<'a>) -> Option<(&'a [u8], Vec<u8>)> {
    if !lexer.eat(b';') {
        return None;
    }
    lexer.skip_cfws();
    let name = lexer.mime_token();
    lexer.skip_cfws();
    if name.is_empty() || !lexer.eat(b'=') {
        return None;
    }
    lexer.skip_cfws();
    let value = match lexer.peek()? {
        b'"' => lexer.quoted_string().ok()?,
        // Some senders write an encoded word without quotes, as in `name==?utf-8?…?=`.
        b'=' => lexer
            .take_while(|octet| !b"; \t\r\n".contains(&octet))
            .to_vec(),
        _ => lexer.mime_token().to_vec(),
    };
    lexer.skip_cfws();
    Some((name, value))
}

/// Takes `name*7*` apart: the name, the index, whether the value is encoded.
fn piece_name(name: &[u8]) -> Option<(&[u8], u32, bool)> {
    let star = memchr::memchr(b'*', name)?;
    let (base, rest) = (name.get(..star)?, name.get(star + 1..)?);
    let (digits, encoded) = match rest.strip_suffix(b"*") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((
        base,
        core::str::from_utf8(digits).ok()?.parse().ok()?,
        encoded,
    ))
}

/// Joins pieces that are numbered without a gap from 0; others stay as they are.
fn join(mut pieces: Vec<Piece>, parameters: &mut Vec<Parameter>) {
    pieces.sort_by(|a, b| {
        (a.name.to_ascii_lowercase(), a.index).cmp(&(b.name.to_ascii_lowercase(), b.index))
    });
    for group in pieces.chunk_by(|a, b| a.name.eq_ignore_ascii_case(&b.name)) {
        let Some(first) = group.first() else { continue };
        let gapless = group
            .iter()
            .zip(0_u32..)
            .all(|(piece, index)| piece.index == index);
        if !gapless {
            for piece in group {
                let star = if piece.encoded { "*" } else { "" };
                let mut name = piece.name.clone();
                name.extend_from_slice(format!("*{}{star}", piece.index).as_bytes());
                parameters.push(Parameter {
                    name: without_nul(&name),
                    value: without_nul(&piece.value),
                });
            }
            continue;
        }
        let encoded = group.iter().any(|piece| piece.encoded);
        let (mut name, mut value) = (first.name.clone(), Vec::new());
        if encoded {
            name.push(b'*');
            if !first.encoded {
                // Only a first piece that is encoded names a charset (RFC 2231 §4.1).
                value.extend_from_slice(b"''");
            }
        }
        for piece in group {
            if encoded && !piece.encoded {
                percent_encode(&piece.value, &mut value);
            } else {
                value.extend_from_slice(&piece.value);
            }
        }
        parameters.push(Parameter {
            name: without_nul(&name),
            value: without_nul(&value),
        });
    }
}

/// Encodes what RFC 2231 §7 does not allow as an `attribute-char`.
fn percent_encode(value: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &octet in value {
        if octet <= b' ' || octet >= 0x7f || b"*'%()<>@,;:\\\"/[]?=".contains(&octet) {
            out.extend_from_slice(&[
                b'%',
                HEX[usize::from(octet >> 4)],
                HEX[usize::from(octet & 15)],
            ]);
        } else {
            out.push(octet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(field: &str) -> Vec<(String, String)> {
        parse(&mut Lexer::new(field.as_bytes()))
            .iter()
            .map(|parameter| {
                (
                    String::from_utf8_lossy(&parameter.name).into_owned(),
                    String::from_utf8_lossy(&parameter.value).into_owned(),
                )
            })
            .collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect()
    }

    #[test]
    fn pieces_are_joined_in_their_order() {
        assert_eq!(
            parsed("; URL*1=\"b c\"; x=y; url*0=\"a\""),
            pairs(&[("x", "y"), ("url", "ab c")])
        );
        assert_eq!(
            parsed("; t*0*=us-ascii'en'This%20is; t*1=\" x\""),
            pairs(&[("t*", "us-ascii'en'This%20is%20x")])
        );
    }

    #[test]
    fn pieces_with_a_gap_stay_apart() {
        assert_eq!(
            parsed("; a*0=x; a*2*=y"),
            pairs(&[("a*0", "x"), ("a*2*", "y")])
        );
    }

    #[test]
    fn an_encoded_whole_value_keeps_its_star() {
        assert_eq!(
            parsed("; name*=utf-8''%e2%82%ac"),
            pairs(&[("name*", "utf-8''%e2%82%ac")])
        );
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        assert_eq!(parsed("; ; =x; a b; c=d; e=\"f"), pairs(&[("c", "d")]));
    }
}
