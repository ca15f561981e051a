//! A service that has passwords checked by Dovecot's authentication protocol, and says what
//! it is told to say.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::{neighbours::base64, process::PATIENCE};

/// A connection of a service.
pub struct Auth(BufReader<Box<dyn Socket>>);

/// What it is connected by.
trait Socket: Read + Write {}

impl<T: Read + Write> Socket for T {}

impl Auth {
    /// Connects over TCP and greets.
    ///
    /// # Panics
    /// When nobody is there, or the greeting is not the one that Postfix wants.
    pub fn tcp(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).expect("somebody listens");
        socket
            .set_read_timeout(Some(PATIENCE))
            .and_then(|()| socket.set_nodelay(true))
            .expect("a positive time");
        Self::greet(Box::new(socket))
    }

    /// Connects over a Unix socket and greets.
    ///
    /// # Panics
    /// As [`tcp`](Self::tcp).
    pub fn unix(path: &Path) -> Self {
        let socket = UnixStream::connect(path).expect("somebody listens");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a positive time");
        Self::greet(Box::new(socket))
    }

    fn greet(socket: Box<dyn Socket>) -> Self {
        let mut client = Self(BufReader::new(socket));
        client.send("VERSION\t1\t0\nCPID\t4242\n");
        let mut words = Vec::new();
        let mut mechanisms = Vec::new();
        while words.last().is_none_or(|word| word != "DONE") {
            let line = client.line().expect("a handshake");
            let parts: Vec<_> = line.split('\t').collect();
            words.push(parts[0].to_owned());
            match parts[..] {
                ["VERSION", major, minor] => assert_eq!((major, minor), ("1", "2")),
                ["MECH", name, "plaintext"] => {
                    assert!(!words.contains(&"SPID".to_owned()), "Postfix gives up here");
                    mechanisms.push(name.to_owned());
                }
                ["SPID" | "CUID", number] => assert!(number.parse::<u32>().is_ok(), "{line}"),
                ["COOKIE", cookie] => assert_eq!(cookie.len(), 32, "{line}"),
                ["DONE"] => {}
                _ => panic!("{line}"),
            }
        }
        assert_eq!(mechanisms, ["PLAIN", "LOGIN"]);
        client
    }

    /// Sends text.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn send(&mut self, text: &str) {
        self.try_send(text.as_bytes()).expect("the server is there");
    }

    /// Sends octets.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn try_send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(octets)
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// Those of the socket; that it is closed is one as well.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        // The connection may end in the middle of one.
        let text = line.strip_suffix('\n').map(str::to_owned);
        text.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Sends a line; the next one that comes.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn say(&mut self, line: &str) -> String {
        self.send(&format!("{line}\n"));
        self.line().expect("the server is there")
    }

    /// Has a password checked, as Postfix asks; the answer.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn plain(&mut self, number: u32, user: &str, password: &str) -> String {
        self.say(&plain(number, "127.0.0.1", user, password))
    }

    /// Waits until the server closes the connection.
    ///
    /// # Panics
    /// When it says something else first, or never does.
    pub fn closed(&mut self) {
        let line = self.line();
        let error = line.expect_err("the connection is closed").kind();
        assert!(
            !matches!(error, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
            "{error}"
        );
    }
}

/// What Postfix sends for a user at this address.
pub fn plain(number: u32, address: &str, user: &str, password: &str) -> String {
    let message = base64(format!("\0{user}\0{password}").as_bytes());
    format!(
        "AUTH\t{number}\tPLAIN\tservice=smtp\tnologin\tlip=127.0.0.1\trip={address}\tsecured\t\
         resp={message}"
    )
}
