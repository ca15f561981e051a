//! Memory as a test: what a command holds does not depend on the size of a message
//! or on their number, in a folder and in Garage. Release builds, measured from outside by
//! `/proc`.

use std::{fs, path::PathBuf, sync::Barrier, thread};

use restante_tests::{
    Client, Server, Status, Test, binaries, lmtp,
    neighbours::{self, Program},
    process::{self, Pid},
    samples, tests,
    trials::Need,
};

/// How much a command may raise the peak over the level before, in KiB.
const GROWTH_MAX_KIB: u64 = 4 * 1024;

/// The same for a hundred APPENDs one after the other: besides what one needs, storage keeps
/// what was written last, and freed pages wait for a moment before the system has them back.
const APPENDS_MAX_KIB: u64 = 6 * 1024;

/// What freed pages may be that have not gone back to the system yet, while mail comes in
/// (docs/decisions/020-allocator.md), in KiB.
const FREED_MAX_KIB: u64 = 1024;

/// Octets of the large message.
const LARGE: usize = 25 * 1024 * 1024;

const TESTS: &[Test] = tests![
    append_of_25_megabytes => needs(&[Need::Proc]).release(),
    fetch_of_25_megabytes => needs(&[Need::Proc]).release(),
    fetch_and_search_of_a_hundred_messages
        => needs(&[Need::Proc, Need::Shared("bench"), Need::Program(Program::PYTHON)]).release(),
    fifty_deliveries_of_25_megabytes => needs(&[Need::Proc]).release(),
    one_delivery_to_many => needs(&[Need::Proc]).release(),
    a_client_that_never_reads => needs(&[Need::Proc]).release(),
    no_thread_of_the_other_runtime => needs(&[Need::Proc]).release(),
];

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_one_by_one(&[("memory", TESTS)])
}

/// Runs something and checks by how much it raised the peak of resident memory.
fn bounded<T>(pid: Pid, what: &str, action: impl FnOnce() -> T) -> T {
    bounded_by(GROWTH_MAX_KIB, pid, what, action)
}

fn bounded_by<T>(max_kib: u64, pid: Pid, what: &str, action: impl FnOnce() -> T) -> T {
    pid.wait_until_idle();
    pid.reset_peak();
    let before = pid.resident_kib();
    let result = action();
    let growth = pid.peak_kib().saturating_sub(before);
    eprintln!("{what}: {growth} KiB over {before} KiB");
    assert!(
        growth <= max_kib,
        "{what} raised the peak by {growth} KiB over {before} KiB"
    );
    result
}

/// What is allocated once, at the first use of everything, is not the command's.
fn warm_up(client: &mut Client) {
    client.ok("CREATE Warm");
    client.append_ok("Warm", "", &samples::plain("warm", "up"));
    // Garage takes it in parts, by other requests.
    client.append_ok("Warm", "", &samples::large(LARGE / 10));
    client.ok("SELECT Warm");
    client.fetch(1, "(ENVELOPE BODY[])");
    client.ok("SEARCH TEXT up");
}

fn append_of_25_megabytes(server: &Server) {
    let message = samples::large(LARGE);
    let mut client = server.login();
    warm_up(&mut client);
    client.ok("SELECT INBOX");
    bounded(server.pid(), "APPEND of 25 MiB", || {
        client.append_ok("INBOX", "", &message)
    });
    bounded(server.pid(), "APPEND of 25 MiB by LITERAL+", || {
        let tag = client.tag();
        client.send(format!("{} APPEND INBOX {{{}+}}\r\n", tag.0, message.len()));
        client.send(&message);
        client.send("\r\n");
        assert_eq!(client.finish(&tag).status, Status::Ok);
    });
}

/// Connections that deliver at once.
const DELIVERIES: usize = 50;

/// The budget of a copy that is being stored, in KiB: with the embedded storage, and with
/// Garage, which has a part of an upload of it besides.
fn copy_max_kib(server: &Server) -> u64 {
    match server.storage_is_garage() {
        false => 1024,
        true => 2 * 1024,
    }
}

/// Delivers `count` copies as `deliver` does and checks by how much that raised the peak.
fn bounded_deliveries(server: &Server, count: usize, what: &str, deliver: impl FnOnce()) {
    server
        .deliver()
        .deliver(&["bob"], &samples::large(LARGE / 10));
    let pid = server.pid();
    pid.wait_until_idle();
    pid.reset_peak();
    let before = pid.resident_kib();
    deliver();
    let growth = pid.peak_kib().saturating_sub(before);
    let budget = count as u64 * copy_max_kib(server) + FREED_MAX_KIB;
    eprintln!("{what}: {growth} KiB over {before} KiB, {budget} KiB allowed");
    assert!(
        growth <= budget,
        "{what} raised the peak by {growth} KiB over {before} KiB"
    );
}

