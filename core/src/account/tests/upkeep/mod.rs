//! Upkeep: what is collected and what is not, what a check finds, what comes back.

mod check;
mod collect;
mod undelete;

use super::world::{Fate, Server, Store, config, failure, inbox_id, keys, name, uid, view};
use crate::account::{
    AccountInput, AccountReply, AccountRequest, Bodies, CheckOptions, CheckReport, ConnectionId,
    InternalDate, NewMessage, Recovered, SweepReport,
};
use crate::config::Config;
use crate::mailbox::{ContentId, Flag, FlagAction, FlagChange, Uid};
use crate::mime::Scanner;
use crate::random::{Random, Seed};
use crate::seal::{ContentKind, ContentWriter, ItemKind, Places, SummaryPlace};
use crate::storage::ItemKey;
use crate::summary::Summary;
use bytes::Bytes;
use core::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// What the clock of [`Server::new`] shows first, in milliseconds.
const START_MS: u64 = 1_800_000_000_000;

/// Stores a message that nobody names yet, at a time.
fn store_at(storage: &mut Store, number: u32, unix_ms: u64) -> NewMessage {
    let (config, keys) = (config(), keys());
    let places = Places::new(keys.account());
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    let mut random = Random::new(Seed::new(seed));
    let mut content = ContentId::at(unix_ms + u64::from(number), &mut random);
    content.0[12..].copy_from_slice(&number.to_be_bytes());
    let text = format!("Subject: {number}\r\n\r\n{}", "text\r\n".repeat(200));
    let kind = ContentKind::Message;
    let chunk_bytes = config.chunk_bytes;
    let writer = ContentWriter::new(&keys, kind, content, chunk_bytes, &mut random);
    let (sealed, summary, place) = write(writer, text.as_bytes());
    storage.objects.insert(places.content(content), sealed);
    let key = places.summary(content);
    let value = keys.seal_item(&key, ItemKind::Summary, &summary, &mut random);
    storage.items.insert(key, (value, 0));
    NewMessage {
        content,
        kind,
        size: text.len() as u64,
        summary_offset: place.offset,
        summary_len: place.len,
        internal_date: InternalDate {
            unix_s: 1_800_000_000,
            zone_min: 60,
        },
        flags: Vec::new(),
    }
}

/// An object with a message, and its summary.
fn write(mut writer: ContentWriter, text: &[u8]) -> (Bytes, Vec<u8>, SummaryPlace) {
    let mut scanner = Scanner::new(&config());
    scanner.feed(text);
    let mut sealed = Vec::new();
    writer.write(text, &mut sealed);
    let layout = writer.end_body(&mut sealed);
    let summary = Summary::new(scanner.finish(), layout.encode().to_vec()).encode();
    let place = writer.finish(&summary, &mut sealed);
    (sealed.into(), summary, place)
}

/// Makes the mailbox `Old`.
fn make_old(server: &mut Server, storage: &mut Store, connection: ConnectionId) {
    let create = AccountRequest::Create {
        name: name("Old"),
        special_use: None,
    };
    server.ask(storage, connection, create);
}

/// Stores messages `from..=to` and appends them to a mailbox.
fn fill(server: &mut Server, storage: &mut Store, mailbox: &str, from: u32, to: u32) {
    for number in from..=to {
        let message = store_at(storage, number, START_MS);
        server.append(storage, mailbox, vec![message]);
    }
    server.drain(storage);
}

/// The numbers of the messages whose bodies are stored.
fn bodies(storage: &Store) -> Vec<u32> {
    let places = Places::new(keys().account());
    let prefix = places.contents();
    let contents = storage.objects.keys();
    let contents = contents.filter_map(|key| places.parse_object(&prefix, key));
    let mut numbers: Vec<u32> = contents
        .map(|id| u32::from_be_bytes(id.0[12..].try_into().unwrap()))
        .collect();
    numbers.sort_unstable();
    // Each has its summary.
    let summaries = places.summaries();
    let summaries = storage
        .items
        .keys()
        .filter(|key| key.partition == summaries);
    assert_eq!(summaries.count(), numbers.len());
    numbers
}

fn sweep(server: &mut Server, storage: &mut Store) -> SweepReport {
    let connection = server.connect();
    match server.ask(storage, connection, AccountRequest::Sweep) {
        AccountReply::Swept(report) => report,
        other => panic!("{other:?}"),
    }
}

/// Time passes: other servers and clients come and go.
fn pass(server: &mut Server, storage: &mut Store, duration: Duration) {
    server.wait(duration);
    server.drain(storage);
}

/// Expunges messages of a mailbox.
fn expunge(server: &mut Server, storage: &mut Store, mailbox: &str, uids: &[u32]) {
    let connection = server.connect();
    server.select(storage, connection, mailbox);
    let uids: Vec<Uid> = uids.iter().copied().map(uid).collect();
    let change = FlagChange {
        action: FlagAction::Add,
        flags: vec![Flag::Deleted],
    };
    let store = AccountRequest::Store {
        uids: uids.clone(),
        change,
        unchanged_since: None,
    };
    server.ask(storage, connection, store);
    let request = AccountRequest::Expunge { uids: Some(uids) };
    let reply = server.ask(storage, connection, request);
    assert!(matches!(reply, AccountReply::Snapshot(_)), "{reply:?}");
    server.ask(storage, connection, AccountRequest::Unselect);
}

fn check(server: &mut Server, storage: &mut Store, repair: bool, rebuild: bool) -> CheckReport {
    let options = CheckOptions {
        bodies: Bodies::Full,
        repair,
        rebuild,
        restored_ms: None,
    };
    let connection = server.connect();
    match server.ask(storage, connection, AccountRequest::Check(options)) {
        AccountReply::Checked(report) => *report,
        other => panic!("{other:?}"),
    }
}

fn undelete(server: &mut Server, storage: &mut Store, mailbox: Option<&str>) -> Recovered {
    let connection = server.connect();
    let request = AccountRequest::Undelete {
        mailbox: mailbox.map(name),
        since_ms: None,
    };
    match server.ask(storage, connection, request) {
        AccountReply::Recoverable(recovered) => recovered,
        other => panic!("{other:?}"),
    }
}

fn number(message: &NewMessage) -> u32 {
    u32::from_be_bytes(message.content.0[12..].try_into().unwrap())
}

/// The items of the log of INBOX, each writer's in order.
fn inbox_items(storage: &Store) -> Vec<ItemKey> {
    let partition = Places::new(keys().account()).log(inbox_id());
    let items = storage.items.keys();
    let items = items.filter(|key| key.partition == partition && !key.sort.0.starts_with('#'));
    items.cloned().collect()
}
