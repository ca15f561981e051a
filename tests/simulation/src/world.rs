//! The world: time, what happens next, and everything that it happens to.
//!
//! Time is a number of microseconds. What is to happen stands in one queue; each step
//! takes the next of it, and puts in what follows from it.

use crate::account::Mail;
use crate::cache::Caches;
use crate::chance::Chance;
use crate::client::Client;
use crate::garage::{Caller, Deed, Deeds, Garage};
use crate::ledger::{Ledger, Place};
use crate::process::Process;
use crate::trace::Trace;
use crate::upkeep::Job;
use core::time::Duration;
use restante_core::account::{AccountReply, CheckReport};
use restante_core::config::Config;
use restante_core::delivery::InboxWriter;
use restante_core::mailbox::{AccountId, ContentId, MailboxId, UidValidity};
use restante_core::random::Random;
use restante_core::seal::AccountKeys;
use restante_core::storage::{RequestId, StorageResponse};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One second.
pub(crate) const SECOND: u64 = 1_000_000;

/// Something that happens.
#[derive(Debug)]
pub(crate) enum Event {
    /// Storage does something.
    Storage(Deed),
    /// Something reaches an account machine.
    ToAccount(usize, u64, Mail),
    /// The account's reply reaches a connection's inbox.
    ToConnection(usize, u64, u64, AccountReply),
    /// A connection looks into its inbox.
    Inbox(usize, u64, u64),
    /// Logs that changed go to the doorbell.
    Announce(usize, u64),
    /// A doorbell rings for the account: for a log, or for all.
    Rung(usize, u64, Option<Option<MailboxId>>),
    /// A password was checked.
    Derived(usize, u64, u64, RequestId, bool),
    /// A machine may have a deadline.
    Wake(usize, u64, u64),
    /// A connection goes on with its socket.
    Turn(usize, u64, u64),
    /// Octets of a client, none: the end.
    FromClient(usize, u64, u64, Vec<u8>),
    /// Octets for a client's session, none: the end.
    ToClient(usize, u64, Vec<u8>),
    /// A client goes on.
    Act(usize, u64),
    /// A message is delivered.
    Post,
    /// An operator does something.
    Upkeep,
    /// A delivery is lent the writer of its process.
    Turned(usize, u64, u64, InboxWriter),
    /// Something breaks, heals, dies or comes back.
    Chaos,
    /// A server starts.
    Start(usize, u64),
}

/// How a world is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything follows from it.
    pub seed: u64,
    /// Steps before the faults end.
    pub steps: u64,
    /// What nobody names is collected after minutes, not days, and clocks agree as much
    /// better.
    pub collects: bool,
    /// Messages are delivered, beside what clients do.
    pub delivers: bool,
    /// Print the trace.
    pub print: bool,
}

/// See the module.
pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) chance: Chance,
    pub(crate) trace: Trace,
    pub(crate) config: Arc<Config>,
    pub(crate) keys: Arc<AccountKeys>,
    pub(crate) garage: Garage,
    pub(crate) processes: Vec<Process>,
    pub(crate) clients: Vec<Client>,
    pub(crate) ledger: Ledger,
    /// Which mailbox was ever selected with each UIDVALIDITY.
    pub(crate) validities: BTreeMap<UidValidity, MailboxId>,
    /// What must never be, and was.
    pub(crate) violation: Option<String>,
    /// See [`Options::collects`].
    pub(crate) collects: bool,
    /// What was collected.
    pub(crate) collected: u64,
    /// Of how many messages it was forgotten that they were expunged.
    pub(crate) forgotten: u64,
    /// Machines of accounts that began while connections were there: those slept.
    pub(crate) resumed: u64,
    /// Times that a client with a cache selected a mailbox.
    pub(crate) resynchronised: u64,
    /// What the operator has asked for, by server and by the number that it knows him by.
    pub(crate) jobs: BTreeMap<(usize, u64), Job>,
    /// Where connections were shown each content.
    pub(crate) contents: BTreeMap<ContentId, BTreeSet<Place>>,
    /// What a check of the account found.
    pub(crate) checked: Option<CheckReport>,
    /// How long an account's machine stays that nobody needs, in microseconds.
    pub(crate) linger_us: u64,
    /// When something was wrong last.
    pub(crate) trouble_at: u64,
    /// Clients go on with new commands, and things break.
    pub(crate) busy: bool,
    queue: BTreeMap<(u64, u64), Event>,
    numbers: u64,
    pub(crate) steps: u64,
}

