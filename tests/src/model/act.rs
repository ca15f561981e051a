//! What commands do to the reference mailboxes, one step at a time.
//!
//! A command that changes something takes effect at one moment between its sending and
//! its answer; COPY reads its messages at one moment, adds the copies at a later one, and MOVE
//! takes the originals away at a third. What the answer says of it (UIDs, MODIFIED) has to
//! be what the reference does.

use super::command::{Command, Item};
use super::flags::{Change, Flags};
use super::mailbox::{Arrival, Mailbox};
use super::set::Set;
use super::wire::Said;
use super::world::World;
use crate::Status;

/// In how many steps a command changes something.
#[must_use]
pub fn acts(said: &Said) -> usize {
    match &said.command {
        Command::Append { .. } | Command::Close | Command::Store { .. } => 1,
        Command::Expunge { .. } => 1,
        Command::Fetch { items, .. } => usize::from(items.iter().any(|item| item.sets_seen())),
        Command::Copy { moves, .. } => 2 + usize::from(*moves),
        _ => 0,
    }
}

/// How a command has to end.
#[must_use]
pub fn expected(world: &World, client: usize, command: &Command) -> Status {
    let Some(selected) = &world.sessions[client].selected else {
        return if command.needs_selected() {
            Status::Bad
        } else {
            Status::Ok
        };
    };
    let bad_set = |uid: bool, set: &Set| selected.named(uid, set).is_none();
    match command {
        Command::Store { .. } | Command::Expunge { .. } | Command::Copy { moves: true, .. }
            if selected.read_only =>
        {
            Status::No
        }
        Command::Store { uid, set, .. }
        | Command::Fetch { uid, set, .. }
        | Command::Copy { uid, set, .. }
            if bad_set(*uid, set) =>
        {
            Status::Bad
        }
        Command::Search { key, .. } => {
            let count = selected.count();
            let absent = |key: &super::key::Key| match key {
                super::key::Key::Numbers(set) => !set.is_valid(count),
                _ => false,
            };
            if key.any(&absent) {
                Status::Bad
            } else {
                Status::Ok
            }
        }
        _ => Status::Ok,
    }
}

/// Whether a COPY or MOVE by message numbers says that nothing is left of these messages
/// (RFC 2180 §4.4.1, RFC 5530 §3).
#[must_use]
pub fn is_all_gone(said: &Said) -> bool {
    let by_numbers = matches!(said.command, Command::Copy { uid: false, .. });
    by_numbers && said.status() == Ok(Status::No) && said.code("EXPUNGEISSUED").is_some()
}

/// Takes a step of a command: all the ways in which it can have been.
///
/// # Errors
/// Why it cannot have been now.
pub fn act(world: &World, client: usize, said: &Said, step: usize) -> Result<Vec<World>, String> {
    if expected(world, client, &said.command) != Status::Ok {
        return Ok(vec![world.clone()]);
    }
    if said.status()? != Status::Ok && !is_all_gone(said) {
        return Err(format!("{:?} to {:?}", said.answer, said.command));
    }
    let mut world = world.clone();
    match &said.command {
        Command::Append {
            mailbox, arrivals, ..
        } => {
            let code = said.code("APPENDUID").ok_or("no APPENDUID")?;
            let (validity, uids) = code.split_once(' ').ok_or("APPENDUID without UIDs")?;
            let arrivals: Vec<_> = arrivals.iter().map(|it| (None, it.clone())).collect();
            arrive(&mut world.mailboxes[*mailbox], &arrivals, validity, uids)?;
            world.sees(client, *mailbox);
            Ok(vec![world])
        }
        Command::Store {
            uid,
            set,
            change,
            flags,
            unchanged_since,
            ..
        } => {
            let condition = Condition {
                change: *change,
                flags: *flags,
                since: *unchanged_since,
            };
            let uids = named(&world, client, *uid, set);
            store(&mut world, client, said, &uids, &condition)?;
            Ok(vec![world])
        }
        Command::Expunge { set } => {
            let uids = set.as_ref().map(|set| named(&world, client, true, set));
            let goes = |uid: u32| uids.as_ref().is_none_or(|uids| uids.contains(&uid));
            let mailbox = world.selected(client);
            world.mailboxes[mailbox]
                .expunge(|message| message.flags.has(Flags::DELETED) && goes(message.uid));
            world.sees(client, mailbox);
            Ok(vec![world])
        }
        Command::Close => Ok(close(world, client)),
        Command::Fetch {
            uid,
            set,
            items,
            changed_since,
            ..
        } => {
            let mut uids = named(&world, client, *uid, set);
            if changed_since.is_some() {
                // What did not change is not fetched, and so not seen.
                uids.retain(|uid| is_fetched(&world, client, said, *uid));
            }
            Ok(see(&world, client, &uids, items))
        }
        Command::Copy {
            uid, set, mailbox, ..
        } => {
            let uids = named(&world, client, *uid, set);
            match step {
                0 => read(&mut world, client, said, &uids)?,
                1 => copy(&mut world, client, said, *mailbox)?,
                _ => {
                    let moved = core::mem::take(&mut world.sessions[client].copying);
                    let from = world.selected(client);
                    world.mailboxes[from]
                        .expunge(|message| moved.iter().any(|(uid, _)| *uid == message.uid));
                    // Where there was nothing to move, nothing was looked at.
                    if !moved.is_empty() {
                        world.sees(client, from);
                    }
                }
            }
            Ok(vec![world])
        }
        _ => Ok(vec![world]),
    }
}

