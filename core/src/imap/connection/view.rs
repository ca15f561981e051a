//! What one client has been shown of its selected mailbox, and how it learns the rest.
//!
//! Sequence numbers are positions in the state that was *shown*; a newer state waits in
//! `latest` until a response may renumber messages (RFC 3501 §7.4.1). Moving from one to
//! the other is [`View::announce`]: EXPUNGE or VANISHED, EXISTS, RECENT and FETCH FLAGS.
//!
//! A client that knows CONDSTORE takes the highest MODSEQ that it was told for what it knows
//! of the mailbox. While messages that are gone wait to be announced that would be wrong, so
//! it is told HIGHESTMODSEQ as of the state that it was shown (RFC 7162 §3.2 and §6).

use super::context::Context;
use super::enable::Enabled;
use super::vanished::{Vanished, say_vanished};
use crate::account::Snapshot;
use crate::imap::grammar::{SequenceSet, SetNumber, SetRange, response};
use crate::mailbox::{Flag, Keyword, MailboxId, MailboxState, Message, ModSeq, Uid};
use crate::workflow::Io;
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

/// A selected mailbox as its client knows it.
#[derive(Debug)]
pub(crate) struct View {
    /// Which it is.
    pub(super) mailbox: MailboxId,
    /// EXAMINE.
    pub(super) read_only: bool,
    /// What sequence numbers count.
    pub(super) shown: Arc<MailboxState>,
    /// The newest state.
    pub(super) latest: Arc<MailboxState>,
    /// Messages in `shown`, ascending, that were expunged while the view was
    /// [asleep](super::asleep): they have a number until the client is told, and no more.
    pub(super) lost: Vec<Uid>,
    /// Flags were told of all changes up to here.
    pub(super) flags_told: ModSeq,
    /// UIDs that are `\Recent` in this session.
    pub(super) recent: Recent,
    /// Keywords of the mailbox that the client was told of.
    pub(super) keywords_told: Arc<Vec<Keyword>>,
    /// HIGHESTMODSEQ is to be told at the end of the command.
    pub(super) modseq_due: bool,
    /// The client may have been told more of a message than `shown` has.
    pub(super) ahead: bool,
    /// Such messages that are gone meanwhile, as they were last: what the client was told of
    /// them is not taken back as long as it may ask for them.
    pub(super) gone: BTreeMap<Uid, Gone>,
}

/// A message that is gone, and the keywords of the state that it was last in.
#[derive(Debug)]
pub(super) struct Gone {
    message: Message,
    keywords: Arc<Vec<Keyword>>,
}

/// UIDs that are `\Recent` in one session (RFC 3501 §2.3.2): ranges, ascending.
#[derive(Debug, Default)]
pub(super) struct Recent(Vec<RangeInclusive<u32>>);

impl Recent {
    /// Adds what a snapshot grants.
    pub(super) fn grant(&mut self, snapshot: &Snapshot) {
        let (Some(from), Some(last)) = (snapshot.recent_from, last_uid(&snapshot.state)) else {
            return;
        };
        match self.0.last_mut() {
            Some(range) if range.end().saturating_add(1) >= from.get() => {
                *range = *range.start()..=last.get().max(*range.end());
            }
            _ if from <= last => self.0.push(from.get()..=last.get()),
            _ => {}
        }
    }

    /// Adds what was granted apart from these, earlier or later.
    pub(super) fn join(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.sort_unstable_by_key(|range| *range.start());
        self.0.dedup_by(|later, range| {
            let touch = range.end().saturating_add(1) >= *later.start();
            if touch {
                *range = *range.start()..=*range.end().max(later.end());
            }
            touch
        });
    }

    fn contains(&self, uid: Uid) -> bool {
        holds(&self.0, uid.get())
    }
}

/// Whether EXPUNGE may be sent now (RFC 3501 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renumber {
    /// The command allows it.
    Allowed,
    /// FETCH, STORE and SEARCH, which speak in sequence numbers, do not.
    Forbidden,
}

/// Flags that the client need not be told: it was told with FETCH, or set them itself.
#[derive(Debug, Default)]
pub(crate) struct Quiet {
    /// Messages, ascending, and the change of each up to which the client knows its flags.
    known: Vec<(Uid, ModSeq)>,
}

