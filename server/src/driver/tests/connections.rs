//! The connection's loop.

use super::{listen, server};
use crate::config::{Limits, TlsMode};
use crate::driver::connection::{Driver, Machine, drive};
use crate::driver::socket::Socket;
use crate::driver::{Phase, Server};
use crate::runtime::threads::Threads;
use core::future::Future;
use core::task::Poll;
use core::time::Duration;
use restante_core::account::ConnectionId;
use restante_core::boundary::{Credentials, Input, LoginError, Output, Reason, Wait};
use restante_core::storage::{ObjectKey, RequestId, StorageRequest, StorageResponse};
use restante_core::time::{Instant, Now};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use zeroize::Zeroizing;

/// Says what it is told to say, and reports what it is told.
pub(super) struct Scripted {
    pub(super) outputs: VecDeque<Output>,
    pub(super) wait: Wait,
    pub(super) transmit: Vec<u8>,
    pub(super) told: Sender<Told>,
    pub(super) react: fn(&mut Scripted, &Told),
}

#[derive(Debug, PartialEq)]
pub(super) enum Told {
    Received(Vec<u8>),
    Eof,
    Storage(RequestId, StorageResponse),
    Derived(Result<(), LoginError>),
    Timeout,
    Shutdown,
    TlsEstablished,
    Account,
    Post,
}

impl Machine for Scripted {
    const OPENS_ACCOUNTS: bool = true;

    fn handle_input(&mut self, _: Now, input: Input<'_>) {
        let told = match input {
            Input::Received(bytes) => Told::Received(bytes.to_vec()),
            Input::Eof => Told::Eof,
            Input::Transmitted(len) => return drop(self.transmit.drain(..len)),
            Input::Storage(id, response) => Told::Storage(id, response),
            Input::Derived(_, result) => Told::Derived(result.map(drop)),
            Input::Timeout => Told::Timeout,
            Input::Shutdown => Told::Shutdown,
            Input::TlsEstablished => Told::TlsEstablished,
            Input::Account(_) => Told::Account,
            Input::Post(..) => Told::Post,
        };
        (self.react)(self, &told);
        drop(self.told.send(told));
    }

    fn poll_output(&mut self) -> Output {
        self.outputs.pop_front().unwrap_or(Output::Wait(self.wait))
    }

    fn transmit(&self) -> &[u8] {
        &self.transmit
    }
}

struct Session {
    client: TcpStream,
    told: Receiver<Told>,
    task: JoinHandle<()>,
}

impl Session {
    fn told(&self) -> Told {
        self.told.recv_timeout(Duration::from_secs(10)).unwrap()
    }
}

pub(super) const OPEN: Wait = Wait {
    receive: 100,
    deadline: None,
};

/// Runs a machine that begins with `outputs` and `transmit` on a socket.
fn session(
    server: &Arc<Server<Threads>>,
    outputs: Vec<Output>,
    wait: Wait,
    transmit: &[u8],
    react: fn(&mut Scripted, &Told),
) -> Session {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, peer) = listener.accept().unwrap();
    let socket = Socket::Plain(async_io::Async::new(stream).unwrap());
    let (sender, told) = channel();
    let machine = Scripted {
        outputs: outputs.into(),
        wait,
        transmit: transmit.to_vec(),
        told: sender,
        react,
    };
    let server = Arc::clone(server);
    let driver = Driver::new(server, ConnectionId(1), peer.ip(), None, socket, machine);
    let task = std::thread::spawn(move || async_io::block_on(drive(driver)));
    Session { client, told, task }
}

pub(super) fn close_at_end(machine: &mut Scripted, told: &Told) {
    if matches!(told, Told::Eof | Told::Shutdown) {
        machine.outputs.push_back(Output::Close);
    }
}

fn derive(password: &str) -> Output {
    let credentials = Credentials {
        user: "Alice".to_owned(),
        password: Zeroizing::new(password.to_owned()),
        source: None,
    };
    Output::Derive(RequestId(1), credentials)
}

#[test]
fn everything_is_sent_before_the_socket_is_closed() {
    let (server, _folder) = server(&Limits::default());
    let long = vec![b'x'; 8 * 1024 * 1024];
    let mut session = session(&server, vec![Output::Close], OPEN, &long, |_, _| ());
    // What nobody will read must not make TCP take back what was sent.
    session.client.write_all(b"after the end\r\n").unwrap();
    let mut received = Vec::new();
    session.client.read_to_end(&mut received).unwrap();
    assert_eq!(received.len(), long.len());
    drop(session.client);
    session.task.join().unwrap();
}

