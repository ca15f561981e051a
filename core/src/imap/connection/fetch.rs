//! FETCH (RFC 3501 §6.4.5).
//!
//! A message is *prepared* before its turn: its summary is read where an item needs it and
//! the first range of its body is opened, so that many small messages come at the speed of
//! the storage and not one round trip after another. A body that is wanted as a whole does
//! not even wait for the summary, and where the header is all that is needed of that, no
//! summary is read: the header is in the first chunk. What is prepared is counted in octets.
//! Then it is *emitted*: the first chunk of every range is verified before its literal is
//! announced, and after that octets flow as the client reads them.

mod filter;
mod section;
mod seen;

use super::body::{BodyReader, ReadError, Shared, Unread};
use super::context::Context;
use super::reply::{Completion, Outcome};
use super::resync::{changed_positions, say_vanished_since};
use super::store::NO_SUCH_MESSAGE;
use super::summaries::Summaries;
use super::view::{Quiet, Renumber, View, number_into, write_modseq};
use crate::imap::grammar::{FetchItem, SequenceSet, response};
use crate::mailbox::{MailboxState, Message, ModSeq, Uid};
use crate::mime::{Envelope, Structure, header, write_bodystructure, write_envelope};
use crate::seal::ContentLayout;
use crate::summary::Summary;
use crate::workflow::Io;
use core::ops::Range;
use filter::Filter;
use section::{Fields, Source};
use std::collections::VecDeque;
use std::sync::Arc;

/// The arguments.
pub(super) struct Wanted {
    pub(super) uid: bool,
    pub(super) set: SequenceSet,
    pub(super) items: Vec<FetchItem>,
    /// Only messages that changed after this (RFC 7162 §3.1.4.1).
    pub(super) changed_since: Option<ModSeq>,
    /// And which UIDs vanished since (RFC 7162 §3.2.6).
    pub(super) vanished: bool,
}

pub(super) async fn fetch(io: &Io, context: &Context, view: View, wanted: Wanted) -> Outcome {
    let Wanted {
        uid,
        set,
        mut items,
        changed_since,
        vanished,
    } = wanted;
    let Some(mut positions) = view.positions(uid, &set) else {
        return Outcome::new(Completion::bad(NO_SUCH_MESSAGE), Some(view));
    };
    let leaves_out = !uid && view.names_lost(&set);
    if let Some(since) = changed_since {
        if vanished {
            say_vanished_since(io, context, &view, since, &set).await;
        }
        positions = changed_positions(io, &view, &positions, since).await;
        if !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
    }
    if uid && !items.contains(&FetchItem::Uid) {
        items.insert(0, FetchItem::Uid);
    }
    let mut fetch = Fetch::new(io, context, view, items);
    let result = fetch.run(&positions).await;
    let Fetch {
        mut view,
        quiet,
        unread,
        unseen_failed,
        ..
    } = fetch;
    unread.sum_up(io);
    if result.is_err() {
        return Outcome::abort("a message could not be read to its end");
    }
    let renumber = if uid {
        Renumber::Allowed
    } else {
        Renumber::Forbidden
    };
    view.announce(io, context, renumber, &quiet).await;
    // Who cannot store flags, because storage is full, can read all the same.
    let mut done = Completion::ok(if unseen_failed {
        "Fetched, but \\Seen could not be stored"
    } else {
        "Fetched"
    });
    if leaves_out {
        // RFC 5530 §3: the client may want to hear what is gone.
        done.set_code("EXPUNGEISSUED");
    }
    Outcome::new(unread.completion(done), Some(view))
}

/// The literal was announced and cannot be finished: nothing but closing is left.
struct Broken;

/// A FETCH that runs.
struct Fetch<'a> {
    io: &'a Io,
    context: &'a Context,
    view: View,
    items: Vec<FetchItem>,
    needs_summary: bool,
    /// The first item that is made of message octets, if it is the whole message.
    first_whole: Option<usize>,
    /// The header is all that is needed of summaries, and whole messages are read: none is read of
    /// those whose header is in their first chunk.
    needs_header_only: bool,
    sets_seen: bool,
    /// What is asked for tells whether `\Seen` is set: it is set before.
    tells_seen: bool,
    /// Messages that are to be marked as seen, ascending.
    unseen: Vec<Uid>,
    /// Octets of them.
    unseen_octets: u64,
    /// Messages that were marked as seen, ascending.
    seen: Vec<Uid>,
    /// An item of the message that is being sent could not be read.
    incomplete: bool,
    /// Messages whose flags went out with their FETCH.
    quiet: Quiet,
    /// Messages that could not be read.
    unread: Unread,
    unseen_failed: bool,
    /// For the bodies.
    shared: Shared,
}

