//! Messages that come without the account's keys, and what is made of them by who has
//! the keys.

use super::world::{
    self, Fate, Server, Store, config, delivered, first_item, inbox_id, insert, keys, message,
    name, view,
};
use crate::account::{AccountInput, AccountReply, AccountRequest, InternalDate, NewMessage};
use crate::boundary::Event;
use crate::config::Config;
use crate::delivery::{
    Delivery, DeliveryFailure, DeliveryInput, DeliveryOutput, InboxWriter, Recipient,
};
use crate::mailbox::{
    Batch, ContentId, Flag, Keyword, MessageId, ModSeq, Operation, Stamp, Uid, WriterId,
};
use crate::random::Seed;
use crate::seal::{ContentKind, ContentReader, Places, Progress};
use crate::storage::{ItemKey, StorageError, StorageRequest, StorageResponse};
use crate::time::{Instant, Now};
use bytes::Bytes;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

const MESSAGE: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";

fn recipient() -> Recipient {
    Recipient {
        account: keys().account(),
        public_key: keys().public_key(),
        inbox: inbox_id(),
    }
}

fn now() -> Now {
    Now {
        instant: Instant(0),
        unix_ms: 1_800_000_100_000,
    }
}

fn writer(seed: u8) -> InboxWriter {
    InboxWriter::new(now(), Seed::new([seed; 32]))
}

/// Delivers a message; `fate` says what becomes of each insert.
fn deliver_with(
    storage: &mut Store,
    seed: u8,
    writer: InboxWriter,
    octets: &[u8],
    mut fate: impl FnMut(usize) -> Fate,
) -> (Result<(), DeliveryFailure>, Option<InboxWriter>) {
    let config = Arc::new(config());
    let mut now = now();
    // Messages of one millisecond are in no order.
    now.unix_ms += u64::from(seed);
    let seed = Seed::new([seed; 32]);
    let mut delivery = Delivery::new(Arc::clone(&config), recipient(), vec![], seed, now);
    let (mut streams, mut writer, mut left) = (BTreeMap::new(), Some(writer), Some(octets));
    let mut inserts = 0;
    loop {
        let input = match delivery.poll_output() {
            DeliveryOutput::Storage(id, request) => {
                let insert = matches!(request, StorageRequest::InsertItems(_));
                let fate = if insert { fate(inserts) } else { Fate::Works };
                inserts += usize::from(insert);
                let failed = |error| StorageResponse::Failed(error);
                let unavailable = || failed(StorageError::Unavailable("lost".to_owned()));
                let response = match fate {
                    Fate::Works => storage.carry_out(&mut streams, id, request),
                    Fate::AnswerLost => {
                        storage.carry_out(&mut streams, id, request);
                        unavailable()
                    }
                    Fate::Full => failed(StorageError::Full),
                    _ => unavailable(),
                };
                DeliveryInput::Storage(id, response)
            }
            DeliveryOutput::Turn => DeliveryInput::Turn(writer.take().unwrap()),
            DeliveryOutput::Wait {
                receive: 0,
                deadline,
            } => {
                now.instant = deadline.expect("it waits for something");
                DeliveryInput::Timeout
            }
            DeliveryOutput::Wait { receive, .. } => match left {
                Some([]) | None => {
                    assert!(left.take().is_some());
                    DeliveryInput::End
                }
                Some(octets) => {
                    let (first, rest) = octets.split_at(octets.len().min(receive).min(100));
                    left = Some(rest);
                    DeliveryInput::Received(Bytes::copy_from_slice(first))
                }
            },
            DeliveryOutput::Abandon(_) | DeliveryOutput::Event(_) => continue,
            DeliveryOutput::Delivered(writer) => return (Ok(()), Some(writer)),
            DeliveryOutput::Failed(failure, lent) => return (Err(failure), lent.or(writer)),
        };
        delivery.handle_input(now, input);
    }
}

