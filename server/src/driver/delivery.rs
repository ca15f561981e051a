//! Delivery into accounts whose keys nobody here has: the loop around the core's
//! `Delivery`, and the writers that it lends to one message after the other.

use super::Server;
use super::clock::Deadline;
use super::connection::Answers;
use crate::runtime::Runtime;
use crate::seed::seed;
use crate::storage::Desk;
use core::task::Poll;
use futures_util::io::{AsyncRead, AsyncReadExt};
use futures_util::lock::Mutex as Turns;
use futures_util::stream::StreamExt;
use restante_core::delivery::{
    Delivery, DeliveryFailure, DeliveryInput, DeliveryOutput, InboxWriter, Recipient,
};
use restante_core::doorbell::Change;
use restante_core::mailbox::{AccountId, Flag};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// INBOXes whose writers are kept; then those that nobody uses now are forgotten, and the
/// next messages come from new ones.
const WRITERS_MAX: usize = 10_000;

/// Delivers messages, on behalf of one process. There is one for each server.
pub struct Deliverer<R: Runtime> {
    server: Arc<Server<R>>,
}

/// As whom this process writes to INBOXes.
#[derive(Default)]
pub(super) struct Writers(Mutex<HashMap<AccountId, Writer>>);

/// As whom it writes to one; nothing while a message has it, so that one whose delivery is
/// given up in between is never lent again.
pub(super) type Writer = Arc<Turns<Option<InboxWriter>>>;

/// Why a message was not delivered.
#[derive(Debug)]
pub enum DeliverError {
    /// It did not come to its end.
    Source(io::Error),
    /// See there.
    Failed(DeliveryFailure),
}

impl<R: Runtime> Deliverer<R> {
    /// Nothing happens before the first message.
    #[must_use]
    pub fn new(server: Arc<Server<R>>) -> Self {
        Self { server }
    }

    /// Stores a message in the INBOX of an account. After `Ok` it is durable.
    ///
    /// # Errors
    /// See [`DeliverError`]. After `Unavailable` the message may appear all the same.
    pub async fn deliver(
        &self,
        recipient: Recipient,
        flags: Vec<Flag>,
        mut message: impl AsyncRead + Unpin + Send,
    ) -> Result<(), DeliverError> {
        let server = &*self.server;
        let core = Arc::clone(&server.core);
        let mut machine = Delivery::new(core, recipient, flags, seed(), server.clock.now());
        let (mut desk, mut answers) = (Desk::new(Arc::clone(&server.storage)), Answers::new());
        let mut timer = Deadline::<R>::new(&server.runtime, server.clock);
        let slot = server.writers.of(recipient.account);
        let mut turn = None;
        let mut buffer = Vec::new();
        loop {
            let input = match machine.poll_output() {
                DeliveryOutput::Storage(id, request) => {
                    answers.push(desk.start(id, request));
                    continue;
                }
                DeliveryOutput::Abandon(id) => {
                    desk.abandon(id);
                    continue;
                }
                DeliveryOutput::Event(event) => {
                    super::log(&event);
                    continue;
                }
                DeliveryOutput::Turn => {
                    let turn = turn.insert(slot.lock().await);
                    let new = || InboxWriter::new(server.clock.now(), seed());
                    DeliveryInput::Turn(turn.take().unwrap_or_else(new))
                }
                DeliveryOutput::Delivered(writer) => {
                    if let Some(turn) = &mut turn {
                        **turn = Some(writer);
                    }
                    server.rang(recipient);
                    return Ok(());
                }
                DeliveryOutput::Failed(failure, writer) => {
                    if let Some(turn) = &mut turn {
                        // It may be there, or come yet.
                        server.rang(recipient);
                        **turn = writer;
                    }
                    return Err(DeliverError::Failed(failure));
                }
                DeliveryOutput::Wait {
                    receive: 0,
                    deadline,
                } => {
                    let input = core::future::poll_fn(|cx| {
                        if let Poll::Ready(Some(answer)) = answers.poll_next_unpin(cx) {
                            return Poll::Ready(
                                answer.map(|(id, response)| DeliveryInput::Storage(id, response)),
                            );
                        }
                        timer
                            .poll(cx, deadline)
                            .map(|()| Some(DeliveryInput::Timeout))
                    });
                    match input.await {
                        Some(input) => input,
                        None => continue,
                    }
                }
                DeliveryOutput::Wait { receive, .. } => {
                    buffer.resize(receive, 0);
                    let read = message.read(&mut buffer).await;
                    match read.map_err(DeliverError::Source)? {
                        0 => DeliveryInput::End,
                        count => DeliveryInput::Received(buffer[..count].to_vec().into()),
                    }
                }
            };
            machine.handle_input(server.clock.now(), input);
        }
    }
}

impl<R: Runtime> Server<R> {
    /// Something came, or may have come, into an INBOX: its account is told, here and in
    /// other processes.
    pub(super) fn rang(&self, recipient: Recipient) {
        let change = Change {
            account: recipient.account,
            log: Some(recipient.inbox),
        };
        self.registry.ring(change);
        self.announce(change);
    }
}

impl Writers {
    /// The writer for the INBOX of an account.
    pub(super) fn of(&self, account: AccountId) -> Writer {
        let mut writers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if writers.len() >= WRITERS_MAX && !writers.contains_key(&account) {
            writers.retain(|_, writer| Arc::strong_count(writer) > 1);
        }
        Arc::clone(writers.entry(account).or_default())
    }
}
