//! A client of LMTP that says what it is told to say.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
};

use crate::process::PATIENCE;

/// A connection by which mail comes in.
pub struct Lmtp(BufReader<TcpStream>);

impl Lmtp {
    /// Connects, and says LHLO.
    ///
    /// # Panics
    /// When nobody is there, or not an LMTP server.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("an LMTP server answers")
    }

    /// The same, where the server may be gone.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_nodelay(true)?;
        let mut client = Self(BufReader::new(socket));
        let greeting = client.line()?;
        assert!(greeting.starts_with("220 "), "{greeting}");
        client.send(b"LHLO client.example.org\r\n")?;
        while client.line()?.starts_with("250-") {}
        Ok(client)
    }

    /// Sends octets.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(octets)
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// Those of the socket; that it is closed is one as well.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The connection may end in the middle of one.
        let text = line.strip_suffix("\r\n").map(str::to_owned);
        text.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a command; its answer of one line.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn say(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes())
            .and_then(|()| self.line())
            .expect("the server is there")
    }

    /// Delivers a message to these recipients, which must be accepted; what is answered for
    /// each.
    ///
    /// # Errors
    /// Those of the socket.
    ///
    /// # Panics
    /// When something is refused before the message.
    pub fn try_deliver(&mut self, recipients: &[&str], message: &[u8]) -> io::Result<Vec<String>> {
        let mut commands = "MAIL FROM:<ada@example.net>\r\n".to_owned();
        for recipient in recipients {
            commands += &format!("RCPT TO:<{recipient}>\r\n");
        }
        self.send((commands + "DATA\r\n").as_bytes())?;
        for _ in 0..=recipients.len() {
            let line = self.line()?;
            assert!(line.starts_with("250 "), "{line}");
        }
        let line = self.line()?;
        assert!(line.starts_with("354 "), "{line}");
        self.send(&stuffed(message))?;
        recipients.iter().map(|_| self.line()).collect()
    }

    /// The same, to a server that is there and takes it.
    ///
    /// # Panics
    /// When it does not.
    pub fn deliver(&mut self, recipients: &[&str], message: &[u8]) {
        let answers = self.try_deliver(recipients, message);
        for answer in answers.expect("the server is there") {
            assert!(answer.starts_with("250 2.0.0 "), "{answer}");
        }
    }

    /// Waits until the server closes the connection.
    ///
    /// # Panics
    /// When it says something else first, or never does.
    pub fn closed(&mut self) {
        let line = self.line();
        assert!(line.is_err(), "{line:?}");
    }
}

/// A message as DATA carries it, its end included.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut octets = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            octets.push(b'.');
        }
        octets.extend_from_slice(line);
    }
    octets.extend_from_slice(b".\r\n");
    octets
}

/// What is kept of a message that `deliver` sent to this recipient.
pub fn kept(recipient: &str, message: &[u8]) -> Vec<u8> {
    let head = format!("Return-Path: <ada@example.net>\r\nDelivered-To: {recipient}\r\n");
    [head.as_bytes(), message].concat()
}
