//! One message on its way to all of its recipients: a [`Delivery`] for each, which all take
//! in the same octets, as fast as the slowest of them.

use super::post::PostRequest;
use crate::boundary::Output;
use crate::config::Config;
use crate::delivery::{
    Delivery, DeliveryFailure, DeliveryInput, DeliveryOutput, InboxWriter, Recipient,
};
use crate::random::Random;
use crate::storage::{RequestId, StorageResponse};
use crate::time::{Instant, Now};
use crate::workflow::RequestIds;
use bytes::Bytes;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The copies of a message.
#[derive(Debug, Default)]
pub(super) struct Copies {
    copies: Vec<Copy>,
    /// Whose each request is, also those that were answered.
    asked: BTreeMap<RequestId, usize>,
    /// How long one waits for its turn.
    turn_patience: Duration,
}

#[derive(Debug)]
struct Copy {
    recipient: Recipient,
    delivery: Delivery,
    /// Whether a writer was lent to it that was not given back.
    lent: bool,
    /// Its turn was asked for, and until when that is waited for.
    turn: Option<(RequestId, Instant)>,
    /// Octets that it can take now, and when it wants to be told the time.
    wait: (usize, Option<Instant>),
    outcome: Option<Result<(), DeliveryFailure>>,
}

/// What all copies share.
pub(super) struct Start<'a> {
    pub(super) config: &'a Arc<Config>,
    pub(super) ids: &'a Arc<RequestIds>,
    pub(super) random: &'a mut Random,
    pub(super) now: Now,
}

impl Copies {
    /// Begins a copy for each of these, with what stands in front of it.
    pub(super) fn start(start: Start<'_>, to: impl Iterator<Item = (Recipient, Bytes)>) -> Self {
        let turn_patience = start.config.lmtp_turn_patience;
        let copies = to.map(|(recipient, head)| {
            // What stands in front is not the client's: it may send as much as it was told.
            let bytes_max = start.config.message_bytes_max + head.len() as u64;
            let mut delivery = Delivery::of(
                Arc::clone(start.config),
                recipient,
                Vec::new(),
                bytes_max,
                start.random.seed(),
                start.now,
                Arc::clone(start.ids),
            );
            delivery.handle_input(start.now, DeliveryInput::Received(head));
            Copy {
                recipient,
                delivery,
                lent: false,
                turn: None,
                wait: (0, None),
                outcome: None,
            }
        });
        Self {
            copies: copies.collect(),
            asked: BTreeMap::new(),
            turn_patience,
        }
    }

    /// How many octets all of them can take now; `None`: nobody wants any.
    pub(super) fn room(&self) -> Option<usize> {
        let open = self.copies.iter().filter(|copy| copy.outcome.is_none());
        open.map(|copy| copy.wait.0).min()
    }

    /// The next octets of the message, no more than there is room for.
    pub(super) fn receive(&mut self, now: Now, octets: &Bytes, outputs: &mut VecDeque<Output>) {
        if !octets.is_empty() {
            self.all(now, outputs, || DeliveryInput::Received(octets.clone()));
        }
    }

    /// The message has ended.
    pub(super) fn end(&mut self, now: Now, outputs: &mut VecDeque<Output>) {
        self.all(now, outputs, || DeliveryInput::End);
    }

    fn all(&mut self, now: Now, outputs: &mut VecDeque<Output>, input: impl Fn() -> DeliveryInput) {
        for copy in 0..self.copies.len() {
            if self.copies[copy].outcome.is_none() {
                self.copies[copy].delivery.handle_input(now, input());
                self.drain(copy, now, outputs);
            }
        }
    }

    /// Hands on what the copies have to say since they were begun.
    pub(super) fn begin(&mut self, now: Now, outputs: &mut VecDeque<Output>) {
        for copy in 0..self.copies.len() {
            self.drain(copy, now, outputs);
        }
    }

    /// An answer of storage.
    pub(super) fn storage(
        &mut self,
        now: Now,
        id: RequestId,
        response: StorageResponse,
        outputs: &mut VecDeque<Output>,
    ) {
        self.give(id, now, DeliveryInput::Storage(id, response), outputs);
    }

    /// A writer that was asked for. One that nobody wants any more is lost.
    pub(super) fn turn(
        &mut self,
        now: Now,
        id: RequestId,
        writer: InboxWriter,
        outputs: &mut VecDeque<Output>,
    ) {
        if let Some(&copy) = self.asked.get(&id) {
            self.copies[copy].lent = true;
            self.copies[copy].turn = None;
            self.give(id, now, DeliveryInput::Turn(writer), outputs);
        }
    }

