//! Measures what a Garage gives to a client that does nothing but ask it: the floor that
//! Restante's own figures are divided by. Blocking sockets, a thread for each request in
//! flight, connections kept open, `TCP_NODELAY`, and (unless said otherwise) quick acknowledgements.
//!
//! ```text
//! GARAGE_S3=127.0.0.1:3900 GARAGE_K2V=127.0.0.1:3904 GARAGE_BUCKET=… GARAGE_KEY=… \
//! GARAGE_SECRET=… cargo run --release -p restante-server --example garage_floor -- COMMAND
//! ```
//!
//! - `get COUNT REST_MS`: reads the last message objects of the bucket (`…/c/…`, whose names begin with
//!   the time, so the very bytes that a FETCH of everything reads after an APPEND of as
//!   many), one by one, then with 8 and 16 requests in flight, five
//!   times each; all of it once more with the kernel's usual, delayed acknowledgements. Before each
//!   time it rests, connected: as a client of IMAP does before the FETCH that it measures.
//! - `get-at-once COUNT`: the same without a rest, and with quick acknowledgements only.
//! - `put COUNT BYTES`: one after the other, an object of BYTES and two items in one batch,
//!   as an APPEND does; COUNT times. Then as many reads of what is new in a partition.
//! - `put COUNT BYTES IN_FLIGHT`: the same on as many pairs of connections, without the
//!   reads: as much as deliveries on parallel connections store.
//! - `relay COUNT BYTES`: what is left of `get` with 16 in flight when an IMAP client takes what is
//!   read: says on which port it listens, and answers each FETCH of one connection with the same
//!   objects in their order, filled up to BYTES in all. It looks into nothing and keeps nothing secret.
//! - `put-sizes COUNT`: the same with the sizes of the last message objects of the bucket.
//!
//! One JSON object a line comes out. What `put` wrote (`floor/…`) is deleted again.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant, SystemTime};

type Failure = Box<dyn Error + Send + Sync>;

/// How often each way of reading is measured.
const ROUNDS: usize = 5;
/// Requests in flight.
const WAYS: [usize; 3] = [1, 8, 16];
/// Keys in one answer to a list.
const LIST_KEYS: usize = 1_000;

fn main() -> Result<(), Failure> {
    let place = Place::from_environment()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["get", count, rest_ms] => {
            let rest = Duration::from_millis(rest_ms.parse()?);
            get(&place, &last(&place, count)?, rest, &[true, false])
        }
        ["get-at-once", count] => get(&place, &last(&place, count)?, Duration::ZERO, &[true]),
        ["put", count, bytes] => put(&place, &vec![bytes.parse()?; count.parse()?]),
        ["put", count, bytes, ways] => {
            put_in_flight(&place, count.parse()?, bytes.parse()?, ways.parse()?)
        }
        ["relay", count, bytes] => relay(&place, &last(&place, count)?, bytes.parse()?),
        ["put-sizes", count] => {
            let objects = last(&place, count)?;
            put(
                &place,
                &objects.iter().map(|(_, size)| *size).collect::<Vec<_>>(),
            )
        }
        _ => Err(
            "one of: get COUNT REST_MS, get-at-once COUNT, put COUNT BYTES [IN_FLIGHT], put-sizes COUNT, relay COUNT BYTES"
                .into(),
        ),
    }
}

/// The newest objects of the only account that stored any, with their lengths.
fn last(place: &Place, count: &str) -> Result<Vec<(String, usize)>, Failure> {
    let mut objects = list(place)?;
    let older = objects.len().checked_sub(count.parse()?);
    objects.drain(..older.ok_or("there are fewer objects")?);
    Ok(objects)
}

fn get(
    place: &Place,
    objects: &[(String, usize)],
    rest: Duration,
    quick_acks: &[bool],
) -> Result<(), Failure> {
    let bytes: usize = objects.iter().map(|(_, size)| size).sum();
    for (quick_ack, ways) in quick_acks.iter().flat_map(|q| WAYS.map(|w| (*q, w))) {
        for _ in 0..ROUNDS {
            let seconds = get_all(place, objects, ways, quick_ack, rest)?;
            println!(
                "{{\"measure\": \"get\", \"in_flight\": {ways}, \"quick_ack\": {quick_ack}, \
                 \"objects\": {}, \"bytes\": {bytes}, \"wall_s\": {seconds:.4}}}",
                objects.len()
            );
        }
    }
    Ok(())
}

