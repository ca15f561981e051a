//! SEARCH (RFC 3501 §6.4.4): what it finds is judged by what the connection was told of each message before
//! and while it is answered. Where that leaves open what the server saw, nothing is judged.

use crate::client::{Pending, Seen, View};
use crate::ledger::FLAGS;
use crate::script::Command;
use crate::world::{SECOND, World};

/// What is looked for, and what was known when it was asked for.
#[derive(Debug)]
pub(crate) struct Search {
    key: Key,
    before: Vec<Seen>,
}

/// A search key.
#[derive(Clone, Debug)]
enum Key {
    Flag(&'static str, bool),
    Uids(u32, u32),
    ModSeq(u64),
    /// A word of the header of this mail, or of its text.
    Subject(usize),
    Body(usize),
    Not(Box<Key>),
    Either(Box<Key>, Box<Key>),
    Both(Box<Key>, Box<Key>),
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// `None` where the client does not know the UID of that number.
    uids: Vec<Option<u32>>,
    modseq: Option<u64>,
}

/// So long after it was acknowledged the connection may first be told of a change.
const LATE: u64 = 60 * SECOND;

impl Key {
    fn asks_modseq(&self) -> bool {
        match self {
            Self::ModSeq(_) => true,
            Self::Not(key) => key.asks_modseq(),
            Self::Either(one, two) | Self::Both(one, two) => one.asks_modseq() || two.asks_modseq(),
            _ => false,
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Flag(flag, set) => {
                let un = if *set { "" } else { "UN" };
                match flag.strip_prefix('\\') {
                    Some(flag) => format!("{un}{}", flag.to_uppercase()),
                    None => format!("{un}KEYWORD {flag}"),
                }
            }
            Self::Uids(from, to) => format!("UID {from}:{to}"),
            Self::ModSeq(modseq) => format!("MODSEQ {modseq}"),
            Self::Subject(mail) => format!("SUBJECT \"SECRET-{mail}-\""),
            Self::Body(mail) => format!("BODY \"of mail {mail} with\""),
            Self::Not(key) => format!("NOT ({})", key.written()),
            Self::Either(one, two) => format!("OR ({}) ({})", one.written(), two.written()),
            Self::Both(one, two) => format!("{} {}", one.written(), two.written()),
        }
    }

    /// Whether a message is to be found, if that can be told.
    fn finds(
        &self,
        uid: u32,
        before: &Seen,
        now: &Seen,
        certain: &impl Fn(&str) -> bool,
    ) -> Option<bool> {
        match self {
            Self::Flag(flag, set) => {
                let has = |seen: &Seen| {
                    let flags = seen.flags.as_ref()?;
                    Some(flags.iter().any(|it| it == flag))
                };
                let has = has(before).filter(|it| has(now) == Some(*it) && certain(flag))?;
                Some(has == *set)
            }
            Self::Uids(from, to) => Some((from..=to).contains(&&uid)),
            Self::ModSeq(modseq) => {
                // It only grows.
                let above = |seen: &Seen| Some(seen.modseq? >= *modseq);
                above(before).filter(|it| above(now) == Some(*it))
            }
            Self::Subject(mail) | Self::Body(mail) => now.mail.map(|it| it == *mail),
            Self::Not(key) => Some(!key.finds(uid, before, now, certain)?),
            Self::Either(one, two) | Self::Both(one, two) => {
                let all = matches!(self, Self::Both(..));
                let one = one.finds(uid, before, now, certain);
                let two = two.finds(uid, before, now, certain);
                match (one, two) {
                    (Some(it), _) | (_, Some(it)) if it != all => Some(it),
                    (Some(_), Some(_)) => Some(all),
                    _ => None,
                }
            }
        }
    }
}

/// Whether a message of this UID is among these: of new ones only the number was told.
fn may_be_in(messages: &[Seen], uid: u32) -> bool {
    let from = |seen: &Seen| seen.uid.is_some_and(|it| it >= uid);
    let end = messages.iter().position(from).unwrap_or(messages.len());
    let there = messages.get(end).is_some_and(|seen| seen.uid == Some(uid));
    there || end > 0 && messages[end - 1].uid.is_none()
}

impl World {
    pub(crate) fn search(&mut self, client: usize, view: &View) {
        let key = self.any_key(client, view, 2);
        let uid = if self.chance.permille(700) {
            "UID "
        } else {
            ""
        };
        let line = format!("{uid}SEARCH {}", key.written());
        let before = view.messages.clone();
        self.simple(client, Command::Search(Search { key, before }), &line);
    }

