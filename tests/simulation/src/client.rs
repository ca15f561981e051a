//! A scripted client: connects, says something, waits for the answer, goes on. It keeps
//! what it was told and finds out when that cannot be true.

use crate::answers::{self, Answer};
use crate::audit::Audit;
use crate::cache::{Caches, Silent, take_out};
use crate::device::Device;
use crate::onlooker::Onlooker;
use crate::script::Command;
use crate::searching::Found;
use crate::world::{Event, SECOND, World};

/// UIDs of one VANISHED that are looked at.
const VANISHED_MAX: usize = 10_000;

/// One client.
pub(crate) struct Client {
    pub(crate) device: Device,
    pub(crate) session: Option<Session>,
    /// Counts sessions: what comes for an older one is nobody's.
    pub(crate) number: u64,
    tags: u64,
    /// The server that it mostly uses.
    home: usize,
    /// It uses QRESYNC.
    pub(crate) caches: Option<Caches>,
    /// It only looks how mailboxes stand.
    pub(crate) onlooker: Option<Onlooker>,
    /// It does not act by chance but looks at everything.
    pub(crate) audit: Option<Audit>,
}

/// One connection.
pub(crate) struct Session {
    pub(crate) process: usize,
    pub(crate) life: u64,
    pub(crate) connection: u64,
    received: Vec<u8>,
    pub(crate) logged_in: bool,
    /// ENABLE QRESYNC was answered.
    pub(crate) enabled: bool,
    pub(crate) pending: Option<Pending>,
    pub(crate) view: Option<View>,
    /// When the last octets arrive at the server.
    sent: u64,
    /// The server said BYE.
    bye: bool,
}

/// A command that is not answered yet.
pub(crate) struct Pending {
    pub(crate) tag: String,
    pub(crate) command: Command,
    pub(crate) asked: u64,
    /// To be sent when the server says that it may.
    pub(crate) rest: Option<Vec<u8>>,
    /// A STORE that is not told what it did.
    pub(crate) silent: Option<Silent>,
    /// Messages that the server said are gone, since it was asked.
    pub(crate) expunged: Vec<u32>,
    /// What COPYUID said ahead of the end (RFC 6851 §4.3).
    pub(crate) copied: Option<String>,
    /// It names messages by UID.
    pub(crate) by_uid: bool,
    /// What LIST or LSUB names.
    pub(crate) names: Vec<String>,
    /// What SEARCH found.
    pub(crate) found: Option<Found>,
    /// DONE was sent, which is said once.
    pub(crate) done: bool,
}

/// The selected mailbox as the client knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) name: String,
    pub(crate) read_only: bool,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    /// By sequence number.
    pub(crate) messages: Vec<Seen>,
    /// All messages were asked for once.
    pub(crate) listed: bool,
    /// When SELECT was sent.
    pub(crate) selected: u64,
}

/// A message as the client knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) uid: Option<u32>,
    pub(crate) mail: Option<usize>,
    pub(crate) flags: Option<Vec<String>>,
    pub(crate) date: Option<String>,
    pub(crate) modseq: Option<u64>,
}

impl Client {
    pub(crate) fn new(home: usize, caches: Option<Caches>) -> Self {
        Self {
            home,
            caches,
            onlooker: None,
            device: Device::default(),
            session: None,
            number: 0,
            tags: 0,
            audit: None,
        }
    }

    /// One that looks on at a server.
    pub(crate) fn onlooker(home: usize, caches: Option<Caches>) -> Self {
        Self {
            onlooker: Some(Onlooker::default()),
            ..Self::new(home, caches)
        }
    }
}

impl World {
    /// Something for a client to do: connect, or say the next thing.
    pub(crate) fn act(&mut self, client: usize, number: u64) {
        if self.clients[client].number != number {
            return;
        }
        match &self.clients[client].session {
            None => self.connect(client),
            Some(session) if session.pending.is_some() => self.while_waiting(client),
            Some(_) => self.next_command(client),
        }
    }

