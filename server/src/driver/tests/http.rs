//! HTTP connections that do not want to end.

use super::server;
use crate::autodiscovery::limits::HttpLimits;
use crate::config::{Config, Limits, Listener, TlsMode};
use crate::driver::Server;
use crate::driver::http::Web;
use crate::runtime::threads::Threads;
use core::time::Duration;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/// A server whose HTTP connections last a second.
fn hasty() -> (Arc<Server<Threads>>, TempDir, SocketAddr) {
    let (server, folder) = server(&Limits::default());
    let address = listen(&server);
    (server, folder, address)
}

fn listen(server: &Arc<Server<Threads>>) -> SocketAddr {
    let text = "imap = [{ address = '127.0.0.1:143', tls = 'none' }]\n\
        storage = { kind = 'embedded', folder = 's' }\naccounts = { file = 'a' }\n";
    let service = Config::parse(text).unwrap().service();
    let limits = HttpLimits {
        connection_timeout: Duration::from_secs(1),
        ..HttpLimits::default()
    };
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let listener = Listener {
        address,
        tls: TlsMode::None,
    };
    let web = Web::new(service, limits, false);
    server.listen_http(socket, &listener, web).unwrap();
    address
}

fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(20));
    client.set_read_timeout(patience).unwrap();
    client.set_write_timeout(patience).unwrap();
    client
}

#[test]
fn whoever_asks_again_and_again_is_left_at_last() {
    let (_server, _folder, address) = hasty();
    let begin = Instant::now();
    let mut client = connect(address);
    let mut octets = [0; 64 * 1024];
    let mut answers = 0;
    // Ends by an error as well as by the end of the stream.
    while client.write_all(REQUEST).is_ok() && matches!(client.read(&mut octets), Ok(1..)) {
        answers += 1;
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{answers} answers"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        begin.elapsed() > Duration::from_millis(900),
        "{:?}",
        begin.elapsed()
    );
    assert!(answers > 3, "{answers} answers");
}

#[test]
fn whoever_asks_and_never_listens_is_left_at_last() {
    let (_server, _folder, address) = hasty();
    let mut client = connect(address);
    let begin = Instant::now();
    // Until the answers fill every buffer between here and there, and then some.
    let error = loop {
        if let Err(error) = client.write_all(&REQUEST.repeat(1_000)) {
            break error;
        }
        assert!(begin.elapsed() < Duration::from_secs(20));
    };
    // Not because this side gave up.
    let gave_up = [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind());
    assert!(!gave_up, "{error}");
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
}

#[test]
fn asking_for_settings_takes_no_place_of_those_who_read_mail() {
    let limits = Limits {
        connections_max: 1,
        ..Limits::default()
    };
    let (server, _folder) = server(&limits);
    let imap = super::listen(&server, TlsMode::None);
    let http = listen(&server);
    let mut octets = [0; 64 * 1024];
    let mut stranger = connect(imap);
    assert!(stranger.read(&mut octets).unwrap() > 0);
    let ask = || {
        let mut client = connect(http);
        client.write_all(REQUEST).unwrap();
        let mut octets = [0; 64 * 1024];
        let len = client.read(&mut octets).unwrap();
        assert!(octets[..len].starts_with(b"HTTP/1.1 "), "no answer");
    };
    ask();
    stranger.write_all(b"a LOGIN alice secret\r\n").unwrap();
    let len = stranger.read(&mut octets).unwrap();
    assert!(octets[..len].starts_with(b"a OK"), "the stranger is gone");
    ask();
    // And they are waited for when the server stops, as others are.
    let mut client = connect(http);
    client.write_all(REQUEST).unwrap();
    assert!(client.read(&mut octets).unwrap() > 0);
    async_io::block_on(server.stop());
    assert_eq!(client.read(&mut octets).unwrap(), 0, "cut off");
}
