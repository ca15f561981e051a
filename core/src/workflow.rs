//! Hand-polled workflows: a sequence that waits only for its own answers is written
//! as an `async fn`, and the compiler makes the state machine of it.
//!
//! This is the only file that names `Future`, `Pin` and `Waker`. A body sees an [`Io`]:
//! what it asks for lies on a *desk* until the machine that owns the workflow carries it
//! out, puts the answer back, and calls [`Workflow::resume`]. A body owns what it works
//! on, changes nothing shared, and returns an outcome that its owner applies. Awaiting
//! anything else than `Io` is a bug and caught by an assertion.

use crate::account::{AccountReply, AccountRequest};
use crate::boundary::Event;
use crate::storage::{RequestId, StorageError, StorageRequest, StorageResponse};
use crate::transmit::Transmit;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Octets that a body looks at before others have a turn: some hundred microseconds' work.
pub(crate) const TURN_OCTETS: usize = 256 * 1024;

/// Hands out the request ids of one machine.
#[derive(Debug, Default)]
pub(crate) struct RequestIds(AtomicU64);

impl RequestIds {
    /// An id that was never used before.
    pub(crate) fn next(&self) -> RequestId {
        RequestId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// What a body wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Ask storage. The answer is put back by [`Workflow::answer`].
    Storage(RequestId, StorageRequest),
    /// Ask the account. The answer is put back by [`Workflow::reply`].
    Account(AccountRequest),
    /// Forget this request and close its stream.
    Abandon(RequestId),
    /// Tell the log.
    Event(Event),
}

/// What lies between a body and its machine.
#[derive(Debug, Default)]
struct Desk {
    effects: VecDeque<Effect>,
    /// Requests whose answer is still to come or to be fetched.
    open: BTreeMap<RequestId, Option<StorageResponse>>,
    reply: Option<AccountReply>,
    output: Vec<u8>,
    /// Octets that the machine can still take, counting what is in `output`.
    room: usize,
    incoming: VecDeque<bytes::Bytes>,
    /// Whether the body looked at the desk and found nothing: it waits for us.
    parked: bool,
    /// Whether it waits for octets from the client.
    wants_input: bool,
    /// Whether it waits for the client to read.
    wants_room: bool,
    /// Whether it waits for nothing but its next turn.
    paused: bool,
    /// How long it wants to rest before it goes on.
    rests: Option<Duration>,
    /// Octets that it has looked at in this turn.
    looked_at: usize,
    step: &'static str,
}

/// A body that runs.
pub(crate) struct Workflow<T> {
    body: Pin<Box<dyn Future<Output = T> + Send>>,
    desk: Arc<Mutex<Desk>>,
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    // The desk stays consistent when a body panics: its owner is dropped with it.
    desk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Workflow<T> {
    /// Boxes the body that `start` makes. Nothing runs before the first `resume`.
    pub(crate) fn new<F>(ids: &Arc<RequestIds>, start: impl FnOnce(Io) -> F) -> Self
    where
        F: Future<Output = T> + Send + 'static,
    {
        let desk = Arc::new(Mutex::new(Desk::default()));
        let io = Io {
            desk: Arc::clone(&desk),
            ids: Arc::clone(ids),
        };
        Self {
            body: Box::pin(start(io)),
            desk,
        }
    }

    /// Runs the body until it ends or waits.
    pub(crate) fn resume(&mut self) -> Poll<T> {
        {
            let mut desk = lock(&self.desk);
            (desk.parked, desk.paused, desk.looked_at) = (false, false, 0);
        }
        let outcome = self
            .body
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(
            outcome.is_ready() || lock(&self.desk).parked,
            "a workflow awaited something that is not its Io"
        );
        outcome
    }

    /// The next thing that the body wants done.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        lock(&self.desk).effects.pop_front()
    }

    /// Puts an answer of storage on the desk. `false`: this workflow did not ask.
    pub(crate) fn answer(&mut self, id: RequestId, response: StorageResponse) -> bool {
        match lock(&self.desk).open.get_mut(&id) {
            Some(slot) => {
                *slot = Some(response);
                true
            }
            None => false,
        }
    }

    /// Puts the account's reply on the desk.
    pub(crate) fn reply(&mut self, reply: AccountReply) {
        lock(&self.desk).reply = Some(reply);
    }

    /// Hands over what the body wrote, if everything before was sent, and says how much
    /// more fits. `true`: octets were handed over.
    pub(crate) fn exchange_output(&mut self, transmit: &mut Transmit, transmit_max: usize) -> bool {
        let mut desk = lock(&self.desk);
        let handed_over = transmit.len() == 0 && !desk.output.is_empty();
        if handed_over {
            // Nothing waits, so there is nothing in it.
            core::mem::swap(transmit.end(), &mut desk.output);
        }
        desk.room = transmit_max.saturating_sub(transmit.len());
        handed_over
    }

    /// Takes what an ended body wrote last.
    pub(crate) fn take_output(&mut self, transmit: &mut Vec<u8>) {
        transmit.append(&mut lock(&self.desk).output);
    }

    /// Gives the body octets from the client.
    pub(crate) fn receive(&mut self, octets: bytes::Bytes) {
        lock(&self.desk).incoming.push_back(octets);
    }

    /// Whether the body could use octets from the client now.
    pub(crate) fn wants_input(&self) -> bool {
        let desk = lock(&self.desk);
        desk.wants_input && desk.incoming.is_empty()
    }

    /// Whether the body waits for the client to read.
    pub(crate) fn wants_room(&self) -> bool {
        lock(&self.desk).wants_room
    }

