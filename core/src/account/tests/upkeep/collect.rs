//! What a sweep deletes, and what it must not.

use super::*;
use crate::account::{AccountFailure, Finding, Trouble};
use crate::boundary::Event;
use crate::mailbox::{MailboxState, ModSeq};

#[test]
fn expunged_messages_are_kept_for_the_retention_and_then_deleted() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 6);
    expunge(&mut server, &mut storage, "INBOX", &[2, 4]);
    for _ in 0..15 {
        sweep(&mut server, &mut storage);
        assert_eq!(bodies(&storage), [1, 2, 3, 4, 5, 6]);
        pass(&mut server, &mut storage, DAY);
    }
    // Unnamed from now on; gone a day later.
    let report = sweep(&mut server, &mut storage);
    assert_eq!((report.bodies, report.marked), (0, 2));
    pass(&mut server, &mut storage, DAY);
    let report = sweep(&mut server, &mut storage);
    assert_eq!((report.bodies, report.marked), (2, 0));
    assert_eq!(bodies(&storage), [1, 3, 5, 6]);
    let report = sweep(&mut server, &mut storage);
    assert_eq!((report.bodies, report.marked), (0, 0));
    assert!(
        check(&mut server, &mut storage, false, false)
            .findings
            .is_empty()
    );
}

/// Of how many messages it is known that they were expunged.
fn tombstones(server: &mut Server, storage: &mut Store, mailbox: &str) -> usize {
    server.status(storage, mailbox).tombstones().count()
}

/// What is forgotten soon, and as many messages at once.
fn forgetting(messages: core::ops::RangeInclusive<usize>) -> Config {
    Config {
        forget_delay: DAY * 20,
        forget_messages: messages,
        ..config()
    }
}

#[test]
fn what_was_expunged_long_ago_is_forgotten_by_everybody() {
    let mut storage = Store::default();
    let mut server = Server::new(1, forgetting(2..=4));
    let mut other = Server::new(2, forgetting(2..=4));
    fill(&mut server, &mut storage, "INBOX", 1, 9);
    expunge(&mut server, &mut storage, "INBOX", &[2, 3, 5, 6, 8]);
    let told = server.status(&mut storage, "INBOX");
    let gone = |state: &MailboxState| state.expunged_since(ModSeq(0)).collect::<Vec<_>>();
    for _ in 0..34 {
        pass(&mut server, &mut storage, DAY);
        pass(&mut other, &mut storage, DAY);
        assert_eq!(sweep(&mut server, &mut storage).forgotten, 0);
    }
    assert_eq!(bodies(&storage), [1, 4, 7, 9]);
    assert_eq!(tombstones(&mut other, &mut storage, "INBOX"), 5);
    pass(&mut server, &mut storage, DAY);
    pass(&mut other, &mut storage, DAY);
    // Four at once at most, and one alone is not worth it.
    assert_eq!(sweep(&mut server, &mut storage).forgotten, 4);
    server.drain(&mut storage);
    for server in [&mut server, &mut other] {
        assert_eq!(tombstones(server, &mut storage, "INBOX"), 1);
    }
    assert_eq!(sweep(&mut server, &mut storage).forgotten, 0);
    // Nobody sees that, and no client is told anything anew.
    for server in [&mut server, &mut other, &mut Server::new(3, config())] {
        let state = server.status(&mut storage, "INBOX");
        assert_eq!(view(&state), view(&told));
        assert_eq!(state.highest_modseq(), told.highest_modseq());
        assert_eq!(gone(&state), gone(&told));
    }
    let report = check(&mut server, &mut storage, true, true);
    assert_eq!((report.findings, report.orphans), (vec![], vec![]));
}