impl Quiet {
    /// The client knows the flags of `message`, which comes after those before.
    pub(super) fn add(&mut self, message: &Message) {
        self.known.push((message.uid, message.modseq));
    }

    /// Whether the client knows the flags of `message` as they are.
    pub(super) fn covers(&self, message: &Message) -> bool {
        let found = self
            .known
            .binary_search_by_key(&message.uid, |known| known.0);
        found.is_ok_and(|place| self.known[place].1 >= message.modseq)
    }
}

impl View {
    /// A mailbox just selected.
    pub(super) fn new(mailbox: MailboxId, read_only: bool, snapshot: Snapshot) -> Self {
        let mut recent = Recent::default();
        recent.grant(&snapshot);
        Self {
            mailbox,
            read_only,
            lost: Vec::new(),
            flags_told: snapshot.state.highest_modseq(),
            keywords_told: Arc::clone(snapshot.state.keyword_list()),
            shown: Arc::clone(&snapshot.state),
            latest: snapshot.state,
            recent,
            modseq_due: false,
            ahead: false,
            gone: BTreeMap::new(),
        }
    }

    /// The client knows all changes up to here.
    pub(super) fn known_modseq(&self) -> ModSeq {
        self.shown.highest_modseq()
    }

    /// What HIGHESTMODSEQ must be told now, if it must.
    pub(super) fn take_due_modseq(&mut self) -> Option<ModSeq> {
        core::mem::take(&mut self.modseq_due).then(|| self.known_modseq())
    }

    /// Takes in a newer state, without telling the client yet.
    pub(super) fn learn(&mut self, snapshot: Snapshot) {
        self.recent.grant(&snapshot);
        self.move_on(snapshot.state);
    }

    /// Takes in what came while a command held the view: `\Recent`, and a newer state
    /// unless the command itself got one that is newer still.
    pub(super) fn catch_up(&mut self, state: Option<Arc<MailboxState>>, recent: Recent) {
        self.recent.join(recent);
        if let Some(state) = state {
            self.move_on(state);
        }
    }

    fn move_on(&mut self, state: Arc<MailboxState>) {
        if self.ahead {
            for position in expunged_positions(&self.shown, &state) {
                let shown = self.shown.message(position);
                if let Some(last) = shown.and_then(|shown| self.latest.find(shown.uid)) {
                    let gone = Gone {
                        message: last.clone(),
                        keywords: Arc::clone(self.latest.keyword_list()),
                    };
                    self.gone.insert(last.uid, gone);
                }
            }
        }
        self.latest = state;
    }

    /// The client is told of messages as they are in `latest`, while it counts those of
    /// `shown`.
    pub(super) fn tell_ahead(&mut self) {
        self.ahead = self.is_behind();
    }

    pub(super) fn is_recent(&self, uid: Uid) -> bool {
        self.recent.contains(uid)
    }

    /// Messages shown that are `\Recent` here.
    pub(super) fn recent_count(&self) -> usize {
        let position = |uid: u32| match Uid::new(uid).map(|uid| self.shown.position(uid)) {
            Some(Ok(position) | Err(position)) => position,
            None => 0,
        };
        let count = |range: &RangeInclusive<u32>| {
            position(range.end().saturating_add(1)) - position(*range.start())
        };
        self.recent.0.iter().map(count).sum()
    }

    /// Positions in the shown state that a set of sequence numbers names, as ranges.
    /// `None`: it names messages that are not there (RFC 3501 §9, seq-number).
    pub(super) fn sequence_positions(
        &self,
        set: &SequenceSet,
    ) -> Option<Vec<core::ops::Range<usize>>> {
        let count = u32::try_from(self.shown.len()).unwrap_or(u32::MAX);
        let is_there = |number: SetNumber| match number {
            SetNumber::Number(number) => number.get() <= count,
            SetNumber::Last => true,
        };
        // `5:*` asks for what is new from 5 on, and nothing new is no mistake: as with
        // UIDs, it names the last message then.
        let valid = set.ranges().iter().all(|SetRange(first, last)| {
            *first == SetNumber::Last
                || *last == SetNumber::Last
                || (is_there(*first) && is_there(*last))
        });
        let ranges = set.resolve(count).into_iter();
        let positions =
            ranges.map(|range| *range.start() as usize - 1..(*range.end()).min(count) as usize);
        valid.then(|| positions.filter(|range| !range.is_empty()).collect())
    }

