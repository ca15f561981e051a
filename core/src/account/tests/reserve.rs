//! UIDVALIDITYs that two servers take at the same moment: no two mailboxes ever have the
//! same one.

use super::world::{Fate, Server, Store, config, failure, message, name};
use crate::account::{AccountFailure, AccountReply, AccountRequest, ConnectionId};
use crate::config::Config;
use crate::mailbox::MailboxId;
use core::time::Duration;
use std::collections::BTreeMap;

fn shared() -> Config {
    Config {
        shared_storage: true,
        directory_age_max: Duration::ZERO,
        ..config()
    }
}

fn create(mailbox: &str) -> AccountRequest {
    AccountRequest::Create {
        name: name(mailbox),
        special_use: None,
    }
}

/// The UIDVALIDITY of each mailbox that was ever listed.
#[derive(Default)]
struct Ever(BTreeMap<MailboxId, u32>);

impl Ever {
    /// What a server shows: by name. No mailbox has another's number, or another one than
    /// before.
    fn list(&mut self, server: &mut Server, storage: &mut Store) -> BTreeMap<String, u32> {
        // Later than it read the list last.
        server.wait(Duration::from_millis(1));
        let connection = server.connect();
        let reply = server.ask(storage, connection, AccountRequest::List);
        let AccountReply::Directory(directory) = reply else {
            panic!("{reply:?}");
        };
        let mut shown = BTreeMap::new();
        for entry in directory.mailboxes() {
            let number = entry.uid_validity.0.get();
            let known = *self.0.entry(entry.id).or_insert(number);
            assert_eq!(known, number, "{}", entry.id);
            shown.insert(entry.name.as_str().to_owned(), number);
        }
        let alike =
            |one: &(&MailboxId, &u32), two: &(&MailboxId, &u32)| one.0 != two.0 && one.1 == two.1;
        for one in &self.0 {
            assert!(!self.0.iter().any(|two| alike(&one, &two)), "{:?}", self.0);
        }
        shown
    }
}

/// The number that a server with this seed wants first.
fn wish(seed: u8) -> u32 {
    let (mut storage, mut server) = (Store::default(), Server::new(seed, shared()));
    let connection = server.connect();
    server.ask(&mut storage, connection, create("wish"));
    Ever::default().list(&mut server, &mut storage)["wish"]
}

/// Two seeds that want the same one.
fn alike() -> [u8; 2] {
    let mut wishes = BTreeMap::new();
    let mut seeds = 10..=u8::MAX;
    let pair = seeds.find_map(|seed| Some([wishes.insert(wish(seed), seed)?, seed]));
    pair.expect("of 30,000 pairs one in 1,024")
}

/// Lets two servers go on by turns, in the order of the bits of `order`, until both have
/// answered; `meanwhile` is called after each step.
fn race(
    order: u32,
    storage: &mut Store,
    servers: &mut [Server; 2],
    connections: [ConnectionId; 2],
    mut meanwhile: impl FnMut(u32, &mut Store),
) -> [AccountReply; 2] {
    let mut replies = [None, None];
    for step in 0..10_000u32 {
        let now = match step {
            ..32 => (order >> step & 1) as usize,
            _ => (step % 2) as usize,
        };
        if !servers[now].step(storage, Fate::Works) {
            servers[now].wait(Duration::from_millis(100));
        }
        meanwhile(step, storage);
        for (which, reply) in replies.iter_mut().enumerate() {
            let said = servers[which].unasked(connections[which]);
            *reply = reply.take().or(said.into_iter().next());
        }
        if let [Some(_), Some(_)] = &replies {
            return replies.map(|it| it.expect("both are there"));
        }
    }
    panic!("no reply: {replies:?}");
}

/// Two servers that want the same number and know the same directory.
fn pair(seeds: [u8; 2], storage: &mut Store) -> [Server; 2] {
    let mut servers = seeds.map(|seed| Server::new(seed, shared()));
    for server in &mut servers {
        server.names(storage);
    }
    servers
}

