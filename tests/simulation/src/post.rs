//! Deliveries: messages that come to INBOX without a client and without the account's keys.
//! A process lends its one writer of INBOX's log to one message after the other.

use crate::ledger::text;
use crate::world::{Event, SECOND, World};
use bytes::Bytes;
use restante_core::delivery::{Delivery, DeliveryInput, DeliveryOutput, InboxWriter, Recipient};
use restante_core::mailbox::Directory;
use restante_core::storage::{RequestId, StorageResponse};
use restante_core::time::Instant;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The deliveries of one process.
#[derive(Default)]
pub(crate) struct Post {
    /// By the number of its machine.
    deliveries: BTreeMap<u64, Coming>,
    /// Those that wait for the writer.
    turns: VecDeque<u64>,
    /// Nobody has it.
    writer: Option<InboxWriter>,
    /// Whether somebody has it.
    lent: bool,
}

/// A message on its way.
struct Coming {
    machine: Delivery,
    mail: usize,
    /// What has not been taken in yet; nothing after the end.
    left: Option<Vec<u8>>,
    deadline: Option<Instant>,
}

impl World {
    /// A message comes to some server, and the next one some time later.
    pub(crate) fn post(&mut self) {
        if !self.busy {
            return;
        }
        let pause = self.chance.between(SECOND / 100, 10 * SECOND);
        self.at(self.now + pause, Event::Post);
        let process = self.chance.index(self.processes.len());
        let several = 1 + self.chance.below(3);
        for _ in 0..several {
            self.deliver(process);
        }
    }

    /// A message comes to this server.
    pub(crate) fn deliver(&mut self, process: usize) {
        if !self.processes[process].accepts() || self.stands_still(process) {
            return;
        }
        let mail = self.ledger.new_mail(self.now);
        self.ledger.enters_inbox(mail, self.now);
        let it = &mut self.ledger.mails[mail];
        // Until it is said to be there. Clients may see it before, and copy it.
        it.maybe += 1;
        let recipient = Recipient {
            account: self.keys.account(),
            public_key: self.keys.public_key(),
            inbox: Directory::inbox(&self.keys),
        };
        let (config, now) = (Arc::clone(&self.config), self.time(process));
        let machine = Delivery::new(config, recipient, vec![], self.chance.seed(), now);
        let number = self.processes[process].number();
        let coming = Coming {
            machine,
            mail,
            left: Some(text(mail)),
            deadline: None,
        };
        let post = &mut self.processes[process].post;
        post.deliveries.insert(number, coming);
        self.note(format_args!("mail {mail} comes to {process}/{number}"));
        self.drain_delivery(process, number);
    }

    /// An answer of storage, if it is for a delivery.
    pub(crate) fn delivery_answer(
        &mut self,
        process: usize,
        machine: u64,
        request: RequestId,
        response: StorageResponse,
    ) {
        self.delivery_input(process, machine, DeliveryInput::Storage(request, response));
    }

    /// The deadline of a delivery may have come.
    pub(crate) fn wake_delivery(&mut self, process: usize, machine: u64) {
        let instant = self.time(process).instant;
        let coming = self.processes[process].post.deliveries.get(&machine);
        let deadline = coming.and_then(|coming| coming.deadline);
        if deadline.is_some_and(|at| at <= instant) {
            self.delivery_input(process, machine, DeliveryInput::Timeout);
        }
    }

    fn delivery_input(&mut self, process: usize, machine: u64, input: DeliveryInput) {
        let now = self.time(process);
        if let Some(coming) = self.processes[process].post.deliveries.get_mut(&machine) {
            coming.machine.handle_input(now, input);
            self.drain_delivery(process, machine);
        }
    }

    fn drain_delivery(&mut self, process: usize, number: u64) {
        loop {
            let now = self.time(process);
            let post = &mut self.processes[process].post;
            let Some(coming) = post.deliveries.get_mut(&number) else {
                return;
            };
            match coming.machine.poll_output() {
                DeliveryOutput::Storage(id, wanted) => {
                    self.ask_storage(process, number, id, wanted);
                }
                DeliveryOutput::Abandon(id) => {
                    let caller = self.caller(process, number, id);
                    self.garage.abandon(caller);
                }
                DeliveryOutput::Event(event) => {
                    self.note(format_args!("{process}/{number}: {event:?}"));
                }
                DeliveryOutput::Turn => {
                    post.turns.push_back(number);
                    self.lend(process);
                }
                DeliveryOutput::Wait {
                    receive: 0,
                    deadline,
                } => {
                    coming.deadline = deadline;
                    if let Some(at) = deadline {
                        let life = self.processes[process].life;
                        let at = self.world_time(process, at);
                        self.at(at, Event::Wake(process, life, number));
                    }
                    return;
                }
                DeliveryOutput::Wait { receive, .. } => {
                    let input = match coming.left.as_mut() {
                        Some(left) if !left.is_empty() => {
                            let count = 1 + self.chance.index(receive.min(left.len()));
                            let rest = left.split_off(count);
                            let piece = core::mem::replace(left, rest);
                            DeliveryInput::Received(Bytes::from(piece))
                        }
                        Some(_) => {
                            coming.left = None;
                            DeliveryInput::End
                        }
                        None => return,
                    };
                    coming.machine.handle_input(now, input);
                }
                DeliveryOutput::Delivered(writer) => {
                    let it = &mut self.ledger.mails[coming.mail];
                    it.maybe -= 1;
                    it.sure += 1;
                    self.ledger.delivered_at.insert(coming.mail, self.now);
                    *self.ledger.acknowledged.entry("delivery").or_default() += 1;
                    let inbox = Some(Directory::inbox(&self.keys));
                    self.end_delivery(process, number, Some(writer), "delivered");
                    self.ring(process, inbox);
                    let (at, life) = (self.soon(), self.processes[process].life);
                    return self.at(at, Event::Rung(process, life, Some(inbox)));
                }
                DeliveryOutput::Failed(failure, writer) => {
                    *self.ledger.refused.entry("delivery").or_default() += 1;
                    let what = format!("not delivered: {failure:?}");
                    return self.end_delivery(process, number, writer, &what);
                }
            }
        }
    }

    fn end_delivery(
        &mut self,
        process: usize,
        number: u64,
        writer: Option<InboxWriter>,
        what: &str,
    ) {
        self.note(format_args!("{process}/{number}: {what}"));
        self.garage.forget_machine(process, number);
        let post = &mut self.processes[process].post;
        post.deliveries.remove(&number);
        if let Some(turn) = post.turns.iter().position(|it| *it == number) {
            post.turns.remove(turn);
            return;
        }
        post.lent = false;
        post.writer = writer;
        self.lend(process);
    }

    /// The writer goes to whoever waits for it first.
    fn lend(&mut self, process: usize) {
        let now = self.time(process);
        let seed = self.chance.seed();
        let post = &mut self.processes[process].post;
        if post.lent {
            return;
        }
        let Some(number) = post.turns.pop_front() else {
            return;
        };
        post.lent = true;
        let writer = post.writer.take();
        let writer = writer.unwrap_or_else(|| InboxWriter::new(now, seed));
        let life = self.processes[process].life;
        let at = self.soon();
        self.at(at, Event::Turned(process, life, number, writer));
    }

    /// A delivery has the writer.
    pub(crate) fn turned(&mut self, process: usize, number: u64, writer: InboxWriter) {
        self.delivery_input(process, number, DeliveryInput::Turn(writer));
    }
}
