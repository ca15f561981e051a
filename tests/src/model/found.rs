//! SEARCH and ESEARCH responses.

use super::command::{Command, RETURN};
use super::hear::{Hearing, kind};
use super::key::Judged;
use super::set::Set;
use super::wire::Said;
use crate::{Response, Status};

/// One line.
pub(super) fn hear(hearing: &mut Hearing<'_>, line: &Response) -> Result<(), String> {
    let Command::Search { uid, options, .. } = &hearing.said.command else {
        return Err("nobody searches".to_owned());
    };
    let all = judged(hearing)?;
    let text = line.text();
    let told = match options {
        None => search(&text)?,
        Some(bits) => {
            let head = format!("* ESEARCH (TAG \"{}\")", hearing.said.tag);
            let rest = text.strip_prefix(&head).ok_or("not of this command")?;
            let rest = match (uid, rest.strip_prefix(" UID")) {
                (true, rest) => rest.ok_or("without UID")?,
                (false, None) => rest,
                (false, Some(_)) => return Err("with UID".to_owned()),
            };
            // RETURN () is RETURN (ALL) (RFC 4731 §3.1).
            let bits = if bits & 0b1111 == 0 { 0b100 } else { *bits };
            return esearch(rest, bits, &all);
        }
    };
    let mut told = told.into_iter().peekable();
    for (number, found) in all {
        let is = told.next_if_eq(&number).is_some();
        if found.is_some_and(|found| found != is) {
            return Err(format!("{number} is {}found", if is { "" } else { "not " }));
        }
    }
    match told.next() {
        Some(number) => Err(format!("{number} is out of order, or not there")),
        None => Ok(()),
    }
}

/// Numbers or UIDs of all messages, and whether they match; `None`: that cannot be known.
fn judged(hearing: &mut Hearing<'_>) -> Result<Vec<(u32, Option<bool>)>, String> {
    let (at, said) = (hearing.at, hearing.said);
    let Command::Search { uid, key, .. } = &said.command else {
        return Ok(Vec::new());
    };
    let selected = hearing.selected()?.clone();
    let mailbox = &hearing.world.mailboxes[selected.mailbox];
    let judge = |(entry, number): (&super::world::Entry, u32)| {
        let found = mailbox.state(at).find(entry.uid).and_then(|message| {
            key.judge(&Judged {
                number,
                count: selected.count(),
                last: selected.last_uid(),
                message,
                is_after: &|modseq| mailbox.is_after(message.changed, modseq),
            })
        });
        (if *uid { entry.uid } else { number }, found)
    };
    Ok(selected.entries.iter().zip(1..).map(judge).collect())
}

/// The numbers of `* SEARCH 2 84 882`, and MODSEQ left out.
fn search(text: &str) -> Result<Vec<u32>, String> {
    let rest = text.strip_prefix("* SEARCH").ok_or("not SEARCH")?;
    let rest = rest.split_once(" (MODSEQ ").map_or(rest, |(rest, _)| rest);
    let numbers = rest.split(' ').filter(|word| !word.is_empty());
    let numbers = numbers.map(|word| word.parse().map_err(|_| format!("{word} is no number")));
    numbers.collect()
}

fn esearch(rest: &str, bits: u8, all: &[(u32, Option<bool>)]) -> Result<(), String> {
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    let mut told: Vec<(&str, &str)> = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        told.push((name, value));
    }
    told.retain(|(name, _)| *name != "MODSEQ");
    if all.iter().any(|(_, found)| found.is_none()) {
        return Ok(());
    }
    let matching = all.iter().filter(|(_, found)| *found == Some(true));
    let matching: Vec<u32> = matching.map(|(number, _)| *number).collect();
    for (bit, name) in RETURN.iter().enumerate() {
        let value = told
            .iter()
            .find(|(told, _)| told == name)
            .map(|(_, value)| *value);
        let wanted = bits >> bit & 1 == 1;
        let expected = match *name {
            "MIN" => matching.first().map(|number| vec![*number]),
            "MAX" => matching.last().map(|number| vec![*number]),
            "ALL" => (!matching.is_empty()).then(|| matching.clone()),
            _ => Some(vec![matching.len() as u32]),
        };
        let value = match value {
            Some("0") => Some(vec![0]),
            Some(value) => Some(Set::numbers(value)?),
            None => None,
        };
        if value != expected.clone().filter(|_| wanted) {
            return Err(format!("{name} is {value:?}, {matching:?} match"));
        }
    }
    Ok(())
}

/// SEARCH is answered once.
pub(super) fn expected(said: &Said, lines: &[Response]) -> Result<(), String> {
    let word = match &said.command {
        Command::Search { options: None, .. } => "SEARCH",
        Command::Search { .. } => "ESEARCH",
        Command::Status { .. } => "STATUS",
        Command::Enable { .. } => "ENABLED",
        _ => return Ok(()),
    };
    let count = lines.iter().filter(|line| kind(line) == word).count();
    if count != 1 && said.status()? == Status::Ok {
        return Err(format!("{word} comes {count} times"));
    }
    Ok(())
}
