//! A TCP proxy that plays the faults of a network.

use std::{
    collections::HashMap,
    io::{ErrorKind, Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{PATIENCE, ports::unused_port};

/// How often the proxy looks for a new connection.
const ACCEPT_INTERVAL: Duration = Duration::from_millis(2);

/// What becomes of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Everything goes through.
    Pass,
    /// New connections are refused, those that are open go on.
    Refuse,
    /// Open connections are closed and new ones refused.
    Cut,
    /// Open connections are closed, and new ones reset as soon as something is asked.
    Reset,
    /// Connections are taken, and no byte goes through in either direction until the
    /// mode changes. Then those that were held go on.
    Hang,
    /// The same on each connection once its client has sent so many bytes, which go through.
    HangAfter(usize),
    /// Once the client of a connection has sent so many bytes, it is answered no more: all
    /// that it sends goes through, and nothing that comes back.
    MuteAfter(usize),
    /// The first byte of each answer comes that much later.
    Slow(Duration),
    /// The connection is closed after so many bytes of an answer that begins meanwhile.
    BreakAfter(usize),
}

/// A proxy in front of one address. When it is dropped, its connections are closed.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    target: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    mode: Mode,
    /// Absent while connections are refused.
    listener: Option<TcpListener>,
    /// Both ends of each open connection, by a number of its own.
    links: HashMap<u64, [TcpStream; 2]>,
    next_link: u64,
    /// Reads whose bytes are held back.
    held: usize,
    /// Answers that were broken off.
    broken: usize,
    dropped: bool,
}

/// From the client to the server, or back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// One direction of a connection.
struct Pump {
    shared: Arc<Shared>,
    link: u64,
    from: TcpStream,
    to: TcpStream,
    direction: Direction,
    /// Bytes that the client has sent.
    sent: Arc<AtomicUsize>,
    /// Whether bytes went up since the last that came down: the next are a new answer.
    asked: Arc<AtomicBool>,
}