#[test]
fn socket_is_not_read_while_the_machine_takes_nothing() {
    let (server, _folder) = server(&Limits::default());
    let closed = Wait { receive: 0, ..OPEN };
    let read = StorageRequest::ReadItems(Vec::new());
    let outputs = vec![Output::Storage(RequestId(1), read)];
    let mut session = session(&server, outputs, closed, b"", |machine, told| match told {
        Told::Storage(..) => {
            machine.wait.deadline = Some((Instant(200_000), Reason::Stall));
        }
        Told::Timeout => machine.wait = OPEN,
        told => close_at_end(machine, told),
    });
    session.client.write_all(b"a NOOP\r\n").unwrap();
    assert!(matches!(session.told(), Told::Storage(..)));
    assert_eq!(session.told(), Told::Timeout, "nothing was read before");
    assert_eq!(session.told(), Told::Received(b"a NOOP\r\n".to_vec()));
    session.client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(session.told(), Told::Eof);
    session.task.join().unwrap();
}

#[test]
fn no_more_is_received_than_the_machine_takes() {
    let (server, _folder) = server(&Limits::default());
    let wait = Wait { receive: 3, ..OPEN };
    let mut session = session(&server, Vec::new(), wait, b"", close_at_end);
    session.client.write_all(b"abcdefg").unwrap();
    session.client.shutdown(Shutdown::Write).unwrap();
    let mut received = Vec::new();
    loop {
        match session.told() {
            Told::Received(bytes) => {
                assert!(bytes.len() <= 3);
                received.extend(bytes);
            }
            told => {
                assert_eq!(told, Told::Eof);
                break;
            }
        }
    }
    assert_eq!(received, b"abcdefg");
    session.task.join().unwrap();
}

#[test]
fn whoever_has_much_to_look_at_lets_others_have_a_turn() {
    const ANSWERS: usize = 20;
    let (server, _folder) = server(&Limits::default());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, peer) = listener.accept().unwrap();
    let (sender, told) = channel();
    let read = |id| Output::Storage(RequestId(id), StorageRequest::ReadItems(Vec::new()));
    let machine = Scripted {
        outputs: (0..ANSWERS as u64).map(read).collect(),
        wait: OPEN,
        transmit: Vec::new(),
        told: sender,
        react: |machine, told| match told {
            // As long as a search through a chunk never takes.
            Told::Storage(..) => std::thread::sleep(Duration::from_millis(2)),
            told => close_at_end(machine, told),
        },
    };
    let socket = Socket::Plain(async_io::Async::new(stream).unwrap());
    let mut driving = Box::pin(drive(Driver::new(
        server,
        ConnectionId(1),
        peer.ip(),
        None,
        socket,
        machine,
    )));
    let mut answers = 0;
    async_io::block_on(core::future::poll_fn(|cx| {
        assert!(driving.as_mut().poll(cx).is_pending());
        let of_this_turn = told.try_iter().count();
        assert!(of_this_turn <= 1, "{of_this_turn} in one turn");
        answers += of_this_turn;
        if answers == ANSWERS {
            return Poll::Ready(());
        }
        Poll::Pending
    }));
    drop(client);
}

#[test]
fn abandoned_requests_are_not_answered() {
    let (server, _folder) = server(&Limits::default());
    let poll = StorageRequest::PollRange {
        partition: restante_core::storage::PartitionKey("p".to_owned()),
        seen: None,
        timeout_ms: 60_000,
    };
    let open = StorageRequest::OpenObject {
        key: ObjectKey("missing".to_owned()),
        start: 0,
        end: None,
        max: 10,
    };
    let outputs = vec![
        Output::Storage(RequestId(1), poll),
        Output::Abandon(RequestId(1)),
        derive("secret"),
        Output::Abandon(RequestId(1)),
        Output::Storage(RequestId(2), open),
    ];
    let session = session(&server, outputs, OPEN, b"", close_at_end);
    assert!(matches!(
        session.told(),
        Told::Storage(RequestId(2), StorageResponse::Failed(_))
    ));
    server.phases.enter(Phase::Draining);
    assert_eq!(session.told(), Told::Shutdown);
    session.task.join().unwrap();
}

