// What both binaries do to look after an account; included by a test of each of them,
// behind command_line.rs.

/// An account in the folder of a demo, while no server runs.
struct Kept {
    folder: tempfile::TempDir,
}

type Embedded = restante_server::storage::embedded::Embedded;

impl Kept {
    /// With so many messages in INBOX.
    fn filled(messages: usize) -> Self {
        let kept = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        kept.client(|client| {
            for number in 0..messages {
                let message = format!("Subject: {number}\r\n\r\nsecret words\r\n");
                let append = format!("APPEND INBOX {{{}+}}\r\n{message}", message.len());
                assert!(command(client, &append).starts_with("t OK [APPENDUID"));
            }
        });
        kept
    }

    /// A client of a server that runs only for it.
    fn client(&self, work: impl FnOnce(&mut BufReader<TcpStream>)) {
        let server = Server::demo(self.folder.path());
        let mut client = server.greeted();
        assert!(command(&mut client, "LOGIN alice hunter2").starts_with("t OK"));
        work(&mut client);
        server.signal("TERM");
        assert_eq!(server.end(), Some(0));
    }

    fn storage(&self) -> Embedded {
        Self::open(&self.folder.path().join("storage"))
    }

    fn open(folder: &Path) -> Embedded {
        // Nothing here waits for a time.
        let sleeper = std::sync::Arc::new(|_| Box::pin(std::future::pending()) as _);
        Embedded::open(folder, Default::default(), sleeper).unwrap()
    }

    /// Runs `fsck` or `undelete`; its exit code, and what it said.
    fn run(&self, what: &str, flags: &[&str]) -> (Option<i32>, String) {
        let config = self.folder.path().join("restante.toml");
        let config = config.to_str().unwrap();
        let arguments = [&[what, "alice", "--config", config, "--password-stdin"], flags];
        let output = run(&arguments.concat(), "hunter2\n");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains("secret"), "{said}");
        (output.status.code(), said)
    }

    /// What SELECT says of the number of messages.
    fn exists(&self, mailbox: &str) -> String {
        let mut found = String::new();
        self.client(|client| {
            let status = format!("t STATUS {mailbox} (MESSAGES UIDNEXT UIDVALIDITY)\r\n");
            client.get_mut().write_all(status.as_bytes()).unwrap();
            client.read_line(&mut found).unwrap();
        });
        found
    }
}

use restante_core::storage::{InsertItem, Item, ItemRange, ObjectKey, PartitionKey, SortKey, StorageRequest, StorageResponse};
use restante_server::storage::Storage;

fn execute(storage: &Embedded, request: StorageRequest) -> StorageResponse {
    futures_lite::future::block_on(storage.execute(request))
}

/// The keys of all objects.
fn objects(storage: &Embedded) -> Vec<ObjectKey> {
    let list = StorageRequest::ListObjects {
        prefix: String::new(),
        after: None,
        limit: 1_000,
    };
    match execute(storage, list) {
        StorageResponse::Objects { keys, .. } => keys,
        other => panic!("{other:?}"),
    }
}

/// The items of a partition of the account that the objects belong to.
fn items(storage: &Embedded, partition: &str) -> Vec<Item> {
    let account = objects(storage)[0].0.split_once('/').unwrap().0.to_owned();
    let partition = PartitionKey(format!("{account}/{partition}"));
    let range = ItemRange::page(partition, SortKey(String::new()), 1_000);
    match execute(storage, StorageRequest::ReadRange(range)) {
        StorageResponse::Range { items, .. } => items,
        other => panic!("{other:?}"),
    }
}

fn flip(storage: &Embedded, item: &Item) {
    let mut value = item.values[0].to_vec();
    let middle = value.len() / 2;
    value[middle] ^= 1;
    let insert = StorageRequest::InsertItems(vec![InsertItem {
        key: item.key.clone(),
        token: Some(item.token.clone()),
        value: value.into(),
    }]);
    assert_eq!(execute(storage, insert), StorageResponse::Done);
}