/// Passes on what it reads.
fn relay(place: &Place, objects: &[(String, usize)], bytes: usize) -> Result<(), Failure> {
    let stored: usize = objects.iter().map(|(_, size)| size).sum();
    let filling = vec![b'x'; bytes];
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?.port());
    let (client, _) = listener.accept()?;
    client.set_nodelay(true)?;
    let mut commands = BufReader::new(client.try_clone()?);
    let mut client = client;
    client.write_all(b"* OK\r\n")?;
    let mut wires: Vec<_> = (0..WAYS[2])
        .map(|_| Wire::connect(place, Service::S3, true))
        .collect::<Result<_, _>>()?;
    loop {
        let mut command = String::new();
        if commands.read_line(&mut command)? == 0 {
            return Ok(());
        }
        let tag = command.split(' ').next().unwrap_or("*");
        std::thread::scope(|scope| -> Result<(), Failure> {
            // Each connection reads every sixteenth object, one ahead of the client.
            let ways = wires.len();
            let ahead = wires.iter_mut().enumerate().map(|(way, wire)| {
                let (read, reading) = sync_channel(1);
                let objects = objects.iter().skip(way).step_by(ways);
                scope.spawn(move || {
                    for (key, _) in objects {
                        let body = wire.ask("GET", &format!("/{}/{key}", place.bucket), b"");
                        if read.send(body).is_err() {
                            return;
                        }
                    }
                });
                reading
            });
            let ahead: Vec<_> = ahead.collect();
            let mut left = bytes;
            for (number, (_, size)) in objects.iter().enumerate() {
                let body = ahead[number % ways].recv()??;
                let length = (size * bytes / stored).min(left);
                left -= length;
                let head = format!("* {} FETCH (BODY[] {{{length}}}\r\n", number + 1);
                client.write_all(head.as_bytes())?;
                let body = &body[..body.len().min(length)];
                client.write_all(body)?;
                client.write_all(&filling[..length - body.len()])?;
                client.write_all(b")\r\n")?;
            }
            client.write_all(format!("{tag} OK\r\n").as_bytes())?;
            Ok(())
        })?;
    }
}

/// Reads all objects once; the time it took, connecting and resting left out.
fn get_all(
    place: &Place,
    objects: &[(String, usize)],
    ways: usize,
    quick_ack: bool,
    rest: Duration,
) -> Result<f64, Failure> {
    let next = AtomicUsize::new(0);
    let start = std::sync::Barrier::new(ways + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..ways)
            .map(|_| {
                scope.spawn(|| -> Result<(), Failure> {
                    let wire = Wire::connect(place, Service::S3, quick_ack);
                    // Everybody is waited for, also who could not connect.
                    start.wait();
                    let mut wire = wire?;
                    while let Some((key, size)) = objects.get(next.fetch_add(1, Ordering::Relaxed))
                    {
                        let body = wire.ask("GET", &format!("/{}/{key}", place.bucket), b"")?;
                        if body.len() != *size {
                            return Err(format!("{key}: {} of {size} bytes", body.len()).into());
                        }
                    }
                    Ok(())
                })
            })
            .collect();
        std::thread::sleep(rest);
        start.wait();
        let begin = Instant::now();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok(begin.elapsed().as_secs_f64())
    })
}

