//! SEARCH: every key of RFC 3501 §6.4.4.

use restante_tests::{Client, Server, Status, Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    flag_keys,
    header_keys,
    text_keys,
    decoded_text,
    dates_and_sizes,
    sets_and_uids,
    and_or_not,
    charsets,
    an_unknown_charset_is_named,
    literals_in_keys,
    uid_search,
    search_in_an_empty_mailbox,
];

/// Five messages: plain, quoted-printable, base64, encoded headers, and an HTML one.
fn library(server: &Server) -> Client {
    let mut client = server.login();
    client.ok("CREATE Library");
    let messages: [(&str, &[u8]); 5] = [
        (
            "(\\Seen \\Answered) \"01-Jan-2020 12:00:00 +0000\"",
            b"From: Anna <anna@example.org>\r\nTo: bert@example.net\r\nCc: carl@example.net\r\n\
              Bcc: dora@example.net\r\nSubject: Garden party\r\nDate: Tue, 31 Dec 2019 23:30:00 -0500\r\n\
              Message-ID: <garden@example.org>\r\nX-Odd: \r\n\r\nCome to the tulip garden.\r\n",
        ),
        (
            "(\\Flagged) \"15-Feb-2020 12:00:00 +0000\"",
            b"From: Bert <bert@example.net>\r\nTo: anna@example.org\r\nSubject: Re: Garden party\r\n\
              Date: Sat, 15 Feb 2020 10:00:00 +0000\r\nMIME-Version: 1.0\r\n\
              Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
              Sch=F6ne Gr=FC=DFe aus K=F6ln, hyphen=\r\nation.\r\n",
        ),
        (
            "(\\Deleted $Work) \"20-Mar-2020 12:00:00 +0000\"",
            b"From: =?utf-8?B?5bGx55Sw?= <yamada@example.jp>\r\nTo: anna@example.org\r\n\
              Subject: =?utf-8?Q?Caf=C3=A9_?= =?utf-8?Q?meeting?=\r\nDate: Fri, 20 Mar 2020 10:00:00 +0000\r\n\
              MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
              Content-Transfer-Encoding: base64\r\n\r\n5LuK5pel44GvIGhpZGRlbiB0cmVhc3VyZQ==\r\n",
        ),
        (
            "(\\Draft \\Seen) \"20-Mar-2020 23:59:59 +0000\"",
            b"From: list@example.com\r\nTo: undisclosed-recipients:;\r\nSubject: News\r\n\
              Date: Fri, 20 Mar 2020 11:00:00 +0000\r\nList-Id: <news.example.com>\r\nMIME-Version: 1.0\r\n\
              Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\n\
              plain version\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>rich <b>version</b></p>\r\n--b--\r\n",
        ),
        ("\"21-Mar-2020 00:00:00 +0000\"", b"Subject: no sender\r\n\r\nempty handed\r\n"),
    ];
    for (options, message) in messages {
        client.append_ok("Library", options, message);
    }
    client.ok("SELECT Library");
    client
}

fn check(client: &mut Client, cases: &[(&str, &[u32])]) {
    for (keys, expected) in cases {
        let found = client.ok(format!("SEARCH {keys}")).found();
        assert_eq!(found, *expected, "SEARCH {keys}");
    }
}

fn flag_keys(server: &Server) {
    let mut client = library(server);
    check(
        &mut client,
        &[
            ("ALL", &[1, 2, 3, 4, 5]),
            ("ANSWERED", &[1]),
            ("UNANSWERED", &[2, 3, 4, 5]),
            ("DELETED", &[3]),
            ("UNDELETED", &[1, 2, 4, 5]),
            ("DRAFT", &[4]),
            ("UNDRAFT", &[1, 2, 3, 5]),
            ("FLAGGED", &[2]),
            ("UNFLAGGED", &[1, 3, 4, 5]),
            ("SEEN", &[1, 4]),
            ("UNSEEN", &[2, 3, 5]),
            ("KEYWORD $Work", &[3]),
            ("UNKEYWORD $Work", &[1, 2, 4, 5]),
            ("KEYWORD Nobody-Has-It", &[]),
            ("RECENT", &[1, 2, 3, 4, 5]),
            ("NEW", &[2, 3, 5]),
            ("OLD", &[]),
        ],
    );
}

fn header_keys(server: &Server) {
    let mut client = library(server);
    check(
        &mut client,
        &[
            ("FROM anna", &[1]),
            ("FROM EXAMPLE.ORG", &[1]),
            ("TO bert@example.net", &[1]),
            ("CC carl", &[1]),
            ("BCC dora", &[1]),
            ("SUBJECT garden", &[1, 2]),
            ("SUBJECT \"Re: Garden\"", &[2]),
            ("HEADER Message-ID <garden@example.org>", &[1]),
            ("HEADER message-id garden", &[1]),
            ("HEADER List-Id \"\"", &[4]),
            ("HEADER X-Odd \"\"", &[1]),
            ("HEADER X-Absent \"\"", &[]),
            ("HEADER Subject party", &[1, 2]),
            ("TO recipients", &[4]),
        ],
    );
}

fn text_keys(server: &Server) {
    let mut client = library(server);
    check(
        &mut client,
        &[
            ("BODY tulip", &[1]),
            ("BODY TULIP", &[1]),
            ("BODY anna@example.org", &[]),
            ("TEXT anna@example.org", &[1, 2, 3]),
            ("TEXT \"tulip garden\"", &[1]),
            ("BODY \"plain version\"", &[4]),
            ("TEXT nowhere-to-be-found", &[]),
            ("BODY handed", &[5]),
        ],
    );
}

