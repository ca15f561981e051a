//! FETCH: its items, the sections of a body, and how a response names them
//! (RFC 3501 §6.4.5 and §7.4.2), with CONDSTORE and QRESYNC (RFC 7162).

use super::cursor::{Cursor, is_atom_char};
use super::{Command, Parsed, SequenceSet, bad, too_much};
use core::num::NonZeroU64;

const TOO_MANY: &str = "FETCH has too many items";

/// An item of FETCH. The macros ALL, FAST and FULL are expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchItem {
    /// `ENVELOPE`
    Envelope,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822`: all of it; sets `\Seen`.
    Rfc822,
    /// `RFC822.HEADER`: the header; does not set `\Seen`.
    Rfc822Header,
    /// `RFC822.SIZE`
    Rfc822Size,
    /// `RFC822.TEXT`: the body; sets `\Seen`.
    Rfc822Text,
    /// `UID`
    Uid,
    /// `BODY`: the structure without extension data.
    Body,
    /// `BODYSTRUCTURE`
    BodyStructure,
    /// `MODSEQ` (RFC 7162 §3.1.4.2)
    ModSeq,
    /// `BODY[section]<partial>`
    Section {
        /// What part of the message.
        section: Section,
        /// Which octets of that.
        partial: Option<Partial>,
        /// `BODY.PEEK[…]`: do not set `\Seen`.
        peek: bool,
    },
}

impl FetchItem {
    /// Appends the name of the item as a response has it: `BODY[1.TEXT]<0>`, without
    /// PEEK and without the length of a partial.
    pub fn write_name(&self, out: &mut Vec<u8>) {
        let name: &[u8] = match self {
            Self::Envelope => b"ENVELOPE",
            Self::Flags => b"FLAGS",
            Self::InternalDate => b"INTERNALDATE",
            Self::Rfc822 => b"RFC822",
            Self::Rfc822Header => b"RFC822.HEADER",
            Self::Rfc822Size => b"RFC822.SIZE",
            Self::Rfc822Text => b"RFC822.TEXT",
            Self::Uid => b"UID",
            Self::Body | Self::Section { .. } => b"BODY",
            Self::BodyStructure => b"BODYSTRUCTURE",
            Self::ModSeq => b"MODSEQ",
        };
        out.extend_from_slice(name);
        if let Self::Section {
            section, partial, ..
        } = self
        {
            section.write(out);
            if let Some(partial) = partial {
                out.extend_from_slice(format!("<{}>", partial.offset).as_bytes());
            }
        }
    }

    /// Whether the item sets `\Seen` (RFC 3501 §6.4.5).
    #[must_use]
    pub fn sets_seen(&self) -> bool {
        matches!(
            self,
            Self::Rfc822 | Self::Rfc822Text | Self::Section { peek: false, .. }
        )
    }
}

/// A section of a message: `1.2.HEADER.FIELDS (SUBJECT FROM)`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Section {
    /// Part numbers from the outside in; empty for the message itself.
    pub part: Vec<u32>,
    /// What of the part; all of it if `None`.
    pub text: Option<SectionText>,
}

impl Section {
    /// Appends the section in its brackets, header fields as the client wrote them.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (place, number) in self.part.iter().enumerate() {
            let dot = if place > 0 { "." } else { "" };
            out.extend_from_slice(format!("{dot}{number}").as_bytes());
        }
        if let Some(text) = &self.text {
            if !self.part.is_empty() {
                out.push(b'.');
            }
            text.write(out);
        }
        out.push(b']');
    }
}

/// What of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SectionText {
    /// `HEADER`
    Header,
    /// `HEADER.FIELDS (…)`: at least one field name, in the client's order and case.
    HeaderFields(Vec<String>),
    /// `HEADER.FIELDS.NOT (…)`
    HeaderFieldsNot(Vec<String>),
    /// `TEXT`
    Text,
    /// `MIME`: the header of a part.
    Mime,
}

impl SectionText {
    fn write(&self, out: &mut Vec<u8>) {
        let (name, fields): (&[u8], _) = match self {
            Self::Header => (b"HEADER", None),
            Self::HeaderFields(fields) => (b"HEADER.FIELDS", Some(fields)),
            Self::HeaderFieldsNot(fields) => (b"HEADER.FIELDS.NOT", Some(fields)),
            Self::Text => (b"TEXT", None),
            Self::Mime => (b"MIME", None),
        };
        out.extend_from_slice(name);
        for (place, field) in fields.into_iter().flatten().enumerate() {
            out.extend_from_slice(if place == 0 { b" (" } else { b" " });
            write_field_name(field, out);
        }
        if fields.is_some() {
            out.push(b')');
        }
    }
}

/// Octets of a section: `<offset.length>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partial {
    /// The first octet, from 0.
    pub offset: u64,
    /// How many octets at most.
    pub len: NonZeroU64,
}

/// What follows FETCH.
pub(super) fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let set = SequenceSet::parse(cursor)?;
    cursor.space()?;
    let items = items(cursor)?;
    let (changed_since, vanished) = if cursor.at_end() {
        (None, false)
    } else {
        cursor.space()?;
        modifiers(cursor, uid)?
    };
    cursor.end()?;
    Ok(Command::Fetch {
        uid,
        set,
        items,
        changed_since,
        vanished,
    })
}