impl World {
    pub(crate) fn new(options: &Options) -> Self {
        let mut chance = Chance::new(options.seed);
        let mut account = [7; 16];
        account[..6].copy_from_slice(&1_796_000_000_000_u64.to_be_bytes()[2..]);
        let keys = AccountKeys::generate(AccountId(account), &mut Random::new(chance.seed()));
        let servers = 2 + chance.index(2);
        let mut config = config(&mut chance);
        if options.collects {
            collect_soon(&mut config);
        }
        let config = Arc::new(config);
        let linger_us = *chance.pick(&[10 * SECOND, SECOND, SECOND / 20]);
        let garage = Garage::new(servers, &mut chance);
        let mut world = Self {
            now: SECOND,
            trace: Trace::new(options.print),
            config,
            keys: Arc::new(keys),
            garage,
            processes: (0..servers).map(|_| Process::new(&mut chance)).collect(),
            clients: clients_of(servers, &mut chance),
            validities: BTreeMap::new(),
            ledger: Ledger::default(),
            violation: None,
            busy: true,
            trouble_at: 0,
            collects: options.collects,
            collected: 0,
            forgotten: 0,
            resumed: 0,
            resynchronised: 0,
            jobs: BTreeMap::new(),
            contents: BTreeMap::new(),
            checked: None,
            linger_us,
            queue: BTreeMap::new(),
            numbers: 0,
            steps: 0,
            chance,
        };
        for process in 0..servers {
            let offset_ms = world.processes[process].offset_ms;
            world.processes[process].offset_ms = world.clock_offset(offset_ms);
        }
        for process in 0..servers {
            world.start_doorbell(process);
        }
        let clients = world.clients.len();
        let line = format!("{servers} servers, {clients} clients, {:?}", world.config);
        world.note(format_args!("{line}"));
        for client in 0..clients {
            let at = world.now + world.chance.below(3 * SECOND);
            world.at(at, Event::Act(client, 0));
        }
        world.at(2 * SECOND, Event::Chaos);
        let first = world.chance.between(SECOND, 60 * SECOND);
        world.at(first, Event::Upkeep);
        if options.delivers {
            let first = world.chance.between(0, 20 * SECOND);
            world.at(first, Event::Post);
        }
        world
    }

    pub(crate) fn note(&mut self, what: core::fmt::Arguments<'_>) {
        self.trace.note(self.now, what);
    }

    /// Something is wrong with the servers.
    pub(crate) fn blame(&mut self, what: String) {
        self.note(format_args!("VIOLATION: {what}"));
        self.violation.get_or_insert(what);
    }

    pub(crate) fn at(&mut self, time: u64, event: Event) {
        self.numbers += 1;
        self.queue.insert((time.max(self.now), self.numbers), event);
    }

    /// A short time.
    pub(crate) fn soon(&mut self) -> u64 {
        self.now + self.chance.between(1, 2_000)
    }

    /// Takes the next step; `false`: nothing is to happen any more.
    pub(crate) fn step(&mut self) -> bool {
        let Some(((time, _), event)) = self.queue.pop_first() else {
            return false;
        };
        self.now = time;
        if let Some(later) = self.put_off(&event) {
            self.at(later, event);
            return true;
        }
        self.steps += 1;
        self.happen(event);
        if let Some(broken) = self.garage.broken.take() {
            self.blame(broken);
        }
        true
    }