fn deliver(storage: &mut Store, seed: u8, writer: InboxWriter, octets: &[u8]) -> InboxWriter {
    match deliver_with(storage, seed, writer, octets, |_| Fate::Works) {
        (Ok(()), Some(writer)) => writer,
        other => panic!("{other:?}"),
    }
}

/// The plaintext of the message's object.
fn body(storage: &Store, message: &crate::mailbox::Message) -> Vec<u8> {
    let keys = keys();
    let key = Places::new(keys.account()).content(message.content);
    let size = Some(message.size);
    let mut reader = ContentReader::from_start(&keys, message.kind, message.content, size);
    reader.feed(&storage.objects[&key]);
    let mut body = Vec::new();
    while !matches!(reader.next(&mut body), Ok(Progress::End)) {}
    body
}

fn damaged(server: &Server) -> usize {
    let events = server.events.iter();
    events
        .filter(|event| matches!(event, Event::Damaged { .. }))
        .count()
}

/// Puts an arrival into INBOX's log.
fn leave(storage: &mut Store, number: u8, batch: &Batch) {
    world::leave(storage, first_item(inbox_id(), number), batch);
}

fn arrival(number: u8) -> NewMessage {
    delivered(number.into(), &[])
}

fn arriving(number: u8, arrival: NewMessage) -> Batch {
    world::arriving(MessageId([number; 16]), arrival)
}

#[test]
fn a_delivered_message_is_there_with_the_next_look() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let watching = server.connect();
    server.select(&mut storage, watching, "INBOX");
    let (objects, items) = (storage.objects.len(), storage.items.len());
    let long: Vec<u8> = [MESSAGE, &b"0123456789abcdef".repeat(500)].concat();
    let writer = deliver(&mut storage, 11, writer(9), MESSAGE);
    deliver(&mut storage, 12, writer, &long);
    // One object and two items for each.
    assert_eq!(storage.objects.len(), objects + 2);
    assert_eq!(storage.items.len(), items + 4);
    server.input(AccountInput::Rung(Some(inbox_id())));
    server.drain(&mut storage);
    let told = server.unasked(watching);
    let [AccountReply::Changed(snapshot)] = told.as_slice() else {
        panic!("{told:?}");
    };
    let messages: Vec<_> = snapshot.state.iter_from(0).collect();
    assert_eq!(messages.len(), 2);
    assert_eq!((messages[0].uid.get(), messages[1].uid.get()), (1, 2));
    assert_eq!(messages[0].internal_date.unix_s, 1_800_000_100);
    assert!(
        messages
            .iter()
            .all(|it| it.kind == ContentKind::Delivery && it.modseq > ModSeq(1))
    );
    assert!(body(&storage, messages[0]) == MESSAGE);
    assert!(body(&storage, messages[1]) == long);
    assert_eq!(server.rings, [Some(inbox_id())], "the claims are news");
}

#[test]
fn copies_and_checkpoints_keep_how_a_message_is_sealed() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    deliver(&mut storage, 11, writer(9), MESSAGE);
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let copy = AccountRequest::Copy {
        uids: vec![Uid::FIRST],
        to: name("Archive"),
        expunge: true,
    };
    let reply = server.ask(&mut storage, connection, copy);
    assert!(matches!(reply, AccountReply::Copied { .. }), "{reply:?}");
    for _ in 0..20 {
        server.append(&mut storage, "Archive", vec![message(5, &[])]);
    }
    server.drain(&mut storage);
    assert!(
        storage.items.keys().any(|key| key.sort.0.starts_with('#')),
        "no checkpoint"
    );
    let mut other = Server::new(2, config());
    let state = other.status(&mut storage, "Archive");
    let copied = state.message(0).unwrap();
    assert_eq!(copied.kind, ContentKind::Delivery);
    assert_eq!(body(&storage, copied), MESSAGE);
    assert_eq!(state.message(1).unwrap().kind, ContentKind::Message);
    assert!(other.status(&mut storage, "INBOX").is_empty());
}

