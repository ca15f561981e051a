//! A connection's task of a server process: the core's `Connection`, with a socket whose
//! octets come and go in pieces and an inbox for what its account says.

use crate::account::Mail;
use crate::world::{Event, SECOND, World};
use restante_core::account::{AccountReply, Snapshot};
use restante_core::boundary::{Input, Login, LoginError, Output};
use restante_core::imap::{Connection, Peer};
use restante_core::storage::RequestId;
use restante_core::time::Instant;
use std::collections::VecDeque;
use std::sync::Arc;

/// A connection's task.
pub(crate) struct Line {
    machine: Connection,
    pub(crate) client: usize,
    pub(crate) session: u64,
    pub(crate) deadline: Option<Instant>,
    receive: usize,
    attached: bool,
    closing: bool,
    /// Received and not taken yet.
    incoming: VecDeque<u8>,
    ended: bool,
    inbox: VecDeque<AccountReply>,
    /// When the last octets reach the client, and the last reply this connection.
    pub(crate) sent: u64,
    pub(crate) replied: u64,
    turn_due: bool,
}

impl World {
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
            self.attach(process, connection);
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

    pub(crate) fn line_input<'a>(
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
                        let at = self.world_time(process, at);
                        self.at(at, Event::Wake(process, life, connection));
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
