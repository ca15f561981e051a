//! Flipped bits on the disk cost at most what they hit.

use std::{collections::BTreeSet, fs};

use restante_tests::{
    Client, Server, Status, Test, samples, server::panic_in, tests, trials::Need,
};

use crate::confidential::files;

pub(crate) const TESTS: &[Test] = tests![
    flipped_bits_are_noticed => needs(&[Need::OwnProcess]),
    a_flipped_bit_in_one_body_costs_one_message => needs(&[Need::OwnProcess]),
];

/// How often the folder is damaged, each time elsewhere.
const ROUNDS: usize = 12;

fn bodies() -> Vec<Vec<u8>> {
    (0..10_usize)
        .map(|number| samples::large(60_000 + 7_000 * number))
        .collect()
}

/// A repeatable scatter of positions.
fn positions(seed: u64, size: usize, count: usize) -> Vec<usize> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % size.max(1) as u64).expect("below the size")
        })
        .collect()
}

/// Reads each message in a connection of its own, and says which came back whole.
/// Octets that differ from what was stored are never acceptable.
fn readable(server: &Server, expected: &[Vec<u8>]) -> BTreeSet<usize> {
    let mut whole = BTreeSet::new();
    for (number, message) in expected.iter().enumerate() {
        let mut client = server.connect();
        let login = client.start(format!(
            "LOGIN {} {}",
            server.alice.name, server.alice.password
        ));
        if answered(&mut client, &login.0) != Some(true) {
            continue;
        }
        let select = client.start("SELECT INBOX");
        if answered(&mut client, &select.0) != Some(true) {
            continue;
        }
        let tag = client.start(format!("UID FETCH {} (UID BODY.PEEK[])", number + 1));
        while let Some(response) = next(&mut client) {
            if let Some((_, data)) = response.numbered("FETCH") {
                let reply = restante_tests::Reply {
                    untagged: vec![restante_tests::Response(
                        [b"* 1 FETCH".as_slice(), data].concat(),
                    )],
                    status: Status::Ok,
                    tagged: response.clone(),
                };
                for fetch in reply.fetches() {
                    if fetch.items.contains_key("BODY[]") && !fetch.bytes("BODY[]").is_empty() {
                        assert!(
                            fetch.bytes("BODY[]") == message,
                            "damaged octets of message {} are shown",
                            number + 1
                        );
                        whole.insert(number);
                    }
                }
            }
            if response.starts_with(&tag.0) {
                break;
            }
        }
    }
    whole
}

/// The next response; nothing when the server closed, be it within a literal.
fn next(client: &mut Client) -> Option<restante_tests::Response> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.try_response())).unwrap_or(None)
}

fn answered(client: &mut Client, tag: &str) -> Option<bool> {
    while let Some(response) = next(client) {
        if response.starts_with(tag) {
            return Some(response.text()[tag.len()..].starts_with(" OK "));
        }
    }
    None
}

fn fill(server: &Server) -> Vec<Vec<u8>> {
    let messages = bodies();
    let mut client = server.login();
    for message in &messages {
        client.append_ok("INBOX", "", message);
    }
    messages
}

fn flip(file: &std::path::Path, at: &[usize]) {
    let mut bytes = fs::read(file).expect("a file of the server");
    for &position in at {
        bytes[position] ^= 0x10;
    }
    fs::write(file, bytes).expect("our folder can be written");
}