    /// Positions in the shown state that a set of UIDs names; those that are not there
    /// are passed over (RFC 3501 §6.4.8).
    pub(super) fn uid_positions(&self, set: &SequenceSet) -> Vec<core::ops::Range<usize>> {
        let largest = last_uid(&self.shown).map_or(0, Uid::get);
        let position = |uid: u32| match Uid::new(uid).map(|uid| self.shown.position(uid)) {
            Some(Ok(position) | Err(position)) => position,
            None => 0,
        };
        let found = set.resolve(largest).into_iter().map(|range| {
            let end = range
                .end()
                .checked_add(1)
                .map_or(self.shown.len(), position);
            position(*range.start())..end
        });
        found.filter(|range| !range.is_empty()).collect()
    }

    /// Positions that a set names: of UIDs (`uid`) or of sequence numbers.
    pub(super) fn positions(
        &self,
        uid: bool,
        set: &SequenceSet,
    ) -> Option<Vec<core::ops::Range<usize>>> {
        let positions = if uid {
            self.uid_positions(set)
        } else {
            self.sequence_positions(set)?
        };
        Some(self.without_lost(positions))
    }

    /// Whether these are numbers of any messages.
    pub(super) fn names_any(&self, set: &SequenceSet) -> bool {
        self.sequence_positions(set)
            .is_some_and(|positions| !positions.is_empty())
    }

    /// Whether these are also numbers of messages of which nothing but the number is known.
    pub(super) fn names_lost(&self, set: &SequenceSet) -> bool {
        let named = self.sequence_positions(set).unwrap_or_default();
        let mut lost = self.lost.iter().flat_map(|uid| self.shown.position(*uid));
        lost.any(|position| {
            let after = named.partition_point(|range| range.end <= position);
            named.get(after).is_some_and(|it| it.contains(&position))
        })
    }

    /// Of these positions, those of messages of which more than the number is known.
    fn without_lost(
        &self,
        positions: Vec<core::ops::Range<usize>>,
    ) -> Vec<core::ops::Range<usize>> {
        if self.lost.is_empty() {
            return positions;
        }
        let mut lost: Vec<_> = self
            .lost
            .iter()
            .filter_map(|uid| self.shown.position(*uid).ok())
            .collect();
        lost.sort_unstable();
        let mut kept = Vec::new();
        for range in positions {
            let mut start = range.start;
            let first = lost.partition_point(|position| *position < start);
            for position in lost[first..]
                .iter()
                .copied()
                .take_while(|it| *it < range.end)
            {
                kept.push(start..position);
                start = position + 1;
            }
            kept.push(start..range.end);
        }
        kept.retain(|range| !range.is_empty());
        kept
    }

    /// The newest record of a message that was shown at `position`.
    pub(super) fn message(&self, position: usize) -> Option<&Message> {
        let shown = self.shown.message(position)?;
        if self.lost.binary_search(&shown.uid).is_ok() {
            return None;
        }
        if Arc::ptr_eq(&self.shown, &self.latest) {
            return Some(shown);
        }
        match self.latest.position(shown.uid) {
            Ok(position) => self.latest.message(position),
            Err(_) => {
                let gone = self.gone.get(&shown.uid);
                Some(gone.map_or(shown, |gone| &gone.message))
            }
        }
    }

    /// Whether such a message counts keywords as `latest` does.
    pub(super) fn is_of_latest(&self, message: &Message) -> bool {
        Arc::ptr_eq(&self.shown, &self.latest) || self.latest.find(message.uid).is_some()
    }

    /// The keywords that such a message counts: those of the state that it comes from.
    pub(super) fn keywords_of(&self, message: &Message) -> &[Keyword] {
        if self.is_of_latest(message) {
            return self.latest.keywords();
        }
        match self.gone.get(&message.uid) {
            Some(gone) => &gone.keywords,
            None => self.shown.keywords(),
        }
    }

