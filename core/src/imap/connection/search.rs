//! SEARCH (RFC 3501 §6.4.4), with return options (RFC 4731).
//!
//! A key is judged three times, each time with more at hand: the index alone, then the
//! summary, then the text. Most messages are decided before their text is read, and of
//! those that are not, only header and text parts are.

mod fields;
mod judge;
mod report;

use super::body::{BodyReader, ReadError, Shared, Unread};
use super::context::Context;
use super::reply::{Completion, Outcome};
use super::store::NO_SUCH_MESSAGE;
use super::summaries::Summaries;
use super::view::{Quiet, Renumber, View};
use crate::imap::grammar::{ReturnOption, SearchKey, Tag};
use crate::mailbox::Message;
use crate::mime::Searchable;
use crate::mime::decode::{Decoded, PartText, TextMatcher};
use crate::mime::header::sent_date;
use crate::seal::ContentLayout;
use crate::summary::Summary;
use crate::workflow::{Io, TURN_OCTETS};
use core::ops::Range;
use fields::Fields;
use judge::{HeaderFound, Judge, Known, Texts, Verdict};
use report::Report;
use std::collections::VecDeque;
use std::sync::Arc;

/// The arguments.
pub(super) struct Search {
    pub(super) uid: bool,
    pub(super) key: SearchKey,
    pub(super) return_options: Option<Vec<ReturnOption>>,
    /// Of the command, for ESEARCH.
    pub(super) tag: Tag,
}

pub(super) async fn search(io: &Io, context: &Context, mut view: View, search: Search) -> Outcome {
    let options = search.return_options.as_deref().unwrap_or_default();
    if options.contains(&ReturnOption::Save) {
        let completion = Completion::bad("SEARCH RETURN (SAVE) is not offered");
        return Outcome::new(completion, Some(view));
    }
    // RFC 7162 §3.2.10.2: nothing is renumbered during a UID SEARCH that has message
    // numbers among its keys.
    let renumber = if search.uid && !search.key.has_numbers() {
        Renumber::Allowed
    } else {
        Renumber::Forbidden
    };
    let Some(judge) = Judge::new(&search.key, &view, context.now) else {
        return Outcome::new(Completion::bad(NO_SUCH_MESSAGE), Some(view));
    };
    let mut run = Run {
        io,
        context,
        view: &view,
        judge,
        unread: Unread::default(),
        shared: Shared::new(context),
    };
    let found = run.find().await;
    let unread = run.unread;
    unread.sum_up(io);
    let report = Report {
        view: &view,
        search: &search,
        found: &found,
    };
    report.say(io, context).await;
    view.announce(io, context, renumber, &Quiet::default())
        .await;
    let completion = unread.completion(Completion::ok("Searched"));
    Outcome::new(completion, Some(view))
}

struct Run<'a> {
    io: &'a Io,
    context: &'a Context,
    view: &'a View,
    judge: Judge<'a>,
    /// Messages that could not be read.
    unread: Unread,
    /// For the bodies.
    shared: Shared,
}

/// A message whose text is to be read.
struct Candidate {
    position: u32,
    summary: Summary,
    /// What its header says to the keys: that is found out once.
    header: HeaderFound,
    /// What is still to be looked at, in order.
    stretches: VecDeque<Stretch>,
    layout: ContentLayout,
    /// The first of them, opened already.
    body: Option<BodyReader>,
}

/// Parts that lie so close together that they are read in one go.
struct Stretch {
    range: Range<u64>,
    /// Ascending, one behind the other.
    parts: Vec<Searchable>,
}

/// Octets between two parts that are rather read than left out: less than it takes to open
/// the message once more.
const GAP_OCTETS_MAX: u64 = 32 * 1024;

/// Octets that are decoded in one go.
const DECODE_OCTETS: usize = 16 * 1024;

/// Octets that can be looked at in the time that the index takes for a test.
const TEST_OCTETS: usize = 16;

