//! offlineimap: it finds the messages it stored by a header of its own. That IDLE lasts for its
//! 29 minutes is in `core/tests/idling.rs`, the program in `tests/tests/clients/offlineimap.rs`.

use restante_tests::{Server, Status, Test, tests};

use crate::{done, idle, ok};

pub(crate) const TESTS: &[Test] = tests![
    a_stored_message_is_found_by_exactly_its_header,
    idle_is_ended_and_begun_anew,
];

fn a_stored_message_is_found_by_exactly_its_header(server: &Server) {
    let mut client = server.login();
    ok(&mut client, "AAAA1 CREATE Box");
    ok(&mut client, "AAAA2 SELECT Box");
    // Values of which one begins like another, ends like it, or stands in another place.
    let values = [
        "1700000001-0123456789",
        "1700000001-01234567890",
        "21700000001-0123456789",
    ];
    let mail = |value: &str| {
        format!("X-OfflineIMAP: {value}\r\nSubject: same\r\n\r\nX-OfflineIMAP: 7\r\n")
    };
    for value in values {
        let reply = client.append(
            "Box",
            "(\\Seen) \" 7-Feb-1994 21:52:25 -0800\"",
            mail(value).as_bytes(),
        );
        assert_eq!(reply.status, Status::Ok);
        ok(&mut client, "AAAA3 CHECK");
    }
    let mut found = |value: &str| {
        ok(
            &mut client,
            format!("AAAA4 UID SEARCH HEADER X-OfflineIMAP {value}"),
        )
        .found()
    };
    // RFC 3501 §6.4.4: the string is looked for within the field.
    assert_eq!(found(values[0]), [1, 2, 3]);
    assert_eq!(found(values[1]), [2]);
    assert_eq!(found(values[2]), [3]);
    assert_eq!(
        found("7"),
        [1, 2, 3],
        "and not in the text, which all of them have"
    );
    assert_eq!(found("1700000002"), [0; 0]);
    assert_eq!(found("same"), [0; 0]);
}

fn idle_is_ended_and_begun_anew(server: &Server) {
    let mut client = server.login();
    ok(&mut client, "AAAA1 EXAMINE INBOX");
    for _ in 0..10 {
        idle(&mut client, "AAAA2 IDLE");
        client.send("DONE\r\n");
        done(&mut client, "AAAA2");
        ok(&mut client, "AAAA3 NOOP");
    }
}
