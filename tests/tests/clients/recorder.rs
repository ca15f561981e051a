//! A relay that keeps what a mail program and the server say to each other, and stays where it
//! is when the server starts again elsewhere.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// How often it looks for a new connection.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(5);

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The mail program.
    Client,
    /// The server.
    Server,
}

/// The relay. When it is dropped, nothing new is relayed.
pub(crate) struct Recorder {
    /// Where the mail program connects to.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    /// What each side of each connection said.
    said: Mutex<Vec<(Side, Vec<u8>)>>,
    over: AtomicBool,
}

impl Recorder {
    /// Relays to a server.
    pub(crate) fn before(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        listener
            .set_nonblocking(true)
            .expect("a socket takes its options");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            said: Mutex::default(),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            while !accepting.over.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((client, _)) => accepting.relay(client),
                    Err(_) => thread::sleep(ACCEPT_INTERVAL),
                }
            }
        });
        Self { address, shared }
    }

    /// Relays new connections to where the server is now.
    pub(crate) fn lead_to(&self, target: SocketAddr) {
        *lock(&self.shared.target) = target;
    }

    /// What one side said on all connections, without what it says in the middle of a line.
    pub(crate) fn lines(&self, side: Side) -> Vec<String> {
        let said = lock(&self.shared.said);
        let of_side = said.iter().filter(|(who, _)| *who == side);
        of_side
            .flat_map(|(_, octets)| {
                let text = String::from_utf8_lossy(octets).into_owned();
                let lines: Vec<String> = text.split("\r\n").map(str::to_owned).collect();
                lines
            })
            .collect()
    }

    /// Checks that everything the program said was understood, and nothing refused.
    ///
    /// # Panics
    /// With what was refused, and every command that had the tag.
    pub(crate) fn check_answers(&self) {
        let said = self.lines(Side::Client);
        let refused: Vec<(String, Vec<&String>)> = self
            .lines(Side::Server)
            .into_iter()
            .filter_map(|line| {
                let mut words = line.split(' ');
                let tag = words.next()?;
                // Thunderbird counts, Roundcube and Evolution do so behind a letter.
                let number = tag.trim_start_matches(|it: char| it.is_ascii_uppercase());
                let is_tag = number.parse::<u32>().is_ok();
                let refused = is_tag && matches!(words.next(), Some("NO" | "BAD"));
                // Each connection counts for itself, so several commands may have the tag.
                let command = format!("{tag} ");
                let commands = said.iter().filter(|said| said.starts_with(&command));
                let commands: Vec<&String> = commands.collect();
                // Whether there is news in a folder that is renamed meanwhile.
                let renamed = line.contains(" NO [NONEXISTENT] ")
                    && commands.iter().any(|said| said.contains(" STATUS "));
                (refused && !renamed).then(|| (line.clone(), commands))
            })
            .collect();
        assert!(refused.is_empty(), "{refused:#?}");
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn relay(self: &Arc<Self>, client: TcpStream) {
        // One that cannot be relayed is closed, as by a server that is not there.
        let Ok(server) = TcpStream::connect(*lock(&self.target)) else {
            return;
        };
        let [client_too, server_too] = [&client, &server].map(|socket| {
            socket
                .set_nonblocking(false)
                .and_then(|()| socket.set_nodelay(true))
                .and_then(|()| socket.try_clone())
                .expect("a socket takes its options")
        });
        for (side, from, to) in [
            (Side::Client, client, server),
            (Side::Server, server_too, client_too),
        ] {
            let shared = Arc::clone(self);
            let number = {
                let mut said = lock(&self.said);
                said.push((side, Vec::new()));
                said.len() - 1
            };
            thread::spawn(move || shared.pump(number, from, to));
        }
    }

    fn pump(&self, number: usize, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 65_536];
        while let Ok(octets @ 1..) = from.read(&mut buffer) {
            lock(&self.said)[number]
                .1
                .extend_from_slice(&buffer[..octets]);
            if to.write_all(&buffer[..octets]).is_err() {
                break;
            }
        }
        // Either may be closed already.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing is left half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