fn fifty_deliveries_of_25_megabytes(server: &Server) {
    let message = &samples::large(LARGE);
    let (all_begun, ready) = (Barrier::new(DELIVERIES), Barrier::new(DELIVERIES));
    bounded_deliveries(server, DELIVERIES, "50 deliveries of 25 MiB", || {
        thread::scope(|scope| {
            for _ in 0..DELIVERIES {
                scope.spawn(|| {
                    let mut client = server.deliver();
                    ready.wait();
                    client.say("MAIL FROM:<ada@example.net>");
                    client.say("RCPT TO:<alice>");
                    assert!(client.say("DATA").starts_with("354 "));
                    let octets = lmtp::stuffed(message);
                    let (half, rest) = octets.split_at(octets.len() / 2);
                    client.send(half).expect("the server is there");
                    // All of them are under way now.
                    all_begun.wait();
                    client.send(rest).expect("the server is there");
                    let answer = client.line().expect("the server is there");
                    assert!(answer.starts_with("250 2.0.0 "), "{answer}");
                });
            }
        });
    });
    let mut client = server.login();
    let count = u32::try_from(DELIVERIES).expect("a small number");
    assert_eq!(client.ok("EXAMINE INBOX").exists(), Some(count));
    let fetch = client.fetch(1, "BODY.PEEK[]");
    assert!(fetch.bytes("BODY[]") == lmtp::kept("alice", message));
}

fn one_delivery_to_many(server: &Server) {
    let recipients = ["alice", "bob", "alice+1", "alice+2", "bob+1"];
    // Each account gets one copy.
    bounded_deliveries(server, 2, "a delivery to 100 recipients", || {
        let recipients: Vec<_> = recipients.into_iter().cycle().take(100).collect();
        server
            .deliver()
            .deliver(&recipients, &samples::large(LARGE));
    });
}

fn fetch_of_25_megabytes(server: &Server) {
    let message = samples::large(LARGE);
    let mut client = server.login();
    warm_up(&mut client);
    client.append_ok("INBOX", "", &message);
    server.restart();
    let mut client = server.login();
    warm_up_again(&mut client);
    client.ok("SELECT INBOX");
    let fetch = bounded(server.pid(), "FETCH BODY[] of 25 MiB", || {
        client.fetch(1, "BODY.PEEK[]")
    });
    assert!(
        fetch.bytes("BODY[]") == message,
        "the octets come back as they were"
    );
    bounded(server.pid(), "ENVELOPE and BODYSTRUCTURE", || {
        client.fetch(1, "(ENVELOPE BODYSTRUCTURE)")
    });
    bounded(server.pid(), "SEARCH BODY", || {
        client.ok("SEARCH BODY nowhere")
    });
}

fn warm_up_again(client: &mut Client) {
    client.ok("SELECT Warm");
    client.fetch(1, "(ENVELOPE BODY.PEEK[])");
    client.ok("SEARCH TEXT up");
}

fn fetch_and_search_of_a_hundred_messages(server: &Server) {
    let mut client = server.login();
    warm_up(&mut client);
    let messages = seed100(server);
    client.ok("CREATE Seed");
    bounded_by(
        APPENDS_MAX_KIB,
        server.pid(),
        "APPEND of 100 messages",
        || {
            for message in &messages {
                client.append_ok("Seed", "", message);
            }
        },
    );
    server.restart();
    let mut client = server.login();
    warm_up_again(&mut client);
    client.ok("SELECT Seed");
    let fetches = bounded(server.pid(), "FETCH 1:* BODY.PEEK[]", || {
        client.ok("FETCH 1:* BODY.PEEK[]")
    })
    .fetches();
    assert_eq!(fetches.len(), messages.len());
    for (fetch, message) in fetches.iter().zip(&messages) {
        assert!(
            fetch.bytes("BODY[]") == message,
            "message {} comes back as it was",
            fetch.number
        );
    }
    let reply = bounded(server.pid(), "SEARCH TEXT", || {
        client.ok("SEARCH TEXT somewordthatdoesnotexist")
    });
    assert_eq!(reply.found(), [0_u32; 0]);
    bounded(server.pid(), "FETCH 1:* FULL", || {
        client.ok("FETCH 1:* FULL")
    });
}

/// The messages of the reproducible mailbox of the benchmarks.
fn seed100(server: &Server) -> Vec<Vec<u8>> {
    let script = binaries::shared("bench")
        .expect("the test needs it")
        .join("make_mailbox.py");
    let maildir = server.folder().join("seed100");
    neighbours::success(
        Program::PYTHON
            .command()
            .arg(script)
            .arg("seed100")
            .arg("--maildir")
            .arg(&maildir),
    );
    let mut files: Vec<PathBuf> = fs::read_dir(maildir.join("cur"))
        .expect("a maildir")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 100);
    files
        .iter()
        .map(|file| fs::read(file).expect("a message"))
        .collect()
}

fn a_client_that_never_reads(server: &Server) {
    let message = samples::large(LARGE);
    let mut client = server.login();
    warm_up(&mut client);
    for _ in 0..4 {
        client.append_ok("INBOX", "", &message);
    }
    client.ok("SELECT INBOX");
    let pid = server.pid();
    bounded(pid, "FETCH of 100 MiB that nobody reads", || {
        client.start("FETCH 1:* BODY.PEEK[]");
        for _ in 0..64 {
            client.start("FETCH 1:* BODY.PEEK[]");
        }
        pid.wait_until_idle();
    });
    // Others are served meanwhile, and afterwards nothing is left of it.
    let mut other = server.login();
    other.ok("SELECT INBOX");
    other.fetch(1, "ENVELOPE");
    drop(client);
    assert!(process::wait_for(
        || other.command("NOOP").status == Status::Ok
    ));
}

fn no_thread_of_the_other_runtime(server: &Server) {
    let mut client = server.login();
    client.ok("SELECT INBOX");
    let threads = server.pid().threads();
    assert!(!threads.is_empty());
    let foreign = match server.flavour {
        restante_tests::Flavour::Smol => "tokio",
        _ => "smol",
    };
    assert!(
        !threads.iter().any(|name| name.contains(foreign)),
        "{threads:?}"
    );
}