#[test]
fn mailboxes_that_two_servers_make_at_the_same_moment_have_different_uidvalidities() {
    let seeds = alike();
    let wished = wish(seeds[0]);
    let mut had = [0; 3];
    for order in 0..1 << 10 {
        for names in [["one", "two"], ["same", "same"]] {
            let (mut storage, mut ever) = (Store::default(), Ever::default());
            let mut servers = pair(seeds, &mut storage);
            let connections = [0, 1].map(|which: usize| {
                let connection = servers[which].connect();
                servers[which].send(connection, create(names[which]));
                connection
            });
            // A third server looks at all that there is, as soon as it is there.
            let mut third = Server::new(3, shared());
            let look = |step: u32, storage: &mut Store| {
                if (order + step).is_multiple_of(3) {
                    ever.list(&mut third, storage);
                }
            };
            let replies = race(order, &mut storage, &mut servers, connections, look);
            let made = replies.iter().map(|reply| match reply {
                AccountReply::Done => 1,
                AccountReply::Failed(AccountFailure::AlreadyExists) if names[0] == names[1] => 0,
                other => panic!("{order:b}: {other:?}"),
            });
            let made: usize = made.sum();
            let [one, two] = &mut servers;
            let shown = ever.list(one, &mut storage);
            assert_eq!(shown.len(), 6 + made, "{order:b}");
            assert_eq!(ever.list(two, &mut storage), shown);
            assert_eq!(ever.list(&mut third, &mut storage), shown);
            one.restart(9);
            assert_eq!(ever.list(one, &mut storage), shown);
            let with_wish = shown.values().filter(|it| **it == wished).count();
            had[with_wish] += 1;
        }
    }
    // In some orders both wanted it and neither got it; nowhere did both.
    let [neither, one, both] = had;
    assert!(neither > 0 && one > 0 && both == 0, "{had:?}");
}

#[test]
fn renames_that_make_mailboxes_at_the_same_moment_give_them_different_uidvalidities() {
    let seeds = alike();
    for order in 0..1 << 9 {
        let (mut storage, mut ever) = (Store::default(), Ever::default());
        let messages = vec![message(1, &[])];
        Server::new(3, shared()).append(&mut storage, "INBOX", messages);
        let mut servers = pair(seeds, &mut storage);
        let wanted = [("INBOX", "kept/mail"), ("Sent", "old/sent")];
        let connections = [0, 1].map(|which: usize| {
            let connection = servers[which].connect();
            let (from, to) = wanted[which];
            let (from, to) = (name(from), name(to));
            servers[which].send(connection, AccountRequest::Rename { from, to });
            connection
        });
        let replies = race(order, &mut storage, &mut servers, connections, |_, _| {});
        let done = |it: &AccountReply| matches!(it, AccountReply::Done);
        assert!(replies.iter().all(done), "{order:b}: {replies:?}");
        let [one, two] = &mut servers;
        let shown = ever.list(one, &mut storage);
        assert_eq!(ever.list(two, &mut storage), shown);
        let names: Vec<_> = shown.keys().map(String::as_str).collect();
        let expected = [
            "Archive",
            "Drafts",
            "INBOX",
            "Junk",
            "Trash",
            "kept",
            "kept/mail",
            "old",
            "old/sent",
        ];
        assert_eq!(names, expected);
        assert_eq!(one.status(&mut storage, "kept/mail").len(), 1);
    }
}

#[test]
fn a_number_is_nobody_elses_whatever_became_of_who_wanted_it_first() {
    let seeds = alike();
    let (mut made, mut not) = (0, 0);
    for fate in [Fate::Works, Fate::Lost, Fate::AnswerLost, Fate::Late] {
        // The first server comes so far, and from then on its requests have this fate; it
        // may die at once as well.
        for (steps, dies) in (0..9).flat_map(|steps| [(steps, false), (steps, true)]) {
            let (mut storage, mut ever) = (Store::default(), Ever::default());
            let [mut one, mut two] = pair(seeds, &mut storage);
            let connection = one.connect();
            one.send(connection, create("first"));
            // The second one begins with the same knowledge.
            let second = two.connect();
            two.send(second, create("second"));
            two.step(&mut storage, Fate::Works);
            for _ in 0..steps {
                one.step(&mut storage, Fate::Works);
            }
            one.step(&mut storage, fate);
            if dies {
                one.restart(20);
            } else {
                one.await_reply(&mut storage, connection, |_| fate);
            }
            let reply = two.await_reply(&mut storage, second, |_| Fate::Works);
            assert!(matches!(reply, AccountReply::Done), "{reply:?}");
            ever.list(&mut two, &mut storage);
            storage.land();
            let shown = ever.list(&mut two, &mut storage);
            assert_eq!(ever.list(&mut one, &mut storage), shown);
            match shown.contains_key("first") {
                true => made += 1,
                false => not += 1,
            }
            // And the next ones have others again.
            for (server, mailbox) in [(&mut one, "third"), (&mut two, "fourth")] {
                let connection = server.connect();
                server.ask(&mut storage, connection, create(mailbox));
                ever.list(server, &mut storage);
            }
        }
    }
    assert!(made > 10 && not > 10, "{made} {not}");
}