/// A message whose turn comes soon.
struct Prepared {
    position: usize,
    uid: Uid,
    /// Octets of the message.
    size: u64,
    /// What it was counted as when it was prepared.
    held_octets: usize,
    /// Whether all is there that must be before a word of the response is said, once that was looked at.
    verified: Option<Result<(), ReadError>>,
    summary: Option<Result<Parsed, ReadError>>,
    /// Its header, where the body was read for it and not the summary.
    header: Option<Vec<u8>>,
    /// The first range of its body that an item wants, opened already.
    body: Option<(usize, BodyReader)>,
}

/// A summary with its layout.
struct Parsed {
    summary: Summary,
    layout: ContentLayout,
}

impl Parsed {
    fn weight(&self) -> usize {
        self.summary.weight() + self.layout.weight()
    }
}

impl Prepared {
    /// Octets that it holds while it waits.
    fn octets(&self) -> usize {
        let summary = match &self.summary {
            Some(Ok(parsed)) => parsed.weight(),
            _ => 0,
        };
        let body = self.body.as_ref();
        summary + body.map_or(0, |(_, body)| body.ahead_octets())
    }
}

impl<'a> Fetch<'a> {
    fn new(io: &'a Io, context: &'a Context, view: View, items: Vec<FetchItem>) -> Self {
        let needs_summary = items.iter().any(section::needs_summary);
        let first_whole = section::first_whole(&items);
        let mut needing = items.iter().filter(|item| section::needs_summary(item));
        let needs_header_only =
            needs_summary && first_whole.is_some() && needing.all(section::needs_header_only);
        let sets_seen = !view.read_only && items.iter().any(FetchItem::sets_seen);
        let tells_seen = |item: &FetchItem| matches!(item, FetchItem::Flags | FetchItem::ModSeq);
        let tells_seen = items.iter().any(tells_seen);
        Self {
            io,
            context,
            view,
            items,
            needs_summary,
            first_whole,
            needs_header_only,
            sets_seen,
            tells_seen,
            unseen: Vec::new(),
            unseen_octets: 0,
            seen: Vec::new(),
            incomplete: false,
            quiet: Quiet::default(),
            unread: Unread::default(),
            unseen_failed: false,
            shared: Shared::new(context),
        }
    }

    async fn run(&mut self, positions: &[Range<usize>]) -> Result<(), Broken> {
        let shown = Arc::clone(&self.view.shown);
        let mut waiting = positions.iter().cloned().flatten();
        let mut summaries = self.summaries(&shown, positions);
        let mut prepared: VecDeque<Prepared> = VecDeque::new();
        let last = positions.last().map(|range| range.end - 1);
        let mut octets = 0;
        loop {
            while prepared.is_empty()
                || octets < self.context.config.prefetch_bytes_max
                    && prepared.len() < self.context.config.prefetch_objects_max
            {
                let Some(position) = waiting.next() else {
                    break;
                };
                let Some(message) = shown.message(position) else {
                    continue;
                };
                let mut next = match self.first_whole {
                    Some(index) => self.prepare_whole(position, message, index),
                    None => self.prepare(position, message, &mut summaries).await,
                };
                next.held_octets = next.octets();
                octets += next.held_octets;
                prepared.push_back(next);
            }
            if let Some(first) = prepared.front_mut()
                && first.verified.is_none()
            {
                self.verify(first, &mut summaries).await;
                if self.sets_seen && self.tells_seen {
                    self.see_ahead(&mut prepared, &mut summaries).await;
                }
            }
            let Some(next) = prepared.pop_front() else {
                // Of the last message nothing was sent.
                self.see().await;
                return Ok(());
            };
            octets -= next.held_octets;
            let is_last = Some(next.position) == last;
            self.emit(next, is_last).await?;
        }
    }

