//! A server killed (SIGKILL) at random moments under load, again and again. Nothing
//! that it acknowledged is lost, changed, doubled or renumbered, and nothing that was
//! expunged returns.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use restante_tests::{Client, Server, Storage, Test, tests};

use crate::{
    ledger::{Ledger, attempt, is_ok},
    number,
};

pub(crate) const TESTS: &[Test] = tests![
    everything_acknowledged_survives_kills_under_load => storage(Storage::Garage),
    a_killed_server_loses_nothing_that_another_serves => storage(Storage::Garage),
];

/// Connections that work at once, each on messages of its own in a mailbox of its own.
const MAILBOXES: [&str; 3] = ["Box", "INBOX", "Other"];
/// Messages of one mailbox. Above that more is expunged than appended.
const MESSAGES_MAX: usize = 40;

/// A xorshift generator; the test prints where it starts.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let time = std::time::UNIX_EPOCH.elapsed();
        let seed = number(
            "RESTANTE_KILLS_SEED",
            time.map_or(1, |time| u64::from(time.subsec_nanos()) | 1),
        );
        eprintln!("RESTANTE_KILLS_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, bound: u64) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound).expect("bounds are small")
    }
}

/// Works on one mailbox until the connection breaks or the time is over.
fn work(mut client: Client, ledger: &mut Ledger, mut chance: Chance, over: &AtomicBool) {
    let select = format!("SELECT {}", ledger.mailbox);
    if !attempt(&mut client, select.as_bytes()).is_some_and(|answer| is_ok(&answer)) {
        return;
    }
    while !over.load(Ordering::SeqCst) {
        let choice = chance.below(1 << 20);
        let kind = if ledger.len() < MESSAGES_MAX { 10 } else { 5 };
        let alive = match chance.below(kind) {
            0..=1 => ledger.store(&mut client, choice),
            2..=3 => ledger.expunge(&mut client, choice),
            4 => ledger.append(&mut client, 100_000).map(|_| ()),
            _ => ledger.append(&mut client, 500).map(|_| ()),
        };
        if alive.is_none() && ledger.len() > 0 {
            return;
        }
    }
}

/// Loads a server for a while, then ends it by force; all clients lose it.
fn load_and_kill(server: &Server, ledgers: &mut [Ledger], chance: &mut Chance) {
    let over = AtomicBool::new(false);
    let clients = MAILBOXES.map(|_| server.login());
    let life = Duration::from_millis(u64::try_from(50 + chance.below(600)).expect("small"));
    thread::scope(|scope| {
        for (ledger, client) in ledgers.iter_mut().zip(clients) {
            let chance = Chance(chance.0.wrapping_mul(ledger.mailbox.len() as u64 * 2 + 1) | 1);
            let over = &over;
            scope.spawn(move || work(client, ledger, chance, over));
        }
        thread::sleep(life);
        server.kill();
        over.store(true, Ordering::SeqCst);
    });
}

fn ledgers(server: &Server) -> Vec<Ledger> {
    let mut client = server.login();
    for mailbox in MAILBOXES.iter().filter(|&&mailbox| mailbox != "INBOX") {
        client.ok(format!("CREATE {mailbox}"));
    }
    MAILBOXES.map(Ledger::new).into_iter().collect()
}

fn everything_acknowledged_survives_kills_under_load(server: &Server) {
    let mut ledgers = ledgers(server);
    let mut chance = Chance::new();
    for _ in 0..number("RESTANTE_KILLS", 20) {
        load_and_kill(server, &mut ledgers, &mut chance);
        server
            .start_again()
            .expect("the server starts after a kill");
        for ledger in &mut ledgers {
            ledger.check(server);
        }
    }
    let kept: usize = ledgers.iter().map(Ledger::len).sum();
    assert!(kept > 20, "only {kept} messages were acknowledged");
}

/// The same, looked at through a second server that was there all the time.
fn a_killed_server_loses_nothing_that_another_serves(server: &Server) {
    let mut ledgers = ledgers(server);
    let mut chance = Chance::new();
    let second = server.second();
    for _ in 0..number("RESTANTE_KILLS", 20) / 4 {
        load_and_kill(server, &mut ledgers, &mut chance);
        for ledger in &mut ledgers {
            ledger.check(&second);
        }
        server
            .start_again()
            .expect("the server starts after a kill");
        for ledger in &mut ledgers {
            ledger.check(server);
        }
    }
    second.stop();
}
