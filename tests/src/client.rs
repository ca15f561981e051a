//! A small synchronous IMAP client that sends exactly the octets it is told to.
//!
//! It keeps the last part of the conversation, so that a failed test can show it.

use std::{
    cell::RefCell,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use crate::{Fetch, Reply, Response, Status, process::PATIENCE, tls};

thread_local! {
    /// What failed conversations of this thread's test looked like.
    static TRANSCRIPTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Octets of a conversation that are kept for a failed test.
const TRANSCRIPT_BYTES_MAX: usize = 6_000;

/// Octets of one line or literal shown in a transcript.
const TRANSCRIPT_LINE_MAX: usize = 400;

/// Takes the conversations that ended in a panic on this thread.
pub fn take_transcripts() -> Vec<String> {
    TRANSCRIPTS.with_borrow_mut(std::mem::take)
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tls::Stream>),
    /// Only while one is turned into the other.
    Gone,
}

/// The tag of a command that has been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(pub String);

/// One connection to the server.
pub struct Client {
    stream: Stream,
    /// Octets received and not consumed yet, from `at` on.
    received: Vec<u8>,
    at: usize,
    tags: u32,
    transcript: String,
    /// The server's first line.
    pub greeting: Response,
}

impl Client {
    /// Connects in the clear and reads the greeting.
    pub fn connect(address: SocketAddr) -> Self {
        let socket = connect(address);
        let mut client = Self::over(Stream::Plain(socket));
        client.greeting = client.response();
        client
    }

    /// Connects with implicit TLS and reads the greeting.
    pub fn connect_tls(address: SocketAddr) -> Self {
        let stream = tls::handshake(connect(address)).expect("the TLS handshake succeeds");
        let mut client = Self::over(Stream::Tls(Box::new(stream)));
        client.greeting = client.response();
        client
    }

    fn over(stream: Stream) -> Self {
        Self {
            stream,
            received: Vec::new(),
            at: 0,
            tags: 0,
            transcript: String::new(),
            greeting: Response(Vec::new()),
        }
    }

    /// Turns the connection into a TLS one, after STARTTLS was answered with OK.
    pub fn upgrade(&mut self) {
        self.try_upgrade().expect("the TLS handshake succeeds");
    }

    /// Like [`Client::upgrade`], for a handshake that may fail.
    ///
    /// # Errors
    /// Those of the handshake; the connection is then gone.
    pub fn try_upgrade(&mut self) -> std::io::Result<()> {
        assert_eq!(
            self.at,
            self.received.len(),
            "the server said more after the answer to STARTTLS"
        );
        let Stream::Plain(socket) = std::mem::replace(&mut self.stream, Stream::Gone) else {
            panic!("the connection is in the clear before STARTTLS")
        };
        self.stream = Stream::Tls(Box::new(tls::handshake(socket)?));
        Ok(())
    }

    /// Sends octets as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.note("C: ", bytes);
        let sent = match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Stream::Gone => unreachable!("only during the handshake"),
        };
        sent.expect("the server reads what is sent");
    }

    /// Sends octets if the server still takes them.
    pub fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes),
            Stream::Gone => unreachable!("only during the handshake"),
        }
    }

    /// A tag that was not used yet.
    pub fn tag(&mut self) -> Tag {
        self.tags += 1;
        Tag(format!("t{}", self.tags))
    }

    /// Sends a command with a fresh tag and does not wait.
    pub fn start(&mut self, command: impl AsRef<[u8]>) -> Tag {
        let tag = self.tag();
        let mut line = format!("{} ", tag.0).into_bytes();
        line.extend_from_slice(command.as_ref());
        line.extend_from_slice(b"\r\n");
        self.send(&line);
        tag
    }

    /// Reads until the command with this tag is answered.
    pub fn finish(&mut self, tag: &Tag) -> Reply {
        let mut untagged = Vec::new();
        loop {
            let response = self.response();
            if response.starts_with("* ") {
                let closed = response.starts_with("* BYE");
                untagged.push(response);
                assert!(
                    !closed || tag_may_follow_bye(tag),
                    "BYE instead of an answer: {untagged:?}"
                );
                continue;
            }
            assert!(
                !response.starts_with("+"),
                "an unexpected continuation: {response:?} after {untagged:?}"
            );
            let text = response.text();
            let mut words = text.splitn(3, ' ');
            assert_eq!(
                words.next(),
                Some(tag.0.as_str()),
                "the answer to another command: {response:?}"
            );
            let status = match words.next().map(str::to_uppercase).as_deref() {
                Some("OK") => Status::Ok,
                Some("NO") => Status::No,
                Some("BAD") => Status::Bad,
                other => panic!("a tagged {other:?}"),
            };
            assert!(
                words.next().is_some_and(|text| !text.is_empty()),
                "a tagged answer has text: {response:?}"
            );
            return Reply {
                untagged,
                status,
                tagged: response,
            };
        }
    }

    /// Sends a command and reads all of its answer.
    pub fn command(&mut self, command: impl AsRef<[u8]>) -> Reply {
        let tag = self.start(command);
        self.finish(&tag)
    }

    /// A command that must succeed.
    pub fn ok(&mut self, command: impl AsRef<[u8]>) -> Reply {
        self.expect(command, Status::Ok)
    }

    /// A command that must be refused.
    pub fn no(&mut self, command: impl AsRef<[u8]>) -> Reply {
        self.expect(command, Status::No)
    }

    /// A command that must not be understood.
    pub fn bad(&mut self, command: impl AsRef<[u8]>) -> Reply {
        self.expect(command, Status::Bad)
    }

    fn expect(&mut self, command: impl AsRef<[u8]>, status: Status) -> Reply {
        let reply = self.command(command.as_ref());
        assert_eq!(
            reply.status,
            status,
            "{}: {reply:?}",
            shortened(command.as_ref())
        );
        reply
    }

    /// Logs in, which must succeed.
    pub fn login(&mut self, user: &str, password: &str) -> Reply {
        self.ok(format!("LOGIN {user} {password}"))
    }

    /// One FETCH of one message, which must answer once.
    pub fn fetch(&mut self, number: u32, items: &str) -> Fetch {
        let reply = self.ok(format!("FETCH {number} {items}"));
        let mut fetches = reply.fetches();
        fetches.retain(|fetch| fetch.number == number);
        assert_eq!(
            fetches.len(),
            1,
            "one FETCH of message {number} expected: {reply:?}"
        );
        fetches.remove(0)
    }

    /// APPEND by a synchronising literal; `options` are flags and date, or empty.
    pub fn append(&mut self, mailbox: &str, options: &str, message: &[u8]) -> Reply {
        let space = if options.is_empty() { "" } else { " " };
        let tag = self.start(format!(
            "APPEND {mailbox} {options}{space}{{{}}}",
            message.len()
        ));
        let response = self.response();
        assert!(
            response.starts_with("+ "),
            "a continuation request was expected: {response:?}"
        );
        self.send(message);
        self.send("\r\n");
        self.finish(&tag)
    }

    /// APPEND that must succeed.
    pub fn append_ok(&mut self, mailbox: &str, options: &str, message: &[u8]) -> Reply {
        let reply = self.append(mailbox, options, message);
        assert_eq!(reply.status, Status::Ok, "APPEND: {reply:?}");
        reply
    }

    /// Reads the next line with all literals that belong to it.
    pub fn response(&mut self) -> Response {
        self.try_response()
            .expect("the server keeps the connection")
    }

    /// The next response, or nothing when the server has closed the connection.
    pub fn try_response(&mut self) -> Option<Response> {
        let mut line = self.line()?;
        while let Some(size) = announced(&line) {
            line.extend_from_slice(b"\r\n");
            self.octets(size, &mut line);
            line.extend(
                self.line()
                    .expect("a literal is followed by the rest of its line"),
            );
        }
        self.note("S: ", &line);
        Some(Response(line))
    }

    /// Reads until the server closes, and returns what it said until then.
    pub fn until_closed(&mut self) -> Vec<Response> {
        std::iter::from_fn(|| self.try_response()).collect()
    }

    /// Whether more octets are there or come within the time.
    pub fn has_more_within(&mut self, time: Duration) -> bool {
        if self.at < self.received.len() {
            return true;
        }
        self.socket()
            .set_read_timeout(Some(time))
            .expect("a positive time");
        let more = self.read_some();
        self.socket()
            .set_read_timeout(Some(PATIENCE))
            .expect("a positive time");
        more.is_ok_and(|octets| octets > 0)
    }

    /// The socket below, for addresses and timeouts.
    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => &stream.sock,
            Stream::Gone => unreachable!("only during the handshake"),
        }
    }

    fn line(&mut self) -> Option<Vec<u8>> {
        loop {
            let rest = &self.received[self.at..];
            if let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                assert!(
                    end > 0 && rest[end - 1] == b'\r',
                    "a line that ends without CR: {:?}",
                    shortened(rest)
                );
                let line = rest[..end - 1].to_vec();
                self.at += end + 1;
                return Some(line);
            }
            match self.read_some() {
                Ok(0) => {
                    assert!(
                        rest_is_empty(&self.received, self.at),
                        "the connection ends within a line"
                    );
                    return None;
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
                Err(error) => panic!("no answer within {PATIENCE:?}: {error}"),
            }
        }
    }

    fn octets(&mut self, count: usize, into: &mut Vec<u8>) {
        let mut missing = count;
        while missing > 0 {
            if self.at == self.received.len() {
                let octets = self.read_some().expect("the literal comes in time");
                assert!(octets > 0, "the connection ends within a literal");
            }
            let take = missing.min(self.received.len() - self.at);
            into.extend_from_slice(&self.received[self.at..self.at + take]);
            self.at += take;
            missing -= take;
        }
    }

    fn read_some(&mut self) -> std::io::Result<usize> {
        if self.at == self.received.len() {
            self.received.clear();
            self.at = 0;
        }
        let mut buffer = [0; 64 * 1024];
        let octets = loop {
            let read = match &mut self.stream {
                Stream::Plain(socket) => socket.read(&mut buffer),
                Stream::Tls(stream) => stream.read(&mut buffer),
                Stream::Gone => unreachable!("only during the handshake"),
            };
            match read {
                // A read with a time limit ends so when the process was stopped and goes on.
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.received.extend_from_slice(&buffer[..octets]);
        Ok(octets)
    }

    fn note(&mut self, who: &str, bytes: &[u8]) {
        for line in shortened(bytes).trim_end().lines() {
            self.transcript.push_str(who);
            self.transcript.push_str(line);
            self.transcript.push('\n');
        }
        if self.transcript.len() > 2 * TRANSCRIPT_BYTES_MAX {
            let mut cut = self.transcript.len() - TRANSCRIPT_BYTES_MAX;
            while !self.transcript.is_char_boundary(cut) {
                cut += 1;
            }
            self.transcript = format!("…{}", &self.transcript[cut..]);
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if std::thread::panicking() {
            TRANSCRIPTS.with_borrow_mut(|all| all.push(std::mem::take(&mut self.transcript)));
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let socket =
        TcpStream::connect_timeout(&address, PATIENCE).expect("the server accepts connections");
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a positive time");
    socket
        .set_write_timeout(Some(PATIENCE))
        .expect("a positive time");
    socket.set_nodelay(true).expect("a TCP socket");
    socket
}

/// LOGOUT is the one command whose answer comes after a BYE.
fn tag_may_follow_bye(tag: &Tag) -> bool {
    tag.0 == LOGOUT_TAG
}

/// The tag to give to a LOGOUT.
pub const LOGOUT_TAG: &str = "bye";

fn rest_is_empty(received: &[u8], at: usize) -> bool {
    at == received.len()
}

/// The size of the literal that a line announces at its end.
fn announced(line: &[u8]) -> Option<usize> {
    let rest = line.strip_suffix(b"}")?;
    let open = rest.iter().rposition(|&byte| byte == b'{')?;
    std::str::from_utf8(&rest[open + 1..]).ok()?.parse().ok()
}

fn shortened(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(TRANSCRIPT_LINE_MAX)];
    let more = bytes.len() - shown.len();
    let text = String::from_utf8_lossy(shown).replace('\0', "␀");
    if more == 0 {
        text
    } else {
        format!("{text}… ({more} more octets)")
    }
}
