//! What stands before a Garage that is reached over TLS: takes connections with the
//! certificate of `server/smoke`, and passes what comes through to a node.

use futures_lite::future::{block_on, zip};
use futures_rustls::TlsAcceptor;
use futures_rustls::rustls::ServerConfig;
use futures_rustls::rustls::crypto::ring;
use futures_util::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The certificate, for who is to trust it. Its name is `localhost`.
pub(crate) fn certificate() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("smoke/certificate.pem")
}

/// Begins to listen; the URL of the front. It goes on until the process ends.
pub(crate) fn before(node: SocketAddr) -> String {
    let key = certificate().with_file_name("key.pem");
    let chain = CertificateDer::pem_file_iter(certificate()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            chain.map(Result::unwrap).collect(),
            PrivateKeyDer::from_pem_file(key).unwrap(),
        );
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (acceptor, client) = (acceptor.clone(), client.unwrap());
            // A client that does not trust us, or goes away, ends its own thread only.
            std::thread::spawn(move || block_on(pass(acceptor, client, node)));
        }
    });
    format!("https://localhost:{port}")
}

async fn pass(acceptor: TlsAcceptor, client: TcpStream, node: SocketAddr) -> std::io::Result<()> {
    let client = acceptor.accept(async_io::Async::new(client)?).await?;
    let node = async_io::Async::<TcpStream>::connect(node).await?;
    let (from_client, mut to_client) = client.split();
    let (from_node, mut to_node) = node.split();
    let there = async {
        copy(from_client, &mut to_node).await?;
        to_node.close().await
    };
    let back = async {
        copy(from_node, &mut to_client).await?;
        to_client.close().await
    };
    let (there, back) = zip(there, back).await;
    there.and(back)
}