#[test]
fn servers_that_saw_the_same_arrivals_claim_the_same_uids() {
    let mut storage = Store::default();
    let mut servers = [1, 2].map(|seed| Server::new(seed, config()));
    let watching = servers.each_mut().map(|server| {
        let connection = server.connect();
        server.select(&mut storage, connection, "INBOX");
        connection
    });
    // Three processes deliver.
    for number in 0..3 {
        let writer = deliver(&mut storage, 20 + number, writer(number), MESSAGE);
        deliver(&mut storage, 30 + number, writer, MESSAGE);
    }
    // Both read before either has written its claims.
    for server in &mut servers {
        server.input(AccountInput::Rung(Some(inbox_id())));
    }
    loop {
        let writes = |server: &Server| match server.open.front() {
            None | Some((_, StorageRequest::InsertItems(_))) => true,
            Some(_) => false,
        };
        let Some(server) = servers.iter_mut().find(|server| !writes(server)) else {
            break;
        };
        server.step(&mut storage, Fate::Works);
    }
    let mut seen = Vec::new();
    for (server, connection) in servers.iter_mut().zip(watching) {
        assert!(!server.open.is_empty(), "it claims");
        server.drain(&mut storage);
        seen.push(server.ask(&mut storage, connection, AccountRequest::Refresh));
    }
    for (server, connection) in servers.iter_mut().zip(watching) {
        seen.push(server.ask(&mut storage, connection, AccountRequest::Refresh));
    }
    let uids: Vec<Vec<(u32, ContentId)>> = seen
        .iter()
        .map(|reply| match reply {
            AccountReply::Snapshot(snapshot) => {
                let messages = snapshot.state.iter_from(0);
                messages.map(|it| (it.uid.get(), it.content)).collect()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(uids[0].iter().map(|it| it.0).eq(1..=6), "{uids:?}");
    assert!(uids.iter().all(|it| *it == uids[0]));
}

#[test]
fn the_same_octets_are_sent_again_until_the_answer_comes() {
    let mut storage = Store::default();
    let (outcome, writer) = deliver_with(&mut storage, 11, writer(9), MESSAGE, |attempt| {
        if attempt < 2 {
            Fate::AnswerLost
        } else {
            Fate::Works
        }
    });
    assert_eq!(outcome, Ok(()));
    deliver(&mut storage, 12, writer.unwrap(), MESSAGE);
    let mut server = Server::new(1, config());
    // The storage of these tests refuses other octets under the same key.
    assert_eq!(server.status(&mut storage, "INBOX").len(), 2);
}

#[test]
fn a_writer_whose_answer_was_lost_for_good_is_not_lent_again() {
    let mut storage = Store::default();
    let (outcome, lent) = deliver_with(&mut storage, 11, writer(9), MESSAGE, |_| Fate::AnswerLost);
    assert_eq!((outcome, lent), (Err(DeliveryFailure::Unavailable), None));
    // Nothing was stored: its number is free.
    let (outcome, lent) = deliver_with(&mut storage, 12, writer(8), MESSAGE, |_| Fate::Full);
    assert_eq!(
        (outcome, &lent),
        (Err(DeliveryFailure::OverQuota), &Some(writer(8)))
    );
    deliver(&mut storage, 13, lent.unwrap(), MESSAGE);
    let mut server = Server::new(1, config());
    assert_eq!(server.status(&mut storage, "INBOX").len(), 2);
}

#[test]
fn what_is_too_big_or_empty_is_refused_and_leaves_nothing() {
    let mut storage = Store::default();
    let (outcome, lent) = deliver_with(&mut storage, 11, writer(9), b"", |_| Fate::Works);
    assert_eq!(outcome, Err(DeliveryFailure::Empty));
    assert!(lent.is_some() && storage.items.is_empty() && storage.objects.is_empty());
}

#[test]
fn a_hostile_deliverer_moves_neither_clock_nor_modseq_nor_uids() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    let mut far = arriving(1, arrival(1));
    far.stamp = Stamp(u64::MAX);
    far.modseq = ModSeq((1 << 62) - 1);
    leave(&mut storage, 1, &far);
    let state = server.status(&mut storage, "INBOX");
    assert_eq!((state.len(), state.uid_next().get()), (2, 3));
    assert!(state.highest_modseq() < ModSeq(10), "{state:?}");
    // Flags are still won by who changes them last.
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    for (action, set) in [
        (crate::mailbox::FlagAction::Add, true),
        (crate::mailbox::FlagAction::Remove, false),
    ] {
        let store = AccountRequest::Store {
            uids: vec![Uid::FIRST],
            change: crate::mailbox::FlagChange {
                action,
                flags: vec![Flag::Seen],
            },
            unchanged_since: None,
        };
        server.ask(&mut storage, connection, store);
        let mut other = Server::new(2, config());
        let state = other.status(&mut storage, "INBOX");
        assert_eq!(state.message(0).unwrap().flags.seen(), set);
    }
}

#[test]
fn an_arrival_may_do_nothing_but_arrive() {
    let claim = Operation::Claim {
        message: MessageId([1; 16]),
        uid: Uid::new(u32::MAX).unwrap(),
    };
    let expunge = Operation::Expunge {
        messages: vec![MessageId([1; 16])],
    };
    let keyword = vec![Flag::Keyword(Keyword::new("many"))];
    let own = ContentKind::Message;
    let year = InternalDate {
        unix_s: i64::MAX,
        zone_min: 0,
    };
    let zone = InternalDate {
        unix_s: 0,
        zone_min: i16::MAX,
    };
    let with = |change: &dyn Fn(&mut NewMessage)| {
        let mut it = arrival(1);
        change(&mut it);
        arriving(1, it)
    };
    let mut batches = vec![
        with(&|it| it.kind = own),
        with(&|it| it.size = u64::MAX),
        with(&|it| it.flags = keyword.clone()),
        with(&|it| it.internal_date = year),
        with(&|it| it.internal_date = zone),
    ];
    for operations in [vec![], vec![claim.clone()], vec![expunge]] {
        batches.push(Batch {
            operations,
            ..arriving(1, arrival(1))
        });
    }
    let mut both = arriving(1, arrival(1));
    both.operations.push(claim);
    batches.push(both);
    for (number, batch) in (1..).zip(batches) {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        server.append(&mut storage, "INBOX", vec![message(1, &[])]);
        leave(&mut storage, number, &batch);
        // It holds up nobody behind it.
        leave(&mut storage, 100, &arriving(100, arrival(100)));
        let state = server.status(&mut storage, "INBOX");
        assert_eq!((state.len(), state.uid_next().get()), (2, 3), "{batch:?}");
        assert_eq!(damaged(&server), 1, "{batch:?}");
    }
}

#[test]
fn what_cannot_be_opened_stays_in_the_log_when_it_is_shortened() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let key = ItemKey {
        partition: Places::new(keys().account()).log(inbox_id()),
        sort: Places::new(keys().account()).operation(WriterId([1; 16]), 0),
    };
    let garbage = Bytes::from_static(&[0x81; 200]);
    insert(&mut storage, key.clone(), garbage);
    deliver(&mut storage, 11, writer(9), MESSAGE);
    for _ in 0..3 {
        for _ in 0..20 {
            server.append(&mut storage, "INBOX", vec![message(5, &[])]);
        }
        server.drain(&mut storage);
        server.wait(Duration::from_secs(61));
        server.drain(&mut storage);
    }
    let log = storage.items.keys();
    let log = log.filter(|it| it.partition == key.partition && !it.sort.0.starts_with('#'));
    assert!(log.count() < 60, "it was shortened");
    assert!(storage.items.contains_key(&key));
    assert_eq!(damaged(&server), 1);
    // Nor does a checkpoint hide it from who comes later.
    let mut other = Server::new(2, config());
    assert_eq!(other.status(&mut storage, "INBOX").len(), 61);
    assert_eq!(damaged(&other), 1);
}

/// Who has read what somebody put there sees the item that then comes beside it all the same.
#[test]
fn what_is_put_where_an_item_will_be_does_not_hide_the_item() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let key = ItemKey {
        partition: Places::new(keys().account()).log(inbox_id()),
        sort: Places::new(keys().account()).operation(WriterId([7; 16]), 0),
    };
    let garbage = Bytes::from_static(&[0x81; 200]);
    insert(&mut storage, key.clone(), garbage.clone());
    let given = server.append(&mut storage, "INBOX", vec![message(1, &[])]);
    storage.items.remove(&key);
    leave(&mut storage, 7, &arriving(2, arrival(2)));
    storage.beside.insert(key, vec![garbage]);
    let state = server.status(&mut storage, "INBOX");
    // The item might have had UIDs.
    let first = given[0].get();
    assert!(first < 20, "{first}");
    assert_eq!(view(&state), [(first, 1, vec![]), (first + 1, 2, vec![])]);
    assert_eq!(damaged(&server), 1);
}