fn put(place: &Place, sizes: &[usize]) -> Result<(), Failure> {
    let mut pair = Pair::connect(place)?;
    let body = noise(sizes.iter().copied().max().unwrap_or(0));
    let begin = Instant::now();
    let mut put_seconds = 0.0;
    for (number, size) in sizes.iter().enumerate() {
        let put = Instant::now();
        pair.put(number, &body[..*size])?;
        put_seconds += put.elapsed().as_secs_f64();
        pair.insert(number, &body)?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let reading = Instant::now();
    for number in 0..sizes.len() {
        let ranges = format!(
            "[{{\"partitionKey\": \"floor-log\", \"end\": \"00000000\", \"limit\": 8}}, \
             {{\"partitionKey\": \"floor-log\", \"start\": \"{number:08}\", \"limit\": 1}}]"
        );
        pair.k2v.ask(
            "POST",
            &format!("/{}?search", place.bucket),
            ranges.as_bytes(),
        )?;
    }
    let read_seconds = reading.elapsed().as_secs_f64();
    println!(
        "{{\"measure\": \"put\", \"objects\": {}, \"bytes\": {}, \"wall_s\": {seconds:.4}, \
         \"of_that_put_s\": {put_seconds:.4}, \"as_many_reads_s\": {read_seconds:.4}, \"per_s\": {:.1}}}",
        sizes.len(),
        sizes.iter().sum::<usize>(),
        sizes.len() as f64 / seconds
    );
    pair.delete(sizes.len())
}

fn put_in_flight(place: &Place, count: usize, bytes: usize, ways: usize) -> Result<(), Failure> {
    let body = noise(bytes);
    let pairs: Vec<_> = (0..ways)
        .map(|_| Pair::connect(place))
        .collect::<Result<_, _>>()?;
    let next = AtomicUsize::new(0);
    let begin = Instant::now();
    let one = |mut pair: Pair<'_>| -> Result<(), Failure> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                return Ok(());
            }
            pair.put(number, &body)?;
            pair.insert(number, &body)?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = pairs
            .into_iter()
            .map(|pair| scope.spawn(|| one(pair)))
            .collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread panicked")??;
        }
        Ok::<_, Failure>(())
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    println!(
        "{{\"measure\": \"put\", \"objects\": {count}, \"bytes\": {}, \"in_flight\": {ways}, \
         \"wall_s\": {seconds:.4}, \"per_s\": {:.1}}}",
        count * bytes,
        count as f64 / seconds
    );
    Pair::connect(place)?.delete(count)
}

/// A connection to each interface: what stores one message after the other.
struct Pair<'a> {
    place: &'a Place,
    s3: Wire<'a>,
    k2v: Wire<'a>,
}

impl<'a> Pair<'a> {
    fn connect(place: &'a Place) -> Result<Self, Failure> {
        Ok(Self {
            place,
            s3: Wire::connect(place, Service::S3, true)?,
            k2v: Wire::connect(place, Service::K2v, true)?,
        })
    }

    fn put(&mut self, number: usize, body: &[u8]) -> Result<(), Failure> {
        let key = format!("/{}/floor/{number:08}", self.place.bucket);
        self.s3.ask("PUT", &key, body)?;
        Ok(())
    }

    /// Two items in one batch.
    fn insert(&mut self, number: usize, body: &[u8]) -> Result<(), Failure> {
        let value = STANDARD.encode(&body[..body.len().min(300)]);
        let items = ["floor-log", "floor-summaries"].map(|partition| {
            format!("{{\"pk\": \"{partition}\", \"sk\": \"{number:08}\", \"ct\": null, \"v\": \"{value}\"}}")
        });
        let batch = format!("[{}]", items.join(","));
        let path = format!("/{}", self.place.bucket);
        self.k2v.ask("POST", &path, batch.as_bytes())?;
        Ok(())
    }

    fn delete(&mut self, count: usize) -> Result<(), Failure> {
        let bucket = &self.place.bucket;
        for number in 0..count {
            let key = format!("/{bucket}/floor/{number:08}");
            self.s3.ask("DELETE", &key, b"")?;
        }
        let filter = "[{\"partitionKey\": \"floor-log\"}, {\"partitionKey\": \"floor-summaries\"}]";
        let path = format!("/{bucket}?delete");
        self.k2v.ask("POST", &path, filter.as_bytes())?;
        Ok(())
    }
}

/// The message objects of the bucket with their lengths.
fn list(place: &Place) -> Result<Vec<(String, usize)>, Failure> {
    let mut wire = Wire::connect(place, Service::S3, true)?;
    let mut objects = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!(
            "/{}?list-type=2&max-keys={LIST_KEYS}&start-after={}",
            place.bucket,
            after.replace('/', "%2F")
        );
        let page = String::from_utf8(wire.ask("GET", &path, b"")?)?;
        let mut last = None;
        for entry in page.split("<Contents>").skip(1) {
            let key = between(entry, "<Key>", "</Key>").ok_or("a list without keys")?;
            let size = between(entry, "<Size>", "</Size>").ok_or("a list without sizes")?;
            last = Some(key.to_owned());
            if key.contains("/c/") {
                objects.push((key.to_owned(), size.parse()?));
            }
        }
        match last {
            Some(last) if page.contains("<IsTruncated>true<") => after = last,
            _ => return Ok(objects),
        }
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    Some(text.split_once(start)?.1.split_once(end)?.0)
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(bytes);
    out
}

