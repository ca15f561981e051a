//! One way to speak HTTP to Garage, for both of its interfaces and on both runtimes:
//! hyper over the runtime's sockets, with a pool, time limits, bounded concurrency and a
//! circuit breaker. It is given to the S3 SDK ([`sdk`]), and used directly for K2V.

mod address;
mod breaker;
mod dial;
mod patience;
mod pool;
mod sdk;
mod socket;

pub(super) use address::Address;
pub use breaker::BreakerState;
pub(super) use dial::{Dialer, tls_config};
pub(super) use pool::{Body, Repeated};
pub(super) use sdk::SdkHttp;

use super::failure::Failure;
use super::limits::GarageLimits;
use crate::permits::Permits;
use crate::storage::{BoxFuture, Sleeper};
use breaker::{Breaker, Pass};
use bytes::Bytes;
use core::pin::pin;
use core::time::Duration;
use futures_util::future::{Either, select};
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Response, Uri};
use patience::Patience;
use pool::Pool;
use std::sync::Arc;
use std::time::Instant;

/// Octets in a second by the slowest line that requests are sent over, each of those under way at once.
const SENT_PER_SECOND_MIN: u32 = 64 * 1024;

/// How long the header of an answer may take, and what the answer counts against until its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For what Garage does at once, after the request has been sent.
    Request,
    /// The same for an object, whose octets somebody may read as slowly as they like: what counts
    /// against the limit of requests is only the header.
    Object,
    /// For something to happen: as long as this, and then as long as a request.
    Poll(Duration),
}

/// One of Garage's interfaces.
#[derive(Clone)]
pub(super) struct Http(Arc<Shared>);

struct Shared {
    address: Address,
    host: HeaderValue,
    pool: Pool,
    breaker: Arc<Breaker>,
    requests: Permits,
    polls: Permits,
    timeout: Duration,
    patience: Patience,
    sleeper: Sleeper,
}

impl Http {
    /// Connects to nothing yet. `name` is what the log calls the interface. With a task that keeps its
    /// time limits.
    pub(super) fn new(
        name: &'static str,
        address: Address,
        dial: impl dial::Dial,
        limits: &GarageLimits,
        sleeper: Sleeper,
    ) -> Result<(Self, BoxFuture<'static, ()>), String> {
        let host = HeaderValue::from_str(&address.authority)
            .map_err(|error| format!("{address}: {error}"))?;
        let timeout = limits.request_timeout();
        let (patience, watch) = Patience::new(timeout, Arc::clone(&sleeper));
        let http = Self(Arc::new(Shared {
            host,
            pool: Pool::new(dial, limits.idle_connections_max, limits.idle_timeout()),
            breaker: Arc::new(Breaker::new(
                name,
                limits.breaker_failures_max,
                limits.breaker_pause(),
            )),
            requests: Permits::new(limits.requests_max),
            polls: Permits::new(limits.polls_max),
            timeout,
            address,
            patience,
            sleeper,
        }));
        Ok((http, Box::pin(watch)))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// Sends a request, whose URI may be absolute, and waits for the header of the answer,
    /// whatever it says.
    pub(super) async fn call(
        &self,
        mut request: Request<Bytes>,
        wait: Wait,
    ) -> Result<Response<Body>, Failure> {
        let shared = &*self.0;
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
        request.headers_mut().insert(HOST, shared.host.clone());
        let (permits, timeout) = match wait {
            Wait::Request | Wait::Object => {
                let sending = sending_time(request.body().len());
                (&shared.requests, shared.timeout + sending)
            }
            Wait::Poll(time) => (&shared.polls, shared.timeout + time),
        };
        let permit = self.within(shared.timeout, permits.take()).await;
        let permit = permit.ok_or_else(|| self.failed("too many requests are under way"))?;
        let pass = match wait {
            Wait::Request | Wait::Object => shared.breaker.admit(Instant::now()),
            Wait::Poll(_) => shared.breaker.admit_poll(),
        };
        let pass = pass.ok_or_else(|| Failure::Open(format!("{}: no answers", shared.address)))?;
        let send = shared.pool.send(&request);
        let sent = match wait {
            Wait::Request | Wait::Object => self.within(timeout, send).await,
            // Some wait for hours on end: nobody should look at the clock for them.
            Wait::Poll(_) => self.within_exactly(timeout, send).await,
        };
        let failure = match sent {
            None => self.failed("no answer in time"),
            Some(Err(error)) => self.failed(&describe(&error)),
            Some(Ok(mut response)) => {
                let ill = response.status().is_server_error() && !is_garages(&response);
                match (ill, wait) {
                    (false, _) => response.body_mut().count(pass),
                    // A poll that was not gone on with says nothing about the others, and nothing for Garage.
                    (true, Wait::Poll(_)) => drop(pass),
                    (true, Wait::Request | Wait::Object) => shared.ill(pass),
                }
                if wait != Wait::Object {
                    response.body_mut().keep(permit);
                }
                return Ok(response);
            }
        };
        shared.ill(pass);
        Err(failure)
    }

    /// The future's result, or `None` if it took longer than a time that is no shorter than
    /// [`timeout`](Self::timeout), or somewhat more.
    pub(super) async fn within<F: Future>(&self, time: Duration, future: F) -> Option<F::Output> {
        self.0.patience.within(time, future).await
    }

    /// The same with a timer of its own, for any time.
    pub(super) async fn within_exactly<F: Future>(
        &self,
        time: Duration,
        future: F,
    ) -> Option<F::Output> {
        match select(pin!(future), (self.0.sleeper)(time)).await {
            Either::Left((output, _)) => Some(output),
            Either::Right(((), _)) => None,
        }
    }

    /// How long the next octets of a body may take.
    pub(super) fn timeout(&self) -> Duration {
        self.0.timeout
    }

    /// Closes connections that have waited too long for a request.
    pub(super) fn sweep(&self) {
        self.0.pool.sweep();
    }

    /// Whether requests are let through.
    pub(super) fn breaker(&self) -> BreakerState {
        self.0.breaker.state()
    }

    fn failed(&self, why: &str) -> Failure {
        Failure::Unavailable(format!("{}: {why}", self.0.address))
    }
}

impl Shared {
    /// A request has failed.
    fn ill(&self, pass: Pass) {
        if pass.report(false, Instant::now()) {
            // Those that wait lead to the same place, and each would be waited for again.
            self.pool.clear();
        }
    }
}

/// How long it may take to send a body of so many octets.
fn sending_time(octets: usize) -> Duration {
    Duration::from_secs(octets as u64) / SENT_PER_SECOND_MIN
}

/// Whether it is Garage itself that tells of an error: in XML or in JSON, where a proxy has a page or nothing.
/// That is an answer: what Garage cannot do for one request, it may do for all others.
fn is_garages(error: &Response<Body>) -> bool {
    let content_type = error.headers().get(CONTENT_TYPE);
    let content_type = content_type.map_or(&b""[..], HeaderValue::as_bytes);
    [&b"application/xml"[..], b"application/json"]
        .iter()
        .any(|ours| content_type.starts_with(ours))
}

/// An error with its causes: hyper's own texts do not name them.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