fn decoded_text(server: &Server) {
    let mut client = library(server);
    check(
        &mut client,
        &[
            ("CHARSET UTF-8 BODY {12+}\r\nschöne grü", &[2]),
            ("BODY hyphenation", &[2]),
            ("BODY \"hidden treasure\"", &[3]),
            ("CHARSET UTF-8 SUBJECT {13+}\r\nCafé meeting", &[3]),
            ("CHARSET UTF-8 FROM {6+}\r\n山田", &[3]),
            ("CHARSET UTF-8 TEXT {6+}\r\n今日", &[3]),
            ("CHARSET UTF-8 BODY {6+}\r\nKÖLN,", &[2]),
        ],
    );
}

fn dates_and_sizes(server: &Server) {
    let mut client = library(server);
    check(
        &mut client,
        &[
            ("BEFORE 15-Feb-2020", &[1]),
            ("ON 15-Feb-2020", &[2]),
            ("SINCE 15-Feb-2020", &[2, 3, 4, 5]),
            ("ON \"20-Mar-2020\"", &[3, 4]),
            ("SINCE 21-Mar-2020", &[5]),
            ("1:4 SENTBEFORE 1-Jan-2020", &[1]),
            ("1:4 SENTON 31-Dec-2019", &[1]),
            ("1:4 SENTSINCE 1-Mar-2020", &[3, 4]),
            ("LARGER 4294967295", &[]),
        ],
    );
    let reply = client.ok("FETCH 1:* RFC822.SIZE");
    let sizes: Vec<u64> = reply
        .fetches()
        .iter()
        .map(|fetch| fetch.item("RFC822.SIZE").number())
        .collect();
    for limit in &sizes {
        let expected = |matches: fn(u64, u64) -> bool| -> Vec<u32> {
            (1..)
                .zip(&sizes)
                .filter(|(_, size)| matches(**size, *limit))
                .map(|(number, _)| number)
                .collect()
        };
        let larger = client.ok(format!("SEARCH LARGER {limit}")).found();
        assert_eq!(larger, expected(|size, limit| size > limit));
        let smaller = client.ok(format!("SEARCH SMALLER {limit}")).found();
        assert_eq!(smaller, expected(|size, limit| size < limit));
    }
}

fn sets_and_uids(server: &Server) {
    let mut client = library(server);
    client.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)");
    client.ok("UID EXPUNGE 1");
    check(
        &mut client,
        &[
            ("1:2", &[1, 2]),
            ("*", &[4]),
            ("3:*", &[3, 4]),
            ("UID 2:3", &[1, 2]),
            ("UID 1", &[]),
            ("UID *", &[4]),
            ("UID 100:*", &[4]),
            ("1,3 UID 2", &[1]),
        ],
    );
}

fn and_or_not(server: &Server) {
    let mut client = library(server);
    check(
        &mut client,
        &[
            ("SEEN DRAFT", &[4]),
            ("OR SEEN FLAGGED", &[1, 2, 4]),
            ("NOT SEEN", &[2, 3, 5]),
            ("NOT (OR SEEN FLAGGED)", &[3, 5]),
            ("(SEEN) (UNDRAFT)", &[1]),
            ("OR (FROM anna SEEN) (SUBJECT news)", &[1, 4]),
            ("NOT NOT SEEN", &[1, 4]),
            ("OR OR ANSWERED DRAFT DELETED", &[1, 3, 4]),
            ("2:4 NOT 3 UNSEEN", &[2]),
        ],
    );
}

fn charsets(server: &Server) {
    let mut client = library(server);
    check(
        &mut client,
        &[
            ("CHARSET US-ASCII SUBJECT garden", &[1, 2]),
            ("CHARSET utf-8 SUBJECT garden", &[1, 2]),
            ("CHARSET \"UTF-8\" SUBJECT garden", &[1, 2]),
        ],
    );
}

fn an_unknown_charset_is_named(server: &Server) {
    let mut client = library(server);
    let reply = client.no("SEARCH CHARSET X-UNKNOWN SUBJECT garden");
    assert!(
        reply.tagged.code("BADCHARSET").is_some(),
        "RFC 3501 §6.4.4: {reply:?}"
    );
    assert!(reply.data("SEARCH").is_empty());
    client.ok("NOOP");
}

fn literals_in_keys(server: &Server) {
    let mut client = library(server);
    let tag = client.start("SEARCH SUBJECT {6}");
    assert!(client.response().starts_with("+ "));
    client.send("garden FROM {4+}\r\nanna\r\n");
    let reply = client.finish(&tag);
    assert_eq!((reply.status, reply.found()), (Status::Ok, vec![1]));
}

fn uid_search(server: &Server) {
    let mut client = library(server);
    client.ok("UID STORE 1:2 +FLAGS.SILENT (\\Deleted)");
    client.ok("UID EXPUNGE 1:2");
    assert_eq!(client.ok("UID SEARCH ALL").found(), [3, 4, 5]);
    assert_eq!(client.ok("UID SEARCH 1").found(), [3]);
    assert_eq!(client.ok("UID SEARCH UID 4:5 UNSEEN").found(), [5]);
}

fn search_in_an_empty_mailbox(server: &Server) {
    let mut client = server.login();
    client.ok("SELECT INBOX");
    assert_eq!(client.ok("SEARCH ALL").found(), [0_u32; 0]);
    assert_eq!(client.ok("UID SEARCH UID 1:*").found(), [0_u32; 0]);
}
