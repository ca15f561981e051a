//! What a client is told, checked line by line against a state of the mailbox.
//!
//! All that one command says of the selected mailbox has to be that mailbox at one moment,
//! not before the moment that the client was told of last: sequence numbers that mean the right UIDs,
//! flags, EXISTS, and afterwards everything that the client knows.

use super::act::{expected, is_all_gone, modified};
use super::command::Command;
use super::fetched;
use super::flags::{Flags, NAMES};
use super::found;
use super::vanished;
use super::wire::Said;
use super::world::{Entry, Selected, World};
use crate::{Response, Status};

/// One reading of what came: as of state `at` of the selected mailbox.
pub(super) struct Hearing<'a> {
    pub(super) world: World,
    pub(super) client: usize,
    pub(super) said: &'a Said,
    pub(super) at: usize,
    /// Whether messages may get other numbers (RFC 3501 §7.4.1).
    renumbers: bool,
    /// UIDs that are still to be answered by FETCH.
    pub(super) asked: Vec<u32>,
}

/// All ways to read what a command was answered.
///
/// # Errors
/// Why there is none now.
pub fn report(world: &World, client: usize, said: &Said) -> Result<Vec<World>, String> {
    let expected = expected(world, client, &said.command);
    let status = said.status()?;
    if status != expected && !(expected == Status::Ok && is_all_gone(said)) {
        return Err(format!(
            "{expected:?} was expected to {:?}: {:?}",
            said.command, said.answer
        ));
    }
    let mut world = world.clone();
    enable(&mut world, client, &said.command);
    match &said.command {
        Command::Select { .. } => super::select::report(world, client, said).map(|it| vec![it]),
        Command::Close | Command::Unselect if status == Status::Ok => {
            let left = &mut world.sessions[client];
            left.leave(&world.mailboxes);
            silence(&said.lines).map(|()| vec![world])
        }
        _ => read(&world, client, said, &said.lines),
    }
}

/// All ways to read what was said while a client was idle.
///
/// # Errors
/// Why there is none now.
pub fn overhear(
    world: &World,
    client: usize,
    said: &Said,
    lines: &[Response],
) -> Result<Vec<World>, String> {
    read(world, client, said, lines)
}

/// What was said in an IDLE, as announcements: each tells of one state.
#[must_use]
pub fn announcements(lines: &[Response]) -> Vec<&[Response]> {
    let rank = |line: &Response| match kind(line) {
        "FLAGS" => 0,
        "EXPUNGE" | "VANISHED" => 1,
        "EXISTS" => 2,
        "RECENT" => 3,
        "FETCH" => 4,
        _ => 5,
    };
    let fetched = |line: &Response| line.numbered("FETCH").map(|(number, _)| number);
    let mut parts = Vec::new();
    let mut begin = 0;
    for at in 1..lines.len() {
        let (before, now) = (rank(&lines[at - 1]), rank(&lines[at]));
        // Each message is told of once.
        let again = fetched(&lines[at]).is_some_and(|now| fetched(&lines[at - 1]) >= Some(now));
        if now < before || now == before && now == 2 || again {
            parts.push(&lines[begin..at]);
            begin = at;
        }
    }
    if begin < lines.len() {
        parts.push(&lines[begin..]);
    }
    parts
}

fn silence(lines: &[Response]) -> Result<(), String> {
    match lines.first() {
        None => Ok(()),
        Some(line) => Err(format!("nothing was to be said: {line:?}")),
    }
}

/// What a client enables by a command (RFC 7162 §3.1).
fn enable(world: &mut World, client: usize, command: &Command) {
    let session = &mut world.sessions[client];
    let enables = match command {
        Command::Enable { qresync } => {
            session.qresync |= *qresync;
            true
        }
        Command::Select {
            condstore, known, ..
        } => *condstore && known.is_none(),
        Command::Status { modseq, .. } => *modseq,
        Command::Fetch {
            items,
            changed_since,
            ..
        } => changed_since.is_some() || items.contains(&super::command::Item::ModSeq),
        Command::Store {
            unchanged_since, ..
        } => unchanged_since.is_some(),
        Command::Search { key, .. } => key.any(&|key| matches!(key, super::key::Key::ModSeq(_))),
        _ => false,
    };
    session.condstore |= enables;
}

