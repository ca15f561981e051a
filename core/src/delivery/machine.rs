//! The machine of one message for one recipient.

use crate::account::{InternalDate, NewMessage};
use crate::boundary::Event;
use crate::config::Config;
use crate::mailbox::{
    AccountId, Batch, ContentId, Flag, LogPosition, MailboxId, MessageId, ModSeq, Operation, Part,
    Stamp, WriterId,
};
use crate::random::{Random, Seed};
use crate::seal::{ContentKind, ContentWriter, Places, seal_arrival, seal_delivered_summary};
use crate::storage::{
    InsertItem, ItemKey, RequestId, StorageError, StorageRequest, StorageResponse,
};
use crate::storing::{MessageObject, Written};
use crate::time::{Instant, Now};
use crate::workflow::{Effect, Io, RequestIds, Workflow};
use bytes::Bytes;
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

/// The first pause before a failed insert is made again; doubled each time.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// To whom, as much as is known without any secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// The account.
    pub account: AccountId,
    /// Its X25519 key.
    pub public_key: [u8; 32],
    /// Its INBOX.
    pub inbox: MailboxId,
}

/// As whom a process appends arrivals to the log of one INBOX, and the number of the next
/// one. There is at most one at a time of each writer: it is lent to one delivery after
/// the other. One that does not come back is never used again.
#[derive(Debug, PartialEq, Eq)]
pub struct InboxWriter(LogPosition);

impl InboxWriter {
    /// A writer that nobody is yet.
    #[must_use]
    pub fn new(now: Now, seed: Seed) -> Self {
        let writer = WriterId::at(now.unix_ms, &mut Random::new(seed));
        Self(LogPosition { writer, seq: 0 })
    }
}

/// Why a message was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryFailure {
    /// Longer than `message_bytes_max`.
    TooBig,
    /// It has no octets.
    Empty,
    /// Storage is full.
    OverQuota,
    /// Storage does not answer: it may be tried again. The message may appear all the same.
    Unavailable,
    /// The public key is none.
    BadKey,
}

/// What goes into a [`Delivery`].
#[derive(Debug)]
pub enum DeliveryInput {
    /// Octets of the message, at most as many as the last `Wait` said.
    Received(Bytes),
    /// That was all of it.
    End,
    /// To [`DeliveryOutput::Turn`]: the writer.
    Turn(InboxWriter),
    /// From storage.
    Storage(RequestId, StorageResponse),
    /// The deadline of the last `Wait` has passed.
    Timeout,
}

/// What comes out of a [`Delivery`].
#[derive(Debug)]
pub enum DeliveryOutput {
    /// A request to storage.
    Storage(RequestId, StorageRequest),
    /// The answer to this request is of no interest any more, streams included.
    Abandon(RequestId),
    /// The message is stored, and named by nobody: the writer for this INBOX is wanted.
    Turn,
    /// For the log and the metrics.
    Event(Event),
    /// Nothing more for now.
    Wait {
        /// How many octets of the message it can take, at most.
        receive: usize,
        /// When it wants `Timeout`.
        deadline: Option<Instant>,
    },
    /// All is durable: the message is in INBOX. The writer may be lent again.
    Delivered(InboxWriter),
    /// It is not, for all that is known. The writer comes back if it may be lent again.
    Failed(DeliveryFailure, Option<InboxWriter>),
}

/// One message for one recipient.
///
/// Its owner calls [`poll_output`](Self::poll_output) after [`new`](Self::new) and every
/// [`handle_input`](Self::handle_input) until that says `Wait`, `Delivered` or `Failed`,
/// and carries out each output. After the last two it drops the machine; dropping it
/// before may leave an object that nobody names, and the writer is lost.
#[derive(Debug)]
pub struct Delivery {
    config: Arc<Config>,
    recipient: Recipient,
    flags: Vec<Flag>,
    places: Places,
    random: Random,
    ids: Arc<RequestIds>,
    outputs: VecDeque<DeliveryOutput>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The message comes in.
    Storing(Workflow<Result<Stored, DeliveryFailure>>),
    /// It is stored; the turn is waited for.
    Stored(Stored),
    Inserting(Inserting),
    Ended,
}