    /// Goes on until a time or a violation.
    pub(crate) fn run_until(&mut self, time: u64) {
        while self.violation.is_none()
            && self
                .queue
                .first_key_value()
                .is_some_and(|((at, _), _)| *at <= time)
        {
            self.step();
        }
        self.now = self.now.max(time);
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Storage(Deed::Answer(caller, response)) => self.answer(caller, response),
            Event::Storage(deed) => {
                let deeds = self.garage.perform(self.now, &mut self.chance, deed);
                self.schedule(deeds);
            }
            Event::ToAccount(process, life, mail) => {
                if self.lives(process, life) {
                    self.account_mail(process, mail);
                }
            }
            Event::ToConnection(process, life, connection, reply) => {
                if self.lives(process, life) {
                    self.put_into_inbox(process, connection, reply);
                }
            }
            Event::Inbox(process, life, connection) => {
                if self.lives(process, life) {
                    self.look_into_inbox(process, connection);
                }
            }
            Event::Announce(process, life) => {
                if self.lives(process, life) {
                    self.announce(process);
                }
            }
            Event::Rung(process, life, log) => {
                if self.lives(process, life) {
                    self.rung(process, log);
                }
            }
            Event::Derived(process, life, connection, request, right) => {
                if self.lives(process, life) {
                    self.derived(process, connection, request, right);
                }
            }
            Event::Wake(process, life, machine) => {
                if self.lives(process, life) {
                    self.wake(process, machine);
                }
            }
            Event::Turn(process, life, connection) => {
                if self.lives(process, life) {
                    self.turn(process, connection);
                }
            }
            Event::FromClient(process, life, connection, octets) => {
                if self.lives(process, life) {
                    self.receive(process, connection, octets);
                }
            }
            Event::ToClient(client, session, octets) => self.hear(client, session, &octets),
            Event::Act(client, session) => self.act(client, session),
            Event::Post => self.post(),
            Event::Upkeep => self.upkeep(),
            Event::Turned(process, life, delivery, writer) => {
                if self.lives(process, life) {
                    self.turned(process, delivery, writer);
                }
            }
            Event::Chaos => self.chaos(),
            Event::Start(process, life) => {
                if self.processes[process].life == life {
                    self.start(process);
                }
            }
        }
    }

    fn lives(&self, process: usize, life: u64) -> bool {
        let it = &self.processes[process];
        it.up && it.life == life
    }

    pub(crate) fn schedule(&mut self, deeds: Deeds) {
        for (time, deed) in deeds {
            self.at(time, Event::Storage(deed));
        }
    }

    fn answer(&mut self, caller: Caller, response: StorageResponse) {
        if self.lives(caller.process, caller.life) && self.garage.answered(caller, &response) {
            self.storage_answer(caller, response);
        }
    }

    fn chaos(&mut self) {
        if !self.busy {
            return;
        }
        let pause = self.chance.between(SECOND / 10, 20 * SECOND);
        self.at(self.now + pause, Event::Chaos);
        let process = self.chance.index(self.processes.len());
        // What it was until now counts as well.
        if !self.garage.is_whole() {
            self.note_trouble();
        }
        let what = self.chance.below(13);
        if what < 12 {
            self.note_trouble();
        }
        match what {
            0..=3 => {
                let what = self.garage.disturb(&mut self.chance);
                self.note(format_args!("{what}"));
            }
            4 | 5 => {
                self.garage.weather = crate::garage::Weather::random(&mut self.chance);
                let weather = self.garage.weather.clone();
                self.note(format_args!("{weather:?}"));
            }
            6 => {
                self.garage.weather = crate::garage::Weather::fair();
                self.note(format_args!("fair weather"));
            }
            7 | 8 => self.crash(process),
            9 => self.shut_down(process),
            10 => self.jump_clock(process),
            11 => self.stand_still(process),
            _ => {
                // Time passes: grace periods end, late writes land.
                let pause = self.chance.between(10, 200) * SECOND;
                self.note(format_args!("all rest for {} s", pause / SECOND));
                self.shift_clients(pause);
            }
        }
    }

    /// Clients wait so much longer before they go on.
    fn shift_clients(&mut self, pause: u64) {
        self.shift(pause, |event| matches!(event, Event::Act(..)));
    }

    /// Deadlines of a server come so much later.
    pub(crate) fn delay_deadlines(&mut self, process: usize, pause: u64) {
        self.shift(
            pause,
            |event| matches!(event, Event::Wake(it, ..) if *it == process),
        );
    }

    fn shift(&mut self, pause: u64, which: impl Fn(&Event) -> bool) {
        let moved: Vec<_> = self
            .queue
            .iter()
            .filter(|(_, event)| which(event))
            .map(|(at, _)| *at)
            .collect();
        for at in moved {
            if let Some(event) = self.queue.remove(&at) {
                self.at(at.0 + pause, event);
            }
        }
    }
}

/// Two to four that do all there is, and in half of the worlds some that look on.
fn clients_of(servers: usize, chance: &mut Chance) -> Vec<Client> {
    let count = 2 + chance.index(3);
    let mut clients: Vec<Client> = (0..count)
        .map(|client| {
            let caches = chance.permille(500).then(Caches::default);
            Client::new(client % servers, caches)
        })
        .collect();
    if chance.permille(500) {
        let home = chance.index(servers);
        let count = 2 + chance.index(3);
        clients.extend((0..count).map(|_| {
            let caches = chance.permille(500).then(Caches::default);
            Client::onlooker(home, caches)
        }));
    }
    clients
}

/// Far above what a write is late by here, as the usual times are elsewhere.
fn collect_soon(config: &mut Config) {
    config.orphan_age_min = Duration::from_secs(400);
    config.undelete_retention = Duration::from_secs(100);
    config.forget_delay = Duration::from_secs(100);
    config.forget_messages = 1..=20;
    config.copy_age_max = Duration::from_secs(50);
    config.sweep_interval = Duration::from_secs(100);
    config.sweep_delay = Duration::from_secs(1);
}

/// Limits that are met often.
fn config(chance: &mut Chance) -> Config {
    let small = |chance: &mut Chance, small: usize, usual: usize| match chance.below(4) {
        0 => usual,
        _ => small,
    };
    Config {
        checkpoint_operations_min: small(chance, 8, 256),
        log_page_items: *chance.pick(&[3, 10, 1_000]),
        log_news_items: *chance.pick(&[1, 8]),
        chunk_bytes: small(chance, 256, 64 * 1024),
        log_item_bytes_max: small(chance, 200, 64 * 1024),
        log_grace: Duration::from_secs(chance.between(20, 120)),
        storage_retries_max: 2,
        shared_storage: true,
        claim_read_age_max: Duration::from_millis(*chance.pick(&[0, 10])),
        idle_mailboxes_max: small(chance, 1, 16),
        mailbox_idle_timeout: Duration::from_secs(chance.between(1, 30)),
        directory_age_max: Duration::from_secs(chance.between(0, 10)),
        sleep_delay: Duration::from_millis(*chance.pick(&[10, 500, 5_000])),
        doorbell_changes_max: small(chance, 2, 64),
        ..Config::default()
    }
}
