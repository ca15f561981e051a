//! What the MIME header of one part says about it (RFC 2045, RFC 2183, RFC 3282).

use super::header::{self, Field};
use super::lexer::Lexer;
use super::parameter::{self, Parameter};
use super::{Octets, without_nul};

/// Octets kept of a media type or encoding when a message has spent what its
/// structure may hold. RFC 6838 §4.2 allows 127.
const NAME_BYTES_MAX: usize = 127;

/// Language tags of one field; the rest of a longer list is not kept.
const LANGUAGE_TAGS_MAX: usize = 1_000;

/// The fields of one part's MIME header that BODYSTRUCTURE shows, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The media type, `text` if none is given.
    pub media_type: Octets,
    /// The media subtype; empty if the field is broken.
    pub subtype: Octets,
    /// Parameters of the media type.
    pub parameters: Vec<Parameter>,
    /// Content-ID.
    pub id: Option<Octets>,
    /// Content-Description.
    pub description: Option<Octets>,
    /// Content-Transfer-Encoding; `None` is 7bit.
    pub encoding: Option<Octets>,
    /// Content-MD5 (RFC 1864).
    pub md5: Option<Octets>,
    /// Content-Disposition (RFC 2183).
    pub disposition: Option<Disposition>,
    /// The tags of Content-Language (RFC 3282).
    pub language: Vec<Octets>,
    /// Content-Location (RFC 2557).
    pub location: Option<Octets>,
}

/// How a part wants to be shown (RFC 2183).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disposition {
    /// `inline`, `attachment` or another token, as written.
    pub value: Octets,
    /// Its parameters, such as the file name.
    pub parameters: Vec<Parameter>,
}

/// What a part is when its header does not say (RFC 2045 §5.2, RFC 2046 §5.1.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Surroundings {
    /// The top of a message: fields count only if the message claims to be MIME.
    Message,
    /// A part of a multipart.
    Multipart,
    /// A part of a multipart/digest, where the default is message/rfc822.
    Digest,
}

impl Default for Description {
    fn default() -> Self {
        Self {
            media_type: Octets::from_static(b"text"),
            subtype: Octets::from_static(b"plain"),
            parameters: Vec::new(),
            id: None,
            description: None,
            encoding: None,
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
        }
    }
}

impl Description {
    /// Reads the header of a part or message.
    pub(super) fn parse(header: &[u8], surroundings: Surroundings) -> Self {
        let mut found = Self::default();
        let mut typed = false;
        let mut mime = surroundings != Surroundings::Message;
        for field in header::fields(header) {
            if field.is_named("MIME-Version") {
                mime = true;
            } else if field.is_named("Content-Type") {
                mime = true;
                if !typed {
                    found.read_type(&field);
                    typed = true;
                }
            } else {
                found.read_other(&field);
            }
        }
        if !mime {
            found = Self::default();
        }
        if !typed && surroundings == Surroundings::Digest {
            found.media_type = Octets::from_static(b"message");
            found.subtype = Octets::from_static(b"rfc822");
        }
        found
    }