impl World {
    /// Which mailbox a client has selected, if it has.
    fn selected(&self, client: usize) -> usize {
        let selected = self.sessions[client].selected.as_ref();
        selected.map_or(0, |selected| selected.mailbox)
    }

    /// From now on the client's server side knows what the mailbox is like now.
    fn sees(&mut self, client: usize, mailbox: usize) {
        if let Some(selected) = &mut self.sessions[client].selected
            && selected.mailbox == mailbox
        {
            selected.at = self.mailboxes[mailbox].now();
        }
    }
}

fn named(world: &World, client: usize, uid: bool, set: &Set) -> Vec<u32> {
    let selected = world.sessions[client].selected.as_ref();
    selected
        .and_then(|selected| selected.named(uid, set))
        .unwrap_or_default()
}

/// Messages come, or are there already, under the UIDs that the server said.
fn arrive(
    mailbox: &mut Mailbox,
    arrivals: &[(Option<u32>, Arrival)],
    validity: &str,
    uids: &str,
) -> Result<Vec<u32>, String> {
    let validity: u32 = validity
        .parse()
        .map_err(|_| format!("UIDVALIDITY {validity}"))?;
    if *mailbox.uid_validity.get_or_insert(validity) != validity {
        return Err(format!("another UIDVALIDITY: {validity}"));
    }
    let expected = mailbox.bring(arrivals);
    let told = Set::numbers(uids)?;
    if told != expected {
        return Err(format!("UIDs {told:?} where {expected:?} are next"));
    }
    Ok(told)
}

struct Condition {
    change: Change,
    flags: Flags,
    since: Option<u64>,
}

fn store(
    world: &mut World,
    client: usize,
    said: &Said,
    uids: &[u32],
    condition: &Condition,
) -> Result<(), String> {
    let at = world.selected(client);
    let modified = modified(world, client, said)?;
    if let Some(uid) = modified.iter().find(|uid| !uids.contains(uid)) {
        return Err(format!("MODIFIED names UID {uid}, which was not asked for"));
    }
    let mailbox = &mut world.mailboxes[at];
    let mut stored = Vec::new();
    for message in mailbox
        .newest()
        .messages
        .iter()
        .filter(|it| uids.contains(&it.uid))
    {
        let uid = message.uid;
        let after = condition.since.map_or(Some(false), |since| {
            mailbox.is_after(message.changed, since)
        });
        let exempt =
            condition.change != Change::Replace && never_had(mailbox, uid, condition.flags);
        let spared = condition.change != Change::Replace
            && condition
                .since
                .is_some_and(|since| left_alone(mailbox, uid, condition.flags, since));
        let is = modified.contains(&uid);
        if is && (exempt || after == Some(false)) {
            return Err(format!("MODIFIED names UID {uid}, which had not changed"));
        }
        if !is && !exempt && !spared && after == Some(true) {
            return Err(format!(
                "MODIFIED does not name UID {uid}, which had changed"
            ));
        }
        if !is {
            stored.push(uid);
        }
    }
    mailbox.store(&stored, |before| {
        condition.change.apply(before, condition.flags)
    });
    world.sees(client, at);
    Ok(())
}

