//! A real Postfix asks, on behalf of a real mail client.

use std::fs;

use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    postfix::Postfix,
    tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    a_real_postfix_lets_in_who_knows_the_password => needs(&[
        Need::OwnProcess,
        Need::Program(Program::POSTFIX),
        Need::Program(Program::PYTHON),
        Need::Root,
    ]),
];

/// What Postfix says to a client after its own 535.
const REFUSED: &str = "535 5.7.8 Error: authentication failed: User name and password do not match";

fn a_real_postfix_lets_in_who_knows_the_password(server: &Server) {
    let postfix = Postfix::start(server);
    let (user, password) = (&server.alice.name, &server.alice.password);
    let let_in = "235 2.7.0 Authentication successful\nsent\n";
    for port in [postfix.by_tcp, postfix.by_unix] {
        for mechanism in ["PLAIN", "LOGIN", "CANCELLED"] {
            assert_eq!(submit(port, mechanism, user, password), let_in);
        }
        for mechanism in ["PLAIN", "LOGIN"] {
            let said = submit(port, mechanism, user, "wrong");
            assert_eq!(said.trim_end(), REFUSED);
        }
        let said = submit(port, "PLAIN", "nobody", "wrong");
        assert_eq!(said.trim_end(), REFUSED);
        // By other letters it is the same user, also to Postfix.
        let said = submit(port, "PLAIN", &user.to_uppercase(), password);
        assert_eq!(said, let_in);
    }
    let accounts = server.folder().join("accounts");
    let good = fs::read(&accounts).expect("it can be read");
    fs::write(&accounts, "this is not an accounts file").expect("it can be written");
    let said = submit(postfix.by_tcp, "PLAIN", user, password);
    assert!(said.contains("cannot be checked just now"), "{said}");
    fs::write(&accounts, good).expect("it can be written");
    assert_eq!(submit(postfix.by_tcp, "PLAIN", user, password), let_in);

    let log = postfix.log();
    let name = format!("sasl_username={user}\n");
    assert_eq!(log.matches(&name).count(), 2 * 4 + 1 + 2 * 2 + 1, "{log}");
    assert!(!log.contains(password), "{log}");
    assert!(!server.log().contains(password));
}

fn submit(port: u16, mechanism: &str, user: &str, password: &str) -> String {
    let script = neighbours::scripts().join("submission.py");
    let arguments = [&port.to_string(), mechanism, user, password];
    neighbours::success(Program::PYTHON.command().arg(script).args(arguments))
}