fn read(
    world: &World,
    client: usize,
    said: &Said,
    lines: &[Response],
) -> Result<Vec<World>, String> {
    let now = |mailbox: usize| world.mailboxes[mailbox].now();
    let session = &world.sessions[client];
    let moments = match (&session.selected, &said.command) {
        (None, _) => 0..=0,
        // It looks into storage.
        (Some(selected), Command::Noop { .. }) => now(selected.mailbox)..=now(selected.mailbox),
        (Some(selected), _) => selected.at..=now(selected.mailbox),
    };
    let mut ways: Vec<World> = Vec::new();
    let mut why = String::new();
    for at in moments {
        let mut hearing = Hearing {
            world: world.clone(),
            client,
            said,
            at,
            renumbers: renumbers(&said.command),
            asked: Vec::new(),
        };
        match hearing.all(lines) {
            // Later moments of the same knowledge are open all the same.
            Ok(()) if ways.iter().any(|way| same(way, &hearing.world, client)) => {}
            Ok(()) => ways.push(hearing.world),
            Err(reason) => why = reason,
        }
    }
    // Messages that were not named yet are rather those of now.
    ways.reverse();
    if ways.is_empty() { Err(why) } else { Ok(ways) }
}

/// Whether a client knows the same in both.
fn same(one: &World, other: &World, client: usize) -> bool {
    let entries = |world: &World| {
        let selected = world.sessions[client].selected.as_ref();
        selected.map(|selected| selected.entries.clone())
    };
    entries(one) == entries(other) && one.mailboxes == other.mailboxes
}

/// Whether messages may get other numbers while a command is answered (RFC 3501 §7.4.1,
/// RFC 7162 §3.2.10.2).
fn renumbers(command: &Command) -> bool {
    match command {
        Command::Fetch { uid, .. } | Command::Store { uid, .. } => *uid,
        Command::Search { uid, key, .. } => {
            *uid && !key.any(&|key| matches!(key, super::key::Key::Numbers(_)))
        }
        _ => true,
    }
}

/// `EXISTS` of `* 3 EXISTS`, `SEARCH` of `* SEARCH 1`, the code of `* OK [CODE …`.
pub(super) fn kind(line: &Response) -> &str {
    let text = core::str::from_utf8(&line.0[..line.0.len().min(40)]).unwrap_or_default();
    let mut words = text.split(' ').skip(1);
    let first = words.next().unwrap_or_default();
    let digits = first.bytes().all(|octet| octet.is_ascii_digit());
    match first {
        "OK" => words.next().unwrap_or_default().trim_matches(['[', ']']),
        _ if digits => words.next().unwrap_or_default(),
        first => first,
    }
}