    fn summaries<'s>(
        &self,
        shown: &'s MailboxState,
        positions: &'s [Range<usize>],
    ) -> Option<Summaries<'s>> {
        let needed = self.needs_summary && !self.needs_header_only;
        needed.then(|| {
            let messages = positions
                .iter()
                .flat_map(|range| shown.iter_from(range.start).take(range.len()));
            Summaries::new(
                self.io,
                self.context,
                self.shared.retries(self.context),
                Box::new(messages),
            )
        })
    }

    /// Opens a body for item `index`, which is the whole message. The summary is read meanwhile, if
    /// it is read at all.
    fn prepare_whole(&self, position: usize, message: &Message, index: usize) -> Prepared {
        let (io, shared, range) = (self.io, &self.shared, 0..message.size);
        let body = BodyReader::start(io, self.context, shared, message, None, range);
        Prepared {
            position,
            uid: message.uid,
            size: message.size,
            held_octets: 0,
            verified: None,
            summary: None,
            header: None,
            body: Some((index, body)),
        }
    }

    async fn prepare(
        &self,
        position: usize,
        message: &Message,
        summaries: &mut Option<Summaries<'_>>,
    ) -> Prepared {
        let summary = match summaries {
            Some(summaries) => Some(self.parse(message, summaries).await),
            None => None,
        };
        let parsed = summary.as_ref().and_then(|summary| summary.as_ref().ok());
        let first_range = self.items.iter().enumerate().find_map(|(index, item)| {
            match section::source(item, message.size, parsed.map(|parsed| &parsed.summary))? {
                Source::Range(range) => Some((index, range)),
                _ => None,
            }
        });
        let body = first_range.map(|(index, range)| {
            let layout = parsed.map(|parsed| &parsed.layout);
            (
                index,
                BodyReader::start(self.io, self.context, &self.shared, message, layout, range),
            )
        });
        Prepared {
            position,
            uid: message.uid,
            size: message.size,
            held_octets: 0,
            verified: None,
            summary,
            header: None,
            body,
        }
    }

    async fn parse(
        &self,
        message: &Message,
        summaries: &mut Summaries<'_>,
    ) -> Result<Parsed, ReadError> {
        let summary = summaries.next(message).await?;
        let layout = ContentLayout::decode(&summary.layout).map_err(ReadError::Damaged)?;
        let parsed = Parsed { summary, layout };
        self.io.look(parsed.weight()).await;
        Ok(parsed)
    }

    /// One FETCH response.
    async fn emit(&mut self, mut prepared: Prepared, is_last: bool) -> Result<(), Broken> {
        if let Some(Err(error)) = &prepared.verified {
            if let Some(message) = self.view.shown.message(prepared.position) {
                let place = self.context.places.content(message.content);
                self.unread.add(self.io, error, &place.0);
            }
            return Ok(());
        }
        let view_message = self.view.message(prepared.position).cloned();
        let Some(message) = view_message else {
            return Ok(());
        };
        self.piece(|out| {
            out.extend_from_slice(b"* ");
            number_into(out, prepared.position + 1);
            out.extend_from_slice(b" FETCH (");
        })
        .await;
        self.incomplete = false;
        let mut first = true;
        for index in 0..self.items.len() {
            if !core::mem::take(&mut first) {
                self.piece(|out| out.push(b' ')).await;
            }
            self.item(index, &message, &mut prepared).await?;
        }
        if self.sets_seen && !self.tells_seen {
            if !self.incomplete {
                self.will_see(&prepared);
            }
            if is_last || self.many_unseen() {
                self.see().await;
            }
        }
        let marked = self.seen.binary_search(&prepared.uid).is_ok();
        let newest = self.view.message(prepared.position).cloned();
        let end = self.end(&newest.unwrap_or(message), marked);
        self.write(end).await;
        Ok(())
    }

    /// Looks whether all is there that must be before a word of the response is said.
    async fn verify(&self, prepared: &mut Prepared, summaries: &mut Option<Summaries<'_>>) {
        if let (None, Some(summaries)) = (&prepared.summary, summaries)
            && let Some(message) = self.view.shown.message(prepared.position)
        {
            prepared.summary = Some(self.parse(message, summaries).await);
        }
        prepared.verified = Some(self.look_at(prepared).await);
    }

    async fn look_at(&self, prepared: &mut Prepared) -> Result<(), ReadError> {
        if let Some(Err(_)) = &prepared.summary
            && let Some(Err(error)) = prepared.summary.take()
        {
            return Err(error);
        }
        let mut first = &[][..];
        if let Some((_, body)) = &mut prepared.body {
            body.verify_first().await?;
            first = body.verified();
        }
        if !self.needs_header_only {
            return Ok(());
        }
        let len = header::length(first);
        let len = len.filter(|len| *len <= self.context.config.header_bytes_max);
        if let Some(len) = len {
            prepared.header = Some(first[..len].to_vec());
        } else if let Some(message) = self.view.shown.message(prepared.position) {
            let alone = Box::new(core::iter::once(message));
            let mut summaries = Summaries::new(
                self.io,
                self.context,
                self.shared.retries(self.context),
                alone,
            );
            prepared.summary = Some(Ok(self.parse(message, &mut summaries).await?));
        }
        Ok(())
    }

    /// What follows the items: the flags, if they were just changed.
    fn end(&mut self, message: &Message, marked: bool) -> Vec<u8> {
        let has = |item| self.items.contains(&item);
        let condstore = self.context.enabled.condstore;
        let mut end = Vec::new();
        if marked && !has(FetchItem::Flags) {
            end.push(b' ');
            self.view.write_flags(message, &mut end);
        }
        // RFC 7162 §3.2.4: who knows CONDSTORE is told UID and MODSEQ with each change.
        if marked && condstore && !has(FetchItem::Uid) {
            end.extend_from_slice(b" UID ");
            number_into(&mut end, message.uid.get() as usize);
        }
        if marked && condstore && !has(FetchItem::ModSeq) {
            end.push(b' ');
            write_modseq(&mut end, message);
        }
        let complete = marked || has(FetchItem::ModSeq) || !condstore;
        if marked || has(FetchItem::Flags) && complete {
            self.quiet.add(message);
        }
        end.extend_from_slice(b")\r\n");
        end
    }

    /// One item with its value.
    async fn item(
        &mut self,
        index: usize,
        message: &Message,
        prepared: &mut Prepared,
    ) -> Result<(), Broken> {
        let item = &self.items[index];
        let summary = match &prepared.summary {
            Some(Ok(parsed)) => Some(&parsed.summary),
            _ => None,
        };
        let Some(source) = section::source(item, message.size, summary) else {
            let mut piece = Vec::new();
            let header = prepared.header.as_deref();
            let header = header.or(summary.map(|summary| &*summary.header));
            let structure = summary.map(|summary| &summary.structure);
            self.write_index_item(item, message, header, structure, &mut piece);
            self.write(piece).await;
            if *item == FetchItem::Envelope {
                self.io.look(header.map_or(0, <[u8]>::len)).await;
            }
            return Ok(());
        };
        let mut name = Vec::new();
        item.write_name(&mut name);
        name.push(b' ');
        let range = match source {
            Source::Nil => {
                name.extend_from_slice(b"NIL");
                self.write(name).await;
                return Ok(());
            }
            Source::Header { header, partial } => {
                let octets = section::cut(header, partial);
                literal(&mut name, octets.len() as u64);
                name.extend_from_slice(octets);
                self.write(name).await;
                return Ok(());
            }
            Source::Fields { header, fields } => {
                let octets = fields.apply(header);
                literal(&mut name, octets.len() as u64);
                name.extend_from_slice(&octets);
                self.write(name).await;
                self.io.look(header.len()).await;
                return Ok(());
            }
            Source::Filtered { range, fields } => {
                let found = self.read_fields(message, prepared, range, &fields).await;
                match found {
                    Ok(octets) => {
                        literal(&mut name, octets.len() as u64);
                        name.extend_from_slice(&octets);
                    }
                    Err(error) => self.unreadable(message, &error, &mut name),
                }
                self.write(name).await;
                return Ok(());
            }
            Source::Range(range) => range,
        };
        let mut body = match prepared.body.take() {
            Some((opened, body)) if opened == index => body,
            other => {
                prepared.body = other;
                self.open(message, prepared, range.clone())
            }
        };
        if let Err(error) = body.verify_first().await {
            self.unreadable(message, &error, &mut name);
            self.write(name).await;
            return Ok(());
        }
        literal(&mut name, range.end - range.start);
        self.write(name).await;
        self.stream(body).await
    }

    fn open(&self, message: &Message, prepared: &Prepared, range: Range<u64>) -> BodyReader {
        let layout = match &prepared.summary {
            Some(Ok(parsed)) => Some(&parsed.layout),
            _ => None,
        };
        BodyReader::start(self.io, self.context, &self.shared, message, layout, range)
    }

    /// An item that cannot be read, after others of its message were sent: NIL, and NO at
    /// the end.
    fn unreadable(&mut self, message: &Message, error: &ReadError, name: &mut Vec<u8>) {
        let place = self.context.places.content(message.content);
        self.unread.add(self.io, error, &place.0);
        self.incomplete = true;
        name.extend_from_slice(b"NIL");
    }

    /// Message octets after their literal was announced.
    async fn stream(&self, mut body: BodyReader) -> Result<(), Broken> {
        loop {
            let mut chunk = Vec::new();
            match body.next(&mut chunk).await {
                Ok(0) => return Ok(()),
                Ok(_) => self.write(chunk).await,
                Err(error) => {
                    self.io.event(error.event(body.place()));
                    return Err(Broken);
                }
            }
        }
    }

    /// Fields of a header that is in the message.
    async fn read_fields(
        &self,
        message: &Message,
        prepared: &Prepared,
        range: Range<u64>,
        fields: &Fields<'_>,
    ) -> Result<Vec<u8>, ReadError> {
        let mut body = self.open(message, prepared, range);
        let mut filter = Filter::new(fields, self.context.config.header_bytes_max);
        let mut chunk = Vec::new();
        while !filter.is_full() && body.next(&mut chunk).await? > 0 {
            filter.feed(&chunk);
            self.io.look(chunk.len()).await;
            chunk.clear();
        }
        Ok(fields.cut(filter.finish()))
    }

    fn write_index_item(
        &self,
        item: &FetchItem,
        message: &Message,
        header: Option<&[u8]>,
        structure: Option<&Structure>,
        out: &mut Vec<u8>,
    ) {
        match item {
            FetchItem::Uid => {
                out.extend_from_slice(b"UID ");
                number_into(out, message.uid.get() as usize);
            }
            FetchItem::Flags => self.view.write_flags(message, out),
            FetchItem::InternalDate => {
                out.extend_from_slice(b"INTERNALDATE ");
                response::internal_date(out, message.internal_date.into());
            }
            FetchItem::Rfc822Size => {
                out.extend_from_slice(b"RFC822.SIZE ");
                number_into(out, usize::try_from(message.size).unwrap_or(usize::MAX));
            }
            FetchItem::ModSeq => write_modseq(out, message),
            FetchItem::Envelope => {
                if let Some(header) = header {
                    out.extend_from_slice(b"ENVELOPE ");
                    write_envelope(&Envelope::from_header(header), out);
                }
            }
            item => {
                if let Some(structure) = structure {
                    let extended = *item != FetchItem::Body;
                    let name: &[u8] = if extended {
                        b"BODYSTRUCTURE "
                    } else {
                        b"BODY "
                    };
                    out.extend_from_slice(name);
                    write_bodystructure(structure, extended, out);
                }
            }
        }
    }

    async fn piece(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut piece = Vec::new();
        write(&mut piece);
        self.write(piece).await;
    }

    /// Sends a piece as soon as there is room for it; one that is longer than all the room there is,
    /// a header or a structure, in slices.
    async fn write(&self, mut piece: Vec<u8>) {
        let max = self.context.config.transmit_bytes_max.max(1);
        if piece.len() > max {
            for slice in piece.chunks(max) {
                self.context.room(self.io, slice.len()).await;
                self.io.write(|out| out.extend_from_slice(slice));
            }
            return;
        }
        self.context.room(self.io, piece.len()).await;
        self.io.write(|out| {
            if out.is_empty() {
                core::mem::swap(out, &mut piece);
            } else {
                out.append(&mut piece);
            }
        });
    }
}

/// `{310}`
fn literal(out: &mut Vec<u8>, octets: u64) {
    out.push(b'{');
    number_into(out, usize::try_from(octets).unwrap_or(usize::MAX));
    out.extend_from_slice(b"}\r\n");
}