fn items(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    if cursor.peek() != Some(b'(') {
        let name = cursor.word();
        return match expand_macro(&name) {
            Some(items) => Ok(items.to_vec()),
            None => item(cursor, &name).map(|item| vec![item]),
        };
    }
    let max = cursor.limits.fetch_items_max;
    let mut items = Vec::new();
    cursor.list(max, TOO_MANY, |cursor| {
        let name = cursor.word();
        let item = item(cursor, &name)?;
        if !items.contains(&item) {
            items.push(item);
        }
        Ok(())
    })?;
    if items.is_empty() {
        return bad("FETCH needs at least one item");
    }
    Ok(items)
}

/// RFC 3501 §6.4.5: a macro stands alone, not in a list.
fn expand_macro(name: &str) -> Option<&'static [FetchItem]> {
    use FetchItem::{Body, Envelope, Flags, InternalDate, Rfc822Size};
    match name {
        "ALL" => Some(&[Flags, InternalDate, Rfc822Size, Envelope]),
        "FAST" => Some(&[Flags, InternalDate, Rfc822Size]),
        "FULL" => Some(&[Flags, InternalDate, Rfc822Size, Envelope, Body]),
        _ => None,
    }
}

fn item(cursor: &mut Cursor<'_>, name: &str) -> Parsed<FetchItem> {
    let bracket = cursor.peek() == Some(b'[');
    match (name, bracket) {
        ("BODY", true) => section_item(cursor, false),
        ("BODY.PEEK", true) => section_item(cursor, true),
        (_, true) => bad("Only BODY and BODY.PEEK take a section"),
        ("ENVELOPE", _) => Ok(FetchItem::Envelope),
        ("FLAGS", _) => Ok(FetchItem::Flags),
        ("INTERNALDATE", _) => Ok(FetchItem::InternalDate),
        ("RFC822", _) => Ok(FetchItem::Rfc822),
        ("RFC822.HEADER", _) => Ok(FetchItem::Rfc822Header),
        ("RFC822.SIZE", _) => Ok(FetchItem::Rfc822Size),
        ("RFC822.TEXT", _) => Ok(FetchItem::Rfc822Text),
        ("UID", _) => Ok(FetchItem::Uid),
        ("BODY", _) => Ok(FetchItem::Body),
        ("BODYSTRUCTURE", _) => Ok(FetchItem::BodyStructure),
        ("MODSEQ", _) => Ok(FetchItem::ModSeq),
        _ => bad("FETCH knows no such item"),
    }
}

fn section_item(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<FetchItem> {
    cursor.require(b'[', "A section is expected")?;
    let section = section(cursor)?;
    cursor.require(b']', "A section is not closed")?;
    let mut partial = None;
    if cursor.take(b'<') {
        let offset = cursor.number()?;
        cursor.require(b'.', "A partial is written <offset.length>")?;
        let Some(len) = NonZeroU64::new(cursor.number()?) else {
            return bad("The length of a partial is not 0");
        };
        cursor.require(b'>', "A partial is not closed")?;
        partial = Some(Partial { offset, len });
    }
    Ok(FetchItem::Section {
        section,
        partial,
        peek,
    })
}

fn section(cursor: &mut Cursor<'_>) -> Parsed<Section> {
    let mut section = Section::default();
    if cursor.peek() == Some(b']') {
        return Ok(section);
    }
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        if section.part.len() >= cursor.limits.mime_depth_max {
            return too_much("A section is nested too deeply");
        }
        section.part.push(cursor.nz_number()?.get());
        if !cursor.take(b'.') {
            return Ok(section);
        }
    }
    let text = match cursor.word().as_str() {
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields(header_list(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(header_list(cursor)?),
        "TEXT" => SectionText::Text,
        "MIME" if !section.part.is_empty() => SectionText::Mime,
        "MIME" => return bad("MIME needs a part number"),
        _ => return bad("There is no such section"),
    };
    section.text = Some(text);
    Ok(section)
}

fn header_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.space()?;
    let max = cursor.limits.fetch_items_max;
    let fields = cursor.list(max, TOO_MANY, |cursor| {
        let field = cursor.astring()?;
        // It is echoed in the response, in quotes if need be.
        if field.is_empty() || !field.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
            return bad("The name of a header field is printable ASCII");
        }
        Ok(field)
    })?;
    if fields.is_empty() {
        return bad("HEADER.FIELDS needs at least one field");
    }
    Ok(fields)
}

/// `(CHANGEDSINCE n [VANISHED])`, in any order.
fn modifiers(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<(Option<u64>, bool)> {
    let mut changed_since = None;
    let mut vanished = false;
    cursor.list(2, "FETCH takes CHANGEDSINCE and VANISHED", |cursor| {
        match cursor.word().as_str() {
            "CHANGEDSINCE" if changed_since.is_none() => {
                cursor.space()?;
                changed_since = Some(cursor.number()?);
            }
            "VANISHED" if !vanished => vanished = true,
            _ => return bad("FETCH takes CHANGEDSINCE and VANISHED, each once"),
        }
        Ok(())
    })?;
    if changed_since.is_none() {
        return bad("The modifiers of FETCH need CHANGEDSINCE");
    }
    if vanished && !uid {
        return bad("VANISHED is for UID FETCH only");
    }
    Ok((changed_since, vanished))
}

fn write_field_name(field: &str, out: &mut Vec<u8>) {
    // `]` is left out of the atoms, because some clients look for the first one.
    if field.bytes().all(is_atom_char) {
        out.extend_from_slice(field.as_bytes());
        return;
    }
    out.push(b'"');
    for octet in field.bytes() {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
}
