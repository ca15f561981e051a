//! What becomes of requests.

use super::*;

#[test]
fn handshake_names_the_mechanisms_before_the_process() {
    let mut service = Service::with(Config::default());
    let said = service.hear();
    let (start, cookie) = said.split_once("COOKIE\t").unwrap();
    assert_eq!(
        start,
        "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t4711\nCUID\t3\n"
    );
    let (cookie, rest) = cookie.split_at(32);
    assert!(cookie.bytes().all(|octet| octet.is_ascii_hexdigit()));
    assert_eq!(rest, "\nDONE\n");
}

#[test]
fn other_minor_versions_are_welcome_and_other_major_ones_are_not() {
    for (version, welcome) in [
        ("1\t0", true),
        ("1\t99", true),
        ("1", true),
        ("2\t0", false),
    ] {
        let mut service = Service::with(Config::default());
        service.say(&format!("VERSION\t{version}\nCPID\t1\n"));
        assert_eq!(service.is_closed(), !welcome, "{version:?}");
    }
}

#[test]
fn right_password_in_the_first_line() {
    let mut service = Service::open(Config::default());
    assert_eq!(service.say(&plain(1, PASSWORD)), "");
    let (_, credentials) = &service.checks[0];
    assert_eq!(credentials.user, "alice");
    assert_eq!(credentials.source, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(service.check(), "OK\t1\tuser=alice\n");
    assert!(service.events.contains(&Event::Authenticated));
}

#[test]
fn plain_after_a_challenge() {
    let mut service = Service::open(Config::default());
    assert_eq!(service.say("AUTH\t7\tplain\tservice=smtp\n"), "CONT\t7\t\n");
    let message = encoded("ALICE\0Alice\0hunter2");
    assert_eq!(service.say(&format!("CONT\t7\t{message}\n")), "");
    assert_eq!(service.checks[0].1.user, "Alice");
    assert_eq!(service.checks[0].1.source, None);
    // As accounts are named, however the user spells it.
    assert_eq!(service.check(), "OK\t7\tuser=alice\n");
}

#[test]
fn login_asks_for_name_and_password() {
    for (start, asked) in [
        ("AUTH\t1\tLOGIN\tservice=smtp\trip=::1\n".to_owned(), true),
        (
            "AUTH\t1\tLOGIN\tservice=smtp\trip=::1\tresp=\n".to_owned(),
            true,
        ),
        (
            format!(
                "AUTH\t1\tLOGIN\tservice=smtp\trip=::1\tresp={}\n",
                encoded("alice")
            ),
            false,
        ),
    ] {
        let mut service = Service::open(Config::default());
        let mut said = service.say(&start);
        if asked {
            assert_eq!(said, format!("CONT\t1\t{}\n", encoded("Username:")));
            said = service.say(&format!("CONT\t1\t{}\n", encoded("alice")));
        }
        assert_eq!(said, format!("CONT\t1\t{}\n", encoded("Password:")));
        assert_eq!(
            service.say(&format!("CONT\t1\t{}\n", encoded(PASSWORD))),
            ""
        );
        assert_eq!(service.checks[0].1.source, Some("::1".parse().unwrap()));
        assert_eq!(service.check(), "OK\t1\tuser=alice\n");
    }
}

#[test]
fn wrong_password_is_answered_late_and_holds_nobody_up() {
    let mut service = Service::open(Config::default());
    service.say(&plain(1, "wrong"));
    service.say(&plain(2, PASSWORD));
    assert_eq!(service.check(), "");
    assert_eq!(service.check(), "OK\t2\tuser=alice\n");
    let refused = "FAIL\t1\tuser=alice\treason=User name and password do not match\n";
    assert_eq!(service.wait_for(Reason::Penalty), refused);
    assert_eq!(
        service.now.instant,
        Instant(0).after(Config::default().penalty)
    );
    assert!(service.events.contains(&Event::Rejected));
}

#[test]
fn check_that_takes_longer_than_the_penalty_is_answered_when_it_is_done() {
    let mut service = Service::open(Config::default());
    service.say(&plain(1, "wrong"));
    service.now.instant = Instant(0).after(Duration::from_secs(5));
    assert!(service.check().starts_with("FAIL\t1\tuser=alice\treason="));
}

#[test]
fn trouble_is_temporary() {
    let mut service = Service::open(Config::default());
    service.say(&plain(1, "altered"));
    assert_eq!(
        service.check(),
        "FAIL\t1\tuser=alice\treason=This account is closed until its administrator has looked at it\ttemp\n"
    );
    service.say(&plain(1, "broken"));
    let said = service.check();
    assert!(said.starts_with("FAIL\t1\tuser=alice\treason="), "{said}");
    assert!(said.ends_with("\ttemp\n"), "{said}");
}

#[test]
fn nobody_acts_for_somebody_else() {
    let mut service = Service::open(Config::default());
    let message = encoded("bob\0Alice\0hunter2");
    let said = service.say(&format!("AUTH\t1\tPLAIN\tservice=smtp\tresp={message}\n"));
    assert!(said.starts_with("FAIL\t1\tuser=alice\treason="), "{said}");
    assert!(said.ends_with("\tauthz\n"), "{said}");
    assert!(service.checks.is_empty());
}

#[test]
fn requests_that_make_no_sense_fail_and_others_go_on() {
    let name = encoded(&"x".repeat(1_025));
    let long = encoded(&format!("\0{}\0secret", "x".repeat(1_025)));
    let long_other = encoded(&format!("bob\0{}\0secret", "x".repeat(1_025)));
    for request in [
        "AUTH\t1\tCRAM-MD5\tservice=smtp\n",
        "AUTH\t1\t\n",
        "AUTH\t1\tPLAIN\tservice=smtp\tresp=\n",
        "AUTH\t1\tPLAIN\tservice=smtp\tresp==\n",
        "AUTH\t1\tPLAIN\tservice=smtp\tresp=!!!!\n",
        // After resp= nothing comes.
        "AUTH\t1\tPLAIN\tservice=smtp\tresp=AGFsaWNlAGh1bnRlcjI=\tsecured\n",
        // No identity, no password, an empty name, not UTF-8.
        "AUTH\t1\tPLAIN\tservice=smtp\tresp=YWxpY2U=\n",
        "AUTH\t1\tPLAIN\tservice=smtp\tresp=AGFsaWNl\n",
        "AUTH\t1\tPLAIN\tservice=smtp\tresp=AABzZWNyZXQ=\n",
        "AUTH\t1\tPLAIN\tservice=smtp\tresp=AP8Ac2VjcmV0\n",
        "AUTH\t1\tLOGIN\tservice=smtp\tresp=AA==\n",
        "AUTH\t1\tLOGIN\tservice=smtp\tresp=/w==\n",
        &format!("AUTH\t1\tPLAIN\tservice=smtp\tresp={long}\n"),
        &format!("AUTH\t1\tPLAIN\tservice=smtp\tresp={long_other}\n"),
        &format!("AUTH\t1\tLOGIN\tservice=smtp\tresp={name}\n"),
        "AUTH\t1\tPLAIN\tservice=smtp\nCONT\t1\t*\n",
        "AUTH\t1\tPLAIN\tservice=smtp\nCONT\t1\n",
        "AUTH\t1\tLOGIN\tservice=smtp\tresp=YWxpY2U=\nCONT\t1\t\n",
        "AUTH\t1\tLOGIN\tservice=smtp\nCONT\t1\t\n",
        "CONT\t1\tYWxpY2U=\n",
    ] {
        let mut service = Service::open(Config::default());
        service.say(&plain(9, PASSWORD));
        let said = service.say(request);
        let last = said.lines().last().unwrap();
        assert!(
            last.starts_with("FAIL\t1\treason="),
            "{request:?}: {said:?}"
        );
        assert_eq!(service.check(), "OK\t9\tuser=alice\n", "{request:?}");
        assert!(service.checks.is_empty(), "{request:?}");
        // The number is free again.
        service.say(&plain(1, PASSWORD));
        assert_eq!(service.check(), "OK\t1\tuser=alice\n", "{request:?}");
    }
}

#[test]
fn unknown_parameters_are_ignored() {
    let mut service = Service::open(Config::default());
    let message = encoded("\0alice\0hunter2");
    service.say(&format!(
        "AUTH\t1\tPLAIN\tservice=smtp\tlport=587\trport=4242\tfp=\u{1}tx\tno-penalty\t\
         local_name=ä\trip=unknown\tcert_username=x\tresp={message}\n"
    ));
    assert_eq!(service.checks[0].1.source, None);
    assert_eq!(service.check(), "OK\t1\tuser=alice\n");
}

#[test]
fn names_cannot_end_their_parameter() {
    for name in [
        "a\tb", "a\nb", "a\rb", "a\u{1}b", "a\u{16}b", "a\u{7f}b", "a\u{85}b",
    ] {
        let plain = encoded(&format!("\0{name}\0wrong"));
        let other = encoded(&format!("bob\0{name}\0wrong"));
        for (mechanism, message) in [("PLAIN", plain), ("PLAIN", other), ("LOGIN", encoded(name))] {
            let mut service = Service::open(Config::default());
            let said = service.say(&format!(
                "AUTH\t1\t{mechanism}\tservice=smtp\tresp={message}\n"
            ));
            assert_eq!(said, "FAIL\t1\treason=That cannot be a user name\n");
            assert!(service.checks.is_empty());
        }
    }
}

#[test]
fn cancelled_requests_are_not_answered() {
    let mut service = Service::open(Config::default());
    service.say(&plain(1, PASSWORD));
    service.say(&plain(2, "wrong"));
    service.say("AUTH\t3\tLOGIN\tservice=smtp\n");
    let checks: Vec<_> = service.checks.iter().map(|(id, _)| *id).collect();
    let refused = service.checks.remove(1);
    service.derived(refused.0, Err(LoginError::Invalid));
    assert_eq!(
        service.say("CANCEL\t1\nCANCEL\t2\nCANCEL\t3\nCANCEL\t4\n"),
        ""
    );
    assert_eq!(service.abandoned, checks[..1]);
    assert_eq!(service.check(), "");
    assert_eq!(service.wait.unwrap().deadline, None);
    service.say(&plain(1, PASSWORD));
    assert_eq!(service.check(), "OK\t1\tuser=alice\n");
}

#[test]
fn number_used_twice_ends_both() {
    for wrong in [false, true] {
        let mut service = Service::open(Config::default());
        service.say(&plain(1, PASSWORD));
        let (id, _) = service.checks[0];
        if wrong {
            service.derived(id, Err(LoginError::Invalid));
        }
        let said = service.say(&plain(1, "wrong"));
        assert!(said.starts_with("FAIL\t1\treason="), "{said}");
        assert_eq!(service.abandoned.contains(&id), !wrong);
        // The first check may still be answered, and the second was not begun.
        assert_eq!(service.check(), "");
        assert!(service.checks.is_empty());
        assert_eq!(service.wait.unwrap().deadline, None);
    }
    // So does an answer to what was not asked.
    let mut service = Service::open(Config::default());
    service.say(&plain(1, PASSWORD));
    let said = service.say("CONT\t1\tYWxpY2U=\n");
    assert!(said.starts_with("FAIL\t1\treason="), "{said}");
    assert_eq!(service.check(), "");
}

#[test]
fn many_requests_are_answered_as_they_are_ready() {
    let mut service = Service::open(Config::default());
    for number in 0..100 {
        let password = if number % 2 == 0 { PASSWORD } else { "wrong" };
        assert_eq!(service.say(&plain(number, password)), "");
    }
    assert_eq!(service.checks.len(), 100);
    service.checks.reverse();
    for number in (0..100).rev() {
        let expected = match number % 2 {
            0 => format!("OK\t{number}\tuser=alice\n"),
            _ => String::new(),
        };
        assert_eq!(service.check(), expected);
    }
    let refused = service.wait_for(Reason::Penalty);
    assert_eq!(refused.lines().count(), 50);
    assert!(refused.lines().all(|line| line.starts_with("FAIL\t")));
}
