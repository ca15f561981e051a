//! Thunderbird: some five connections that it keeps, and everything downloaded.

use restante_tests::{Client, Server, Test, samples, tests};

use crate::{done, hear_of, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    five_cached_connections_idle_and_idle_again,
    a_folder_is_opened_by_its_flags_and_then_the_headers_of_what_is_new,
    a_folder_is_copied_by_appends_in_one_packet,
    two_literals_without_waiting_in_one_append,
    the_list_of_subscribed_folders_tells_special_uses,
];

const HEADERS: &str = "From To Cc Bcc Subject Date Message-ID Priority X-Priority References \
                       Newsgroups In-Reply-To Content-Type Reply-To";

fn open(server: &Server, folder: &str) -> Client {
    let mut client = server.login();
    ok(
        &mut client,
        "2 ID (\"name\" \"Thunderbird\" \"version\" \"128.5.0\")",
    );
    ok(&mut client, format!("3 select \"{folder}\""));
    ok(&mut client, "4 UID fetch 1:* (FLAGS)");
    client
}

fn five_cached_connections_idle_and_idle_again(server: &Server) {
    let folders = ["INBOX", "Drafts", "Sent", "Trash", "Archive"];
    let mut clients = folders.map(|folder| open(server, folder));
    for client in &mut clients {
        idle(client, "5 IDLE");
    }
    let mut other = server.login();
    for round in 1..=3 {
        for (folder, client) in folders.iter().zip(&mut clients) {
            other.append_ok(folder, "", &samples::plain("news", "text"));
            hear_of(client, round);
            // It leaves IDLE to fetch, and enters it again at once.
            client.send("DONE\r\n");
            done(client, "5");
            let fetch = format!(
                "6 UID fetch {round} (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({HEADERS})])"
            );
            assert_eq!(ok(client, fetch).fetch().uid(), round);
            idle(client, "5 IDLE");
        }
    }
    for client in &mut clients {
        client.send("DONE\r\n");
        done(client, "5");
        ok(client, "7 close");
    }
}

fn a_folder_is_opened_by_its_flags_and_then_the_headers_of_what_is_new(server: &Server) {
    let messages: Vec<Vec<u8>> = (0..20)
        .map(|n| samples::plain(&format!("m{n}"), "text"))
        .collect();
    let slices: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    server.select("Box", &slices);
    let mut client = open(server, "Box");
    let flags = ok(&mut client, "8 UID fetch 1:* (FLAGS)").fetches();
    assert_eq!(flags.len(), 20);
    let uids: Vec<u32> = flags.iter().map(|fetch| fetch.uid()).collect();
    assert_eq!(uids, (1..=20).collect::<Vec<_>>());
    let headers = ok(
        &mut client,
        format!("9 UID fetch 1:20 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS ({HEADERS})])"),
    );
    let section = format!("BODY[HEADER.FIELDS ({})]", HEADERS.to_uppercase());
    for (number, fetch) in headers.fetches().iter().enumerate() {
        let header = String::from_utf8_lossy(fetch.bytes(&section)).into_owned();
        assert!(
            header.contains(&format!("Subject: m{number}\r\n")) && header.ends_with("\r\n\r\n"),
            "{header}"
        );
        assert!(!fetch.has("\\Seen"));
    }
    for (uid, message) in (1..).zip(&messages) {
        let fetch = ok(
            &mut client,
            format!("10 UID fetch {uid} (UID RFC822.SIZE BODY.PEEK[])"),
        )
        .fetch();
        assert!(fetch.bytes("BODY[]") == message);
        assert_eq!(fetch.item("RFC822.SIZE").number(), message.len() as u64);
    }
    // What came meanwhile is asked for with a range that has no other end.
    assert_eq!(
        ok(&mut client, "11 UID fetch 21:* (FLAGS)").fetch().uid(),
        20
    );
    ok(&mut client, "12 uid store 1:20 +FLAGS (\\Seen)");
    // Its tags are keywords, and so is what its filter of spam found.
    let tagged = ok(&mut client, "16 uid store 3 +Flags ($label1 NonJunk)").fetch();
    assert!(tagged.has("$label1") && tagged.has("NonJunk"));
    // Its own numbers for what it has moved without the server.
    let own = "17 UID fetch 4294967159:4294967168 (UID RFC822.SIZE BODY.PEEK[])";
    assert_eq!(ok(&mut client, own).fetches().len(), 0);
    ok(&mut client, "13 uid move 1:2 \"Trash\"");
    assert_eq!(ok(&mut client, "14 noop").expunged(), [0; 0]);
    assert_eq!(
        ok(
            &mut client,
            "15 status \"Trash\" (UIDNEXT MESSAGES UNSEEN RECENT)"
        )
        .status_items()["MESSAGES"],
        2
    );
}

