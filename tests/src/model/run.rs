//! A case, from the first word to the comparison of all views.

use super::command::{Command, Item, Known, Section};
use super::explain::{Round, Track, Unexplained, explain};
use super::generate::Case;
use super::set::Set;
use super::wire::{Said, Talk, Wire, take_response};
use super::world::{Session, World};
use crate::process::PATIENCE;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long a server whose news take their time may take to tell an idle client.
const NEWS_TIMEOUT: Duration = Duration::from_secs(20);

/// Between two looks whether it has.
const NEWS_PAUSE: Duration = Duration::from_millis(5);

/// Octets of a line of the transcript.
const LINE_BYTES_MAX: usize = 300;

/// What came of a case.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    /// Commands that were answered.
    pub commands: u64,
    /// Responses that were checked.
    pub responses: u64,
    /// Changes of mailboxes.
    pub changes: u64,
    /// Rounds in which what clients did at the same time had to be put in order anew.
    pub reordered: u64,
}

impl Count {
    /// Adds another one.
    pub fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.responses += other.responses;
        self.changes += other.changes;
        self.reordered += other.reordered;
    }
}

/// Runs a case.
///
/// # Errors
/// What the server must not have said, or that this is left open, with the conversation.
pub fn run(case: &Case, wire: &mut dyn Wire) -> Result<Count, Unexplained> {
    let mut run = Run::new(case, wire);
    match run.all(case) {
        Ok(()) => Ok(run.count()),
        Err(why) => Err(why.after(&run.transcript)),
    }
}

struct Run<'a> {
    wire: &'a mut dyn Wire,
    world: World,
    /// Before the first round.
    first: World,
    rounds: Vec<Round>,
    idle: Vec<Option<Said>>,
    /// Received and not whole yet.
    received: Vec<Vec<u8>>,
    tags: u32,
    texts: u32,
    count: Count,
    transcript: String,
}

impl<'a> Run<'a> {
    fn new(case: &Case, wire: &'a mut dyn Wire) -> Self {
        // The last one looks on.
        let clients = case.clients + 1;
        for _ in 0..clients {
            wire.connect();
        }
        let world = World {
            names: Rc::new(wire.mailboxes()),
            sessions: vec![Session::default(); clients],
            ..World::default()
        };
        Self {
            wire,
            first: world.clone(),
            world,
            rounds: Vec::new(),
            idle: vec![None; clients],
            received: vec![Vec::new(); clients],
            tags: 0,
            texts: 0,
            count: Count::default(),
            transcript: String::new(),
        }
    }

    fn count(&self) -> Count {
        let changes = self.world.mailboxes.iter().map(|it| it.now() as u64);
        Count {
            changes: changes.sum(),
            ..self.count
        }
    }

    fn all(&mut self, case: &Case) -> Result<(), Unexplained> {
        for round in &case.rounds {
            let mut talks: Vec<(usize, Vec<Command>)> = Vec::new();
            for (client, commands) in round {
                let client = client % case.clients;
                match talks.iter_mut().find(|(other, _)| *other == client) {
                    Some((_, before)) => before.extend(commands.iter().cloned()),
                    None => talks.push((client, commands.clone())),
                }
            }
            let before = self.world.mailboxes.clone();
            self.round(talks)?;
            if self
                .rounds
                .last()
                .is_some_and(|round| round.tracks.len() > 1)
            {
                let changed = |at: &usize| before[*at].now() != self.world.mailboxes[*at].now();
                let changed: Vec<usize> = (0..before.len()).filter(changed).collect();
                self.look_on(&changed)?;
            }
        }
        self.settle()
    }

