//! Stored bytes that the storage operator has put there instead of ours.
//!
//! Input: an octet that says what is opened, an octet of choices, then the bytes: either all
//! of them, or changes to a value that was sealed well.

use super::mime;
use super::source::{Source, pieces};
use restante_core::config::Config;
use restante_core::imap::grammar::encode_base64;
use restante_core::mailbox::{AccountId, ContentId};
use restante_core::mime::Scanner;
use restante_core::random::{Random, Seed};
use restante_core::seal::{
    AccountKeys, CONTENT_HEAD_BYTES, CONTENT_TRAILER_BYTES, ContentKind, ContentLayout,
    ContentReader, ContentWriter, ItemKind, Progress, SealError, SlotKind, is_arrival,
    open_summary, open_trailer, seal_arrival, seal_delivered_summary, unwrap, wrap,
};
use restante_core::storage::{ItemKey, PartitionKey, SortKey};
use restante_core::summary::Summary;
use std::sync::LazyLock;

/// First octets from here on mean a message with attachments.
const ATTACHMENT: u8 = 0xf0;
const ACCOUNT: AccountId = AccountId([7; 16]);
const ID: ContentId = ContentId([8; 16]);
const KEK: [u8; 32] = [9; 32];
const ITEM_KINDS: [ItemKind; 9] = [
    ItemKind::Operation,
    ItemKind::DirectoryOperation,
    ItemKind::Summary,
    ItemKind::CheckpointPointer,
    ItemKind::DirectoryCheckpointPointer,
    ItemKind::Writer,
    ItemKind::Settings,
    ItemKind::Arrival,
    ItemKind::DeliveredSummary,
];
const CONTENT_KINDS: [ContentKind; 3] = [
    ContentKind::Message,
    ContentKind::Checkpoint,
    ContentKind::Delivery,
];

static KEYS: LazyLock<AccountKeys> =
    LazyLock::new(|| AccountKeys::generate(ACCOUNT, &mut random()));

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let what = source.byte();
    let choices = source.byte();
    if what >= ATTACHMENT {
        return attachment(&mut source, choices);
    }
    match what % 6 {
        0 => layout(source.rest(), choices),
        1 => summary(source.rest()),
        2 => small_values(source.rest(), choices),
        3 => changed_object(&mut source, choices),
        4 => changed_values(&mut source, choices),
        _ => changed_summary(&mut source),
    }
}

fn random() -> Random {
    Random::new(Seed::new([1; 32]))
}

fn place() -> ItemKey {
    ItemKey {
        partition: PartitionKey("partition".to_owned()),
        sort: SortKey("sort".to_owned()),
    }
}

/// A layout of any bytes, and an object read by it.
fn layout(bytes: &[u8], choices: u8) {
    let kind = CONTENT_KINDS[usize::from(choices) % 3];
    let mut reader = ContentReader::from_start(&KEYS, kind, ID, None);
    drop(read(&mut reader, bytes, choices));
    let Ok(layout) = ContentLayout::decode(bytes) else {
        return;
    };
    assert_eq!(layout.encode().as_slice(), bytes);
    let size = layout.plaintext_bytes();
    for (start, end) in [
        (0, 0),
        (0, size),
        (size, size),
        (size / 2, size),
        (0, u64::MAX),
    ] {
        let range = layout.stored_range(start..end);
        assert!(range.start < range.end);
        let mut reader = ContentReader::at(&layout, kind, ID, start);
        assert_eq!(reader.stored_start(), range.start);
        drop(read(&mut reader, bytes, choices));
    }
}

/// Reads all that is there: the plaintext so far, and how it ended.
fn read(
    reader: &mut ContentReader,
    stored: &[u8],
    choices: u8,
) -> (Vec<u8>, Result<Progress, SealError>) {
    let mut fed = pieces(stored, &[choices]).into_iter();
    let mut plaintext = Vec::new();
    loop {
        let before = plaintext.len();
        match reader.next(&mut plaintext) {
            Ok(Progress::Chunk(len)) => assert_eq!(plaintext.len(), before + len),
            Ok(Progress::NeedMore(more)) => {
                assert!(more > 0 && plaintext.len() == before);
                match fed.next() {
                    Some(piece) => reader.feed(piece),
                    None => return (plaintext, Ok(Progress::NeedMore(more))),
                }
            }
            end => {
                assert_eq!(plaintext.len(), before, "a failure gives no octets");
                return (plaintext, end);
            }
        }
    }
}

