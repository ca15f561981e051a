//! Clients of one server: all orders of what they say at the same time are tried, as in
//! `core/tests/directory.rs`.

use crate::commands::{Answer, Command};
use crate::explain::{Chance, after, draw_round};
use crate::reference::{Kind, Reference};
use crate::seeds::run_cases;
use crate::talk::Talker;
use restante_tests::process::PATIENCE;
use restante_tests::server::Account;
use restante_tests::trials::Need;
use restante_tests::{Server, Test, tests};
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    clients_are_told_which_mailboxes_there_are => needs(&[Need::OwnProcess]),
];

const CLIENTS: usize = 3;
/// Rounds of a case.
const ROUNDS: usize = 40;
/// How long it may take to send somebody away where not all explanations say so.
const MOMENT: Duration = Duration::from_secs(1);

struct Case<'a> {
    server: &'a Server,
    account: &'a Account,
    clients: Vec<Talker>,
    /// What may be.
    ways: Vec<Reference>,
    chance: Chance,
    texts: u32,
    commands: usize,
    transcript: String,
}

fn clients_are_told_which_mailboxes_there_are(server: &Server) {
    run_cases(server, |account, seed| {
        let mut case = Case::new(server, account, seed);
        match case.run() {
            Ok(()) => Ok(case.commands),
            Err(why) => Err(format!("{why}\n{}", case.transcript)),
        }
    });
}

impl<'a> Case<'a> {
    fn new(server: &'a Server, account: &'a Account, seed: u64) -> Self {
        let mut reference = Reference::new();
        reference.selected = vec![None; CLIENTS];
        let clients = (0..CLIENTS).map(|_| Talker::come(server, account));
        Self {
            server,
            account,
            clients: clients.collect(),
            ways: vec![reference],
            chance: Chance::new(seed),
            texts: 0,
            commands: 0,
            transcript: String::new(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            let said = draw_round(&mut self.chance, &mut self.texts, 0..CLIENTS);
            self.round(said)?;
        }
        self.settle()
    }

    /// In the end a client that has just come is shown everything.
    fn settle(&mut self) -> Result<(), String> {
        self.come(0);
        for kind in [Kind::Plain, Kind::Returning, Kind::Subscribed, Kind::Lsub] {
            self.round(vec![(0, Command::List(kind, "*"))])?;
        }
        let names: Vec<String> = self.ways[0].mailboxes.keys().cloned().collect();
        for name in names {
            self.round(vec![(0, Command::Status(name.clone()))])?;
            self.round(vec![(0, Command::Select(name))])?;
            self.round(vec![(0, Command::Look)])?;
        }
        Ok(())
    }

    /// A client connects anew.
    fn come(&mut self, client: usize) {
        self.clients[client] = Talker::come(self.server, self.account);
        for way in &mut self.ways {
            way.selected[client] = None;
        }
    }

    /// All of this is said at the same time.
    fn round(&mut self, said: Vec<(usize, Command)>) -> Result<(), String> {
        let mut asked = Vec::new();
        for (client, command) in &said {
            self.transcript
                .push_str(&format!("{client}C: {command:?}\n"));
            asked.push(self.clients[*client].ask(command));
        }
        self.commands += said.len();
        let mut answers: Vec<Answer> = Vec::new();
        for ((client, _), asked) in said.iter().zip(&asked) {
            let answer = self.clients[*client].hear(asked);
            for line in answer.lines.iter().chain(&answer.tagged) {
                self.transcript.push_str(&format!("{client}S: {line}\n"));
            }
            answers.push(answer);
        }
        self.ways = after(&self.ways, &said, &answers)?;
        (0..CLIENTS).try_for_each(|client| self.leave(client))
    }

    /// Whoever has selected what is no more is sent away, and nobody else is.
    fn leave(&mut self, client: usize) -> Result<(), String> {
        let lost = self.ways.iter().filter(|way| way.is_lost(client)).count();
        let within = match lost {
            // If it is sent away all the same, its next command is not answered.
            0 => None,
            _ if lost == self.ways.len() => Some(PATIENCE),
            _ => Some(MOMENT),
        };
        let closed = match within {
            Some(within) => self.clients[client].is_sent_away(within),
            None => self.clients[client].is_closed(),
        };
        self.ways.retain(|way| way.is_lost(client) == closed);
        if self.ways.is_empty() {
            return Err(format!("client {client} is sent away: {closed}"));
        }
        if closed {
            self.transcript.push_str(&format!("{client}: BYE\n"));
            self.come(client);
        }
        Ok(())
    }
}
