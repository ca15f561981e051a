//! Geary and Evolution: pipelines without a limit, and IDLE two seconds after the last command.

use std::time::{Duration, Instant};

use restante_tests::{Client, Server, Storage, Test, garage::Mode, samples, tests, trials::Need};

use crate::{done, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    geary_pipelines_five_thousand_commands_and_reads_later,
    geary_pipelines_them_over_tls => needs(&[Need::OwnProcess]),
    entering_and_leaving_idle_while_storage_says_nothing => storage(Storage::OwnGarage),
    evolution_looks_at_all_folders_in_one_list,
    evolution_comes_back_with_qresync,
];

/// Commands, more than any queue has room for.
const COUNT: u32 = 5_000;

fn geary_pipelines_five_thousand_commands_and_reads_later(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    pipeline(&mut client);
}

/// Commands may wait where TLS was undone already, and no socket tells of them.
fn geary_pipelines_them_over_tls(server: &Server) {
    server.select("Box", &[&samples::plain("one", "1")]);
    let mut client = Client::connect_tls(server.tls_address());
    client.login(&server.alice.name, &server.alice.password);
    ok(&mut client, "s SELECT Box");
    pipeline(&mut client);
}

fn pipeline(client: &mut Client) {
    let mut batch = String::new();
    for number in 0..COUNT {
        batch += &match number % 3 {
            0 => format!("g{number} UID FETCH 1 (UID FLAGS)\r\n"),
            1 => format!("g{number} NOOP\r\n"),
            _ => format!("g{number} STATUS Box (MESSAGES UIDNEXT)\r\n"),
        };
    }
    client.send(batch);
    for number in 0..COUNT {
        let reply = done(client, &format!("g{number}"));
        match number % 3 {
            0 => assert_eq!(reply.fetches().len(), 1),
            1 => assert!(reply.untagged.is_empty(), "{reply:?}"),
            _ => assert_eq!(reply.status_items()["MESSAGES"], 1),
        }
    }
}

/// Garage takes requests and never answers, so nothing is asked of it. The count of
/// requests, which is none, is in `core/tests/idling.rs`.
fn entering_and_leaving_idle_while_storage_says_nothing(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    server.garage().network(Mode::Hang);
    let begin = Instant::now();
    for _ in 0..500 {
        idle(&mut client, "g IDLE");
        client.send("DONE\r\n");
        done(&mut client, "g");
    }
    let took = begin.elapsed();
    // One that waited for storage would wait for it 500 times.
    assert!(
        took < Duration::from_secs(30),
        "500 times IDLE took {took:?}"
    );
    server.garage().network(Mode::Pass);
}

fn evolution_looks_at_all_folders_in_one_list(server: &Server) {
    let mut client = server.login();
    ok(&mut client, "A00001 CREATE \"Work\"");
    client.append_ok("Work", "", &samples::plain("one", "1"));
    let reply = ok(
        &mut client,
        "A00002 LIST \"\" \"*\" RETURN (CHILDREN SUBSCRIBED STATUS (MESSAGES UNSEEN UIDVALIDITY UIDNEXT HIGHESTMODSEQ))",
    );
    let listed = reply.mailboxes("LIST");
    let states = reply.data("STATUS");
    assert_eq!(states.len(), listed.len(), "{reply:?}");
    let work = states.iter().find(|state| state[0].text() == "Work");
    let work = work
        .expect("its STATUS")
        .last()
        .expect("its items")
        .to_string();
    assert!(
        work.starts_with("(MESSAGES 1 UNSEEN 1 UIDVALIDITY "),
        "{work}"
    );
}

fn evolution_comes_back_with_qresync(server: &Server) {
    let messages: Vec<Vec<u8>> = (0..6)
        .map(|n| samples::plain(&format!("m{n}"), "text"))
        .collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut other = server.select("Box", &slices);
    let mut client = server.login();
    ok(&mut client, "A00001 ENABLE CONDSTORE QRESYNC");
    let known = ok(&mut client, "A00002 SELECT \"Box\"");
    let (validity, modseq) = (
        known.code_number("UIDVALIDITY"),
        known.code_number("HIGHESTMODSEQ"),
    );
    drop(client);
    other.ok("STORE 2 +FLAGS (\\Seen)");
    other.ok("STORE 5 +FLAGS (\\Deleted)");
    other.ok("EXPUNGE");
    let mut client = server.login();
    ok(&mut client, "A00001 ENABLE CONDSTORE QRESYNC");
    let reply = ok(
        &mut client,
        format!("A00002 SELECT \"Box\" (QRESYNC ({validity} {modseq} 1:6 (1,4,6 1,4,6)))"),
    );
    let vanished = reply.data("VANISHED");
    assert_eq!(vanished.len(), 1, "{reply:?}");
    assert_eq!(vanished[0].last().expect("UIDs").text(), "5");
    assert_eq!(reply.fetch().uid(), 2);
    assert!(reply.fetch().has("\\Seen"));
}
