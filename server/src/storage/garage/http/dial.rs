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
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in found.await? {
        match runtime.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
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
