//! What SELECT and EXAMINE say: the mailbox as it is now, and to who was away (RFC 7162
//! §3.2.5) what became of the messages that it remembers.

use super::command::Command;
use super::fetched;
use super::flags::Flags;
use super::hear::{keywords, kind};
use super::set::Set;
use super::wire::Said;
use super::world::{Entry, Selected, World};
use crate::{Response, Value};

pub(super) fn report(world: World, client: usize, said: &Said) -> Result<World, String> {
    let Command::Select {
        mailbox,
        examine,
        known,
        ..
    } = &said.command
    else {
        return Err("nobody selects".to_owned());
    };
    let mut world = world;
    let closes = world.sessions[client].selected.is_some();
    {
        let World {
            sessions,
            mailboxes,
            ..
        } = &mut world;
        sessions[client].leave(mailboxes);
    }
    let code = said.code(if *examine { "READ-ONLY" } else { "READ-WRITE" });
    code.ok_or("not READ-ONLY or READ-WRITE as asked")?;
    let remembered = world.sessions[client].remembered[*mailbox].clone();
    let remembered = remembered.filter(|_| known.is_some());
    let now = world.mailboxes[*mailbox].now();
    let state = world.mailboxes[*mailbox].newest().clone();
    let flags = |uid: u32| {
        let entries = remembered.as_ref().map(|it| it.entries.as_slice());
        let entry = entries.unwrap_or_default().iter().find(|it| it.uid == uid);
        Entry {
            recent: None,
            ..entry.cloned().unwrap_or_else(|| Entry::new(uid))
        }
    };
    world.sessions[client].selections += 1;
    world.sessions[client].selected = Some(Selected {
        mailbox: *mailbox,
        read_only: *examine,
        entries: state.uids().map(flags).collect(),
        at: now,
        shown: now,
        highest: 0,
        keywords: Flags::default(),
    });
    let mut vanished = Vec::new();
    let mut told: Vec<&str> = Vec::new();
    for line in &said.lines {
        let kind = kind(line);
        let heard = match kind {
            "FETCH" if known.is_some() => changed(&mut world, client, line),
            "VANISHED" if known.is_some() => {
                let text = line.text();
                let set = text
                    .strip_prefix("* VANISHED (EARLIER) ")
                    .ok_or("not EARLIER")?;
                vanished.extend(Set::numbers(set)?);
                Ok(())
            }
            _ => data(&mut world, client, line, kind),
        };
        heard.map_err(|why| format!("{line:?}: {why}"))?;
        told.push(kind);
    }
    let required = [
        "FLAGS",
        "EXISTS",
        "RECENT",
        "PERMANENTFLAGS",
        "UIDVALIDITY",
        "UIDNEXT",
        "HIGHESTMODSEQ",
    ];
    if let Some(missing) = required
        .iter()
        .find(|it| told.iter().filter(|told| told == it).count() != 1)
    {
        return Err(format!("{missing} is not said once"));
    }
    if closes != told.contains(&"CLOSED") {
        return Err("CLOSED has its place where a mailbox was selected".to_owned());
    }
    let unseen = state.messages.iter().any(|it| !it.flags.has(Flags::SEEN));
    if unseen != told.contains(&"UNSEEN") {
        return Err("UNSEEN has its place where there are unseen messages".to_owned());
    }
    if let Some(uid) = vanished
        .iter()
        .find(|uid| state.find(**uid).is_some() || **uid >= state.next)
    {
        return Err(format!("VANISHED names UID {uid}, which did not"));
    }
    let entries = remembered.iter().flat_map(|it| &it.entries);
    let mut gone = entries.filter(|entry| state.find(entry.uid).is_none());
    if let Some(entry) = gone.find(|entry| !vanished.contains(&entry.uid)) {
        return Err(format!("VANISHED does not name UID {}", entry.uid));
    }
    let selected = world.sessions[client].selected.as_ref();
    match selected.and_then(|selected| selected.difference(&state)) {
        Some(difference) => Err(difference),
        None => Ok(world),
    }
}