    /// Whether the body could go on, and lets others have a turn.
    pub(crate) fn is_paused(&self) -> bool {
        lock(&self.desk).paused
    }

    /// How long the body wants to rest: whoever owns the workflow says when [that is
    /// over](Self::rested).
    pub(crate) fn rests(&self) -> Option<Duration> {
        lock(&self.desk).rests
    }

    /// The body has rested.
    pub(crate) fn rested(&mut self) {
        lock(&self.desk).rests = None;
    }

    /// What the body is doing, for the log.
    pub(crate) fn step(&self) -> &'static str {
        lock(&self.desk).step
    }

    /// Requests that are open: to be abandoned when the body is dropped.
    pub(crate) fn open_requests(&self) -> Vec<RequestId> {
        lock(&self.desk).open.keys().copied().collect()
    }
}

impl<T> core::fmt::Debug for Workflow<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Workflow({})", self.step())
    }
}

/// A body's side of the desk.
#[derive(Clone)]
pub(crate) struct Io {
    desk: Arc<Mutex<Desk>>,
    ids: Arc<RequestIds>,
}

impl Io {
    /// Names what is done next, for logs.
    pub(crate) fn step(&self, step: &'static str) {
        lock(&self.desk).step = step;
    }

    /// Waits until `look` finds what it wants on the desk.
    async fn until<R>(&self, mut look: impl FnMut(&mut Desk) -> Option<R>) -> R {
        core::future::poll_fn(|_| {
            let mut desk = lock(&self.desk);
            match look(&mut desk) {
                Some(found) => Poll::Ready(found),
                None => {
                    desk.parked = true;
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// Sends a request without waiting for the answer.
    pub(crate) fn start(&self, request: StorageRequest) -> RequestId {
        let id = self.ids.next();
        self.send(id, request);
        id
    }

    /// Sends a further request on an open stream.
    pub(crate) fn send(&self, id: RequestId, request: StorageRequest) {
        let mut desk = lock(&self.desk);
        desk.open.insert(id, None);
        desk.effects.push_back(Effect::Storage(id, request));
    }

    /// Waits for the answer to what was last sent under `id`.
    pub(crate) async fn answer(&self, id: RequestId) -> Result<StorageResponse, StorageError> {
        let response = self
            .until(|desk| match desk.open.get_mut(&id) {
                Some(slot) => slot.take(),
                None => Some(StorageResponse::Failed(StorageError::Refused(
                    "asked for the answer to a closed request".to_owned(),
                ))),
            })
            .await;
        match response {
            StorageResponse::Failed(error) => {
                self.close(id);
                Err(error)
            }
            response => Ok(response),
        }
    }

    /// Ends a request whose last answer has come.
    pub(crate) fn close(&self, id: RequestId) {
        lock(&self.desk).open.remove(&id);
    }

    /// Gives up a request or a stream, answered or not.
    pub(crate) fn abandon(&self, id: RequestId) {
        let mut desk = lock(&self.desk);
        if desk.open.remove(&id).is_some() {
            desk.effects.push_back(Effect::Abandon(id));
        }
    }

    /// Sends a request and waits for its one answer.
    pub(crate) async fn request(
        &self,
        request: StorageRequest,
    ) -> Result<StorageResponse, StorageError> {
        let id = self.start(request);
        let response = self.answer(id).await;
        self.close(id);
        response
    }

    /// Asks the account, one request at a time.
    pub(crate) async fn account(&self, request: AccountRequest) -> AccountReply {
        lock(&self.desk).effects.push_back(Effect::Account(request));
        self.until(|desk| desk.reply.take()).await
    }

    /// Tells the log.
    pub(crate) fn event(&self, event: Event) {
        lock(&self.desk).effects.push_back(Effect::Event(event));
    }

    /// Appends to what goes to the client. The caller bounds what it writes between
    /// two calls of [`Io::room`].
    pub(crate) fn write(&self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut lock(&self.desk).output);
    }

    /// Waits until `octets` more fit into the output, or all that ever will.
    pub(crate) async fn room(&self, octets: usize, transmit_max: usize) {
        let wanted = octets.min(transmit_max);
        lock(&self.desk).wants_room = true;
        self.until(|desk| (desk.room >= desk.output.len() + wanted).then_some(()))
            .await;
        lock(&self.desk).wants_room = false;
    }

    /// Says that the body has looked at so many octets, which takes time. Those of a turn being
    /// many, it [pauses](Self::pause).
    pub(crate) async fn look(&self, octets: usize) {
        let looked_at = {
            let mut desk = lock(&self.desk);
            desk.looked_at = desk.looked_at.saturating_add(octets);
            desk.looked_at
        };
        if looked_at >= TURN_OCTETS {
            self.pause().await;
        }
    }

    /// Goes on when the body is resumed next, whatever for. Whoever owns the workflow must look at
    /// [`Workflow::is_paused`] and resume it soon: nothing else may come.
    pub(crate) async fn pause(&self) {
        lock(&self.desk).paused = true;
        self.until(|desk| (!desk.paused).then_some(())).await;
    }

    /// Waits for so long, whatever comes meanwhile. Whoever owns the workflow must look at
    /// [`Workflow::rests`] and set a deadline.
    pub(crate) async fn rest(&self, time: Duration) {
        lock(&self.desk).rests = Some(time);
        self.until(|desk| desk.rests.is_none().then_some(())).await;
    }

    /// Waits for octets from the client. When no more come, the body is dropped.
    pub(crate) async fn receive(&self) -> bytes::Bytes {
        lock(&self.desk).wants_input = true;
        let octets = self.until(|desk| desk.incoming.pop_front()).await;
        lock(&self.desk).wants_input = false;
        octets
    }
}
