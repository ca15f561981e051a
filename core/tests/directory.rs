//! The model of the directory (docs/modelling.md): clients of two servers make, delete, rename,
//! subscribe to, list and fill mailboxes, those that are selected and INBOX among them, and
//! a reference says what they may be told.
//!
//! Clients of one server talk at the same time: all orders of what they said are tried, and
//! each that explains the answers is gone on with. The same model runs on both binaries.

#[path = "directory/commands.rs"]
mod commands;
#[path = "directory/explain.rs"]
mod explain;
#[path = "directory/reference.rs"]
mod reference;
mod world;

use commands::{Answer, Command};
use core::time::Duration;
use explain::{Chance, after, draw_round};
use reference::{Kind, Reference};
use restante_core::account::ConnectionId;
use restante_core::config::Config;
use world::World;

/// Clients of each of the two servers.
const CLIENTS: usize = 2;
/// Rounds of a case.
const ROUNDS: usize = 40;
/// Cases, unless `RESTANTE_DIRECTORY_CASES` says how many when this is compiled.
const CASES: u64 = 30;

struct Case {
    servers: [World; 2],
    /// Whose turn it is, and who has the storage.
    server: usize,
    connections: Vec<ConnectionId>,
    /// What may be.
    ways: Vec<Reference>,
    chance: Chance,
    texts: u32,
    tags: u32,
    commands: u64,
    transcript: String,
}

impl Case {
    fn new(seed: u64) -> Self {
        let world = || {
            let config = Config {
                shared_storage: true,
                directory_age_max: Duration::ZERO,
                ..Config::default()
            };
            World::with_config(2, config)
        };
        let mut servers = [world(), world()];
        // Two servers draw other numbers.
        let idle = servers[1].connect();
        servers[1].drop_client(idle);
        let mut reference = Reference::new();
        reference.selected = vec![None; 2 * CLIENTS];
        let mut case = Self {
            servers,
            server: 0,
            connections: Vec::new(),
            ways: vec![reference],
            chance: Chance::new(seed),
            texts: 0,
            tags: 0,
            commands: 0,
            transcript: String::new(),
        };
        for client in 0..2 * CLIENTS {
            case.turn_to(client / CLIENTS);
            let connection = case.servers[case.server].log_in();
            case.connections.push(connection);
        }
        case
    }

