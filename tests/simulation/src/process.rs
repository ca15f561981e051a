//! A server process: the real machines of the core, and the little that a driver does
//! around them. Between its tasks messages keep their order; when each comes is chance.

use crate::chance::Chance;
use crate::garage::{Caller, describe};
use crate::post::Post;
use crate::world::{Event, SECOND, World};
use restante_core::account::{
    Account, AccountInput, AccountOutput, AccountReply, AccountRequest, ConnectionId, Snapshot,
    Writers,
};
use restante_core::boundary::{Input, Login, LoginError, Output};
use restante_core::imap::{Connection, Peer};
use restante_core::mailbox::MailboxId;
use restante_core::storage::{RequestId, StorageRequest, StorageResponse};
use restante_core::time::{Instant, Now};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// 2026-09, when all clocks were right.
const EPOCH_MS: i64 = 1_790_000_000_000;
/// How long an account machine stays without connections.
const LINGER_US: u64 = 10 * SECOND;

/// One server.
pub(crate) struct Process {
    pub(crate) up: bool,
    pub(crate) life: u64,
    /// How far its clock is off, in milliseconds.
    pub(crate) offset_ms: i64,
    pub(crate) account: Option<Task>,
    /// As whom it has written, for the next machine.
    writers: Writers,
    pub(crate) connections: BTreeMap<u64, Line>,
    pub(crate) post: Post,
    /// The last machine's number.
    machines: u64,
    /// When the last message to the account arrives.
    account_mail: u64,
    /// It stops as soon as everybody is done.
    stopping: bool,
}

/// An account's task.
pub(crate) struct Task {
    machine: Account,
    number: u64,
    deadline: Option<Instant>,
    /// Connections that use it.
    attached: usize,
    unused_since: Option<u64>,
    ending: bool,
    /// What came while it ends.
    later: VecDeque<Mail>,
}

/// A message to an account's task.
#[derive(Debug)]
pub(crate) enum Mail {
    Attach,
    Request(u64, AccountRequest),
    Detach(u64),
    /// Another server has written there.
    Rung(Option<MailboxId>),
    /// Another server may have written anywhere.
    RungAll,
}

/// A connection's task.
pub(crate) struct Line {
    machine: Connection,
    pub(crate) client: usize,
    pub(crate) session: u64,
    deadline: Option<Instant>,
    receive: usize,
    attached: bool,
    closing: bool,
    /// Received and not taken yet.
    incoming: VecDeque<u8>,
    ended: bool,
    inbox: VecDeque<AccountReply>,
    /// When the last octets reach the client, and the last reply this connection.
    sent: u64,
    replied: u64,
    turn_due: bool,
}

impl Process {
    pub(crate) fn new(chance: &mut Chance) -> Self {
        let hour = 3_600_000_i64;
        let offset_ms = match chance.below(3) {
            0 => 0,
            1 => chance.below(10_000) as i64 - 5_000,
            _ => chance.below(12 * hour as u64) as i64 - 6 * hour,
        };
        Self {
            up: true,
            life: 0,
            offset_ms,
            account: None,
            writers: Writers::default(),
            connections: BTreeMap::new(),
            post: Post::default(),
            machines: 0,
            account_mail: 0,
            stopping: false,
        }
    }

    /// Whether messages may come.
    pub(crate) fn accepts(&self) -> bool {
        self.up && !self.stopping
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.machines += 1;
        self.machines
    }
}

impl World {
    pub(crate) fn time(&self, process: usize) -> Now {
        let unix = EPOCH_MS + (self.now / 1_000) as i64 + self.processes[process].offset_ms;
        Now {
            instant: Instant(self.now),
            unix_ms: u64::try_from(unix).unwrap_or(0),
        }
    }

    /// The server dies where it stands.
    pub(crate) fn crash(&mut self, process: usize) {
        self.note(format_args!("server {process} dies"));
        self.end_process(process);
        let at = self.now + self.chance.between(1, 5 * SECOND);
        let life = self.processes[process].life;
        self.at(at, Event::Start(process, life));
    }

    fn end_process(&mut self, process: usize) {
        let it = &mut self.processes[process];
        it.up = false;
        it.life += 1;
        it.account = None;
        it.post = Post::default();
        it.writers = Writers::default();
        it.stopping = false;
        let lines = core::mem::take(&mut it.connections);
        self.garage.forget_server(process);
        for line in lines.into_values() {
            let at = line.sent.max(self.soon());
            self.at(at, Event::ToClient(line.client, line.session, Vec::new()));
        }
    }