    fn any_key(&mut self, client: usize, view: &View, depth: u32) -> Key {
        if depth > 0 && self.chance.permille(350) {
            let one = Box::new(self.any_key(client, view, depth - 1));
            return match self.chance.below(3) {
                0 => Key::Not(one),
                1 => Key::Either(one, Box::new(self.any_key(client, view, depth - 1))),
                _ => Key::Both(one, Box::new(self.any_key(client, view, depth - 1))),
            };
        }
        let some = self.some(view, 2);
        let modseqs = match self.clients[client].caches {
            Some(_) => self.clients[client].device.modseqs(view.uid_validity),
            None => Vec::new(),
        };
        match (self.chance.below(10), &some[..]) {
            (0..2, [(uid, _), .., (to, _)]) => Key::Uids(*uid, *to),
            (2, [(_, mail), ..]) => Key::Subject(*mail),
            (3, [(_, mail), ..]) => Key::Body(*mail),
            (4..6, _) if !modseqs.is_empty() => Key::ModSeq(*self.chance.pick(&modseqs)),
            _ => Key::Flag(
                FLAGS[self.chance.index(FLAGS.len())],
                self.chance.permille(500),
            ),
        }
    }

    /// `* SEARCH …`
    pub(crate) fn found(
        &mut self,
        client: usize,
        numbers: &[u32],
        modseq: Option<u64>,
    ) -> Result<(), String> {
        let session = self.clients[client].session.as_mut();
        let session = session.ok_or("SEARCH for nobody")?;
        let (Some(pending), Some(view)) = (&mut session.pending, &session.view) else {
            return Err("SEARCH that nobody asked for".to_owned());
        };
        if !numbers.is_sorted_by(|one, two| one < two) {
            return Err(format!("SEARCH finds {numbers:?}"));
        }
        let uid_of = |number: &u32| {
            let seen = view.messages.get((*number as usize).wrapping_sub(1));
            let seen = seen.ok_or(format!("SEARCH finds {number} of {}", view.messages.len()))?;
            Ok::<_, String>(seen.uid)
        };
        let uids: Result<Vec<_>, String> = match pending.by_uid {
            true => Ok(numbers.iter().map(|uid| Some(*uid)).collect()),
            false => numbers.iter().map(uid_of).collect(),
        };
        let found = Found {
            uids: uids?,
            modseq,
        };
        match pending.found.replace(found) {
            None => Ok(()),
            Some(_) => Err("SEARCH is answered twice".to_owned()),
        }
    }

    /// A SEARCH was answered OK.
    pub(crate) fn judge_search(
        &self,
        client: usize,
        pending: &Pending,
        search: &Search,
    ) -> Result<(), String> {
        let session = self.clients[client].session.as_ref();
        let Some(view) = session.and_then(|session| session.view.as_ref()) else {
            return Ok(());
        };
        let Search { key, before } = search;
        let found = pending
            .found
            .as_ref()
            .ok_or("SEARCH finds not even nothing")?;
        for uid in found.uids.iter().flatten() {
            if !may_be_in(before, *uid) && !may_be_in(&view.messages, *uid) {
                let shown: Vec<_> = view.messages.iter().map(|seen| seen.uid).collect();
                return Err(format!("SEARCH finds UID {uid}, there are {shown:?}"));
            }
        }
        for now in &view.messages {
            let Some(uid) = now.uid else { continue };
            let Some(before) = before.iter().find(|seen| seen.uid == Some(uid)) else {
                continue;
            };
            let place = (view.uid_validity, uid);
            let certain = |flag: &str| {
                let ops = self.ledger.flags.get(&(place, flag.to_owned()));
                let late = |at: u64| at + LATE > pending.asked;
                let ops = ops.into_iter().flatten().filter(|op| !op.void);
                ops.filter(|op| op.acknowledged.is_none_or(late)).count() < 2
            };
            let is_found = found.uids.contains(&Some(uid));
            let finds = key.finds(uid, before, now, &certain);
            if finds.is_some_and(|finds| finds != is_found) {
                return Err(format!(
                    "SEARCH {} finds {place:?}: {is_found}, which was {before:?} and is {now:?}",
                    key.written()
                ));
            }
        }
        self.judge_found_modseq(search, found)
    }

    fn judge_found_modseq(&self, search: &Search, found: &Found) -> Result<(), String> {
        if found.modseq.is_some() != (search.key.asks_modseq() && !found.uids.is_empty()) {
            return Err(format!("SEARCH {} says {found:?}", search.key.written()));
        }
        let of_found = search.before.iter();
        let of_found = of_found.filter(|seen| seen.uid.is_some() && found.uids.contains(&seen.uid));
        let highest = of_found.filter_map(|seen| seen.modseq).max();
        match highest > found.modseq && found.modseq.is_some() {
            true => Err(format!(
                "SEARCH says {found:?}, and one has MODSEQ {highest:?}"
            )),
            false => Ok(()),
        }
    }
}
