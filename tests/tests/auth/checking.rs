//! Passwords, right and wrong.

use std::{
    collections::BTreeMap,
    fs,
    time::{Duration, Instant},
};

use restante_tests::{
    Client, Server, Test,
    auth::{Auth, plain},
    neighbours::base64,
    tests,
    trials::Need,
};

use crate::{REFUSED, connect};

pub(crate) const TESTS: &[Test] = tests![
    plain_and_login_over_tcp => needs(&[Need::OwnProcess]),
    plain_and_login_on_a_unix_socket => needs(&[Need::OwnProcess]),
    a_wrong_password_looks_like_an_unknown_user => needs(&[Need::OwnProcess]),
    nobody_acts_for_somebody_else => needs(&[Need::OwnProcess]),
    a_right_password_opens_no_account => needs(&[Need::OwnProcess]),
    a_hundred_requests_at_once => needs(&[Need::OwnProcess]),
    a_hundred_services_at_once => needs(&[Need::OwnProcess]),
    who_guesses_slows_down_nobody_else => needs(&[Need::OwnProcess]),
    trouble_with_the_accounts_is_temporary => needs(&[Need::OwnProcess]),
    a_stop_waits_for_what_is_being_checked => needs(&[Need::OwnProcess]),
];

fn plain_and_login_over_tcp(server: &Server) {
    plain_and_login(server, &mut connect(server));
}

fn plain_and_login_on_a_unix_socket(server: &Server) {
    plain_and_login(server, &mut Auth::unix(&server.auth_socket()));
    // The log says by which socket somebody came, not an address that nobody has.
    let peer = format!("peer=unix:{}", server.auth_socket().display());
    let log = server.log();
    let checked = log.lines().filter(|line| line.contains("authenticated"));
    for line in checked {
        assert!(line.contains(&peer), "{line}");
    }
    assert!(log.contains(&peer), "{log}");
    assert!(!log.contains("127.0.0.1:0"), "{log}");
}

fn plain_and_login(server: &Server, service: &mut Auth) {
    let (alice, bob) = (&server.alice, &server.bob);
    let ok = |number: u32, user: &str| format!("OK\t{number}\tuser={user}");
    let answer = service.plain(1, &alice.name, &alice.password);
    assert_eq!(answer, ok(1, &alice.name));
    // As the account is named, however it is spelt.
    let answer = service.plain(2, &bob.name.to_uppercase(), &bob.password);
    assert_eq!(answer, ok(2, &bob.name));
    assert_eq!(service.say("AUTH\t3\tPLAIN\tservice=smtp"), "CONT\t3\t");
    let message = format!("{0}\0{0}\0{1}", alice.name, alice.password);
    let message = base64(message.as_bytes());
    assert_eq!(
        service.say(&format!("CONT\t3\t{message}")),
        ok(3, &alice.name)
    );
    let (user, password) = (
        base64(alice.name.as_bytes()),
        base64(alice.password.as_bytes()),
    );
    let asked = service.say("AUTH\t4\tLOGIN\tservice=smtp\tlport=587\trport=9\tfp=none");
    assert_eq!(asked, "CONT\t4\tVXNlcm5hbWU6");
    let asked = service.say(&format!("CONT\t4\t{user}"));
    assert_eq!(asked, "CONT\t4\tUGFzc3dvcmQ6");
    let answer = service.say(&format!("CONT\t4\t{password}"));
    assert_eq!(answer, ok(4, &alice.name));
    let asked = service.say(&format!("AUTH\t5\tLOGIN\tservice=smtp\tresp={user}"));
    assert_eq!(asked, "CONT\t5\tUGFzc3dvcmQ6");
    let answer = service.say(&format!("CONT\t5\t{}", base64(b"wrong")));
    assert_eq!(answer, format!("FAIL\t5\tuser={}\t{REFUSED}", alice.name));
    let answer = service.say("AUTH\t6\tCRAM-MD5\tservice=smtp");
    assert!(answer.starts_with("FAIL\t6\treason="), "{answer}");
}

fn a_wrong_password_looks_like_an_unknown_user(server: &Server) {
    let mut service = connect(server);
    for (number, user) in [(1, server.alice.name.as_str()), (2, "nobody")] {
        let begin = Instant::now();
        let answer = service.plain(number, user, "wrong");
        assert_eq!(answer, format!("FAIL\t{number}\tuser={user}\t{REFUSED}"));
        assert!(begin.elapsed() >= Duration::from_secs(1), "{user}");
    }
    let log = server.log();
    assert!(!log.contains("nobody"), "a name may be a password");
    assert!(!log.contains(&server.alice.password));
}

fn nobody_acts_for_somebody_else(server: &Server) {
    let alice = &server.alice;
    let message = format!("{}\0{}\0{}", server.bob.name, alice.name, alice.password);
    let message = base64(message.as_bytes());
    let answer = connect(server).say(&format!("AUTH\t1\tPLAIN\tservice=smtp\tresp={message}"));
    let start = format!("FAIL\t1\tuser={}\t", alice.name);
    assert!(answer.starts_with(&start), "{answer}");
    assert!(answer.ends_with("\tauthz"), "{answer}");
}

