//! A server process, to which clients talk by sockets.

use super::command::Names;
use super::wire::Wire;
use crate::{Client, Server};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Between two looks at all sockets.
const PAUSE: Duration = Duration::from_micros(100);

/// Connections to a server, and two mailboxes of their own.
pub struct SocketWire<'a> {
    server: &'a Server,
    names: Names,
    sockets: Vec<TcpStream>,
    received: Vec<Vec<u8>>,
}

impl<'a> SocketWire<'a> {
    /// Makes two mailboxes, which no other case has.
    #[must_use]
    pub fn new(server: &'a Server, case: u64) -> Self {
        let names = [format!("One{case}"), format!("Two{case}")];
        let mut client = server.login();
        for name in &names {
            client.ok(format!("CREATE {name}"));
        }
        Self {
            server,
            names,
            sockets: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Takes the mailboxes away, after a case that went well.
    pub fn finish(mut self) {
        self.sockets.clear();
        let mut client = self.server.login();
        for name in &self.names {
            client.ok(format!("DELETE {name}"));
        }
    }
}

impl Wire for SocketWire<'_> {
    fn mailboxes(&self) -> Names {
        self.names.clone()
    }

    fn connect(&mut self) -> usize {
        let client: Client = self.server.login();
        let socket = client.socket().try_clone().expect("a socket can be shared");
        socket.set_nonblocking(true).expect("a socket that is open");
        self.sockets.push(socket);
        self.received.push(Vec::new());
        self.sockets.len() - 1
    }

    fn send(&mut self, client: usize, mut octets: &[u8]) {
        while !octets.is_empty() {
            match self.sockets[client].write(octets) {
                Ok(count) => octets = &octets[count..],
                // The server waits for us to read.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.receive();
                    std::thread::sleep(PAUSE);
                }
                Err(error) => panic!("the server reads what is sent: {error}"),
            }
        }
    }

    fn wait(&mut self, most: Duration) {
        let end = Instant::now() + most;
        while !self.receive() && Instant::now() < end {
            std::thread::sleep(PAUSE);
        }
    }

    fn take(&mut self, client: usize) -> Vec<u8> {
        std::mem::take(&mut self.received[client])
    }

    fn is_prompt(&self) -> bool {
        false
    }
}

impl SocketWire<'_> {
    /// Reads what is there; whether anything is, or was left.
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        for (socket, received) in self.sockets.iter_mut().zip(&mut self.received) {
            loop {
                match socket.read(&mut buffer) {
                    Ok(0) => panic!("the server closed a connection"),
                    Ok(count) => received.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => panic!("the server answers: {error}"),
                }
            }
        }
        self.received.iter().any(|received| !received.is_empty())
    }
}
