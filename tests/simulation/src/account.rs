//! The account's task of a server process: it owns the core's `Account`, and gets messages
//! from connections and from the doorbell.
//!
//! It begins with the first login. When nobody has needed its machine for a while, the
//! machine ends; what is left of clients that sleep waits for the next one, which begins
//! with the next message or ring. What comes while a machine ends waits as well.

use crate::process::Process;
use crate::world::{Event, World};
use restante_core::account::{
    Account, AccountInput, AccountOutput, AccountReply, AccountRequest, Bodies, CheckOptions,
    ConnectionId, Sleepers, Writers,
};
use restante_core::mailbox::MailboxId;
use restante_core::time::Instant;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

/// See the module.
#[derive(Default)]
pub(crate) struct Task {
    machine: Option<Machine>,
    /// What the machines before have left.
    writers: Writers,
    sleepers: Sleepers,
    /// Connections that have logged in and whose end the task has not seen.
    logins: usize,
    /// Those of them that it knows of.
    attached: BTreeSet<u64>,
    /// What came while a machine ended.
    later: VecDeque<Mail>,
    /// What others wrote and no machine was told yet.
    rings: Rings,
    /// When the last message to it arrives.
    last_mail: u64,
}

/// One machine.
struct Machine {
    account: Account,
    number: u64,
    deadline: Option<Instant>,
    /// When it ends unless somebody needs it before.
    linger: Option<Instant>,
    ending: bool,
}

/// A message of a connection to its account's task.
#[derive(Debug)]
pub(crate) enum Mail {
    Attach(u64),
    Request(u64, AccountRequest),
    Detach(u64),
}

/// Rings that were not heard yet.
#[derive(Debug, Default)]
struct Rings {
    all: bool,
    logs: BTreeSet<Option<MailboxId>>,
}

/// Who is no client, and has the account checked.
const CHECKER: u64 = u64::MAX;

impl Task {
    /// Whether somebody would miss a ring.
    pub(crate) fn is_open(&self) -> bool {
        self.logins > 0
    }

    /// The number of its machine.
    pub(crate) fn machine(&self) -> Option<u64> {
        self.machine.as_ref().map(|machine| machine.number)
    }
}

impl World {
    /// A connection has logged in.
    pub(crate) fn attach(&mut self, process: usize, connection: u64) {
        self.processes[process].account.logins += 1;
        self.mail(process, Mail::Attach(connection));
    }

    /// Sends a message to the account's task.
    pub(crate) fn mail(&mut self, process: usize, mail: Mail) {
        let at = self.soon().max(self.processes[process].account.last_mail);
        let it = &mut self.processes[process];
        it.account.last_mail = at;
        let life = it.life;
        self.at(at, Event::ToAccount(process, life, mail));
    }

    /// A message has come.
    pub(crate) fn account_mail(&mut self, process: usize, mail: Mail) {
        self.begin_machine(process);
        let task = &mut self.processes[process].account;
        let Some(machine) = &mut task.machine else {
            return;
        };
        if machine.ending {
            return task.later.push_back(mail);
        }
        let input = match mail {
            Mail::Attach(connection) => {
                task.attached.insert(connection);
                return self.look_for_end(process);
            }
            Mail::Request(connection, request) => {
                machine.linger = None;
                AccountInput::Request(ConnectionId(connection), request)
            }
            Mail::Detach(connection) => {
                task.logins -= 1;
                task.attached.remove(&connection);
                AccountInput::Detach(ConnectionId(connection))
            }
        };
        self.account_input(process, input);
    }

    /// Another server, or a delivery, has written to a log; `None`: maybe to any.
    pub(crate) fn rung(&mut self, process: usize, log: Option<Option<MailboxId>>) {
        let task = &mut self.processes[process].account;
        if !task.is_open() {
            return;
        }
        match log {
            Some(log) => {
                task.rings.logs.insert(log);
            }
            None => task.rings.all = true,
        }
        self.hear_rings(process);
    }

    fn hear_rings(&mut self, process: usize) {
        let rings = &self.processes[process].account.rings;
        if !rings.all && rings.logs.is_empty() {
            return;
        }
        self.begin_machine(process);
        let task = &mut self.processes[process].account;
        if task.machine.as_ref().is_none_or(|machine| machine.ending) {
            return;
        }
        let Rings { all, logs } = core::mem::take(&mut task.rings);
        if all {
            self.account_input(process, AccountInput::RungAll);
        }
        for log in logs {
            self.account_input(process, AccountInput::Rung(log));
        }
    }

    fn begin_machine(&mut self, process: usize) {
        if self.processes[process].account.machine.is_some() {
            return;
        }
        let (now, number) = (self.time(process), self.processes[process].number());
        let (config, keys) = (Arc::clone(&self.config), Arc::clone(&self.keys));
        let machine = Account::new(config, keys, self.chance.seed(), now);
        let task = &mut self.processes[process].account;
        let machine = machine
            .with_writers(core::mem::take(&mut task.writers))
            .with_sleepers(core::mem::take(&mut task.sleepers));
        let kept = task.attached.len();
        task.machine = Some(Machine {
            account: machine,
            number,
            deadline: None,
            linger: None,
            ending: false,
        });
        if kept > 0 {
            self.resumed += 1;
        }
        self.note(format_args!(
            "{process}/{number} begins for {kept} connections that are there"
        ));
    }