#[test]
fn fsck_and_undelete_of_a_sound_account() {
    let kept = Kept::filled(3);
    {
        let server = Server::demo(kept.folder.path());
        let (code, said) = kept.run("fsck", &[]);
        assert_eq!(code, Some(1));
        assert!(said.contains("in use by another"), "{said}");
        drop(server);
    }
    let (code, said) = kept.run("fsck", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("6 mailboxes, 3 messages, 3 bodies"), "{said}");
    assert!(said.ends_with("no problems are left\n"), "{said}");
    let config = kept.folder.path().join("restante.toml");
    let config = config.to_str().unwrap();
    let fsck = ["fsck", "alice", "--config", config, "--password-stdin"];
    assert!(fails(&fsck, "wrong\n").contains("password"));
    assert_eq!(run(&["fsck", "--repair"], "").status.code(), Some(2));

    kept.client(|client| {
        assert!(command(client, "SELECT INBOX").starts_with("t OK"));
        assert!(command(client, "STORE 1:2 +FLAGS (\\Deleted)").starts_with("t OK"));
        assert!(command(client, "EXPUNGE").starts_with("t OK"));
    });
    let (_, said) = kept.run("undelete", &["--list", "--since", "1h"]);
    assert_eq!(said.matches("INBOX\texpunged 0 min ago\t").count(), 2, "{said}");
    let (code, said) = kept.run("undelete", &["--mailbox", "Archive"]);
    assert_eq!((code, said.as_str()), (Some(0), "brought back 0 messages\n"));
    let (code, said) = kept.run("undelete", &["--mailbox", "INBOX"]);
    assert_eq!((code, said.as_str()), (Some(0), "brought back 2 messages\n"));
    let (_, said) = kept.run("undelete", &[]);
    assert_eq!(said, "brought back 0 messages\n");
    assert!(kept.run("undelete", &["--mailbox", "Nowhere"]).1.contains("no such mailbox"));
    assert!(kept.exists("INBOX").contains("(MESSAGES 3 UIDNEXT 6 "));
    assert_eq!(kept.run("fsck", &[]).0, Some(0));
}

#[test]
fn what_is_undeleted_has_its_date_and_flags() {
    let kept = Kept::filled(0);
    kept.client(|client| {
        let append = "APPEND INBOX (\\Seen $Label1) \"17-Jul-1996 02:44:25 -0700\" {3+}\r\na\r\n";
        assert!(command(client, append).starts_with("t OK [APPENDUID"));
        assert!(command(client, "SELECT INBOX").starts_with("t OK"));
        assert!(command(client, "STORE 1 +FLAGS (\\Flagged \\Deleted)").starts_with("t OK"));
        assert!(command(client, "EXPUNGE").starts_with("t OK"));
    });
    assert_eq!(kept.run("undelete", &[]).1, "brought back 1 messages\n");
    kept.client(|client| {
        assert!(command(client, "SELECT INBOX").starts_with("t OK"));
        client
            .get_mut()
            .write_all(b"f FETCH 1 (INTERNALDATE FLAGS)\r\n")
            .unwrap();
        let mut found = String::new();
        client.read_line(&mut found).unwrap();
        assert!(found.contains("INTERNALDATE \"17-Jul-1996 02:44:25 -0700\""), "{found}");
        for flag in ["\\Seen", "\\Flagged", "$Label1"] {
            assert!(found.contains(flag), "{found}");
        }
        assert!(!found.contains("\\Deleted"), "{found}");
    });
}

#[test]
fn a_deleted_mailbox_comes_back() {
    let kept = Kept::filled(1);
    kept.client(|client| {
        assert!(command(client, "CREATE Old").starts_with("t OK"));
        assert!(command(client, "SELECT INBOX").starts_with("t OK"));
        assert!(command(client, "MOVE 1 Old").starts_with("t OK"));
        assert!(command(client, "DELETE Old").starts_with("t OK"));
    });
    let (_, said) = kept.run("undelete", &["--list"]);
    assert!(said.starts_with("Recovered/"), "{said}");
    assert!(said.contains("deleted with its mailbox"), "{said}");
    assert_eq!(kept.run("undelete", &[]).1, "brought back 1 messages\n");
    assert_eq!(kept.run("fsck", &[]).0, Some(0));
    let name = said.split('\t').next().unwrap();
    assert!(kept.exists(name).contains("(MESSAGES 1 "));
}