    pub(crate) fn start(&mut self, process: usize) {
        self.note(format_args!("server {process} starts"));
        self.processes[process].up = true;
    }

    /// The server is asked to stop, and starts again.
    pub(crate) fn shut_down(&mut self, process: usize) {
        if !self.processes[process].up {
            return;
        }
        self.note(format_args!("server {process} shuts down"));
        self.processes[process].stopping = true;
        let lines: Vec<u64> = self.processes[process]
            .connections
            .keys()
            .copied()
            .collect();
        for line in lines {
            self.line_input(process, line, |_| Input::Shutdown);
        }
        // Whoever is not done by then is cut off.
        let (life, limit) = (self.processes[process].life, 5 * SECOND);
        let at = self.now + self.chance.between(SECOND / 100, limit);
        self.at(at, Event::Wake(process, life, 0));
    }

    /// Hours are seconds where days are minutes.
    pub(crate) fn clock_offset(&self, offset_ms: i64) -> i64 {
        match self.collects {
            true => offset_ms / 3_600,
            false => offset_ms,
        }
    }

    pub(crate) fn jump_clock(&mut self, process: usize) {
        let hours = self.chance.below(10) as i64 - 5;
        let offset = hours * 3_600_000 + self.chance.below(60_000) as i64;
        let offset = self.clock_offset(offset);
        self.processes[process].offset_ms = offset;
        self.note(format_args!(
            "the clock of server {process} is {offset} ms off"
        ));
    }

    /// A client connects; the number of its connection.
    pub(crate) fn accept(&mut self, process: usize, client: usize, session: u64) -> u64 {
        let now = self.time(process);
        let peer = Peer {
            loopback: true,
            tls: false,
        };
        let machine = Connection::new(Arc::clone(&self.config), self.chance.seed(), now, peer);
        let number = self.processes[process].number();
        let line = Line {
            machine,
            client,
            session,
            deadline: None,
            receive: 0,
            attached: false,
            closing: false,
            incoming: VecDeque::new(),
            ended: false,
            inbox: VecDeque::new(),
            sent: 0,
            replied: 0,
            turn_due: false,
        };
        self.processes[process].connections.insert(number, line);
        self.drain_line(process, number);
        number
    }

    /// A deadline of a machine may have come; machine 0 is the process itself.
    pub(crate) fn wake(&mut self, process: usize, machine: u64) {
        let instant = Instant(self.now);
        if machine == 0 {
            if self.processes[process].stopping {
                self.note(format_args!("server {process} stops"));
                self.end_process(process);
                self.start(process);
            }
            return;
        }
        let due = |deadline: Option<Instant>| deadline.is_some_and(|at| at <= instant);
        if let Some(line) = self.processes[process].connections.get(&machine) {
            if due(line.deadline) {
                self.line_input(process, machine, |_| Input::Timeout);
            }
            return;
        }
        let Some(task) = &self.processes[process].account else {
            return self.wake_delivery(process, machine);
        };
        if task.number != machine {
            return self.wake_delivery(process, machine);
        }
        if due(task.deadline) {
            self.account_input(process, AccountInput::Timeout);
        }
        let now = self.now;
        let Some(task) = &mut self.processes[process].account else {
            return;
        };
        let unused = task
            .unused_since
            .is_some_and(|since| since + LINGER_US <= now);
        if unused && !task.ending {
            task.ending = true;
            self.account_input(process, AccountInput::Shutdown);
        }
    }

    /// An answer of storage reaches a machine.
    pub(crate) fn storage_answer(&mut self, caller: Caller, response: StorageResponse) {
        let Caller {
            process,
            machine,
            request,
            ..
        } = caller;
        let failed = match &response {
            StorageResponse::Failed(error) => error.to_string(),
            StorageResponse::Range { items, next } => {
                format!("{} items, next {next:?}", items.len())
            }
            _ => "done".to_owned(),
        };
        self.note(format_args!("{process}/{machine} #{}: {failed}", request.0));
        if self.processes[process].connections.contains_key(&machine) {
            self.line_input(process, machine, |_| Input::Storage(request, response));
            return;
        }
        let account = &self.processes[process].account;
        if account.as_ref().is_some_and(|task| task.number == machine) {
            self.account_input(process, AccountInput::Storage(request, response));
            return;
        }
        self.delivery_answer(process, machine, request, response);
    }

