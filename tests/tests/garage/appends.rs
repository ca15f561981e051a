//! APPEND while Garage dies, the network fails, or a node is lost: what was
//! acknowledged is there, and work goes on afterwards.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use restante_tests::{
    Server, Storage, Test,
    garage::Mode,
    process::{PATIENCE, wait_for},
    tests,
};

use crate::ledger::Ledger;

pub(crate) const TESTS: &[Test] = tests![
    garage_is_killed_in_the_middle_of_appends => storage(Storage::OwnGarage),
    garage_is_stopped_and_started_between_appends => storage(Storage::OwnGarage),
    one_of_three_nodes_dies => storage(Storage::ThreeNodes),
    one_of_three_nodes_dies_in_the_middle_of_appends => storage(Storage::ThreeNodes),
    the_network_is_cut_and_comes_back => storage(Storage::OwnGarage),
    the_network_swallows_everything_for_a_while
        => storage(Storage::OwnGarage).storage_limits("request_timeout_ms = 3000"),
    answers_break_off => storage(Storage::OwnGarage),
];

/// How long a fault goes on after it was felt.
const OUTAGE: Duration = Duration::from_secs(1);

/// How long the network is cut.
const CUT: Duration = Duration::from_secs(30);

/// What is "at once" on a busy machine, and far less than a request may take.
const AT_ONCE: Duration = Duration::from_secs(4);

/// Appends without pause, until it is over.
#[derive(Default)]
struct Appending {
    done: AtomicUsize,
    refused: AtomicUsize,
    over: AtomicBool,
}

impl Appending {
    fn work(&self, server: &Server, ledger: &mut Ledger) {
        let mut client = server.login();
        while !self.over.load(Ordering::SeqCst) {
            let refused = self.refused.load(Ordering::SeqCst);
            match ledger.append(&mut client, 100 + 40_000 * (refused % 2)) {
                Some(true) => {
                    self.done.fetch_add(1, Ordering::SeqCst);
                }
                Some(false) => {
                    self.refused.fetch_add(1, Ordering::SeqCst);
                    // A client that goes on at once would only fill the log.
                    thread::sleep(Duration::from_millis(20));
                }
                None => client = server.login(),
            }
        }
    }

    /// Waits until more are acknowledged.
    fn go_on(&self) {
        let before = self.done.load(Ordering::SeqCst);
        assert!(
            wait_for(|| self.done.load(Ordering::SeqCst) > before + 2),
            "no append succeeds"
        );
    }

    /// Waits until one more is refused: the fault is felt.
    fn is_refused(&self) {
        let before = self.refused.load(Ordering::SeqCst);
        assert!(
            wait_for(|| self.refused.load(Ordering::SeqCst) > before),
            "a fault that no append feels"
        );
    }

    /// Ends it, also where the test fails meanwhile.
    fn ended_with_this(&self) -> impl Drop {
        struct Ending<'a>(&'a AtomicBool);
        impl Drop for Ending<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        Ending(&self.over)
    }
}

/// Appends without pause during a fault that begins and ends in the middle. Afterwards
/// everything acknowledged is there, and appends succeed again. Returns how many were refused.
fn append_through(server: &Server, fault: impl FnOnce(&Appending)) -> usize {
    let mut client = server.login();
    client.ok("CREATE Box");
    let mut ledger = Ledger::new("Box");
    for octets in [10, 5_000, 2_500_000] {
        assert_eq!(ledger.append(&mut client, octets), Some(true));
    }
    let appending = Appending::default();
    thread::scope(|scope| {
        let _end = appending.ended_with_this();
        scope.spawn(|| appending.work(server, &mut ledger));
        appending.go_on();
        fault(&appending);
    });
    eprintln!("{:?} appends were refused", appending.refused);
    append_at_last(server, &mut ledger);
    ledger.check(server);
    assert!(ledger.len() > 4);
    // What the server holds in memory is what is stored.
    server.restart();
    ledger.check(server);
    appending.refused.into_inner()
}

