//! Connections to Garage that are taken and then reset: an APPEND is answered soon, and
//! everything goes on as soon as they hold again.

use std::time::{Duration, Instant};

use restante_tests::{
    Client, Server, Storage, Test,
    garage::{Interface, Mode},
    process::wait_for,
    samples, tests,
};

use crate::ledger::{attempt, is_ok};

pub(crate) const TESTS: &[Test] = tests![
    an_append_is_refused_soon_when_connections_are_reset => storage(Storage::OwnGarage),
];

/// What a NO may take on a machine that is busy with other tests. The operator's guide says
/// "within a second or two"; the four attempts at a request that hangs would take 80.
const SOON: Duration = Duration::from_secs(20);

/// Whether an APPEND was acknowledged, and how long that took. The client does not wait
/// for leave to send.
fn append(client: &mut Client, message: &[u8]) -> (bool, Duration) {
    let begin = Instant::now();
    let command = format!("APPEND Box {{{}+}}\r\n", message.len());
    let answer = attempt(client, &[command.as_bytes(), message].concat());
    let answer = answer.expect("the server keeps the connection");
    (is_ok(&answer), begin.elapsed())
}

fn an_append_is_refused_soon_when_connections_are_reset(server: &Server) {
    let garage = server.garage();
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let messages = [samples::plain("small", "text"), samples::large(3_500_000)];
    for interface in [Interface::S3, Interface::K2v] {
        for message in &messages {
            garage.network_of(interface, Mode::Reset);
            let (done, took) = append(&mut client, message);
            eprintln!("{interface:?}, {} octets: NO after {took:?}", message.len());
            assert!(!done, "{interface:?}: an OK for nothing");
            assert!(took < SOON, "{interface:?}: NO after {took:?}");
            garage.network_of(interface, Mode::Pass);
            let begin = Instant::now();
            assert!(wait_for(|| append(&mut client, message).0));
            let took = begin.elapsed();
            assert!(took < SOON, "{interface:?}: OK after {took:?}");
        }
    }
    assert_eq!(server.login().ok("SELECT Box").exists(), Some(5));
}
