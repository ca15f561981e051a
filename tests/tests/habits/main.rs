//! The habits of mail programs, one module for each: the octets that they send, on both
//! binaries. `docs/clients.md` lists them, with the tests elsewhere that prove the rest.
//!
//! Tags, letter case and the order of items are the programs' own.

mod apple;
mod em_client;
mod everyone;
mod fairemail;
mod gnome;
mod k9;
mod mbsync;
mod mutt;
mod offered;
mod offlineimap;
mod outlook;
mod thunderbird;
mod webmail;

use restante_tests::{Client, Reply, Status, client::Tag};

fn main() -> std::process::ExitCode {
    restante_tests::trials::run_on_every_storage(&[
        ("apple", apple::TESTS),
        ("em_client", em_client::TESTS),
        ("everyone", everyone::TESTS),
        ("fairemail", fairemail::TESTS),
        ("gnome", gnome::TESTS),
        ("k9", k9::TESTS),
        ("mbsync", mbsync::TESTS),
        ("mutt", mutt::TESTS),
        ("offered", offered::TESTS),
        ("offlineimap", offlineimap::TESTS),
        ("outlook", outlook::TESTS),
        ("thunderbird", thunderbird::TESTS),
        ("webmail", webmail::TESTS),
    ])
}

/// Sends a line that begins with its tag and reads its answer, which must be OK.
fn ok(client: &mut Client, line: impl AsRef<str>) -> Reply {
    let line = line.as_ref();
    client.send(format!("{line}\r\n"));
    done(client, tag_of(line))
}

/// Reads the answer to a command that was sent, which must be OK.
fn done(client: &mut Client, tag: &str) -> Reply {
    let reply = client.finish(&Tag(tag.to_owned()));
    assert_eq!(reply.status, Status::Ok, "{reply:?}");
    reply
}

/// Sends IDLE with this tag and reads the continuation request.
fn idle(client: &mut Client, line: &str) {
    client.send(format!("{line}\r\n"));
    await_idle(client);
}

/// Reads the continuation request of an IDLE that was sent.
fn await_idle(client: &mut Client) {
    let response = client.response();
    assert!(response.starts_with("+ "), "{response:?}");
}

/// Reads what an idling client is told until there are so many messages.
fn hear_of(client: &mut Client, count: u32) {
    loop {
        let response = client.response();
        assert!(response.starts_with("* "), "{response:?}");
        if response.numbered("EXISTS").map(|(exists, _)| exists) == Some(count) {
            return;
        }
    }
}

fn tag_of(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}
