//! FETCH responses: those that were asked for, and those that tell of changed flags.

use super::command::{Command, Item, Section};
use super::flags::Flags;
use super::hear::Hearing;
use super::mailbox::Message;
use super::text::DATES;
use crate::{Response, Value};
use std::collections::BTreeMap;

/// One line.
pub(super) fn hear(hearing: &mut Hearing<'_>, line: &Response) -> Result<(), String> {
    let (number, data) = line.numbered("FETCH").ok_or("no number")?;
    let items = items(data)?;
    let selected = hearing.selected()?;
    let mailbox = selected.mailbox;
    let place = (number as usize).wrapping_sub(1);
    let entry = selected.entries.get_mut(place).ok_or("no such message")?;
    let uid = entry.uid;
    if let Some(told) = items.get("UID")
        && told.number() != u64::from(uid)
    {
        return Err(format!("the message has UID {uid}"));
    }
    let flags = match items.get("FLAGS") {
        Some(list) => Some(Flags::parse(list.list())?),
        None => None,
    };
    entry.flags = flags.or(entry.flags);
    let modseq = items.get("MODSEQ").map(|value| value.list()[0].number());
    if let Some(modseq) = modseq {
        if modseq < entry.modseq {
            return Err(format!("MODSEQ {modseq} after {}", entry.modseq));
        }
        entry.modseq = modseq;
        hearing.world.sessions[hearing.client].told(modseq);
    }
    if let Some(list) = items.get("FLAGS") {
        recent(hearing, place, Flags::says_recent(list.list()))?;
    }
    let at = hearing.at;
    let message = hearing.world.mailboxes[mailbox]
        .state(at)
        .find(uid)
        .cloned();
    match (&message, flags) {
        (Some(message), Some(flags)) if message.flags != flags => {
            return Err(format!("UID {uid} has {}", message.flags.list()));
        }
        (None, Some(flags)) => {
            let had = |at: usize| {
                let message = hearing.world.mailboxes[mailbox].state(at).find(uid);
                message.is_some_and(|message| message.flags == flags)
            };
            if !(0..=at).any(had) {
                return Err(format!("UID {uid} never had these flags"));
            }
        }
        _ => {}
    }
    if let (Some(message), Some(modseq)) = (&message, modseq) {
        hearing.world.mailboxes[mailbox].bind(message.changed, modseq)?;
    }
    if answers(hearing, uid, &items, message.as_ref())? {
        return Ok(());
    }
    let condstore = hearing.world.sessions[hearing.client].condstore;
    if !items.contains_key("UID") || modseq.is_some() != condstore {
        return Err("UID, and MODSEQ for who knows CONDSTORE, belong to a change".to_owned());
    }
    match flags {
        None if !condstore => Err("nothing is told".to_owned()),
        _ => Ok(()),
    }
}

/// `\Recent` stays as long as a mailbox is selected, and one client only has it, looking on
/// left out (RFC 3501 §2.3.2).
fn recent(hearing: &mut Hearing<'_>, place: usize, is: bool) -> Result<(), String> {
    let holder = (
        hearing.client,
        hearing.world.sessions[hearing.client].selections,
    );
    let selected = hearing.selected()?;
    let (mailbox, read_only) = (selected.mailbox, selected.read_only);
    let entry = &mut selected.entries[place];
    let uid = entry.uid;
    if *entry.recent.get_or_insert(is) != is {
        return Err(format!("UID {uid} became \\Recent, or is not any more"));
    }
    if is && !read_only {
        let recent = &mut hearing.world.mailboxes[mailbox].recent;
        if *recent.entry(uid).or_insert(holder) != holder {
            return Err(format!("UID {uid} was \\Recent elsewhere"));
        }
    }
    Ok(())
}

