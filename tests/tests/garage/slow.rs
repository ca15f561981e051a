//! A Garage that takes 5 s for each answer: what needs no storage is answered at once.

use std::{
    thread,
    time::{Duration, Instant},
};

use restante_tests::{Server, Status, Storage, Test, garage::Mode, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    noop_and_idle_answer_at_once => storage(Storage::OwnGarage),
    slow_work_is_done_in_the_end => storage(Storage::OwnGarage),
];

/// What each answer of Garage takes.
const DELAY: Duration = Duration::from_secs(5);
/// What is "at once" on a busy machine, and less than one answer of Garage.
const AT_ONCE: Duration = Duration::from_secs(4);

fn noop_and_idle_answer_at_once(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let mut busy = server.login();
    server.garage().network(Mode::Slow(DELAY));
    let begin = Instant::now();
    thread::scope(|scope| {
        let appending = scope.spawn(|| {
            busy.append_ok("Box", "", &samples::plain("two", "2"));
            begin.elapsed()
        });
        let mut rounds = 0;
        while !appending.is_finished() && begin.elapsed() < 2 * DELAY {
            let asked = Instant::now();
            client.ok("NOOP");
            client.ok("CHECK");
            let tag = client.start("IDLE");
            // News may come before the continuation request and after it.
            while !client.response().starts_with("+") {}
            client.send("DONE\r\n");
            assert_eq!(client.finish(&tag).status, Status::Ok);
            let took = asked.elapsed();
            assert!(took < AT_ONCE, "NOOP, CHECK and IDLE took {took:?}");
            rounds += 1;
            thread::sleep(Duration::from_millis(200));
        }
        server.garage().network(Mode::Pass);
        assert!(rounds >= 5, "only {rounds} rounds while Garage was slow");
        let took = appending.join().expect("the APPEND succeeds in the end");
        assert!(took >= DELAY, "Garage was not slow: APPEND took {took:?}");
    });
}

fn slow_work_is_done_in_the_end(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    server.garage().network(Mode::Slow(Duration::from_secs(2)));
    let message = samples::large(200_000);
    client.append_ok("Box", "(\\Seen)", &message);
    client.ok("STORE 1 +FLAGS (\\Flagged)");
    server.garage().network(Mode::Pass);
    server.restart();
    let mut client = server.login();
    client.ok("SELECT Box");
    assert!(client.fetch(1, "FLAGS").has("\\Flagged"));
    assert!(client.fetch(2, "BODY.PEEK[]").bytes("BODY[]") == message);
}
