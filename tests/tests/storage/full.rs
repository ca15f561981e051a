//! A full disk: NO, nothing half-written, and work goes on when space is back.

use std::{fs, path::PathBuf};

use restante_tests::{
    Server, Status, Test,
    neighbours::{self, Program},
    samples, tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    a_full_disk_refuses_and_recovers
        => needs(&[Need::OwnProcess, Need::Program(Program::MOUNT), Need::Mounting]),
];

/// Octets that the server leaves free for flags, and for what else needs no object.
const RESERVE: u64 = 128 << 20;
/// Octets that it leaves free of messages.
const RESERVE_FOR_OBJECTS: u64 = 2 * RESERVE;

/// A file system of 384 MiB, gone again when dropped.
struct Small(PathBuf);

impl Small {
    fn mount(at: PathBuf) -> Self {
        fs::create_dir_all(&at).expect("our folder can be changed");
        neighbours::success(
            Program::MOUNT
                .command()
                .args(["-t", "tmpfs", "-o", "size=384m", "restante-test"])
                .arg(&at),
        );
        Self(at)
    }

    /// Octets that are free.
    fn free(&self) -> u64 {
        let text = neighbours::success(
            std::process::Command::new("stat")
                .args(["-f", "-c", "%a %S"])
                .arg(&self.0),
        );
        text.split_whitespace()
            .map(|number| number.parse::<u64>().expect("a number"))
            .product()
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily, since the server may still hold files; nothing to do if it fails.
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

fn a_full_disk_refuses_and_recovers(server: &Server) {
    server.stop();
    let small = Small::mount(server.data_folder());
    server
        .start_again()
        .expect("the server starts on a small disk");
    let mut client = server.login();
    let small_message = samples::plain("first", "kept");
    client.append_ok("INBOX", "", &small_message);
    // Something else takes the space, until messages have nearly no room.
    let ballast = small.0.join("ballast");
    let take = small
        .free()
        .checked_sub(RESERVE_FOR_OBJECTS + (10 << 20))
        .expect("there is room for the ballast");
    fs::write(&ballast, vec![1_u8; usize::try_from(take).expect("fits")])
        .expect("there is room for the ballast");
    let message = samples::large(1_000_000);
    let mut stored = 1;
    let refused = loop {
        let reply = client.append("INBOX", "", &message);
        if reply.status == Status::Ok {
            stored += 1;
            assert!(stored < 40, "40 MB do not fit into 10");
            continue;
        }
        break reply;
    };
    assert_eq!(refused.status, Status::No, "{refused:?}");
    // Nothing half-written is visible, and reading goes on.
    let mut other = server.login();
    assert_eq!(other.ok("SELECT INBOX").exists(), Some(stored));
    assert_eq!(other.fetch(1, "BODY.PEEK[]").bytes("BODY[]"), small_message);
    // What makes room is a write as well.
    other.ok("STORE 2 +FLAGS (\\Deleted \\Flagged)");
    other.ok("EXPUNGE");
    stored -= 1;
    other.ok("CREATE Kept");
    other.ok("COPY 1 Kept");
    // Now the last octet, too.
    let filler = small.0.join("filler");
    let end = std::io::copy(
        &mut std::io::repeat(1),
        &mut fs::File::create(&filler).expect("a file has no size yet"),
    );
    assert_eq!(
        end.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::StorageFull)
    );
    assert_eq!(client.append("INBOX", "", &message).status, Status::No);
    assert_ne!(
        other.command("STORE 1 +FLAGS (\\Flagged)").status,
        Status::Bad
    );
    assert_eq!(other.fetch(1, "BODY.PEEK[]").bytes("BODY[]"), small_message);
    fs::remove_file(&filler).expect("the filler can be removed");
    fs::remove_file(&ballast).expect("the ballast can be removed");
    // With space again the same connection, or at worst a new server, works on.
    let again = server
        .login()
        .append("INBOX", "", &samples::plain("again", "x"));
    assert_eq!(
        again.status,
        Status::Ok,
        "the server works again when space returns: {again:?}"
    );
    stored += 1;
    drop(client);
    drop(other);
    server.restart();
    let mut client = server.login();
    assert_eq!(client.ok("SELECT INBOX").exists(), Some(stored));
    for fetch in client.ok("FETCH 1:* (RFC822.SIZE BODY.PEEK[])").fetches() {
        assert_eq!(
            fetch.item("RFC822.SIZE").number(),
            fetch.bytes("BODY[]").len() as u64
        );
    }
    drop(client);
    server.stop();
    drop(small);
}
