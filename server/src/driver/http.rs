//! Autodiscovery over HTTP: hyper speaks it, `autodiscovery::routes` knows the answers.
//!
//! A connection may be kept for several requests, but not for long: each part of a request
//! has its time, and so has the connection as a whole, whatever is done on it. After the
//! last answer the client is listened to a little longer, since closing with something
//! unread would make TCP take the answer back.

mod hyper_io;

use super::Server;
use super::phase::Watch;
use super::places::Places;
use super::socket::Socket;
use crate::autodiscovery::limits::HttpLimits;
use crate::autodiscovery::routes::{refusal, to_https};
use crate::autodiscovery::{Answer, Request, Service};
use crate::config::{Listener, TlsMode};
use crate::runtime::{self, Runtime};
use crate::storage::BoxFuture;
use crate::tls::Certificate;
use bytes::Bytes;
use core::convert::Infallible;
use core::task::{Context, Poll, ready};
use futures_io::{AsyncRead, AsyncWrite};
use http::header::{self, HeaderValue};
use http::request::Parts as Head;
use http::{StatusCode, Version};
use http_body::Body as _;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_io::{Io, Timers};
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;

/// What is said, without TLS, to a client that comes when there are too many.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
/// Reads that one look at a client takes that is being left, before others have their turn.
const READS_MAX: usize = 16;

/// What all HTTP connections share.
pub struct Web {
    service: Service,
    limits: HttpLimits,
    /// Whether the same is answered by HTTPS, and who asks without may be led there.
    https: bool,
    /// Of their own: who asks for settings takes none of those who read mail.
    pub(super) places: Arc<Places>,
}

impl Web {
    /// Tells clients about a service; whether by HTTPS as well.
    #[must_use]
    pub fn new(service: Service, limits: HttpLimits, https: bool) -> Arc<Self> {
        let places = Places::new(limits.connections_max);
        Arc::new(Self {
            service,
            limits,
            https,
            places,
        })
    }
}

impl<R: Runtime> Server<R> {
    /// Answers HTTP on a bound socket, until the server stops.
    ///
    /// # Errors
    /// When the runtime cannot take the socket over.
    pub fn listen_http(
        self: &Arc<Self>,
        socket: TcpListener,
        listener: &Listener,
        web: Arc<Web>,
    ) -> std::io::Result<()> {
        let address = socket.local_addr()?;
        let socket = self.runtime.listen(socket)?;
        tracing::info!(%address, tls = ?listener.tls, "listening for HTTP");
        // All listeners share the same.
        self.web.get_or_init(|| Arc::clone(&web));
        let (server, tls) = (Arc::clone(self), listener.tls);
        self.runtime.spawn(async move {
            let welcome = |(stream, peer): (R::Stream, SocketAddr)| {
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                let refusal = (tls == TlsMode::None).then_some(TOO_MANY);
                let (serving, shared) = (Arc::clone(&server), Arc::clone(&web));
                server.welcome(
                    &web.places,
                    stream,
                    &peer,
                    refusal,
                    move |stream, _| async move { serving.serve_http(stream, tls, &shared).await },
                );
            };
            let next = || server.runtime.accept(&socket);
            server.accept(next, welcome).await;
        });
        Ok(())
    }

    async fn serve_http(&self, stream: R::Stream, tls: TlsMode, web: &Arc<Web>) {
        let limits = &web.limits;
        let mut socket = Socket::Plain(stream);
        if tls == TlsMode::Implicit {
            let Some(acceptor) = self.certificate.as_ref().map(Certificate::acceptor) else {
                return;
            };
            socket.start_tls(&acceptor);
            if !self.handshake(&mut socket, limits.request_timeout).await {
                return;
            }
        }
        let leads_away = web.https && tls == TlsMode::None;
        let converse = self.converse(socket, web, leads_away);
        match runtime::timeout(&self.runtime, limits.connection_timeout, converse).await {
            Some(mut socket) => {
                let linger = core::future::poll_fn(|cx| poll_linger(&mut socket, cx));
                // Whether it heard all or not, that is enough.
                let _heard = runtime::timeout(&self.runtime, limits.linger, linger).await;
            }
            None => tracing::debug!("the connection took too long"),
        }
    }

