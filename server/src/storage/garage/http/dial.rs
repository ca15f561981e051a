//! Makes connections: name, TCP, TLS, and hyper's task.

use super::address::Address;
use super::socket::{Quick, Socket};
use crate::runtime::{self, Runtime};
use crate::storage::BoxFuture;
use bytes::Bytes;
use core::time::Duration;
use futures_rustls::TlsConnector;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, SendRequest};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::Arc;

/// Octets that hyper keeps of one connection for reading: what an answer's header may
/// take, and the largest piece in which a body comes.
const READ_BUFFER_BYTES_MAX: usize = 32 * 1024;
/// How long one of a host's addresses is tried before the next one is tried as well
/// (RFC 8305 §5, Connection Attempt Delay).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// A connection that takes requests.
pub(in super::super) type Sender = SendRequest<Full<Bytes>>;

/// Makes connections to one address.
pub(in super::super) trait Dial: Send + Sync + 'static {
    /// Connects. The connection's own task ends with the last of its handles.
    fn dial(&self) -> BoxFuture<'static, io::Result<Sender>>;
}

/// Makes connections on a runtime.
pub(in super::super) struct Dialer<R> {
    runtime: R,
    address: Arc<Address>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

impl<R: Runtime> Dialer<R> {
    /// `roots` are whose certificates are trusted, for an address that speaks TLS.
    pub(in super::super) fn new(
        runtime: R,
        address: Address,
        roots: Option<&Arc<ClientConfig>>,
        timeout: Duration,
    ) -> Result<Self, String> {
        let tls = match (address.tls, roots) {
            (false, _) => None,
            (true, None) => return Err(format!("{address}: no root certificates")),
            (true, Some(config)) => {
                let name = ServerName::try_from(address.host.clone());
                let name = name.map_err(|error| format!("{address}: {error}"))?;
                Some((TlsConnector::from(Arc::clone(config)), name))
            }
        };
        Ok(Self {
            runtime,
            address: Arc::new(address),
            tls,
            timeout,
        })
    }
}

impl<R: Runtime> Dial for Dialer<R> {
    fn dial(&self) -> BoxFuture<'static, io::Result<Sender>> {
        let runtime = self.runtime.clone();
        let (address, tls, timeout) = (Arc::clone(&self.address), self.tls.clone(), self.timeout);
        Box::pin(async move {
            let connected = runtime::timeout(&runtime, timeout, async {
                let stream = Quick::<R>::new(connect(&runtime, &address).await?);
                Ok(match tls {
                    None => Socket::Plain(stream),
                    Some((connector, name)) => {
                        Socket::Tls(Box::new(connector.connect(name, stream).await?))
                    }
                })
            });
            let socket = connected.await.unwrap_or_else(|| {
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "no connection in time",
                ))
            })?;
            let mut builder = Builder::new();
            builder.max_buf_size(READ_BUFFER_BYTES_MAX);
            let (sender, connection) = builder.handshake(socket).await.map_err(io::Error::other)?;
            runtime.spawn(async move {
                // Whoever has a request under way is told; nobody else needs to know.
                drop(connection.await);
            });
            Ok(sender)
        })
    }
}

/// Connects to the first of the host's addresses that answers.
async fn connect<R: Runtime>(runtime: &R, address: &Address) -> io::Result<R::Stream> {
    if let Ok(host) = address.host.parse::<IpAddr>() {
        return runtime.connect(SocketAddr::new(host, address.port)).await;
    }
    let (host, port) = (address.host.clone(), address.port);
    let found = runtime.blocking(move || {
        let found = (host.as_str(), port).to_socket_addrs()?;
        io::Result::Ok(found.collect::<Vec<_>>())
    });
    connect_to_first(runtime, found.await?).await
}

/// Tries one address after the other, in this order: the next one when one has failed, or has not
/// answered for [`ATTEMPT_DELAY`], and then both. One that swallows every packet fails only after
/// minutes.
async fn connect_to_first<R: Runtime>(
    runtime: &R,
    addresses: Vec<SocketAddr>,
) -> io::Result<R::Stream> {
    let mut rest = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    loop {
        attempts.extend(rest.next().map(|address| runtime.connect(address)));
        let ended = match rest.len() {
            0 => attempts.next().await,
            _ => match runtime::timeout(runtime, ATTEMPT_DELAY, attempts.next()).await {
                Some(ended) => ended,
                None => continue,
            },
        };
        match ended {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => last = error,
            None => return Err(last),
        }
    }
}

/// Trusts the certificates in the PEM file `ca`, or those that the system trusts.
///
/// # Errors
/// When there is none that can be used.
pub(in super::super) fn tls_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
            let found = CertificateDer::pem_file_iter(file).map_err(|error| fail(&error))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| fail(&error))?;
                roots.add(certificate).map_err(|error| fail(&error))?;
            }
            if roots.is_empty() {
                return Err(fail(&"there is no certificate in it"));
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err("the system has no trusted certificates; name a file as \"ca\"".into());
            }
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::threads::Threads;
    use futures_lite::future::block_on;
    use std::net::{TcpListener, TcpStream};
    use std::time::Instant;

    /// An address that answers no attempt to connect, as long as the value is there.
    fn swallowing() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // Nobody accepts, and few may wait for it.
        rustix::net::listen(&listener, 0).unwrap();
        let waiting = core::iter::from_fn(|| {
            TcpStream::connect_timeout(&address, Duration::from_millis(300)).ok()
        });
        let waiting: Vec<_> = waiting.take(100).collect();
        assert!(waiting.len() < 100, "it takes them all");
        (address, listener, waiting)
    }

    #[test]
    fn an_address_that_swallows_everything_does_not_hide_the_next_one() {
        let (silent, _silent, _waiting) = swallowing();
        let (other_silent, _other, _others) = swallowing();
        let there = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = there.local_addr().unwrap();
        // One that refuses at once.
        let gone = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = gone.local_addr().unwrap();
        drop(gone);
        for (addresses, delays) in [
            (vec![address, silent], 0),
            (vec![refusing, address], 0),
            (vec![silent, address], 1),
            (vec![silent, refusing, other_silent, address], 2),
        ] {
            let begin = Instant::now();
            let limit = Duration::from_secs(5);
            let connected = connect_to_first(&Threads, addresses);
            let stream = block_on(runtime::timeout(&Threads, limit, connected));
            let stream = stream.expect("not in time").unwrap();
            let peer = stream.get_ref().get_ref().peer_addr();
            assert_eq!(peer.unwrap(), address);
            let time = begin.elapsed();
            assert!(time >= ATTEMPT_DELAY * delays, "{time:?}");
            assert!(
                time < ATTEMPT_DELAY * delays + Duration::from_secs(2),
                "{time:?}"
            );
        }
        let failed = block_on(connect_to_first(&Threads, vec![refusing, refusing]));
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(block_on(connect_to_first(&Threads, Vec::new())).is_err());
    }
}
