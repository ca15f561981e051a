//! Where the octets of a FETCH item are: in the summary, or in a range of the body.

use crate::imap::grammar::{FetchItem, Partial, Section, SectionText, write_section};
use crate::mime::{PartText, fields_matching};
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

/// Whether an item sets `\Seen`.
pub(super) fn sets_seen(item: &FetchItem) -> bool {
    match item {
        FetchItem::Rfc822 | FetchItem::Rfc822Text => true,
        FetchItem::Section { peek, .. } => !peek,
        _ => false,
    }
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
        FetchItem::Section { section, partial, .. } => {
            !section.is_whole() || partial.is_some_and(|partial| partial.offset > 0)
        }
        _ => true,
    }
}

/// Where an item's octets are; `None`: the item is not made of message octets.
pub(super) fn source(item: &FetchItem, size: u64, summary: Option<&Summary>) -> Option<Source> {
    let none = None;
    let (source, partial) = match item {
        FetchItem::Rfc822 => (Source::Range(0..size), &none),
        FetchItem::Rfc822Header => (top_header(summary), &none),
        FetchItem::Rfc822Text => (top_text(size, summary), &none),
        FetchItem::Section { section, partial, .. } if section.is_whole() => {
            (Source::Range(0..size), partial)
        }
        FetchItem::Section { section, partial, .. } => {
            (section_source(section, size, summary), partial)
        }
        _ => return None,
    };
    Some(match source {
        Source::Octets(octets) => Source::Octets(cut(octets, *partial)),
        Source::Range(range) => Source::Range(cut_range(range, *partial)),
        Source::Filtered { range, fields } => {
            Source::Filtered { range, fields: Fields { partial: *partial, ..fields } }
        }
        Source::Nil => Source::Nil,
    })
}

fn top_header(summary: Option<&Summary>) -> Source {
    match summary {
        Some(summary) if summary.header.len() as u64 == summary.header_len => {
            Source::Octets(summary.header.clone())
        }
        Some(summary) => Source::Range(0..summary.header_len),
        None => Source::Nil,
    }
}

fn top_text(size: u64, summary: Option<&Summary>) -> Source {
    summary.map_or(Source::Nil, |summary| Source::Range(summary.header_len.min(size)..size))
}

fn section_source(section: &Section, size: u64, summary: Option<&Summary>) -> Source {
    let Some(summary) = summary else { return Source::Nil };
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
    let range = |text| summary.structure.range(&section.part, text);
    let fields = |names: &[String], not| match range(PartText::Header) {
        Some(range) => Source::Filtered {
            range,
            fields: Fields { names: names.to_vec(), not, partial: None },
        },
        None => Source::Nil,
    };
    let found = match &section.text {
        None => range(PartText::Body),
        Some(SectionText::Mime) => range(PartText::Mime),
        Some(SectionText::Header) => range(PartText::Header),
        Some(SectionText::Text) => range(PartText::Text),
        Some(SectionText::HeaderFields(names)) => return fields(names, false),
        Some(SectionText::HeaderFieldsNot(names)) => return fields(names, true),
    };
    found.map_or(Source::Nil, Source::Range)
}

fn top_fields(summary: &Summary, names: &[String], not: bool) -> Source {
    Source::Octets(fields_matching(&summary.header, names, not))
}

/// `BODY[1.2]<0>` and the like.
pub(super) fn write_name(item: &FetchItem, out: &mut Vec<u8>) {
    match item {
        FetchItem::Rfc822 => out.extend_from_slice(b"RFC822"),
        FetchItem::Rfc822Header => out.extend_from_slice(b"RFC822.HEADER"),
        FetchItem::Rfc822Text => out.extend_from_slice(b"RFC822.TEXT"),
        FetchItem::Section { section, partial, .. } => write_section(section, *partial, out),
        _ => {}
    }
}

fn cut_range(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(u64::from(partial.offset)).min(range.end);
    start..start.saturating_add(u64::from(partial.len.get())).min(range.end)
}

fn cut(octets: Vec<u8>, partial: Option<Partial>) -> Vec<u8> {
    let range = cut_range(0..octets.len() as u64, partial);
    if range == (0..octets.len() as u64) {
        return octets;
    }
    let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    octets[bound(range.start)..bound(range.end)].to_vec()
}