pub(super) fn items(data: &[u8]) -> Result<BTreeMap<String, Value>, String> {
    let values = Value::parse_all(data);
    let [Value::List(list)] = values.as_slice() else {
        return Err("FETCH without one list".to_owned());
    };
    let mut items = BTreeMap::new();
    for pair in list.chunks(2) {
        let [name, value] = pair else {
            return Err(format!("an item without a value: {pair:?}"));
        };
        let name = name.text().to_uppercase();
        if items.insert(name.clone(), value.clone()).is_some() {
            return Err(format!("{name} comes twice"));
        }
    }
    Ok(items)
}

/// Whether the line is an answer to FETCH: then it has all that was asked for, and all of
/// it is right.
fn answers(
    hearing: &mut Hearing<'_>,
    uid: u32,
    told: &BTreeMap<String, Value>,
    message: Option<&Message>,
) -> Result<bool, String> {
    let Command::Fetch {
        items,
        changed_since,
        ..
    } = &hearing.said.command
    else {
        return Ok(false);
    };
    let Some(place) = hearing.asked.iter().position(|asked| *asked == uid) else {
        return Ok(false);
    };
    if items.iter().any(|item| !told.contains_key(&item.name())) {
        return Ok(false);
    }
    hearing.asked.remove(place);
    let mailbox = hearing.selected()?.mailbox;
    if let (Some(since), Some(message)) = (changed_since, message)
        && hearing.world.mailboxes[mailbox].is_after(message.changed, *since) == Some(false)
    {
        return Err(format!("UID {uid} did not change after {since}"));
    }
    // Of a message that is gone, the last there was.
    let last = |at: usize| hearing.world.mailboxes[mailbox].state(at).find(uid);
    let message = match message {
        Some(message) => message.clone(),
        None => (0..=hearing.at)
            .rev()
            .find_map(last)
            .ok_or("never there")?
            .clone(),
    };
    for item in items {
        let name = item.name();
        let value = &told[&name];
        let right = is_right(hearing, item, &message, value);
        if !right {
            return Err(format!(
                "{name} of UID {uid} is {value}, of {:?}",
                message.text
            ));
        }
    }
    Ok(true)
}

fn is_right(hearing: &mut Hearing<'_>, item: &Item, message: &Message, value: &Value) -> bool {
    let text = message.text;
    match item {
        Item::Flags | Item::Uid | Item::ModSeq => true,
        Item::InternalDate => match message.date {
            Some(date) => value.text() == DATES[usize::from(date)],
            None => {
                let dates = &mut hearing.world.dates;
                *dates.entry(text.number).or_insert_with(|| value.text()) == value.text()
            }
        },
        Item::Size => value.number() == text.octets().len() as u64,
        Item::Envelope => value.to_string() == text.envelope(),
        Item::Body {
            section, partial, ..
        } => {
            let octets = match section {
                Section::All => text.octets(),
                Section::Header => text.header().into_bytes(),
                Section::Text => text.body().into_bytes(),
                Section::Subject => format!("{}\r\n", text.subject_field()).into_bytes(),
            };
            let (first, count) = partial.unwrap_or((0, u32::MAX));
            let first = (first as usize).min(octets.len());
            let end = first.saturating_add(count as usize).min(octets.len());
            *value == Value::String(octets[first..end].to_vec())
        }
    }
}

/// At the end of FETCH, every message was answered that is there, unless it did not
/// change.
pub(super) fn end(hearing: &mut Hearing<'_>) -> Result<(), String> {
    let Command::Fetch {
        changed_since,
        items,
        ..
    } = &hearing.said.command
    else {
        return Ok(());
    };
    if changed_since.is_some() && items.iter().any(|item| item.sets_seen()) {
        // What had changed was looked for before `\Seen` was set; what changed between is
        // told as a change.
        return Ok(());
    }
    let (at, mailbox) = (hearing.at, hearing.selected()?.mailbox);
    let mailbox = &hearing.world.mailboxes[mailbox];
    for uid in &hearing.asked {
        let Some(message) = mailbox.state(at).find(*uid) else {
            continue;
        };
        let changed =
            changed_since.map_or(Some(true), |since| mailbox.is_after(message.changed, since));
        if changed == Some(true) {
            return Err(format!("UID {uid} was not answered"));
        }
    }
    Ok(())
}