    fn connect(&mut self, client: usize) {
        if !self.busy && self.clients[client].audit.is_none() {
            return;
        }
        let process = match &self.clients[client].audit {
            Some(audit) => audit.process,
            None if self.chance.permille(700) => self.clients[client].home,
            None => self.chance.index(self.processes.len()),
        };
        self.clients[client].number += 1;
        let number = self.clients[client].number;
        if !self.processes[process].up || self.stands_still(process) {
            let at = self.now + self.chance.between(SECOND / 10, 3 * SECOND);
            return self.at(at, Event::Act(client, number));
        }
        let connection = self.accept(process, client, number);
        self.note(format_args!(
            "client {client} connects to {process}/{connection}"
        ));
        self.clients[client].session = Some(Session {
            process,
            life: self.processes[process].life,
            connection,
            received: Vec::new(),
            logged_in: false,
            enabled: false,
            pending: None,
            view: None,
            sent: 0,
            bye: false,
        });
    }

    /// Sends a command.
    pub(crate) fn say(
        &mut self,
        client: usize,
        command: Command,
        octets: Vec<u8>,
        rest: Option<Vec<u8>>,
    ) {
        self.clients[client].tags += 1;
        let tag = format!("t{}", self.clients[client].tags);
        let line = octets
            .split(|octet| *octet == b'\r')
            .next()
            .unwrap_or_default();
        let line = String::from_utf8_lossy(line).into_owned();
        self.note(format_args!("client {client}: {tag} {line}"));
        let mut all = format!("{tag} ").into_bytes();
        let by_uid = octets.starts_with(b"UID ");
        all.extend(octets);
        let asked = self.now;
        if let Some(session) = &mut self.clients[client].session {
            session.pending = Some(Pending {
                tag,
                command,
                asked,
                rest,
                silent: None,
                expunged: Vec::new(),
                copied: None,
                by_uid,
                names: Vec::new(),
                found: None,
                done: false,
            });
        }
        self.send(client, all);
    }

    /// Octets go to the server, in pieces.
    pub(crate) fn send(&mut self, client: usize, mut octets: Vec<u8>) {
        while !octets.is_empty() {
            let count = match self.chance.permille(700) {
                true => octets.len(),
                false => 1 + self.chance.index(octets.len()),
            };
            let rest = octets.split_off(count);
            let soon = self.soon();
            let Some(session) = &mut self.clients[client].session else {
                return;
            };
            session.sent = session.sent.max(soon);
            let (at, process, life, connection) = (
                session.sent,
                session.process,
                session.life,
                session.connection,
            );
            self.at(at, Event::FromClient(process, life, connection, octets));
            octets = rest;
        }
    }

    /// The client goes away without a word, or its last one.
    pub(crate) fn hang_up(&mut self, client: usize, politely: bool) {
        let Some(session) = &self.clients[client].session else {
            return;
        };
        let (at, process, life, connection) = (
            session.sent.max(self.now + 1),
            session.process,
            session.life,
            session.connection,
        );
        if politely {
            self.at(at, Event::FromClient(process, life, connection, Vec::new()));
        } else if self.processes[process].life == life {
            self.cut(process, connection);
        }
        self.session_ends(client);
    }

    /// What comes from the server; nothing: the end.
    pub(crate) fn hear(&mut self, client: usize, number: u64, octets: &[u8]) {
        if self.clients[client].number != number {
            return;
        }
        let Some(session) = &mut self.clients[client].session else {
            return;
        };
        if octets.is_empty() {
            return self.session_ends(client);
        }
        session.received.extend_from_slice(octets);
        while let Some(session) = &mut self.clients[client].session {
            let Some(answer) = answers::take(&mut session.received) else {
                return;
            };
            self.take_answer(client, answer);
        }
    }

    /// The connection is no more; what was asked may have been done or not.
    fn session_ends(&mut self, client: usize) {
        let Some(session) = self.clients[client].session.take() else {
            return;
        };
        self.note(format_args!("client {client} has no connection any more"));
        if let Some(caches) = &mut self.clients[client].caches {
            caches.cut();
        }
        if let Some(pending) = &session.pending {
            self.unanswered(client, &session, pending);
        }
        self.clients[client].number += 1;
        let number = self.clients[client].number;
        let at = self.now + self.chance.between(1_000, 5 * SECOND);
        self.at(at, Event::Act(client, number));
    }