    /// The other server has the storage from now on, a second later.
    fn turn_to(&mut self, server: usize) {
        if server == self.server {
            return;
        }
        let before = self.server;
        let now = self.servers[before].now;
        let store = core::mem::take(&mut self.servers[before].store);
        self.server = server;
        self.servers[server].store = store;
        let seconds = (now.instant.0 - self.servers[server].now.instant.0) / 1_000_000 + 1;
        self.servers[server].wait_s(seconds);
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            if self.chance.draw(4) == 0 {
                let other = 1 - self.server;
                self.turn_to(other);
                self.look_around(other)?;
            }
            let clients = self.server * CLIENTS..(self.server + 1) * CLIENTS;
            let said = draw_round(&mut self.chance, &mut self.texts, clients);
            self.round(said)?;
        }
        self.settle()
    }

    /// A server hears by its doorbell that the list has changed; here somebody asks for it.
    fn look_around(&mut self, server: usize) -> Result<(), String> {
        let list = Command::List(Kind::Returning, "*");
        self.round(vec![(server * CLIENTS, list)])
    }

    /// In the end both servers, and those that start after them, show the same.
    fn settle(&mut self) -> Result<(), String> {
        for restarts in [false, true] {
            for server in [0, 1] {
                self.turn_to(server);
                if restarts {
                    self.servers[server].restart();
                    for client in server * CLIENTS..(server + 1) * CLIENTS {
                        self.come(client);
                    }
                }
                self.look_around(server)?;
                let client = server * CLIENTS;
                self.round(vec![(client, Command::List(Kind::Subscribed, "*"))])?;
                let names: Vec<String> = self.ways[0].mailboxes.keys().cloned().collect();
                for name in names {
                    self.round(vec![(client, Command::Select(name.clone()))])?;
                    self.round(vec![(client, Command::Look)])?;
                }
            }
        }
        Ok(())
    }

    /// A client connects anew.
    fn come(&mut self, client: usize) {
        self.connections[client] = self.servers[self.server].log_in();
        for way in &mut self.ways {
            way.selected[client] = None;
        }
    }

    /// All of this is said at the same time.
    fn round(&mut self, said: Vec<(usize, Command)>) -> Result<(), String> {
        let server = self.server;
        let mut tags = Vec::new();
        for (client, command) in &said {
            self.tags += 1;
            let tag = format!("t{}", self.tags);
            let line = command.line(&tag);
            self.transcript.push_str(&format!("{client}C: {line}"));
            self.servers[server].send(self.connections[*client], line.as_bytes());
            tags.push(tag);
        }
        self.commands += said.len() as u64;
        let chance = &mut self.chance;
        self.servers[server].run_by_chance(&mut |below| chance.draw(below));
        let mut answers = Vec::new();
        for ((client, _), tag) in said.iter().zip(&tags) {
            let text = self.servers[server].read(self.connections[*client]);
            self.transcript.push_str(&format!("{client}S: {text}"));
            answers.push(answer(&text, tag)?);
        }
        for ((client, _), answer) in said.iter().zip(&answers) {
            let closed = self.servers[server].is_closed(self.connections[*client]);
            if answer.tagged.is_none() && !closed {
                return Err(format!("{client} is not answered\n{}", self.transcript));
            }
        }
        self.ways = after(&self.ways, &said, &answers)
            .map_err(|why| format!("{why}\n{}", self.transcript))?;
        self.leave()
    }

    /// Whoever has selected what is no more is sent away, and nobody else is.
    fn leave(&mut self) -> Result<(), String> {
        let server = self.server;
        for client in server * CLIENTS..(server + 1) * CLIENTS {
            let closed = self.servers[server].is_closed(self.connections[client]);
            self.ways.retain(|way| way.is_lost(client) == closed);
            if self.ways.is_empty() {
                let what = format!("client {client} is sent away: {closed}");
                return Err(format!("{what}\n{}", self.transcript));
            }
            if closed {
                self.transcript.push_str(&format!("{client}: BYE\n"));
                self.come(client);
            }
        }
        Ok(())
    }
}

/// The lines of an answer, literals in them.
fn answer(text: &str, tag: &str) -> Result<Answer, String> {
    let mut answer = Answer::default();
    let mut rest = text;
    while let Some((line, after)) = rest.split_once("\r\n") {
        rest = after;
        let mut whole = line.to_owned();
        while let Some(len) = literal(&whole) {
            let (octets, after) = rest.split_at(len);
            let (line, after) = after.split_once("\r\n").ok_or("a literal without end")?;
            whole = format!("{} {octets}{line}", whole.trim_end_matches('}'));
            rest = after;
        }
        match whole.starts_with(&format!("{tag} ")) {
            true => answer.tagged = Some(whole),
            false => answer.lines.push(whole),
        }
    }
    Ok(answer)
}

fn literal(line: &str) -> Option<usize> {
    let (_, len) = line.strip_suffix('}')?.rsplit_once('{')?;
    len.parse().ok()
}

#[test]
fn clients_are_told_which_mailboxes_there_are() {
    let cases = option_env!("RESTANTE_DIRECTORY_CASES");
    let cases = cases.map_or(CASES, |it| it.parse().expect("a number of cases"));
    let mut commands = 0;
    for seed in 0..cases {
        let mut case = Case::new(seed);
        if let Err(why) = case.run() {
            panic!("case {seed}: {why}");
        }
        commands += case.commands;
    }
    println!("{cases} cases, {commands} commands");
    assert!(commands > 40 * cases);
}
