//! What the values of an item of a log hold.

use super::damage::Obscure;
use super::start::is_pointer;
use crate::mailbox::{CheckpointPointer, LogState, Part};
use crate::seal::{AccountKeys, ItemKind, is_arrival};
use crate::storage::{Item, ItemKey};

/// What one value of the log holds.
pub(super) enum Opened<S: LogState> {
    /// A part of a batch of the account's own.
    Part(Part),
    /// What was left by somebody without the account's keys.
    Arrival(S::Batch),
}

/// Opens one value of a log.
fn open_value<S: LogState>(
    keys: &AccountKeys,
    key: &ItemKey,
    value: &[u8],
) -> Result<Opened<S>, Obscure> {
    let damaged = |reason: String| Obscure::Damaged(reason);
    let arrival = is_arrival(value);
    let kind = if arrival {
        ItemKind::Arrival
    } else {
        S::OPERATION
    };
    let bytes = keys.open_item(key, kind, value);
    let bytes = bytes.map_err(|error| damaged(error.to_string()))?;
    if !arrival {
        return Ok(Opened::Part(Part::decode(&bytes)?));
    }
    // Anybody may have left it: what it says of its version proves nothing.
    let read = || {
        let part = Part::decode(&bytes).map_err(|error| error.to_string())?;
        match part.count {
            1 => S::decode_arrival(&part.piece).map_err(|error| error.to_string()),
            _ => Err("an arrival in several parts".to_owned()),
        }
    };
    Ok(Opened::Arrival(read().map_err(damaged)?))
}

/// Opens one value of the pointer to a checkpoint.
fn open_pointer<S: LogState>(
    keys: &AccountKeys,
    key: &ItemKey,
    value: &[u8],
) -> Result<CheckpointPointer, Obscure> {
    let opened = keys.open_item(key, S::POINTER, value);
    let opened = opened.map_err(|error| Obscure::Damaged(error.to_string()))?;
    Ok(CheckpointPointer::decode(&opened)?)
}

/// What the values of an item hold. Whoever may write to the storage can put something beside what is the
/// item's own, and it must not count.
pub(super) struct Values<T> {
    /// The one that counts, and its number.
    pub(super) counts: Option<(usize, T)>,
    /// Why others cannot be understood.
    pub(super) obscure: Vec<Obscure>,
}

/// Opens an item of a log. What the account wrote itself counts before what anybody may have left.
pub(super) fn open_values<S: LogState>(keys: &AccountKeys, item: &Item) -> Values<Opened<S>> {
    open_all(
        item,
        |value| open_value::<S>(keys, &item.key, value),
        |opened| matches!(opened, Opened::Part(_)),
    )
}

/// Opens the pointer to a checkpoint.
pub(super) fn open_pointers<S: LogState>(
    keys: &AccountKeys,
    item: &Item,
) -> Values<CheckpointPointer> {
    open_all(
        item,
        |value| open_pointer::<S>(keys, &item.key, value),
        |_| true,
    )
}

/// The checkpoint that an item of a log points to, if that can be opened.
pub(in crate::account) fn pointer_of<S: LogState>(
    keys: &AccountKeys,
    item: &Item,
) -> Option<CheckpointPointer> {
    open_pointers::<S>(keys, item)
        .counts
        .map(|(_, pointer)| pointer)
}

/// The last value of those that may take the place of others counts, or else the first.
fn open_all<T>(
    item: &Item,
    open: impl Fn(&[u8]) -> Result<T, Obscure>,
    takes_the_place: impl Fn(&T) -> bool,
) -> Values<T> {
    let (mut counts, mut obscure) = (None, Vec::new());
    for (number, value) in item.values.iter().enumerate() {
        match open(value) {
            Ok(opened) if counts.is_none() || takes_the_place(&opened) => {
                counts = Some((number, opened));
            }
            Ok(_) => {}
            Err(why) => obscure.push(why),
        }
    }
    Values { counts, obscure }
}

/// Which value of an item of a log counts, whatever somebody has put beside it.
pub(in crate::account) fn counting<S: LogState>(keys: &AccountKeys, item: &Item) -> Option<usize> {
    match is_pointer(&item.key.sort) {
        true => Some(open_pointers::<S>(keys, item).counts?.0),
        false => Some(open_values::<S>(keys, item).counts?.0),
    }
}

/// Whether an item of a log can be understood on its own. What somebody has put beside it does not
/// count.
pub(in crate::account) fn is_sound<S: LogState>(keys: &AccountKeys, item: &Item) -> bool {
    let mut sound = false;
    for value in &item.values {
        sound |= match open_value::<S>(keys, &item.key, value) {
            // What is cut can only be judged as a whole.
            Ok(Opened::Part(part)) if part.count > 1 => true,
            Ok(Opened::Part(part)) if S::decode_batch(&part.piece).is_ok() => true,
            Ok(Opened::Arrival(_)) => true,
            Ok(Opened::Part(_)) | Err(Obscure::Newer(_)) => return false,
            Err(Obscure::Damaged(_)) => false,
        };
    }
    sound
}
