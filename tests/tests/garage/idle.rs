//! IDLE while Garage dies: the client stays, and hears of what comes afterwards.

use std::{
    thread,
    time::{Duration, Instant},
};

use restante_tests::{
    Client, Server, Status, Storage, Test, client::Tag, garage::Mode, process::wait_for, samples,
    tests,
};

pub(crate) const TESTS: &[Test] = tests![
    garage_is_killed_in_the_middle_of_idle => storage(Storage::OwnGarage),
    what_another_server_writes_wakes_after_garage_was_killed => storage(Storage::OwnGarage),
    what_another_server_writes_wakes_after_the_network_was_cut => storage(Storage::OwnGarage),
    what_another_server_writes_wakes_though_one_of_three_nodes_died
        => storage(Storage::ThreeNodes),
    idle_can_be_ended_while_garage_is_gone => storage(Storage::OwnGarage),
];

/// How long after the end of a fault a change of another server may take to be told: a wait
/// of the poll that failed, and a reading, on a busy machine. A poll that nobody wakes up ends
/// after 45 s.
const WAKE_MAX: Duration = Duration::from_secs(30);

/// Long enough that polls fail more than once.
const OUTAGE: Duration = Duration::from_secs(3);

fn idle(client: &mut Client) -> Tag {
    let tag = client.start("IDLE");
    let response = client.response();
    assert!(response.starts_with("+"), "{response:?}");
    tag
}

/// Waits until the client is told that there are so many messages.
fn hears_of(client: &mut Client, count: u32) {
    loop {
        let response = client.response();
        assert!(response.starts_with("* "), "{response:?}");
        if response
            .numbered("EXISTS")
            .is_some_and(|(exists, _)| exists == count)
        {
            return;
        }
    }
}

fn append_at_last(client: &mut Client, message: &[u8]) {
    assert!(
        wait_for(|| client.append("Box", "", message).status == Status::Ok),
        "appends fail after Garage has come back"
    );
}

fn garage_is_killed_in_the_middle_of_idle(server: &Server) {
    let node = server.garage().node();
    let mut idler = server.select("Box", &[&samples::plain("one", "1")]);
    let tag = idle(&mut idler);
    let mut other = server.login();
    other.append_ok("Box", "", &samples::plain("two", "2"));
    hears_of(&mut idler, 2);
    for count in 3..5 {
        node.kill();
        thread::sleep(Duration::from_secs(1));
        node.start_again();
        append_at_last(&mut other, &samples::plain("more", "text"));
        hears_of(&mut idler, count);
    }
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    assert_eq!(idler.ok("FETCH 1:* BODY.PEEK[]").fetches().len(), 4);
}

/// Only a poll that goes on after each fault can tell the idle client's server what the other
/// one wrote.
fn another_server_wakes_after(server: &Server, second: &Server, mut fault: impl FnMut()) {
    let mut idler = server.select("Box", &[&samples::plain("one", "1")]);
    let mut other = second.login();
    let tag = idle(&mut idler);
    other.append_ok("Box", "", &samples::plain("two", "2"));
    hears_of(&mut idler, 2);
    for count in 3..5 {
        fault();
        append_at_last(&mut other, &samples::plain("more", "text"));
        let acknowledged = Instant::now();
        hears_of(&mut idler, count);
        let took = acknowledged.elapsed();
        eprintln!("told {took:?} after the first APPEND that succeeded");
        assert!(took < WAKE_MAX, "told after {took:?}");
    }
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    assert_eq!(idler.ok("FETCH 1:* BODY.PEEK[]").fetches().len(), 4);
    drop((idler, other));
    second.stop();
}

fn what_another_server_writes_wakes_after_garage_was_killed(server: &Server) {
    let node = server.garage().node();
    another_server_wakes_after(server, &server.second(), || {
        node.kill();
        thread::sleep(OUTAGE);
        node.start_again();
    });
}

fn what_another_server_writes_wakes_after_the_network_was_cut(server: &Server) {
    let garage = server.garage();
    another_server_wakes_after(server, &server.second(), || {
        garage.network(Mode::Cut);
        thread::sleep(OUTAGE);
        garage.network(Mode::Pass);
    });
}

/// The node dies in the middle of polls that it takes part in, and comes back in the middle of
/// others.
fn what_another_server_writes_wakes_though_one_of_three_nodes_died(server: &Server) {
    let nodes = server.garage().three_nodes();
    let mut is_there = true;
    another_server_wakes_after(server, &server.second_at(2), || {
        match is_there {
            true => nodes[1].kill(),
            false => nodes[1].start_again(),
        }
        is_there = !is_there;
    });
}

fn idle_can_be_ended_while_garage_is_gone(server: &Server) {
    let node = server.garage().node();
    let mut idler = server.select("Box", &[&samples::plain("one", "1")]);
    let tag = idle(&mut idler);
    node.kill();
    assert!(!idler.has_more_within(Duration::from_secs(1)));
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    idler.ok("NOOP");
    node.start_again();
    assert!(wait_for(
        || idler.command("FETCH 1 BODY.PEEK[]").status == Status::Ok
    ));
}
