//! Services that are slow, broken, or up to something.

use super::*;

#[test]
fn handshake_is_due() {
    for begin in ["", "VERSION\t1\t2\n"] {
        let mut service = Service::with(Config::default());
        service.hear();
        service.say(begin);
        service.wait_for(Reason::Login);
        assert!(service.is_closed());
        assert_eq!(service.seconds(), 60);
    }
    // And afterwards a connection may be silent for ever.
    let service = Service::open(Config::default());
    assert_eq!(service.wait.unwrap().deadline, None);
}

#[test]
fn garbage_ends_the_connection() {
    for garbage in [
        &b"\n"[..],
        b"EHLO example.org\n",
        b"auth\t1\tPLAIN\n",
        b"AUTH\n",
        b"AUTH\t1\n",
        b"AUTH\tone\tPLAIN\n",
        b"AUTH\t+1\tPLAIN\n",
        b"AUTH\t-1\tPLAIN\n",
        b"AUTH\t4294967296\tPLAIN\n",
        b"AUTH\t\tPLAIN\n",
        b"CONT\n",
        b"CANCEL\n",
        b"CANCEL\tx\n",
        b"VERSION\t1\t2\n",
        b"CPID\t1\n",
        b"AUTH\t1\tPLAIN\r\n",
        b"AUTH\t1\tPLAIN\tservice=\0\n",
        b"AUTH\t1\tPLAIN\tservice=\xff\n",
        b"\x16\x03\x01\x02\x00\x01\x00\n",
    ] {
        let mut service = Service::open(Config::default());
        service.say(&plain(1, PASSWORD));
        let (id, _) = service.checks[0];
        assert_eq!(service.say_octets(garbage), "");
        assert!(service.is_closed(), "{}", garbage.escape_ascii());
        assert_eq!(service.abandoned, [id]);
        assert!(matches!(service.events.last(), Some(Event::Aborted(_))));
        // Whatever comes now is too late.
        assert_eq!(service.say(&plain(2, PASSWORD)), "");
        assert_eq!(service.check(), "");
    }
}

#[test]
fn nothing_is_asked_before_the_handshake() {
    for octets in [
        "CPID\t1\n",
        "AUTH\t1\tPLAIN\tservice=smtp\n",
        "VERSION\t1\t2\nAUTH\t1\tPLAIN\tservice=smtp\n",
        "VERSION\t1\t2\nVERSION\t1\t2\n",
        "VERSION\n",
        "VERSION\tx\n",
        "VERSION\t1\t2\nCPID\tx\n",
    ] {
        let mut service = Service::with(Config::default());
        service.hear();
        assert_eq!(service.say(octets), "");
        assert!(service.is_closed(), "{octets:?}");
    }
}

#[test]
fn lines_are_as_long_as_dovecot_says_and_no_longer() {
    let request = plain(1, PASSWORD);
    let filler = |len: usize| "x".repeat(len - (request.len() - 1) - 1);
    let long = |len: usize| request.replacen("nologin", &format!("nologin\t{}", filler(len)), 1);
    let max = Config::default().auth_line_bytes_max;
    assert_eq!(long(max).len(), max + 1);
    let mut service = Service::open(Config::default());
    service.say(&long(max));
    assert_eq!(service.check(), "OK\t1\tuser=alice\n");
    service.say(&long(max + 1));
    assert!(service.is_closed());
    // Without an end as well.
    let mut service = Service::open(Config::default());
    service.say(&"x".repeat(max));
    assert!(!service.is_closed());
    service.say("x");
    assert!(service.is_closed());
}

#[test]
fn line_is_due_once_it_has_begun() {
    let mut service = Service::open(Config::default());
    service.say("AUTH\t1");
    service.now.instant = Instant(0).after(Duration::from_secs(100));
    service.say("\tPLAIN");
    service.wait_for(Reason::Command);
    assert!(service.is_closed());
    assert_eq!(service.seconds(), 120);
}

