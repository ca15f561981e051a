//! Strings of IMAP responses: quoted where that is possible, else a literal
//! (RFC 3501 §4.3).

use super::without_nul;

/// Octets of the longest string that is sent quoted. Longer ones are literals:
/// clients with small line buffers read them safely.
const QUOTED_BYTES_MAX: usize = 4_096;

/// Writes `nil` or a string (RFC 3501 §9 `nstring`).
pub(crate) fn write_nstring(out: &mut Vec<u8>, string: Option<&[u8]>) {
    match string {
        Some(string) => write_string(out, string),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// Writes a quoted string, or a literal if `string` is long or has octets that a
/// quoted string may not hold. NUL, which no string may hold, becomes 0x80.
pub(crate) fn write_string(out: &mut Vec<u8>, string: &[u8]) {
    let quotable = |octet: &u8| octet.is_ascii() && !matches!(octet, b'\r' | b'\n' | 0);
    if string.len() > QUOTED_BYTES_MAX || !string.iter().all(quotable) {
        out.extend_from_slice(format!("{{{}}}\r\n", string.len()).as_bytes());
        out.extend_from_slice(&without_nul(string));
        return;
    }
    out.push(b'"');
    for &octet in string {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(string: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        write_nstring(&mut out, string);
        out
    }

    #[test]
    fn strings_are_quoted_where_they_can_be() {
        assert_eq!(written(None), b"NIL");
        assert_eq!(written(Some(b"")), b"\"\"");
        assert_eq!(written(Some(b"a\"b\\")), b"\"a\\\"b\\\\\"");
        assert_eq!(written(Some(b"a\r\nb")), b"{4}\r\na\r\nb");
        assert_eq!(written(Some(b"\xe9")), b"{1}\r\n\xe9");
        assert_eq!(written(Some(b"\0")), b"{1}\r\n\x80");
    }
}