    pub(crate) fn ask_storage(
        &mut self,
        process: usize,
        machine: u64,
        id: RequestId,
        wanted: StorageRequest,
    ) {
        let caller = self.caller(process, machine, id);
        self.note(format_args!(
            "{process}/{machine} #{}: {}",
            id.0,
            describe(&wanted)
        ));
        let deeds = self
            .garage
            .request(self.now, &mut self.chance, caller, wanted);
        self.schedule(deeds);
    }

    pub(crate) fn caller(&self, process: usize, machine: u64, request: RequestId) -> Caller {
        let life = self.processes[process].life;
        Caller {
            process,
            life,
            machine,
            request,
        }
    }

    // The account.

    /// Sends a message to the account's task.
    pub(crate) fn mail(&mut self, process: usize, mail: Mail) {
        let at = self.soon().max(self.processes[process].account_mail);
        let it = &mut self.processes[process];
        it.account_mail = at;
        let life = it.life;
        self.at(at, Event::ToAccount(process, life, mail));
    }

    pub(crate) fn account_mail(&mut self, process: usize, mail: Mail) {
        let rung = matches!(mail, Mail::Rung(_) | Mail::RungAll);
        if self.processes[process].account.is_none() {
            if rung {
                return;
            }
            let (now, number) = (self.time(process), self.processes[process].number());
            let (config, keys) = (Arc::clone(&self.config), Arc::clone(&self.keys));
            let machine = Account::new(config, keys, self.chance.seed(), now);
            let writers = core::mem::take(&mut self.processes[process].writers);
            let machine = machine.with_writers(writers);
            self.processes[process].account = Some(Task {
                machine,
                number,
                deadline: None,
                attached: 0,
                unused_since: None,
                ending: false,
                later: VecDeque::new(),
            });
        }
        let life = self.processes[process].life;
        let Some(task) = &mut self.processes[process].account else {
            return;
        };
        if task.ending {
            return task.later.push_back(mail);
        }
        match mail {
            Mail::Attach => {
                task.attached += 1;
                task.unused_since = None;
            }
            Mail::Request(connection, request) => {
                let connection = ConnectionId(connection);
                self.account_input(process, AccountInput::Request(connection, request));
            }
            Mail::Detach(connection) => {
                task.attached -= 1;
                let number = task.number;
                if task.attached == 0 {
                    task.unused_since = Some(self.now);
                    let at = self.now + LINGER_US;
                    self.at(at, Event::Wake(process, life, number));
                }
                self.account_input(process, AccountInput::Detach(ConnectionId(connection)));
            }
            Mail::Rung(log) => self.account_input(process, AccountInput::Rung(log)),
            Mail::RungAll => self.account_input(process, AccountInput::RungAll),
        }
    }

    /// The other servers hear of a change, some later than others, some not at all.
    pub(crate) fn ring(&mut self, process: usize, log: Option<MailboxId>) {
        for other in 0..self.processes.len() {
            if other == process || self.chance.permille(self.garage.weather.lost * 4) {
                continue;
            }
            let mail = match self.chance.permille(50) {
                true => Mail::RungAll,
                false => Mail::Rung(log),
            };
            let late = self.garage.weather.delay(&mut self.chance);
            let (at, life) = (self.now + late, self.processes[other].life);
            self.at(at, Event::ToAccount(other, life, mail));
        }
    }

    fn account_input(&mut self, process: usize, input: AccountInput) {
        let now = self.time(process);
        let Some(task) = &mut self.processes[process].account else {
            return;
        };
        task.machine.handle_input(now, input);
        loop {
            let Some(task) = &mut self.processes[process].account else {
                return;
            };
            let number = task.number;
            match task.machine.poll_output() {
                AccountOutput::Storage(id, wanted) => {
                    self.ask_storage(process, number, id, wanted);
                }
                AccountOutput::Abandon(id) => {
                    let caller = self.caller(process, number, id);
                    self.garage.abandon(caller);
                }
                AccountOutput::Reply(connection, reply) => {
                    self.reply(process, connection.0, reply);
                }
                AccountOutput::Event(event) => {
                    if let restante_core::boundary::Event::Swept(report) = &event {
                        self.collected += report.deleted();
                    }
                    self.note(format_args!("{process}/{number}: {event:?}"));
                }
                AccountOutput::Ring(log) => self.ring(process, log),
                AccountOutput::Wait { deadline } => {
                    return self.set_account_deadline(process, deadline);
                }
                AccountOutput::Done => return self.account_done(process),
            }
        }
    }

