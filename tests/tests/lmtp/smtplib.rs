//! Python's smtplib.LMTP, driven by `clients/lmtp_session.py`.

use std::fs;

use restante_tests::{
    Server, Test, lmtp,
    neighbours::{self, Program},
    samples, tests,
    trials::Need,
};

use crate::messages;

pub(crate) const TESTS: &[Test] = tests![
    what_smtplib_delivers_is_read_as_it_was
        => needs(&[Need::OwnProcess, Need::Program(Program::PYTHON)]),
];

fn what_smtplib_delivers_is_read_as_it_was(server: &Server) {
    let folder = server.folder().join("messages");
    fs::create_dir(&folder).expect("our folder can be written");
    let sent: Vec<Vec<u8>> = vec![
        samples::plain("first", "hello"),
        samples::nested().message,
        samples::large(3 * 1024 * 1024),
        b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n\r\n.\r\n".to_vec(),
        "Subject: Gr\u{fc}\u{df}e\r\n\r\n\u{20ac} 8bit \u{e4}\r\n".into(),
        b"no header at all\r\n".to_vec(),
        [
            &b"Subject: long\r\n\r\n"[..],
            &b"x".repeat(100_000),
            b"\r\n",
        ]
        .concat(),
    ];
    for (number, message) in sent.iter().enumerate() {
        let file = folder.join(format!("{number:02}"));
        fs::write(file, message).expect("our folder can be written");
    }
    server.add_address(&server.alice, "sales@example.com");
    let output = neighbours::success(
        Program::PYTHON
            .command()
            .arg(neighbours::scripts().join("lmtp_session.py"))
            .arg(server.lmtp_address().port().to_string())
            .arg(server.lmtp_socket())
            .arg(&folder),
    );
    assert!(output.trim_end().ends_with("all done"), "{output}");
    let mut alice = server.login();
    // Messages of one millisecond are in no order.
    let mut found = messages(&mut alice);
    found.sort();
    // Every message by TCP, then by the Unix socket, then what the script has of its own.
    let mut expected: Vec<Vec<u8>> = [&sent[..], &sent[..]]
        .concat()
        .iter()
        .map(|message| lmtp::kept("alice@example.org", message))
        .collect();
    expected.push(lmtp::kept(
        "sales@example.com",
        b"Subject: many\r\n\r\nto many\r\n",
    ));
    expected.push(
        "Return-Path: <\u{e4}da@example.net>\r\nDelivered-To: alice+\u{fc}@example.org\r\n\
         Subject: \u{fc}\r\n\r\nutf8\r\n"
            .into(),
    );
    expected.sort();
    assert_eq!(found.len(), expected.len());
    for (number, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert!(found == expected, "message {number} is another one");
    }
    let mut bob = server.connect();
    bob.login(&server.bob.name, &server.bob.password);
    let many = lmtp::kept("bob", b"Subject: many\r\n\r\nto many\r\n");
    assert_eq!(messages(&mut bob), [many]);
}
