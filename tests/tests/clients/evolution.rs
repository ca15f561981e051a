//! Evolution's own IMAP library, Camel's IMAPX, in the hands of `clients/evolution_session.py`
//! instead of its windows.

use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    tests,
    trials::Need,
};

use crate::recorder::{Recorder, Side};

pub(crate) const TESTS: &[Test] = tests![
    two_profiles_find_what_the_other_one_changed => needs(&[
        Need::Program(Program::SYSTEM_PYTHON),
        Need::File("/usr/lib/python3/dist-packages/gi/__init__.py", "python3-gi"),
        Need::File("/usr/share/doc/gir1.2-camel-1.2/copyright", "gir1.2-camel-1.2"),
        Need::File(
            "/usr/lib/evolution-data-server/camel-providers/libcamelimapx.so",
            "evolution-data-server",
        ),
    ]),
];

fn two_profiles_find_what_the_other_one_changed(server: &Server) {
    let recorder = Recorder::before(server.address());
    let folder = server.folder().join("evolution");
    std::fs::create_dir(&folder).expect("our folder can be written");
    let output = neighbours::success(
        Program::SYSTEM_PYTHON
            .command()
            .arg(neighbours::scripts().join("evolution_session.py"))
            .arg(recorder.address.port().to_string())
            .arg(&server.alice.name)
            .arg(&server.alice.password)
            .arg(&folder),
    );
    assert!(output.trim_end().ends_with("all done"), "{output}");
    recorder.check_answers();
    let said = recorder.lines(Side::Client);
    assert!(
        said.iter()
            .any(|line| line.contains("SELECT INBOX (QRESYNC (1 "))
    );
    assert!(said.iter().any(|line| line.ends_with(" IDLE")));

    // What the server has is what both profiles showed.
    let mut client = server.login();
    client.ok("SELECT INBOX");
    let mut found = |key: &str| client.ok(format!("UID SEARCH {key}")).found();
    assert_eq!(found("ALL"), [2, 4, 5, 7, 8, 9]);
    assert_eq!(found("FLAGGED"), [2]);
    assert_eq!(found("ANSWERED"), [4, 5]);
    assert!(found("DELETED").is_empty());
    let names = client.ok("LIST \"\" *").mailboxes("LIST");
    assert!(names.contains_key("Evolution") && !names.contains_key("Kept"));
}