impl Run<'_> {
    /// Positions that match, ascending.
    async fn find(&mut self) -> Vec<u32> {
        let shown = Arc::clone(&self.view.shown);
        let mut found = Vec::new();
        let mut open = Vec::new();
        let mut looked_at = 0;
        for position in 0..u32::try_from(shown.len()).unwrap_or(u32::MAX) {
            let Some(message) = self.view.message(position as usize) else {
                continue;
            };
            let known = Known {
                position,
                message,
                header: None,
                texts: None,
                all: false,
            };
            match self.judge.judge(known) {
                Verdict::Yes => found.push(position),
                Verdict::No => {}
                Verdict::Open => open.push(position),
            }
            looked_at += self.judge.tests() * TEST_OCTETS;
            if looked_at >= TURN_OCTETS {
                looked_at = 0;
                self.io.pause().await;
            }
        }
        if open.is_empty() {
            return found;
        }
        self.read(&open, &mut found).await;
        found.sort_unstable();
        found
    }

    /// Judges what the index could not decide.
    async fn read(&mut self, open: &[u32], found: &mut Vec<u32>) {
        let shown = Arc::clone(&self.view.shown);
        let messages = open
            .iter()
            .filter_map(|position| shown.message(*position as usize));
        let mut summaries = Summaries::new(
            self.io,
            self.context,
            self.shared.retries(self.context),
            Box::new(messages),
        );
        let mut waiting = open.iter();
        let mut fields = Fields::new(self.judge.fields());
        let mut candidates: VecDeque<Candidate> = VecDeque::new();
        let mut octets = 0;
        loop {
            while candidates.is_empty()
                || octets < self.context.config.prefetch_bytes_max
                    && candidates.len() < self.context.config.prefetch_objects_max
            {
                let Some(position) = waiting.next() else {
                    break;
                };
                let Some(message) = shown.message(*position as usize) else {
                    continue;
                };
                let judged = self
                    .by_summary(*position, message, &mut summaries, &mut fields)
                    .await;
                match judged {
                    Ok((Verdict::Yes, _)) => found.push(*position),
                    Ok((_, Some(candidate))) => {
                        octets += candidate.octets();
                        candidates.push_back(candidate);
                    }
                    Ok(_) => {}
                    Err(error) => self.unreadable(message, &error),
                }
            }
            let Some(mut candidate) = candidates.pop_front() else {
                return;
            };
            octets -= candidate.octets();
            let position = candidate.position;
            let Some(message) = shown.message(position as usize) else {
                continue;
            };
            match self.by_text(message, &mut candidate).await {
                Ok(true) => found.push(position),
                Ok(false) => {}
                Err(error) => self.unreadable(message, &error),
            }
        }
    }

    fn unreadable(&mut self, message: &Message, error: &ReadError) {
        let place = self.context.places.content(message.content);
        self.unread.add(self.io, error, &place.0);
    }

    /// Judges by the summary; a message that stays open becomes a candidate.
    async fn by_summary(
        &self,
        position: u32,
        message: &Message,
        summaries: &mut Summaries<'_>,
        fields: &mut Fields,
    ) -> Result<(Verdict, Option<Candidate>), ReadError> {
        let summary = summaries.next(message).await?;
        let tests_octets = self.judge.tests() * TEST_OCTETS;
        self.io.look(summary.weight() + tests_octets).await;
        let header = self.look_at_header(&summary.header, fields).await;
        let newest = self.view.message(position as usize).unwrap_or(message);
        let verdict = self.judge.judge(Known {
            position,
            message: newest,
            header: Some(&header),
            texts: None,
            all: false,
        });
        if verdict != Verdict::Open {
            return Ok((verdict, None));
        }
        let layout = ContentLayout::decode(&summary.layout).map_err(ReadError::Damaged)?;
        let parts = summary
            .structure
            .searchable_parts()
            .filter(|part| matches!(part, Searchable::Text { .. }) || self.judge.wants_headers());
        let mut candidate = Candidate {
            position,
            stretches: stretches(parts),
            summary,
            header,
            layout,
            body: None,
        };
        candidate.open(self, message);
        Ok((Verdict::Open, Some(candidate)))
    }

    /// What the keys find in a header.
    async fn look_at_header(&self, header: &[u8], fields: &mut Fields) -> HeaderFound {
        let mut sent = None;
        if self.judge.wants_sent() {
            self.io.look(header.len()).await;
            sent = sent_date(header);
        }
        HeaderFound {
            fields: fields.look(self.io, header).await,
            sent,
        }
    }

    /// Reads the text until the key is decided.
    async fn by_text(
        &self,
        message: &Message,
        candidate: &mut Candidate,
    ) -> Result<bool, ReadError> {
        let newest = self
            .view
            .message(candidate.position as usize)
            .unwrap_or(message)
            .clone();
        let mut texts = self.judge.texts();
        search_header(self.io, &candidate.summary.header, &mut texts.headers).await;
        let verdict = |texts: &Texts, candidate: &Candidate, all| {
            self.judge.judge(Known {
                position: candidate.position,
                message: &newest,
                header: Some(&candidate.header),
                texts: Some(texts),
                all,
            })
        };
        loop {
            self.io.look(self.judge.tests() * TEST_OCTETS).await;
            match verdict(&texts, candidate, false) {
                Verdict::Yes => return Ok(true),
                Verdict::No => return Ok(false),
                Verdict::Open => {}
            }
            if candidate.body.is_none() {
                candidate.open(self, message);
            }
            let (Some(stretch), Some(body)) =
                (candidate.stretches.pop_front(), candidate.body.take())
            else {
                return Ok(verdict(&texts, candidate, true) == Verdict::Yes);
            };
            read_stretch(self.io, &candidate.summary, &stretch, body, &mut texts).await?;
        }
    }
}