    /// Somebody who was not there looks at what came of it, which is evidence for the
    /// order.
    fn look_on(&mut self, mailboxes: &[usize]) -> Result<(), Unexplained> {
        let observer = self.idle.len() - 1;
        let look = |mailbox: &usize| {
            let examine = Command::Select {
                mailbox: *mailbox,
                examine: true,
                condstore: true,
                resync: false,
                known: None,
            };
            [examine, everything(vec![Item::Flags, Item::ModSeq])]
        };
        let commands: Vec<Command> = mailboxes.iter().flat_map(look).collect();
        match commands.is_empty() {
            true => Ok(()),
            false => self.round(vec![(observer, commands)]),
        }
    }

    /// Clients talk at the same time.
    fn round(&mut self, talks: Vec<(usize, Vec<Command>)>) -> Result<(), Unexplained> {
        let mut talking = Vec::new();
        for (client, commands) in talks {
            let commands = self.aimed(client, commands);
            let idle = self.idle[client].take();
            talking.push(Talk::new(client, idle, commands, &self.world.names));
        }
        for client in 0..self.idle.len() {
            if let Some(idle) = self.idle[client].take() {
                talking.push(Talk::new(client, Some(idle), Vec::new(), &self.world.names));
            }
        }
        for talk in &mut talking {
            let octets = talk.begin();
            self.send(talk.client, &octets);
        }
        loop {
            let over = talking.iter().all(Talk::is_over);
            self.wire.wait(if over { Duration::ZERO } else { PATIENCE });
            let mut moved = false;
            for talk in &mut talking {
                moved |= self.hear(talk)?;
            }
            if talking.iter().all(Talk::is_over) && !(moved && self.wire.is_prompt()) {
                break;
            }
            if !moved {
                return Err("a command is not answered".to_owned().into());
            }
        }
        let mut tracks = Vec::new();
        for talk in talking {
            self.idle[talk.client] = talk.idle();
            let said: Vec<Said> = talk.said;
            self.count.commands += said.iter().filter(|said| said.answer.is_some()).count() as u64;
            let lines = said.iter().map(|said| said.lines.len() as u64 + 1);
            self.count.responses += lines.sum::<u64>();
            let client = talk.client;
            tracks.push(Track { client, said });
        }
        self.understand(tracks)
    }

    fn understand(&mut self, tracks: Vec<Track>) -> Result<(), Unexplained> {
        let told = match self.wire.is_prompt() {
            true => self.idle_clients(),
            false => Vec::new(),
        };
        self.rounds.push(Round { tracks, told });
        let last = self.rounds.len() - 1;
        self.world = match explain(&self.world, &self.rounds[last..]) {
            Ok(world) => world,
            // What was taken for the order of an earlier round may have been another one.
            Err(why) if last == 0 => return Err(why),
            Err(_) => {
                self.count.reordered += 1;
                explain(&self.first, &self.rounds)?
            }
        };
        Ok(())
    }

    /// Commands with numbers that make sense, and tags.
    fn aimed(&mut self, client: usize, commands: Vec<Command>) -> Vec<(String, Command)> {
        let session = &self.world.sessions[client];
        let remembers = |mailbox: usize| {
            let left = session.remembered[mailbox].as_ref()?;
            (left.highest > 0).then_some((left.uid_validity, left.highest))
        };
        let uids = |mailbox: usize| self.world.mailboxes[mailbox].newest().uids().collect();
        let selected = session.selected.as_ref();
        let mut known = Known {
            selected: selected.map(|it| it.entries.iter().map(|entry| entry.uid).collect()),
            qresync: session.qresync,
            modseqs: session.modseqs.clone(),
            remembered: [remembers(0), remembers(1)],
        };
        // What is left in this very round is not remembered: it is not known what it will be.
        let mut tagged = Vec::new();
        for mut command in commands {
            command.aim(&known, &mut self.texts);
            match &command {
                Command::Select { mailbox, .. } => {
                    known.selected = Some(uids(*mailbox));
                    known.remembered = [None, None];
                }
                Command::Close | Command::Unselect => {
                    known.selected = None;
                    known.remembered = [None, None];
                }
                Command::Enable { qresync } => known.qresync |= *qresync,
                _ => {}
            }
            self.tags += 1;
            tagged.push((format!("t{}", self.tags), command));
        }
        tagged
    }

