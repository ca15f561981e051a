//! A client that comes and goes, is cut off in the middle of answers, and knows after each
//! SELECT (QRESYNC …) what is true (RFC 7162 §6), whatever others did meanwhile.

mod world;

use restante_core::account::ConnectionId;
use std::collections::BTreeMap;
use world::World;

const MAIL: &str = "Subject: hello\r\n\r\nThe lighthouse keeps its light.\r\n";
const FLAGS: [&str; 4] = ["\\Seen", "\\Flagged", "\\Deleted", "$Work"];

/// A small generator of numbers below `below`.
fn draw(state: &mut u64, below: usize) -> usize {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1);
    (*state >> 33) as usize % below
}

/// What a disconnected client keeps of its mailbox, by the rules of RFC 7162 §6.
#[derive(Default)]
struct Cache {
    uid_validity: u64,
    /// HIGHESTMODSEQ up to which it knows everything; 0: nothing yet.
    modseq: u64,
    messages: BTreeMap<u64, Vec<String>>,
    /// All messages below this UID were fetched.
    fetched_below: u64,
    connection: Option<ConnectionId>,
    busy: bool,
    idling: bool,
    /// HIGHESTMODSEQ since the last tagged response.
    code: Option<u64>,
    /// The highest MODSEQ of FETCH since the last tagged response.
    heard: u64,
    /// The silent STORE under way.
    silent: Option<(bool, &'static str)>,
    /// The start of a line.
    partial: String,
}

/// The number behind `word`.
fn number(line: &str, word: &str) -> Option<u64> {
    let (_, rest) = line.split_once(word)?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

fn flags_in(line: &str) -> Option<Vec<String>> {
    let (_, rest) = line.split_once("FLAGS (")?;
    let (list, _) = rest.split_once(')')?;
    let flags = list.split_whitespace().filter(|flag| *flag != "\\Recent");
    let mut flags: Vec<String> = flags.map(str::to_owned).collect();
    flags.sort();
    Some(flags)
}

impl Cache {
    fn hear(&mut self, answer: &str) {
        self.partial.push_str(answer);
        // The only literals are of three octets: each belongs to its line.
        let whole = self.partial.replace("{3}\r\n", "{3} ");
        let mut rest = whole.as_str();
        while let Some((line, after)) = rest.split_once("\r\n") {
            self.line(line);
            rest = after;
        }
        self.partial = rest.replace("{3} ", "{3}\r\n");
    }

    fn line(&mut self, line: &str) {
        if let Some(modseq) = number(line, "[HIGHESTMODSEQ ") {
            assert!(modseq >= self.modseq, "{modseq} after {}", self.modseq);
            self.code = Some(modseq);
        }
        if let Some(validity) = number(line, "[UIDVALIDITY ") {
            self.uid_validity = validity;
        }
        if let Some(tagged) = line.strip_prefix("t ") {
            assert!(tagged.starts_with("OK "), "{line}");
            self.busy = false;
            self.silent = None;
            let heard = core::mem::take(&mut self.heard);
            self.modseq = self.code.take().unwrap_or(self.modseq.max(heard));
        } else if let Some(set) = line.strip_prefix("* VANISHED ") {
            let set = set.trim_start_matches("(EARLIER) ");
            for range in set.split(',') {
                let (first, last) = range.split_once(':').unwrap_or((range, range));
                let uid = |text: &str| text.parse::<u64>().expect("a UID");
                self.messages
                    .retain(|known, _| !(uid(first)..=uid(last)).contains(known));
            }
        } else if line.contains(" FETCH (") {
            self.fetched(line);
        }
        assert!(!line.contains("EXPUNGE"), "{line}");
    }

    fn fetched(&mut self, line: &str) {
        let uid = number(line, "UID ").unwrap_or_else(|| panic!("no UID: {line}"));
        self.heard = self.heard.max(number(line, "MODSEQ (").unwrap_or(0));
        if let Some(flags) = flags_in(line) {
            self.messages.insert(uid, flags);
        } else if let Some((add, flag)) = self.silent
            && let Some(flags) = self.messages.get_mut(&uid)
        {
            flags.retain(|known| known != flag);
            if add {
                flags.push(flag.to_owned());
                flags.sort();
            }
        }
    }

    /// Says a command and hears as much of the answer as there is.
    fn say(&mut self, world: &mut World, command: &str) {
        let Some(id) = self.connection else {
            return;
        };
        self.hear(&world.read(id));
        self.busy = command != "IDLE";
        let line = match command {
            "DONE" => "DONE\r\n".to_owned(),
            command => format!("t {command}\r\n"),
        };
        let answer = world.say(id, line.as_bytes());
        self.hear(&answer);
    }

    fn come(&mut self, world: &mut World, state: &mut u64) {
        self.connection = Some(world.log_in());
        self.say(world, "ENABLE QRESYNC");
        let select = self.select(state);
        self.say(world, &select);
    }

    fn select(&self, state: &mut u64) -> String {
        if self.modseq == 0 {
            return "SELECT INBOX (CONDSTORE)".to_owned();
        }
        let mut known = format!("{} {}", self.uid_validity, self.modseq);
        let last = self.messages.keys().next_back().copied().unwrap_or(0);
        if draw(state, 2) == 0 && last > 0 {
            known.push_str(&format!(" 1:{last}"));
        }
        let below = self.messages.range(..self.fetched_below);
        let pairs: Vec<(usize, &u64)> = below
            .enumerate()
            .map(|(at, (uid, _))| (at + 1, uid))
            .filter(|_| draw(state, 3) == 0)
            .collect();
        if draw(state, 2) == 0 && !pairs.is_empty() {
            let numbers: Vec<String> = pairs.iter().map(|(at, _)| at.to_string()).collect();
            let uids: Vec<String> = pairs.iter().map(|(_, uid)| uid.to_string()).collect();
            known.push_str(&format!(" ({} {})", numbers.join(","), uids.join(",")));
        }
        format!("SELECT INBOX (QRESYNC ({known}))")
    }

    /// Learns of messages that are new.
    fn fetch_new(&mut self, world: &mut World) {
        self.say(
            world,
            &format!("UID FETCH {}:* FLAGS", self.fetched_below.max(1)),
        );
        if !self.busy {
            let last = self.messages.keys().next_back().copied().unwrap_or(0);
            self.fetched_below = self.fetched_below.max(last + 1);
        }
    }

    /// The connection breaks; what of the line was heard is of no use.
    fn go(&mut self, world: &mut World) {
        if let Some(id) = self.connection.take() {
            world.drop_client(id);
        }
        self.partial.clear();
        (self.busy, self.idling, self.silent) = (false, false, None);
        (self.code, self.heard) = (None, 0);
    }

    fn act(&mut self, world: &mut World, state: &mut u64) {
        if self.idling {
            self.idling = false;
            return self.say(world, "DONE");
        }
        let count = self.messages.len();
        let uid = self.messages.keys().nth(draw(state, count.max(1))).copied();
        let uid = uid.unwrap_or(1);
        let flag = FLAGS[draw(state, 4)];
        let add = draw(state, 2) == 0;
        let sign = if add { '+' } else { '-' };
        let modseq = self.modseq;
        match draw(state, 9) {
            0 => self.say(world, "NOOP"),
            1 => {
                self.idling = true;
                self.say(world, "IDLE");
            }
            2 => self.say(world, "EXPUNGE"),
            3 => self.fetch_new(world),
            4 => self.say(world, &format!("UID FETCH {uid} (BODY[TEXT]<0.3>)")),
            5 => self.say(
                world,
                &format!("UID FETCH 1:* FLAGS (CHANGEDSINCE {modseq} VANISHED)"),
            ),
            6 => {
                // With message numbers nothing may be renumbered: VANISHED waits.
                self.silent = Some((add, flag));
                self.say(world, &format!("STORE 1:* {sign}FLAGS.SILENT ({flag})"));
            }
            7 => {
                let store = format!("STORE {uid} (UNCHANGEDSINCE {modseq}) {sign}FLAGS ({flag})");
                self.say(world, &format!("UID {store}"));
            }
            _ => self.say(world, &format!("UID STORE {uid} {sign}FLAGS ({flag})")),
        }
    }
}

/// Somebody else, who does not care what is said.
fn disturb(world: &mut World, id: ConnectionId, state: &mut u64) {
    let flag = FLAGS[draw(state, 4)];
    let number = 1 + draw(state, 6);
    let command = match draw(state, 8) {
        0 | 1 => format!("APPEND INBOX ({flag}) {{{}+}}\r\n{MAIL}", MAIL.len()),
        2 => "EXPUNGE".to_owned(),
        3 => format!("MOVE {number} INBOX"),
        4 => format!("STORE {number}:* -FLAGS ({flag})"),
        _ => format!("STORE {number} +FLAGS ({flag})"),
    };
    world.say(id, format!("d {command}\r\n").as_bytes());
}

fn truth(world: &mut World) -> BTreeMap<u64, Vec<String>> {
    let id = world.log_in();
    let mut truth = Cache::default();
    let answer = world.say(id, b"t EXAMINE INBOX\r\nt UID FETCH 1:* FLAGS\r\n");
    truth.hear(&answer);
    world.drop_client(id);
    truth.messages
}

fn session(seed: u8) {
    let mut world = World::new(seed);
    let mut state = u64::from(seed) * 7919 + 1;
    let log_in = |world: &mut World| {
        let id = world.log_in();
        world.say(id, b"s SELECT INBOX\r\n");
        id
    };
    let mut others = [log_in(&mut world), log_in(&mut world)];
    let mut cache = Cache::default();
    for step in 0..250 {
        match draw(&mut state, 10) {
            0 => world.hold_account(),
            1 => world.hold_replies(),
            2 => world.release_account(),
            3 => world.release_replies(),
            4 | 5 => {
                world.release();
            }
            _ => {}
        }
        if draw(&mut state, 3) > 0 {
            let who = others[draw(&mut state, 2)];
            disturb(&mut world, who, &mut state);
        }
        match cache.connection {
            None if draw(&mut state, 4) == 0 => cache.come(&mut world, &mut state),
            None => {}
            Some(id) => {
                let answer = world.read(id);
                cache.hear(&answer);
                match draw(&mut state, 12) {
                    0 => cache.go(&mut world),
                    // It hears a little more before it is cut off.
                    1 => {
                        world.set_window(id, draw(&mut state, 400));
                        if !cache.busy {
                            cache.act(&mut world, &mut state);
                        }
                        let answer = world.read(id);
                        cache.hear(&answer);
                        cache.go(&mut world);
                    }
                    _ if !cache.busy => cache.act(&mut world, &mut state),
                    _ => {}
                }
            }
        }
        if step % 25 == 24 {
            world.release_replies();
            world.release_account();
            if draw(&mut state, 3) == 0 {
                cache.go(&mut world);
                world.restart();
                others = [log_in(&mut world), log_in(&mut world)];
            }
            world.wait_s([3, 12][draw(&mut state, 2)]);
            settle(&mut world, &mut cache, &mut state, seed, step);
        }
    }
}

/// The client comes, if it is not there, and knows all that is true.
fn settle(world: &mut World, cache: &mut Cache, state: &mut u64, seed: u8, step: usize) {
    if let Some(id) = cache.connection {
        cache.hear(&world.read(id));
        if core::mem::take(&mut cache.idling) {
            cache.say(world, "DONE");
        }
        if draw(state, 2) == 0 {
            cache.go(world);
        }
    }
    if cache.connection.is_none() {
        cache.come(world, state);
    }
    cache.say(world, "NOOP");
    cache.fetch_new(world);
    assert!(
        !cache.busy,
        "seed {seed}, step {step}: a command was never answered"
    );
    let truth = truth(world);
    assert_eq!(cache.messages, truth, "seed {seed}, step {step}");
}

#[test]
fn a_client_that_comes_and_goes_knows_what_is_true() {
    for seed in 0..40 {
        session(seed);
    }
}

/// Two servers on one storage. Of their worlds one has it at a time.
struct Servers {
    worlds: [World; 2],
    /// Who has the storage.
    at: usize,
}

impl Servers {
    fn new(seed: u8) -> Self {
        let mut worlds = [World::new(seed), World::new(seed ^ 0x80)];
        let [first, second] = &mut worlds;
        second.keys = first.keys.clone();
        Self { worlds, at: 0 }
    }

    fn on(&mut self, server: usize) -> &mut World {
        if self.at != server {
            let [first, second] = &mut self.worlds;
            core::mem::swap(&mut first.store, &mut second.store);
            self.at = server;
        }
        &mut self.worlds[server]
    }
}

/// Everybody reads what everybody wrote, until nothing is left to be written.
fn converge(servers: &mut Servers, others: &[ConnectionId; 2]) {
    for server in [0, 1] {
        servers.on(server).release_replies();
        servers.on(server).release_account();
    }
    for _ in 0..4 {
        for server in [0, 1] {
            servers.on(server).wait_s(3);
            servers.on(server).say(others[server], b"n NOOP\r\n");
        }
    }
}

fn roam(seed: u8) {
    let mut servers = Servers::new(seed);
    let mut state = u64::from(seed) * 104_729 + 1;
    let log_in = |world: &mut World| {
        let id = world.log_in();
        world.say(id, b"s SELECT INBOX\r\n");
        id
    };
    let mut others = [log_in(servers.on(0)), log_in(servers.on(1))];
    let (mut cache, mut here) = (Cache::default(), 0);
    for step in 0..250 {
        let server = draw(&mut state, 2);
        let world = servers.on(server);
        match draw(&mut state, 8) {
            0 => world.hold_account(),
            1 | 2 => world.release_account(),
            3 | 4 => {
                world.release();
            }
            _ => {}
        }
        if draw(&mut state, 3) > 0 {
            disturb(world, others[server], &mut state);
        }
        match cache.connection {
            None if draw(&mut state, 3) == 0 => {
                here = draw(&mut state, 2);
                cache.come(servers.on(here), &mut state);
            }
            None => {}
            Some(id) => {
                let world = servers.on(here);
                let answer = world.read(id);
                cache.hear(&answer);
                match draw(&mut state, 4) {
                    0 => cache.go(world),
                    _ if !cache.busy => cache.act(world, &mut state),
                    _ => {}
                }
            }
        }
        if step % 25 == 24 {
            converge(&mut servers, &others);
            let again = draw(&mut state, 2);
            if draw(&mut state, 3) == 0 {
                if again == here {
                    cache.go(servers.on(again));
                }
                servers.on(again).restart();
                others[again] = log_in(servers.on(again));
            }
            settle(servers.on(here), &mut cache, &mut state, seed, step);
            if draw(&mut state, 2) == 0 {
                cache.go(servers.on(here));
                here = 1 - here;
                settle(servers.on(here), &mut cache, &mut state, seed, step);
            }
        }
    }
}

#[test]
fn a_client_that_roams_between_servers_knows_what_is_true() {
    for seed in 0..20 {
        roam(seed);
    }
}
