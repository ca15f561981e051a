//! From a mail client by a real Postfix to a client that idles; and what waits in Postfix
//! while the server, or its Garage, is gone.

use restante_tests::{
    Client, Server, Status, Storage, Test,
    neighbours::{self, Program},
    postfix::Postfix,
    process::wait_for,
    tests,
    trials::Need,
};

use crate::messages;

const NEEDS: &[Need] = &[
    Need::OwnProcess,
    Need::Program(Program::POSTFIX),
    Need::Program(Program::PYTHON),
    Need::Root,
];

pub(crate) const TESTS: &[Test] = tests![
    what_is_submitted_wakes_who_idles => needs(NEEDS),
    mail_waits_while_the_server_is_gone => needs(NEEDS),
    mail_waits_while_garage_is_gone => needs(NEEDS).storage(Storage::OwnGarage),
];

/// Mails that come from outside in one test.
const MAILS: usize = 30;

fn send(port: u16, login: &[&str], from: usize, to: usize) {
    let script = neighbours::scripts().join("mailing.py");
    let numbers = [port.to_string(), from.to_string(), to.to_string()];
    let mut command = Program::PYTHON.command();
    neighbours::success(command.arg(script).args(numbers).args(login));
}

/// Each mail of a test has come once, and Postfix has nothing left and nothing sent back.
fn all_have_come(server: &Server, postfix: &Postfix, count: usize) {
    let expected: Vec<usize> = (0..count).collect();
    let mut found = Vec::new();
    wait_for(|| {
        // A mail that was being refused when its time came waits for minutes otherwise.
        postfix.flush();
        found = messages(&mut server.login())
            .iter()
            .map(|message| number(message))
            .collect();
        found.sort_unstable();
        found.len() >= count
    });
    assert_eq!(found, expected, "{}\n{}", postfix.queue(), postfix.log());
    let empty = wait_for(|| postfix.queue().contains("Mail queue is empty"));
    assert!(empty, "{}", postfix.queue());
    assert!(
        !postfix.log().contains("status=bounced"),
        "{}",
        postfix.log()
    );
}

fn number(message: &[u8]) -> usize {
    let text = String::from_utf8_lossy(message);
    assert!(
        text.starts_with("Return-Path: <ada@example.net>\r\n"),
        "{text}"
    );
    assert!(text.ends_with("\r\n\r\nhello\r\n.\r\n"), "{text}");
    let (_, rest) = text.split_once("Subject: mail ").expect("it has a subject");
    let (number, _) = rest.split_once("\r\n").expect("it has an end");
    number.parse().expect("a number")
}

fn what_is_submitted_wakes_who_idles(server: &Server) {
    let postfix = Postfix::start(server);
    let mut idler = server.login();
    idler.ok("SELECT INBOX");
    let tag = idler.start("IDLE");
    while !idler.response().starts_with("+ ") {}
    let login = [server.alice.name.as_str(), &server.alice.password];
    send(postfix.by_tcp, &login, 0, 1);
    while !idler.response().starts_with("* 1 EXISTS") {}
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    all_have_come(server, &postfix, 1);
}

fn mail_waits_while_the_server_is_gone(server: &Server) {
    let postfix = Postfix::start(server);
    send(postfix.from_outside, &[], 0, MAILS / 2);
    all_have_come(server, &postfix, MAILS / 2);
    server.kill();
    send(postfix.from_outside, &[], MAILS / 2, MAILS);
    assert!(wait_for(|| postfix.log().contains("status=deferred")));
    server.start_again().expect("it starts again");
    postfix.open_lmtp(server);
    all_have_come(server, &postfix, MAILS);
}

fn mail_waits_while_garage_is_gone(server: &Server) {
    let postfix = Postfix::start(server);
    let node = server.garage().node();
    send(postfix.from_outside, &[], 0, MAILS / 2);
    all_have_come(server, &postfix, MAILS / 2);
    node.kill();
    send(postfix.from_outside, &[], MAILS / 2, MAILS);
    assert!(wait_for(|| postfix.log().contains("451 ")));
    node.start_again();
    // The server tries Garage again only after a pause.
    let mut client = server.login();
    let works = |client: &mut Client, command| client.command(command).status == Status::Ok;
    assert!(wait_for(|| {
        works(&mut client, "SELECT INBOX") && works(&mut client, "FETCH 1 BODY.PEEK[]")
    }));
    all_have_come(server, &postfix, MAILS);
}
