//! What a client keeps of its mailboxes between its connections, to whichever servers, by
//! the rules of RFC 7162 §6 and nothing else: after SELECT (QRESYNC …) it must be what is
//! there.

use crate::answers::Fetched;
use crate::client::{Seen, View};
use crate::script::Command;
use crate::world::World;
use std::collections::BTreeMap;

/// The mailboxes that a client keeps, by name.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    boxes: BTreeMap<String, Cache>,
    /// HIGHESTMODSEQ since the last tagged response.
    code: Option<u64>,
    /// The highest MODSEQ of FETCH since the last tagged response.
    heard: u64,
}

/// One mailbox.
#[derive(Debug, Default)]
struct Cache {
    uid_validity: u32,
    /// Everything up to here is known.
    modseq: u64,
    /// All messages below this UID were fetched, and everything was told of them since. 0:
    /// none yet. Of new ones only the number is told (RFC 9051 §7.4.1).
    below: u32,
    /// UIDs and flags.
    messages: BTreeMap<u32, Vec<String>>,
}

/// The STORE under way that is not told what it did to flags.
#[derive(Clone, Debug)]
pub(crate) struct Silent {
    pub(crate) sign: &'static str,
    pub(crate) flag: String,
}

type Verdict = Result<(), String>;

impl Caches {
    /// The mailboxes that are known in full.
    pub(crate) fn names(&self) -> Vec<String> {
        let complete = self.boxes.iter().filter(|(_, cache)| cache.below > 0);
        complete.map(|(name, _)| name.clone()).collect()
    }

    /// What SELECT says behind the name.
    pub(crate) fn parameters(&self, name: &str) -> String {
        match self.boxes.get(name).filter(|cache| cache.below > 0) {
            Some(cache) => format!(" (QRESYNC ({} {}))", cache.uid_validity, cache.modseq),
            None => " (CONDSTORE)".to_owned(),
        }
    }

    /// The connection is gone: what was not said to its end counts for nothing.
    pub(crate) fn cut(&mut self) {
        (self.code, self.heard) = (None, 0);
    }

    /// SELECT begins to answer.
    pub(crate) fn selecting(&mut self, name: &str) {
        self.cut();
        let cache = self.boxes.entry(name.to_owned()).or_default();
        if cache.below == 0 {
            *cache = Cache::default();
        }
    }

    /// `[UIDVALIDITY …]`
    pub(crate) fn uid_validity(&mut self, name: &str, uid_validity: u32) {
        let cache = self.boxes.entry(name.to_owned()).or_default();
        if cache.uid_validity != uid_validity {
            *cache = Cache {
                uid_validity,
                ..Cache::default()
            };
        }
    }

    /// `[HIGHESTMODSEQ …]`
    pub(crate) fn highest_modseq(&mut self, name: &str, modseq: u64) -> Verdict {
        let known = self.boxes.get(name).map_or(0, |cache| cache.modseq);
        self.code = Some(modseq);
        match modseq < known {
            true => Err(format!(
                "HIGHESTMODSEQ of {name} goes back from {known} to {modseq}"
            )),
            false => Ok(()),
        }
    }

    /// These UIDs are gone.
    pub(crate) fn vanished(&mut self, name: &str, ranges: &[(u32, u32)]) {
        if let Some(cache) = self.boxes.get_mut(name) {
            let gone = |uid: u32| ranges.iter().any(|(from, to)| (*from..=*to).contains(&uid));
            cache.messages.retain(|uid, _| !gone(*uid));
        }
    }