fn data(world: &mut World, client: usize, line: &Response, kind: &str) -> Result<(), String> {
    let World {
        sessions,
        mailboxes,
        ..
    } = world;
    let session = &mut sessions[client];
    let selected = session.selected.as_mut().ok_or("nothing is selected")?;
    let mailbox = &mut mailboxes[selected.mailbox];
    let (now, state) = (mailbox.now(), mailbox.newest().clone());
    let number = |name: &str| -> Result<u64, String> {
        let code = line.code(name).ok_or("no code")?;
        code.parse().map_err(|_| "not a number".to_owned())
    };
    let told = |name: &str| {
        line.numbered(name)
            .map(|(number, _)| u64::from(number))
            .ok_or("no number")
    };
    let is = |told: u64, expected: u64| match told == expected {
        true => Ok(()),
        false => Err(format!("{expected} was expected")),
    };
    match kind {
        "CLOSED" => Ok(()),
        "FLAGS" => {
            selected.keywords = keywords(line)?;
            match selected.keywords.has(state.keywords) {
                true => Ok(()),
                false => Err("a keyword is missing".to_owned()),
            }
        }
        "PERMANENTFLAGS" if selected.read_only => match line.code(kind).as_deref() {
            Some("()") => Ok(()),
            _ => Err("of a mailbox that is read only".to_owned()),
        },
        "PERMANENTFLAGS" => Ok(()),
        "EXISTS" => is(told("EXISTS")?, state.messages.len() as u64),
        "RECENT" => match told("RECENT")? <= state.messages.len() as u64 {
            true => Ok(()),
            false => Err("more than there are".to_owned()),
        },
        "UNSEEN" => {
            let first = state
                .messages
                .iter()
                .position(|it| !it.flags.has(Flags::SEEN));
            is(number("UNSEEN")?, first.map_or(0, |place| place as u64 + 1))
        }
        "UIDVALIDITY" => {
            let validity = number("UIDVALIDITY")?;
            let told = u32::try_from(validity).map_err(|_| "32 bits")?;
            is(
                validity,
                u64::from(*mailbox.uid_validity.get_or_insert(told)),
            )
        }
        "UIDNEXT" => is(number("UIDNEXT")?, u64::from(state.next)),
        "HIGHESTMODSEQ" => {
            let modseq = number("HIGHESTMODSEQ")?;
            selected.highest = modseq;
            session.told(modseq);
            mailbox.bind_highest(now, modseq)
        }
        _ => Err("not to be said now".to_owned()),
    }
}

/// Flags that changed while the client was away.
fn changed(world: &mut World, client: usize, line: &Response) -> Result<(), String> {
    let World {
        sessions,
        mailboxes,
        ..
    } = world;
    let selected = sessions[client]
        .selected
        .as_mut()
        .ok_or("nothing is selected")?;
    let (number, data) = line.numbered("FETCH").ok_or("no number")?;
    let items = fetched::items(data)?;
    let (Some(uid), Some(list), Some(modseq)) =
        (items.get("UID"), items.get("FLAGS"), items.get("MODSEQ"))
    else {
        return Err("UID, FLAGS and MODSEQ belong to it".to_owned());
    };
    let entry = selected
        .entries
        .get_mut(number as usize - 1)
        .ok_or("no such message")?;
    if uid.number() != u64::from(entry.uid) {
        return Err(format!("the message has UID {}", entry.uid));
    }
    entry.flags = Some(Flags::parse(Value::list(list))?);
    entry.modseq = modseq.list()[0].number();
    let mailbox = &mut mailboxes[selected.mailbox];
    let changed = mailbox
        .newest()
        .find(entry.uid)
        .map_or(0, |message| message.changed);
    mailbox.bind(changed, entry.modseq)
}