/// As whom the account's own write can be seen, and which number comes next. Another server reads the
/// arrival there before the item comes beside it; who is to write there may have read it as well.
#[test]
fn an_arrival_in_the_place_of_the_next_item_takes_no_place_of_it() {
    let shared = Config {
        shared_storage: true,
        ..config()
    };
    let places = Places::new(keys().account());
    for is_read_by_the_writer in [true, false] {
        let mut storage = Store::default();
        let mut one = Server::new(1, shared.clone());
        one.append(&mut storage, "INBOX", vec![message(1, &[])]);
        let partition = places.log(inbox_id());
        let items = storage.items.keys();
        let mut items = items.filter(|key| key.partition == partition);
        let (writer, seq) = places
            .parse_operation(&items.next_back().unwrap().sort)
            .unwrap();
        let key = ItemKey {
            sort: places.operation(writer, seq + 1),
            partition,
        };
        world::leave(&mut storage, key.clone(), &arriving(5, arrival(66)));
        let mut two = Server::new(2, shared.clone());
        two.status(&mut storage, "INBOX");
        let mut uids = Vec::new();
        if is_read_by_the_writer {
            one.status(&mut storage, "INBOX");
            uids.extend(one.append(&mut storage, "INBOX", vec![message(2, &[])]));
        } else {
            let (put, _) = storage.items.remove(&key).unwrap();
            uids.extend(one.append(&mut storage, "INBOX", vec![message(2, &[])]));
            storage.beside.entry(key).or_default().push(put);
        }
        for number in 10..60 {
            two.append(&mut storage, "INBOX", vec![message(number, &[])]);
            two.wait(Duration::from_secs(11));
        }
        two.drain(&mut storage);
        let mut third = Server::new(3, shared.clone());
        for server in [&mut one, &mut two, &mut third] {
            let seen = view(&server.status(&mut storage, "INBOX"));
            let told = (uids[0].get(), 2, vec![]);
            assert!(seen.contains(&told), "{is_read_by_the_writer}: {seen:?}");
            // Where nothing comes beside it, it is one more message that was delivered.
            let own = seen.iter().filter(|(_, mail, _)| *mail != 66).count();
            assert_eq!(own, 52, "{seen:?}");
        }
    }
}

