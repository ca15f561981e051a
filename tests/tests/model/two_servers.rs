//! Two servers on one bucket whose clients all talk at the same moment, each for itself. Then
//! all are quiet, and it is judged what both servers show.

use crate::commands::{Answer, Command};
use crate::explain::Chance;
use crate::judge::{Ever, Round, Shown, View};
use crate::reference::Kind;
use crate::seeds::run_cases;
use crate::talk::Talker;
use restante_tests::process::{PATIENCE, wait_for};
use restante_tests::server::Account;
use restante_tests::{Server, Storage, Test, tests};
use std::collections::BTreeSet;
use std::sync::Barrier;
use std::time::Duration;

pub(crate) const TESTS: &[Test] = tests![
    both_show_what_became_of_all_that_was_said => storage(Storage::Garage),
];

/// Clients of each server.
const CLIENTS: usize = 2;
/// Rounds of a case.
const ROUNDS: usize = 10;
/// Commands of a client in a round, at most.
const COMMANDS_MAX: usize = 4;

/// Names that mailboxes are given at the same moment.
const TARGETS: [&str; 4] = ["A", "A/B", "B", "C/D"];

/// A client, and what it has selected.
struct Client {
    talker: Talker,
    /// The UIDVALIDITY.
    selected: Option<u32>,
    /// It deleted a mailbox after it had selected one, perhaps that.
    unsure: bool,
}

fn both_show_what_became_of_all_that_was_said(server: &Server) {
    let second = server.second();
    run_cases(server, |account, seed| {
        let mut case = Case::new([server, &second], account, seed);
        let count = case.run();
        count.map_err(|why| format!("{why}\n{}", case.transcript))
    });
    second.stop();
}

struct Case<'a> {
    servers: [&'a Server; 2],
    account: &'a Account,
    clients: Vec<Client>,
    /// One on each server, who only looks.
    observers: [Talker; 2],
    chance: Chance,
    texts: u32,
    transcript: String,
}

impl<'a> Case<'a> {
    fn new(servers: [&'a Server; 2], account: &'a Account, seed: u64) -> Self {
        let client = |client: usize| Client::come(servers[client / CLIENTS], account);
        Self {
            servers,
            account,
            clients: (0..2 * CLIENTS).map(client).collect(),
            observers: servers.map(|server| Talker::come(server, account)),
            chance: Chance::new(seed),
            texts: 0,
            transcript: String::new(),
        }
    }

    fn run(&mut self) -> Result<usize, String> {
        let (mut ever, mut count) = (Ever::default(), 0);
        let mut before = self.quiet()?;
        ever.look(&before)?;
        for _ in 0..ROUNDS {
            let said = self.round(&before);
            count += said.len();
            let end = self.quiet()?;
            Round::new(&before, &said).judge(&end, &mut ever)?;
            (0..self.clients.len()).try_for_each(|client| self.leave(client, &end))?;
            before = end;
        }
        // And so does who knows nothing but what is stored.
        self.servers[1].restart();
        self.observers[1] = Talker::come(self.servers[1], self.account);
        match view(&mut self.observers[1]) {
            Some(view) if view == before => Ok(count),
            other => Err(format!("after a restart: {other:?}, before it {before:?}")),
        }
    }

    /// All clients say a few commands, one after the other, as fast as they are answered.
    fn round(&mut self, before: &View) -> Vec<(Command, Answer)> {
        let mut names: Vec<&str> = TARGETS.to_vec();
        names.extend(before.mailboxes.values().map(|it| it.name.as_str()));
        let name = names[self.chance.draw(names.len())];
        let mut wanted = Vec::new();
        for _ in 0..self.clients.len() {
            // All begin with the same mailbox.
            let mut commands = vec![self.draw_about(name)];
            let more = self.chance.draw(COMMANDS_MAX);
            commands.extend((0..more).map(|_| self.draw()));
            wanted.push(commands);
        }
        let begin = Barrier::new(self.clients.len());
        let heard: Vec<Vec<(Command, Answer)>> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .clients
                .iter_mut()
                .zip(wanted)
                .map(|(client, commands)| {
                    let begin = &begin;
                    scope.spawn(move || {
                        begin.wait();
                        client.say_all(commands)
                    })
                })
                .collect();
            let ended = threads.into_iter().map(|it| it.join());
            ended.map(|it| it.expect("it did not panic")).collect()
        });
        for (client, said) in heard.iter().enumerate() {
            for (command, answer) in said {
                let line = format!("{client}: {command:?}\n    {answer:?}\n");
                self.transcript.push_str(&line);
            }
        }
        heard.into_iter().flatten().collect()
    }

    fn draw(&mut self) -> Command {
        loop {
            let chance = &mut self.chance;
            let command = Command::draw(&mut |below| chance.draw(below), &mut self.texts);
            // What is in the selected mailbox is the other model's matter.
            if !matches!(command, Command::Move(_) | Command::Look) {
                return command;
            }
        }
    }

    /// What others may say about the same mailbox at the same moment.
    fn draw_about(&mut self, name: &str) -> Command {
        let name = name.to_owned();
        match self.chance.draw(7) {
            0 | 1 => Command::Rename(name, TARGETS[self.chance.draw(TARGETS.len())].to_owned()),
            2 => Command::Delete(name),
            3 => Command::Create(name),
            4 => Command::Subscribe(name, self.chance.draw(2) == 0),
            5 => Command::Select(name),
            _ => {
                self.texts += 1;
                Command::Append(name, self.texts)
            }
        }
    }

    /// Waits until both servers show the same.
    fn quiet(&mut self) -> Result<View, String> {
        let mut views = [None, None];
        let same = wait_for(|| {
            for (observer, server) in self.observers.iter_mut().zip(self.servers) {
                // What it looked at was just deleted.
                if observer.is_closed() {
                    *observer = Talker::come(server, self.account);
                }
            }
            views = self.observers.each_mut().map(view);
            views[0].is_some() && views[0] == views[1]
        });
        let [first, second] = views;
        self.transcript.push_str(&format!("both: {first:?}\n"));
        match first {
            Some(view) if same => Ok(view),
            first => Err(format!("they differ: {first:?} and {second:?}")),
        }
    }

    /// Whoever has selected what is no more is sent away, and nobody else is.
    fn leave(&mut self, client: usize, end: &View) -> Result<(), String> {
        let it = &mut self.clients[client];
        let lost = it
            .selected
            .is_some_and(|validity| !end.mailboxes.contains_key(&validity));
        let within = match lost && !it.unsure {
            true => PATIENCE,
            false => Duration::from_millis(1),
        };
        let closed = it.talker.is_sent_away(within);
        if closed != lost && !it.unsure {
            return Err(format!("client {client} is sent away: {closed}"));
        }
        if closed || it.unsure {
            *it = Client::come(self.servers[client / CLIENTS], self.account);
        }
        Ok(())
    }
}