/// A summary of any bytes.
fn summary(bytes: &[u8]) {
    let Ok(summary) = Summary::decode(bytes) else {
        return;
    };
    mime::inspect(&summary.structure, summary.size);
    mime::header(&summary.header);
    let _ = summary.envelope();
    let stored = summary.encode();
    assert_eq!(Summary::decode(&stored).as_ref(), Ok(&summary));
    let _ = ContentLayout::decode(&summary.layout);
}

/// Any bytes as each of the short sealed values.
fn small_values(bytes: &[u8], choices: u8) {
    for kind in ITEM_KINDS {
        assert!(
            KEYS.open_item(&place(), kind, bytes).is_err(),
            "a forgery is opened"
        );
    }
    assert!(unwrap(bytes, &KEK, ACCOUNT).is_err(), "a forgery is opened");
    assert!(KEYS.open_sealed_to(b"info", b"aad", bytes).is_err());
    let kind = CONTENT_KINDS[usize::from(choices) % 3];
    let at = CONTENT_HEAD_BYTES.min(bytes.len());
    let (head, rest) = bytes.split_at(at);
    assert!(open_trailer(&KEYS, kind, ID, head, rest, bytes.len() as u64).is_err());
    assert!(open_summary(&KEYS, kind, ID, head, rest).is_err());
    let _ = is_arrival(bytes);
}

/// An object of the message that `source` begins with, then changed as the rest says: what
/// is read of it is a beginning of the message or nothing.
fn changed_object(source: &mut Source<'_>, choices: u8) {
    let message = source.octets();
    let chunk_bytes = usize::from(source.byte()) + 1;
    let mut random = random();
    let kind = CONTENT_KINDS[usize::from(choices) % 3];
    let mut writer = match kind {
        ContentKind::Delivery => {
            let key = KEYS.public_key();
            let writer = ContentWriter::deliver(ACCOUNT, &key, ID, chunk_bytes, &mut random);
            writer.expect("the account's key is a key")
        }
        kind => ContentWriter::new(&KEYS, kind, ID, chunk_bytes, &mut random),
    };
    let mut stored = Vec::new();
    writer.write(message, &mut stored);
    let layout = writer.end_body(&mut stored);
    let summary = writer.finish(&layout.encode(), &mut stored);
    let changed = change(&stored, source);

    let mut reader = ContentReader::from_start(&KEYS, kind, ID, None);
    let (plaintext, end) = read(&mut reader, &changed, choices);
    assert!(message.starts_with(&plaintext), "other octets are given");
    if end == Ok(Progress::End) {
        assert_eq!(plaintext, message, "an end is believed that is none");
    }
    let offset = message.len() as u64 / 2;
    let mut reader = ContentReader::at(&layout, kind, ID, offset);
    let from = reader.stored_start() as usize;
    let (plaintext, _) = read(
        &mut reader,
        changed.get(from..).unwrap_or_default(),
        choices,
    );
    let given = plaintext.get(reader.first_skip()..).unwrap_or_default();
    assert!(
        message[offset as usize..].starts_with(given),
        "other octets are given"
    );

    let Some((front, trailer)) =
        changed.split_at_checked(changed.len().saturating_sub(CONTENT_TRAILER_BYTES))
    else {
        return;
    };
    let head = &front[..front.len().min(CONTENT_HEAD_BYTES)];
    if let Ok(end) = open_trailer(&KEYS, kind, ID, head, trailer, changed.len() as u64) {
        assert_eq!(
            (end.summary, end.body_bytes),
            (summary, message.len() as u64)
        );
        let start = end.summary.offset as usize;
        let sealed = &front[start..start + end.summary.len as usize];
        if let Ok(opened) = open_summary(&KEYS, kind, ID, head, sealed) {
            assert_eq!(opened, *layout.encode(), "another summary is given");
        }
    }
}

