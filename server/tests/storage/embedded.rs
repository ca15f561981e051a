//! What only the embedded backend promises.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use restante_core::storage::{ItemKey, StorageError, StorageRequest, StorageResponse};
use restante_server::storage::embedded::{Embedded, EmbeddedConfig, OpenError};

use crate::fixture::{
    TestFolder, ask, body, config, embedded, embedded_with, get, get_range, insert, items, key,
    list, object, put, sleeper, values,
};

#[test]
fn everything_is_there_after_a_restart() {
    let folder = TestFolder::new();
    let storage = embedded(&folder.0);
    let (a, b) = (key("p", "a"), key("p", "b"));
    insert(&storage, &a, None, "one");
    insert(&storage, &b, None, "gone");
    let token = items(&storage, &[&b])[0].token.clone();
    ask(
        &storage,
        StorageRequest::DeleteItems(vec![(b.clone(), token.clone())]),
    );
    put(&storage, "short", &body(1, 5_000)).unwrap();
    put(&storage, "long", &body(2, 500_000)).unwrap();
    drop(storage);

    let storage = embedded(&folder.0);
    assert_eq!(values(&storage, &a), [Bytes::from("one")]);
    assert_eq!(values(&storage, &b), Vec::<Bytes>::new());
    assert_eq!(get(&storage, "short"), Ok(body(1, 5_000)));
    assert_eq!(get(&storage, "long"), Ok(body(2, 500_000)));
    // The clock went on: a token from before stands for nothing that comes now.
    insert(&storage, &b, None, "new");
    insert(&storage, &b, Some(token), "newer");
    assert_eq!(values(&storage, &b), ["new", "newer"].map(Bytes::from));
}

#[test]
fn the_folder_is_private_and_belongs_to_one_process() {
    let folder = TestFolder::new();
    let storage = embedded(&folder.0);
    let mode = fs::metadata(&folder.0).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let error = Embedded::open(&folder.0, config(), sleeper())
        .err()
        .unwrap();
    let path = storage.folder().display().to_string();
    let process = std::process::id();
    assert_eq!(
        error.to_string(),
        format!("{path} is in use by another Restante (process {process})")
    );
    drop(storage);
    drop(embedded(&folder.0));
}

#[test]
fn a_later_format_and_other_peoples_folders_are_refused() {
    let folder = TestFolder::new();
    drop(embedded(&folder.0));
    let golden = fs::read(folder.0.join("format")).unwrap();
    assert_eq!(golden, b"restante storage 1\n");
    fs::write(folder.0.join("format"), "restante storage 2\n").unwrap();
    let error = Embedded::open(&folder.0, config(), sleeper())
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::LaterFormat { found: 2, .. }));
    assert!(
        error
            .to_string()
            .ends_with("was written by a later Restante (format 2; this one reads 1)")
    );

    let other = TestFolder::new();
    fs::create_dir(&other.0).unwrap();
    fs::write(other.0.join("letter"), "dear").unwrap();
    let error = Embedded::open(&other.0, config(), sleeper()).err().unwrap();
    assert!(matches!(error, OpenError::NotOurs { .. }));
    assert_eq!(fs::read_dir(&other.0).unwrap().count(), 1);
}

/// All files of long objects.
fn files(folder: &Path) -> Vec<PathBuf> {
    let shards = fs::read_dir(folder.join("objects")).unwrap();
    let names = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
    names.map(|name| name.unwrap().path()).collect()
}