    fn give(
        &mut self,
        id: RequestId,
        now: Now,
        input: DeliveryInput,
        outputs: &mut VecDeque<Output>,
    ) {
        if let Some(&copy) = self.asked.get(&id) {
            self.copies[copy].delivery.handle_input(now, input);
            self.drain(copy, now, outputs);
        }
    }

    /// Tells those the time that want to know it. One that had no turn for too long ends: nothing names it yet, so it
    /// can be said for certain that it is not there, as long as the mail server still listens.
    pub(super) fn timeout(&mut self, now: Now, outputs: &mut VecDeque<Output>) {
        for copy in 0..self.copies.len() {
            if self.copies[copy]
                .turn
                .is_some_and(|(_, until)| until <= now.instant)
            {
                self.copies[copy].give_up(outputs);
            }
            let due = self.copies[copy].wait.1;
            if due.is_some_and(|at| at <= now.instant) {
                let delivery = &mut self.copies[copy].delivery;
                delivery.handle_input(now, DeliveryInput::Timeout);
                self.drain(copy, now, outputs);
            }
        }
    }

    /// When the first of them wants to know the time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let turns = self.copies.iter().filter_map(|copy| copy.turn);
        let waits = self.copies.iter().filter_map(|copy| copy.wait.1);
        waits.chain(turns.map(|(_, until)| until)).min()
    }

    /// How a copy ended, if it has.
    pub(super) fn outcome(&self, copy: usize) -> Option<Result<(), DeliveryFailure>> {
        self.copies[copy].outcome
    }

    /// The message is not wanted: nothing of it will be there.
    pub(super) fn abandon(&mut self, ids: &RequestIds, outputs: &mut VecDeque<Output>) {
        for copy in &mut self.copies {
            if copy.outcome.is_some() {
                continue;
            }
            if let Some((id, _)) = copy.turn {
                outputs.push_back(Output::Abandon(id));
            }
            copy.delivery.abandon();
            while let DeliveryOutput::Abandon(id) = copy.delivery.poll_output() {
                outputs.push_back(Output::Abandon(id));
            }
            if copy.lent {
                let done = PostRequest::Done(copy.recipient, None);
                outputs.push_back(Output::Post(ids.next(), done));
            }
        }
        *self = Self::default();
    }

    fn drain(&mut self, number: usize, now: Now, outputs: &mut VecDeque<Output>) {
        let copy = &mut self.copies[number];
        loop {
            let output = match copy.delivery.poll_output() {
                DeliveryOutput::Storage(id, request) => {
                    self.asked.insert(id, number);
                    Output::Storage(id, request)
                }
                DeliveryOutput::Abandon(id) => Output::Abandon(id),
                DeliveryOutput::Event(event) => Output::Event(event),
                DeliveryOutput::Turn => {
                    let id = copy.delivery.next_id();
                    self.asked.insert(id, number);
                    copy.turn = Some((id, now.instant.after(self.turn_patience)));
                    Output::Post(id, PostRequest::Turn(copy.recipient))
                }
                DeliveryOutput::Wait { receive, deadline } => {
                    copy.wait = (receive, deadline);
                    return;
                }
                DeliveryOutput::Delivered(writer) => {
                    return copy.end(Ok(()), Some(writer), outputs);
                }
                DeliveryOutput::Failed(failure, writer) => {
                    return copy.end(Err(failure), writer, outputs);
                }
            };
            outputs.push_back(output);
        }
    }
}

impl Copy {
    /// Waits for its turn no more.
    fn give_up(&mut self, outputs: &mut VecDeque<Output>) {
        if let Some((id, _)) = self.turn.take() {
            outputs.push_back(Output::Abandon(id));
        }
        self.delivery.abandon();
        self.end(Err(DeliveryFailure::Unavailable), None, outputs);
    }

    fn end(
        &mut self,
        outcome: Result<(), DeliveryFailure>,
        writer: Option<InboxWriter>,
        outputs: &mut VecDeque<Output>,
    ) {
        self.outcome = Some(outcome);
        self.wait = (0, None);
        if core::mem::take(&mut self.lent) {
            let done = PostRequest::Done(self.recipient, writer);
            outputs.push_back(Output::Post(self.delivery.next_id(), done));
        }
    }
}
