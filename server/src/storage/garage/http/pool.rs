//! Connections to one address, kept for the next request.
//!
//! A connection belongs to one request until the last octet of its answer was read, and
//! then waits here. An answer that is given up before its end takes its connection along,
//! since the rest of it would have to be read first. How many answers are under way is bounded by
//! whoever sends (`requests_max`, `polls_max`; of objects only the headers), and how many bodies of objects
//! stay open by `streams_max`. How many connections wait is bounded here.

use super::breaker::Pass;
use super::dial::{Dial, Sender};
use crate::permits::Permit;
use bytes::Bytes;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Connections to one address.
#[derive(Clone)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    dial: Box<dyn Dial>,
    idle: Mutex<Vec<Idle>>,
    idle_max: usize,
    idle_timeout: Duration,
}

/// A connection that waits; the one that came last is used first.
struct Idle {
    since: Instant,
    sender: Sender,
}

impl Pool {
    pub(super) fn new(dial: impl Dial, idle_max: usize, idle_timeout: Duration) -> Self {
        Self(Arc::new(Shared {
            dial: Box::new(dial),
            idle: Mutex::default(),
            idle_max,
            idle_timeout,
        }))
    }

    /// Sends a request and waits for the header of its answer.
    ///
    /// The other side may close a connection just when it is used again. That tells
    /// nothing about Garage, so the request goes to another connection: every request
    /// of ours may be carried out twice. An answer is marked as [`Repeated`] then.
    pub(super) async fn send(&self, request: &Request<Bytes>) -> io::Result<Response<Body>> {
        let mut sent = false;
        while let Some(sender) = self.0.take() {
            match self.0.attempt(sender, request).await {
                Ok(response) => return Ok(marked(response, sent)),
                // Of those two the connection had ended before it took the request.
                Err(error) => sent |= !error.is_canceled() && !error.is_closed(),
            }
        }
        let sender = self.0.dial.dial().await?;
        let response = self.0.attempt(sender, request).await;
        let response = response.map_err(io::Error::other)?;
        Ok(marked(response, sent))
    }

    /// Closes all that wait.
    pub(super) fn clear(&self) {
        self.0.clear();
    }

    /// Closes what has waited too long.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let timeout = self.0.idle_timeout;
        self.0.lock().retain(|idle| {
            !idle.sender.is_closed() && now.saturating_duration_since(idle.since) < timeout
        });
    }
}

impl Shared {
    async fn attempt(
        self: &Arc<Self>,
        mut sender: Sender,
        request: &Request<Bytes>,
    ) -> hyper::Result<Response<Body>> {
        sender.ready().await?;
        let response = sender.send_request(request.clone().map(Full::new)).await?;
        Ok(response.map(|incoming| Body::new(incoming, sender, self)))
    }

    fn take(&self) -> Option<Sender> {
        let now = Instant::now();
        let mut idle = self.lock();
        while let Some(last) = idle.pop() {
            let age = now.saturating_duration_since(last.since);
            if !last.sender.is_closed() && age < self.idle_timeout {
                return Some(last.sender);
            }
        }
        None
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn give_back(&self, sender: Sender) {
        let mut idle = self.lock();
        if idle.len() < self.idle_max && !sender.is_closed() {
            let since = Instant::now();
            idle.push(Idle { since, sender });
        }
    }

    /// A panic leaves the list whole: nothing is done in between.
    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the extensions of an answer: the request may have been carried out before, on a connection that
/// broke then.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Repeated;

fn marked(mut response: Response<Body>, sent: bool) -> Response<Body> {
    if sent {
        response.extensions_mut().insert(Repeated);
    }
    response
}

/// The body of an answer, which has a connection to itself until it ends.
pub(in super::super) struct Body {
    incoming: Incoming,
    /// `None` once the connection was given back.
    held: Option<(Sender, Arc<Shared>)>,
    /// As long as the answer counts against a limit.
    permit: Option<Permit>,
    /// Until it is known whether anything comes behind the header.
    pass: Option<Pass>,
}

impl Body {
    fn new(incoming: Incoming, sender: Sender, pool: &Arc<Shared>) -> Self {
        let mut body = Self {
            incoming,
            held: Some((sender, Arc::clone(pool))),
            permit: None,
            pass: None,
        };
        body.settle();
        body
    }

    /// The permit is given back when the answer has ended.
    pub(super) fn keep(&mut self, permit: Permit) {
        self.permit = Some(permit).filter(|_| self.held.is_some());
    }

    /// What comes of this body counts for the breaker, a header alone does not: it may be of a Garage that
    /// finds nothing to send behind it. If the body breaks off, or nobody reads it, that says
    /// nothing: it may be for this object alone.
    pub(super) fn count(&mut self, pass: Pass) {
        self.pass = Some(pass);
        if self.incoming.is_end_stream() {
            self.came();
        }
    }

    fn came(&mut self) {
        if let Some(pass) = self.pass.take() {
            pass.report(true, Instant::now());
        }
    }

    /// Nothing came in time.
    pub(in super::super) fn stalled(&mut self) {
        if let Some(pass) = self.pass.take()
            && pass.report(false, Instant::now())
            && let Some((_, pool)) = &self.held
        {
            pool.clear();
        }
    }

    /// Gives the connection back once everything was read.
    fn settle(&mut self) {
        if self.incoming.is_end_stream() {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Some((sender, pool)) = self.held.take() {
            pool.give_back(sender);
        }
        self.permit = None;
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => {
                self.came();
                self.settle();
            }
            Some(Err(_)) => (self.held, self.permit, self.pass) = (None, None, None),
            None => {
                self.came();
                self.end();
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
