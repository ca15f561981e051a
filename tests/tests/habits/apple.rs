//! Apple Mail, on the desk and in the pocket.

use std::time::Duration;

use restante_tests::{Client, Server, Test, samples, tests, trials::Need};

use crate::{done, hear_of, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    done_and_the_next_commands_in_one_packet,
    done_and_the_next_commands_in_one_record_of_tls => needs(&[Need::OwnProcess]),
    done_and_the_next_commands_cut_anywhere,
    special_uses_are_told_so_that_it_makes_no_folders_of_its_own,
];

/// Since iOS 18. A server that stops to parse after DONE hears the rest never.
fn done_and_the_next_commands_in_one_packet(server: &Server) {
    let client = server.select("Box", &[&samples::plain("one", "1")]);
    fetch_after_done(server, client);
}

fn done_and_the_next_commands_in_one_record_of_tls(server: &Server) {
    server.select("Box", &[&samples::plain("one", "1")]);
    let mut client = Client::connect_tls(server.tls_address());
    client.login(&server.alice.name, &server.alice.password);
    ok(&mut client, "39 SELECT Box");
    fetch_after_done(server, client);
}

fn fetch_after_done(server: &Server, mut client: Client) {
    let mut other = server.login();
    for round in 2..=10 {
        idle(&mut client, "40 IDLE");
        other.append_ok("Box", "", &samples::plain("news", "text"));
        hear_of(&mut client, round);
        client.send(format!(
            "DONE\r\n41 UID FETCH {round}:* (UID FLAGS)\r\n\
             42 UID FETCH {round} (INTERNALDATE UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (date subject from \
             to cc message-id in-reply-to references content-type x-priority x-uniform-type-identifier \
             x-universally-unique-identifier list-id list-unsubscribe)])\r\n43 NOOP\r\n"
        ));
        done(&mut client, "40");
        assert_eq!(done(&mut client, "41").fetch().uid(), round);
        assert_eq!(done(&mut client, "42").fetch().uid(), round);
        done(&mut client, "43");
    }
}

fn done_and_the_next_commands_cut_anywhere(server: &Server) {
    let mut client = server.select("Box", &[&samples::plain("one", "1")]);
    let octets = b"DONE\r\n41 UID FETCH 1 (FLAGS)\r\n";
    for cut in 1..octets.len() {
        idle(&mut client, "40 IDLE");
        client.send(&octets[..cut]);
        // So that the first part is read alone.
        std::thread::sleep(Duration::from_millis(2));
        client.send(&octets[cut..]);
        done(&mut client, "40");
        assert_eq!(done(&mut client, "41").fetches().len(), 1, "cut at {cut}");
    }
}

fn special_uses_are_told_so_that_it_makes_no_folders_of_its_own(server: &Server) {
    let mut client = server.login();
    for command in [
        "1 LIST \"\" \"*\" RETURN (SPECIAL-USE)",
        "2 LIST \"\" \"*\"",
        "3 LIST \"\" %",
    ] {
        let listed = ok(&mut client, command).mailboxes("LIST");
        for special in ["\\drafts", "\\sent", "\\junk", "\\trash", "\\archive"] {
            let folders = listed
                .values()
                .filter(|attributes| attributes.contains(special));
            assert_eq!(
                folders.count(),
                1,
                "{special} in the answer to {command}: {listed:?}"
            );
        }
    }
    // The one that is called otherwise is the one that is used.
    ok(&mut client, "4 CREATE Weg (USE (\\Trash))");
    let listed = ok(&mut client, "5 LIST \"\" \"*\" RETURN (SPECIAL-USE)").mailboxes("LIST");
    let trash = listed
        .values()
        .filter(|attributes| attributes.contains("\\trash"));
    assert!(
        trash.count() >= 1 && listed["Weg"].contains("\\trash"),
        "{listed:?}"
    );
}