fn append_at_last(server: &Server, ledger: &mut Ledger) {
    let mut client = server.login();
    assert!(
        wait_for(|| {
            let done = ledger.append(&mut client, 10);
            if done.is_none() {
                client = server.login();
            }
            done == Some(true)
        }),
        "appends fail for {PATIENCE:?} after the fault"
    );
}

fn garage_is_killed_in_the_middle_of_appends(server: &Server) {
    let node = server.garage().node();
    append_through(server, |appending| {
        for _ in 0..2 {
            node.kill();
            appending.is_refused();
            thread::sleep(OUTAGE);
            node.start_again();
            appending.go_on();
        }
    });
}

fn garage_is_stopped_and_started_between_appends(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    let mut ledger = Ledger::new("Box");
    let node = server.garage().node();
    for _ in 0..3 {
        assert_eq!(ledger.append(&mut client, 1_000), Some(true));
        node.stop();
        assert_eq!(ledger.append(&mut client, 1_000), Some(false));
        // Nothing that needs no storage is held up.
        client.ok("NOOP");
        node.start_again();
        assert!(wait_for(|| ledger.append(&mut client, 1_000) == Some(true)));
    }
    ledger.check(server);
}

/// Two of three are a quorum, so no append may fail, and what one server acknowledges another one shows
/// that speaks to another node; a server whose own node dies waits for it.
fn one_of_three_nodes_dies(server: &Server) {
    let second = server.second_at(1);
    let nodes = server.garage().three_nodes();
    let mut client = server.login();
    client.ok("CREATE Box");
    client.ok("CREATE Other");
    let (mut ledger, mut other) = (Ledger::new("Box"), Ledger::new("Other"));
    for octets in [10, 100_000, 1_000] {
        assert_eq!(ledger.append(&mut client, octets), Some(true));
    }
    ledger.check(&second);
    // Not a second one soon after: nodes that were away take their time to find each other again.
    nodes[1].kill();
    for octets in [10, 100_000, 1_000] {
        assert_eq!(ledger.append(&mut client, octets), Some(true));
    }
    ledger.check(server);
    let mut at_second = second.login();
    assert_ne!(other.append(&mut at_second, 10), Some(true));
    assert_eq!(ledger.append(&mut client, 10), Some(true));
    nodes[1].start_again();
    append_at_last(&second, &mut other);
    assert_eq!(ledger.append(&mut client, 1_000), Some(true));
    for server in [server, &second] {
        ledger.check(server);
        other.check(server);
    }
    second.stop();
}

/// What was begun with the node is carried out by the other two.
fn one_of_three_nodes_dies_in_the_middle_of_appends(server: &Server) {
    let nodes = server.garage().three_nodes();
    let refused = append_through(server, |appending| {
        nodes[1].kill();
        appending.go_on();
        thread::sleep(OUTAGE);
        nodes[1].start_again();
        appending.go_on();
    });
    assert_eq!(
        refused, 0,
        "appends were refused, though two nodes were there"
    );
}

fn the_network_is_cut_and_comes_back(server: &Server) {
    let garage = server.garage();
    append_through(server, |appending| {
        garage.network(Mode::Cut);
        let begin = Instant::now();
        let mut client = server.login();
        while begin.elapsed() < CUT {
            let asked = Instant::now();
            client.ok("NOOP");
            assert!(asked.elapsed() < AT_ONCE);
            thread::sleep(Duration::from_millis(100));
        }
        appending.is_refused();
        garage.network(Mode::Pass);
        appending.go_on();
    });
}

fn the_network_swallows_everything_for_a_while(server: &Server) {
    let garage = server.garage();
    append_through(server, |appending| {
        garage.network(Mode::Hang);
        appending.is_refused();
        thread::sleep(2 * OUTAGE);
        garage.network(Mode::Pass);
        appending.go_on();
    });
}

fn answers_break_off(server: &Server) {
    let garage = server.garage();
    append_through(server, |appending| {
        for octets in [0, 1, 50] {
            garage.network(Mode::BreakAfter(octets));
            appending.is_refused();
            garage.network(Mode::Pass);
            appending.go_on();
        }
        // Some answers are shorter.
        garage.network(Mode::BreakAfter(200));
        thread::sleep(OUTAGE);
        garage.network(Mode::Pass);
        appending.go_on();
    });
}