    /// The deadline of the machine, or the time to end it, may have come.
    pub(crate) fn wake_account(&mut self, process: usize) {
        let instant = self.time(process).instant;
        let due = |machine: &Machine| machine.deadline.is_some_and(|at| at <= instant);
        let machine = &self.processes[process].account.machine;
        if machine.as_ref().is_some_and(due) {
            self.account_input(process, AccountInput::Timeout);
        }
        self.look_for_end(process);
    }

    /// Ends the machine if nobody has needed it for long enough.
    fn look_for_end(&mut self, process: usize) {
        let (now, linger) = (self.time(process).instant, self.linger_us);
        let it = &mut self.processes[process];
        let Some(machine) = &mut it.account.machine else {
            return;
        };
        if machine.ending {
            return;
        }
        if !it.account.attached.is_empty() && !machine.account.is_unneeded() {
            machine.linger = None;
            return;
        }
        match machine.linger {
            None => {
                let until = Instant(now.0 + linger);
                machine.linger = Some(until);
                let (life, number) = (it.life, machine.number);
                self.at(
                    self.world_time(process, until),
                    Event::Wake(process, life, number),
                );
            }
            Some(until) if until <= now => {
                machine.ending = true;
                self.account_input(process, AccountInput::Shutdown);
            }
            Some(_) => {}
        }
    }

    /// An input for the machine, if there is one.
    pub(crate) fn account_input(&mut self, process: usize, input: AccountInput) {
        let now = self.time(process);
        let Some(machine) = &mut self.processes[process].account.machine else {
            return;
        };
        machine.account.handle_input(now, input);
        loop {
            let Some(machine) = &mut self.processes[process].account.machine else {
                return;
            };
            let number = machine.number;
            match machine.account.poll_output() {
                AccountOutput::Storage(id, wanted) => {
                    self.ask_storage(process, number, id, wanted);
                }
                AccountOutput::Abandon(id) => {
                    let caller = self.caller(process, number, id);
                    self.garage.abandon(caller);
                }
                AccountOutput::Reply(connection, reply) => {
                    self.reply(process, connection.0, reply);
                }
                AccountOutput::Event(event) => {
                    if let restante_core::boundary::Event::Swept(report) = &event {
                        self.collected += report.deleted();
                        self.forgotten += report.forgotten;
                    }
                    self.note(format_args!("{process}/{number}: {event:?}"));
                }
                AccountOutput::Ring(log) => self.ring(process, log),
                AccountOutput::Wait { deadline } => {
                    self.set_account_deadline(process, deadline);
                    return self.look_for_end(process);
                }
                AccountOutput::Done => return self.account_done(process),
            }
        }
    }

    /// Has everything of the account checked, as `fsck` does.
    pub(crate) fn check_account(&mut self, process: usize) {
        self.attach(process, CHECKER);
        let options = CheckOptions {
            bodies: Bodies::Full,
            repair: false,
            rebuild: false,
            restored_ms: None,
        };
        self.mail(
            process,
            Mail::Request(CHECKER, AccountRequest::Check(options)),
        );
    }

    fn set_account_deadline(&mut self, process: usize, deadline: Option<Instant>) {
        let life = self.processes[process].life;
        let Some(machine) = &mut self.processes[process].account.machine else {
            return;
        };
        let number = machine.number;
        if deadline != machine.deadline {
            machine.deadline = deadline;
            if let Some(at) = deadline {
                let late = self.chance.below(1_000);
                let at = self.world_time(process, at) + late;
                self.at(at, Event::Wake(process, life, number));
            }
        }
    }

    fn account_done(&mut self, process: usize) {
        let task = &mut self.processes[process].account;
        let Some(mut machine) = task.machine.take() else {
            return;
        };
        task.writers = machine.account.take_writers();
        task.sleepers = machine.account.take_sleepers();
        let left = core::mem::take(&mut task.later);
        if !task.is_open() {
            task.sleepers = Sleepers::default();
            task.rings = Rings::default();
        }
        self.garage.forget_machine(process, machine.number);
        self.note(format_args!("{process}/{} is done", machine.number));
        for mail in left {
            self.account_mail(process, mail);
        }
        self.hear_rings(process);
    }

    fn reply(&mut self, process: usize, connection: u64, reply: AccountReply) {
        if let (CHECKER, AccountReply::Checked(report)) = (connection, &reply) {
            self.checked = Some((**report).clone());
            return self.mail(process, Mail::Detach(CHECKER));
        }
        if self.job_done(process, connection, &reply) {
            return;
        }
        let soon = self.soon();
        let it: &mut Process = &mut self.processes[process];
        let Some(line) = it.connections.get_mut(&connection) else {
            return;
        };
        line.replied = line.replied.max(soon);
        let (at, life) = (line.replied, it.life);
        self.at(at, Event::ToConnection(process, life, connection, reply));
    }
}