    /// Whether the client was told the flags of a message as they are.
    pub(super) fn knows_flags(&self, message: &Message) -> bool {
        message.modseq <= self.flags_told
    }

    /// `FLAGS (…)` of a message.
    pub(super) fn write_flags(&self, message: &Message, out: &mut Vec<u8>) {
        out.extend_from_slice(b"FLAGS ");
        let flags: Vec<Flag> = message.flags.flags(self.keywords_of(message)).collect();
        response::flag_list(out, &flags, self.is_recent(message.uid));
    }

    /// `* n FETCH (UID u FLAGS (…))`, with MODSEQ for who knows CONDSTORE: what a message
    /// is like now, which was shown at `position`.
    pub(super) fn write_fetch_flags(
        &self,
        position: usize,
        message: &Message,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) {
        fetch_start(out, position, message);
        out.push(b' ');
        self.write_flags(message, out);
        if enabled.condstore {
            out.push(b' ');
            write_modseq(out, message);
        }
        out.extend_from_slice(b")\r\n");
    }

    /// The flags and keywords of the mailbox.
    pub(super) fn mailbox_flags(&self) -> Vec<Flag> {
        let system = [
            Flag::Answered,
            Flag::Flagged,
            Flag::Deleted,
            Flag::Seen,
            Flag::Draft,
        ];
        let keywords = self.latest.keywords().iter().cloned().map(Flag::Keyword);
        system.into_iter().chain(keywords).collect()
    }

    /// `* FLAGS (…)` when the mailbox has keywords that the client does not know.
    pub(super) fn announce_keywords(&mut self, io: &Io) {
        let list = self.latest.keyword_list();
        if Arc::ptr_eq(list, &self.keywords_told) {
            return;
        }
        let news = list.iter().filter(|it| !self.keywords_told.contains(it));
        let news: Vec<Keyword> = news.cloned().collect();
        if !news.is_empty() {
            // A list that is read again has only keywords that are in use, but the client
            // forgets none.
            let told = Arc::make_mut(&mut self.keywords_told);
            told.extend(news);
            if told.len() > KEYWORDS_TOLD_MAX {
                self.keywords_told = Arc::clone(list);
            }
            io.write(|out| {
                out.extend_from_slice(b"* FLAGS ");
                response::flag_list(out, &self.mailbox_flags(), false);
                out.extend_from_slice(b"\r\n");
            });
        }
    }

    /// Whether there is anything to announce.
    pub(super) fn is_behind(&self) -> bool {
        !Arc::ptr_eq(&self.shown, &self.latest)
    }

    /// Tells the client what changed, as far as the command allows, in bounded pieces.
    pub(super) async fn announce(
        &mut self,
        io: &Io,
        context: &Context,
        renumber: Renumber,
        quiet: &Quiet,
    ) {
        if !self.is_behind() {
            return;
        }
        self.announce_keywords(io);
        let shown = Arc::clone(&self.shown);
        let before = (self.shown.len(), self.recent_count());
        let expunged = expunged_positions(&self.shown, &self.latest);
        let renumbered = expunged.is_empty() || renumber == Renumber::Allowed;
        self.modseq_due |= context.enabled.condstore && !expunged.is_empty();
        self.tell_ahead();
        if renumbered {
            self.announce_expunged(io, context, &expunged).await;
            self.shown = Arc::clone(&self.latest);
            self.ahead = false;
            self.gone.clear();
            self.lost = Vec::new();
            let now = (self.shown.len(), self.recent_count());
            context.room(io, LINE_OCTETS).await;
            if now.0 != before.0 - expunged.len() {
                io.write(|out| line(out, now.0, "EXISTS"));
            }
            if now.1 != before.1 || now.0 != before.0 - expunged.len() {
                io.write(|out| line(out, now.1, "RECENT"));
            }
        }
        let known = before.0 - expunged.len();
        self.announce_flags(io, context, &shown, known, renumbered, quiet)
            .await;
    }

    /// VANISHED or EXPUNGE of messages at these positions, ascending.
    async fn announce_expunged(&self, io: &Io, context: &Context, expunged: &[usize]) {
        if context.enabled.qresync {
            let messages = expunged
                .iter()
                .filter_map(|position| self.shown.message(*position));
            let uids = messages.map(|message| message.uid.get());
            return say_vanished(io, context, Vanished::Now, Box::new(uids)).await;
        }
        // The highest first, so that each number is still what the client counts.
        for position in expunged.iter().rev() {
            context.room(io, LINE_OCTETS).await;
            io.write(|out| line(out, position + 1, "EXPUNGE"));
        }
    }