/// A message in its object.
#[derive(Clone, Debug)]
struct Stored {
    content: ContentId,
    size: u64,
    summary_offset: u64,
    summary_len: u32,
    /// The summary, to be stored beside the arrival, if it is short.
    summary: Option<InsertItem>,
}

#[derive(Debug)]
struct Inserting {
    /// The arrival, and before it what lists of messages are made of.
    items: Vec<InsertItem>,
    position: LogPosition,
    attempt: u32,
    /// In flight, or when to send it again.
    request: Result<RequestId, Instant>,
}

impl Delivery {
    /// A message that begins to come in; it will have these flags, but no keywords.
    #[must_use]
    pub fn new(
        config: Arc<Config>,
        recipient: Recipient,
        flags: Vec<Flag>,
        seed: Seed,
        now: Now,
    ) -> Self {
        let message_bytes_max = config.message_bytes_max;
        let ids = Arc::default();
        Self::of(config, recipient, flags, message_bytes_max, seed, now, ids)
    }

    /// The same, as a part of a machine whose request ids these are.
    pub(crate) fn of(
        config: Arc<Config>,
        recipient: Recipient,
        flags: Vec<Flag>,
        message_bytes_max: u64,
        seed: Seed,
        now: Now,
        ids: Arc<RequestIds>,
    ) -> Self {
        let mut random = Random::new(seed);
        let places = Places::new(recipient.account);
        let body_random = Random::new(random.seed());
        let content = ContentId::at(now.unix_ms, &mut random);
        let workflow = Workflow::new(&ids, |io| {
            let config = Arc::clone(&config);
            store(
                io,
                config,
                recipient,
                content,
                message_bytes_max,
                body_random,
            )
        });
        let mut delivery = Self {
            config,
            recipient,
            flags,
            places,
            random,
            ids,
            outputs: VecDeque::new(),
            stage: Stage::Storing(workflow),
        };
        delivery.run();
        delivery
    }

