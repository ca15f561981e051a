//! Kills a process that writes, again and again, and looks at what is there.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use restante_core::storage::{StorageError, StorageRequest, StorageResponse};

use crate::fixture::{TestFolder, ask, body, embedded, get, insert, key, list, put, values};

/// Tells the child which folder to write to.
const FOLDER: &str = "RESTANTE_TEST_CRASH_FOLDER";
/// Tells the child with which number to begin.
const FIRST: &str = "RESTANTE_TEST_CRASH_FIRST";
/// How often the parent kills at least.
const KILLS: u32 = 16;
/// How many numbers a child at least wrote by then; a slow machine needs more kills.
const DONE: usize = 20;

/// Sizes of objects: rows and files.
fn object_bytes(number: u64) -> usize {
    [900, 5_000, 60_000, 150_000, 1_500_000][number as usize % 5]
}

/// The child. Alone it does nothing.
#[test]
fn child_writes_until_it_is_killed() {
    let (Ok(folder), Ok(first)) = (std::env::var(FOLDER), std::env::var(FIRST)) else {
        return;
    };
    let storage = embedded(Path::new(&folder));
    let say = |text: String| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").unwrap();
        out.flush().unwrap();
    };
    std::thread::scope(|scope| {
        for writer in 0..3 {
            let (storage, say) = (&storage, &say);
            let first: u64 = first.parse().unwrap();
            scope.spawn(move || {
                for number in (first + writer..).step_by(3) {
                    say(format!("begin {number}"));
                    put(
                        storage,
                        &format!("o{number}"),
                        &body(number, object_bytes(number)),
                    )
                    .unwrap();
                    let at = key("log", &format!("{number:08}"));
                    assert_eq!(
                        insert(storage, &at, None, body(number, 200)),
                        StorageResponse::Done
                    );
                    // One object that all replace, and one that goes away again.
                    put(storage, "shared", &body(number, 250_000)).unwrap();
                    if number % 4 == 0 {
                        let keys = vec![restante_core::storage::ObjectKey(format!("o{number}"))];
                        say(format!("deleting {number}"));
                        assert_eq!(
                            ask(storage, StorageRequest::DeleteObjects(keys)),
                            StorageResponse::Done
                        );
                        say(format!("deleted {number}"));
                    }
                    say(format!("done {number}"));
                }
            });
        }
    });
}

#[derive(Default)]
struct Said {
    begun: Vec<u64>,
    done: Vec<u64>,
    deleting: Vec<u64>,
    deleted: Vec<u64>,
}

impl Said {
    /// Adds what the next child said.
    fn append(&mut self, mut said: Self) {
        self.begun.append(&mut said.begun);
        self.done.append(&mut said.done);
        self.deleting.append(&mut said.deleting);
        self.deleted.append(&mut said.deleted);
    }
}

/// Runs the child for a while; returns what it said before it was killed.
fn run_child(folder: &Path, first: u64, time: Duration) -> Said {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "crash::child_writes_until_it_is_killed",
            "--exact",
            "--nocapture",
        ])
        .env(FOLDER, folder)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = Said::default();
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let Some((what, number)) = line.split_once(' ') else {
                continue;
            };
            let Ok(number) = number.parse() else { continue };
            match what {
                "begin" => said.begun.push(number),
                "done" => said.done.push(number),
                "deleting" => said.deleting.push(number),
                "deleted" => said.deleted.push(number),
                _ => {}
            }
        }
        said
    });
    std::thread::sleep(time);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap()
}

#[test]
fn what_was_answered_survives_a_kill_and_nothing_is_half() {
    let folder = TestFolder::new();
    let mut all = Said::default();
    for kill in 0.. {
        let time = Duration::from_millis(40 + u64::from(kill) * 97 % 400);
        let first = all.begun.iter().max().map_or(0, |last| last + 1);
        let said = run_child(&folder.0, first, time);
        check(&folder.0, &said, &all);
        all.append(said);
        if kill >= KILLS && all.done.len() > DONE {
            break;
        }
        assert!(kill < 10 * KILLS, "{} numbers written", all.done.len());
    }
    // What was answered to the first child has survived all the others.
    check(&folder.0, &all, &Said::default());
}

/// What these children said is so, and the object that all replace is there once one of them, or
/// an earlier one, was answered for it.
fn check(folder: &Path, said: &Said, earlier: &Said) {
    let storage = embedded(folder);
    for number in &said.begun {
        let name = format!("o{number}");
        let stored = body(*number, object_bytes(*number));
        let item = values(&storage, &key("log", &format!("{number:08}")));
        let found = get(&storage, &name);
        match &found {
            Ok(bytes) => assert!(*bytes == stored, "{name} is not what was written"),
            Err(error) => assert_eq!(*error, StorageError::NotFound, "{name}"),
        }
        assert!(item.is_empty() || item == [body(*number, 200)]);
        if said.done.contains(number) {
            assert_eq!(item.len(), 1, "item {number} was answered");
        }
        if said.deleted.contains(number) {
            assert!(found.is_err(), "{name} was deleted");
        } else if said.done.contains(number) && !said.deleting.contains(number) {
            assert!(found.is_ok(), "{name} was answered");
        }
    }
    match get(&storage, "shared") {
        Ok(shared) => {
            // A child that is killed at once has begun nothing.
            let begun = said.begun.iter().chain(&earlier.begun);
            let last = begun.max().map_or(0, |last| last + 1);
            assert!(
                (0..last)
                    .rev()
                    .any(|number| shared == body(number, 250_000))
            );
        }
        Err(error) => {
            assert_eq!(error, StorageError::NotFound);
            let answered = said.done.len() + earlier.done.len();
            assert_eq!(answered, 0, "it is gone");
        }
    }
    let staged = std::fs::read_dir(folder.join("staging")).unwrap().count();
    assert_eq!(staged, 0, "what was not finished is cleared away");
    let (mut files, mut long) = (0, 0);
    for shard in std::fs::read_dir(folder.join("objects")).unwrap() {
        files += std::fs::read_dir(shard.unwrap().path()).unwrap().count();
    }
    let mut after = None;
    loop {
        let (keys, more) = list(&storage, "", after.as_deref(), 1_000);
        let bytes = |key: &String| get(&storage, key).map_or(0, |body: Bytes| body.len());
        long += keys.iter().filter(|key| bytes(key) > 96 * 1024).count();
        after = keys.last().cloned();
        if !more {
            break;
        }
    }
    assert_eq!(files, long, "every file belongs to an object");
}
