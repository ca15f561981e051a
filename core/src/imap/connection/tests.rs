//! What only the inside of a connection shows.

use super::{Connection, Peer};
use crate::boundary::{Input, Output};
use crate::config::Config;
use crate::random::Seed;
use crate::time::{Instant, Now};
use std::sync::Arc;

const NOW: Now = Now {
    instant: Instant(1),
    unix_ms: 1_700_000_000_000,
};

fn connection(config: &Arc<Config>) -> Connection {
    let peer = Peer {
        loopback: true,
        tls: false,
    };
    Connection::new(Arc::clone(config), Seed::new([1; 32]), NOW, peer)
}

/// Drains the outputs and says how much may be received.
fn receive(connection: &mut Connection) -> usize {
    loop {
        match connection.poll_output() {
            Output::Wait(wait) => return wait.receive,
            Output::Close => return 0,
            _ => {}
        }
    }
}

#[test]
fn what_was_sent_is_not_kept_for_a_client_that_never_reads_everything() {
    let config = Arc::new(Config::default());
    let mut connection = connection(&config);
    let commands = b"a CAPABILITY\r\n".repeat(1_000);
    let mut largest = 0;
    for _ in 0..1_000 {
        let room = receive(&mut connection).min(commands.len());
        connection.handle_input(NOW, Input::Received(&commands[..room]));
        let all_but_one = connection.transmit().len() - 1;
        connection.handle_input(NOW, Input::Transmitted(all_but_one));
        largest = largest.max(connection.transmit.capacity());
    }
    assert!(
        largest <= 4 * config.transmit_bytes_max,
        "{largest} octets are kept"
    );
}

#[test]
fn a_connection_at_rest_holds_no_buffers() {
    let config = Arc::new(Config::default());
    let mut connection = connection(&config);
    let commands = b"a CAPABILITY\r\n".repeat(200);
    connection.handle_input(NOW, Input::Received(&commands));
    assert!(receive(&mut connection) > 0);
    let held = connection.transmit().len();
    assert!(held > 10_000 && connection.inbox.capacity() == 0);
    connection.handle_input(NOW, Input::Transmitted(held - 1));
    assert!(connection.transmit.capacity() > 0);
    connection.handle_input(NOW, Input::Transmitted(1));
    assert_eq!(connection.transmit.capacity(), 0);
}

#[test]
fn nobody_is_waited_for_when_the_server_goes_down() {
    let config = Arc::new(Config::default());
    for command in [
        &b""[..],
        b"a AUTHENTICATE PLAIN\r\n",
        b"a LOGIN alice {7}\r\n",
    ] {
        let mut connection = connection(&config);
        connection.handle_input(NOW, Input::Received(command));
        connection.handle_input(NOW, Input::Shutdown);
        assert!(
            connection
                .transmit()
                .ends_with(b"* BYE The server is going down\r\n")
        );
        assert!(matches!(connection.poll_output(), Output::Close));
    }
}
