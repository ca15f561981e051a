//! mbsync: a folder of 300 messages, both ways.

use std::{collections::BTreeMap, fs, path::Path};

use restante_tests::{
    Client, Server, Test,
    neighbours::{self, Program},
    samples, tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    three_hundred_messages_both_ways => needs(&[Need::Program(Program::MBSYNC)]),
];

fn configuration(server: &Server) -> std::path::PathBuf {
    let folder = server.folder().display();
    let text = format!(
        "IMAPAccount test\nHost {}\nPort {}\nUser {}\nPass {}\nSSLType None\nAuthMechs *\nPipelineDepth 50\n\n\
         IMAPStore far\nAccount test\n\n\
         MaildirStore near\nPath {folder}/mail/\nInbox {folder}/mail/INBOX\nSubFolders Verbatim\n\n\
         Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Both\nExpunge Both\nSyncState *\n",
        server.address().ip(),
        server.address().port(),
        server.alice.name,
        server.alice.password
    );
    let file = server.folder().join("mbsyncrc");
    fs::write(&file, text).expect("our folder can be written");
    fs::create_dir_all(server.folder().join("mail")).expect("our folder can be written");
    file
}

fn sync(configuration: &Path) {
    neighbours::success(
        Program::MBSYNC
            .command()
            .arg("-c")
            .arg(configuration)
            .arg("--all"),
    );
}

/// Names and sizes of the local messages; the names hold the flags and UIDs.
fn local(folder: &Path) -> BTreeMap<String, u64> {
    ["cur", "new"]
        .iter()
        .flat_map(|part| {
            fs::read_dir(folder.join(part))
                .into_iter()
                .flatten()
                .flatten()
        })
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.metadata().map_or(0, |data| data.len()),
            )
        })
        .collect()
}

/// UIDs, flags and sizes on the server.
fn remote(client: &mut Client, mailbox: &str) -> Vec<String> {
    let reply = client.ok(format!("EXAMINE {mailbox}"));
    let mut lines = vec![format!(
        "{} {}",
        reply.code_number("UIDVALIDITY"),
        reply.code_number("UIDNEXT")
    )];
    for fetch in client
        .ok("FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)")
        .fetches()
    {
        let mut flags = fetch.flags();
        flags.remove("\\Recent");
        lines.push(format!(
            "{} {flags:?} {}",
            fetch.uid(),
            fetch.item("RFC822.SIZE")
        ));
    }
    client.ok("UNSELECT");
    lines
}

fn three_hundred_messages_both_ways(server: &Server) {
    let mut client = server.login();
    client.ok("CREATE Folder");
    for number in 1..=300 {
        let options = if number % 3 == 0 { "(\\Seen)" } else { "" };
        client.append_ok(
            "Folder",
            options,
            &samples::plain(&format!("m{number}"), &"text ".repeat(number % 50)),
        );
    }
    let configuration = configuration(server);
    let maildir = server.folder().join("mail/Folder");
    sync(&configuration);
    let first = local(&maildir);
    assert_eq!(first.len(), 300);
    assert_eq!(
        first
            .keys()
            .filter(|name| flags_of(name).contains('S'))
            .count(),
        100
    );
    // Nothing changed, so nothing changes.
    let before = remote(&mut client, "Folder");
    sync(&configuration);
    assert_eq!(local(&maildir), first);
    assert_eq!(remote(&mut client, "Folder"), before);

    // Changes on both sides, among them a message of each origin.
    client.ok("SELECT Folder");
    client.ok("UID STORE 1 +FLAGS (\\Flagged)");
    client.ok("UID STORE 300 +FLAGS (\\Deleted)");
    client.ok("EXPUNGE");
    client.append_ok("Folder", "", &samples::plain("from the server", "x"));
    client.ok("UNSELECT");
    let second = by_uid(&maildir, 2);
    let renamed = format!("{}:2,RS", second.split(':').next().expect("a name"));
    let from = if maildir.join("cur").join(&second).exists() {
        "cur"
    } else {
        "new"
    };
    fs::rename(
        maildir.join(from).join(&second),
        maildir.join("cur").join(renamed),
    )
    .expect("our folder can be changed");
    let third = by_uid(&maildir, 4);
    let from = if maildir.join("cur").join(&third).exists() {
        "cur"
    } else {
        "new"
    };
    fs::remove_file(maildir.join(from).join(&third)).expect("our folder can be changed");
    fs::write(
        maildir.join("new/1.made.here"),
        "Subject: from here\n\nlocal\n",
    )
    .expect("our folder can be written");
    sync(&configuration);

    assert!(
        flags_of(&by_uid(&maildir, 1)).contains('F'),
        "a flag came from the server"
    );
    client.ok("SELECT Folder");
    let fetch = client.ok("UID FETCH 2 FLAGS").fetch();
    assert!(
        fetch.has("\\Seen") && fetch.has("\\Answered"),
        "flags came from here: {fetch:?}"
    );
    assert!(
        client.ok("UID FETCH 4 FLAGS").fetches().is_empty(),
        "a removal came from here"
    );
    assert_eq!(client.ok("SEARCH SUBJECT \"from here\"").found().len(), 1);
    assert_eq!(client.ok("SEARCH ALL").found().len(), 300);
    client.ok("UNSELECT");
    let after = local(&maildir);
    assert_eq!(after.len(), 300);
    let before = remote(&mut client, "Folder");
    sync(&configuration);
    assert_eq!(
        (local(&maildir), remote(&mut client, "Folder")),
        (after, before),
        "and again nothing changes"
    );
}

fn flags_of(name: &str) -> &str {
    name.rsplit_once(":2,").map_or("", |(_, flags)| flags)
}

/// The local file of a message, whose name holds `,U=<uid>`.
fn by_uid(maildir: &Path, uid: u32) -> String {
    let mark = format!(",U={uid}");
    local(maildir)
        .into_keys()
        .find(|name| {
            name.split(':')
                .next()
                .is_some_and(|head| head.ends_with(&mark))
        })
        .unwrap_or_else(|| panic!("a file with {mark}"))
}
