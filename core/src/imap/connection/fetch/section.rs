//! Where the octets of a FETCH item are: in the summary, or in a range of the body.

use crate::imap::grammar::{FetchItem, Partial, Section, SectionText};
use crate::mime::Span;
use crate::mime::header::{Names, fields_matching};
use crate::summary::Summary;
use core::ops::Range;

/// Where octets are. Nothing is looked at or copied before they are asked for.
pub(super) enum Source<'a> {
    /// There is no such part (RFC 3501 §6.4.5).
    Nil,
    /// In the header that the summary keeps.
    Header {
        header: &'a [u8],
        partial: Option<Partial>,
    },
    /// Some fields of that.
    Fields {
        header: &'a [u8],
        fields: Fields<'a>,
    },
    /// In the message.
    Range(Range<u64>),
    /// Some fields of a header that is in the message.
    Filtered {
        range: Range<u64>,
        fields: Fields<'a>,
    },
}

/// Which fields of a header are wanted.
pub(super) struct Fields<'a> {
    pub(super) names: &'a [String],
    /// All but these.
    pub(super) not: bool,
    pub(super) partial: Option<Partial>,
}

impl Fields<'_> {
    pub(super) fn apply(&self, header: &[u8]) -> Vec<u8> {
        self.cut(fields_matching(header, self.names, self.not))
    }

    /// The names of the fields that are wanted.
    pub(super) fn wanted(&self) -> Names {
        Names::new(self.names, self.not)
    }

    /// Of the fields that are wanted, the part that is.
    pub(super) fn cut(&self, octets: Vec<u8>) -> Vec<u8> {
        let wanted = cut(&octets, self.partial);
        if wanted.len() < octets.len() {
            return wanted.to_vec();
        }
        octets
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
pub(super) fn source<'a>(
    item: &'a FetchItem,
    size: u64,
    summary: Option<&'a Summary>,
) -> Option<Source<'a>> {
    let nil = Source::Nil;
    Some(match item {
        FetchItem::Rfc822 => Source::Range(0..size),
        FetchItem::Rfc822Header => summary.map_or(nil, |summary| top_header(summary, None)),
        FetchItem::Rfc822Text => {
            summary.map_or(nil, |summary| Source::Range(top_text(size, summary)))
        }
        FetchItem::Section {
            section, partial, ..
        } if is_whole(section) => Source::Range(cut_range(0..size, *partial)),
        FetchItem::Section {
            section, partial, ..
        } => summary.map_or(nil, |summary| {
            section_source(section, *partial, size, summary)
        }),
        _ => return None,
    })
}

fn top_header(summary: &Summary, partial: Option<Partial>) -> Source<'_> {
    if summary.is_header_whole() {
        let header = &summary.header;
        Source::Header { header, partial }
    } else {
        Source::Range(cut_range(0..summary.header_len, partial))
    }
}

fn top_text(size: u64, summary: &Summary) -> Range<u64> {
    summary.header_len.min(size)..size
}

/// Of a section that is not the whole message.
fn section_source<'a>(
    section: &'a Section,
    partial: Option<Partial>,
    size: u64,
    summary: &'a Summary,
) -> Source<'a> {
    let in_message = |range| Source::Range(cut_range(range, partial));
    let fields = |names: &'a [String], not| Fields {
        names,
        not,
        partial,
    };
    if section.part.is_empty() {
        let some = |names, not| {
            let (header, fields) = (&summary.header, fields(names, not));
            if summary.is_header_whole() {
                return Source::Fields { header, fields };
            }
            let range = 0..summary.header_len;
            Source::Filtered { range, fields }
        };
        return match &section.text {
            None => in_message(0..size),
            Some(SectionText::Header) => top_header(summary, partial),
            Some(SectionText::Text) => in_message(top_text(size, summary)),
            Some(SectionText::HeaderFields(names)) => some(names, false),
            Some(SectionText::HeaderFieldsNot(names)) => some(names, true),
            Some(SectionText::Mime) => Source::Nil,
        };
    }
    let Some(part) = summary.structure.resolve(&section.part) else {
        return Source::Nil;
    };
    let range = |span: Span| span.offset..span.end();
    let some = |names, not| match part.header {
        Some(header) => Source::Filtered {
            range: range(header),
            fields: fields(names, not),
        },
        None => Source::Nil,
    };
    let found = match &section.text {
        None => Some(part.body),
        Some(SectionText::Mime) => part.mime,
        Some(SectionText::Header) => part.header,
        Some(SectionText::Text) => part.text,
        Some(SectionText::HeaderFields(names)) => return some(names, false),
        Some(SectionText::HeaderFieldsNot(names)) => return some(names, true),
    };
    found.map_or(Source::Nil, |span| in_message(range(span)))
}

fn cut_range(range: Range<u64>, partial: Option<Partial>) -> Range<u64> {
    let Some(partial) = partial else { return range };
    let start = range.start.saturating_add(partial.offset).min(range.end);
    start..start.saturating_add(partial.len.get()).min(range.end)
}

/// What is wanted of `octets`.
pub(super) fn cut(octets: &[u8], partial: Option<Partial>) -> &[u8] {
    let range = cut_range(0..octets.len() as u64, partial);
    let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    &octets[bound(range.start)..bound(range.end)]
}