#[test]
fn reset_ends_the_connection_without_the_machine() {
    let (server, _folder) = server(&Limits::default());
    let session = session(&server, Vec::new(), OPEN, &vec![0; 8 << 20], |_, _| ());
    // With octets unread, closing resets.
    std::thread::sleep(Duration::from_millis(100));
    drop(session.client);
    session.task.join().unwrap();
}

#[test]
fn account_has_so_many_connections_and_no_more() {
    let limits = Limits {
        connections_per_account_max: 1,
        ..Limits::default()
    };
    let (server, _folder) = server(&limits);
    let first = session(&server, vec![derive("secret")], OPEN, b"", close_at_end);
    assert_eq!(first.told(), Told::Derived(Ok(())));
    let second = session(&server, vec![derive("secret")], OPEN, b"", close_at_end);
    let refused = Told::Derived(Err(LoginError::TooManyConnections));
    assert_eq!(second.told(), refused);
    let third = session(&server, vec![derive("wrong")], OPEN, b"", close_at_end);
    assert_eq!(third.told(), Told::Derived(Err(LoginError::Invalid)));
    drop(first.client);
    first.task.join().unwrap();
    // The account's task learns of it a moment later.
    for _ in 0..100 {
        let next = session(&server, vec![derive("secret")], OPEN, b"", close_at_end);
        match next.told() {
            Told::Derived(Ok(())) => return,
            told => assert_eq!(told, refused),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the place was not given free");
}

/// A client of a listener, and the first line that it is told.
fn client(address: SocketAddr) -> (BufReader<TcpStream>, String) {
    let stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut client = BufReader::new(stream);
    let said = line(&mut client);
    (client, said)
}

fn line(client: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    client.read_line(&mut line).unwrap();
    line
}

fn say(client: &mut BufReader<TcpStream>, command: &str) -> String {
    write!(client.get_mut(), "a {command}\r\n").unwrap();
    loop {
        let line = line(client);
        if line.is_empty() || line.starts_with("a ") {
            return line;
        }
    }
}

#[test]
fn strangers_give_way_when_there_are_too_many_and_those_who_logged_in_do_not() {
    let limits = Limits {
        connections_max: 2,
        ..Limits::default()
    };
    let (server, _folder) = server(&limits);
    let address = listen(&server, TlsMode::None);
    let settled = || {
        while server.clients.taken() > 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut silent = [(); 2].map(|()| client(address).0);
    let (mut first, said) = client(address);
    assert!(said.starts_with("* OK"), "{said}");
    assert_eq!(line(&mut silent[0]), "", "the oldest one stays");
    assert!(say(&mut silent[1], "NOOP").starts_with("a OK"));
    settled();
    assert!(say(&mut first, "LOGIN alice secret").starts_with("a OK"));
    for _ in 0..5 {
        let (_another, said) = client(address);
        assert!(said.starts_with("* OK"), "{said}");
        assert!(say(&mut first, "NOOP").starts_with("a OK"));
        settled();
    }
    assert_eq!(line(&mut silent[1]), "", "the oldest one stays");
    let (mut second, _) = client(address);
    assert!(say(&mut second, "LOGIN bob secret").starts_with("a OK"));
    settled();
    let (_third, said) = client(address);
    assert!(said.starts_with("* BYE [UNAVAILABLE]"), "{said}");
    for client in [&mut first, &mut second] {
        assert!(say(client, "NOOP").starts_with("a OK"));
    }
}

#[test]
fn who_is_refused_for_too_many_connections_gives_way() {
    let limits = Limits {
        connections_max: 2,
        connections_per_account_max: 1,
        ..Limits::default()
    };
    let (server, _folder) = server(&limits);
    let address = listen(&server, TlsMode::None);
    let (mut first, _) = client(address);
    assert!(say(&mut first, "LOGIN alice secret").starts_with("a OK"));
    let (mut second, _) = client(address);
    let said = say(&mut second, "LOGIN alice secret");
    assert!(said.starts_with("a NO [LIMIT]"), "{said}");
    let (_third, said) = client(address);
    assert!(said.starts_with("* OK"), "{said}");
    assert!(say(&mut first, "NOOP").starts_with("a OK"));
}