#[test]
fn what_is_still_there_is_not_forgotten_and_does_not_come_back() {
    let mut storage = Store::default();
    let mut server = Server::new(1, forgetting(1..=100));
    fill(&mut server, &mut storage, "INBOX", 1, 4);
    expunge(&mut server, &mut storage, "INBOX", &[1, 2]);
    pass(&mut server, &mut storage, DAY * 50);
    // Nothing was swept for long: both are only marked now.
    let report = sweep(&mut server, &mut storage);
    assert_eq!((report.marked, report.forgotten), (2, 0));
    let report = check(&mut server, &mut storage, true, true);
    assert_eq!(report.orphans, vec![]);
    pass(&mut server, &mut storage, DAY);
    let report = sweep(&mut server, &mut storage);
    assert_eq!((report.bodies, report.forgotten), (2, 0));
    assert_eq!(tombstones(&mut server, &mut storage, "INBOX"), 2);
    assert_eq!(sweep(&mut server, &mut storage).forgotten, 2);
    server.drain(&mut storage);
    assert_eq!(tombstones(&mut server, &mut storage, "INBOX"), 0);
}

#[test]
fn nothing_is_forgotten_where_inbox_was_renamed_to() {
    let mut storage = Store::default();
    let mut server = Server::new(1, forgetting(1..=100));
    fill(&mut server, &mut storage, "INBOX", 1, 3);
    let connection = server.connect();
    let rename = AccountRequest::Rename {
        from: name("INBOX"),
        to: name("Old"),
    };
    server.ask(&mut storage, connection, rename);
    expunge(&mut server, &mut storage, "Old", &[1, 2]);
    pass(&mut server, &mut storage, DAY * 50);
    // Of the third one INBOX need not know any more that it went.
    let report = sweep(&mut server, &mut storage);
    assert_eq!((report.marked, report.forgotten), (2, 1));
    pass(&mut server, &mut storage, DAY);
    let report = sweep(&mut server, &mut storage);
    assert_eq!((report.bodies, report.forgotten), (2, 0));
    assert_eq!(sweep(&mut server, &mut storage).forgotten, 2);
    server.drain(&mut storage);
    assert_eq!(tombstones(&mut server, &mut storage, "INBOX"), 0);
    assert_eq!(tombstones(&mut server, &mut storage, "Old"), 2);
}

#[test]
fn where_more_is_unnamed_than_is_noted_nothing_is_forgotten() {
    let mut storage = Store::default();
    let few = Config {
        sweep_marks_max: 1,
        ..forgetting(1..=100)
    };
    let mut server = Server::new(1, few);
    fill(&mut server, &mut storage, "INBOX", 1, 4);
    expunge(&mut server, &mut storage, "INBOX", &[1, 2, 3]);
    pass(&mut server, &mut storage, DAY * 50);
    let mut forgotten = 0;
    for left in [3, 2, 2, 1, 1, 0] {
        forgotten += sweep(&mut server, &mut storage).forgotten;
        let there = bodies(&storage).len() - 1;
        assert!(there <= left, "{there} of {left}");
        server.drain(&mut storage);
        let known = tombstones(&mut server, &mut storage, "INBOX");
        assert!(there <= known, "forgotten while it is there");
        pass(&mut server, &mut storage, DAY);
    }
    forgotten += sweep(&mut server, &mut storage).forgotten;
    assert_eq!(forgotten, 3);
}

/// An object is not looked at as long as it seems young: that it is not among those that nobody
/// names does not say that it is not there.
#[test]
fn what_was_stored_by_a_clock_far_ahead_is_not_forgotten_before_its_object_goes() {
    let mut storage = Store::default();
    let mut server = Server::new(1, forgetting(1..=100));
    let ahead = START_MS + 100 * 24 * 3_600_000;
    let message = store_at(&mut storage, 1, ahead);
    server.append(&mut storage, "INBOX", vec![message]);
    expunge(&mut server, &mut storage, "INBOX", &[1]);
    pass(&mut server, &mut storage, DAY * 50);
    for _ in 0..3 {
        let report = sweep(&mut server, &mut storage);
        assert_eq!((report.marked, report.bodies, report.forgotten), (0, 0, 0));
        pass(&mut server, &mut storage, DAY);
    }
    pass(&mut server, &mut storage, DAY * 50);
    assert_eq!(bodies(&storage), [1]);
    assert_eq!(sweep(&mut server, &mut storage).marked, 1);
    pass(&mut server, &mut storage, DAY);
    assert_eq!(sweep(&mut server, &mut storage).bodies, 1);
    assert_eq!(sweep(&mut server, &mut storage).forgotten, 1);
    server.drain(&mut storage);
    assert_eq!(tombstones(&mut server, &mut storage, "INBOX"), 0);
}

