//! Delivery by LMTP, without the account's keys: what was acknowledged is there once, whatever
//! becomes of Garage meanwhile, and nothing is there that nobody delivered.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use restante_tests::{
    Client, Server, Status, Storage, Test,
    garage::Mode,
    lmtp,
    process::{PATIENCE, wait_for},
    samples, tests,
};

pub(crate) const TESTS: &[Test] = tests![
    delivered_messages_are_read_and_wake_who_is_idle => storage(Storage::Garage),
    garage_is_killed_in_the_middle_of_deliveries => storage(Storage::OwnGarage),
    the_network_is_cut_in_the_middle_of_deliveries => storage(Storage::OwnGarage),
    the_network_swallows_deliveries_for_a_while
        => storage(Storage::OwnGarage).storage_limits("request_timeout_ms = 3000"),
    one_of_three_nodes_dies_in_the_middle_of_deliveries => storage(Storage::ThreeNodes),
];

/// Connections that deliver at once.
const CONNECTIONS: usize = 6;
/// A connection that goes on at once after a refusal would only count failures.
const PAUSE: Duration = Duration::from_millis(20);
/// How often Garage is killed.
const KILLS: u64 = 8;
/// How long it stays away: through the first of them the arrival of a message that is
/// stored already is sent again and again, and after the second that was given up.
const OUTAGES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(5)];

/// Messages of one test, so that it ends whatever happens.
const MESSAGES_MAX: usize = 10_000;

/// What was delivered, and what became of it.
struct Mailbag {
    /// Messages that may be begun yet; after that there is none.
    left: AtomicUsize,
    sent: Mutex<Sent>,
}

#[derive(Default)]
struct Sent {
    number: usize,
    acknowledged: BTreeSet<Vec<u8>>,
    /// There or not.
    refused: BTreeSet<Vec<u8>>,
}

impl Mailbag {
    fn of(count: usize) -> Arc<Self> {
        Self::after(Sent::default(), count)
    }

    /// The same account, with more messages.
    fn after(sent: Sent, count: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(count),
            sent: Mutex::new(sent),
        })
    }

    fn sent(&self) -> MutexGuard<'_, Sent> {
        self.sent.lock().expect("no thread panicked")
    }

    /// No more messages are begun.
    fn close(&self) {
        self.left.store(0, Ordering::SeqCst);
    }

    fn into_sent(self: Arc<Self>) -> Sent {
        std::mem::take(&mut self.sent())
    }
}

impl Mailbag {
    /// The next message, as long as there is one.
    fn next(&self) -> Option<Vec<u8>> {
        let one_less = |left: usize| left.checked_sub(1);
        let left = &self.left;
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .ok()?;
        let mut sent = self.sent();
        sent.number += 1;
        // One part of an upload, many, and less than a chunk.
        let octets = match sent.number % 20 {
            7 => 2_500_000,
            0 | 3 | 14 => 100_000,
            _ => 1_000,
        };
        let subject = format!("delivery {}", sent.number);
        Some(samples::plain(&subject, &"x".repeat(octets)))
    }

    /// What became of it: the server's answer.
    fn outcome(&self, message: Vec<u8>, answer: &str) {
        let mut sent = self.sent();
        let set = match answer {
            _ if answer.starts_with("250 2.0.0 ") => &mut sent.acknowledged,
            _ if answer.starts_with("451 4.") => &mut sent.refused,
            other => panic!("{other}"),
        };
        assert!(set.insert(message), "every message is another one");
    }
}

/// Delivers all messages to a recipient.
fn deliver(server: &Server, recipient: &str, bag: &Mailbag) {
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = server.deliver();
                while let Some(message) = bag.next() {
                    let answers = client.try_deliver(&[recipient], &message);
                    let answers = answers.expect("the server is there");
                    bag.outcome(lmtp::kept(recipient, &message), &answers[0]);
                    if answers[0].starts_with('4') {
                        thread::sleep(PAUSE);
                    }
                }
            });
        }
    });
}

/// What a new session sees in INBOX, by UID.
fn inbox(server: &Server, name: &str, password: &str) -> BTreeMap<u32, Vec<u8>> {
    let mut client = server.connect();
    client.login(name, password);
    if client.ok("EXAMINE INBOX").exists() == Some(0) {
        return BTreeMap::new();
    }
    let fetches = client
        .ok("FETCH 1:* (UID RFC822.SIZE BODY.PEEK[])")
        .fetches();
    let mut messages = BTreeMap::new();
    for fetch in fetches {
        let message = fetch.bytes("BODY[]").to_vec();
        assert_eq!(fetch.item("RFC822.SIZE").number(), message.len() as u64);
        let before = messages.insert(fetch.uid(), message);
        assert!(before.is_none(), "UID {} comes twice", fetch.uid());
    }
    messages
}

/// Everything acknowledged is in alice's INBOX once and whole, and nothing else is but
/// what was refused, that once at most.
fn check(server: &Server, sent: &Sent) -> BTreeMap<u32, Vec<u8>> {
    let found = inbox(server, &server.alice.name, &server.alice.password);
    let mut seen = BTreeSet::new();
    for (uid, message) in &found {
        assert!(
            sent.acknowledged.contains(message) || sent.refused.contains(message),
            "nobody delivered what is UID {uid}"
        );
        assert!(seen.insert(message), "UID {uid} is there twice");
    }
    let lost = sent.acknowledged.iter().filter(|it| !seen.contains(it));
    assert_eq!(lost.count(), 0, "messages were acknowledged and are lost");
    found
}