#[test]
fn what_has_a_name_later_has_a_higher_uidvalidity() {
    let mut again = 0;
    for steps in 0..8 {
        let (mut storage, mut ever) = (Store::default(), Ever::default());
        let [mut one, mut two] = pair([1, 2], &mut storage);
        let connection = one.connect();
        one.send(connection, create("name"));
        for _ in 0..steps {
            one.step(&mut storage, Fate::Works);
        }
        if !one.unasked(connection).is_empty() {
            continue;
        }
        // Meanwhile others have had mailboxes of this name for a while.
        let mut highest = 0;
        for _ in 0..3 {
            let client = two.connect();
            let reply = two.ask(&mut storage, client, create("name"));
            assert!(matches!(reply, AccountReply::Done), "{reply:?}");
            highest = ever.list(&mut two, &mut storage)["name"];
            two.ask(&mut storage, client, AccountRequest::Delete(name("name")));
        }
        // It has read, reserved, and read again: what is on its way cannot be held back.
        let creates = steps >= 3;
        let reply = one.await_reply(&mut storage, connection, |_| Fate::Works);
        assert!(matches!(reply, AccountReply::Done), "{reply:?}");
        let now = ever.list(&mut one, &mut storage)["name"];
        if !creates {
            assert!(now > highest, "{steps}: {now} after {highest}");
            again += 1;
        }
    }
    assert!(again > 1, "{again}");
}

#[test]
fn where_nobody_else_writes_nothing_is_reserved() {
    let config = [config(), shared()];
    let items = config.map(|config| {
        let (mut storage, mut server) = (Store::default(), Server::new(1, config));
        let connection = server.connect();
        server.ask(&mut storage, connection, create("a/b"));
        storage.items.len()
    });
    assert_eq!(items, [1, 2]);
}

#[test]
fn a_mailbox_whose_number_cannot_be_verified_is_not_made() {
    let (mut storage, mut server) = (Store::default(), Server::new(1, shared()));
    let connection = server.connect();
    server.send(connection, create("late"));
    // The directory is read and the number stored; from then on nothing can be read.
    let reply = server.await_reply(&mut storage, connection, |number| match number {
        0 | 1 => Fate::Works,
        _ => Fate::Lost,
    });
    assert_eq!(failure(reply), AccountFailure::Unavailable);
    assert_eq!(server.names(&mut storage).len(), 6);
    let reply = server.ask(&mut storage, connection, create("late"));
    assert!(matches!(reply, AccountReply::Done), "{reply:?}");
    assert_eq!(server.names(&mut storage).len(), 7);
}

#[test]
fn servers_that_make_mailboxes_without_a_pause_all_get_on() {
    const SERVERS: u8 = 10;
    let (mut storage, mut ever) = (Store::default(), Ever::default());
    let mut servers: Vec<_> = (1..=SERVERS)
        .map(|seed| Server::new(seed, shared()))
        .collect();
    let mut waiting: Vec<Option<ConnectionId>> = vec![None; servers.len()];
    let mut made = vec![0; servers.len()];
    // Each as fast as it is answered, by turns that are not always the same.
    for turn in 0..4_000 {
        let which = (turn * 7 + turn / 10 * 3) % servers.len();
        let server = &mut servers[which];
        if let Some(connection) = waiting[which] {
            for reply in server.unasked(connection) {
                assert!(matches!(reply, AccountReply::Done), "{reply:?}");
                made[which] += 1;
                waiting[which] = None;
            }
        }
        if waiting[which].is_none() {
            let connection = server.connect();
            let mailbox = format!("{which}-{}", made[which]);
            server.send(connection, create(&mailbox));
            waiting[which] = Some(connection);
        }
        server.step(&mut storage, Fate::Works);
    }
    assert!(made.iter().all(|it| *it > 3), "{made:?}");
    ever.list(&mut servers[0], &mut storage);
}
