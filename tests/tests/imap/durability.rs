//! What is acknowledged stays, across restarts and kills.

use std::collections::BTreeMap;

use restante_tests::{
    Client, Server, Status, Storage, Test, process, samples, server::panic_in, tests, trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    everything_survives_a_restart => needs(&[Need::OwnProcess]),
    everything_acknowledged_survives_a_kill => needs(&[Need::OwnProcess]),
    a_kill_during_appends_loses_nothing_acknowledged => needs(&[Need::OwnProcess]),
    a_second_server_on_the_folder_is_refused => needs(&[Need::OwnProcess]).storage(Storage::Embedded),
    a_stop_says_bye => needs(&[Need::OwnProcess]),
];

/// All that a client can see of an account.
fn everything(client: &mut Client) -> BTreeMap<String, Vec<String>> {
    let names: Vec<String> = client
        .ok("LIST \"\" *")
        .mailboxes("LIST")
        .into_keys()
        .collect();
    let mut all = BTreeMap::new();
    for name in names {
        let reply = client.ok(format!("EXAMINE \"{name}\""));
        let mut lines = vec![format!(
            "{} {}",
            reply.code_number("UIDVALIDITY"),
            reply.code_number("UIDNEXT")
        )];
        if reply.exists() > Some(0) {
            let items = "(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY.PEEK[])";
            for fetch in client.ok(format!("FETCH 1:* {items}")).fetches() {
                let values: Vec<String> = fetch
                    .items
                    .iter()
                    .filter(|(name, _)| *name != "FLAGS")
                    .map(|(name, value)| format!("{name} {value}"))
                    .collect();
                let mut flags = fetch.flags();
                flags.remove("\\Recent");
                lines.push(format!("{} {flags:?} {}", fetch.number, values.join(" ")));
            }
        }
        all.insert(name, lines);
    }
    all.insert(
        "subscribed".to_owned(),
        client
            .ok("LSUB \"\" *")
            .mailboxes("LSUB")
            .into_keys()
            .collect(),
    );
    all
}

/// A session that leaves something of every kind behind.
fn busy(client: &mut Client) {
    client.ok("CREATE Box");
    client.ok("CREATE Box/Inside");
    client.ok("CREATE Old");
    client.ok("SUBSCRIBE Box");
    for number in 1..=20 {
        client.append_ok(
            "Box",
            "(\\Seen Mark)",
            &samples::plain(&format!("m{number}"), "text"),
        );
    }
    client.append_ok("Box", "", &samples::nested().message);
    client.append_ok("Box", "", &samples::large(300_000));
    client.ok("SELECT Box");
    client.ok("STORE 3:5 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    client.ok("STORE 1:4 FLAGS (\\Flagged $Later)");
    client.ok("COPY 1:10 Box/Inside");
    client.ok("MOVE 11 Box/Inside");
    client.ok("RENAME Old New");
}

fn everything_survives_a_restart(server: &Server) {
    let mut client = server.login();
    busy(&mut client);
    let before = everything(&mut client);
    assert!(before["Box"].len() > 15);
    drop(client);
    for _ in 0..2 {
        server.restart();
        assert_eq!(everything(&mut server.login()), before);
    }
}

fn everything_acknowledged_survives_a_kill(server: &Server) {
    let mut client = server.login();
    busy(&mut client);
    let before = everything(&mut client);
    server.kill();
    server
        .start_again()
        .expect("the server starts after a kill");
    assert_eq!(everything(&mut server.login()), before);
    // And what comes after it is kept as well.
    let mut client = server.login();
    client.append_ok("Box", "", &samples::plain("after", "x"));
    let after = everything(&mut client);
    server.kill();
    server
        .start_again()
        .expect("the server starts after a second kill");
    assert_eq!(everything(&mut server.login()), after);
}

fn a_kill_during_appends_loses_nothing_acknowledged(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Box");
    for round in 0..3 {
        let mut acknowledged = BTreeMap::new();
        let mut client = server.login();
        // Pipelined, so that the kill comes in the middle of the work.
        let messages: Vec<Vec<u8>> = (0..100)
            .map(|number| samples::plain(&format!("r{round} n{number}"), "text"))
            .collect();
        let mut batch = Vec::new();
        for (number, message) in messages.iter().enumerate() {
            batch.extend_from_slice(
                format!("k{number} APPEND Box {{{}+}}\r\n", message.len()).as_bytes(),
            );
            batch.extend_from_slice(message);
            batch.extend_from_slice(b"\r\n");
        }
        client.send(&batch);
        for message in messages.iter().take(10 + 25 * round) {
            let response = client.response();
            let code = response
                .code("APPENDUID")
                .unwrap_or_else(|| panic!("APPENDUID in {response:?}"));
            let uid: u32 = code
                .rsplit(' ')
                .next()
                .and_then(|uid| uid.parse().ok())
                .expect("a UID");
            acknowledged.insert(uid, message);
        }
        server.kill();
        server
            .start_again()
            .expect("the server starts after a kill");
        let mut client = server.login();
        client.ok("SELECT Box");
        for (uid, message) in acknowledged {
            let fetch = client.ok(format!("UID FETCH {uid} BODY.PEEK[]")).fetch();
            assert_eq!(fetch.bytes("BODY[]"), message, "message {uid}");
        }
        // Whatever else became visible is whole.
        for fetch in client.ok("FETCH 1:* (RFC822.SIZE BODY.PEEK[])").fetches() {
            assert_eq!(
                fetch.item("RFC822.SIZE").number(),
                fetch.bytes("BODY[]").len() as u64
            );
        }
    }
}

fn a_second_server_on_the_folder_is_refused(server: &Server) {
    let mut client = server.login();
    client.append_ok("INBOX", "", &samples::plain("one", "1"));
    let why = server.try_second();
    assert!(
        why.to_lowercase().contains("data"),
        "the message names the folder: {why}"
    );
    assert_eq!(panic_in(&why), None);
    assert_eq!(client.ok("SELECT INBOX").exists(), Some(1));
}

fn a_stop_says_bye(server: &Server) {
    let mut idle = server.select("Box", &[]);
    let tag = idle.start("IDLE");
    assert!(idle.response().starts_with("+"));
    let mut quiet = server.login();
    server.stop();
    for client in [&mut idle, &mut quiet] {
        let last = client.until_closed();
        assert!(
            last.iter().any(|response| response.starts_with("* BYE ")),
            "{tag:?}: {last:?}"
        );
    }
    server.start_again().expect("the server starts again");
    assert!(process::wait_for(|| server.is_running()));
    assert_eq!(server.login().command("NOOP").status, Status::Ok);
}