fn a_folder_is_copied_by_appends_in_one_packet(server: &Server) {
    const COUNT: u32 = 100;
    let mut client = server.login();
    ok(&mut client, "1 create \"Copied\"");
    let mut packet = Vec::new();
    for number in 0..COUNT {
        let message = samples::plain(&format!("m{number}"), &"x".repeat(number as usize * 50));
        let date = "07-Feb-1994 21:52:25 -0800";
        let start = format!(
            "c{number} append \"Copied\" (\\Seen) \"{date}\" {{{}+}}\r\n",
            message.len()
        );
        packet.extend_from_slice(start.as_bytes());
        packet.extend_from_slice(&message);
        packet.extend_from_slice(b"\r\n");
    }
    packet.extend_from_slice(b"2 select \"Copied\"\r\n3 UID fetch 1:* (FLAGS)\r\n");
    client.send(packet);
    for number in 0..COUNT {
        let reply = done(&mut client, &format!("c{number}"));
        let code = reply.tagged.code("APPENDUID").expect("RFC 4315 §3");
        assert!(
            code.ends_with(&format!(" {}", number + 1)),
            "in order: {code}"
        );
    }
    assert_eq!(done(&mut client, "2").exists(), Some(COUNT));
    let flags = done(&mut client, "3").fetches();
    assert!(flags.len() == COUNT as usize && flags.iter().all(|fetch| fetch.has("\\Seen")));
}

fn two_literals_without_waiting_in_one_append(server: &Server) {
    let mut client = server.login();
    let (one, two) = (samples::plain("one", "1"), samples::plain("two", "2"));
    let mut packet =
        format!("1 append {{5+}}\r\nINBOX (\\Seen) {{{}+}}\r\n", one.len()).into_bytes();
    packet.extend_from_slice(&one);
    packet.extend_from_slice(format!(" {{{}+}}\r\n", two.len()).as_bytes());
    packet.extend_from_slice(&two);
    packet.extend_from_slice(b"\r\n2 select {5+}\r\nINBOX\r\n3 fetch 1:* (body.peek[])\r\n");
    client.send(packet);
    done(&mut client, "1");
    done(&mut client, "2");
    let fetches = done(&mut client, "3").fetches();
    assert!(fetches[0].bytes("BODY[]") == one && fetches[1].bytes("BODY[]") == two);
}

fn the_list_of_subscribed_folders_tells_special_uses(server: &Server) {
    let mut client = server.login();
    ok(&mut client, "1 create \"Work\"");
    ok(&mut client, "2 subscribe \"Work\"");
    ok(&mut client, "3 subscribe \"Sent\"");
    let reply = ok(
        &mut client,
        "4 list (subscribed) \"\" \"*\" return (special-use)",
    );
    let shown = reply.mailboxes("LIST");
    assert!(shown["Work"].contains("\\subscribed"), "{shown:?}");
    assert!(shown["Sent"].contains("\\sent"), "{shown:?}");
    let shown = ok(&mut client, "5 list \"\" \"INBOX\"").mailboxes("LIST");
    assert!(shown.contains_key("INBOX"), "{shown:?}");
    let shown = ok(&mut client, "6 lsub \"\" \"*\"").mailboxes("LSUB");
    assert!(
        shown.contains_key("Work") && shown.contains_key("Sent"),
        "{shown:?}"
    );
}
