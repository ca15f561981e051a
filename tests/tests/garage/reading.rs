//! FETCH while Garage dies: bytes that are shown are right, whatever becomes of the
//! rest.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use restante_tests::{
    Server, Storage, Test, garage::Mode, process::PATIENCE, process::wait_for, samples, tests,
};

pub(crate) const TESTS: &[Test] = tests![
    garage_is_killed_in_the_middle_of_a_fetch => storage(Storage::OwnGarage),
    the_network_is_cut_in_the_middle_of_a_fetch => storage(Storage::OwnGarage),
    objects_break_off_in_the_middle => storage(Storage::OwnGarage),
];

/// Octets of each message: many requests for ranges of it, or one long answer.
const OCTETS: usize = 3_000_000;
const MESSAGES: usize = 8;

/// What came of a FETCH of everything.
struct Outcome {
    /// Messages that came as a whole.
    whole: usize,
    /// Whether the tagged answer says OK.
    ok: bool,
}

/// Fetches everything on a connection of its own, runs the fault when some octets have
/// come, and checks each octet.
fn fetch_through(server: &Server, messages: &[Vec<u8>], fault: impl FnOnce()) -> Outcome {
    let mut socket = TcpStream::connect(server.address()).expect("the server listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a positive time");
    let script = format!(
        "a LOGIN {} {}\r\nb EXAMINE Box\r\n",
        server.alice.name, server.alice.password
    );
    socket.write_all(script.as_bytes()).expect("it reads");
    let mut received = Vec::new();
    while !contains(&received, b"\r\nb OK") {
        assert!(more(&mut socket, &mut received), "the mailbox is opened");
    }
    received.clear();
    socket
        .write_all(b"c FETCH 1:* BODY.PEEK[]\r\n")
        .expect("it reads");
    while received.len() < OCTETS / 2 {
        assert!(more(&mut socket, &mut received), "a message comes");
    }
    fault();
    let ended = |received: &[u8]| {
        let tail = &received[received.len().saturating_sub(300)..];
        ["\r\nc OK", "\r\nc NO"]
            .iter()
            .any(|end| contains(tail, end.as_bytes()) && tail.ends_with(b"\r\n"))
    };
    while !ended(&received) && more(&mut socket, &mut received) {}
    judge(&received, messages)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

/// Reads on; false at the end of the connection.
fn more(socket: &mut TcpStream, received: &mut Vec<u8>) -> bool {
    let mut buffer = vec![0; 64 * 1024];
    match socket.read(&mut buffer) {
        Ok(octets) => {
            received.extend_from_slice(&buffer[..octets]);
            octets > 0
        }
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
        Err(error) => panic!("no answer within {PATIENCE:?}: {error}"),
    }
}

/// Compares every literal with its message; the last may be cut off.
fn judge(mut rest: &[u8], messages: &[Vec<u8>]) -> Outcome {
    let mut whole = 0;
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else {
            assert!(!rest.starts_with(b"c OK"));
            return Outcome { whole, ok: false };
        };
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 2..];
        if line.starts_with("c ") {
            return Outcome {
                whole,
                ok: line.starts_with("c OK"),
            };
        }
        let Some(length) = line.strip_suffix('}').and_then(|line| {
            let (_, length) = line.rsplit_once('{')?;
            length.parse::<usize>().ok()
        }) else {
            continue;
        };
        let number: usize = line
            .split(' ')
            .nth(1)
            .and_then(|number| number.parse().ok())
            .unwrap_or_else(|| panic!("a number in {line}"));
        let message = &messages[number - 1];
        assert_eq!(length, message.len());
        let shown = &rest[..rest.len().min(length)];
        assert!(message.starts_with(shown), "message {number} is garbled");
        if shown.len() < length {
            return Outcome { whole, ok: false };
        }
        whole += 1;
        rest = &rest[length..];
    }
}

fn mailbox(server: &Server) -> Vec<Vec<u8>> {
    let mut client = server.login();
    client.ok("CREATE Box");
    let messages: Vec<Vec<u8>> = (0..MESSAGES)
        .map(|number| {
            let mut message = samples::large(OCTETS + number);
            // No piece of one message is at the same place in another.
            message[1_000..].rotate_left(97_777 * number);
            message
        })
        .collect();
    for message in &messages {
        client.append_ok("Box", "", message);
    }
    messages
}

/// A fault that ends by itself, and afterwards everything can be read again.
fn read_through(server: &Server, fault: impl Fn()) {
    let messages = mailbox(server);
    for _ in 0..2 {
        let outcome = fetch_through(server, &messages, &fault);
        assert!(!outcome.ok || outcome.whole == MESSAGES, "OK is the truth");
        let mut again = Outcome {
            whole: 0,
            ok: false,
        };
        assert!(
            wait_for(|| {
                again = fetch_through(server, &messages, || {});
                again.ok
            }),
            "a FETCH after the fault fails"
        );
        assert_eq!(again.whole, MESSAGES);
    }
}

fn garage_is_killed_in_the_middle_of_a_fetch(server: &Server) {
    let node = server.garage().node();
    read_through(server, || {
        node.kill();
        thread::sleep(Duration::from_millis(500));
        node.start_again();
    });
}

fn the_network_is_cut_in_the_middle_of_a_fetch(server: &Server) {
    let garage = server.garage();
    read_through(server, || {
        garage.network(Mode::Cut);
        thread::sleep(Duration::from_millis(500));
        garage.network(Mode::Pass);
    });
}

/// Each answer ends early for a while: reading goes on by ranges from where it was.
fn objects_break_off_in_the_middle(server: &Server) {
    let garage = server.garage();
    read_through(server, || {
        garage.network(Mode::BreakAfter(700_000));
        thread::sleep(Duration::from_millis(500));
        garage.network(Mode::Pass);
    });
}
