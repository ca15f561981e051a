//! The fields of a raw header (RFC 5322 §2.2), their text (RFC 2047), and the date.

mod date;
mod encoded_word;

use std::borrow::Cow;

pub use date::sent_date;
pub use encoded_word::decode_text;

/// One field of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name without the colon; empty if the line has no colon.
    pub name: &'a [u8],
    /// What follows the colon, still folded, without the last line end.
    pub value: &'a [u8],
    /// The whole field with its line ends.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether this is the name, in any case.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of `header` in order, up to its blank line or its end.
#[must_use]
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

/// The length of the header at the beginning of a message, with its blank line; `None` if no
/// blank line is in `octets`, which may go on.
#[must_use]
pub fn length(octets: &[u8]) -> Option<usize> {
    let mut line = 0;
    loop {
        let rest = &octets[line..];
        let end = memchr::memchr(b'\n', rest)? + 1;
        if matches!(&rest[..end], b"\n" | b"\r\n") {
            return Some(line + end);
        }
        line += end;
    }
}

/// Iterator of [`fields`].
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || self.rest.starts_with(b"\n") || self.rest.starts_with(b"\r\n") {
            return None;
        }
        let mut end = 0;
        loop {
            end = memchr::memchr(b'\n', self.rest.get(end..)?)
                .map_or(self.rest.len(), |line| end + line + 1);
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (raw, rest) = self.rest.split_at(end);
        self.rest = rest;
        let content = raw.strip_suffix(b"\n").unwrap_or(raw);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        let Some(colon) = memchr::memchr(b':', content) else {
            return Some(Field {
                name: b"",
                value: content,
                raw,
            });
        };
        let (name, value) = content.split_at(colon);
        Some(Field {
            name: name.trim_ascii_end(),
            value: value.get(1..).unwrap_or_default(),
            raw,
        })
    }
}

/// The first field with this name, in any case.
#[must_use]
pub fn field<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(header).find(|it| it.is_named(name))
}

/// Names that the fields of many headers are compared with.
#[derive(Clone, Debug)]
pub struct Names {
    /// In small letters, ascending.
    names: Vec<Vec<u8>>,
    not: bool,
}

impl Names {
    /// These names, in any case, or (`not`) all but these.
    pub fn new<N: AsRef<[u8]>>(names: &[N], not: bool) -> Self {
        let folded = names.iter().map(|name| name.as_ref().to_ascii_lowercase());
        let mut names: Vec<_> = folded.collect();
        names.sort_unstable();
        Self { names, not }
    }

    /// Whether this is one of them: so many comparisons as the logarithm of their number.
    #[must_use]
    pub fn contain(&self, name: &[u8]) -> bool {
        let folded = || name.iter().map(u8::to_ascii_lowercase);
        let found = (self.names).binary_search_by(|it| it.iter().copied().cmp(folded()));
        found.is_ok() != self.not
    }
}

/// The fields with one of these names, or (`not`) with none of them, as they stand,
/// and a blank line: what HEADER.FIELDS and HEADER.FIELDS.NOT fetch (RFC 3501 §6.4.5).
#[must_use]
pub fn fields_matching<N: AsRef<[u8]>>(header: &[u8], names: &[N], not: bool) -> Vec<u8> {
    let names = Names::new(names, not);
    let mut out = Vec::new();
    for field in fields(header) {
        if names.contain(field.name) {
            out.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// The value of a field on one line: line ends removed (RFC 5322 §2.2.3), and the
/// white space around it.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    if memchr::memchr2(b'\r', b'\n', value).is_none() {
        return Cow::Borrowed(value);
    }
    Cow::Owned(
        value
            .iter()
            .copied()
            .filter(|octet| !matches!(octet, b'\r' | b'\n'))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] =
        b"Subject: a\r\n b\r\nFROM : x@y\r\nbroken\r\nTo: z\r\nsubject: c\r\n\r\nBody: no\r\n";

    #[test]
    fn fields_end_at_the_blank_line() {
        let found: Vec<_> = fields(HEADER).map(|it| (it.name, it.value)).collect();
        let expected: Vec<(&[u8], &[u8])> = vec![
            (b"Subject", b" a\r\n b"),
            (b"FROM", b" x@y"),
            (b"", b"broken"),
            (b"To", b" z"),
            (b"subject", b" c"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn chosen_fields_stay_as_they_are() {
        assert_eq!(
            fields_matching(HEADER, &["SUBJECT", "from"], false),
            b"Subject: a\r\n b\r\nFROM : x@y\r\nsubject: c\r\n\r\n"
        );
        assert_eq!(
            fields_matching(HEADER, &["Subject", "from"], true),
            b"broken\r\nTo: z\r\n\r\n"
        );
        assert_eq!(fields_matching(b"A: b", &["a"], false), b"A: b\r\n\r\n");
        assert_eq!(fields_matching(b"", &["a"], false), b"\r\n");
    }

    proptest::proptest! {
        #[test]
        fn no_header_does_harm(
            header in "([ -~]|[\"(<:;,@=?*\\r\\n]|\\PC){0,200}",
            name in "Date|From|To|Subject|Content-Type|Content-Disposition|Content-Language",
        ) {
            let header = format!("MIME-Version: 1.0\r\n{name}: {header}");
            let octets = header.as_bytes();
            let mut out = Vec::new();
            let envelope = crate::mime::Envelope::from_header(octets);
            crate::mime::write_envelope(&envelope, &mut out);
            let mut scanner = crate::mime::Scanner::new(&crate::config::Config::default());
            scanner.feed(octets);
            crate::mime::write_bodystructure(&scanner.finish().structure, true, &mut out);
            proptest::prop_assert!(out.ends_with(b")") && !out.contains(&0));
            let _ = sent_date(octets);
            let _ = decode_text(octets);
            let mut all = fields_matching(octets, &["date"], false);
            all.truncate(all.len() - 2);
            all.extend(fields_matching(octets, &["date"], true));
            proptest::prop_assert!(all.len() <= octets.len() + 4);
        }
    }

    #[test]
    fn unfolding_removes_line_ends_only() {
        assert_eq!(*unfold(b" a\r\n\tb \r\n"), *b"a\tb");
    }
}