/// Joins parts that are close together.
fn stretches(parts: impl Iterator<Item = Searchable>) -> VecDeque<Stretch> {
    let mut stretches: VecDeque<Stretch> = VecDeque::new();
    for part in parts {
        let (_, span) = part.place();
        match stretches.back_mut() {
            Some(last)
                if span.offset >= last.range.end
                    && span.offset - last.range.end <= GAP_OCTETS_MAX =>
            {
                last.range.end = span.end();
                last.parts.push(part);
            }
            _ => stretches.push_back(Stretch {
                range: span.offset..span.end(),
                parts: vec![part],
            }),
        }
    }
    stretches
}

/// Looks for the words of `matcher` in what was decoded, which is forgotten then. Each octet
/// counts once for each word.
async fn search_text(io: &Io, decoded: &mut Decoded, matcher: &mut TextMatcher) {
    let octets_max = matcher.piece_octets(TURN_OCTETS);
    for (piece, ends) in decoded.pieces(octets_max) {
        matcher.take(piece, ends);
        io.look(matcher.work(piece.len())).await;
    }
    decoded.clear();
}

/// Looks for words in the fields of a header.
async fn search_header(io: &Io, header: &[u8], matcher: &mut TextMatcher) {
    let mut decoded = Decoded::default();
    let mut text = PartText::header();
    for octets in header.chunks(DECODE_OCTETS) {
        if matcher.is_complete() {
            return;
        }
        io.look(octets.len()).await;
        text.decode(octets, &mut decoded);
        search_text(io, &mut decoded, matcher).await;
    }
    text.end(&mut decoded);
    search_text(io, &mut decoded, matcher).await;
}

/// Looks at the parts of a stretch, each for what its octets are.
async fn read_stretch(
    io: &Io,
    summary: &Summary,
    stretch: &Stretch,
    mut body: BodyReader,
    texts: &mut Texts,
) -> Result<(), ReadError> {
    let (mut chunk, mut at, mut position) = (Vec::new(), 0, stretch.range.start);
    let mut decoded = Decoded::default();
    for part in &stretch.parts {
        let (_, span) = part.place();
        let mut text = PartText::new(&summary.structure, part);
        let matcher = match part {
            Searchable::Header { .. } => &mut texts.headers,
            Searchable::Text { .. } => &mut texts.bodies,
        };
        while position < span.end() {
            if at == chunk.len() {
                (chunk, at) = (Vec::new(), 0);
                if body.next(&mut chunk).await? == 0 {
                    break;
                }
            }
            let before = position < span.offset;
            let until = if before { span.offset } else { span.end() };
            let left = usize::try_from(until - position).unwrap_or(usize::MAX);
            let mut here = (chunk.len() - at).min(left);
            if !before && !matcher.is_complete() {
                here = here.min(DECODE_OCTETS);
                text.decode(&chunk[at..at + here], &mut decoded);
                search_text(io, &mut decoded, matcher).await;
            }
            io.look(here).await;
            at += here;
            position += here as u64;
        }
        text.end(&mut decoded);
        search_text(io, &mut decoded, matcher).await;
    }
    Ok(())
}

impl Stretch {
    /// Octets of memory that this takes.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.parts.len() * size_of::<Searchable>()
    }
}

impl Candidate {
    /// Octets that it holds while it waits.
    fn octets(&self) -> usize {
        self.summary.weight()
            + self.header.fields.len()
            + self.layout.weight()
            + self.stretches.iter().map(Stretch::weight).sum::<usize>()
            + self.body.as_ref().map_or(0, BodyReader::ahead_octets)
    }

    /// Opens the next part.
    fn open(&mut self, run: &Run<'_>, message: &Message) {
        self.body = self.stretches.front().map(|stretch| {
            let range = stretch.range.clone();
            BodyReader::start(
                run.io,
                run.context,
                &run.shared,
                message,
                Some(&self.layout),
                range,
            )
        });
    }
}
