//! A server killed (SIGKILL) in the middle of deliveries, again and again: every message
//! that it acknowledged is there, as it was sent and once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
    time::Duration,
};

use restante_tests::{Lmtp, Server, Test, lmtp, samples, server::Account, tests, trials::Need};

use crate::messages;

pub(crate) const TESTS: &[Test] = tests![
    everything_acknowledged_is_there_once => needs(&[Need::OwnProcess]),
];

/// How often the server is killed at least; a busy machine needs more kills to deliver enough.
const KILLS: u64 = 6;
/// Messages that were acknowledged for each recipient by then, at least.
const ACKNOWLEDGED_MIN: usize = 20;
/// Connections that deliver at once.
const CONNECTIONS: u64 = 4;

/// Of each message.
const RECIPIENTS: [&str; 2] = ["alice", "bob"];

/// What was acknowledged for one recipient, and what may be there besides.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeSet<Vec<u8>>,
    unanswered: BTreeSet<Vec<u8>>,
}

/// Delivers messages of all lengths to both recipients until the server is gone.
fn work(server: &Server, name: &str, sent: &[Mutex<Sent>; 2]) {
    let Ok(mut client) = Lmtp::try_connect(server.lmtp_address()) else {
        return;
    };
    for number in 0.. {
        let text = "text ".repeat(1 + number % 7 * 5_000);
        let message = samples::plain(&format!("{name}/{number}"), &text);
        let answers = client.try_deliver(&RECIPIENTS, &message);
        for (index, recipient) in RECIPIENTS.iter().enumerate() {
            let kept = lmtp::kept(recipient, &message);
            let mut sent = sent[index].lock().expect("no thread panicked");
            match &answers {
                Ok(answers) => {
                    assert!(answers[index].starts_with("250 2.0.0 "), "{answers:?}");
                    sent.acknowledged.insert(kept);
                }
                Err(_) => {
                    sent.unanswered.insert(kept);
                }
            }
        }
        if answers.is_err() {
            return;
        }
    }
}

fn everything_acknowledged_is_there_once(server: &Server) {
    let sent: [Mutex<Sent>; 2] = Default::default();
    for kill in 0.. {
        thread::scope(|scope| {
            for client in 0..CONNECTIONS {
                let sent = &sent;
                scope.spawn(move || work(server, &format!("{kill}/{client}"), sent));
            }
            thread::sleep(Duration::from_millis(300 + 170 * (kill % KILLS)));
            server.kill();
        });
        server
            .start_again()
            .expect("the server starts after a kill");
        let acknowledged = (sent.each_ref())
            .map(|sent| sent.lock().expect("no thread panicked").acknowledged.len());
        if kill + 1 >= KILLS && acknowledged.iter().all(|it| *it > ACKNOWLEDGED_MIN) {
            break;
        }
        assert!(
            kill < 10 * KILLS,
            "too few to say anything: {acknowledged:?}"
        );
    }
    for (account, sent) in [&server.alice, &server.bob].into_iter().zip(sent) {
        let sent = sent.into_inner().expect("no thread panicked");
        judge(server, account, &sent);
    }
}

fn judge(server: &Server, account: &Account, sent: &Sent) {
    let mut client = server.connect();
    client.login(&account.name, &account.password);
    let mut found = BTreeMap::new();
    for message in messages(&mut client) {
        *found.entry(message).or_insert(0) += 1;
    }
    eprintln!(
        "{}: {} acknowledged, {} of {} unanswered are there",
        account.name,
        sent.acknowledged.len(),
        found.len().saturating_sub(sent.acknowledged.len()),
        sent.unanswered.len()
    );
    for message in &sent.acknowledged {
        assert!(
            found.contains_key(message),
            "an acknowledged message is lost"
        );
    }
    for (message, count) in &found {
        let known = sent.acknowledged.contains(message) || sent.unanswered.contains(message);
        assert!(known, "a message that nobody sent");
        assert_eq!(*count, 1, "a message is there more than once");
    }
}
