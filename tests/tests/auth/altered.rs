//! Somebody who may write the accounts file puts another public key there, for which new
//! mail would be sealed: wherever the account is opened, it is noticed.

use std::fs;

use restante_tests::{Server, Test, auth::Auth, neighbours::base64, samples, tests, trials::Need};

use crate::{REFUSED, connect};

pub(crate) const TESTS: &[Test] = tests![
    an_account_with_another_public_key_stays_closed => needs(&[Need::OwnProcess]),
];

const CLOSED: &str = "This account is closed until its administrator has looked at it";

fn an_account_with_another_public_key_stays_closed(server: &Server) {
    let (alice, bob) = (&server.alice, &server.bob);
    let file = server.folder().join("accounts");
    let before = fs::read_to_string(&file).expect("the accounts can be read");
    let lines = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| line.starts_with("public_key = "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let keys = lines(&before);
    // Alice's mail would be sealed to bob.
    let altered = before.replacen(&keys[0], &keys[1], 1);
    fs::write(&file, &altered).expect("the accounts can be written");

    let mut client = server.connect();
    let plain = base64(format!("\0{}\0{}", alice.name, alice.password).as_bytes());
    for command in [
        format!("LOGIN {} {}", alice.name, alice.password),
        format!("AUTHENTICATE PLAIN {plain}"),
    ] {
        let reply = client.no(command);
        let said = format!("[CONTACTADMIN] {CLOSED}");
        assert!(format!("{reply:?}").contains(&said), "{reply:?}");
    }
    // Who does not know the password learns nothing.
    let reply = client.no(format!("LOGIN {} wrong", alice.name));
    assert!(
        format!("{reply:?}").contains("[AUTHENTICATIONFAILED]"),
        "{reply:?}"
    );
    client.ok(format!("LOGIN {} {}", bob.name, bob.password));

    for mut service in [connect(server), Auth::unix(&server.auth_socket())] {
        let answer = service.plain(1, &alice.name, &alice.password);
        let said = format!("FAIL\t1\tuser={}\treason={CLOSED}\ttemp", alice.name);
        assert_eq!(answer, said);
        let answer = service.plain(2, &alice.name, "wrong");
        assert_eq!(answer, format!("FAIL\t2\tuser={}\t{REFUSED}", alice.name));
    }
    let log = server.log();
    assert_eq!(log.matches("ERROR").count(), 4, "{log}");
    assert!(log.contains("public_key"), "{log}");
    let key = keys[0].split('"').nth(1).expect("a value in quotes");
    assert!(!log.contains(key), "who knows it can make up mail");

    // The operator is told what it must be, by each command that opens the account.
    for command in ["fsck", "undelete", "password"] {
        let (code, said) = match command {
            "password" => server.change_password(alice, "another"),
            command => server.upkeep(command, &[]),
        };
        assert_eq!(code, Some(1), "{command}: {said}");
        assert!(said.contains(&keys[0]), "{command}: {said}");
    }
    let after = fs::read_to_string(&file).expect("the accounts can be read");
    assert_eq!(after, altered, "nothing was written");

    // What is delivered meanwhile is lost to her, and known to be there.
    let message = samples::plain("lost", "text");
    server.deliver().deliver(&["alice"], &message);
    fs::write(&file, before).expect("the accounts can be written");
    server.deliver().deliver(&["alice"], &message);
    let mut client = server.login();
    let reply = client.ok("SELECT INBOX");
    assert!(format!("{reply:?}").contains("* 1 EXISTS"), "{reply:?}");
    let log = server.log();
    assert!(log.contains("a stored value cannot be opened"), "{log}");
    server.stop();
    let (code, said) = server.upkeep("fsck", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("an item of the log cannot be read"), "{said}");
}