    fn take_answer(&mut self, client: usize, answer: Answer) {
        let Some(session) = &mut self.clients[client].session else {
            return;
        };
        let result = match answer {
            Answer::Exists(count) => session.exists(count),
            Answer::Expunge(number) => self.expunged(client, number),
            Answer::Vanished(ranges, earlier) => self.vanished(client, &ranges, earlier),
            Answer::Fetch(fetched) => self.fetched(client, fetched),
            Answer::Status(code) => self.status(client, &code),
            Answer::Bye => {
                session.bye = true;
                Ok(())
            }
            Answer::Continue => {
                let rest = session
                    .pending
                    .as_mut()
                    .and_then(|pending| pending.rest.take());
                match rest {
                    Some(rest) => {
                        self.send(client, rest);
                        Ok(())
                    }
                    None => self.may_idle(client),
                }
            }
            Answer::List(name) => {
                match &mut session.pending {
                    Some(pending) => pending.names.push(name),
                    None => self.blame("LIST that nobody asked for".to_owned()),
                }
                Ok(())
            }
            Answer::Tagged {
                tag,
                ok,
                bad,
                code,
                line,
            } => {
                self.note(format_args!("client {client} reads: {line}"));
                self.tagged(client, &tag, ok, bad, &code, &line)
            }
            Answer::Flags => {
                let name = session.selecting();
                if let (Some(caches), Some(name)) = (&mut self.clients[client].caches, name) {
                    caches.selecting(&name);
                }
                Ok(())
            }
            Answer::StatusOf(numbers) => self.status_told(client, &numbers),
            Answer::Search(numbers, modseq) => self.found(client, &numbers, modseq),
            Answer::Other => Ok(()),
        };
        if let Err(what) = result {
            self.blame(format!("client {client}: {what}"));
        }
    }

    fn tagged(
        &mut self,
        client: usize,
        tag: &str,
        ok: bool,
        bad: bool,
        code: &str,
        line: &str,
    ) -> Result<(), String> {
        let Some(session) = &mut self.clients[client].session else {
            return Ok(());
        };
        let Some(pending) = session.pending.take_if(|pending| pending.tag == tag) else {
            return Err(format!("an answer to no command: {line}"));
        };
        // A mailbox may have been deleted by others.
        let unselected = line.contains("Select a mailbox first");
        if bad && unselected && session.view.as_ref().is_some_and(View::may_go) {
            session.view = None;
        } else if bad {
            return Err(format!("a right command is called bad: {line}"));
        }
        self.modseq_told(client, code)?;
        self.cache_answered(client, &pending.command, ok)?;
        self.answered(client, pending, ok, code)?;
        let number = self.clients[client].number;
        let at = self.now + self.think(client);
        self.at(at, Event::Act(client, number));
        Ok(())
    }

    fn think(&mut self, client: usize) -> u64 {
        if let Some(wait) = self.onlooker_waits(client) {
            return wait;
        }
        match self.chance.below(10) {
            0 => self.chance.below(20 * SECOND),
            1..4 => self.chance.below(SECOND),
            _ => self.chance.below(10_000),
        }
    }

    fn expunged(&mut self, client: usize, number: u32) -> Result<(), String> {
        let it = &mut self.clients[client];
        let Some(session) = &mut it.session else {
            return Ok(());
        };
        let view = session
            .view
            .as_mut()
            .ok_or("EXPUNGE with nothing selected")?;
        let index = (number as usize).wrapping_sub(1);
        if index >= view.messages.len() {
            return Err(format!("EXPUNGE {number} of {}", view.messages.len()));
        }
        if let Some(uid) = view.messages.remove(index).uid {
            it.device.vanish((view.uid_validity, uid));
            if let Some(pending) = &mut session.pending {
                pending.expunged.push(uid);
            }
        }
        Ok(())
    }