fn flipped_bits_are_noticed(server: &Server) {
    let messages = fill(server);
    server.stop();
    let intact = server.folder().join("intact");
    fs::rename(server.data_folder(), &intact).expect("our folder can be changed");
    for seed in 0..ROUNDS as u64 {
        copy(&intact, &server.data_folder());
        // One file at a time, the largest most often, and in the last round all of them.
        let mut victims: Vec<(usize, std::path::PathBuf)> = files(&server.data_folder())
            .into_iter()
            .map(|file| {
                (
                    usize::try_from(fs::metadata(&file).expect("a file").len()).expect("fits"),
                    file,
                )
            })
            .filter(|(size, _)| *size > 0)
            .collect();
        victims.sort();
        victims.reverse();
        let round = usize::try_from(seed).expect("a small number");
        let chosen = if round + 1 == ROUNDS {
            &victims[..]
        } else {
            &victims[round / 3 % victims.len()..][..1]
        };
        for (size, file) in chosen {
            flip(file, &positions(seed + 1, *size, 1 + size / 200_000));
        }
        match server.start_again() {
            Ok(()) => {
                let whole = readable(server, &messages);
                eprintln!(
                    "{}: damage {seed}: {} of {} readable",
                    server.flavour.name(),
                    whole.len(),
                    messages.len()
                );
                server.connect().ok("NOOP");
                if server.is_running() {
                    server.stop();
                }
            }
            Err(why) => {
                assert_eq!(panic_in(&why), None);
                let last = why.lines().last().unwrap_or_default();
                assert!(last.contains("data"), "the reason names the file: {last:?}");
                eprintln!("{}: damage {seed}: {last}", server.flavour.name());
            }
        }
        assert_eq!(panic_in(&server.log()), None, "a panic after damage {seed}");
        fs::remove_dir_all(server.data_folder()).expect("our folder can be changed");
    }
    // Undamaged again, all is there.
    copy(&intact, &server.data_folder());
    server
        .start_again()
        .expect("the undamaged folder is served");
    assert_eq!(readable(server, &messages).len(), messages.len());
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for file in files(from) {
        let target = to.join(file.strip_prefix(from).expect("it lies below"));
        fs::create_dir_all(target.parent().expect("it has a folder"))
            .expect("our folder can be changed");
        fs::copy(&file, &target).expect("a file can be copied");
    }
}

/// Finds a place inside one body by comparing the folder before and after an APPEND.
fn a_flipped_bit_in_one_body_costs_one_message(server: &Server) {
    let mut messages = fill(server);
    server.stop();
    let before: Vec<(std::path::PathBuf, Vec<u8>)> = files(&server.data_folder())
        .into_iter()
        .map(|file| (file.clone(), fs::read(&file).expect("a file of the server")))
        .collect();
    server.start_again().expect("the server starts again");
    messages.push(samples::large(1_500_000));
    server.login().append_ok("INBOX", "", &messages[10]);
    server.stop();
    // The longest run of octets that are new is inside the large message.
    let mut best = (0, None);
    for file in files(&server.data_folder()) {
        let now = fs::read(&file).expect("a file of the server");
        let old = before
            .iter()
            .find(|(name, _)| *name == file)
            .map_or(&[][..], |(_, bytes)| bytes);
        let mut begin = 0;
        for at in 0..=now.len() {
            let same = at < now.len()
                && old.get(at) == Some(&now[at])
                && old[at..].iter().take(16).eq(now[at..].iter().take(16));
            let zeros = at < now.len() && now[at..].iter().take(16).all(|&byte| byte == 0);
            if at == now.len() || same || zeros {
                if at - begin > best.0 {
                    best = (at - begin, Some((file.clone(), begin + (at - begin) / 2)));
                }
                begin = at + 1;
            }
        }
    }
    let (file, at) = best.1.expect("the folder has grown");
    assert!(best.0 > 30_000, "a run of {} octets is no body", best.0);
    flip(&file, &[at]);
    server
        .start_again()
        .expect("the server starts although one body is damaged");
    let whole = readable(server, &messages);
    assert_eq!(
        whole,
        (0..10).collect::<BTreeSet<_>>(),
        "exactly the damaged message is missing"
    );
    assert_eq!(panic_in(&server.log()), None);
    // The rest keeps working, also for writing.
    let mut client = server.login();
    client.ok("SELECT INBOX");
    client.append_ok("INBOX", "", &samples::plain("after", "x"));
    assert_eq!(
        client.ok("FETCH 12 BODY.PEEK[]").fetch().bytes("BODY[]"),
        samples::plain("after", "x")
    );
    // Envelope and flags of the damaged one need not be lost, but asking must be safe.
    client.command("FETCH 11 (FLAGS ENVELOPE RFC822.SIZE)");
    client.ok("STORE 11 +FLAGS (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("NOOP");
}