/// So it takes none of the connections that a user may have.
fn a_right_password_opens_no_account(server: &Server) {
    let alice = &server.alice;
    let clients: Vec<Client> = (0..50).map(|_| server.login()).collect();
    let answer = connect(server).plain(1, &alice.name, &alice.password);
    assert_eq!(answer, format!("OK\t1\tuser={}", alice.name));
    drop(clients);
    let log = server.log();
    assert_eq!(log.matches("logged in account=").count(), 50);
    assert_eq!(log.matches("authenticated account=").count(), 1);
}

/// Each with the address of its user, since wrong ones of one address are checked one after
/// the other.
fn requests(server: &Server) -> (String, BTreeMap<u32, String>) {
    let mut lines = String::new();
    let mut expected = BTreeMap::new();
    for number in 0..100_u32 {
        let address = format!("198.51.100.{number}");
        let (user, password, answer) = if number % 10 == 3 {
            let user = format!("nobody-{number}");
            let answer = format!("FAIL\t{number}\tuser={user}\t{REFUSED}");
            (user, "wrong", answer)
        } else {
            let account = [&server.alice, &server.bob][number as usize % 2];
            let answer = format!("OK\t{number}\tuser={}", account.name);
            (account.name.clone(), account.password.as_str(), answer)
        };
        lines += &plain(number, &address, &user, password);
        lines.push('\n');
        expected.insert(number, answer);
    }
    (lines, expected)
}

fn number_of(answer: &str) -> u32 {
    let number = answer.split('\t').nth(1);
    number.and_then(|it| it.parse().ok()).expect("a number")
}

fn a_hundred_requests_at_once(server: &Server) {
    let (lines, mut expected) = requests(server);
    let mut service = connect(server);
    let begin = Instant::now();
    service.send(&lines);
    let mut numbers = Vec::new();
    while !expected.is_empty() {
        let answer = service.line().expect("an answer");
        let number = number_of(&answer);
        assert_eq!(expected.remove(&number).as_deref(), Some(answer.as_str()));
        numbers.push(number);
    }
    // Ten wrong passwords of one second each have not waited for each other.
    let elapsed = begin.elapsed();
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    assert!(!numbers.is_sorted(), "a wrong password held up the others");
}

fn a_hundred_services_at_once(server: &Server) {
    let (lines, mut expected) = requests(server);
    let mut services: Vec<_> = (0..50)
        .map(|_| connect(server))
        .chain((0..50).map(|_| Auth::unix(&server.auth_socket())))
        .collect();
    for (service, line) in services.iter_mut().zip(lines.lines()) {
        service.send(&format!("{line}\n"));
    }
    for service in &mut services {
        let answer = service.line().expect("an answer");
        let expected = expected.remove(&number_of(&answer));
        assert_eq!(expected.as_deref(), Some(answer.as_str()));
    }
    assert!(expected.is_empty());
}

fn who_guesses_slows_down_nobody_else(server: &Server) {
    let (alice, bob) = (&server.alice, &server.bob);
    let mut service = connect(server);
    for number in 0..20 {
        let user = format!("guess-{number}");
        service.send(&format!(
            "{}\n",
            plain(number, "192.0.2.66", &user, "wrong")
        ));
    }
    for _ in 0..20 {
        let answer = service.line().expect("an answer");
        assert!(answer.ends_with(REFUSED), "{answer}");
    }
    // From that address even who knows the password waits now, some seconds.
    let guesser = plain(100, "192.0.2.66", &alice.name, &alice.password);
    service.send(&format!("{guesser}\n"));
    let other = plain(101, "192.0.2.67", &bob.name, &bob.password);
    let answer = service.say(&other);
    assert_eq!(answer, format!("OK\t101\tuser={}", bob.name));
    let answer = service.line().expect("an answer");
    assert_eq!(answer, format!("OK\t100\tuser={}", alice.name));
}

fn trouble_with_the_accounts_is_temporary(server: &Server) {
    let mut service = connect(server);
    let file = server.folder().join("accounts");
    let accounts = fs::read(&file).expect("it can be read");
    let alice = &server.alice;
    fs::write(&file, "this is not an accounts file").expect("it can be written");
    let answer = service.plain(1, &alice.name, &alice.password);
    let start = format!("FAIL\t1\tuser={}\treason=", alice.name);
    assert!(answer.starts_with(&start), "{answer}");
    assert!(answer.ends_with("\ttemp"), "{answer}");
    fs::write(&file, accounts).expect("it can be written");
    let answer = service.plain(1, &alice.name, &alice.password);
    assert_eq!(answer, format!("OK\t1\tuser={}", alice.name));
}

fn a_stop_waits_for_what_is_being_checked(server: &Server) {
    let mut service = connect(server);
    let mut idle = connect(server);
    service.send(&format!(
        "{}\n",
        plain(1, "192.0.2.1", &server.alice.name, "wrong")
    ));
    // That it has come is certain once a later one is answered.
    let (bob, password) = (&server.bob.name, &server.bob.password);
    assert!(service.plain(2, bob, password).starts_with("OK\t2\t"));
    server.stop();
    let answer = service.line().expect("an answer");
    assert!(answer.starts_with("FAIL\t1\t"), "{answer}");
    service.closed();
    idle.closed();
}