impl Proxy {
    /// A proxy in front of this address, that lets everything through.
    ///
    /// # Panics
    /// When there is no port to listen on.
    pub fn to(target: SocketAddr) -> Self {
        let address = unused_port();
        let shared = Arc::new(Shared {
            address,
            target,
            state: Mutex::new(State {
                mode: Mode::Pass,
                listener: Some(listen(address)),
                links: HashMap::new(),
                next_link: 0,
                held: 0,
                broken: 0,
                dropped: false,
            }),
            changed: Condvar::new(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&accepting));
        Self { address, shared }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of the bytes. When it returns, the change has happened.
    pub fn set(&self, mode: Mode) {
        let mut state = self.shared.state();
        state.mode = mode;
        if matches!(mode, Mode::Refuse | Mode::Cut) {
            state.listener = None;
        } else if state.listener.is_none() {
            state.listener = Some(listen(self.shared.address));
        }
        if matches!(mode, Mode::Cut | Mode::Reset) {
            state.close_links();
        }
        self.shared.changed.notify_all();
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        self.shared.state().links.len()
    }

    /// How many answers were broken off so far ([`Mode::BreakAfter`]).
    pub fn broken(&self) -> usize {
        self.shared.state().broken
    }

    /// In how many directions of connections bytes have come that are held back.
    pub fn held(&self) -> usize {
        self.shared.state().held
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.dropped = true;
        state.listener = None;
        state.close_links();
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and the state is whole at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the other half of a connection and starts to move bytes.
    fn link(self: &Arc<Self>, client: TcpStream) -> std::io::Result<()> {
        client.set_nonblocking(false)?;
        if self.state().mode == Mode::Reset {
            // The kernel resets a connection that is closed with octets nobody has read.
            client.set_read_timeout(Some(PATIENCE))?;
            return client.peek(&mut [0]).map(drop);
        }
        let server = TcpStream::connect_timeout(&self.target, PATIENCE)?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ends = [client.try_clone()?, server.try_clone()?];
        let mut state = self.state();
        if state.dropped || matches!(state.mode, Mode::Cut | Mode::Reset) {
            return Ok(());
        }
        let link = state.next_link;
        state.next_link += 1;
        state.links.insert(link, ends);
        drop(state);
        let (sent, asked) = (Arc::default(), Arc::default());
        let up = Pump {
            shared: Arc::clone(self),
            link,
            from: client.try_clone()?,
            to: server.try_clone()?,
            direction: Direction::Up,
            sent: Arc::clone(&sent),
            asked: Arc::clone(&asked),
        };
        let down = Pump {
            shared: Arc::clone(self),
            link,
            from: server,
            to: client,
            direction: Direction::Down,
            sent,
            asked,
        };
        thread::spawn(move || up.run(Pump::carry_up));
        thread::spawn(move || down.run(Pump::carry_down));
        Ok(())
    }

    /// Waits while no byte may go through in this direction of a connection whose client has
    /// sent so many.
    fn wait_while_held(&self, direction: Direction, sent: usize) {
        let mut state = self.state();
        state.held += 1;
        let mut state = self
            .changed
            .wait_while(state, |state| {
                state.holds(direction, sent) && !state.dropped
            })
            // As in `state`.
            .unwrap_or_else(PoisonError::into_inner);
        state.held -= 1;
    }

    /// Waits as long as an answer has to, at most until the mode changes.
    fn delay_answer(&self) {
        let state = self.state();
        if let Mode::Slow(delay) = state.mode {
            drop(self.changed.wait_timeout_while(state, delay, |state| {
                state.mode == Mode::Slow(delay) && !state.dropped
            }));
        }
    }

    /// How many bytes of an answer that begins now go through.
    fn answer_max(&self) -> usize {
        match self.state().mode {
            Mode::BreakAfter(bytes) => bytes,
            _ => usize::MAX,
        }
    }

    fn close(&self, link: u64) {
        if let Some(ends) = self.state().links.remove(&link) {
            shut(&ends);
        }
    }
}

impl State {
    fn holds(&self, direction: Direction, sent: usize) -> bool {
        match self.mode {
            Mode::Hang => true,
            Mode::HangAfter(bytes) => sent >= bytes,
            Mode::MuteAfter(bytes) => direction == Direction::Down && sent >= bytes,
            _ => false,
        }
    }

    fn close_links(&mut self) {
        for (_, ends) in self.links.drain() {
            shut(&ends);
        }
    }
}

impl Pump {
    fn run(mut self, carry: fn(&mut Self) -> std::io::Result<()>) {
        // An error means that one end is gone, which the other end now sees.
        let _ = carry(&mut self);
        self.shared.close(self.link);
    }

    fn wait_while_held(&self) {
        let sent = self.sent.load(Ordering::SeqCst);
        self.shared.wait_while_held(self.direction, sent);
    }

    fn carry_up(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let length = self.from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            self.wait_while_held();
            self.asked.store(true, Ordering::SeqCst);
            // Before the server can answer them.
            self.sent.fetch_add(length, Ordering::SeqCst);
            self.to.write_all(&buffer[..length])?;
        }
    }

    fn carry_down(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        let (mut answered, mut answer_max) = (0, usize::MAX);
        loop {
            let length = self.from.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            if self.asked.swap(false, Ordering::SeqCst) {
                self.shared.delay_answer();
                // What an answer began with holds to its end.
                (answered, answer_max) = (0, self.shared.answer_max());
            }
            self.wait_while_held();
            let allowed = answer_max.saturating_sub(answered);
            self.to.write_all(&buffer[..length.min(allowed)])?;
            if length >= allowed {
                self.shared.state().broken += 1;
                return Ok(());
            }
            answered += length;
        }
    }
}

fn accept(shared: &Arc<Shared>) {
    loop {
        let accepted = {
            let state = shared.state();
            if state.dropped {
                return;
            }
            state.listener.as_ref().map(TcpListener::accept)
        };
        if let Some(Ok((client, _))) = accepted {
            let shared = Arc::clone(shared);
            // Connecting may take its time; a client whose other half is missing is dropped.
            thread::spawn(move || shared.link(client));
        } else {
            thread::sleep(ACCEPT_INTERVAL);
        }
    }
}

fn listen(address: SocketAddr) -> TcpListener {
    let begin = Instant::now();
    let listener = loop {
        match TcpListener::bind(address) {
            // A process that another thread has just forked holds our sockets, those that
            // are closed already as well, until it becomes another program.
            Err(error) if error.kind() == ErrorKind::AddrInUse && begin.elapsed() < PATIENCE => {
                thread::sleep(ACCEPT_INTERVAL);
            }
            bound => break bound.expect("the port is our own"),
        }
    };
    listener
        .set_nonblocking(true)
        .expect("a listener can be made not to block");
    listener
}

fn shut(ends: &[TcpStream; 2]) {
    for end in ends {
        // The other side may have closed it before.
        let _ = end.shutdown(Shutdown::Both);
    }
}