    fn send(&mut self, client: usize, octets: &[u8]) {
        self.note(client, 'C', octets);
        self.wire.send(client, octets);
    }

    /// Takes in what has come; whether anything has.
    fn hear(&mut self, talk: &mut Talk) -> Result<bool, String> {
        let client = talk.client;
        let came = self.wire.take(client);
        let moved = !came.is_empty();
        self.received[client].extend(came);
        while let Some(response) = take_response(&mut self.received[client]) {
            self.note(client, 'S', &response.0);
            let octets = talk.hear(response)?;
            if !octets.is_empty() {
                self.send(client, &octets);
            }
        }
        Ok(moved)
    }

    /// In the end all clients know what there is.
    fn settle(&mut self) -> Result<(), Unexplained> {
        self.idle_clients_are_told()?;
        let observer = self.idle.len() - 1;
        let noop = || Command::Noop { check: false };
        let selected: Vec<usize> = (0..observer)
            .filter(|client| self.world.sessions[*client].selected.is_some())
            .collect();
        let ask = |last: Command| {
            let talks = selected
                .iter()
                .map(|client| (*client, vec![noop(), last.clone()]));
            talks.collect::<Vec<_>>()
        };
        self.round(ask(noop()))?;
        let tracks = self.rounds.last().map(|round| round.tracks.as_slice());
        for said in tracks
            .unwrap_or_default()
            .iter()
            .filter_map(|it| it.said.last())
        {
            if let Some(line) = said.lines.first().filter(|_| self.wire.is_prompt()) {
                let why = format!("told by the second NOOP only: {line:?}");
                return Err(why.into());
            }
        }
        self.round(ask(everything(vec![Item::Uid, Item::Flags, Item::ModSeq])))?;
        let body = Item::Body {
            peek: true,
            section: Section::All,
            partial: None,
        };
        let look = |mailbox| {
            let select = Command::Select {
                mailbox,
                examine: false,
                condstore: false,
                resync: false,
                known: None,
            };
            let items = vec![
                Item::Flags,
                Item::ModSeq,
                Item::InternalDate,
                Item::Size,
                body,
            ];
            [select, everything(items)]
        };
        let commands = [look(0), look(1)].concat();
        self.round(vec![(observer, commands)])
    }

    fn idle_clients(&self) -> Vec<usize> {
        let idle = |client: &usize| self.idle[*client].is_some();
        (0..self.idle.len()).filter(idle).collect()
    }

    /// Who is idle needs no command to know.
    fn idle_clients_are_told(&mut self) -> Result<(), Unexplained> {
        let end = Instant::now() + NEWS_TIMEOUT;
        while !self.wire.is_prompt() {
            self.round(Vec::new())?;
            let idle = self.idle_clients();
            if let Some(round) = self.rounds.last_mut() {
                round.told = idle;
            }
            match explain(&self.first, &self.rounds) {
                Ok(world) => {
                    self.world = world;
                    return Ok(());
                }
                Err(why) if Instant::now() > end => return Err(why),
                Err(_) => std::thread::sleep(NEWS_PAUSE),
            }
            if let Some(round) = self.rounds.last_mut() {
                round.told.clear();
            }
        }
        Ok(())
    }

    fn note(&mut self, client: usize, who: char, octets: &[u8]) {
        let shown = &octets[..octets.len().min(LINE_BYTES_MAX)];
        for line in String::from_utf8_lossy(shown).lines() {
            self.transcript
                .push_str(&format!("{client}{who}: {line}\n"));
        }
    }
}

fn everything(items: Vec<Item>) -> Command {
    Command::Fetch {
        uid: false,
        set: Set(vec![(1, 0)]),
        items,
        changed_since: None,
        vanished: false,
    }
}
