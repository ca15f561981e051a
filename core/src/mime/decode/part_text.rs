//! The text of one part or header, decoded into a search while octets stream by.

use super::{Decoded, TextMatcher, TransferDecoder, charset_of};
use crate::mime::header::{self, decode_text};
use crate::mime::{Description, Searchable, Structure};

/// Octets of one header field that are decoded together; a longer one is decoded in
/// pieces.
const FIELD_BYTES_MAX: usize = 64 * 1024;

/// Octets by which decoded text grows at a time.
const TEXT_BYTES: usize = 16 * 1024;

/// Takes the raw octets of a part and gives its text, to be searched by a [`TextMatcher`].
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
    /// Without the transfer encoding.
    octets: Vec<u8>,
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
                octets: Vec::new(),
            })),
        }
    }

    /// Takes the next octets and searches their text.
    pub fn feed(&mut self, octets: &[u8], matcher: &mut TextMatcher) {
        let mut decoded = Decoded::default();
        self.decode(octets, &mut decoded);
        decoded.search(matcher);
    }

    /// Ends the part and searches the rest of its text.
    pub fn finish(self, matcher: &mut TextMatcher) {
        let mut decoded = Decoded::default();
        self.end(&mut decoded);
        decoded.search(matcher);
    }

    /// Takes the next octets.
    pub fn decode(&mut self, octets: &[u8], out: &mut Decoded) {
        match &mut self.source {
            Source::Header { field } => {
                for line in octets.split_inclusive(|&octet| octet == b'\n') {
                    let continued = matches!(line.first(), Some(b' ' | b'\t'));
                    if (field.ends_with(b"\n") && !continued) || field.len() >= FIELD_BYTES_MAX {
                        decode_field(field, out);
                    }
                    field.extend_from_slice(line);
                }
            }
            Source::Body(body) => body.decode(octets, out),
        }
    }

    /// Ends the part.
    pub fn end(self, out: &mut Decoded) {
        match self.source {
            Source::Header { mut field } => decode_field(&mut field, out),
            Source::Body(mut body) => body.end(out),
        }
        out.end_text();
    }
}

fn decode_field(field: &mut Vec<u8>, out: &mut Decoded) {
    // The name is searched too, as RFC 3501 §6.4.4 TEXT wants of a header.
    if header::fields(field).next().is_some() {
        out.push(&decode_text(field));
    }
    field.clear();
}

impl Body {
    fn decode(&mut self, octets: &[u8], out: &mut Decoded) {
        if self.transfer.is_identity() {
            return self.read(octets, false, out);
        }
        let mut plain = core::mem::take(&mut self.octets);
        plain.clear();
        self.transfer.feed(octets, &mut plain);
        self.read(&plain, false, out);
        self.octets = plain;
    }

    fn end(&mut self, out: &mut Decoded) {
        let mut last = Vec::new();
        self.transfer.finish(&mut last);
        self.read(&last, true, out);
    }

    fn read(&mut self, octets: &[u8], last: bool, out: &mut Decoded) {
        let mut rest = octets;
        loop {
            out.text.reserve(TEXT_BYTES);
            let (result, read, _) = self.charset.decode_to_string(rest, &mut out.text, last);
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