#[test]
fn what_was_stored_and_never_named_goes_after_two_days() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 2);
    store_at(&mut storage, 3, START_MS - 3);
    assert_eq!(sweep(&mut server, &mut storage).marked, 0);
    pass(&mut server, &mut storage, DAY);
    assert_eq!(sweep(&mut server, &mut storage).marked, 1);
    // Sweeping more often deletes nothing sooner.
    pass(&mut server, &mut storage, DAY / 2);
    assert_eq!(sweep(&mut server, &mut storage).marked, 1);
    assert_eq!(bodies(&storage), [1, 2, 3]);
    pass(&mut server, &mut storage, DAY / 2);
    assert_eq!(sweep(&mut server, &mut storage).bodies, 1);
    assert_eq!(bodies(&storage), [1, 2]);
}

#[test]
fn a_message_whose_arrival_is_withheld_is_not_taken_for_one_that_nobody_names() {
    let mut storage = Store::default();
    let long = Config {
        checkpoint_operations_min: 1_000,
        ..config()
    };
    let mut server = Server::new(1, long);
    fill(&mut server, &mut storage, "INBOX", 1, 6);
    let log = Places::new(keys().account()).log(inbox_id());
    let items = storage.items.keys().filter(|key| key.partition == log);
    let withheld = items.cloned().nth_back(3).unwrap();
    let (key, value) = storage.items.remove_entry(&withheld).unwrap();
    let connection = server.connect();
    for _ in 0..4 {
        let reply = server.ask(&mut storage, connection, AccountRequest::Sweep);
        assert_eq!(failure(reply), AccountFailure::Corrupt);
        pass(&mut server, &mut storage, DAY);
    }
    assert_eq!(bodies(&storage), [1, 2, 3, 4, 5, 6]);
    // When it is given back all is well.
    storage.items.insert(key, value);
    for _ in 0..4 {
        sweep(&mut server, &mut storage);
        pass(&mut server, &mut storage, DAY);
    }
    assert_eq!(bodies(&storage), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn an_append_under_way_on_another_server_survives_whatever_its_clock_shows() {
    for hours in [0, 5, 24 * 365 * 20] {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        pass(&mut server, &mut storage, DAY);
        let clock = START_MS - hours * 3_600_000;
        let mut other = Server::at(2, config(), clock);
        let message = store_at(&mut storage, 1, clock);
        sweep(&mut server, &mut storage);
        sweep(&mut server, &mut storage);
        assert_eq!(bodies(&storage), [1], "{hours}");
        // A server that was cut off for hours commits at last.
        pass(&mut server, &mut storage, Duration::from_secs(20 * 3_600));
        sweep(&mut server, &mut storage);
        other.append(&mut storage, "INBOX", vec![message]);
        for _ in 0..3 {
            pass(&mut server, &mut storage, DAY);
            sweep(&mut server, &mut storage);
        }
        assert_eq!(bodies(&storage), [1], "{hours}");
    }
}

#[test]
fn an_append_that_lands_while_the_sweep_runs_is_seen() {
    // At every step of the sweep that would delete the body.
    for step in 0.. {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        fill(&mut server, &mut storage, "INBOX", 1, 1);
        let message = store_at(&mut storage, 2, START_MS);
        pass(&mut server, &mut storage, DAY);
        sweep(&mut server, &mut storage);
        pass(&mut server, &mut storage, DAY);
        let mut other = Server::new(2, config());
        let connection = server.connect();
        server.send(connection, AccountRequest::Sweep);
        let mut ended = false;
        let mut deletes = false;
        for _ in 0..step {
            deletes |= server.deletes();
            ended |= !server.step(&mut storage, Fate::Works);
        }
        if ended || deletes {
            // It has decided: two days are over.
            assert!(step > 5);
            break;
        }
        other.append(&mut storage, "INBOX", vec![message]);
        server.drain(&mut storage);
        // After the second look it may be gone; nothing may be half gone.
        let last_look = !bodies(&storage).contains(&2);
        if last_look {
            assert!(step > 20, "{step}");
        }
    }
}

#[test]
fn a_copy_keeps_what_the_original_no_longer_names() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 2);
    let connection = server.connect();
    server.select(&mut storage, connection, "INBOX");
    for (number, expunge) in [(1, false), (2, true)] {
        let copy = AccountRequest::Copy {
            uids: vec![uid(number)],
            to: name("Archive"),
            expunge,
        };
        server.ask(&mut storage, connection, copy);
    }
    server.ask(&mut storage, connection, AccountRequest::Unselect);
    expunge(&mut server, &mut storage, "INBOX", &[1]);
    for _ in 0..20 {
        pass(&mut server, &mut storage, DAY);
        sweep(&mut server, &mut storage);
    }
    assert_eq!(bodies(&storage), [1, 2]);
    assert!(
        check(&mut server, &mut storage, false, false)
            .findings
            .is_empty()
    );
}