impl Client {
    fn come(server: &Server, account: &Account) -> Self {
        Self {
            talker: Talker::come(server, account),
            selected: None,
            unsure: false,
        }
    }

    /// Says this, until it is sent away.
    fn say_all(&mut self, commands: Vec<Command>) -> Vec<(Command, Answer)> {
        let mut said = Vec::new();
        for command in commands {
            let answer = self.talker.say(&command);
            match &command {
                Command::Select(_) if answer.tagged.is_some() => {
                    let validity = answer.code("UIDVALIDITY");
                    self.selected = validity.and_then(|it| it.parse().ok());
                    self.unsure = false;
                }
                Command::Delete(_) => self.unsure = self.selected.is_some(),
                _ => {}
            }
            said.push((command, answer));
            if self.talker.is_closed() {
                break;
            }
        }
        said
    }
}

/// All that a server shows; nothing if that changes meanwhile.
fn view(observer: &mut Talker) -> Option<View> {
    let listed = observer.say(&Command::List(Kind::Plain, "*"));
    let listed = listed.listed(Kind::Plain);
    let names: BTreeSet<String> = listed.iter().map(|(_, name)| name.clone()).collect();
    assert_eq!(names.len(), listed.len(), "two of one name: {listed:?}");
    let subscribed = observer.say(&Command::List(Kind::Lsub, "*"));
    let subscribed = subscribed.listed(Kind::Lsub).into_iter();
    let mut view = View {
        subscribed: subscribed.map(|(_, name)| name).collect(),
        ..View::default()
    };
    for name in names {
        let selected = observer.say(&Command::Select(name.clone()));
        let validity = selected.code("UIDVALIDITY")?.parse().ok()?;
        let messages = observer.say(&Command::Look);
        messages.tagged.as_ref()?;
        let messages = messages.fetched().into_iter().collect();
        let shown = Shown { name, messages };
        if view.mailboxes.insert(validity, shown).is_some() {
            view.alike.insert(validity);
        }
    }
    // This is never deleted.
    observer.say(&Command::Select("INBOX".to_owned()));
    Some(view)
}
