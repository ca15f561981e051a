//! Reads what a server sent as RFC 3501 §7 says: lines with literals in them.

/// A response without its line end, literals left out.
pub(crate) struct Response {
    /// Its first word: `*`, `+` or a tag.
    pub(crate) first: Vec<u8>,
    /// The word after it.
    pub(crate) second: Vec<u8>,
}

/// Takes a stream of responses apart.
///
/// # Panics
/// If it is none: no line end where one is due, no first word, or CR or NUL in a line.
/// Where the server has `closed` the connection, the last response may be cut.
pub(crate) fn responses(stream: &[u8], closed: bool) -> Vec<Response> {
    let mut found = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let Some(taken) = one(rest, &mut found) else {
            assert!(closed, "a response is cut: {}", show(rest));
            break;
        };
        rest = &rest[taken..];
    }
    found
}

/// Takes one response; its length, or nothing if its end is not there.
fn one(octets: &[u8], found: &mut Vec<Response>) -> Option<usize> {
    let mut end = 0;
    let mut start: Option<Vec<u8>> = None;
    loop {
        let line = octets[end..].iter().position(|&octet| octet == b'\n')?;
        let line = &octets[end..end + line + 1];
        end += line.len();
        let line = line.strip_suffix(b"\r\n");
        let line = line.unwrap_or_else(|| panic!("LF without CR: {}", show(octets)));
        let text = !line.iter().any(|&octet| matches!(octet, 0 | b'\r'));
        assert!(text, "CR or NUL in a line: {}", show(line));
        start.get_or_insert_with(|| line.to_vec());
        match literal(line) {
            Some(len) => end = end.checked_add(len).filter(|&it| it <= octets.len())?,
            None => break,
        }
    }
    let start = start.unwrap_or_default();
    let mut words = start.split(|&octet| octet == b' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next());
    let tag = !first.is_empty() && first.iter().all(|&octet| octet > b' ' && octet < 0x7f);
    assert!(tag && second.is_some(), "no response: {}", show(&start));
    found.push(Response {
        first: first.to_vec(),
        second: second.unwrap_or_default().to_vec(),
    });
    Some(end)
}

/// The literal that is announced at the end of a line.
fn literal(line: &[u8]) -> Option<usize> {
    let inside = line.strip_suffix(b"}")?;
    let start = inside.iter().rposition(|&octet| octet == b'{')?;
    core::str::from_utf8(&inside[start + 1..])
        .ok()?
        .parse()
        .ok()
}

/// Whether parentheses and strings in `value` are balanced, as in an answer of FETCH.
pub(crate) fn is_balanced(value: &[u8]) -> bool {
    let (mut depth, mut quoted, mut at) = (0_i64, false, 0);
    while let Some(&octet) = value.get(at) {
        match octet {
            b'\\' if quoted => at += 1,
            b'"' => quoted = !quoted,
            b'\r' | b'\n' | 0 if quoted => return false,
            _ if quoted => {}
            b'(' => depth += 1,
            b')' => depth -= 1,
            b'{' => {
                let digits = value[at + 1..].split(|&it| it == b'}').next();
                let digits = digits.and_then(|it| core::str::from_utf8(it).ok());
                let Some(len) = digits.and_then(|it| it.parse::<usize>().ok()) else {
                    return false;
                };
                let header = digits.map_or(0, str::len) + 4;
                if value.get(at + header - 2..at + header) != Some(b"\r\n") {
                    return false;
                }
                at += header + len - 1;
            }
            _ => {}
        }
        if depth < 0 {
            return false;
        }
        at += 1;
    }
    depth == 0 && !quoted && at == value.len()
}

fn show(octets: &[u8]) -> String {
    octets[..octets.len().min(400)].escape_ascii().to_string()
}
