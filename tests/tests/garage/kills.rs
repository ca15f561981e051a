//! A server killed (SIGKILL) at random moments under load, again and again. Nothing
//! that it acknowledged is lost, changed, doubled or renumbered, and nothing that was
//! expunged returns.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use restante_tests::{
    Client, Server, Storage, Test, tests,
    trials::{Need, is_ci},
};

use crate::{
    ledger::{Ledger, attempt, is_ok},
    number,
};

pub(crate) const TESTS: &[Test] = tests![
    everything_acknowledged_survives_kills_under_load => needs(&[Need::OwnProcess]),
    a_killed_server_loses_nothing_that_another_serves => storage(Storage::Garage),
];

/// Mailboxes of connections that work at once, each on messages of its own in one mailbox,
/// from which it copies and moves to the other.
const MAILBOXES: [[&str; 2]; 3] = [
    ["Box", "Box/Other"],
    ["INBOX", "Received"],
    ["Work", "Work/Other"],
];
/// How often the server is killed at least, if `RESTANTE_KILLS` says nothing else.
const KILLS: u64 = 20;
/// How often instead when what a server did is too little to say anything: a busy machine does
/// less in the same time.
const KILLS_MAX: u64 = 200;
/// Messages that are there in the end, at least.
const KEPT_MIN: usize = 20;
/// Of those, in the mailboxes of a pair that has fewer.
const KEPT_IN_BOTH_MIN: usize = 3;
/// Messages of one mailbox. Above that more is expunged than appended, or the other mailbox's
/// turn comes.
const MESSAGES_MAX: usize = 40;

/// A xorshift generator; the test prints where it starts, which with `CI=true` is always the same.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let everyday = match is_ci() {
            true => 1,
            false => (std::time::UNIX_EPOCH.elapsed())
                .map_or(1, |time| u64::from(time.subsec_nanos()) | 1),
        };
        let seed = number("RESTANTE_KILLS_SEED", everyday);
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

/// The two mailboxes of one connection.
struct Pair {
    here: Ledger,
    there: Ledger,
}

impl Pair {
    fn new([here, there]: [&'static str; 2]) -> Self {
        Self {
            here: Ledger::new(here),
            there: Ledger::new(there),
        }
    }

    /// Works on one of the mailboxes until the connection breaks or the time is over.
    fn work(&mut self, mut client: Client, mut chance: Chance, over: &AtomicBool) {
        if self.there.len() >= MESSAGES_MAX {
            std::mem::swap(&mut self.here, &mut self.there);
        }
        let Self { here, there } = self;
        let select = format!("SELECT {}", here.mailbox);
        let Some(answer) = attempt(&mut client, select.as_bytes()) else {
            return;
        };
        assert!(is_ok(&answer), "{answer:?}");
        while !over.load(Ordering::SeqCst) {
            let choice = chance.below(1 << 20);
            let kind = if here.len() < MESSAGES_MAX { 14 } else { 7 };
            let alive = match chance.below(kind) {
                0..=1 => here.store(&mut client, choice),
                2..=3 => here.expunge(&mut client, choice),
                4 => here.copy(there, &mut client, choice),
                5 => here.move_away(there, &mut client, choice),
                6 => here.append(&mut client, 100_000).map(drop),
                _ => here.append(&mut client, 500).map(drop),
            };
            if alive.is_none() {
                return;
            }
        }
    }

    fn check(&mut self, server: &Server) {
        self.here.check(server);
        self.there.check(server);
        self.here.check_moves(&self.there);
        self.there.check_moves(&self.here);
    }

    fn len(&self) -> usize {
        self.here.len() + self.there.len()
    }
}

/// Loads a server for a while, then ends it by force; all clients lose it.
fn load_and_kill(server: &Server, pairs: &mut [Pair], chance: &mut Chance) {
    let over = AtomicBool::new(false);
    let clients = MAILBOXES.map(|_| server.login());
    let life = Duration::from_millis(u64::try_from(50 + chance.below(600)).expect("small"));
    thread::scope(|scope| {
        for ((pair, client), number) in pairs.iter_mut().zip(clients).zip(1..) {
            let chance = Chance(chance.0.wrapping_mul(2 * number + 1) | 1);
            let over = &over;
            scope.spawn(move || pair.work(client, chance, over));
        }
        thread::sleep(life);
        server.kill();
        over.store(true, Ordering::SeqCst);
    });
}

fn pairs(server: &Server) -> Vec<Pair> {
    let mut client = server.login();
    for mailbox in MAILBOXES.as_flattened() {
        if *mailbox != "INBOX" {
            client.ok(format!("CREATE {mailbox}"));
        }
    }
    MAILBOXES.map(Pair::new).into_iter().collect()
}

/// Kills and checks at least so often, and until there is something to lose, in the mailboxes to
/// which it was copied and moved as well.
fn until_enough(
    pairs: &mut [Pair],
    kills: u64,
    mut kill_and_check: impl FnMut(&mut [Pair], &mut Chance),
) {
    let mut chance = Chance::new();
    for kill in 1.. {
        kill_and_check(pairs, &mut chance);
        let kept: usize = pairs.iter().map(Pair::len).sum();
        let both = |pair: &Pair| pair.here.len().min(pair.there.len());
        let both: usize = pairs.iter().map(both).sum();
        if kill >= kills && kept > KEPT_MIN && both > KEPT_IN_BOTH_MIN {
            break;
        }
        assert!(
            kill < kills.max(KILLS_MAX),
            "only {kept} messages are there after {kill} kills, {both} in the other mailboxes"
        );
    }
}

fn everything_acknowledged_survives_kills_under_load(server: &Server) {
    let mut pairs = pairs(server);
    let kills = number("RESTANTE_KILLS", KILLS);
    until_enough(&mut pairs, kills, |pairs, chance| {
        load_and_kill(server, pairs, chance);
        server
            .start_again()
            .expect("the server starts after a kill");
        for pair in pairs {
            pair.check(server);
        }
    });
}

/// The same, looked at through a second server that was there all the time.
fn a_killed_server_loses_nothing_that_another_serves(server: &Server) {
    let mut pairs = pairs(server);
    let second = server.second();
    let kills = number("RESTANTE_KILLS", KILLS) / 4;
    until_enough(&mut pairs, kills, |pairs, chance| {
        load_and_kill(server, pairs, chance);
        for pair in &mut *pairs {
            pair.check(&second);
        }
        server
            .start_again()
            .expect("the server starts after a kill");
        for pair in pairs {
            pair.check(server);
        }
    });
    second.stop();
}
