//! Whoever breaks the protocol is left, and others go on.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use restante_tests::{Server, Test, auth::plain, process::PATIENCE, tests, trials::Need};

use crate::connect;

pub(crate) const TESTS: &[Test] = tests![
    garbage_ends_its_own_connection_only => needs(&[Need::OwnProcess]),
    a_flood_that_nobody_reads_is_stopped => needs(&[Need::OwnProcess, Need::Proc]),
    who_leaves_in_the_middle_does_no_harm => needs(&[Need::OwnProcess]),
];

fn garbage_ends_its_own_connection_only(server: &Server) {
    let (alice, password) = (&server.alice.name, &server.alice.password);
    let mut other = connect(server);
    let long = [
        b"AUTH\t1\tPLAIN\t".as_slice(),
        &b"x".repeat(16 * 1024),
        b"\n",
    ]
    .concat();
    let endless = b"y".repeat(64 * 1024);
    for garbage in [
        &b"EHLO example.org\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",
        b"AUTH\tmany\tPLAIN\n",
        b"AUTH\t1\tPLAIN\tservice=\0\n",
        b"\xff\xfe\n",
        b"VERSION\t1\t2\n",
        &long,
        &endless,
    ] {
        let mut hostile = connect(server);
        hostile.send(&format!("{}\n", plain(1, "192.0.2.1", alice, "wrong")));
        // The server may have closed before it has all.
        let _sent = hostile.try_send(garbage);
        hostile.closed();
        let answer = other.plain(1, alice, password);
        assert!(answer.starts_with("OK\t1\t"), "{answer}");
    }
    // Before the handshake, and with another version.
    for garbage in ["VERSION\t2\t0\nCPID\t1\n", "AUTH\t1\tPLAIN\tservice=smtp\n"] {
        let mut hostile = TcpStream::connect(server.auth_address()).expect("somebody listens");
        hostile.set_read_timeout(Some(PATIENCE)).expect("a time");
        hostile.write_all(garbage.as_bytes()).expect("room for it");
        let mut said = String::new();
        hostile.read_to_string(&mut said).expect("an end");
        assert!(said.ends_with("\nDONE\n"), "{said}");
    }
    let answer = other.plain(2, alice, password);
    assert!(answer.starts_with("OK\t2\t"), "{answer}");
}

fn a_flood_that_nobody_reads_is_stopped(server: &Server) {
    let mut flood = TcpStream::connect(server.auth_address()).expect("somebody listens");
    flood
        .set_write_timeout(Some(Duration::from_secs(2)))
        .expect("a positive time");
    let before = server.pid().resident_kib();
    flood.write_all(b"VERSION\t1\t2\nCPID\t1\n").expect("room");
    let lines = "CONT\t1\tYWxpY2U=\n".repeat(4_096);
    let mut sent = 0;
    while flood.write_all(lines.as_bytes()).is_ok() {
        sent += lines.len();
        assert!(sent < 256 * 1024 * 1024, "it is read without end");
    }
    let after = server.pid().resident_kib();
    assert!(after < before + 8 * 1024, "{before} KiB, then {after} KiB");
    let answer = connect(server).plain(1, &server.alice.name, &server.alice.password);
    assert!(answer.starts_with("OK\t1\t"), "{answer}");
}

fn who_leaves_in_the_middle_does_no_harm(server: &Server) {
    let (alice, password) = (&server.alice.name, &server.alice.password);
    let whole = format!("{}\n", plain(1, "192.0.2.1", alice, password));
    for len in (1..=whole.len()).step_by(7).chain([whole.len()]) {
        connect(server).send(&whole[..len]);
    }
    let answer = connect(server).plain(1, alice, password);
    assert!(answer.starts_with("OK\t1\t"), "{answer}");
}