    fn set_account_deadline(&mut self, process: usize, deadline: Option<Instant>) {
        let life = self.processes[process].life;
        let Some(task) = &mut self.processes[process].account else {
            return;
        };
        let number = task.number;
        if deadline != task.deadline {
            task.deadline = deadline;
            if let Some(at) = deadline {
                let late = self.chance.below(1_000);
                self.at(at.0 + late, Event::Wake(process, life, number));
            }
        }
    }

    fn account_done(&mut self, process: usize) {
        let Some(mut task) = self.processes[process].account.take() else {
            return;
        };
        self.processes[process].writers = task.machine.take_writers();
        self.garage.forget_machine(process, task.number);
        for mail in task.later {
            self.account_mail(process, mail);
        }
    }

    fn reply(&mut self, process: usize, connection: u64, reply: AccountReply) {
        let soon = self.soon();
        let it = &mut self.processes[process];
        let Some(line) = it.connections.get_mut(&connection) else {
            return;
        };
        line.replied = line.replied.max(soon);
        let (at, life) = (line.replied, it.life);
        self.at(at, Event::ToConnection(process, life, connection, reply));
    }

    // A connection.

    /// Of states that follow each other only the last one stays.
    pub(crate) fn put_into_inbox(&mut self, process: usize, connection: u64, reply: AccountReply) {
        let soon = self.soon();
        let it = &mut self.processes[process];
        let Some(line) = it.connections.get_mut(&connection) else {
            return;
        };
        match (line.inbox.back_mut(), reply) {
            (Some(AccountReply::Changed(older)), AccountReply::Changed(newer)) => {
                let recent = [older.recent_from, newer.recent_from];
                *older = Snapshot {
                    recent_from: recent.into_iter().flatten().min(),
                    ..newer
                };
            }
            (_, reply) => line.inbox.push_back(reply),
        }
        let life = it.life;
        self.at(soon, Event::Inbox(process, life, connection));
    }

    pub(crate) fn look_into_inbox(&mut self, process: usize, connection: u64) {
        loop {
            let line = self.processes[process].connections.get_mut(&connection);
            let Some(reply) = line.and_then(|line| line.inbox.pop_front()) else {
                return;
            };
            self.observe(process, connection, &reply);
            self.line_input(process, connection, |_| Input::Account(reply));
        }
    }

    pub(crate) fn derived(&mut self, process: usize, connection: u64, id: RequestId, right: bool) {
        let keys = Arc::clone(&self.keys);
        let result = match right {
            true => Ok(Login { keys }),
            false => Err(LoginError::Unavailable),
        };
        let Some(line) = self.processes[process].connections.get_mut(&connection) else {
            return;
        };
        if right && !line.attached {
            line.attached = true;
            self.mail(process, Mail::Attach);
        }
        self.line_input(process, connection, |_| Input::Derived(id, result));
    }

    pub(crate) fn receive(&mut self, process: usize, connection: u64, octets: Vec<u8>) {
        if let Some(line) = self.processes[process].connections.get_mut(&connection) {
            line.ended |= octets.is_empty();
            line.incoming.extend(octets);
            self.turn(process, connection);
        }
    }

