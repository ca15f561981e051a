//! FETCH while Garage dies: bytes that are shown are right, whatever becomes of the
//! rest.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use restante_tests::{
    Server, Status, Storage, Test,
    garage::Mode,
    process::{PATIENCE, Pid, wait_for},
    samples, tests,
};

use restante_garage_node::Node;

pub(crate) const TESTS: &[Test] = tests![
    garage_is_killed_in_the_middle_of_a_fetch => storage(Storage::OwnGarage),
    the_network_is_cut_in_the_middle_of_a_fetch => storage(Storage::OwnGarage),
    one_of_three_nodes_dies_in_the_middle_of_a_fetch => storage(Storage::ThreeNodes),
    objects_break_off_in_the_middle => storage(Storage::OwnGarage),
];

/// Octets of each message: many requests for ranges of it, or one long answer.
const OCTETS: usize = 3_000_000;
const MESSAGES: usize = 8;

/// Every answer of Garage ends early, and reading goes on by ranges from where it was. So
/// much is still to be asked for when a fault comes; sockets alone hold whole messages.
const SHORT_ANSWERS: Mode = Mode::BreakAfter(700_000);

/// How long a fault takes that reading may get over.
const SHORT: Duration = Duration::from_millis(500);

/// What came of a FETCH of everything.
struct Outcome {
    /// Messages that came as a whole.
    whole: usize,
    /// Whether the tagged answer says OK.
    ok: bool,
}

/// A FETCH of everything on a connection of its own.
struct Fetching {
    socket: TcpStream,
    received: Vec<u8>,
}

impl Fetching {
    /// Begins, and returns when some octets have come.
    fn begin(server: &Server) -> Self {
        let socket = TcpStream::connect(server.address()).expect("the server listens");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a positive time");
        let mut fetching = Self {
            socket,
            received: Vec::new(),
        };
        let script = format!(
            "a LOGIN {} {}\r\nb EXAMINE Box\r\n",
            server.alice.name, server.alice.password
        );
        fetching.send(&script);
        while !contains(&fetching.received, b"\r\nb OK") {
            assert!(fetching.more(), "the mailbox is opened");
        }
        fetching.received.clear();
        fetching.send("c FETCH 1:* BODY.PEEK[]\r\n");
        while fetching.received.len() < OCTETS / 2 {
            assert!(fetching.more(), "a message comes");
        }
        fetching
    }

    /// Reads to the end and checks each octet.
    fn finish(mut self, messages: &[Vec<u8>]) -> Outcome {
        let ended = |received: &[u8]| {
            let tail = &received[received.len().saturating_sub(300)..];
            ["\r\nc OK", "\r\nc NO"]
                .iter()
                .any(|end| contains(tail, end.as_bytes()) && tail.ends_with(b"\r\n"))
        };
        while !ended(&self.received) && self.more() {}
        judge(&self.received, messages)
    }

    fn send(&mut self, commands: &str) {
        (self.socket.write_all(commands.as_bytes())).expect("the server reads");
    }

    /// Reads on; false at the end of the connection.
    fn more(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        match self.socket.read(&mut buffer) {
            Ok(octets) => {
                self.received.extend_from_slice(&buffer[..octets]);
                octets > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("no answer within {PATIENCE:?}: {error}"),
        }
    }
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
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

/// A fault that begins in the middle of a FETCH, and ends soon, or only after the FETCH, which
/// then fails. Afterwards everything can be read.
fn read_through(server: &Server, begin: impl Fn(), end: impl Fn()) {
    let messages = mailbox(server);
    let garage = server.garage();
    garage.network(SHORT_ANSWERS);
    let fetching = Fetching::begin(server);
    begin();
    thread::sleep(SHORT);
    end();
    garage.network(Mode::Pass);
    let outcome = fetching.finish(&messages);
    assert!(!outcome.ok || outcome.whole == MESSAGES, "OK is the truth");
    read_at_last(server, &messages);

    garage.network(SHORT_ANSWERS);
    let fetching = Fetching::begin(server);
    begin();
    let outcome = fetching.finish(&messages);
    eprintln!("{} of {MESSAGES} messages came", outcome.whole);
    assert!(!outcome.ok, "a fault that no FETCH feels");
    assert!(outcome.whole < MESSAGES);
    end();
    garage.network(Mode::Pass);
    read_at_last(server, &messages);
}

fn read_at_last(server: &Server, messages: &[Vec<u8>]) {
    let mut client = server.login();
    let mut succeeds = |command| client.command(command).status == Status::Ok;
    assert!(
        wait_for(|| succeeds("EXAMINE Box") && succeeds("FETCH 1:* BODY.PEEK[]")),
        "a FETCH after the fault fails"
    );
    let outcome = Fetching::begin(server).finish(messages);
    assert!(outcome.ok);
    assert_eq!(outcome.whole, MESSAGES);
}

fn garage_is_killed_in_the_middle_of_a_fetch(server: &Server) {
    let node = server.garage().node();
    read_through(server, || node.kill(), || node.start_again());
}

fn the_network_is_cut_in_the_middle_of_a_fetch(server: &Server) {
    let garage = server.garage();
    read_through(
        server,
        || garage.network(Mode::Cut),
        || garage.network(Mode::Pass),
    );
}

/// What the node had begun to send the other two have as well.
fn one_of_three_nodes_dies_in_the_middle_of_a_fetch(server: &Server) {
    let messages = mailbox(server);
    let garage = server.garage();
    let [first, others @ ..] = garage.three_nodes();
    // What a node has itself it asks nobody for.
    forget_blocks(first);
    garage.network(SHORT_ANSWERS);
    let read = || [0, 1].map(|node| Pid(others[node].pid()).read_octets());
    let before = read();
    let fetching = Fetching::begin(server);
    let after = read();
    let [second, third] = [0, 1].map(|node| after[node] - before[node]);
    eprintln!("octets that the other nodes have read: {second}, {third}");
    assert!(second.max(third) > OCTETS as u64 / 4, "they are not asked");
    let sender = usize::from(third > second);
    others[sender].kill();
    let outcome = fetching.finish(&messages);
    let left = &others[1 - sender];
    let sent_since = Pid(left.pid()).read_octets() - after[1 - sender];
    garage.network(Mode::Pass);
    assert!(outcome.ok, "only {} messages came", outcome.whole);
    assert_eq!(outcome.whole, MESSAGES);
    let felt = sent_since > OCTETS as u64 / 4;
    assert!(felt, "the one that is left read {sent_since} octets since");
}

/// Removes the blocks of objects that a node has, as a new disk would.
fn forget_blocks(node: &Node) {
    let data = fs::read_dir(node.folder().join("data")).expect("the node's folder");
    for entry in data.flatten().filter(|entry| entry.path().is_dir()) {
        fs::remove_dir_all(entry.path()).expect("it is ours");
    }
}

fn objects_break_off_in_the_middle(server: &Server) {
    let garage = server.garage();
    let messages = mailbox(server);
    garage.network(SHORT_ANSWERS);
    let outcome = Fetching::begin(server).finish(&messages);
    garage.network(Mode::Pass);
    assert!(outcome.ok, "only {} messages came", outcome.whole);
    assert_eq!(outcome.whole, MESSAGES);
    let broken = garage.broken_answers();
    assert!(broken > 2 * MESSAGES, "only {broken} answers broke off");
}