    /// A message is told of.
    pub(crate) fn fetched(
        &mut self,
        name: &str,
        uid: u32,
        fetched: &Fetched,
        silent: Option<&Silent>,
    ) -> Verdict {
        let modseq = fetched.modseq.unwrap_or(0);
        self.heard = self.heard.max(modseq);
        let Some(cache) = self.boxes.get_mut(name) else {
            return Ok(());
        };
        match (&fetched.flags, silent) {
            (Some(flags), _) => {
                let before = cache.messages.insert(uid, flags.clone());
                let old = modseq != 0 && modseq <= cache.modseq && uid < cache.below;
                if old && before.as_ref() != Some(flags) {
                    return Err(format!(
                        "UID {uid} of {name} has {flags:?} since MODSEQ {modseq}, and who knew \
                         everything up to {} knew of {before:?}",
                        cache.modseq
                    ));
                }
            }
            (None, Some(Silent { sign, flag })) if modseq != 0 => {
                if let Some(flags) = cache.messages.get_mut(&uid) {
                    match *sign {
                        "" => flags.clear(),
                        _ => flags.retain(|it| it != flag),
                    }
                    if *sign != "-" {
                        flags.push(flag.clone());
                        flags.sort();
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A command about a mailbox was answered: what was said up to here is known.
    fn said(&mut self, name: &str, ok: bool) {
        let (code, heard) = (self.code.take(), core::mem::take(&mut self.heard));
        if let Some(cache) = self.boxes.get_mut(name) {
            match code {
                Some(code) => cache.modseq = code,
                None if ok => cache.modseq = cache.modseq.max(heard),
                None => {}
            }
        }
    }

    /// Puts UIDs to the messages of a mailbox that was selected.
    fn fill(&self, view: &mut View) -> Verdict {
        let name = &view.name;
        let Some(cache) = self.boxes.get(name).filter(|cache| cache.below > 0) else {
            return Ok(());
        };
        let known: Vec<_> = cache.messages.range(..cache.below).collect();
        if known.len() > view.messages.len() {
            return Err(format!(
                "{name} has {} messages, and its changes up to {} leave {known:?}",
                view.messages.len(),
                cache.modseq,
            ));
        }
        for (seen, (uid, flags)) in view.messages.iter_mut().zip(known) {
            if seen.uid.is_some_and(|told| told != *uid) {
                return Err(format!(
                    "UID {uid} of {name} is not where it must be: {seen:?}"
                ));
            }
            seen.uid = Some(*uid);
            seen.flags = Some(flags.clone());
        }
        Ok(())
    }

    /// All messages were fetched.
    fn listed(&mut self, view: &View) -> Verdict {
        let Some(cache) = self.boxes.get_mut(&view.name) else {
            return Ok(());
        };
        let seen: Vec<_> = view.messages.iter().filter_map(|seen| seen.uid).collect();
        if seen.len() < view.messages.len() {
            // One came meanwhile.
            return Ok(());
        }
        cache.below = seen.last().map_or(1, |uid| uid + 1).max(cache.below);
        let known: Vec<_> = cache.messages.keys().copied().collect();
        match seen == known {
            true => Ok(()),
            false => Err(format!("{} has {seen:?}, known are {known:?}", view.name)),
        }
    }

    /// What is known of a mailbox: its UIDVALIDITY, the messages below a UID, and that UID.
    pub(crate) fn known(&self, name: &str) -> Option<(u32, BTreeMap<u32, Vec<String>>, u32)> {
        let cache = self.boxes.get(name).filter(|cache| cache.below > 0)?;
        let known = cache.messages.range(..cache.below);
        let known = known.map(|(uid, flags)| (*uid, flags.clone())).collect();
        Some((cache.uid_validity, known, cache.below))
    }
}

/// Takes out the one of the messages that has this UID, or must have had it: of new
/// messages only the number was told.
pub(crate) fn take_out(messages: &mut Vec<Seen>, uid: u32) {
    let after = |seen: &Seen| seen.uid.is_some_and(|it| it >= uid);
    let end = messages.iter().position(after).unwrap_or(messages.len());
    let known = messages.get(end).is_some_and(|seen| seen.uid == Some(uid));
    if known {
        messages.remove(end);
    } else if end > 0 && messages[end - 1].uid.is_none() {
        messages.remove(end - 1);
    }
}

impl World {
    /// A command of a client has its answer.
    pub(crate) fn cache_answered(
        &mut self,
        client: usize,
        command: &Command,
        ok: bool,
    ) -> Result<(), String> {
        let it = &mut self.clients[client];
        let (Some(caches), Some(session)) = (&mut it.caches, &mut it.session) else {
            return Ok(());
        };
        let Some(view) = &mut session.view else {
            caches.cut();
            return Ok(());
        };
        match command {
            // Which messages it took away is not said.
            Command::Close => {
                caches.cut();
                Ok(())
            }
            Command::Select { .. } if ok => {
                caches.said(&view.name, ok);
                self.resynchronised += 1;
                caches.fill(view)
            }
            Command::Fetch { all: true, .. } if ok => {
                caches.said(&view.name, ok);
                caches.listed(view)
            }
            _ => {
                caches.said(&view.name, ok);
                Ok(())
            }
        }
    }
}