#[test]
fn service_that_does_not_read_is_left() {
    let mut service = Service::open(Config::default());
    service.reads = false;
    service.say("AUTH\t1\tPLAIN\tservice=smtp\n");
    service.wait_for(Reason::Stall);
    assert!(service.is_closed());
}

#[test]
fn what_waits_to_be_sent_is_bounded() {
    let config = Config {
        transmit_bytes_max: 1_000,
        ..Config::default()
    };
    let mut service = Service::open(config);
    service.reads = false;
    let requests = "CONT\t1\tx\n".repeat(10_000);
    service.say(&requests);
    assert!(service.machine.transmit().len() < 1_100);
    assert_eq!(service.wait.unwrap().receive, 0);
    service.reads = true;
    // As it reads, it goes on with what it had sent: lines that came whole.
    while !service.hear().is_empty() {}
    assert!(service.wait.unwrap().receive > 0);
    assert!(!service.is_closed());
}

#[test]
fn more_requests_than_there_may_be_wait() {
    let config = Config {
        auth_requests_max: 2,
        ..Config::default()
    };
    let mut service = Service::open(config);
    let requests: String = (1..=4).map(|number| plain(number, PASSWORD)).collect();
    assert_eq!(service.say(&requests), "");
    assert_eq!(service.checks.len(), 2);
    assert_eq!(service.check(), "OK\t1\tuser=alice\n");
    assert_eq!(service.checks.len(), 2);
    for number in 2..=4 {
        assert_eq!(service.check(), format!("OK\t{number}\tuser=alice\n"));
    }
}

#[test]
fn who_has_been_silent_for_longest_makes_room() {
    let config = Config {
        auth_requests_max: 2,
        ..Config::default()
    };
    let mut service = Service::open(config);
    service.say(&plain(1, PASSWORD));
    service.say("AUTH\t2\tPLAIN\tservice=smtp\n");
    service.now.instant = Instant(1);
    let said = service.say(&plain(3, PASSWORD));
    assert!(said.starts_with("FAIL\t2\treason="), "{said}");
    assert!(said.ends_with("\ttemp\n"), "{said}");
    assert_eq!(service.check(), "OK\t1\tuser=alice\n");
    assert_eq!(service.check(), "OK\t3\tuser=alice\n");
    let said = service.say("CONT\t2\tAGFsaWNlAGh1bnRlcjI=\n");
    assert!(said.starts_with("FAIL\t2\treason="), "{said}");
}

#[test]
fn who_is_asked_and_never_answers_is_given_up() {
    let mut service = Service::open(Config::default());
    service.say("AUTH\t1\tPLAIN\tservice=smtp\n");
    let said = service.wait_for(Reason::Command);
    assert!(said.starts_with("FAIL\t1\treason="), "{said}");
    assert_eq!(service.seconds(), 300);
    assert!(!service.is_closed());
}

#[test]
fn end_and_shutdown_wait_for_what_is_being_checked() {
    for input in [Input::Eof, Input::Shutdown] {
        let mut service = Service::open(Config::default());
        service.say("AUTH\t9\tPLAIN\tservice=smtp\n");
        service.say(&plain(1, PASSWORD));
        service.say(&plain(2, "wrong"));
        service.say("AUTH\t10");
        service.input(input);
        assert!(!service.is_closed());
        assert_eq!(service.check(), "OK\t1\tuser=alice\n");
        service.check();
        assert!(!service.is_closed());
        let said = service.wait_for(Reason::Penalty);
        assert!(said.starts_with("FAIL\t2\t"), "{said}");
        assert!(service.is_closed());
    }
}

#[test]
fn nothing_shows_a_password() {
    let mut service = Service::open(Config::default());
    let line = plain(1, PASSWORD);
    let (start, end) = line.split_at(line.len() - 3);
    service.say(start);
    let partial = format!("{:?}", service.machine);
    service.say(end);
    let whole = format!(
        "{:?} {:?} {:?}",
        service.machine, service.checks, service.events
    );
    for shown in [partial, whole] {
        assert!(
            !shown.contains(PASSWORD) && !shown.contains("AGFsaWNl"),
            "{shown}"
        );
    }
}
