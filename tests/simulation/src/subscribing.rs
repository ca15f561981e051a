//! SUBSCRIBE and UNSUBSCRIBE, and which names LSUB and LIST (SUBSCRIBED) show (RFC 3501 §6.3.6 to §6.3.9,
//! RFC 5258 §3.1).

use crate::client::Pending;
use crate::ledger::{FlagOp, Ledger};
use crate::script::{Command, STABLE, VOLATILE};
use crate::world::{SECOND, World};
use std::collections::BTreeSet;

/// A name that no mailbox ever has.
const NOWHERE: &str = "SECRETnowhere";

/// By then every server has read the directory again, beside
/// [`directory_age_max`](restante_core::config::Config::directory_age_max), however slow storage is.
const LATE: u64 = 200 * SECOND;

impl World {
    /// A client subscribes to something, or does no longer, or asks to what.
    pub(crate) fn subscribe(&mut self, client: usize) {
        if self.chance.permille(400) {
            return self.ask_subscribed(client);
        }
        let name = match self.chance.below(10) {
            0..7 => self.chance.pick(&STABLE[..2]),
            7..9 => *self.chance.pick(&VOLATILE),
            _ => NOWHERE,
        };
        let set = self.chance.permille(500);
        self.subscribe_to(client, name, set);
    }

    fn subscribe_to(&mut self, client: usize, name: &str, set: bool) {
        let session = self.clients[client].session.as_ref();
        let op = FlagOp {
            set,
            asked: self.now,
            acknowledged: None,
            void: false,
            server: session.map_or((0, 0), |it| (it.process, it.life)),
            // Whoever changes the directory reads it first.
            knows: self.now,
        };
        let ops = self
            .ledger
            .subscriptions
            .entry(name.to_owned())
            .or_default();
        let command = Command::Subscribe {
            name: name.to_owned(),
            index: ops.len(),
        };
        ops.push(op);
        let verb = if set { "SUBSCRIBE" } else { "UNSUBSCRIBE" };
        self.simple(client, command, &format!("{verb} {name}"));
    }

    /// It is done; others may want the contrary just now.
    pub(crate) fn subscribed(&mut self, name: &str, index: usize) {
        let ops = self.ledger.subscriptions.get_mut(name);
        let Some(op) = ops.and_then(|ops| ops.get_mut(index)) else {
            return;
        };
        op.acknowledged = Some(self.now);
        let set = !op.set;
        if !self.chance.permille(300) {
            return;
        }
        for other in 0..self.clients.len() {
            if self.is_free(other) {
                self.subscribe_to(other, name, set);
            }
        }
    }

    /// Which names are subscribed to, in one way or the other.
    pub(crate) fn ask_subscribed(&mut self, client: usize) {
        let line = match self.chance.permille(500) {
            true => "LSUB \"\" \"*\"",
            false => "LIST (SUBSCRIBED) \"\" \"*\"",
        };
        self.simple(client, Command::Subscribed, line);
    }

    /// Judges the names that a server called subscribed to: it knows what it did itself, and after some
    /// time what others did.
    pub(crate) fn judge_subscribed(&self, client: usize, pending: &Pending) -> Result<(), String> {
        let Some(session) = &self.clients[client].session else {
            return Ok(());
        };
        let server = (session.process, session.life);
        let age_max = u64::try_from(self.config.directory_age_max.as_micros()).unwrap_or(LATE);
        let clock_went_on = self.processes[session.process].still_us == 0;
        let known = |op: &FlagOp| {
            op.acknowledged.is_none_or(|at| {
                let late = clock_went_on && at + age_max + LATE < pending.asked;
                at < pending.asked && (op.server == server || late)
            })
        };
        for (name, ops) in &self.ledger.subscriptions {
            if ops.iter().all(known) {
                let is = pending.names.contains(name);
                self.ledger.judge_subscription(name, is)?;
            }
        }
        Ok(())
    }

    /// At the end all servers show the same, and what was acknowledged.
    pub(crate) fn check_subscribed(&mut self, names: &BTreeSet<String>) {
        let mut all = self.ledger.subscriptions.keys();
        let judged = all.find_map(|name| {
            let is = names.contains(name);
            self.ledger.judge_subscription(name, is).err()
        });
        if let Some(wrong) = judged {
            self.blame(wrong);
        }
    }
}

impl Ledger {
    fn judge_subscription(&self, name: &str, is: bool) -> Result<(), String> {
        let ops = self.subscriptions.get(name).into_iter().flatten();
        let ops: Vec<_> = ops.collect();
        // A new account is subscribed to what it begins with.
        let allowed = Self::outcomes(&ops, Some(STABLE.contains(&name)));
        match allowed.is_none_or(|allowed| allowed[usize::from(is)]) {
            true => Ok(()),
            false => Err(format!("{name} is subscribed to: {is}, after {ops:?}")),
        }
    }
}