impl Hearing<'_> {
    pub(super) fn selected(&mut self) -> Result<&mut Selected, String> {
        let selected = self.world.sessions[self.client].selected.as_mut();
        selected.ok_or_else(|| "nothing is selected".to_owned())
    }

    fn all(&mut self, lines: &[Response]) -> Result<(), String> {
        let ok = self.said.answer.is_none()
            || self.said.status()? == Status::Ok
            || is_all_gone(self.said);
        if ok {
            self.begin()?;
        }
        for line in lines {
            self.line(line).map_err(|why| format!("{line:?}: {why}"))?;
        }
        if !ok {
            return silence_but_modseq(lines);
        }
        self.end(lines)
    }

    /// What the client takes for granted, and what it waits for.
    fn begin(&mut self) -> Result<(), String> {
        let said = self.said;
        match &said.command {
            Command::Fetch { uid, set, .. } => {
                self.asked = self.selected()?.named(*uid, set).unwrap_or_default();
            }
            Command::Store {
                uid,
                set,
                change,
                silent: true,
                flags,
                ..
            } => {
                let modified = modified(&self.world, self.client, said)?;
                let selected = self.selected()?;
                let mut uids = selected.named(*uid, set).unwrap_or_default();
                uids.retain(|uid| !modified.contains(uid));
                for entry in &mut selected.entries {
                    if uids.contains(&entry.uid)
                        && (entry.flags.is_some() || *change == super::flags::Change::Replace)
                    {
                        let before = entry.flags.unwrap_or_default();
                        entry.flags = Some(change.apply(before, *flags));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn line(&mut self, line: &Response) -> Result<(), String> {
        match kind(line) {
            "FETCH" => fetched::hear(self, line),
            "EXPUNGE" => {
                let number = line.numbered("EXPUNGE").ok_or("no number")?.0 as usize;
                if self.world.sessions[self.client].qresync {
                    return Err("EXPUNGE where VANISHED is enabled".to_owned());
                }
                let state = self.state_has(number)?;
                if state {
                    return Err("the message is still there".to_owned());
                }
                self.may_renumber()?;
                self.selected()?.entries.remove(number - 1);
                Ok(())
            }
            "VANISHED" => vanished::hear(self, line),
            "EXISTS" => {
                let count = line.numbered("EXISTS").ok_or("no number")?.0 as usize;
                self.exists(count)
            }
            "RECENT" => {
                let count = line.numbered("RECENT").ok_or("no number")?.0 as usize;
                let entries = &self.selected()?.entries;
                let is = |recent| {
                    entries
                        .iter()
                        .filter(|it| it.recent == Some(recent))
                        .count()
                };
                let (least, most) = (is(true), entries.len() - is(false));
                match (least..=most).contains(&count) {
                    true => Ok(()),
                    false => Err(format!("there are {least} to {most}")),
                }
            }
            "FLAGS" => {
                let keywords = keywords(line)?;
                self.selected()?.keywords = keywords;
                Ok(())
            }
            "HIGHESTMODSEQ" => {
                let code = line.code("HIGHESTMODSEQ").unwrap_or_default();
                self.highest(&code)
            }
            "SEARCH" | "ESEARCH" => found::hear(self, line),
            "STATUS" => super::status::hear(&mut self.world, self.said, line),
            "ENABLED" if matches!(self.said.command, Command::Enable { .. }) => Ok(()),
            // It is judged where the copies are made.
            "COPYUID" if matches!(self.said.command, Command::Copy { moves: true, .. }) => Ok(()),
            "Still" if self.said.command == Command::Idle => Ok(()),
            _ => Err("not to be said now".to_owned()),
        }
    }

    /// Whether the message of a number is there at the moment that the lines are of.
    fn state_has(&mut self, number: usize) -> Result<bool, String> {
        let at = self.at;
        let selected = self.selected()?;
        let mailbox = selected.mailbox;
        let count = selected.entries.len();
        let Some(entry) = number
            .checked_sub(1)
            .and_then(|at| selected.entries.get(at))
        else {
            return Err(format!("of {count} messages"));
        };
        let uid = entry.uid;
        Ok(self.world.mailboxes[mailbox].state(at).find(uid).is_some())
    }

    pub(super) fn may_renumber(&mut self) -> Result<(), String> {
        if self.renumbers {
            return Ok(());
        }
        Err(format!("during {:?}", self.said.command))
    }

    fn exists(&mut self, count: usize) -> Result<(), String> {
        let at = self.at;
        let selected = self.selected()?;
        let before = selected.entries.len();
        if count < before {
            return Err(format!("after {before}, without EXPUNGE"));
        }
        let mailbox = selected.mailbox;
        let uids: Vec<u32> = self.world.mailboxes[mailbox].state(at).uids().collect();
        let selected = self.selected()?;
        let same = selected
            .entries
            .iter()
            .zip(&uids)
            .all(|(entry, uid)| entry.uid == *uid);
        if uids.len() != count || !same {
            return Err(format!("where UIDs are {uids:?}"));
        }
        selected
            .entries
            .extend(uids[before..].iter().copied().map(Entry::new));
        Ok(())
    }

    /// HIGHESTMODSEQ: never lower than before, and not above what the client does not know
    /// of.
    pub(super) fn highest(&mut self, code: &str) -> Result<(), String> {
        let modseq: u64 = code.parse().map_err(|_| format!("HIGHESTMODSEQ {code}"))?;
        self.world.sessions[self.client].told(modseq);
        let selected = self.selected()?;
        if modseq < selected.highest {
            return Err(format!("HIGHESTMODSEQ {modseq} after {}", selected.highest));
        }
        selected.highest = modseq;
        let (shown, mailbox) = (selected.shown, selected.mailbox);
        let known: Vec<u32> = selected.entries.iter().map(|entry| entry.uid).collect();
        let mailbox = &self.world.mailboxes[mailbox];
        let (lower, _) = mailbox.bounds(shown);
        if modseq < lower {
            return Err(format!("the client was told of {lower} already"));
        }
        let gone = |at: &usize| {
            let state = mailbox.state(*at);
            let mut born = known.iter().filter(|uid| **uid < state.next);
            born.any(|uid| state.find(*uid).is_none())
        };
        if let Some(at) = (shown + 1..=self.at).find(gone) {
            let (_, upper) = mailbox.bounds(at);
            if modseq > upper {
                return Err(format!(
                    "it includes an expunge of {upper} that was not told"
                ));
            }
        }
        Ok(())
    }

    /// What the client knows now has to be the mailbox at that moment.
    fn end(&mut self, lines: &[Response]) -> Result<(), String> {
        let said = self.said;
        found::expected(said, lines)?;
        fetched::end(self)?;
        vanished::end(self, lines)?;
        let (at, renumbers) = (self.at, self.renumbers);
        let silent = !announces(self)?;
        let Ok(selected) = self.selected() else {
            return Ok(());
        };
        let (mailbox, shown) = (selected.mailbox, selected.shown);
        let before = self.world.mailboxes[mailbox].state(shown).clone();
        let state = self.world.mailboxes[mailbox].state(at).clone();
        let selected = self.selected()?;
        let gone = selected
            .entries
            .iter()
            .any(|entry| state.find(entry.uid).is_none());
        if let Some(difference) = selected.difference(&state) {
            return Err(difference);
        }
        if selected.lists(&state) {
            selected.at = at;
            // The same messages may still be those of the state before.
            if !selected.lists(&before) {
                selected.shown = at;
            }
        } else if silent || !renumbers && gone {
            selected.at = at;
        } else {
            let known: Vec<u32> = selected.entries.iter().map(|entry| entry.uid).collect();
            let is: Vec<u32> = state.uids().collect();
            return Err(format!(
                "the client knows of UIDs {known:?}, there are {is:?}"
            ));
        }
        let there = selected
            .entries
            .iter()
            .filter(|entry| state.find(entry.uid).is_some());
        let known = there.filter_map(|entry| entry.flags);
        let used = known.fold(0, |all, flags| all | flags.0) & Flags::KEYWORDS.0;
        if !silent && !selected.keywords.has(Flags(used)) {
            return Err("a keyword that FLAGS does not name".to_owned());
        }
        if let Some(code) = said.code("HIGHESTMODSEQ") {
            self.highest(&code)?;
        }
        Ok(())
    }
}

/// Whether a command tells what changed; what it leaves out is told later.
fn announces(hearing: &mut Hearing<'_>) -> Result<bool, String> {
    match &hearing.said.command {
        Command::Enable { .. } => Ok(false),
        // What was told until DONE; more may be on its way.
        Command::Idle => Ok(true),
        Command::Copy { uid, set, .. } => {
            let named = hearing.selected()?.named(*uid, set);
            Ok(named.is_some_and(|named| !named.is_empty())
                || hearing.said.code("COPYUID").is_some())
        }
        _ => Ok(true),
    }
}

/// A command that failed says nothing but what CONDSTORE makes it say first.
fn silence_but_modseq(lines: &[Response]) -> Result<(), String> {
    let other = lines.iter().find(|line| kind(line) != "HIGHESTMODSEQ");
    match other {
        None => Ok(()),
        Some(line) => Err(format!("to a command that failed: {line:?}")),
    }
}

/// The keywords of `* FLAGS (…)`, as far as the model uses them.
pub(super) fn keywords(line: &Response) -> Result<Flags, String> {
    let data = line.data("FLAGS").ok_or("no FLAGS")?;
    let [crate::Value::List(list)] = data.as_slice() else {
        return Err("FLAGS without a list".to_owned());
    };
    let mut keywords = Flags::default();
    for text in list.iter().map(crate::Value::text) {
        let bit = NAMES
            .iter()
            .position(|name| name.eq_ignore_ascii_case(&text));
        keywords.0 |= 1 << bit.ok_or_else(|| format!("a flag that nobody has set: {text}"))?;
    }
    Ok(Flags(keywords.0 & Flags::KEYWORDS.0))
}
