//! A Garage for tests that answers what it is told to, and what a real one never would.

use super::{Garage, GarageConfig, GarageLimits, OpenError};
use crate::accounts::file::AccountsFile;
use crate::runtime::threads::Threads;
use crate::secret::Secret;
use futures_lite::future::block_on;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a request is answered.
#[derive(Clone)]
pub(super) enum Reply {
    /// A status and a body.
    Whole(u16, String),
    /// Octets of an object from a place on, of `len` octets: the place, `len`, and them.
    Part(u64, u64, String),
    /// What a proxy says with 200 while Garage is away: a page, with an ETag as proxies make them.
    Page,
    /// The same, but the header announces one octet more, which never comes; with 206 it is a part from
    /// the beginning on.
    Stalled(u16, String),
    /// A status and a body of so many spaces.
    Long(u16, usize),
    /// A body with 200, and what the clock of Garage says then (RFC 9110 §5.6.7).
    Dated(&'static str, String),
    /// Nothing, for ever.
    Silence,
    /// Nothing, and the connection ends.
    Closed,
}

/// As Garage writes it: the MD5 of what is stored.
const ETAG: &str = "\"d41d8cd98f00b204e9800998ecf8427e\"";

/// Answers a request by its method and path.
type Answer = dyn Fn(&str) -> Reply + Send + Sync;

/// Listens for both interfaces.
pub(super) struct Fake {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Fake {
    pub(super) fn new(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let connections = Arc::<AtomicUsize>::default();
        let (answer, noted): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&asked));
        let counted = Arc::clone(&connections);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let (answer, noted) = (Arc::clone(&answer), Arc::clone(&noted));
                // It ends with the other side.
                std::thread::spawn(move || serve(&stream, &*answer, &noted));
            }
        });
        Self {
            address,
            asked,
            connections,
        }
    }

    /// Opens it, in the bucket `b`.
    pub(super) fn open(&self, limits: GarageLimits) -> Result<Garage, OpenError> {
        self.open_for(limits, None)
    }

    /// The same, for these accounts.
    pub(super) fn open_for(
        &self,
        limits: GarageLimits,
        accounts: Option<Arc<AccountsFile>>,
    ) -> Result<Garage, OpenError> {
        let config = GarageConfig {
            s3: format!("http://{}", self.address),
            k2v: format!("http://{}", self.address),
            region: "garage".to_owned(),
            bucket: "b".to_owned(),
            key_id: "GK0000000000000000000000".to_owned(),
            secret: Secret::from("0".repeat(64)),
            ca: None,
            limits,
        };
        block_on(Garage::open(Threads, config, accounts))
    }

    /// How many connections were made to it.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests have come whose method and path begin with this.
    pub(super) fn asked(&self, begin: &str) -> usize {
        let asked = self.asked.lock().expect("nobody panics");
        asked.iter().filter(|it| it.starts_with(begin)).count()
    }
}

/// Garage's answer to what the start asks for, of an empty bucket.
pub(super) fn at_start(request: &str) -> Option<Reply> {
    let list = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
    match request {
        "GET /b?limit=1" => Some(Reply::Whole(200, "{}".to_owned())),
        it if it.starts_with("GET /b/?list-type=2") => Some(Reply::Whole(200, list.to_owned())),
        it if it.starts_with("DELETE /b/%21restante") => Some(Reply::Whole(204, String::new())),
        it if it.starts_with("GET /b/?uploads") => Some(Reply::Whole(
            200,
            "<ListMultipartUploadsResult></ListMultipartUploadsResult>".to_owned(),
        )),
        _ => None,
    }
}

/// S3's text for an error.
pub(super) fn error(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>as it is</Message></Error>")
}

fn serve(stream: &TcpStream, answer: &Answer, asked: &Mutex<Vec<String>>) -> io::Result<()> {
    let (mut from, mut to) = (BufReader::new(stream), stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if from.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let len = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let len = name.eq_ignore_ascii_case("content-length");
            len.then(|| value.parse().ok()).flatten()
        });
        from.read_exact(&mut vec![0; len.unwrap_or(0)])?;
        let request = head.split(" HTTP").next().unwrap_or_default();
        asked
            .lock()
            .expect("nobody panics")
            .push(request.to_owned());
        let header = |status, len: usize| {
            format!("HTTP/1.1 {status} as told\r\netag: {ETAG}\r\ncontent-length: {len}\r\n\r\n")
        };
        let part = |start: u64, len: usize, whole: u64| {
            let end = (start + len as u64).saturating_sub(1);
            let range = format!("\r\ncontent-range: bytes {start}-{end}/{whole}\r\netag: ");
            header(206, len).replacen("\r\netag: ", &range, 1)
        };
        match answer(request) {
            Reply::Whole(status, text) => {
                let mut header = header(status, text.len());
                if text.starts_with("<Error>") {
                    header =
                        header.replacen("etag: ", "content-type: application/xml\r\netag: ", 1);
                }
                to.write_all(format!("{header}{text}").as_bytes())?;
            }
            Reply::Part(start, len, text) => {
                let header = part(start, text.len(), len);
                to.write_all(format!("{header}{text}").as_bytes())?;
            }
            Reply::Page => {
                let text = "<html>Back soon</html>";
                let header = header(200, text.len()).replacen(ETAG, "\"62f0a1c4-16\"", 1);
                to.write_all(format!("{header}{text}").as_bytes())?;
            }
            Reply::Stalled(status, text) => {
                let len = text.len() + 1;
                let header = match status {
                    206 => part(0, len, len as u64),
                    status => header(status, len),
                };
                to.write_all(format!("{header}{text}").as_bytes())?;
            }
            Reply::Long(status, len) => {
                to.write_all(header(status, len).as_bytes())?;
                to.write_all(&vec![b' '; len])?;
            }
            Reply::Dated(date, text) => {
                let date = format!("date: {date}\r\netag: ");
                let header = header(200, text.len()).replacen("etag: ", &date, 1);
                to.write_all(format!("{header}{text}").as_bytes())?;
            }
            Reply::Silence => {}
            Reply::Closed => return Ok(()),
        }
    }
}
