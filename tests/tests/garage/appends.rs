//! APPEND while Garage dies, the network fails, or a node is lost: what was
//! acknowledged is there, and work goes on afterwards.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use restante_tests::{
    Server, Storage, Test,
    garage::Mode,
    process::{PATIENCE, wait_for},
    tests,
};

use crate::{ledger::Ledger, number};

pub(crate) const TESTS: &[Test] = tests![
    garage_is_killed_in_the_middle_of_appends => storage(Storage::OwnGarage),
    garage_is_stopped_and_started_between_appends => storage(Storage::OwnGarage),
    one_of_three_nodes_dies => storage(Storage::ThreeNodes),
    the_network_is_cut_and_comes_back => storage(Storage::OwnGarage),
    the_network_swallows_everything_for_a_while
        => storage(Storage::OwnGarage).storage_limits("request_timeout_ms = 3000"),
    answers_break_off => storage(Storage::OwnGarage),
];

/// Long enough that several appends fail.
const OUTAGE: Duration = Duration::from_secs(1);

/// Appends without pause during a fault that begins and ends in the middle. Afterwards
/// everything acknowledged is there, and appends succeed again.
fn append_through(server: &Server, fault: impl FnOnce()) {
    let mut client = server.login();
    client.ok("CREATE Box");
    let mut ledger = Ledger::new("Box");
    for octets in [10, 5_000, 2_500_000] {
        assert_eq!(ledger.append(&mut client, octets), Some(true));
    }
    let over = AtomicBool::new(false);
    let refused = thread::scope(|scope| {
        let appending = scope.spawn(|| {
            let mut refused = 0;
            while !over.load(Ordering::SeqCst) {
                match ledger.append(&mut client, 100 + 40_000 * (refused % 2)) {
                    Some(true) => {}
                    Some(false) => {
                        refused += 1;
                        // A client that goes on at once would only fill the log.
                        thread::sleep(Duration::from_millis(20));
                    }
                    None => client = server.login(),
                }
            }
            refused
        });
        // Some appends before the fault.
        thread::sleep(Duration::from_millis(300));
        fault();
        over.store(true, Ordering::SeqCst);
        match appending.join() {
            Ok(refused) => refused,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    });
    eprintln!("{refused} appends were refused");
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
    ledger.check(server);
    assert!(ledger.len() > 4);
    // What the server holds in memory is what is stored.
    server.restart();
    ledger.check(server);
}

fn garage_is_killed_in_the_middle_of_appends(server: &Server) {
    let node = server.garage().node();
    append_through(server, || {
        for _ in 0..2 {
            node.kill();
            thread::sleep(OUTAGE);
            node.start_again();
            thread::sleep(OUTAGE / 2);
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

/// Two of three are a quorum, so that no append may fail for long: one that was under
/// way may have to be made again.
fn one_of_three_nodes_dies(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    let mut ledger = Ledger::new("Box");
    let victim = &server.garage().three_nodes()[2];
    for round in 0..2 {
        for _ in 0..10 {
            assert_eq!(ledger.append(&mut client, 5_000), Some(true));
        }
        if round == 0 {
            victim.kill();
        } else {
            victim.start_again();
        }
        for _ in 0..10 {
            assert_eq!(ledger.append(&mut client, 5_000), Some(true));
        }
        ledger.check(server);
    }
}

fn the_network_is_cut_and_comes_back(server: &Server) {
    let garage = server.garage();
    let outage = Duration::from_secs(number("RESTANTE_CUT_SECONDS", 10));
    append_through(server, || {
        garage.network(Mode::Cut);
        let begin = Instant::now();
        let mut client = server.login();
        while begin.elapsed() < outage {
            let asked = Instant::now();
            client.ok("NOOP");
            assert!(asked.elapsed() < Duration::from_secs(2));
            thread::sleep(Duration::from_millis(100));
        }
        garage.network(Mode::Pass);
        thread::sleep(OUTAGE);
    });
}

fn the_network_swallows_everything_for_a_while(server: &Server) {
    let garage = server.garage();
    append_through(server, || {
        garage.network(Mode::Hang);
        thread::sleep(Duration::from_secs(5));
        garage.network(Mode::Pass);
        thread::sleep(OUTAGE);
    });
}

fn answers_break_off(server: &Server) {
    let garage = server.garage();
    append_through(server, || {
        for octets in [0, 1, 50, 200] {
            garage.network(Mode::BreakAfter(octets));
            thread::sleep(OUTAGE / 2);
            garage.network(Mode::Pass);
            thread::sleep(OUTAGE / 4);
        }
        thread::sleep(OUTAGE);
    });
}
