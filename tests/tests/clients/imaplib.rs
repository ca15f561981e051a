//! Python's imaplib, driven by `clients/imaplib_session.py`.

use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    a_whole_session => needs(&[Need::Program(Program::PYTHON)]),
];

fn a_whole_session(server: &Server) {
    let output = neighbours::success(
        Program::PYTHON
            .command()
            .arg(neighbours::scripts().join("imaplib_session.py"))
            .arg(server.address().port().to_string())
            .arg(server.tls_address().port().to_string())
            .arg(&server.alice.name)
            .arg(&server.alice.password),
    );
    assert!(output.trim_end().ends_with("all done"), "{output}");
}
