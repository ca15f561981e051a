//! What a client that was away is told: the QRESYNC parameter of SELECT and EXAMINE
//! (RFC 7162 §3.2.5) and the CHANGEDSINCE and VANISHED modifiers of FETCH (RFC 7162 §3.1.4.1
//! and §3.2.6).

use super::context::Context;
use super::vanished::{Vanished, say_vanished};
use super::view::{FLAGS_OCTETS, MESSAGE_OCTETS, View, holds};
use crate::imap::grammar::{QResync, SequenceSet};
use crate::mailbox::{MailboxState, ModSeq};
use crate::workflow::Io;
use core::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// Tells what vanished and which flags changed since the client was here last. If
/// UIDVALIDITY is another one, what it knows is worth nothing (RFC 7162 §3.2.5).
pub(super) async fn resynchronise(io: &Io, context: &Context, view: &View, known: &QResync) {
    let state = Arc::clone(&view.shown);
    if known.uid_validity != state.uid_validity() {
        return;
    }
    let since = ModSeq(known.mod_seq);
    let uids = match &known.known_uids {
        Some(set) => set.resolve(u32::MAX),
        None => vec![1..=u32::MAX],
    };
    let matched = matched_uid(&state, known);
    let vanished = vanished_since(io, view, since, &uids, matched).await;
    let vanished = vanished.into_iter().flatten();
    say_vanished(io, context, Vanished::Earlier, Box::new(vanished)).await;
    for (position, message) in state.iter_from(0).enumerate() {
        io.look(MESSAGE_OCTETS).await;
        if message.modseq > since && holds(&uids, message.uid.get()) {
            context.room(io, FLAGS_OCTETS).await;
            io.write(|out| view.write_fetch_flags(position, message, context.enabled, out));
        }
    }
}

/// The VANISHED modifier: before any FETCH response (RFC 7162 §3.2.6).
pub(super) async fn say_vanished_since(
    io: &Io,
    context: &Context,
    view: &View,
    since: ModSeq,
    set: &SequenceSet,
) {
    // `*` is the largest UID, but a client that says `1:*` wants to hear of the message
    // that was the last one too.
    let uids = set.resolve(u32::MAX);
    let vanished = vanished_since(io, view, since, &uids, 0).await;
    let vanished = vanished.into_iter().flatten();
    say_vanished(io, context, Vanished::Earlier, Box::new(vanished)).await;
}

/// UIDs in `uids` and above `above` that vanished after `since`, as ranges. Those that the client
/// still counts are left to a VANISHED without EARLIER (RFC 7162 §3.2.10).
async fn vanished_since(
    io: &Io,
    view: &View,
    since: ModSeq,
    uids: &[RangeInclusive<u32>],
    above: u32,
) -> Vec<RangeInclusive<u32>> {
    let next = view.shown.uid_next();
    let mut vanished: Vec<RangeInclusive<u32>> = Vec::new();
    for uid in view.latest.expunged_since(since) {
        io.look(MESSAGE_OCTETS).await;
        let number = uid.get();
        let counted = uid >= next || view.shown.find(uid).is_some();
        if counted || number <= above || !holds(uids, number) {
            continue;
        }
        match vanished.last_mut() {
            Some(range) if *range.end() == number - 1 => *range = *range.start()..=number,
            _ => vanished.push(number..=number),
        }
    }
    vanished
}

/// The highest UID that the client knows the right message number of: nothing below it
/// vanished without the client knowing (RFC 7162 §3.2.5.2). 0: it named none.
fn matched_uid(state: &MailboxState, known: &QResync) -> u32 {
    let Some((numbers, uids)) = &known.seq_match else {
        return 0;
    };
    let last = u32::try_from(state.len()).unwrap_or(u32::MAX);
    let numbers = numbers.resolve(last).into_iter().flatten();
    let pairs = numbers.zip(uids.resolve(u32::MAX).into_iter().flatten());
    pairs
        .take_while(|(number, _)| *number <= last)
        .filter(|(number, uid)| {
            let message = state.message(*number as usize - 1);
            message.is_some_and(|message| message.uid.get() == *uid)
        })
        .last()
        .map_or(0, |(_, uid)| uid)
}

/// Of `positions`, those of messages that changed after `since`, as ranges.
pub(super) async fn changed_positions(
    io: &Io,
    view: &View,
    positions: &[Range<usize>],
    since: ModSeq,
) -> Vec<Range<usize>> {
    let mut changed: Vec<Range<usize>> = Vec::new();
    for position in positions.iter().cloned().flatten() {
        io.look(MESSAGE_OCTETS).await;
        let message = view.message(position);
        if message.is_none_or(|message| message.modseq <= since) {
            continue;
        }
        match changed.last_mut() {
            Some(range) if range.end == position => range.end += 1,
            _ => changed.push(position..position + 1),
        }
    }
    changed
}