fn delivered_messages_are_read_and_wake_who_is_idle(server: &Server) {
    let mut idler = server.login();
    idler.ok("SELECT INBOX");
    let tag = idler.start("IDLE");
    assert!(idler.response().starts_with("+"));
    let first = Mailbag::of(1);
    deliver(server, &server.alice.name, &first);
    hears_of(&mut idler, 1);
    let all = Mailbag::after(first.into_sent(), 59);
    deliver(server, &server.alice.name, &all);
    hears_of(&mut idler, 60);
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    let sent = all.into_sent();
    assert_eq!((sent.acknowledged.len(), sent.refused.len()), (60, 0));
    check(server, &sent);
    // Into an account that nobody has ever logged in to.
    let bob = Mailbag::of(3);
    deliver(server, &server.bob.name, &bob);
    let found = inbox(server, &server.bob.name, &server.bob.password);
    let found: BTreeSet<Vec<u8>> = found.into_values().collect();
    assert_eq!(found, bob.into_sent().acknowledged);
}

/// Waits until the client is told that there are so many messages.
fn hears_of(client: &mut Client, count: u32) {
    loop {
        let told = client.response();
        assert!(told.starts_with("* "), "{told:?}");
        if told
            .numbered("EXISTS")
            .is_some_and(|(exists, _)| exists == count)
        {
            return;
        }
    }
}

/// Waits until more deliveries are acknowledged.
fn some_more(bag: &Mailbag, why: &str) {
    let before = bag.sent().acknowledged.len();
    let done = wait_for(|| bag.sent().acknowledged.len() > before + 10);
    assert!(done, "{why}: nothing is delivered within {PATIENCE:?}");
}

/// Waits until a delivery is refused: the fault is felt.
fn is_refused(bag: &Mailbag) {
    let before = bag.sent().refused.len();
    let felt = wait_for(|| bag.sent().refused.len() > before);
    assert!(felt, "a fault that no delivery feels");
}

/// Delivers without pause during a fault that begins and ends in the middle. Afterwards
/// everything acknowledged is there, and stays what it is. Returns how many were refused.
fn deliver_through(server: &Server, fault: impl FnOnce(&Mailbag)) -> usize {
    /// Ends the deliveries, also where the test fails meanwhile.
    struct Closing<'a>(&'a Mailbag);
    impl Drop for Closing<'_> {
        fn drop(&mut self) {
            self.0.close();
        }
    }
    let bag = Mailbag::of(MESSAGES_MAX);
    thread::scope(|scope| {
        let closing = Closing(&bag);
        let delivering = scope.spawn(|| deliver(server, &server.alice.name, &bag));
        some_more(&bag, "at first");
        fault(&bag);
        some_more(&bag, "after the fault");
        drop(closing);
        if let Err(panic) = delivering.join() {
            std::panic::resume_unwind(panic);
        }
    });
    let sent = bag.into_sent();
    let found = check(server, &sent);
    eprintln!(
        "{}: {} deliveries were acknowledged and {} refused, of which {} are there",
        server.flavour.name(),
        sent.acknowledged.len(),
        sent.refused.len(),
        found.len() - sent.acknowledged.len()
    );
    // What the server holds in memory is what is stored.
    server.restart();
    assert!(check(server, &sent) == found, "UIDs changed");
    sent.refused.len()
}

fn garage_is_killed_in_the_middle_of_deliveries(server: &Server) {
    let node = server.garage().node();
    let refused = deliver_through(server, |bag| {
        for round in 0..KILLS {
            // At another step of the deliveries each time.
            thread::sleep(Duration::from_millis(7 * round));
            node.kill();
            thread::sleep(OUTAGES[usize::from(round % 4 == 3)]);
            node.start_again();
            some_more(bag, "after Garage came back");
        }
    });
    assert!(refused > 0, "Garage was not missed");
}

fn the_network_is_cut_in_the_middle_of_deliveries(server: &Server) {
    let garage = server.garage();
    deliver_through(server, |bag| {
        for outage in OUTAGES {
            garage.network(Mode::Cut);
            is_refused(bag);
            thread::sleep(outage);
            garage.network(Mode::Pass);
            some_more(bag, "after the network came back");
        }
    });
}

fn the_network_swallows_deliveries_for_a_while(server: &Server) {
    let garage = server.garage();
    deliver_through(server, |bag| {
        garage.network(Mode::Hang);
        is_refused(bag);
        thread::sleep(OUTAGES[0]);
        garage.network(Mode::Pass);
        some_more(bag, "after the network went on");
    });
}

/// What was begun with the node is carried out by the other two.
fn one_of_three_nodes_dies_in_the_middle_of_deliveries(server: &Server) {
    let nodes = server.garage().three_nodes();
    let refused = deliver_through(server, |bag| {
        nodes[1].kill();
        some_more(bag, "with two of three nodes");
        thread::sleep(OUTAGES[0]);
        nodes[1].start_again();
    });
    assert_eq!(
        refused, 0,
        "deliveries were refused, though two nodes were there"
    );
}