#[test]
fn who_has_not_read_for_long_does_not_copy_what_was_expunged() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 2);
    let mut slow = Server::new(2, config());
    let connection = slow.connect();
    slow.select(&mut storage, connection, "INBOX");
    expunge(&mut server, &mut storage, "INBOX", &[1]);
    slow.wait(Duration::from_secs(3_601));
    let copy = AccountRequest::Copy {
        uids: vec![uid(1), uid(2)],
        to: name("Archive"),
        expunge: false,
    };
    slow.ask(&mut storage, connection, copy);
    let copied = view(&slow.status(&mut storage, "Archive"));
    assert_eq!(copied.len(), 1);
    assert_eq!(copied[0].1, 2);
}

#[test]
fn a_deleted_mailbox_goes_with_all_it_had_after_the_retention() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    make_old(&mut server, &mut storage, connection);
    fill(&mut server, &mut storage, "INBOX", 1, 1);
    fill(&mut server, &mut storage, "Old", 2, 30);
    let delete = AccountRequest::Delete(name("Old"));
    server.ask(&mut storage, connection, delete);
    let partitions = |storage: &Store| {
        let logs = storage.items.keys().map(|key| key.partition.clone());
        let logs = logs.filter(|partition| partition.0.contains("/m/"));
        logs.collect::<std::collections::BTreeSet<_>>().len()
    };
    for _ in 0..15 {
        sweep(&mut server, &mut storage);
        assert_eq!((bodies(&storage).len(), partitions(&storage)), (30, 2));
        pass(&mut server, &mut storage, DAY);
    }
    // Until what it had is gone its log says whose that was: nobody lost it.
    for left in [2, 1, 1, 1] {
        let report = sweep(&mut server, &mut storage);
        assert_eq!(partitions(&storage), left, "{report:?}");
        let report = check(&mut server, &mut storage, false, false);
        let found = |it: &Finding| it.trouble != Trouble::OrphanCheckpoint;
        assert!(!report.findings.iter().any(found), "{report:?}");
        pass(&mut server, &mut storage, DAY);
    }
    assert_eq!(bodies(&storage), [1]);
    // Its checkpoints as well.
    assert_eq!(storage.objects.len(), 1);
    assert!(
        check(&mut server, &mut storage, false, false)
            .findings
            .is_empty()
    );
}

