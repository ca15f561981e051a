//! The account's task of a server process: it owns the core's `Account`, and gets messages
//! from connections and from other servers.

use crate::world::{Event, SECOND, World};
use restante_core::account::{
    Account, AccountInput, AccountOutput, AccountReply, AccountRequest, ConnectionId,
};
use restante_core::mailbox::MailboxId;
use restante_core::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// How long an account machine stays without connections.
pub(crate) const LINGER_US: u64 = 10 * SECOND;

/// An account's task.
pub(crate) struct Task {
    pub(crate) machine: Account,
    pub(crate) number: u64,
    pub(crate) deadline: Option<Instant>,
    /// Connections that use it.
    attached: usize,
    pub(crate) unused_since: Option<u64>,
    pub(crate) ending: bool,
    /// What came while it ends.
    later: VecDeque<Mail>,
}

/// A message to an account's task.
#[derive(Debug)]
pub(crate) enum Mail {
    Attach,
    Request(u64, AccountRequest),
    Detach(u64),
    /// Another server has written there.
    Rung(Option<MailboxId>),
    /// Another server may have written anywhere.
    RungAll,
}

impl World {
    /// Sends a message to the account's task.
    pub(crate) fn mail(&mut self, process: usize, mail: Mail) {
        let at = self.soon().max(self.processes[process].account_mail);
        let it = &mut self.processes[process];
        it.account_mail = at;
        let life = it.life;
        self.at(at, Event::ToAccount(process, life, mail));
    }

    pub(crate) fn account_mail(&mut self, process: usize, mail: Mail) {
        let rung = matches!(mail, Mail::Rung(_) | Mail::RungAll);
        if self.processes[process].account.is_none() {
            if rung {
                return;
            }
            let (now, number) = (self.time(process), self.processes[process].number());
            let (config, keys) = (Arc::clone(&self.config), Arc::clone(&self.keys));
            let machine = Account::new(config, keys, self.chance.seed(), now);
            let writers = core::mem::take(&mut self.processes[process].writers);
            let machine = machine.with_writers(writers);
            self.processes[process].account = Some(Task {
                machine,
                number,
                deadline: None,
                attached: 0,
                unused_since: None,
                ending: false,
                later: VecDeque::new(),
            });
        }
        let life = self.processes[process].life;
        let Some(task) = &mut self.processes[process].account else {
            return;
        };
        if task.ending {
            return task.later.push_back(mail);
        }
        match mail {
            Mail::Attach => {
                task.attached += 1;
                task.unused_since = None;
            }
            Mail::Request(connection, request) => {
                let connection = ConnectionId(connection);
                self.account_input(process, AccountInput::Request(connection, request));
            }
            Mail::Detach(connection) => {
                task.attached -= 1;
                let number = task.number;
                if task.attached == 0 {
                    task.unused_since = Some(self.now);
                    let at = self.now + LINGER_US;
                    self.at(at, Event::Wake(process, life, number));
                }
                self.account_input(process, AccountInput::Detach(ConnectionId(connection)));
            }
            Mail::Rung(log) => self.account_input(process, AccountInput::Rung(log)),
            Mail::RungAll => self.account_input(process, AccountInput::RungAll),
        }
    }

    /// The other servers hear of a change, some later than others, some not at all.
    pub(crate) fn ring(&mut self, process: usize, log: Option<MailboxId>) {
        for other in 0..self.processes.len() {
            if other == process || self.chance.permille(self.garage.weather.lost * 4) {
                continue;
            }
            let mail = match self.chance.permille(50) {
                true => Mail::RungAll,
                false => Mail::Rung(log),
            };
            let late = self.garage.weather.delay(&mut self.chance);
            let (at, life) = (self.now + late, self.processes[other].life);
            self.at(at, Event::ToAccount(other, life, mail));
        }
    }

    pub(crate) fn account_input(&mut self, process: usize, input: AccountInput) {
        let now = self.time(process);
        let Some(task) = &mut self.processes[process].account else {
            return;
        };
        task.machine.handle_input(now, input);
        loop {
            let Some(task) = &mut self.processes[process].account else {
                return;
            };
            let number = task.number;
            match task.machine.poll_output() {
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
                    }
                    self.note(format_args!("{process}/{number}: {event:?}"));
                }
                AccountOutput::Ring(log) => self.ring(process, log),
                AccountOutput::Wait { deadline } => {
                    return self.set_account_deadline(process, deadline);
                }
                AccountOutput::Done => return self.account_done(process),
            }
        }
    }

    fn set_account_deadline(&mut self, process: usize, deadline: Option<Instant>) {
        let life = self.processes[process].life;
        let Some(task) = &mut self.processes[process].account else {
            return;
        };
        let number = task.number;
        if deadline != task.deadline {
            task.deadline = deadline;
            if let Some(at) = deadline {
                let late = self.chance.below(1_000);
                self.at(at.0 + late, Event::Wake(process, life, number));
            }
        }
    }

    fn account_done(&mut self, process: usize) {
        let Some(mut task) = self.processes[process].account.take() else {
            return;
        };
        self.processes[process].writers = task.machine.take_writers();
        self.garage.forget_machine(process, task.number);
        for mail in task.later {
            self.account_mail(process, mail);
        }
    }

    fn reply(&mut self, process: usize, connection: u64, reply: AccountReply) {
        let soon = self.soon();
        let it = &mut self.processes[process];
        let Some(line) = it.connections.get_mut(&connection) else {
            return;
        };
        line.replied = line.replied.max(soon);
        let (at, life) = (line.replied, it.life);
        self.at(at, Event::ToConnection(process, life, connection, reply));
    }
}
