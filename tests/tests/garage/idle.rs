//! IDLE while Garage dies: the client stays, and hears of what comes afterwards.

use std::time::Duration;

use restante_tests::{Client, Server, Status, Storage, Test, process::wait_for, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    garage_is_killed_in_the_middle_of_idle => storage(Storage::OwnGarage),
    idle_can_be_ended_while_garage_is_gone => storage(Storage::OwnGarage),
];

fn idle(client: &mut Client) -> restante_tests::client::Tag {
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
        std::thread::sleep(Duration::from_secs(1));
        node.start_again();
        append_at_last(&mut other, &samples::plain("more", "text"));
        hears_of(&mut idler, count);
    }
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    assert_eq!(idler.ok("FETCH 1:* BODY.PEEK[]").fetches().len(), 4);
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
