//! The end of a run: faults cease, what is late lands, nodes repair each other, servers
//! look again. Then all of them must show the same, and what was promised.

use crate::audit::All;
use crate::garage::Weather;
use crate::ledger::{FLAGS, MARK};
use crate::script::Command;
use crate::upkeep::waits;
use crate::world::{SECOND, World};
use std::collections::BTreeMap;

/// After so long nothing that was begun under faults is still on its way.
pub(crate) const LATEST: u64 = 600 * SECOND;

/// By then who waits has fallen asleep, and what its account did is done.
const SLEEPY: u64 = 60 * SECOND;
/// How soon who waits hears of news, when nothing is broken.
const PROMPT: u64 = 2 * SECOND;
/// Messages that come one soon after the other: polls are armed while they do.
const BURST: usize = 6;

impl World {
    /// See the module.
    pub(crate) fn settle(&mut self) {
        self.note(format_args!("the faults end"));
        self.busy = false;
        self.garage.heal();
        self.garage.weather = Weather::fair();
        self.run_until(self.now + LATEST);
        self.check_answers();
        self.garage.repair(&mut self.chance);
        // What was merged may leave something to be written; then it is quiet.
        for _ in 0..2 {
            for process in 0..self.processes.len() {
                self.audit(process);
            }
        }
        let Some(truth) = self.all_agree("after the faults") else {
            return;
        };
        self.check_mails(&truth);
        self.check_places(&truth);
        self.check_flags(&truth);
        self.check_subscribed(&truth.subscribed);
        self.check_caches(&truth);
        for process in 0..self.processes.len() {
            self.crash(process);
        }
        self.run_until(self.now + 10 * SECOND);
        self.same_as(&truth, "after all servers died");
        let grace = u64::try_from(self.config.log_grace.as_micros()).unwrap_or(SECOND);
        for _ in 0..3 {
            self.run_until(self.now + 2 * grace);
            self.same_as(&truth, "after some time");
        }
        self.run_until(self.now + 60 * SECOND);
        self.check_bells();
        self.check_index();
        for process in 0..self.processes.len() {
            self.end_doorbell(process);
        }
        if self.violation.is_none() && self.garage.open() > 0 {
            self.blame(format!(
                "{} requests are neither answered nor given up",
                self.garage.open()
            ));
        }
        if self.garage.contains(MARK.as_bytes()) {
            self.blame("storage holds something in the clear".to_owned());
        }
    }

    /// Whatever was asked is answered by now, or the connection has ended.
    fn check_answers(&mut self) {
        let waits = self
            .clients
            .iter()
            .enumerate()
            .find_map(|(number, client)| {
                let session = client.session.as_ref()?;
                let command = &session.pending.as_ref()?.command;
                let idles = matches!(command, Command::Idle);
                (!idles).then(|| format!("client {number} waits for the answer to {command:?}"))
            });
        if let Some(waits) = waits {
            self.blame(waits);
        }
    }

    /// Every message can be read, every object is named or on its way to be collected, and logs and
    /// checkpoints agree, as one server sees it.
    fn check_index(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let process = self.chance.index(self.processes.len());
        self.check_account(process);
        let limit = self.now + 1_000 * SECOND;
        while self.checked.is_none() && self.violation.is_none() && self.now < limit {
            self.step();
        }
        let Some(report) = self.checked.take() else {
            return self.blame(format!("server {process} does not end its check"));
        };
        self.run_until(self.now + SLEEPY);
        let found = report.findings.iter().find(|it| !waits(it));
        if let Some(found) = found {
            self.blame(format!("a check finds {found:?}"));
        }
    }

    /// Who waits in IDLE costs its server no machine, and hears soon of what comes to another
    /// one.
    fn check_bells(&mut self) {
        let servers = self.processes.len();
        let idle = self.chance.index(servers);
        let client = self.wait_in(idle, "INBOX");
        for process in (0..servers).filter(|process| *process != idle) {
            self.run_until(self.now + SLEEPY);
            if self.violation.is_some() {
                return;
            }
            if self.processes[idle].account.machine().is_some() {
                return self.blame(format!(
                    "server {idle} has a machine that only a sleeping client could need"
                ));
            }
            let messages = |world: &Self| {
                let session = world.clients[client].session.as_ref();
                let view = session.and_then(|session| session.view.as_ref());
                view.map(|view| view.messages.len())
            };
            let before = messages(self);
            for _ in 0..BURST {
                self.deliver(process);
                let pause = self.chance.between(1_000, 40_000);
                self.run_until(self.now + pause);
            }
            self.run_until(self.now + PROMPT);
            if self.violation.is_none() && messages(self) != before.map(|count| count + BURST) {
                self.blame(format!(
                    "client {client} waits at server {idle} and does not hear of what came to {process}"
                ));
            }
        }
        self.hang_up(client, true);
        self.run_until(self.now + SLEEPY);
    }