/// Its identity is known to whoever delivered it.
#[test]
fn an_arrival_of_a_message_that_is_there_changes_nothing_of_it() {
    let mut storage = Store::default();
    leave(&mut storage, 1, &arriving(1, arrival(1)));
    let mut server = Server::new(1, config());
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let again = delivered(1, &[Flag::Deleted, Flag::Seen]);
    leave(&mut storage, 2, &arriving(1, again));
    let state = server.status(&mut storage, "INBOX");
    assert_eq!(view(&state), [(1, 1, vec![])]);
    let mut other = Server::new(2, config());
    assert_eq!(view(&other.status(&mut storage, "INBOX")), view(&state));
}

#[test]
fn who_reads_in_pages_sees_a_message_that_came_behind_the_page_with_the_uid_that_came_before_it() {
    let mut storage = Store::default();
    let late = now().unix_ms + 10_000;
    let mut one = Server::at(1, config(), late);
    for number in 1..3 {
        one.append(&mut storage, "INBOX", vec![message(number, &[])]);
    }
    let paged = Config {
        log_page_items: 1,
        ..config()
    };
    let mut two = Server::at(2, paged, late);
    let connection = two.connect();
    two.begin_select(&mut storage, connection);
    // This is the item before what was read, and the UID is the item behind all others.
    let (delivered, _) = deliver_with(&mut storage, 3, writer(3), MESSAGE, |_| Fate::Works);
    delivered.unwrap();
    let mut three = Server::at(4, config(), late + 10_000);
    let numbering = three.connect();
    three.select(&mut storage, numbering, "INBOX");
    three.drain(&mut storage);
    let snapshot = two.await_selected(&mut storage, connection);
    assert_eq!(snapshot.state.len(), 3);
}