/// UIDs that the answer to STORE says had changed.
pub(super) fn modified(world: &World, client: usize, said: &Said) -> Result<Vec<u32>, String> {
    let Some(code) = said.code("MODIFIED") else {
        return Ok(Vec::new());
    };
    let numbers = Set::numbers(&code)?;
    if matches!(said.command, Command::Store { uid: true, .. }) {
        return Ok(numbers);
    }
    let selected = world.sessions[client].selected.as_ref();
    let entries = selected
        .map(|selected| selected.entries.as_slice())
        .unwrap_or_default();
    let uid = |number: u32| entries.get(number as usize - 1).map(|entry| entry.uid);
    let uids = numbers
        .into_iter()
        .map(|number| uid(number).ok_or("MODIFIED out of range"));
    Ok(uids.collect::<Result<_, _>>()?)
}

/// Whether all of these flags are keywords that a message never had: to them nothing
/// happened since any MODSEQ (RFC 7162 §3.1.12).
fn never_had(mailbox: &Mailbox, uid: u32, flags: Flags) -> bool {
    let had = |at: usize| {
        let message = mailbox.state(at).find(uid);
        message.is_some_and(|message| message.flags.0 & flags.0 != 0)
    };
    flags != Flags::default() && Flags::KEYWORDS.has(flags) && !(0..=mailbox.now()).any(had)
}

/// Whether others changed other flags of a message only, since a state that has no more than this
/// MODSEQ: a server may know that, and need not (RFC 7162 §3.1.3).
fn left_alone(mailbox: &Mailbox, uid: u32, flags: Flags, since: u64) -> bool {
    let messages = (0..=mailbox.now()).rev();
    let mut messages = messages.map_while(|at| mailbox.state(at).find(uid));
    let Some(newest) = messages.next() else {
        return false;
    };
    messages
        .take_while(|it| it.flags.0 & flags.0 == newest.flags.0 & flags.0)
        .any(|it| mailbox.is_after(it.changed, since) != Some(true))
}

/// The server may not know yet that there is something to expunge.
fn close(world: World, client: usize) -> Vec<World> {
    let Some(selected) = &world.sessions[client].selected else {
        return vec![world];
    };
    let (at, mailbox) = (selected.mailbox, &world.mailboxes[selected.mailbox]);
    let deleted = |at: usize| {
        let mut messages = mailbox.state(at).messages.iter();
        messages.any(|message| message.flags.has(Flags::DELETED))
    };
    if selected.read_only || !deleted(mailbox.now()) {
        return vec![world];
    }
    let unknown = (selected.at..mailbox.now()).any(|at| !deleted(at));
    let mut expunged = world.clone();
    expunged.mailboxes[at].expunge(|message| message.flags.has(Flags::DELETED));
    let mut all = vec![expunged];
    all.extend(unknown.then_some(world));
    all
}

/// Whether an answer to FETCH is about a message.
fn is_fetched(world: &World, client: usize, said: &Said, uid: u32) -> bool {
    let selected = world.sessions[client].selected.as_ref();
    let entries = selected
        .map(|selected| selected.entries.as_slice())
        .unwrap_or_default();
    let number = entries.iter().zip(1..).find(|(entry, _)| entry.uid == uid);
    let number = number.map(|(_, number): (_, u32)| number);
    let has_body = |data: &[u8]| data.windows(5).any(|five| five == b"BODY[");
    let mut fetched = said.lines.iter().filter_map(|line| line.numbered("FETCH"));
    fetched.any(|(of, data)| Some(of) == number && has_body(data))
}