#[test]
fn checkpoints_that_nobody_names_go() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 20);
    let places = Places::new(keys().account());
    let mut random = Random::new(Seed::new([77; 32]));
    let orphan = places.checkpoint(ContentId::at(START_MS, &mut random));
    storage.objects.insert(orphan.clone(), "dead".into());
    let mut left = Vec::new();
    for _ in 0..3 {
        left.push(storage.objects.contains_key(&orphan));
        pass(&mut server, &mut storage, DAY);
        sweep(&mut server, &mut storage);
    }
    assert_eq!(left, [true, true, false]);
    server.restart(2);
    assert_eq!(server.status(&mut storage, "INBOX").len(), 20);
    let report = check(&mut server, &mut storage, false, false);
    assert!(report.findings.is_empty(), "{report:?}");
}

#[test]
fn a_damaged_index_collects_nothing() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 6);
    store_at(&mut storage, 7, START_MS);
    pass(&mut server, &mut storage, DAY);
    sweep(&mut server, &mut storage);
    pass(&mut server, &mut storage, DAY);
    let item = storage.items.iter_mut();
    let mut item = item.filter(|(key, _)| key.partition.0.contains("/m/"));
    let (_, (value, _)) = item.next().unwrap();
    *value = value.slice(1..);
    server.restart(3);
    let connection = server.connect();
    let reply = server.ask(&mut storage, connection, AccountRequest::Sweep);
    assert_eq!(failure(reply), AccountFailure::Corrupt);
    let damaged = |event: &Event| matches!(event, Event::Damaged { .. });
    assert!(server.events.iter().any(damaged));
    assert_eq!(bodies(&storage).len(), 7);
}

/// A checkpoint that is made without it hides nothing: the damage is found again, and what the item named stays.
#[test]
fn a_damaged_last_item_is_not_forgotten_with_the_next_checkpoint() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 5);
    let last = inbox_items(&storage).pop().unwrap();
    let (value, _) = storage.items.get_mut(&last).unwrap();
    *value = value.slice(1..);
    server.restart(3);
    fill(&mut server, &mut storage, "INBOX", 6, 30);
    server.drain(&mut storage);
    for _ in 0..3 {
        server.restart(4);
        let connection = server.connect();
        let reply = server.ask(&mut storage, connection, AccountRequest::Sweep);
        assert_eq!(failure(reply), AccountFailure::Corrupt);
        pass(&mut server, &mut storage, DAY);
    }
    assert_eq!(bodies(&storage).len(), 30);
    let report = check(&mut server, &mut storage, false, false);
    let found = |it: &Finding| matches!(it.trouble, Trouble::LogItem);
    assert!(report.findings.iter().any(found), "{report:?}");
}

#[test]
fn an_index_that_lost_something_collects_nothing() {
    // Of INBOX, of the directory, and of both: that leaves what looks like a new account.
    for lost in [&["/m/"][..], &["/d"], &["/m/", "/d"]] {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        let connection = server.connect();
        let create = AccountRequest::Create {
            name: name("New"),
            special_use: None,
        };
        server.ask(&mut storage, connection, create);
        fill(&mut server, &mut storage, "INBOX", 1, 3);
        fill(&mut server, &mut storage, "New", 4, 6);
        sweep(&mut server, &mut storage);
        storage.items.retain(|key, _| {
            let partition = &key.partition.0;
            !lost.iter().any(|lost| partition.contains(lost))
        });
        server.restart(2);
        for _ in 0..5 {
            pass(&mut server, &mut storage, DAY);
            let connection = server.connect();
            let reply = server.ask(&mut storage, connection, AccountRequest::Sweep);
            assert_eq!(failure(reply), AccountFailure::Corrupt);
        }
        assert_eq!(bodies(&storage).len(), 6);
    }
}

