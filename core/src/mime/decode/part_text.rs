//! The text of one part or header, decoded into a search while octets stream by.

use super::{TextMatcher, TransferDecoder, charset_of};
use crate::mime::header::{self, decode_text};
use crate::mime::{Description, Searchable, Structure};

/// Octets of one header field that are decoded together; a longer one is decoded in
/// pieces.
const FIELD_BYTES_MAX: usize = 64 * 1024;

/// Octets of decoded text that are searched at a time.
const TEXT_BYTES: usize = 16 * 1024;

/// Takes the raw octets of a part and gives its text to a [`TextMatcher`].
pub struct PartText {
    source: Source,
}

enum Source {
    /// A header: its fields are unfolded and their encoded words decoded.
    Header {
        field: Vec<u8>,
    },
    Body(Box<Body>),
}

struct Body {
    transfer: TransferDecoder,
    charset: encoding_rs::Decoder,
    decoded: Vec<u8>,
    text: String,
}

impl PartText {
    /// The text of what [`Structure::searchable_parts`] names.
    #[must_use]
    pub fn new(structure: &Structure, place: &Searchable) -> Self {
        match *place {
            Searchable::Header { .. } => Self::header(),
            Searchable::Text { part, .. } => Self::body(&structure.part(part).description),
        }
    }

    /// The text of a header.
    #[must_use]
    pub fn header() -> Self {
        Self {
            source: Source::Header { field: Vec::new() },
        }
    }

    /// The text of a body with this description.
    #[must_use]
    pub fn body(description: &Description) -> Self {
        let charset = charset_of(description.parameter("charset").map(|it| &**it));
        Self {
            source: Source::Body(Box::new(Body {
                transfer: TransferDecoder::new(description.encoding.as_deref()),
                charset: charset.new_decoder_with_bom_removal(),
                decoded: Vec::new(),
                text: "\0".repeat(TEXT_BYTES),
            })),
        }
    }

    /// Takes the next octets.
    pub fn feed(&mut self, octets: &[u8], matcher: &mut TextMatcher) {
        match &mut self.source {
            Source::Header { field } => {
                for line in octets.split_inclusive(|&octet| octet == b'\n') {
                    let continued = matches!(line.first(), Some(b' ' | b'\t'));
                    if (field.ends_with(b"\n") && !continued) || field.len() >= FIELD_BYTES_MAX {
                        search_field(field, matcher);
                    }
                    field.extend_from_slice(line);
                }
            }
            Source::Body(body) => body.feed(octets, matcher),
        }
    }

    /// Ends the part.
    pub fn finish(self, matcher: &mut TextMatcher) {
        match self.source {
            Source::Header { mut field } => search_field(&mut field, matcher),
            Source::Body(mut body) => body.finish(matcher),
        }
        matcher.end_text();
    }
}

fn search_field(field: &mut Vec<u8>, matcher: &mut TextMatcher) {
    // The name is searched too, as RFC 3501 §6.4.4 TEXT wants of a header.
    if header::fields(field).next().is_some() {
        matcher.feed(&decode_text(field));
        matcher.end_text();
    }
    field.clear();
}

impl Body {
    fn feed(&mut self, octets: &[u8], matcher: &mut TextMatcher) {
        if self.transfer.is_identity() {
            return self.search(octets, false, matcher);
        }
        let mut decoded = core::mem::take(&mut self.decoded);
        decoded.clear();
        self.transfer.feed(octets, &mut decoded);
        self.search(&decoded, false, matcher);
        self.decoded = decoded;
    }

    fn finish(&mut self, matcher: &mut TextMatcher) {
        let mut last = Vec::new();
        self.transfer.finish(&mut last);
        self.search(&last, true, matcher);
    }

    fn search(&mut self, octets: &[u8], last: bool, matcher: &mut TextMatcher) {
        let mut rest = octets;
        loop {
            let (result, read, written, _) = self.charset.decode_to_str(rest, &mut self.text, last);
            matcher.feed(self.text.get(..written).unwrap_or_default());
            rest = &rest[read..];
            if result == encoding_rs::CoderResult::InputEmpty {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::mime::Scanner;

    const MESSAGE: &[u8] = b"Subject: top\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
        --b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\
        Content-Transfer-Encoding: quoted-printable\r\n\r\nFr=F6=\r\nsche\r\n\
        --b\r\nContent-Type: message/rfc822\r\n\r\n\
        Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n an alle\r\n\
        Content-Transfer-Encoding: base64\r\nMIME-Version: 1.0\r\n\r\nSGVsbG8=\r\n\
        --b\r\nContent-Type: application/pdf; name=x\r\n\r\nbinary\r\n--b--\r\n";

    fn found(needle: &str, split: usize) -> bool {
        let mut scanner = Scanner::new(&Config::default());
        scanner.feed(MESSAGE);
        let structure = scanner.finish().structure;
        let mut matcher = TextMatcher::new(&[needle.to_owned()]);
        for place in structure.searchable_parts() {
            let span = place.place().1;
            let mut text = PartText::new(&structure, &place);
            for chunk in MESSAGE[span.offset as usize..span.end() as usize].chunks(split) {
                text.feed(chunk, &mut matcher);
            }
            text.finish(&mut matcher);
        }
        matcher.found() == [true]
    }

    #[test]
    fn text_parts_and_nested_headers_are_searched_decoded() {
        for split in [1, 7, 10_000] {
            for (needle, expected) in [
                ("frösche", true),
                ("GRÜSSE an alle", true),
                ("hello", true),
                ("application/pdf", true),
                ("binary", false),
                ("sgvs", false),
                ("top", false),
            ] {
                assert_eq!(found(needle, split), expected, "{needle} by {split}");
            }
        }
    }
}