    /// Requests and answers, until one of both sides has enough. `leads_away`: to HTTPS, where
    /// a client looks for that.
    async fn converse(
        &self,
        socket: Socket<R::Stream>,
        web: &Arc<Web>,
        leads_away: bool,
    ) -> Socket<R::Stream> {
        let limits = &web.limits;
        let answer = service_fn(|request| -> BoxFuture<'_, Result<_, Infallible>> {
            let (runtime, web) = (self.runtime.clone(), Arc::clone(web));
            Box::pin(async move {
                let sign = |content: &[u8]| self.certificate.as_ref()?.sign(content);
                let answer = respond(&runtime, &web, leads_away, sign, request).await;
                Ok(answer.map(Full::new))
            })
        });
        let mut connection = Builder::new()
            .timer(Timers(self.runtime.clone()))
            .header_read_timeout(limits.request_timeout)
            .max_buf_size(limits.head_bytes_max)
            .max_headers(limits.fields_max)
            .serve_connection(Io(socket), answer);
        let mut watch = Watch::new(Arc::clone(&self.phases));
        let end = core::future::poll_fn(|cx| {
            if watch.poll(cx).is_ready() {
                // The server stops: no further request.
                Pin::new(&mut connection).graceful_shutdown();
            }
            connection.poll_without_shutdown(cx)
        });
        if let Err(error) = end.await {
            tracing::debug!(%error, "no more HTTP");
        }
        connection.into_parts().io.0
    }
}

async fn respond<R: Runtime>(
    runtime: &R,
    web: &Web,
    leads_away: bool,
    sign: impl Fn(&[u8]) -> Option<Vec<u8>>,
    request: http::Request<Incoming>,
) -> Answer {
    let (head, body) = request.into_parts();
    let answer = match read(runtime, web, leads_away, &head, body).await {
        Ok((request, body)) => {
            let mut answer = request.answer(&web.service, &body);
            if request.wants_signature()
                && answer.status().is_success()
                && let Some(signed) = sign(answer.body())
            {
                *answer.body_mut() = signed.into();
            }
            tracing::debug!(?request, status = %answer.status(), "answered");
            return answer;
        }
        Err(answer) => answer,
    };
    tracing::debug!(status = %answer.status(), "refused");
    answer
}

/// A request that makes sense, with its body if that means something; or the refusal.
async fn read<'a, R: Runtime>(
    runtime: &R,
    web: &Web,
    leads_away: bool,
    head: &'a Head,
    body: Incoming,
) -> Result<(Request<'a>, Bytes), Answer> {
    let limits = &web.limits;
    // Whatever it is good for.
    if body.size_hint().lower() > limits.body_bytes_max as u64 {
        return Err(last(StatusCode::PAYLOAD_TOO_LARGE));
    }
    // RFC 9112 §3.2: exactly one, where before it needed none.
    let hosts = head.headers.get_all(header::HOST).iter().count();
    if hosts > 1 || hosts == 0 && head.version == Version::HTTP_11 {
        return Err(last(StatusCode::BAD_REQUEST));
    }
    if leads_away && let Some(answer) = to_https(&web.service, &head.method, &head.uri) {
        return Err(answer);
    }
    let request = Request::read(&head.method, &head.uri)?;
    if !request.wants_body() {
        return Ok((request, Bytes::new()));
    }
    let body = Limited::new(body, limits.body_bytes_max).collect();
    match runtime::timeout(runtime, limits.request_timeout, body).await {
        Some(Ok(body)) => Ok((request, body.to_bytes())),
        Some(Err(error)) if error.is::<LengthLimitError>() => {
            Err(last(StatusCode::PAYLOAD_TOO_LARGE))
        }
        Some(Err(_)) => Err(last(StatusCode::BAD_REQUEST)),
        None => Err(last(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// A refusal after which the connection is closed: what follows is no request.
fn last(status: StatusCode) -> Answer {
    let mut answer = refusal(status);
    let close = HeaderValue::from_static("close");
    answer.headers_mut().insert(header::CONNECTION, close);
    answer
}

/// Ends our side, and reads what the client still sends until it has ended its own.
fn poll_linger<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut Socket<S>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    if ready!(socket.poll_close(cx)).is_err() {
        return Poll::Ready(());
    }
    for _ in 0..READS_MAX {
        let mut end = false;
        let read = socket.poll_receive(cx, usize::MAX, |octets| end = octets.is_empty());
        if ready!(read).is_err() || end {
            return Poll::Ready(());
        }
    }
    cx.waker().wake_by_ref();
    Poll::Pending
}
