//! Postfix killed (SIGKILL) while it hands a mail over: in the middle of the message, and
//! after the answer was sent to it and before it has read it. What it kept in its queue it
//! sends again.
//!
//! Its client never uses BDAT, so DATA is meant everywhere.

use std::{fs, net::SocketAddr};

use restante_tests::{
    Server, Test,
    client::Client,
    garage::{Mode, Proxy},
    neighbours::{self, Program},
    postfix::Postfix,
    process::wait_for,
    samples, tests,
    trials::Need,
};

use crate::messages;

const NEEDS: &[Need] = &[
    Need::OwnProcess,
    Need::Program(Program::POSTFIX),
    Need::Program(Program::PYTHON),
    Need::Program(Program::CURL),
    Need::Root,
];

pub(crate) const TESTS: &[Test] = tests![
    a_message_that_breaks_off_never_appears => needs(NEEDS),
    an_answer_that_nobody_read_is_a_second_copy => needs(NEEDS),
];

/// Octets of the mail.
const OCTETS: usize = 6_000_000;
/// So many octets of it have been sent when the proxy stops: the upload of its first parts
/// has begun.
const SENT: usize = 3_500_000;

/// A mail is submitted, and handed over to a proxy.
fn submit(server: &Server, postfix: &Postfix) -> Vec<u8> {
    let mail = samples::large(OCTETS);
    let file = server.folder().join("mail");
    fs::write(&file, &mail).expect("our folder can be written");
    let script = neighbours::scripts().join("mailing.py");
    let mut python = Program::PYTHON.command();
    python.arg(script).arg(postfix.from_outside.to_string());
    neighbours::success(python.arg(file));
    mail
}

/// An address as transport(5) writes it.
fn inet(address: SocketAddr) -> String {
    format!("inet:[{}]:{}", address.ip(), address.port())
}

/// A Postfix that hands mail over through a proxy.
fn start(server: &Server, mode: Mode) -> (Proxy, Postfix) {
    let proxy = Proxy::to(server.lmtp_address());
    proxy.set(mode);
    let postfix = Postfix::start_with(server, &inet(proxy.address()));
    (proxy, postfix)
}

/// Objects that are begun and not finished: whole messages are not among them.
fn unfinished(server: &Server) -> usize {
    match server.storage_is_garage() {
        true => server.garage().uploads().len(),
        false => {
            let staging = fs::read_dir(server.data_folder().join("staging"));
            staging.expect("the storage has it").count()
        }
    }
}

/// How many messages INBOX has, and the UID that the next one will have.
fn status(client: &mut Client) -> (u64, u64) {
    let items = client.ok("STATUS INBOX (MESSAGES UIDNEXT)").status_items();
    (items["MESSAGES"], items["UIDNEXT"])
}

/// Whether INBOX comes to have so many messages.
fn comes(postfix: &Postfix, client: &mut Client, count: u64) -> bool {
    wait_for(|| {
        // A mail that was being refused when its time came waits for minutes otherwise.
        postfix.flush();
        status(client).0 >= count
    })
}

/// INBOX has so many messages, each of them all of this mail, and storage holds nothing else.
/// Postfix has nothing left, and nothing was sent back.
fn has(server: &Server, postfix: &Postfix, copies: usize, mail: &[u8]) {
    let found = messages(&mut server.login());
    assert_eq!(found.len(), copies, "{}", postfix.log());
    let end = mail.windows(4).position(|four| four == b"\r\n\r\n");
    let text = &mail[end.expect("its header ends")..];
    for message in &found {
        assert!(message.starts_with(b"Return-Path: <ada@example.net>\r\n"));
        // Postfix has added to the header only.
        assert!(message.ends_with(text), "{} octets", message.len());
        assert!(*message == found[0], "the copies differ");
    }
    let empty = wait_for(|| postfix.queue().contains("Mail queue is empty"));
    assert!(empty, "{}", postfix.queue());
    let log = postfix.log();
    assert!(!log.contains("status=bounced"), "{log}");
    assert_eq!(unfinished(server), 0);
    // The embedded storage is for one process.
    server.stop();
    let (code, said) = server.upkeep("fsck", &[]);
    let bodies = format!("{copies} messages, {copies} bodies and ");
    assert!(code == Some(0) && said.contains(&bodies), "{said}");
    server.start_again().expect("it starts again");
    assert!(messages(&mut server.login()) == found);
}

fn a_message_that_breaks_off_never_appears(server: &Server) {
    let (proxy, mut postfix) = start(server, Mode::HangAfter(SENT));
    let mut client = server.login();
    let mail = submit(server, &postfix);
    for all in [false, true] {
        assert!(wait_for(|| proxy.held() > 0), "{}", postfix.log());
        assert!(wait_for(|| unfinished(server) == 1), "it comes in");
        assert_eq!(status(&mut client), (0, 1));
        match all {
            true => postfix.kill(),
            false => postfix.kill_clients(),
        }
        proxy.set(Mode::Cut);
        assert!(wait_for(|| unfinished(server) == 0), "the half is left");
        assert_eq!(status(&mut client), (0, 1));
        proxy.set(Mode::HangAfter(SENT));
    }
    postfix.start_again(server, &inet(server.lmtp_address()));
    assert!(comes(&postfix, &mut client, 1), "{}", postfix.log());
    // No UID was used for a half.
    assert_eq!(status(&mut client), (1, 2));
    has(server, &postfix, 1, &mail);
}

/// The message is stored, and 250 said, before Postfix dies. It cannot know, so it sends the
/// mail again (RFC 1047), and the server does not know it again.
fn an_answer_that_nobody_read_is_a_second_copy(server: &Server) {
    let (proxy, mut postfix) = start(server, Mode::MuteAfter(SENT));
    let mut client = server.login();
    let mail = submit(server, &postfix);
    for (copies, all) in [(1, false), (2, true)] {
        assert!(comes(&postfix, &mut client, copies), "{}", postfix.log());
        assert!(wait_for(|| proxy.held() > 0), "no answer is on its way");
        match all {
            true => postfix.kill(),
            false => postfix.kill_clients(),
        }
        proxy.set(Mode::Cut);
        assert!(wait_for(|| proxy.held() == 0));
        proxy.set(Mode::MuteAfter(SENT));
    }
    server.kill();
    server.start_again().expect("it starts again");
    postfix.start_again(server, &inet(server.lmtp_address()));
    let mut client = server.login();
    assert_eq!(status(&mut client).0, 2);
    assert!(comes(&postfix, &mut client, 3), "{}", postfix.log());
    has(server, &postfix, 3, &mail);
}