    /// What all servers show, if it is the same.
    fn all_agree(&mut self, when: &str) -> Option<All> {
        let truth = self.audit(0);
        for process in 1..self.processes.len() {
            let other = self.audit(process);
            self.compare(&truth, &other, &format!("servers 0 and {process} {when}"));
        }
        self.violation.is_none().then_some(truth)
    }

    fn same_as(&mut self, truth: &All, when: &str) {
        if self.violation.is_none()
            && let Some(all) = self.all_agree(when)
        {
            self.compare(truth, &all, when);
        }
    }

    fn compare(&mut self, one: &All, two: &All, who: &str) {
        if self.violation.is_some() || one == two {
            return;
        }
        if one.subscribed != two.subscribed {
            let (one, two) = (&one.subscribed, &two.subscribed);
            return self.blame(format!("{who} subscribe to {one:?} and {two:?}"));
        }
        let (one, two) = (&one.mailboxes, &two.mailboxes);
        let names = one.keys().chain(two.keys());
        let differ = names.filter(|name| one.get(*name) != two.get(*name));
        let differ: BTreeMap<_, _> = differ
            .map(|name| (name, (one.get(name), two.get(name))))
            .collect();
        self.blame(format!("{who} differ: {differ:?}"));
    }

    /// Each mail is there as often as was promised.
    fn check_mails(&mut self, truth: &All) {
        let mut counts = vec![0_usize; self.ledger.mails.len()];
        for (_, mail, _) in truth.mailboxes.values().flat_map(|shown| &shown.messages) {
            counts[*mail] += 1;
        }
        let mails = self.ledger.mails.iter().zip(&counts).enumerate();
        let wrong = mails.filter_map(|(number, (mail, count))| {
            let left = count + mail.gone.union(&mail.exposed).count() + mail.maybe_exposed;
            let lost = left < mail.sure;
            let gone = mail.gone.intersection(&mail.arrived).count();
            let renames = mail.renames * (mail.sure + mail.maybe);
            let double = count + gone > mail.sure + mail.maybe + renames;
            (lost || double).then(|| format!("mail {number} is there {count} times: {mail:?}"))
        });
        if let Some(wrong) = wrong.collect::<Vec<_>>().first() {
            self.blame(wrong.clone());
        }
    }

    /// No place that was said to be empty has anything again.
    fn check_places(&mut self, truth: &All) {
        let mut wrong = Vec::new();
        for shown in truth.mailboxes.values() {
            for (uid, mail, _) in &shown.messages {
                let place = (shown.uid_validity, *uid);
                if self.ledger.left_out.contains(&place) {
                    wrong.push(format!("mail {mail} is at {place:?}, and was not copied"));
                }
                if self.ledger.mails[*mail].gone.contains(&place) {
                    wrong.push(format!("mail {mail} was expunged and is at {place:?}"));
                }
                for client in &mut self.clients {
                    if let Err(what) = client.device.check(place, *mail) {
                        wrong.push(what);
                    }
                }
            }
        }
        if let Some(wrong) = wrong.into_iter().next() {
            self.blame(wrong);
        }
    }

    /// Who kept mailboxes and asks for what changed knows what is there, whichever server it
    /// asks.
    fn check_caches(&mut self, truth: &All) {
        for client in 0..self.clients.len() {
            let Some(mut caches) = self.clients[client].caches.take() else {
                continue;
            };
            caches.cut();
            let mut names = caches.names();
            names.retain(|name| truth.mailboxes.contains_key(name));
            let process = self.chance.index(self.processes.len());
            let caches = self.resynchronise(process, caches, names.clone());
            for name in names {
                let Some((uid_validity, known, below)) = caches.known(&name) else {
                    continue;
                };
                let shown = &truth.mailboxes[&name];
                let there = shown.messages.iter().filter(|(uid, ..)| *uid < below);
                let there: BTreeMap<u32, Vec<String>> =
                    there.map(|(uid, _, flags)| (*uid, flags.clone())).collect();
                if uid_validity == shown.uid_validity && known != there {
                    self.violation.get_or_insert(format!(
                        "client {client} knows {known:?} of {name}, there are {there:?}"
                    ));
                }
            }
        }
    }

    /// Flags are as the last who changed them wanted them.
    fn check_flags(&mut self, truth: &All) {
        let mut wrong = None;
        for shown in truth.mailboxes.values() {
            for (uid, mail, flags) in &shown.messages {
                let place = (shown.uid_validity, *uid);
                for flag in FLAGS {
                    let set = flags.iter().any(|it| it == flag);
                    let allowed = self.ledger.allowed(place, flag);
                    if allowed.is_some_and(|allowed| !allowed[usize::from(set)]) {
                        let ops = self.ledger.flags.get(&(place, flag.to_owned()));
                        wrong = Some(format!(
                            "{flag} of mail {mail} at {place:?} is {set} after {ops:?}"
                        ));
                    }
                }
            }
        }
        if let Some(wrong) = wrong {
            self.blame(wrong);
        }
    }
}