/// The same, once there are as many: they get there after the answer.
fn placed(folder: &Path, count: usize) -> Vec<PathBuf> {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        let found = files(folder);
        if found.len() == count {
            return found;
        }
        assert!(Instant::now() < until, "{found:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_file_of_a_long_object_of_version_1_is_read_for_ever() {
    let folder = TestFolder::new();
    let config = EmbeddedConfig {
        inline_bytes_max: 4,
        ..config()
    };
    let storage = embedded_with(&folder.0, &config);
    put(&storage, "o", &Bytes::from("golden")).unwrap();
    drop(storage);
    let storage = embedded(&folder.0);
    assert_eq!(get(&storage, "o"), Ok(Bytes::from("golden")));
    let path = &files(&folder.0)[0];
    // The sum is zlib's crc32 of two little-endian u64 (1 and 0) and the bytes.
    assert!(path.ends_with("01/0000000000000001"), "{path:?}");
    assert_eq!(
        fs::read(path).unwrap(),
        b"restbdy\x01golden\xa4\xf2\x3c\x3d"
    );
}

#[test]
fn a_damaged_block_is_named_and_other_objects_are_read() {
    let folder = TestFolder::new();
    let storage = embedded(&folder.0);
    put(&storage, "bad", &body(1, 300_000)).unwrap();
    let path = placed(&folder.0, 1).pop().unwrap();
    put(&storage, "good", &body(2, 300_000)).unwrap();
    let all = placed(&folder.0, 2);
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(b"?", 150_000).unwrap();
    let error = get(&storage, "bad").unwrap_err();
    let StorageError::Unavailable(why) = error else {
        panic!("{error:?}");
    };
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(
        why.contains(name) && why.contains("block 2 has a wrong sum"),
        "{why}"
    );
    // What is not damaged of it can still be read.
    let before = get_range(&storage, "bad", (0, Some(100_000)), 65_552);
    assert_eq!(before.unwrap().1, body(1, 300_000).slice(..100_000));
    assert_eq!(get(&storage, "good"), Ok(body(2, 300_000)));
    // A file that was cut, or that is another one's, is found out as well.
    fs::copy(&path, all.iter().find(|p| **p != path).unwrap()).unwrap();
    assert!(matches!(
        get(&storage, "good"),
        Err(StorageError::Unavailable(_))
    ));
    put(&storage, "bad", &body(3, 300_000)).unwrap();
    assert_eq!(get(&storage, "bad"), Ok(body(3, 300_000)));
}

#[test]
fn a_damaged_table_costs_what_is_in_it_and_no_panic() {
    let folder = TestFolder::new();
    let storage = embedded(&folder.0);
    for number in 0..6_000 {
        // In batches: the test is about tables and not about commits.
        let insert = |n: u32| restante_core::storage::InsertItem {
            key: key("p", &format!("{n:06}")),
            token: None,
            value: body(u64::from(n), 1_000),
        };
        if number % 200 == 0 {
            let batch = (number..number + 200).map(insert).collect();
            assert_eq!(
                ask(&storage, StorageRequest::InsertItems(batch)),
                StorageResponse::Done
            );
        }
    }
    drop(storage);
    let mut tables = Vec::new();
    find(&folder.0.join("rows/keyspaces"), &mut tables);
    let table = tables
        .into_iter()
        .filter(|p| p.parent().unwrap().ends_with("tables"));
    let largest = table
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let file = fs::OpenOptions::new().write(true).open(&largest).unwrap();
    let middle = fs::metadata(&largest).unwrap().len() / 2;
    file.write_all_at(&[0xff; 8], middle).unwrap();
    drop(file);

    let storage = embedded(&folder.0);
    let (mut good, mut bad) = (0, 0);
    for number in 0..6_000 {
        let at = key("p", &format!("{number:06}"));
        match ask(&storage, StorageRequest::ReadItems(vec![at])) {
            StorageResponse::Items(found) => {
                assert_eq!(found[0].values, [body(number, 1_000)]);
                good += 1;
            }
            StorageResponse::Failed(StorageError::Unavailable(why)) => {
                assert!(
                    why.contains(&format!("the item p {number:06} in ")),
                    "{why}"
                );
                bad += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        bad > 0 && bad < 20 && good > 5_900,
        "{bad} bad, {good} good"
    );
    assert_eq!(
        insert(&storage, &key("q", "s"), None, "v"),
        StorageResponse::Done
    );
}

fn find(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            find(&path, out);
        } else {
            out.push(path);
        }
    }
}

#[test]
fn below_the_reserve_writes_are_full_and_deletes_are_not() {
    let folder = TestFolder::new();
    let storage = embedded(&folder.0);
    let at = key("p", "s");
    insert(&storage, &at, None, "one");
    put(&storage, "o", &body(1, 300_000)).unwrap();
    drop(storage);
    let full = EmbeddedConfig {
        reserve_bytes: u64::MAX / 2,
        ..config()
    };
    let storage = embedded_with(&folder.0, &full);
    let answer = insert(&storage, &at, None, "two");
    assert_eq!(answer, StorageResponse::Failed(StorageError::Full));
    for bytes in [100, 300_000] {
        assert_eq!(
            put(&storage, "new", &body(2, bytes)),
            Err(StorageError::Full)
        );
    }
    assert_eq!(list(&storage, "", None, 9), (vec!["o".to_owned()], false));
    assert_eq!(values(&storage, &at), [Bytes::from("one")]);
    let token = items(&storage, &[&at])[0].token.clone();
    let deletes = StorageRequest::DeleteItems(vec![(at.clone(), token)]);
    assert_eq!(ask(&storage, deletes), StorageResponse::Done);
    let deletes = StorageRequest::DeleteObjects(vec![object("o")]);
    assert_eq!(ask(&storage, deletes), StorageResponse::Done);
    drop(storage);
    assert_eq!(files(&folder.0), Vec::<PathBuf>::new());
    assert_eq!(
        insert(&embedded(&folder.0), &at, None, "three"),
        StorageResponse::Done
    );
}

#[test]
fn below_twice_the_reserve_objects_are_full_and_items_are_not() {
    let folder = TestFolder::new();
    let storage = embedded(&folder.0);
    let at = key("p", "s");
    put(&storage, "o", &body(1, 300_000)).unwrap();
    let system = rustix::fs::statvfs(&folder.0).unwrap();
    drop(storage);
    // Once there is room for the reserve, and not twice.
    let nearly_full = EmbeddedConfig {
        reserve_bytes: system.f_bavail * system.f_frsize / 3 * 2,
        ..config()
    };
    let storage = embedded_with(&folder.0, &nearly_full);
    for bytes in [100, 300_000] {
        assert_eq!(
            put(&storage, "new", &body(2, bytes)),
            Err(StorageError::Full)
        );
    }
    assert_eq!(insert(&storage, &at, None, "two"), StorageResponse::Done);
    assert_eq!(values(&storage, &at), [Bytes::from("two")]);
    let deletes = StorageRequest::DeleteObjects(vec![object("o")]);
    assert_eq!(ask(&storage, deletes), StorageResponse::Done);
    assert_eq!(list(&storage, "", None, 9), (vec![], false));
}

#[test]
fn a_write_that_a_power_failure_tore_is_cut_off_and_the_rest_is_there() {
    let folder = TestFolder::new();
    let (journal, keys) = journal_of_six(&folder.0);
    let whole = fs::read(&journal).unwrap();
    let used = whole.iter().rposition(|octet| *octet != 0).unwrap() + 1;
    let mut torn = whole;
    // Within the value of the last item.
    torn[used - 1_500..used - 1_000].fill(0);
    fs::write(&journal, &torn).unwrap();
    let storage = embedded(&folder.0);
    for at in &keys[..5] {
        assert_eq!(values(&storage, at).len(), 1);
    }
    assert_eq!(values(&storage, &keys[5]), Vec::<Bytes>::new());
    assert_eq!(
        insert(&storage, &keys[5], None, "again"),
        StorageResponse::Done
    );
    drop(storage);
    assert_eq!(
        values(&embedded(&folder.0), &keys[5]),
        [Bytes::from("again")]
    );
}

#[test]
fn damage_that_acknowledged_writes_follow_is_told_and_nothing_is_thrown_away() {
    let folder = TestFolder::new();
    let (journal, keys) = journal_of_six(&folder.0);
    let whole = fs::read(&journal).unwrap();
    let mut damaged = whole.clone();
    damaged[0] ^= 0x10;
    fs::write(&journal, &damaged).unwrap();
    let opened = Embedded::open(&folder.0, config(), sleeper());
    let why = opened.err().expect("acknowledged writes are gone");
    let told = format!("{} is damaged at offset 0", journal.display());
    assert!(why.to_string().contains(&told), "{why}");
    assert!(fs::read(&journal).unwrap() == damaged, "it was changed");
    fs::write(&journal, &whole).unwrap();
    let storage = embedded(&folder.0);
    for at in &keys {
        assert_eq!(values(&storage, at).len(), 1);
    }
}

/// Six items, one after the other, and the journal that has them.
fn journal_of_six(folder: &Path) -> (PathBuf, Vec<ItemKey>) {
    let storage = embedded(folder);
    let keys: Vec<_> = (0..6).map(|n| key("p", &n.to_string())).collect();
    for (number, at) in keys.iter().enumerate() {
        insert(&storage, at, None, body(number as u64, 2_000));
    }
    let rows = storage.folder().join("rows");
    drop(storage);
    let files = fs::read_dir(rows)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let journals: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|end| end == "jnl"))
        .collect();
    assert_eq!(journals.len(), 1);
    (journals[0].clone(), keys)
}

