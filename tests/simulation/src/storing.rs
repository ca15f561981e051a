//! STORE as the clients give it, and what the ledger learns from the answer.

use crate::cache::Silent;
use crate::client::{Pending, View};
use crate::conditional::Condition;
use crate::ledger::{FLAGS, FlagOp, Place};
use crate::script::{Command, set_of};
use crate::world::World;

impl World {
    pub(crate) fn store(&mut self, client: usize, view: &View) {
        let mut some = self.some(view, 4);
        if self.chance.permille(300) {
            // Many look at what came first, or last.
            let known = view.messages.iter();
            let mut known = known.filter_map(|seen| Some((seen.uid?, seen.mail?)));
            let one = match self.chance.permille(500) {
                true => known.next(),
                false => known.next_back(),
            };
            some = one.into_iter().collect();
        }
        if some.is_empty() || view.read_only {
            return self.simple(client, Command::Other("NOOP"), "NOOP");
        }
        let flag = self.any_flag();
        self.store_in(client, view, &some, flag);
    }

    fn any_flag(&mut self) -> &'static str {
        match self.chance.permille(150) {
            true => "\\Deleted",
            false => FLAGS[self.chance.index(FLAGS.len())],
        }
    }

    fn store_in(&mut self, client: usize, view: &View, some: &[(u32, usize)], flag: &'static str) {
        let (sign, set) = *self
            .chance
            .pick(&[("+", true), ("+", true), ("-", false), ("", true)]);
        let silent = if self.chance.permille(300) {
            ".SILENT"
        } else {
            ""
        };
        let condition = self.condition(client, view, some, sign.is_empty());
        let flags: Vec<(&str, bool)> = match sign {
            "" => FLAGS.iter().map(|it| (*it, *it == flag)).collect(),
            _ => vec![(flag, set)],
        };
        let mut changes = Vec::new();
        for (uid, mail) in some {
            if flag == "\\Deleted" && set {
                let place = (view.uid_validity, *uid);
                self.ledger.mails[*mail].exposed.insert(place);
            }
            for (flag, set) in &flags {
                let key = ((view.uid_validity, *uid), (*flag).to_owned());
                let op = FlagOp {
                    set: *set,
                    asked: self.now,
                    acknowledged: None,
                    void: false,
                    server: self.server_of(client),
                    // Whoever is to decide reads first.
                    knows: match condition {
                        Some(_) => self.now,
                        None => view.selected,
                    },
                };
                let ops = self.ledger.flags.entry(key.clone()).or_default();
                changes.push((key, ops.len()));
                ops.push(op);
            }
        }
        let since = condition.as_ref().map(Condition::modifier);
        let since = since.unwrap_or_default();
        let set = set_of(some);
        let line = format!("UID STORE {set}{since} {sign}FLAGS{silent} ({flag})");
        self.simple(client, Command::Store { changes, condition }, &line);
        if !silent.is_empty()
            && let Some(session) = &mut self.clients[client].session
            && let (Some(pending), Some(view)) = (&mut session.pending, &mut session.view)
        {
            let flag = flag.to_owned();
            pending.silent = Some(Silent { sign, flag });
            for seen in &mut view.messages {
                if some.iter().any(|(uid, _)| seen.uid == Some(*uid)) {
                    seen.flags = None;
                }
            }
        }
    }

    /// A STORE was answered OK: its changes are made, but those that the condition was against.
    pub(crate) fn stored(
        &mut self,
        client: usize,
        pending: &Pending,
        changes: &[((Place, String), usize)],
        condition: Option<&Condition>,
        code: &str,
    ) -> Result<(), String> {
        let modified = match condition {
            Some(condition) => self.judge_condition(client, pending, changes, condition, code)?,
            None if code.starts_with("MODIFIED") => {
                return Err(format!("[{code}] to a STORE without a condition"));
            }
            None => Vec::new(),
        };
        for (key, index) in changes {
            let ((_, uid), _) = key;
            let Some(ops) = self.ledger.flags.get_mut(key) else {
                continue;
            };
            match modified.contains(uid) {
                true => ops[*index].void = true,
                false => ops[*index].acknowledged = Some(self.now),
            }
        }
        let flag = changes.first().map(|((_, flag), _)| flag.clone());
        if flag.is_some() && self.chance.permille(300) {
            self.store_as_well(client, changes);
        }
        Ok(())
    }

    /// Others who see the message do something about it just now, and go by what they were told.
    fn store_as_well(&mut self, client: usize, changes: &[((Place, String), usize)]) {
        let Some((((uid_validity, uid), flag), _)) = changes.first() else {
            return;
        };
        let flag = FLAGS.iter().find(|it| *it == flag);
        for other in 0..self.clients.len() {
            let mails = self.ledger.told.get(&(*uid_validity, *uid));
            let mail = mails.and_then(|mails| mails.first().copied());
            let (Some(flag), Some(mail)) = (flag, mail) else {
                return;
            };
            let some = [(*uid, mail)];
            let goes_by_them = self.clients[other].caches.is_some();
            if other == client || !goes_by_them || !self.could_move(other, *uid_validity, &some) {
                continue;
            }
            let session = self.clients[other].session.as_ref();
            if let Some(view) = session.and_then(|session| session.view.clone()) {
                self.store_in(other, &view, &some, flag);
            }
        }
    }

    fn server_of(&self, client: usize) -> (usize, u64) {
        let session = self.clients[client].session.as_ref();
        session.map_or((0, 0), |it| (it.process, it.life))
    }
}
