//! Where the octets of a FETCH item are: in the summary, or in a range of the body.

use crate::imap::grammar::{FetchItem, Partial, Section, SectionText};
use crate::mime::Span;
use crate::mime::header::fields_matching;
use crate::summary::Summary;
use core::ops::Range;

/// Where octets are.
pub(super) enum Source {
    /// There is no such part (RFC 3501 §6.4.5).
    Nil,
    /// Here.
    Octets(Vec<u8>),
    /// In the message.
    Range(Range<u64>),
    /// Some fields of a header that is in the message.
    Filtered { range: Range<u64>, fields: Fields },
}

/// Which fields of a header are wanted.
pub(super) struct Fields {
    names: Vec<String>,
    /// All but these.
    not: bool,
    partial: Option<Partial>,
}

impl Fields {
    pub(super) fn apply(&self, header: &[u8]) -> Vec<u8> {
        cut(fields_matching(header, &self.names, self.not), self.partial)
    }
}

fn is_whole(section: &Section) -> bool {
    section.part.is_empty() && section.text.is_none()
}

/// Whether an item needs more than the index and the beginning of the body.
pub(super) fn needs_summary(item: &FetchItem) -> bool {
    match item {
        FetchItem::Uid
        | FetchItem::Flags
        | FetchItem::InternalDate
        | FetchItem::Rfc822Size
        | FetchItem::ModSeq
        | FetchItem::Rfc822 => false,
        FetchItem::Section {
            section, partial, ..
        } => !is_whole(section) || partial.is_some_and(|partial| partial.offset > 0),
        _ => true,
    }
}

/// Whether the header of the message is all that an item needs of the summary.
pub(super) fn needs_header_only(item: &FetchItem) -> bool {
    matches!(item, FetchItem::Envelope)
}

/// The first item that is made of message octets, if it is the whole message: where that is, is known
/// without the summary. (A part of it is as well, but only with the summary where its last chunk ends.)
pub(super) fn first_whole(items: &[FetchItem]) -> Option<usize> {
    let made_of_octets = |item: &FetchItem| {
        matches!(
            item,
            FetchItem::Rfc822
                | FetchItem::Rfc822Header
                | FetchItem::Rfc822Text
                | FetchItem::Section { .. }
        )
    };
    let mut items = items.iter().enumerate();
    let (index, first) = items.find(|(_, item)| made_of_octets(item))?;
    let whole = match first {
        FetchItem::Section {
            section, partial, ..
        } => is_whole(section) && partial.is_none(),
        item => *item == FetchItem::Rfc822,
    };
    whole.then_some(index)
}

/// Where an item's octets are; `None`: the item is not made of message octets.
pub(super) fn source(item: &FetchItem, size: u64, summary: Option<&Summary>) -> Option<Source> {
    let none = None;
    let (source, partial) = match item {
        FetchItem::Rfc822 => (Source::Range(0..size), &none),
        FetchItem::Rfc822Header => (top_header(summary), &none),
        FetchItem::Rfc822Text => (top_text(size, summary), &none),
        FetchItem::Section {
            section, partial, ..
        } if is_whole(section) => (Source::Range(0..size), partial),
        FetchItem::Section {
            section, partial, ..
        } => (section_source(section, size, summary), partial),
        _ => return None,
    };
    Some(match source {
        Source::Octets(octets) => Source::Octets(cut(octets, *partial)),
        Source::Range(range) => Source::Range(cut_range(range, *partial)),
        Source::Filtered { range, fields } => Source::Filtered {
            range,
            fields: Fields {
                partial: *partial,
                ..fields
            },
        },
        Source::Nil => Source::Nil,
    })
}

fn top_header(summary: Option<&Summary>) -> Source {
    match summary {
        Some(summary) if summary.header.len() as u64 == summary.header_len => {
            Source::Octets(summary.header.to_vec())
        }
        Some(summary) => Source::Range(0..summary.header_len),
        None => Source::Nil,
    }
}

fn top_text(size: u64, summary: Option<&Summary>) -> Source {
    summary.map_or(Source::Nil, |summary| {
        Source::Range(summary.header_len.min(size)..size)
    })
}

fn section_source(section: &Section, size: u64, summary: Option<&Summary>) -> Source {
    let Some(summary) = summary else {
        return Source::Nil;
    };
    if section.part.is_empty() {
        return match &section.text {
            None => Source::Range(0..size),
            Some(SectionText::Header) => top_header(Some(summary)),
            Some(SectionText::Text) => top_text(size, Some(summary)),
            Some(SectionText::HeaderFields(names)) => top_fields(summary, names, false),
            Some(SectionText::HeaderFieldsNot(names)) => top_fields(summary, names, true),
            Some(SectionText::Mime) => Source::Nil,
        };
    }
    let Some(part) = summary.structure.resolve(&section.part) else {
        return Source::Nil;
    };
    let range = |span: Span| span.offset..span.end();
    let fields = |names: &[String], not| match part.header {
        Some(header) => Source::Filtered {
            range: range(header),
            fields: Fields {
                names: names.to_vec(),
                not,
                partial: None,
            },
        },
        None => Source::Nil,
    };
    let found = match &section.text {
        None => Some(part.body),
        Some(SectionText::Mime) => part.mime,
        Some(SectionText::Header) => part.header,
        Some(SectionText::Text) => part.text,
        Some(SectionText::HeaderFields(names)) => return fields(names, false),
        Some(SectionText::HeaderFieldsNot(names)) => return fields(names, true),
    };
    found.map_or(Source::Nil, |span| Source::Range(range(span)))
}

fn top_fields(summary: &Summary, names: &[String], not: bool) -> Source {
    Source::Octets(fields_matching(&summary.header, names, not))
}

fn cut_range(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.len.get()).min(range.end)
}

fn cut(octets: Vec<u8>, partial: Option<Partial>) -> Vec<u8> {
    let range = cut_range(0..octets.len() as u64, partial);
    if range == (0..octets.len() as u64) {
        return octets;
    }
    let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    octets[bound(range.start)..bound(range.end)].to_vec()
}