    /// Whether the media type is `name`, in any case.
    #[must_use]
    pub fn is_type(&self, name: &str) -> bool {
        self.media_type.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether the media type and subtype are these, in any case.
    #[must_use]
    pub fn is_media(&self, media_type: &str, subtype: &str) -> bool {
        self.is_type(media_type) && self.subtype.eq_ignore_ascii_case(subtype.as_bytes())
    }

    /// The first parameter of the media type with this name, in any case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&Octets> {
        let mut parameters = self.parameters.iter();
        let found = parameters.find(|it| it.name.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(&found.value)
    }

    /// About how many octets of memory this takes.
    pub(super) fn weight(&self) -> usize {
        let parameters = |list: &[Parameter]| -> usize {
            list.iter()
                .map(|it| it.name.len() + it.value.len() + size_of::<Parameter>())
                .sum()
        };
        let texts = [
            &self.id,
            &self.description,
            &self.encoding,
            &self.md5,
            &self.location,
        ];
        let texts: usize = texts.into_iter().flatten().map(Octets::len).sum();
        let language: usize = self
            .language
            .iter()
            .map(|it| it.len() + size_of::<Octets>())
            .sum();
        let disposition = self
            .disposition
            .as_ref()
            .map_or(0, |it| it.value.len() + parameters(&it.parameters));
        self.media_type.len()
            + self.subtype.len()
            + parameters(&self.parameters)
            + texts
            + language
            + disposition
    }

    /// Forgets all that is not needed to read the part.
    pub(super) fn shrink(&mut self) {
        // A slice would keep all of a name of 64 KiB in memory.
        let cut = |name: &Octets| Octets::copy_from_slice(&name[..name.len().min(NAME_BYTES_MAX)]);
        let charset = self
            .parameters
            .iter()
            .find(|it| it.name.eq_ignore_ascii_case(b"charset"));
        *self = Self {
            media_type: cut(&self.media_type),
            subtype: cut(&self.subtype),
            encoding: self.encoding.as_ref().map(cut),
            parameters: charset
                .filter(|it| it.value.len() <= NAME_BYTES_MAX)
                .cloned()
                .into_iter()
                .collect(),
            ..Self::default()
        };
    }

    fn read_type(&mut self, field: &Field<'_>) {
        let mut lexer = Lexer::new(field.value);
        lexer.skip_cfws();
        let media_type = lexer.mime_token();
        self.media_type = without_nul(media_type);
        self.subtype = Octets::new();
        lexer.skip_cfws();
        if media_type.is_empty() || !lexer.eat(b'/') {
            return;
        }
        lexer.skip_cfws();
        self.subtype = without_nul(lexer.mime_token());
        lexer.skip_cfws();
        if !self.subtype.is_empty() {
            self.parameters = parameter::parse(&mut lexer);
        }
    }

    /// Any field but Content-Type; the first of a name counts.
    fn read_other(&mut self, field: &Field<'_>) {
        let Some(name) = field
            .name
            .get(..8)
            .filter(|it| it.eq_ignore_ascii_case(b"Content-"))
        else {
            return;
        };
        let name = field.name.get(name.len()..).unwrap_or_default();
        if name.eq_ignore_ascii_case(b"ID") {
            self.id.get_or_insert_with(|| text(field));
        } else if name.eq_ignore_ascii_case(b"Description") {
            self.description.get_or_insert_with(|| text(field));
        } else if name.eq_ignore_ascii_case(b"MD5") {
            self.md5.get_or_insert_with(|| text(field));
        } else if name.eq_ignore_ascii_case(b"Location") {
            self.location.get_or_insert_with(|| text(field));
        } else if name.eq_ignore_ascii_case(b"Transfer-Encoding") {
            self.encoding = self.encoding.take().or_else(|| encoding(field));
        } else if name.eq_ignore_ascii_case(b"Disposition") {
            self.disposition = self.disposition.take().or_else(|| disposition(field));
        } else if name.eq_ignore_ascii_case(b"Language") && self.language.is_empty() {
            self.language = language(field);
        }
    }
}

fn text(field: &Field<'_>) -> Octets {
    without_nul(&header::unfold(field.value))
}

/// A token with nothing after it; anything else is as good as no field.
fn encoding(field: &Field<'_>) -> Option<Octets> {
    let mut lexer = Lexer::new(field.value);
    lexer.skip_cfws();
    let token = lexer.mime_token();
    lexer.skip_cfws();
    (lexer.at_end() && !token.is_empty()).then(|| without_nul(token))
}

fn disposition(field: &Field<'_>) -> Option<Disposition> {
    let mut lexer = Lexer::new(field.value);
    lexer.skip_cfws();
    let value = lexer.mime_token();
    if value.is_empty() {
        return None;
    }
    lexer.skip_cfws();
    Some(Disposition {
        value: without_nul(value),
        parameters: parameter::parse(&mut lexer),
    })
}

fn language(field: &Field<'_>) -> Vec<Octets> {
    let mut lexer = Lexer::new(field.value);
    let mut tags = Vec::new();
    while tags.len() < LANGUAGE_TAGS_MAX {
        lexer.skip_cfws();
        let tag = lexer.atom();
        if tag.is_empty() {
            break;
        }
        tags.push(without_nul(tag));
        lexer.skip_cfws();
        if !lexer.eat(b',') {
            break;
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What weighs too much is only known once it was read.
    #[test]
    fn a_field_is_not_read_further_than_its_limits() {
        let header = [
            "Content-Type: text/plain",
            &"; a=".repeat(60_000),
            "\r\nContent-Disposition: inline",
            &"; a*1=x".repeat(30_000),
            "\r\nContent-Language: en",
            &", en".repeat(60_000),
        ]
        .concat();
        let found = Description::parse(header.as_bytes(), Surroundings::Message);
        let disposition = found.disposition.expect("there is one");
        assert_eq!(found.parameters.len(), parameter::PARAMETERS_MAX);
        assert_eq!(disposition.parameters.len(), parameter::PARAMETERS_MAX);
        assert_eq!(found.language.len(), LANGUAGE_TAGS_MAX);
    }
}