    fn line_input<'a>(
        &mut self,
        process: usize,
        connection: u64,
        input: impl FnOnce(&mut Line) -> Input<'a>,
    ) {
        let now = self.time(process);
        let Some(line) = self.processes[process].connections.get_mut(&connection) else {
            return;
        };
        if line.closing {
            return;
        }
        let input = input(line);
        line.machine.handle_input(now, input);
        self.drain_line(process, connection);
    }

    /// Does what the connection says, up to where it waits.
    fn drain_line(&mut self, process: usize, connection: u64) {
        loop {
            let Some(line) = self.processes[process].connections.get_mut(&connection) else {
                return;
            };
            match line.machine.poll_output() {
                Output::Storage(id, wanted) => self.ask_storage(process, connection, id, wanted),
                Output::Derive(id, _) => {
                    let life = self.processes[process].life;
                    let at = self.now + self.chance.between(1_000, SECOND);
                    let right = !self.chance.permille(10);
                    self.at(at, Event::Derived(process, life, connection, id, right));
                }
                Output::Account(request) => self.mail(process, Mail::Request(connection, request)),
                Output::StartTls => self.blame("TLS was not asked for".to_owned()),
                Output::Post(..) => self.blame("IMAP asks what only LMTP may".to_owned()),
                Output::Abandon(id) => {
                    let caller = self.caller(process, connection, id);
                    self.garage.abandon(caller);
                }
                Output::Event(event) => {
                    self.note(format_args!("{process}/{connection}: {event:?}"));
                }
                Output::Wait(wait) => {
                    line.receive = wait.receive;
                    let deadline = wait.deadline.map(|(at, _)| at);
                    let new = deadline != line.deadline;
                    line.deadline = deadline;
                    if let Some(at) = deadline.filter(|_| new) {
                        let life = self.processes[process].life;
                        self.at(at.0, Event::Wake(process, life, connection));
                    }
                    break;
                }
                Output::Close => {
                    line.closing = true;
                    line.deadline = None;
                    if core::mem::take(&mut line.attached) {
                        self.mail(process, Mail::Detach(connection));
                    }
                    break;
                }
            }
        }
        self.want_turn(process, connection);
    }

    fn want_turn(&mut self, process: usize, connection: u64) {
        let soon = self.soon();
        let max = self.config.transmit_bytes_max + self.config.line_bytes_max;
        let it = &mut self.processes[process];
        let life = it.life;
        let Some(line) = it.connections.get_mut(&connection) else {
            return;
        };
        let held = line.machine.transmit().len();
        let takes = line.receive > 0 && (!line.incoming.is_empty() || line.ended);
        if (held > 0 || takes || line.closing) && !line.turn_due {
            line.turn_due = true;
            self.at(soon, Event::Turn(process, life, connection));
        }
        if held > max {
            self.blame(format!("{held} octets are held for a client"));
        }
    }

    /// The socket's turn: some octets go out, or some come in.
    pub(crate) fn turn(&mut self, process: usize, connection: u64) {
        let now = self.time(process);
        let (soon, whole, part) = (self.soon(), self.chance.permille(800), self.chance.bits());
        let piece = |len: usize| match whole {
            true => len,
            false => 1 + usize::try_from(part % len as u64).unwrap_or(0),
        };
        let it = &mut self.processes[process];
        let Some(line) = it.connections.get_mut(&connection) else {
            return;
        };
        line.turn_due = false;
        let held = line.machine.transmit().len();
        if held > 0 {
            let count = piece(held);
            let octets = line.machine.transmit()[..count].to_vec();
            line.sent = line.sent.max(soon);
            let (at, client, session) = (line.sent, line.client, line.session);
            line.machine.handle_input(now, Input::Transmitted(count));
            self.at(at, Event::ToClient(client, session, octets));
            return match self.processes[process].connections[&connection].closing {
                true => self.want_turn(process, connection),
                false => self.drain_line(process, connection),
            };
        }
        if line.closing {
            return self.close(process, connection);
        }
        let room = line.receive.min(line.incoming.len());
        if room > 0 {
            let count = piece(room);
            let octets: Vec<u8> = line.incoming.drain(..count).collect();
            line.machine.handle_input(now, Input::Received(&octets));
            return self.drain_line(process, connection);
        }
        if line.ended && line.receive > 0 {
            line.ended = false;
            line.machine.handle_input(now, Input::Eof);
            self.drain_line(process, connection);
        }
    }

    fn close(&mut self, process: usize, connection: u64) {
        let Some(line) = self.processes[process].connections.remove(&connection) else {
            return;
        };
        self.garage.forget_machine(process, connection);
        let at = line.sent.max(self.soon());
        self.at(at, Event::ToClient(line.client, line.session, Vec::new()));
    }

    /// The client's side of a connection is gone without a word.
    pub(crate) fn cut(&mut self, process: usize, connection: u64) {
        if let Some(line) = self.processes[process].connections.remove(&connection) {
            self.garage.forget_machine(process, connection);
            if line.attached {
                self.mail(process, Mail::Detach(connection));
            }
        }
    }
}