    fn vanished(
        &mut self,
        client: usize,
        ranges: &[(u32, u32)],
        earlier: bool,
    ) -> Result<(), String> {
        let it = &mut self.clients[client];
        let Some(session) = &mut it.session else {
            return Ok(());
        };
        let mut pending = session.pending.as_mut();
        let Some(view) = &mut session.view else {
            return Err("VANISHED with nothing selected".to_owned());
        };
        if let Some(caches) = &mut it.caches {
            caches.vanished(&view.name, ranges);
        }
        let uids = ranges.iter().flat_map(|(from, to)| *from..=*to);
        for uid in uids.take(VANISHED_MAX) {
            it.device.vanish((view.uid_validity, uid));
            if !earlier {
                take_out(&mut view.messages, uid);
                if let Some(pending) = &mut pending {
                    pending.expunged.push(uid);
                }
            }
        }
        Ok(())
    }

    /// `* OK [CODE …]`
    fn status(&mut self, client: usize, code: &str) -> Result<(), String> {
        let it = &mut self.clients[client];
        let Some(session) = &mut it.session else {
            return Ok(());
        };
        if !session.logged_in && session.pending.is_none() {
            // The greeting.
            let (at, number) = (self.now + 100, it.number);
            self.at(at, Event::Act(client, number));
            return Ok(());
        }
        if let Some(pending) = &mut session.pending
            && code.starts_with("COPYUID")
        {
            pending.copied = Some(code.to_owned());
        }
        self.modseq_told(client, code)?;
        let it = &mut self.clients[client];
        let Some(view) = it.session.as_mut().and_then(|it| it.view.as_mut()) else {
            return Ok(());
        };
        let (word, value) = code.split_once(' ').unwrap_or((code, ""));
        match word {
            "UIDVALIDITY" => view.uid_validity = value.parse().unwrap_or(0),
            "UIDNEXT" => view.uid_next = value.parse().unwrap_or(0),
            _ => return Ok(()),
        }
        let (uid_validity, uid_next) = (view.uid_validity, view.uid_next);
        if let (Some(caches), "UIDVALIDITY") = (&mut it.caches, word) {
            caches.uid_validity(&view.name, uid_validity);
        }
        match uid_validity != 0 && uid_next != 0 {
            true => it.device.uid_next(uid_validity, uid_next),
            false => Ok(()),
        }
    }
}

impl World {
    /// A response code, if it is HIGHESTMODSEQ, of a client that goes by it.
    fn modseq_told(&mut self, client: usize, code: &str) -> Result<(), String> {
        let it = &mut self.clients[client];
        let view = it.session.as_ref().and_then(|it| it.view.as_ref());
        let modseq = code.strip_prefix("HIGHESTMODSEQ ");
        let modseq = modseq.and_then(|value| value.parse().ok());
        match (&mut it.caches, view, modseq) {
            (Some(caches), Some(view), Some(modseq)) => {
                it.device.hear(view.uid_validity, modseq, self.now);
                caches.highest_modseq(&view.name, modseq)
            }
            _ => Ok(()),
        }
    }
}

impl View {
    /// Whether the mailbox is one of those that clients delete.
    fn may_go(&self) -> bool {
        self.name.starts_with("SECRET")
    }
}

impl Session {
    /// SELECT begins to answer: what is said from here on is about the new mailbox.
    fn selecting(&mut self) -> Option<String> {
        let pending = self.pending.as_ref()?;
        let Command::Select { name, read_only } = &pending.command else {
            return None;
        };
        self.view = Some(View {
            name: name.clone(),
            read_only: *read_only,
            selected: pending.asked,
            ..View::default()
        });
        Some(name.clone())
    }

    fn exists(&mut self, count: u32) -> Result<(), String> {
        let view = self.view.as_mut().ok_or("EXISTS with nothing selected")?;
        let count = count as usize;
        if count < view.messages.len() {
            return Err(format!(
                "EXISTS {count}, but there were {}",
                view.messages.len()
            ));
        }
        view.messages.resize(count, Seen::default());
        Ok(())
    }
}