/// What it named is found by a check as long as the mailbox may be brought back.
#[test]
fn a_deleted_mailbox_that_lost_something_is_collected_by_no_sweep() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    let connection = server.connect();
    make_old(&mut server, &mut storage, connection);
    let before: Vec<_> = storage.items.keys().cloned().collect();
    fill(&mut server, &mut storage, "Old", 1, 3);
    let delete = AccountRequest::Delete(name("Old"));
    server.ask(&mut storage, connection, delete);
    sweep(&mut server, &mut storage);
    let log = |key: &&ItemKey| !before.contains(key) && key.partition.0.contains("/m/");
    let items: Vec<_> = storage.items.keys().filter(log).cloned().collect();
    assert_eq!(items.len(), 3);
    storage.items.remove(&items[1]);
    server.restart(2);
    for _ in 0..5 {
        pass(&mut server, &mut storage, DAY);
        let connection = server.connect();
        let reply = server.ask(&mut storage, connection, AccountRequest::Sweep);
        assert_eq!(failure(reply), AccountFailure::Corrupt);
    }
    assert_eq!(bodies(&storage), [1, 2, 3]);
    // Once that is noted the others go on being kept.
    check(&mut server, &mut storage, true, false);
    sweep(&mut server, &mut storage);
    assert_eq!(bodies(&storage), [1, 2, 3]);
}

#[test]
fn an_open_account_sweeps_by_itself_once_a_day() {
    let mut storage = Store::default();
    let config = Config {
        sweep_delay: Duration::from_secs(3),
        ..config()
    };
    let mut server = Server::new(1, config.clone());
    fill(&mut server, &mut storage, "INBOX", 1, 2);
    store_at(&mut storage, 3, START_MS - 3 * 86_400_000);
    pass(&mut server, &mut storage, Duration::from_secs(4));
    assert_eq!(bodies(&storage), [1, 2, 3]);
    // Another process finds that it is not due.
    let mut other = Server::at(2, config, START_MS + 3_600_000);
    other.status(&mut storage, "INBOX");
    other.wait(Duration::from_secs(4));
    assert_eq!(other.open.len(), 1);
    other.step(&mut storage, Fate::Works);
    assert_eq!(other.open.len(), 0);
    pass(&mut server, &mut storage, DAY);
    assert_eq!(bodies(&storage), [1, 2]);
    let swept = |event: &Event| matches!(event, Event::Swept(report) if report.bodies == 1);
    assert!(server.events.iter().any(swept));
}

#[test]
fn a_sweep_that_fails_anywhere_loses_nothing_and_the_next_one_ends_it() {
    for fails in 0.. {
        let mut storage = Store::default();
        let mut server = Server::new(1, config());
        fill(&mut server, &mut storage, "INBOX", 1, 3);
        expunge(&mut server, &mut storage, "INBOX", &[2]);
        store_at(&mut storage, 4, START_MS);
        pass(&mut server, &mut storage, DAY * 16);
        sweep(&mut server, &mut storage);
        pass(&mut server, &mut storage, DAY);
        let connection = server.connect();
        server.send(connection, AccountRequest::Sweep);
        let reply = server.await_reply(&mut storage, connection, |number| match number == fails {
            true => Fate::AnswerLost,
            false => Fate::Works,
        });
        let done = matches!(reply, AccountReply::Swept(_));
        assert!([1, 3].iter().all(|it| {
            let places = Places::new(keys().account());
            let there = storage.objects.keys();
            let there = there.filter_map(|key| places.parse_object(&places.contents(), key));
            there
                .into_iter()
                .any(|id| id.0[12..] == u32::to_be_bytes(*it))
        }));
        pass(&mut server, &mut storage, DAY);
        sweep(&mut server, &mut storage);
        assert_eq!(bodies(&storage), [1, 3]);
        if done {
            assert!(fails > 10);
            break;
        }
    }
}

#[test]
fn clients_do_not_wait_for_a_sweep() {
    let mut storage = Store::default();
    let mut server = Server::new(1, config());
    fill(&mut server, &mut storage, "INBOX", 1, 3);
    let connection = server.connect();
    server.send(connection, AccountRequest::Sweep);
    let sweeping = server.open.pop_front();
    assert_eq!(server.status(&mut storage, "INBOX").len(), 3);
    server.input(crate::account::AccountInput::Shutdown);
    drop(sweeping);
    server.drain(&mut storage);
    assert!(server.done);
}
