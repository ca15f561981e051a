//! TLS, implicit and by STARTTLS.

use super::connections::{OPEN, Scripted, Told, close_at_end};
use super::{listen, server};
use crate::config::{Config, Limits, Listener, Tls, TlsMode};
use crate::driver::Server;
use crate::driver::connection::{Driver, drive};
use crate::driver::http::Web;
use crate::driver::socket::Socket;
use crate::runtime::threads::Threads;
use crate::tls::Certificate;
use async_io::Async;
use futures_rustls::client::TlsStream;
use futures_rustls::rustls::crypto::ring;
use futures_rustls::rustls::{ClientConfig, RootCertStore};
use futures_rustls::{TlsAcceptor, TlsConnector};
use futures_util::io::{AsyncReadExt, AsyncWriteExt};
use restante_core::account::ConnectionId;
use restante_core::boundary::Output;
use restante_core::config::Config as CoreConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const CERTIFICATE: &str = include_str!("../../../smoke/certificate.pem");
const KEY: &str = include_str!("../../../smoke/key.pem");

fn certificate(folder: &Path) -> Certificate {
    let files = Tls {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    };
    fs::write(&files.certificate, CERTIFICATE).unwrap();
    fs::write(&files.key, KEY).unwrap();
    Certificate::load(files).unwrap()
}

async fn connect(stream: Async<TcpStream>) -> TlsStream<Async<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let anchor = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    roots.add(anchor).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect("localhost".try_into().unwrap(), stream)
        .await
        .unwrap()
}

/// A server that has a certificate.
fn certified() -> (Arc<Server<Threads>>, TempDir) {
    let (server, folder) = server(&Limits::default());
    let mut server = Arc::into_inner(server).unwrap();
    server.certificate = Some(certificate(folder.path()));
    (Arc::new(server), folder)
}

/// A client's socket and a task that drives a scripted machine on the server's.
fn starttls(acceptor: Option<TlsAcceptor>) -> (TcpStream, std::thread::JoinHandle<()>) {
    let (server, folder) = server(&Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, peer) = listener.accept().unwrap();
    let machine = Scripted {
        outputs: vec![Output::StartTls].into(),
        wait: OPEN,
        transmit: b"a OK begin TLS\r\n".to_vec(),
        told: channel().0,
        react: |machine, told| match told {
            Told::TlsEstablished => machine.transmit.extend_from_slice(&[b'x'; 200_000]),
            Told::Received(bytes) => machine.transmit.extend_from_slice(bytes),
            told => close_at_end(machine, told),
        },
    };
    let socket = Socket::Plain(Async::new(stream).unwrap());
    let driver = Driver::new(
        server,
        ConnectionId(1),
        peer.ip(),
        acceptor,
        socket,
        machine,
    );
    let task = std::thread::spawn(move || {
        async_io::block_on(drive(driver));
        drop(folder);
    });
    (client, task)
}

#[test]
fn starttls_begins_after_the_last_line_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let (client, task) = starttls(Some(certificate(folder.path()).acceptor()));
    async_io::block_on(async {
        let mut stream = Async::new(client).unwrap();
        let mut line = [0; 16];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"a OK begin TLS\r\n");
        let mut stream = connect(stream).await;
        let mut long = vec![0; 200_000];
        stream.read_exact(&mut long).await.unwrap();
        assert!(long.iter().all(|octet| *octet == b'x'));
        stream.write_all(b"echo").await.unwrap();
        stream.flush().await.unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await.unwrap();
        stream.close().await.unwrap();
        assert_eq!(stream.read(&mut echo).await.unwrap(), 0, "close_notify");
    });
    task.join().unwrap();
}

#[test]
fn what_is_no_tls_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (client, task) = starttls(Some(certificate(folder.path()).acceptor()));
    async_io::block_on(async {
        let mut stream = Async::new(client).unwrap();
        stream.write_all(b"b LOGIN alice secret\r\n").await.unwrap();
        let mut rest = Vec::new();
        // Whether TCP says end or reset is no matter.
        drop(stream.read_to_end(&mut rest).await);
        assert!(!rest.windows(4).any(|octets| octets == b"xxxx"));
    });
    task.join().unwrap();
}

#[test]
fn starttls_without_a_certificate_ends_the_connection() {
    let (_client, task) = starttls(None);
    task.join().unwrap();
}

#[test]
fn implicit_tls_comes_before_the_greeting() {
    let (server, _folder) = certified();
    let address = listen(&server, TlsMode::Implicit);
    server.reload();
    async_io::block_on(async {
        let stream = Async::<TcpStream>::connect(address).await.unwrap();
        let mut stream = connect(stream).await;
        let mut greeting = [0; 4];
        stream.read_exact(&mut greeting).await.unwrap();
        assert_eq!(&greeting, b"* OK");
        server.stop().await;
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.unwrap();
        assert!(rest.contains("* BYE"), "{rest}");
    });
}

#[test]
fn stopping_waits_for_nobody_who_has_not_finished_the_handshake() {
    let (server, _folder) = certified();
    let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = sockets.each_ref().map(|it| it.local_addr().unwrap());
    let listeners = addresses.map(|address| Listener {
        address,
        tls: TlsMode::Implicit,
    });
    let [imap, http] = sockets;
    let core = CoreConfig::default();
    server.listen(imap, &listeners[0], core).unwrap();
    let config = Config::parse(
        "imap = [{ address = '127.0.0.1:143', tls = 'none' }]\n\
         storage = { kind = 'embedded', folder = 's' }\naccounts = { file = 'a' }\n",
    )
    .unwrap();
    let web = Web::new(config.service(), config.http_limits(), true);
    (server.listen_http(http, &listeners[1], Arc::clone(&web))).unwrap();
    let taken = || server.clients.taken() + web.places.taken();
    let clients = addresses.map(|address| TcpStream::connect(address).unwrap());
    while taken() < clients.len() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let begin = Instant::now();
    async_io::block_on(server.stop());
    assert!(begin.elapsed() < Duration::from_secs(3), "it waited");
    assert_eq!(taken(), 0);
}

#[test]
fn files_that_cannot_be_used_are_named_and_the_old_ones_stay() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = certificate(folder.path());
    for (file, content) in [
        ("certificate.pem", "nothing"),
        ("key.pem", "nothing"),
        ("key.pem", CERTIFICATE),
    ] {
        let path = folder.path().join(file);
        let before = fs::read(&path).unwrap();
        fs::write(&path, content).unwrap();
        let error = certificate.reload().unwrap_err();
        assert_eq!(error.file, path);
        fs::write(&path, before).unwrap();
    }
    certificate.reload().unwrap();
}

#[test]
fn stopping_waits_for_nobody_in_the_handshake_of_starttls() {
    use std::io::{Read, Write};
    let (server, _folder) = certified();
    let address = listen(&server, TlsMode::StartTls);
    let mut client = TcpStream::connect(address).unwrap();
    Write::write_all(&mut client, b"a STARTTLS\r\n").unwrap();
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("a OK") {
        let mut octets = [0; 500];
        let count = Read::read(&mut client, &mut octets).unwrap();
        assert!(count > 0);
        said.extend_from_slice(&octets[..count]);
    }
    async_io::block_on(server.stop());
    // It was ended, not left behind.
    assert_eq!(server.clients.taken(), 0);
    let mut rest = Vec::new();
    Read::read_to_end(&mut client, &mut rest).unwrap_or_default();
    assert_eq!(rest, b"");
}