#[test]
fn damage_is_found_and_put_right() {
    let kept = Kept::filled(4);
    // A body that is lost, and a summary with a flipped bit.
    let storage = kept.storage();
    let bodies = objects(&storage);
    let bodies: Vec<_> = bodies.into_iter().filter(|key| key.0.contains("/c/")).collect();
    let summaries = items(&storage, "s");
    assert_eq!((bodies.len(), summaries.len()), (4, 4));
    execute(&storage, StorageRequest::DeleteObjects(vec![bodies[1].clone()]));
    flip(&storage, &summaries[3]);
    drop(storage);
    for _ in 0..2 {
        let (code, said) = kept.run("fsck", &["--quick"]);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("INBOX, UID 2: the message is not there"), "{said}");
        assert!(said.contains("INBOX, UID 4: the summary is missing"), "{said}");
        assert!(said.ends_with("problems that are left: 2\n"), "{said}");
    }
    let (code, said) = kept.run("fsck", &["--repair"]);
    assert!(said.contains("— repaired"), "{said}");
    assert!(said.ends_with("problems that are left: 1\n"), "{said}");
    assert_eq!(code, Some(1));
    // Who has seen enough of it expunges it.
    kept.client(|client| {
        assert!(command(client, "SELECT INBOX").starts_with("t OK"));
        assert!(command(client, "STORE 2 +FLAGS (\\Deleted)").starts_with("t OK"));
        assert!(command(client, "EXPUNGE").starts_with("t OK"));
    });
    assert_eq!(kept.run("fsck", &[]).0, Some(0));
}

#[test]
fn an_item_that_storage_takes_out_of_a_log_is_missed() {
    let kept = Kept::filled(4);
    let storage = kept.storage();
    let account = objects(&storage)[0].0.split_once('/').unwrap().0.to_owned();
    let accounts = fs::read_to_string(kept.folder.path().join("accounts.toml")).unwrap();
    let inbox = accounts.split("inbox = \"").nth(1).unwrap();
    let inbox = inbox.split('"').next().unwrap();
    let log = items(&storage, &format!("m/{inbox}"));
    let taken = &log[log.len() - 2];
    let delete = vec![(taken.key.clone(), taken.token.clone())];
    assert_eq!(execute(&storage, StorageRequest::DeleteItems(delete)), StorageResponse::Done);
    drop(storage);
    let place = format!("{account}/m/{inbox}/{}", taken.key.sort);
    let line = format!("INBOX: an item of the log is missing ({place})");
    let (code, said) = kept.run("fsck", &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&line), "{said}");
    let (code, said) = kept.run("fsck", &["--repair"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("{line} — noted as lost")), "{said}");
    let (code, said) = kept.run("fsck", &[]);
    assert_eq!(code, Some(0), "{said}");
    // The UID that went with it is not given to another message.
    assert!(kept.exists("INBOX").contains("(MESSAGES 3 UIDNEXT "));
}

#[test]
fn an_index_that_is_lost_is_rebuilt_from_the_objects() {
    let kept = Kept::filled(5);
    let before = kept.exists("INBOX");
    assert!(before.contains("(MESSAGES 5 UIDNEXT 6 UIDVALIDITY 1)"), "{before}");
    // Only the bodies are saved.
    let old = kept.folder.path().join("old");
    fs::rename(kept.folder.path().join("storage"), &old).unwrap();
    let (from, to) = (Kept::open(&old), kept.storage());
    for key in objects(&from).into_iter().filter(|key| key.0.contains("/c/")) {
        futures_lite::future::block_on(async {
            let opened = from.open(key.clone(), 0, None, 1 << 20).await.unwrap();
            assert_eq!(opened.len, opened.chunk.len() as u64);
            let mut sink = to.create(key).await.unwrap();
            sink.write(opened.chunk).await.unwrap();
            sink.finish().await.unwrap();
        });
    }
    drop((from, to));
    let (code, said) = kept.run("fsck", &["--rebuild"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("a message that no mailbox names").count(), 5, "{said}");
    let recovered = kept.exists("Recovered");
    assert!(recovered.contains("(MESSAGES 5 UIDNEXT 6 "), "{recovered}");
    // What INBOX gets now was never the UID of another message.
    let inbox = kept.exists("INBOX");
    let next = inbox.split("UIDNEXT ").nth(1).unwrap();
    let next: u32 = next.split(' ').next().unwrap().parse().unwrap();
    assert!(next > 100_000_000, "{inbox}");
    let (code, said) = kept.run("fsck", &["--repair"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = kept.run("fsck", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("5 messages"), "{said}");
}