/// Where the bucket is, and who we are.
struct Place {
    s3: SocketAddr,
    k2v: SocketAddr,
    bucket: String,
    key: String,
    secret: String,
}

impl Place {
    fn from_environment() -> Result<Self, Failure> {
        let named = |name: &str| std::env::var(name).map_err(|_| format!("{name} is not set"));
        Ok(Self {
            s3: named("GARAGE_S3")?.parse()?,
            k2v: named("GARAGE_K2V")?.parse()?,
            bucket: named("GARAGE_BUCKET")?,
            key: named("GARAGE_KEY")?,
            secret: named("GARAGE_SECRET")?,
        })
    }
}

#[derive(Clone, Copy)]
enum Service {
    S3,
    K2v,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::K2v => "k2v",
        }
    }
}

/// One connection that is kept open.
struct Wire<'a> {
    place: &'a Place,
    service: Service,
    address: SocketAddr,
    stream: BufReader<Socket>,
}

impl<'a> Wire<'a> {
    fn connect(place: &'a Place, service: Service, quick_ack: bool) -> Result<Self, Failure> {
        let address = match service {
            Service::S3 => place.s3,
            Service::K2v => place.k2v,
        };
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let stream = BufReader::with_capacity(64 * 1024, Socket { stream, quick_ack });
        Ok(Self {
            place,
            service,
            address,
            stream,
        })
    }

    /// Sends a request and reads the whole answer; an answer that is no success fails.
    fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n", self.address);
        for (name, value) in self.signature(method, path, body)? {
            write!(head, "{name}: {value}\r\n")?;
        }
        write!(head, "content-length: {}\r\n\r\n", body.len())?;
        let mut octets = head.into_bytes();
        octets.extend_from_slice(body);
        self.stream.get_mut().stream.write_all(&octets)?;
        let (status, answer) = self.answer()?;
        if !(200..300).contains(&status) {
            let text = String::from_utf8_lossy(&answer).into_owned();
            return Err(format!("{method} {path}: {status} {text}").into());
        }
        Ok(answer)
    }

    fn signature(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Vec<(String, String)>, Failure> {
        let place = self.place;
        let identity =
            Credentials::new(&place.key, &place.secret, None, None, "environment").into();
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = match self.service {
            Service::S3 => PercentEncodingMode::Single,
            Service::K2v => PercentEncodingMode::Double,
        };
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region("garage")
            .name(self.service.name())
            .time(SystemTime::now())
            .settings(settings)
            .build()?
            .into();
        let host = self.address.to_string();
        let url = format!("http://{host}{path}");
        let headers = [("host", host.as_str())];
        let request =
            SignableRequest::new(method, &url, headers.into_iter(), SignableBody::Bytes(body))?;
        let (instructions, _) = sign(request, &parameters)?.into_parts();
        let headers = instructions.headers();
        Ok(headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect())
    }

    fn answer(&mut self) -> Result<(u16, Vec<u8>), Failure> {
        let status = self.line()?;
        let status = status.split(' ').nth(1).ok_or("no status")?.parse()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let line = self.line()?.to_ascii_lowercase();
            match line.split_once(':') {
                Some(("content-length", value)) => length = value.trim().parse()?,
                Some(("transfer-encoding", value)) => chunked = value.trim() == "chunked",
                Some(_) => {}
                None => break,
            }
        }
        let mut body = Vec::new();
        if !chunked {
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
            return Ok((status, body));
        }
        loop {
            let bytes = usize::from_str_radix(self.line()?.trim(), 16)?;
            let before = body.len();
            body.resize(before + bytes, 0);
            self.stream.read_exact(&mut body[before..])?;
            self.line()?;
            if bytes == 0 {
                return Ok((status, body));
            }
        }
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

/// A socket that, with `quick_ack`, acknowledges at once what it has read: Garage waits for
/// that before it sends the second segment of an answer.
struct Socket {
    stream: TcpStream,
    quick_ack: bool,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.stream.read(buffer)?;
        if self.quick_ack {
            rustix::net::sockopt::set_tcp_quickack(&self.stream, true)?;
        }
        Ok(read)
    }
}