/// `\Seen` is set where the server does not think that it is set already.
fn see(world: &World, client: usize, uids: &[u32], items: &[Item]) -> Vec<World> {
    let Some(selected) = &world.sessions[client].selected else {
        return vec![world.clone()];
    };
    if selected.read_only || !items.iter().any(|item| item.sets_seen()) {
        return vec![world.clone()];
    }
    let (at, mailbox) = (selected.mailbox, &world.mailboxes[selected.mailbox]);
    let mut ways: Vec<Vec<u32>> = Vec::new();
    for state in (selected.at..=mailbox.now())
        .rev()
        .map(|at| mailbox.state(at))
    {
        let unseen = state
            .messages
            .iter()
            .filter(|it| !it.flags.has(Flags::SEEN));
        let unseen: Vec<u32> = unseen
            .map(|it| it.uid)
            .filter(|uid| uids.contains(uid))
            .collect();
        if !ways.contains(&unseen) {
            ways.push(unseen);
        }
    }
    let done = ways.into_iter().map(|unseen| {
        let mut world = world.clone();
        if !unseen.is_empty() {
            world.mailboxes[at].store(&unseen, |flags| Flags(flags.0 | Flags::SEEN.0));
            world.sees(client, at);
        }
        world
    });
    done.collect()
}

/// The three words of COPYUID: in the tagged response, or ahead of it for MOVE
/// (RFC 6851 §4.3).
fn copy_uid(said: &Said) -> Option<[String; 3]> {
    let lines = said.lines.iter().find_map(|line| line.code("COPYUID"));
    let code = said.code("COPYUID").or(lines)?;
    let words: Vec<String> = code.split(' ').map(str::to_owned).collect();
    words.try_into().ok()
}

fn read(world: &mut World, client: usize, said: &Said, uids: &[u32]) -> Result<(), String> {
    let state = world.mailboxes[world.selected(client)].newest();
    let found = state.messages.iter().filter(|it| uids.contains(&it.uid));
    let found = found.map(|it| {
        let arrival = Arrival {
            text: it.text,
            date: it.date,
            flags: it.flags,
        };
        (it.uid, arrival)
    });
    let found: Vec<(u32, Arrival)> = found.collect();
    let originals: Vec<u32> = found.iter().map(|(uid, _)| *uid).collect();
    let by_numbers = matches!(said.command, Command::Copy { uid: false, .. });
    let all_gone = by_numbers && !uids.is_empty() && originals.is_empty();
    if is_all_gone(said) != all_gone {
        return Err(format!("{:?}, there were {originals:?}", said.answer));
    }
    let told = match copy_uid(said) {
        Some([_, originals, _]) => Set::numbers(&originals)?,
        None => Vec::new(),
    };
    if told != originals {
        return Err(format!("COPYUID names {told:?}, there were {originals:?}"));
    }
    world.sessions[client].copying = found;
    Ok(())
}

fn copy(world: &mut World, client: usize, said: &Said, to: usize) -> Result<(), String> {
    let moves = matches!(said.command, Command::Copy { moves: true, .. });
    let from = world.selected(client);
    let copies = world.sessions[client].copying.clone();
    if !moves {
        world.sessions[client].copying.clear();
    }
    let Some([validity, _, uids]) = copy_uid(said) else {
        return Ok(());
    };
    let there = |original: u32| {
        let uid = world.moved.get(&(from, original, to)).filter(|_| moves)?;
        world.mailboxes[to].newest().find(*uid).map(|it| it.uid)
    };
    let arrivals: Vec<_> = copies
        .iter()
        .map(|(original, arrival)| (there(*original), arrival.clone()))
        .collect();
    let uids = arrive(&mut world.mailboxes[to], &arrivals, &validity, &uids)?;
    world.sees(client, to);
    if moves {
        let moved = copies.iter().zip(uids);
        let moved = moved.map(|((original, _), uid)| ((from, *original, to), uid));
        world.moved.extend(moved);
    }
    Ok(())
}