/// Delivers two messages, of which the first one's item is taken out of storage again: its key and what
/// was there.
fn pass_one_over(
    storage: &mut Store,
    seed: u8,
    lent: InboxWriter,
) -> (InboxWriter, ItemKey, (Bytes, u64)) {
    let before: Vec<ItemKey> = storage.items.keys().cloned().collect();
    let lent = deliver(storage, seed, lent, MESSAGE);
    let log = Places::new(keys().account()).log(inbox_id());
    let mut keys = storage.items.keys();
    let key = keys.find(|key| key.partition == log && !before.contains(key));
    let key = key.unwrap().clone();
    let lent = deliver(storage, seed + 1, lent, MESSAGE);
    let value = storage.items.remove(&key).unwrap();
    (lent, key, value)
}

/// Arrivals name nothing that came before them: only their numbers tell.
#[test]
fn a_message_that_was_passed_over_is_shown_with_the_one_delivered_after_it() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let lent = deliver(&mut storage, 3, writer(3), MESSAGE);
    let (_, key, value) = pass_one_over(&mut storage, 4, lent);
    server.begin_select(&mut storage, connection);
    storage.items.insert(key, value);
    let snapshot = server.await_selected(&mut storage, connection);
    assert_eq!(snapshot.state.len(), 3);
}

#[test]
fn one_is_passed_over_in_the_reading_that_finds_the_one_before() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    let (lent, first, first_value) = pass_one_over(&mut storage, 3, writer(3));
    let state = server.select(&mut storage, connection, "INBOX").state;
    assert_eq!(state.len(), 1);
    let (_, second, second_value) = pass_one_over(&mut storage, 5, lent);
    storage.items.insert(first, first_value);
    server.begin_select(&mut storage, connection);
    storage.items.insert(second, second_value);
    let snapshot = server.await_selected(&mut storage, connection);
    assert_eq!(snapshot.state.len(), 4);
}

#[test]
fn what_could_not_be_settled_is_shown_once_it_can() {
    let (mut storage, mut server) = (Store::default(), Server::new(1, config()));
    let watching = server.connect();
    server.select(&mut storage, watching, "INBOX");
    deliver(&mut storage, 11, writer(9), MESSAGE);
    server.input(AccountInput::Rung(Some(inbox_id())));
    // The log can be read, and nothing be written.
    for _ in 0..100 {
        let writes = matches!(
            server.open.front(),
            Some((_, StorageRequest::InsertItems(_)))
        );
        let fate = if writes { Fate::Lost } else { Fate::Works };
        if !server.step(&mut storage, fate) {
            server.wait(Duration::from_millis(40));
        }
    }
    server.drain(&mut storage);
    let shown = |server: &mut Server| match server.unasked(watching).pop() {
        Some(AccountReply::Changed(snapshot)) => snapshot.state.len(),
        None => 0,
        other => panic!("{other:?}"),
    };
    assert_eq!(shown(&mut server), 0);
    server.wait(config().reread_interval);
    server.drain(&mut storage);
    assert_eq!(shown(&mut server), 1);
}