/// A file system of a fixed size; `None` where this user may not mount one.
struct Tmpfs(TestFolder);

impl Tmpfs {
    fn new(mib: u32) -> Option<Self> {
        let folder = TestFolder::new();
        fs::create_dir(&folder.0).unwrap();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(&folder.0)
            .output();
        mounted
            .is_ok_and(|out| out.status.success())
            .then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0.0).output();
    }
}

#[test]
fn a_disk_that_is_really_full_loses_nothing_and_works_again() {
    let Some(disk) = Tmpfs::new(80) else {
        // Where CI is not root it cannot be.
        let strict = std::env::var("CI").is_ok_and(|value| value == "true")
            && rustix::process::geteuid().is_root();
        assert!(
            !strict,
            "nothing may be skipped with CI=true: mounting needs root"
        );
        eprintln!("not tested: mounting needs root");
        return;
    };
    let folder = disk.0.0.join("store");
    // No reserve: the errors are the kernel's.
    let config = EmbeddedConfig {
        reserve_bytes: 0,
        ..config()
    };
    let storage = embedded_with(&folder, &config);
    let ballast = disk.0.0.join("ballast");
    let mut kept = Vec::new();
    for round in 0..4_u64 {
        fs::write(&ballast, vec![1; 40 << 20]).unwrap();
        let mut fulls = 0;
        for number in 0..2_000_u64 {
            let name = format!("{round}-{number}");
            let bytes = if number % 8 == 0 { 700_000 } else { 60_000 };
            match put(&storage, &name, &body(number, bytes)) {
                Ok(()) => kept.push((name, number, bytes)),
                Err(error) => {
                    assert_eq!(error, StorageError::Full, "{name}");
                    assert_eq!(get(&storage, &name), Err(StorageError::NotFound));
                    fulls += 1;
                }
            }
            let at = key("p", &format!("{round}-{number}"));
            match insert(&storage, &at, None, body(number, 500)) {
                StorageResponse::Done => assert_eq!(values(&storage, &at).len(), 1),
                StorageResponse::Failed(StorageError::Full) => fulls += 1,
                other => panic!("{other:?}"),
            }
            if fulls > 20 {
                break;
            }
        }
        assert!(fulls > 20);
        fs::remove_file(&ballast).unwrap();
        // There is room again, at once and without a restart.
        assert_eq!(
            put(&storage, &format!("again-{round}"), &body(round, 200_000)),
            Ok(())
        );
        let at = key("again", &round.to_string());
        assert_eq!(insert(&storage, &at, None, "v"), StorageResponse::Done);
        for (name, number, bytes) in kept.drain(..) {
            assert_eq!(get(&storage, &name), Ok(body(number, bytes)), "{name}");
            let deletes = StorageRequest::DeleteObjects(vec![object(&name)]);
            assert_eq!(ask(&storage, deletes), StorageResponse::Done);
        }
    }
    drop(storage);
    let storage = embedded(&folder);
    assert_eq!(get(&storage, "again-0"), Ok(body(0, 200_000)));
}
