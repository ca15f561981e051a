//! COPY and MOVE as the clients give them, and what the ledger learns from the answers.

use crate::answers;
use crate::client::{Seen, View};
use crate::script::{Command, is_volatile, set_of};
use crate::world::World;

impl World {
    pub(crate) fn copy(&mut self, client: usize, view: &View) {
        let mails = self.some(view, 3);
        if mails.is_empty() {
            return self.simple(client, Command::Other("NOOP"), "NOOP");
        }
        let moves = self.chance.permille(500) && !view.read_only;
        let to = self.any_name();
        for (_, mail) in &mails {
            if to == "INBOX" {
                self.ledger.enters_inbox(*mail, self.now);
            }
        }
        self.draw_onlookers(to);
        let from = view.uid_validity;
        self.copy_to(client, moves, from, to, &mails);
        if moves && self.chance.permille(500) {
            // Programs that filter the same mailbox do the same at the same time.
            for other in 0..self.clients.len() {
                if other != client && self.could_move(other, from, &mails) {
                    self.copy_to(other, true, from, to, &mails);
                }
            }
        }
    }

    fn copy_to(&mut self, client: usize, moves: bool, from: u32, to: &str, mails: &[(u32, usize)]) {
        if moves {
            let leaving = mails.iter().map(|(_, mail)| (from, *mail));
            self.ledger.leaving.extend(leaving);
        }
        for (uid, mail) in mails {
            self.ledger.mails[*mail].copied = true;
            let asked = &mut self.ledger.moves_asked;
            if moves && !asked.insert(((from, *uid), to.to_owned())) {
                self.ledger.moved_together.insert(*mail);
            }
        }
        let verb = if moves { "MOVE" } else { "COPY" };
        let line = format!("UID {verb} {} {to}", set_of(mails));
        let command = Command::Copy {
            moves,
            from,
            to: to.to_owned(),
            mails: mails.to_vec(),
        };
        self.simple(client, command, &line);
    }

    /// Whether a client that does all there is has nothing to do.
    pub(crate) fn is_free(&self, client: usize) -> bool {
        let client = &self.clients[client];
        let acts = self.busy && client.onlooker.is_none() && client.audit.is_none();
        let session = client.session.as_ref();
        acts && session.is_some_and(|it| it.pending.is_none() && it.logged_in)
    }

    /// Whether a client has nothing to do, and shows these messages.
    pub(crate) fn could_move(&self, client: usize, from: u32, mails: &[(u32, usize)]) -> bool {
        let session = self.clients[client].session.as_ref();
        let session = session.filter(|_| self.is_free(client));
        let view = session.and_then(|session| session.view.as_ref());
        let view = view.filter(|view| view.uid_validity == from && !view.read_only);
        view.is_some_and(|view| {
            let shown = |(uid, mail)| {
                let seen = |it: &Seen| it.uid == Some(uid) && it.mail == Some(mail);
                view.messages.iter().any(seen)
            };
            mails.iter().copied().all(shown)
        })
    }

    pub(crate) fn copied(
        &mut self,
        client: usize,
        moves: bool,
        from: u32,
        to: &str,
        mails: &[(u32, usize)],
        code: &str,
    ) -> Result<(), String> {
        let words: Vec<&str> = code.split(' ').collect();
        let originals = match words[..] {
            ["COPYUID", _, originals, _] => answers::numbers(originals),
            _ => Vec::new(),
        };
        let left_out = mails.iter().filter(|(uid, _)| !originals.contains(uid));
        let left_out = left_out.map(|(uid, _)| (from, *uid));
        self.ledger.left_out.extend(left_out);
        let ["COPYUID", uid_validity, _, copies] = words[..] else {
            return Ok(());
        };
        let uid_validity = uid_validity.parse().unwrap_or(0);
        let copies = answers::numbers(copies);
        if originals.len() != copies.len() {
            return Err(format!("COPY says [{code}]"));
        }
        for (original, copy) in originals.into_iter().zip(copies) {
            let mail = mails.iter().find(|(uid, _)| *uid == original);
            let (_, mail) = *mail.ok_or(format!("COPY of {mails:?} says [{code}]"))?;
            let (place, original_place) = ((uid_validity, copy), (from, original));
            if moves {
                let to = ledger_name(to, Some(uid_validity));
                self.ledger.moved(mail, original_place, &to, place);
            } else {
                self.ledger.mails[mail].sure += 1;
            }
            self.arrived(client, mail, place)?;
            // It is `\Deleted` if what was copied is, wherever that was when it was marked so.
            let it = &mut self.ledger.mails[mail];
            if is_volatile(to) || !it.exposed.is_empty() {
                it.exposed.insert((uid_validity, copy));
            }
            if moves {
                self.ledger.mails[mail].gone.insert((from, original));
                let gone_at = self.ledger.gone_at.entry((from, original));
                gone_at.or_insert(self.now);
            }
        }
        Ok(())
    }

    /// What was moved away, on whichever server, before a MOVE was asked for, is not moved again.
    pub(crate) fn moved(&mut self, asked: u64, from: u32, code: &str) -> Result<(), String> {
        let words: Vec<&str> = code.split(' ').collect();
        let ["COPYUID", _, originals, _] = words[..] else {
            return Ok(());
        };
        for uid in answers::numbers(originals) {
            let moved = self.ledger.moved_at.entry((from, uid)).or_insert(self.now);
            if *moved < asked {
                return Err(format!(
                    "UID {uid} of {from} is moved though that was acknowledged at {moved}, and asked at {asked}"
                ));
            }
        }
        Ok(())
    }

    /// A COPY or MOVE that was not acknowledged may have been done.
    pub(crate) fn maybe_copied(
        &mut self,
        moves: bool,
        from: u32,
        to: &str,
        mails: &[(u32, usize)],
    ) {
        for (uid, mail) in mails {
            if moves && !is_volatile(to) {
                let to = ledger_name(to, None);
                self.ledger.maybe_moved(*mail, (from, *uid), &to);
            } else {
                self.ledger.mails[*mail].maybe += 1;
            }
            let it = &mut self.ledger.mails[*mail];
            let exposes = is_volatile(to) || !it.exposed.is_empty();
            it.maybe_exposed += usize::from(moves && exposes);
        }
    }
}

/// What the ledger calls the target of a MOVE: one that is deleted and made again is another one each
/// time, if it is known which.
fn ledger_name(to: &str, uid_validity: Option<u32>) -> String {
    match uid_validity {
        Some(uid_validity) if is_volatile(to) => format!("{to} {uid_validity}"),
        _ => to.to_owned(),
    }
}
