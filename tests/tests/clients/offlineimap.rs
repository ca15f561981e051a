//! offlineimap: an account into a Maildir, both ways.

use std::{fs, path::Path};

use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    samples, tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    an_account_both_ways => needs(&[Need::Program(Program::OFFLINEIMAP)]),
];

fn configuration(server: &Server) -> std::path::PathBuf {
    let folder = server.folder().display();
    let text = format!(
        "[general]\naccounts = test\nmetadata = {folder}/offlineimap\nui = basic\n\n\
         [Account test]\nlocalrepository = near\nremoterepository = far\n\n\
         [Repository near]\ntype = Maildir\nlocalfolders = {folder}/mail\n\n\
         [Repository far]\ntype = IMAP\nremotehost = {}\nremoteport = {}\nremoteuser = {}\nremotepass = {}\n\
         ssl = no\nstarttls = no\nauth_mechanisms = PLAIN, LOGIN\n",
        server.address().ip(),
        server.address().port(),
        server.alice.name,
        server.alice.password
    );
    let file = server.folder().join("offlineimaprc");
    fs::write(&file, text).expect("our folder can be written");
    file
}

fn sync(server: &Server, configuration: &Path) {
    let home = server.folder();
    neighbours::success(
        Program::OFFLINEIMAP
            .command()
            .env("HOME", home)
            .arg("-c")
            .arg(configuration)
            .args(["-o", "-u", "basic"]),
    );
}

fn local(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = ["cur", "new"]
        .iter()
        .flat_map(|part| {
            fs::read_dir(folder.join(part))
                .into_iter()
                .flatten()
                .flatten()
        })
        .map(|entry| entry.path().display().to_string())
        .collect();
    names.sort();
    names
}

fn an_account_both_ways(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Work/Deep");
    for number in 1..=20 {
        client.append_ok(
            "Work/Deep",
            "",
            &samples::plain(&format!("m{number}"), "text"),
        );
    }
    let configuration = configuration(server);
    sync(server, &configuration);
    let maildir = server.folder().join("mail/Work.Deep");
    let maildir = if maildir.exists() {
        maildir
    } else {
        server.folder().join("mail/Work/Deep")
    };
    let first = local(&maildir);
    assert_eq!(first.len(), 20);
    sync(server, &configuration);
    assert_eq!(local(&maildir), first, "the second time nothing changes");

    client.ok("SELECT Work/Deep");
    client.ok("UID STORE 1 +FLAGS (\\Flagged)");
    client.ok("UID STORE 2 +FLAGS (\\Deleted)");
    client.ok("EXPUNGE");
    client.append_ok("Work/Deep", "", &samples::plain("from the server", "x"));
    fs::write(
        maildir.join("new/1.made.here"),
        "Subject: from here\n\nlocal\n",
    )
    .expect("our folder can be written");
    sync(server, &configuration);
    client.ok("NOOP");
    assert_eq!(client.ok("SEARCH SUBJECT \"from here\"").found().len(), 1);
    let after = local(&maildir);
    assert_eq!(after.len(), 21);
    assert_eq!(
        after
            .iter()
            .filter(|name| name
                .rsplit(":2,")
                .next()
                .is_some_and(|flags| flags.contains('F')))
            .count(),
        1
    );
    assert_eq!(client.ok("SEARCH ALL").found().len(), 21);
    sync(server, &configuration);
    assert_eq!(local(&maildir), after);
}