    /// FETCH FLAGS of messages that the client knew already (the first `known`) and that
    /// changed since it was last told. What is still as in `shown` was told.
    async fn announce_flags(
        &mut self,
        io: &Io,
        context: &Context,
        shown: &MailboxState,
        known: usize,
        renumbered: bool,
        quiet: &Quiet,
    ) {
        if self.latest.highest_modseq() <= self.flags_told {
            return;
        }
        let latest = Arc::clone(&self.latest);
        for (position, message) in latest.unshared(shown) {
            io.look(MESSAGE_OCTETS).await;
            if self.knows_flags(message) || quiet.covers(message) {
                continue;
            }
            let number = if renumbered {
                if position >= known {
                    break;
                }
                position
            } else {
                match self.shown.position(message.uid) {
                    Ok(position) => position,
                    Err(_) => continue,
                }
            };
            context.room(io, FLAGS_OCTETS).await;
            io.write(|out| self.write_fetch_flags(number, message, context.enabled, out));
        }
        self.flags_told = latest.highest_modseq();
    }
}

/// Keywords that are remembered as told, for a client that makes new ones for ever. Of one that
/// was forgotten it may be told once more.
const KEYWORDS_TOLD_MAX: usize = 256;
/// Octets that can be looked at in the time that a message takes of which nothing is told.
pub(super) const MESSAGE_OCTETS: usize = 16;
/// Room for a line that holds a number and a word.
const LINE_OCTETS: usize = 64;
/// Room for a FETCH of flags: a few keywords; more only waits a little later.
pub(super) const FLAGS_OCTETS: usize = 1024;

/// `* 12 WORD`
pub(super) fn line(out: &mut Vec<u8>, number: usize, word: &str) {
    write!(out, "* {number} {word}\r\n").expect("a Vec takes everything");
}

pub(super) fn number_into(out: &mut Vec<u8>, number: usize) {
    write!(out, "{number}").expect("a Vec takes everything");
}

/// `* 12 FETCH (UID 34` of a message that was shown at `position`.
pub(super) fn fetch_start(out: &mut Vec<u8>, position: usize, message: &Message) {
    let (number, uid) = (position + 1, message.uid);
    write!(out, "* {number} FETCH (UID {uid}").expect("a Vec takes everything");
}

/// `MODSEQ (917162500)`
pub(super) fn write_modseq(out: &mut Vec<u8>, message: &Message) {
    write!(out, "MODSEQ ({})", message.modseq.0).expect("a Vec takes everything");
}

/// `* OK [HIGHESTMODSEQ 917162500] …`
pub(super) fn highest_modseq(out: &mut Vec<u8>, modseq: ModSeq) {
    let text = "Changes are known up to here";
    write!(out, "* OK [HIGHESTMODSEQ {}] {text}\r\n", modseq.0).expect("a Vec takes everything");
}

/// Whether one of the ranges, which ascend, holds the number.
pub(super) fn holds(ranges: &[RangeInclusive<u32>], number: u32) -> bool {
    let before = ranges.partition_point(|range| *range.end() < number);
    ranges
        .get(before)
        .is_some_and(|range| range.contains(&number))
}

pub(super) fn last_uid(state: &MailboxState) -> Option<Uid> {
    state
        .message(state.len().checked_sub(1)?)
        .map(|message| message.uid)
}

/// Positions in `shown` of messages that `latest` has no more, ascending.
fn expunged_positions(shown: &MailboxState, latest: &MailboxState) -> Vec<usize> {
    let remaining = latest.unshared(shown);
    let mut remaining = remaining.map(|(_, message)| message.uid).peekable();
    let mut expunged = Vec::new();
    for (position, message) in shown.unshared(latest) {
        while remaining.next_if(|uid| *uid < message.uid).is_some() {}
        if remaining.next_if_eq(&message.uid).is_none() {
            expunged.push(position);
        }
    }
    expunged
}
