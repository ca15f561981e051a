//! A client of HTTP that says what it is told to say.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
};

use crate::process::PATIENCE;

/// A connection, in the clear or in TLS.
pub struct Http<S: Read + Write = TcpStream>(BufReader<S>);

/// What the server says to one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(key, _)| key == name);
        field.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connected socket that does not wait for ever.
///
/// # Panics
/// When nobody is there.
pub fn socket(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).expect("the server listens");
    socket
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| socket.set_nodelay(true))
        .expect("a socket takes its options");
    socket
}

impl Http {
    /// Connects in the clear.
    pub fn connect(address: SocketAddr) -> Self {
        Self::on(socket(address))
    }
}

impl<S: Read + Write> Http<S> {
    /// Speaks HTTP on a stream.
    pub fn on(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Sends octets.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(octets)?;
        self.0.get_mut().flush()
    }

    /// The next answer; one to HEAD has no body.
    ///
    /// # Errors
    /// Those of the socket; that it is closed is one as well.
    pub fn answer(&mut self, to_head: bool) -> io::Result<Answer> {
        let first = self.line()?;
        let status = first.strip_prefix("HTTP/1.1 ").and_then(|it| it.get(..3));
        let status = status.and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(first.clone()))?;
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            fields,
            body: Vec::new(),
        };
        let len = answer.field("content-length").map_or(Ok(0), str::parse);
        if !to_head {
            answer.body = vec![0; len.map_err(io::Error::other)?];
            self.0.read_exact(&mut answer.body)?;
        }
        Ok(answer)
    }

    /// The answer to GET.
    ///
    /// # Panics
    /// When the server is gone.
    pub fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .and_then(|()| self.answer(false))
            .expect("the server answers")
    }

    /// The stream itself; what was read of it already is lost.
    pub fn into_inner(self) -> S {
        self.0.into_inner()
    }

    /// Waits until the server closes the connection.
    ///
    /// # Panics
    /// When it says something first, or never does.
    pub fn closed(&mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            // Without the end of TLS, or with something unread.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
        assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let text = line.strip_suffix("\r\n").map(str::to_owned);
        text.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
