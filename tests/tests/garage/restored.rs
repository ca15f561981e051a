//! An earlier state of K2V was put back, while the objects stayed: as after the last snapshot of Garage's
//! metadata and the copy of its objects were taken from a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use restante_tests::{
    Client, Server, Storage, Test, neighbours::Program, samples, tests, trials::Need,
};

use crate::raw::Raw;

pub(crate) const TESTS: &[Test] = tests![
    the_first_login_after_a_backup_was_put_back_gives_no_uid_twice
        => storage(Storage::Garage).needs(&[Need::Program(Program::CURL)]),
];

/// The logs of all mailboxes, with what is in them.
fn logs(raw: &Raw<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let objects = raw.objects();
    let body = objects.first().expect("a message is stored");
    let account = body.split('/').next().expect("it begins with the account");
    let logs = raw.partitions(&format!("{account}/m/"));
    let items = |log: String| {
        let items = raw.items(&log).into_iter();
        let there = items.filter(|(_, values)| values.iter().any(|value| !value.is_null()));
        (log, there.map(|(sort, _)| sort).collect())
    };
    logs.into_iter().map(items).collect()
}

fn uid_next(client: &mut Client, mailbox: &str) -> u64 {
    let status = client.ok(format!("STATUS {mailbox} (UIDNEXT)"));
    status.status_items()["UIDNEXT"]
}

fn bodies(client: &mut Client, mailbox: &str) -> BTreeMap<u32, Vec<u8>> {
    client.ok(format!("EXAMINE {mailbox}"));
    let fetches = client.ok("FETCH 1:* (UID BODY.PEEK[])").fetches();
    let body = |fetch: &restante_tests::Fetch| (fetch.uid(), fetch.bytes("BODY[]").to_vec());
    fetches.iter().map(body).collect()
}

fn the_first_login_after_a_backup_was_put_back_gives_no_uid_twice(server: &Server) {
    let raw = Raw::new(&server.garage().bucket);
    let message = |number: u32| samples::plain(&format!("message {number}"), "text");
    let mut client = server.login();
    client.ok("CREATE Box");
    for number in 1..=3 {
        client.append_ok("Box", "", &message(number));
        client.append_ok("INBOX", "", &message(10 + number));
    }
    let earlier = logs(&raw);
    for number in 4..=5 {
        client.append_ok("Box", "", &message(number));
    }
    let (box_told, inbox_told) = (uid_next(&mut client, "Box"), uid_next(&mut client, "INBOX"));
    drop(client);
    server.kill();
    let mut taken = 0;
    for (log, items) in logs(&raw) {
        for item in items.difference(&earlier[&log]) {
            raw.delete_item(&log, item);
            taken += 1;
        }
    }
    assert!(taken >= 2, "what came later is still there");

    let (code, said) = server.accounts(&["restored", "--all"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let marked = |server: &Server| {
        let (_, list) = server.accounts(&["list"]);
        list.lines()
            .filter(|line| line.ends_with("restored"))
            .count()
    };
    let all = marked(server);
    assert!(all >= 2, "alice and bob are marked");
    server
        .start_again()
        .expect("it starts on what was put back");
    // Mail programs open several connections at once.
    thread::scope(|scope| {
        let logins: Vec<_> = (0..4).map(|_| scope.spawn(|| server.login())).collect();
        for login in logins {
            let mut client = login.join().expect("it is let in");
            assert!(uid_next(&mut client, "Box") > box_told);
        }
    });
    assert_eq!(marked(server), all - 1, "bob has not logged in yet");

    let mut client = server.login();
    let old = bodies(&mut client, "Box");
    assert_eq!(old, (1..=3).map(|it| (it, message(it))).collect());
    let recovered: BTreeSet<_> = bodies(&mut client, "Recovered").into_values().collect();
    assert_eq!(recovered, (4..=5).map(message).collect());
    let next = uid_next(&mut client, "Box");
    assert!(uid_next(&mut client, "INBOX") > inbox_told);
    client.append_ok("Box", "", &message(6));
    assert_eq!(uid_next(&mut client, "Box"), next + 1);
    let of_new = bodies(&mut client, "Box");
    let of_new = of_new.last_key_value().expect("it is there");
    assert!(u64::from(*of_new.0) >= box_told, "a UID is given again");

    // Once is enough.
    drop(client);
    server.kill();
    server.start_again().expect("it starts again");
    let mut client = server.login();
    assert_eq!(uid_next(&mut client, "Box"), next + 1);
    assert_eq!(bodies(&mut client, "Recovered").len(), 2);
}
