//! The doorbell's task of a server process: it owns the core's `Doorbell`, which announces
//! what this process wrote and watches what others announce. What it hears goes to the
//! account's task.

use crate::process::Process;
use crate::world::{Event, World};
use restante_core::doorbell::{
    Change, Doorbell, DoorbellInput, DoorbellOutput, partition_of, shard_of,
};
use restante_core::mailbox::MailboxId;
use restante_core::storage::{PartitionKey, RequestId, StorageRequest, StorageResponse};
use restante_core::time::Instant;
use std::collections::BTreeSet;
use std::sync::Arc;

/// See the module.
#[derive(Default)]
pub(crate) struct Bell {
    machine: Option<Machine>,
    /// Logs that changed and were not announced yet.
    changes: BTreeSet<Option<MailboxId>>,
}

struct Machine {
    doorbell: Doorbell,
    number: u64,
    deadline: Option<Instant>,
}

impl Bell {
    /// The number of its machine.
    pub(crate) fn machine(&self) -> Option<u64> {
        self.machine.as_ref().map(|machine| machine.number)
    }
}

impl World {
    /// A process begins to watch.
    pub(crate) fn start_doorbell(&mut self, process: usize) {
        let (now, number) = (self.time(process), self.processes[process].number());
        let doorbell = Doorbell::new(Arc::clone(&self.config), self.chance.seed(), now);
        self.processes[process].bell.machine = Some(Machine {
            doorbell,
            number,
            deadline: None,
        });
        self.drain_doorbell(process);
    }

    /// A process watches no longer, and announces what is left.
    pub(crate) fn end_doorbell(&mut self, process: usize) {
        self.announce(process);
        self.doorbell_input(process, DoorbellInput::Shutdown);
    }

    /// Other servers are to hear of a change.
    pub(crate) fn ring(&mut self, process: usize, log: Option<MailboxId>) {
        let at = self.soon();
        let it: &mut Process = &mut self.processes[process];
        if it.bell.changes.insert(log) {
            self.at(at, Event::Announce(process, self.processes[process].life));
        }
    }

    /// What changed goes to the machine.
    pub(crate) fn announce(&mut self, process: usize) {
        let changes = core::mem::take(&mut self.processes[process].bell.changes);
        let account = self.keys.account();
        for log in changes {
            self.doorbell_input(process, DoorbellInput::Changed(Change { account, log }));
        }
    }

    /// The deadline of the machine may have come.
    pub(crate) fn wake_doorbell(&mut self, process: usize) {
        let instant = self.time(process).instant;
        let machine = self.processes[process].bell.machine.as_ref();
        if machine.is_some_and(|machine| machine.deadline.is_some_and(|at| at <= instant)) {
            self.doorbell_input(process, DoorbellInput::Timeout);
        }
    }

    /// An answer of storage.
    pub(crate) fn doorbell_answer(
        &mut self,
        process: usize,
        request: RequestId,
        response: StorageResponse,
    ) {
        self.doorbell_input(process, DoorbellInput::Storage(request, response));
    }

    fn doorbell_input(&mut self, process: usize, input: DoorbellInput) {
        let now = self.time(process);
        if let Some(machine) = &mut self.processes[process].bell.machine {
            machine.doorbell.handle_input(now, input);
            self.drain_doorbell(process);
        }
    }

    fn drain_doorbell(&mut self, process: usize) {
        let shard = shard_of(self.keys.account());
        loop {
            let life = self.processes[process].life;
            let Some(machine) = &mut self.processes[process].bell.machine else {
                return;
            };
            let number = machine.number;
            match machine.doorbell.poll_output() {
                DoorbellOutput::Storage(id, wanted) => {
                    if partition(&wanted) == Some(&partition_of(shard)) {
                        self.ask_storage(process, number, id, wanted);
                    }
                    // Nobody is in the other shards: their first poll never ends.
                }
                DoorbellOutput::Abandon(id) => {
                    let caller = self.caller(process, number, id);
                    self.garage.abandon(caller);
                }
                DoorbellOutput::Rung(change) => {
                    let at = self.soon();
                    self.at(at, Event::Rung(process, life, Some(change.log)));
                }
                DoorbellOutput::RungAll(rung) => {
                    if rung == shard {
                        let at = self.soon();
                        self.at(at, Event::Rung(process, life, None));
                    }
                }
                DoorbellOutput::Event(event) => {
                    self.note(format_args!("{process}/{number}: {event:?}"));
                }
                DoorbellOutput::Wait { deadline } => {
                    if deadline != machine.deadline {
                        machine.deadline = deadline;
                        if let Some(at) = deadline {
                            let at = self.world_time(process, at);
                            self.at(at, Event::Wake(process, life, number));
                        }
                    }
                    return;
                }
                DoorbellOutput::Done => {
                    self.processes[process].bell.machine = None;
                    return self.garage.forget_machine(process, number);
                }
            }
        }
    }
}

/// What a request of a doorbell is about.
fn partition(request: &StorageRequest) -> Option<&PartitionKey> {
    match request {
        StorageRequest::PollRange { partition, .. } => Some(partition),
        StorageRequest::ReadRange(range) => Some(&range.partition),
        StorageRequest::InsertItems(items) => items.first().map(|item| &item.key.partition),
        StorageRequest::DeleteItems(items) => items.first().map(|(key, _)| &key.partition),
        _ => None,
    }
}