    /// Takes an input. Never fails.
    pub fn handle_input(&mut self, now: Now, input: DeliveryInput) {
        match (&mut self.stage, input) {
            (Stage::Storing(body), DeliveryInput::Received(octets)) if !octets.is_empty() => {
                body.receive(octets);
            }
            // For the body, no octets are the end.
            (Stage::Storing(body), DeliveryInput::End) => body.receive(Bytes::new()),
            (Stage::Storing(body), DeliveryInput::Storage(id, response)) => {
                body.answer(id, response);
            }
            (Stage::Stored(_), DeliveryInput::Turn(writer)) => self.begin_insert(now, writer),
            (Stage::Inserting(it), DeliveryInput::Storage(id, response))
                if it.request == Ok(id) =>
            {
                self.inserted(now, response);
            }
            (Stage::Inserting(it), DeliveryInput::Timeout)
                if it.request.is_err_and(|at| at <= now.instant) =>
            {
                let insert = StorageRequest::InsertItems(it.items.clone());
                let id = self.ids.next();
                it.request = Ok(id);
                self.outputs.push_back(DeliveryOutput::Storage(id, insert));
            }
            _ => {}
        }
        self.run();
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> DeliveryOutput {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        let (receive, deadline) = match &self.stage {
            Stage::Storing(body) if body.wants_input() => (self.config.chunk_bytes, None),
            Stage::Inserting(it) => (0, it.request.err()),
            _ => (0, None),
        };
        DeliveryOutput::Wait { receive, deadline }
    }

    /// An id for a request that the machine around it makes on its behalf.
    pub(crate) fn next_id(&self) -> RequestId {
        self.ids.next()
    }

    /// Ends it before its end: what is said afterwards is only what to abandon. An arrival
    /// that is under way may come all the same.
    pub(crate) fn abandon(&mut self) {
        let open = match &self.stage {
            Stage::Storing(body) => body.open_requests(),
            Stage::Inserting(it) => it.request.ok().into_iter().collect(),
            Stage::Stored(_) | Stage::Ended => Vec::new(),
        };
        self.outputs.clear();
        self.outputs
            .extend(open.into_iter().map(DeliveryOutput::Abandon));
        self.stage = Stage::Ended;
    }

    fn run(&mut self) {
        let Stage::Storing(body) = &mut self.stage else {
            return;
        };
        let outcome = body.resume();
        while let Some(effect) = body.next_effect() {
            self.outputs.push_back(match effect {
                Effect::Storage(id, request) => DeliveryOutput::Storage(id, request),
                Effect::Abandon(id) => DeliveryOutput::Abandon(id),
                Effect::Event(event) => DeliveryOutput::Event(event),
                Effect::Account(_) => unreachable!("no account is open"),
            });
        }
        match outcome {
            Poll::Pending => {}
            Poll::Ready(Ok(stored)) => {
                self.stage = Stage::Stored(stored);
                self.outputs.push_back(DeliveryOutput::Turn);
            }
            Poll::Ready(Err(failure)) => {
                for id in body.open_requests() {
                    self.outputs.push_back(DeliveryOutput::Abandon(id));
                }
                self.end(DeliveryOutput::Failed(failure, None));
            }
        }
    }

    fn end(&mut self, output: DeliveryOutput) {
        self.stage = Stage::Ended;
        self.outputs.push_back(output);
    }

    /// Its turn has come: id and date of the message are fixed, and sealed once.
    fn begin_insert(&mut self, now: Now, writer: InboxWriter) {
        let Stage::Stored(stored) = &self.stage else {
            return;
        };
        let stored = stored.clone();
        let InboxWriter(position) = writer;
        let unix_s = i64::try_from(now.unix_ms / 1_000).unwrap_or(i64::MAX);
        let arrival = NewMessage {
            content: stored.content,
            kind: ContentKind::Delivery,
            size: stored.size,
            summary_offset: stored.summary_offset,
            summary_len: stored.summary_len,
            internal_date: InternalDate {
                unix_s,
                zone_min: 0,
            },
            flags: self.flags.clone(),
        };
        let message = MessageId::at(now.unix_ms, &mut self.random);
        // Readers do not believe a time or a MODSEQ from here, so none is given.
        let batch = Batch {
            stamp: Stamp::default(),
            modseq: ModSeq(1),
            past: None,
            operations: vec![Operation::Arrive { message, arrival }],
        };
        let key = ItemKey {
            partition: self.places.log(self.recipient.inbox),
            sort: self.places.operation(position.writer, position.seq),
        };
        let Recipient {
            account,
            public_key,
            ..
        } = self.recipient;
        let part = Part::whole(&batch.encode());
        let value = seal_arrival(account, &public_key, &key, &part, &mut self.random);
        let Ok(value) = value else {
            let failed = DeliveryOutput::Failed(DeliveryFailure::BadKey, Some(writer));
            return self.end(failed);
        };
        let token = None;
        let arrival = InsertItem { key, token, value };
        let items: Vec<_> = stored.summary.into_iter().chain([arrival]).collect();
        let id = self.ids.next();
        let insert = StorageRequest::InsertItems(items.clone());
        self.outputs.push_back(DeliveryOutput::Storage(id, insert));
        self.stage = Stage::Inserting(Inserting {
            items,
            position,
            attempt: 0,
            request: Ok(id),
        });
    }

    /// An insert was answered. Once an answer was lost the arrival may be there, or come
    /// yet: the same octets are sent again, and if that is given up, nothing else is ever
    /// written under its number.
    fn inserted(&mut self, now: Now, response: StorageResponse) {
        let Stage::Inserting(it) = &mut self.stage else {
            return;
        };
        let LogPosition { writer, seq } = it.position;
        let error = match response {
            StorageResponse::Done => {
                let seq = seq + 1;
                let writer = InboxWriter(LogPosition { writer, seq });
                return self.end(DeliveryOutput::Delivered(writer));
            }
            StorageResponse::Failed(error) => error,
            other => StorageError::Unavailable(format!("not an answer to an insert: {other:?}")),
        };
        let unavailable = matches!(error, StorageError::Unavailable(_));
        if unavailable && it.attempt < self.config.storage_retries_max {
            let pause = RETRY_PAUSE * (1 << it.attempt.min(6));
            it.request = Err(now.instant.after(pause));
            it.attempt += 1;
            return;
        }
        // Of several items some may be there even if another was refused.
        let whole = it.items.len() == 1 || error == StorageError::Full;
        let unused = !unavailable && it.attempt == 0 && whole;
        let writer = unused.then_some(InboxWriter(it.position));
        self.outputs
            .push_back(DeliveryOutput::Event(failed(&error)));
        self.end(DeliveryOutput::Failed(failure(&error), writer));
    }
}

/// Takes the message in, up to a durable object.
async fn store(
    io: Io,
    config: Arc<Config>,
    recipient: Recipient,
    content: ContentId,
    message_bytes_max: u64,
    random: Random,
) -> Result<Stored, DeliveryFailure> {
    match write(&io, &config, recipient, content, message_bytes_max, random).await {
        Ok(stored) => stored,
        Err(error) => {
            io.event(failed(&error));
            Err(failure(&error))
        }
    }
}

async fn write(
    io: &Io,
    config: &Config,
    recipient: Recipient,
    content: ContentId,
    message_bytes_max: u64,
    mut random: Random,
) -> Result<Result<Stored, DeliveryFailure>, StorageError> {
    let Recipient {
        account,
        public_key,
        ..
    } = recipient;
    let writer = ContentWriter::deliver(
        account,
        &public_key,
        content,
        config.chunk_bytes,
        &mut random,
    );
    let Ok(writer) = writer else {
        return Ok(Err(DeliveryFailure::BadKey));
    };
    let key = Places::new(account).content(content);
    let mut object = MessageObject::create(io, key, writer, config).await?;
    let mut left = message_bytes_max;
    loop {
        let octets = io.receive().await;
        if octets.is_empty() {
            break;
        }
        let Some(rest) = left.checked_sub(octets.len() as u64) else {
            object.abandon();
            return Ok(Err(DeliveryFailure::TooBig));
        };
        left = rest;
        object.write(&octets).await?;
    }
    if left == message_bytes_max {
        object.abandon();
        return Ok(Err(DeliveryFailure::Empty));
    }
    let Written {
        request,
        size,
        place,
        summary,
    } = object.end().await?;
    io.step("finish the object");
    io.send(request, StorageRequest::FinishObject);
    io.answer(request).await?;
    io.close(request);
    let summary = match summary.len() <= config.delivered_summary_bytes_max {
        true => {
            let key = Places::new(account).summary(content);
            seal_delivered_summary(account, &public_key, &key, &summary, &mut random)
                .ok()
                .map(|value| (key, value))
        }
        false => None,
    };
    Ok(Ok(Stored {
        content,
        size,
        summary_offset: place.offset,
        summary_len: place.len,
        summary: summary.map(|(key, value)| InsertItem {
            key,
            token: None,
            value,
        }),
    }))
}

fn failed(error: &StorageError) -> Event {
    Event::StorageFailed {
        step: "deliver",
        reason: error.to_string(),
    }
}

fn failure(error: &StorageError) -> DeliveryFailure {
    match error {
        StorageError::Full => DeliveryFailure::OverQuota,
        _ => DeliveryFailure::Unavailable,
    }
}
