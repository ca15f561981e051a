//! Two servers on one bucket, with clients on both that change one mailbox at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use restante_tests::{Client, Server, Status, Storage, Test, process::wait_for, samples, tests};

pub(crate) const TESTS: &[Test] = tests![
    changes_on_both_sides_converge => storage(Storage::Garage),
    a_change_on_one_server_reaches_an_idle_client_of_the_other => storage(Storage::Garage),
    what_a_command_brings_back_reaches_an_idle_client => storage(Storage::Garage),
];

/// How long clients work on both servers.
const TIME: Duration = Duration::from_secs(5);

/// What clients were shown so far, on either server.
#[derive(Default)]
struct Shown {
    /// The message of each UID.
    messages: BTreeMap<u32, Vec<u8>>,
    /// UIDs whose EXPUNGE was acknowledged.
    expunged: BTreeSet<u32>,
    /// Messages whose APPEND was acknowledged.
    appended: BTreeSet<Vec<u8>>,
    /// Messages that somebody wanted to expunge: there or not.
    doomed: BTreeSet<Vec<u8>>,
}

impl Shown {
    /// Notes all messages of a mailbox, which must be what was shown under their UIDs.
    fn look(shown: &Mutex<Self>, client: &mut Client) {
        for fetch in client.ok("UID FETCH 1:* (UID BODY.PEEK[])").fetches() {
            // A FETCH response may also tell of flags alone.
            if !fetch.items.contains_key("BODY[]") {
                continue;
            }
            let (uid, message) = (fetch.uid(), fetch.bytes("BODY[]").to_vec());
            let mut shown = shown.lock().expect("no thread panicked");
            let before = shown.messages.entry(uid).or_insert_with(|| message.clone());
            assert!(*before == message, "UID {uid} names two messages");
        }
    }
}

type View = BTreeMap<u32, (BTreeSet<String>, Vec<u8>)>;

/// The mailbox as a new session on this server sees it.
fn view(server: &Server) -> View {
    let mut client = server.login();
    if client.ok("EXAMINE Box").exists() == Some(0) {
        return View::new();
    }
    let fetches = client.ok("UID FETCH 1:* (UID FLAGS BODY.PEEK[])").fetches();
    fetches
        .into_iter()
        .map(|fetch| {
            let mut flags = fetch.flags();
            flags.remove("\\Recent");
            (fetch.uid(), (flags, fetch.bytes("BODY[]").to_vec()))
        })
        .collect()
}

fn work(server: &Server, shown: &Mutex<Shown>, over: &AtomicBool, number: &AtomicU32) {
    let mut client = server.login();
    client.ok("SELECT Box");
    let lock = || shown.lock().expect("no thread panicked");
    let mut round = 0;
    while !over.load(Ordering::SeqCst) {
        round += 1;
        let message = samples::plain(
            &format!("message {}", number.fetch_add(1, Ordering::SeqCst)),
            "text",
        );
        client.append_ok("Box", "", &message);
        lock().appended.insert(message);
        Shown::look(shown, &mut client);
        let known: Vec<u32> = lock().messages.keys().copied().collect();
        let Some(&uid) = known.get(known.len() / 2 + round % 3) else {
            continue;
        };
        client.ok(format!(
            "UID STORE {uid} +FLAGS (\\Flagged Round{})",
            round % 4
        ));
        if round % 3 == 0 {
            let message = lock().messages[&uid].clone();
            lock().doomed.insert(message);
            client.ok(format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
            client.ok(format!("UID EXPUNGE {uid}"));
            lock().expunged.insert(uid);
        }
    }
    Shown::look(shown, &mut client);
}

fn changes_on_both_sides_converge(server: &Server) {
    server.login().ok("CREATE Box");
    let second = server.second();
    let shown = Mutex::new(Shown::default());
    let (over, number) = (AtomicBool::new(false), AtomicU32::new(0));
    thread::scope(|scope| {
        for server in [server, &second, server, &second] {
            scope.spawn(|| work(server, &shown, &over, &number));
        }
        thread::sleep(TIME);
        over.store(true, Ordering::SeqCst);
    });
    let mut views = [View::new(), View::new()];
    let same = wait_for(|| {
        views = [view(server), view(&second)];
        views[0] == views[1]
    });
    assert!(same, "two servers differ: {:?}", differences(&views));
    let shown = shown.into_inner().expect("no thread panicked");
    judge(&shown, &views[0]);
    // And a server that knows nothing but what is stored agrees.
    second.restart();
    assert!(view(&second) == views[0]);
    second.stop();
}

fn judge(shown: &Shown, view: &View) {
    assert!(shown.appended.len() > 10);
    let mut seen = BTreeSet::new();
    for (uid, (_, message)) in view {
        assert!(!shown.expunged.contains(uid), "expunged UID {uid} is back");
        let before = shown.messages.get(uid);
        assert!(
            before.is_none_or(|before| before == message),
            "UID {uid} names two messages"
        );
        assert!(seen.insert(message), "UID {uid} is there twice");
        assert!(shown.appended.contains(message), "nobody appended {uid}");
    }
    for message in shown.appended.difference(&shown.doomed) {
        assert!(
            seen.contains(message),
            "lost: {}",
            String::from_utf8_lossy(message)
        );
    }
}

/// The UIDs that only one view has, or with other flags or content.
fn differences([first, second]: &[View; 2]) -> Vec<u32> {
    let uids: BTreeSet<u32> = first.keys().chain(second.keys()).copied().collect();
    uids.into_iter()
        .filter(|uid| first.get(uid) != second.get(uid))
        .collect()
}

fn a_change_on_one_server_reaches_an_idle_client_of_the_other(server: &Server) {
    let second = server.second();
    let mut idler = server.select("Box", &[&samples::plain("one", "1")]);
    let mut other = second.login();
    other.ok("SELECT Box");
    let tag = idler.start("IDLE");
    while !idler.response().starts_with("+") {}
    let mut times = Vec::new();
    for count in 2..12 {
        let begin = std::time::Instant::now();
        other.append_ok("Box", "", &samples::plain("more", "text"));
        loop {
            let response = idler.response();
            if response
                .numbered("EXISTS")
                .is_some_and(|(exists, _)| exists == count)
            {
                break;
            }
        }
        times.push(begin.elapsed());
    }
    times.sort();
    eprintln!("from APPEND to EXISTS on the other server: {times:?}");
    // The issue wants a second, here on a machine that is busy with other tests.
    assert!(times[times.len() / 2] < Duration::from_secs(1), "{times:?}");
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    drop((idler, other));
    second.stop();
}

fn what_a_command_brings_back_reaches_an_idle_client(server: &Server) {
    let mut idler = server.select("Box", &[&samples::plain("one", "1")]);
    idler.ok("STORE 1 +FLAGS (\\Deleted)");
    idler.ok("EXPUNGE");
    let tag = idler.start("IDLE");
    while !idler.response().starts_with("+") {}
    let (code, said) = server.upkeep("undelete", &["--mailbox", "Box"]);
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "brought back 1 messages\n")
    );
    while idler.response().numbered("EXISTS").is_none() {}
    idler.send("DONE\r\n");
    assert_eq!(idler.finish(&tag).status, Status::Ok);
    let (code, said) = server.upkeep("fsck", &[]);
    assert_eq!(code, Some(0), "{said}");
}