/// Lines that are or look like base64 come back as they were, whole and from anywhere.
fn attachment(source: &mut Source<'_>, choices: u8) {
    let mut message = Vec::new();
    for _ in 0..choices % 4 + 1 {
        let (line, repeated) = (usize::from(source.byte()), usize::from(source.byte()));
        let octets = source.octets();
        let characters = encode_base64(&octets.repeat(repeated % 32 + 1));
        for line in characters.as_bytes().chunks(line.max(1)) {
            message.extend_from_slice(line);
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(source.octets());
    }
    let message = change(&message, source);
    let chunk_bytes = 64 * (usize::from(source.byte()) + 1);
    let kind = ContentKind::Message;
    let mut writer = ContentWriter::new(&KEYS, kind, ID, chunk_bytes, &mut random());
    let mut stored = Vec::new();
    writer.write(&message, &mut stored);
    let layout = writer.end_body(&mut stored);
    writer.finish(b"", &mut stored);
    for offset in [0, message.len() as u64 / 3, message.len() as u64] {
        let mut reader = ContentReader::at(&layout, kind, ID, offset);
        let from = reader.stored_start() as usize;
        let (plaintext, end) = read(&mut reader, &stored[from..], choices);
        assert_eq!(end, Ok(Progress::End));
        let given = &plaintext[reader.first_skip()..];
        assert!(
            given == &message[offset as usize..],
            "other octets are given"
        );
    }
}

/// Short values that were sealed well and then changed open only as they were.
fn changed_values(source: &mut Source<'_>, choices: u8) {
    let plaintext = source.octets();
    let mut random = random();
    let kind = ITEM_KINDS[usize::from(choices) % ITEM_KINDS.len()];
    let sealed = match kind {
        ItemKind::Arrival => {
            let key = KEYS.public_key();
            let sealed = seal_arrival(ACCOUNT, &key, &place(), plaintext, &mut random);
            sealed.expect("the account's key is a key")
        }
        ItemKind::DeliveredSummary => {
            let key = KEYS.public_key();
            let sealed = seal_delivered_summary(ACCOUNT, &key, &place(), plaintext, &mut random);
            sealed.expect("the account's key is a key")
        }
        kind => KEYS.seal_item(&place(), kind, plaintext, &mut random),
    };
    let changed = change(&sealed, source);
    for other in ITEM_KINDS {
        let opened = KEYS.open_item(&place(), other, &changed);
        let same = other == kind && changed == sealed;
        assert_eq!(opened.ok().as_deref(), same.then_some(plaintext));
    }
    let slot = wrap(&KEYS, &KEK, SlotKind::Password, &mut random);
    let changed = change(&slot, source);
    let opened = unwrap(&changed, &KEK, ACCOUNT);
    assert_eq!(opened.is_ok(), changed == slot);
}

/// The stored form of a message's summary, changed.
fn changed_summary(source: &mut Source<'_>) {
    let mut scanner = Scanner::new(&Config::default());
    scanner.feed(source.octets());
    let stored = Summary::new(scanner.finish(), b"layout".to_vec()).encode();
    summary(&change(&stored, source));
}

/// Overwrites, cuts out and appends bytes.
fn change(bytes: &[u8], source: &mut Source<'_>) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..source.byte() % 4 {
        let at = usize::from(source.number()) % (changed.len() + 1);
        match source.byte() % 4 {
            0 => changed.truncate(at),
            1 => changed.extend_from_slice(source.octets()),
            2 => {
                let end = changed.len().min(at + usize::from(source.byte()));
                changed.drain(at..end);
            }
            _ => {
                let with = source.byte();
                if let Some(byte) = changed.get_mut(at) {
                    *byte ^= with;
                }
            }
        }
    }
    changed
}
