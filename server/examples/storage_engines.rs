//! Compares what the embedded backend could be built on, with the work that Restante
//! gives it. The figures are in `docs/decisions/003-embedded-engine.md`.
//!
//! ```text
//! cargo run --release -p restante-server --example storage_engines -- [FOLDER]
//! ```
//!
//! FOLDER (default: `./restante-data/bench`) is made and removed; it should be on the
//! kind of disk that will be used, not on a tmpfs.

use std::error::Error;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};
use std::time::Instant;

use redb::{ReadableDatabase, TableDefinition};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
type Row = (Vec<u8>, Vec<u8>);

const CHUNK: usize = 64 * 1024;
const CACHE: usize = 8 * 1024 * 1024;

/// What is asked of an engine.
trait Engine: Send + Sync + 'static {
    fn put(&self, rows: &[Row], durable: bool) -> Outcome<()>;
    fn delete(&self, keys: &[Vec<u8>]) -> Outcome<()>;
    fn get(&self, key: &[u8]) -> Outcome<Option<usize>>;
    fn range(&self, from: &[u8], to: &[u8]) -> Outcome<usize>;
}

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("rows");

struct Redb(redb::Database);

impl Redb {
    fn open(folder: &Path) -> Outcome<Self> {
        fs::create_dir_all(folder)?;
        let db = redb::Builder::new()
            .set_cache_size(CACHE)
            .create(folder.join("db"))?;
        let transaction = db.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self(db))
    }
}

impl Engine for Redb {
    fn put(&self, rows: &[Row], durable: bool) -> Outcome<()> {
        let mut transaction = self.0.begin_write()?;
        if !durable {
            transaction.set_durability(redb::Durability::None)?;
        }
        let mut table = transaction.open_table(TABLE)?;
        for (key, value) in rows {
            table.insert(&key[..], &value[..])?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn delete(&self, keys: &[Vec<u8>]) -> Outcome<()> {
        let transaction = self.0.begin_write()?;
        let mut table = transaction.open_table(TABLE)?;
        for key in keys {
            table.remove(&key[..])?;
        }
        drop(table);
        Ok(transaction.commit()?)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<usize>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key)?.map(|value| value.value().len()))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Outcome<usize> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut bytes = 0;
        for row in table.range(from..to)? {
            bytes += row?.1.value().len();
        }
        Ok(bytes)
    }
}

struct Fjall {
    db: fjall::Database,
    rows: fjall::Keyspace,
}

impl Fjall {
    fn open(folder: &Path, memtable: u64, blobs: bool) -> Outcome<Self> {
        let db = fjall::Database::builder(folder)
            .cache_size(CACHE as u64)
            .max_journaling_size(64 * 1024 * 1024)
            .worker_threads(1)
            .open()?;
        let rows = db.keyspace("rows", || {
            let options = fjall::KeyspaceCreateOptions::default().max_memtable_size(memtable);
            options.with_kv_separation(blobs.then(fjall::KvSeparationOptions::default))
        })?;
        Ok(Self { db, rows })
    }
}

impl Engine for Fjall {
    fn put(&self, rows: &[Row], durable: bool) -> Outcome<()> {
        let mode = durable.then_some(fjall::PersistMode::SyncData);
        let mut batch = self.db.batch().durability(mode);
        for (key, value) in rows {
            batch.insert(&self.rows, &key[..], &value[..]);
        }
        Ok(batch.commit()?)
    }

    fn delete(&self, keys: &[Vec<u8>]) -> Outcome<()> {
        let mode = Some(fjall::PersistMode::SyncData);
        let mut batch = self.db.batch().durability(mode);
        for key in keys {
            batch.remove(&self.rows, &key[..]);
        }
        Ok(batch.commit()?)
    }

    fn get(&self, key: &[u8]) -> Outcome<Option<usize>> {
        Ok(self.rows.get(key)?.map(|value| value.len()))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> Outcome<usize> {
        let mut bytes = 0;
        for row in self.rows.range(from..to) {
            bytes += row.into_inner()?.1.len();
        }
        Ok(bytes)
    }
}

/// A thread that writes what waits in its queue with one commit.
struct Committer(SyncSender<(Row, Sender<()>)>);

impl Committer {
    fn new(engine: Arc<dyn Engine>) -> Self {
        let (sender, queue) = sync_channel::<(Row, Sender<()>)>(64);
        std::thread::spawn(move || {
            while let Ok(first) = queue.recv() {
                let (rows, answers): (Vec<Row>, Vec<_>) =
                    std::iter::once(first).chain(queue.try_iter()).unzip();
                engine.put(&rows, true).expect("the benchmark has room");
                for answer in answers {
                    let _gone = answer.send(());
                }
            }
        });
        Self(sender)
    }

    fn put(&self, row: Row) {
        let (answer, done) = channel();
        self.0.send((row, answer)).expect("the committer runs");
        done.recv().expect("the committer answers");
    }
}

fn main() -> Outcome<()> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.map_or_else(|| PathBuf::from("restante-data/bench"), PathBuf::from);
    let only = std::env::args().nth(2);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    fs::create_dir_all(&folder)?;
    floor(&folder)?;
    if wanted("redb") {
        run("redb", &folder, |path| Ok(Arc::new(Redb::open(path)?)))?;
    }
    if wanted("fjall") {
        run("fjall", &folder, |path| {
            Ok(Arc::new(Fjall::open(path, 4 << 20, false)?))
        })?;
    }
    if wanted("fjall-blobs") {
        run("fjall-blobs", &folder, |path| {
            Ok(Arc::new(Fjall::open(path, 4 << 20, true)?))
        })?;
    }
    if wanted("files") {
        files(&folder.join("files"))?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// What no engine can beat: 200 bytes and an fdatasync.
fn floor(folder: &Path) -> Outcome<()> {
    let mut file = fs::File::create(folder.join("floor"))?;
    let begin = Instant::now();
    for _ in 0..300 {
        file.write_all(&[7; 200])?;
        file.sync_data()?;
    }
    let rate = 300.0 / begin.elapsed().as_secs_f64();
    println!("disk: {rate:.0} fdatasync/s");
    Ok(())
}

fn run(name: &str, folder: &Path, open: impl Fn(&Path) -> Outcome<Arc<dyn Engine>>) -> Outcome<()> {
    let path = folder.join(name);
    if std::env::args().nth(3).as_deref() == Some("abort") {
        abort(&*open(&path)?)?;
    }
    println!("\n== {name}");
    let rss = resident();
    let engine = open(&path)?;
    println!(
        "opened: {} KiB more resident",
        resident().saturating_sub(rss)
    );
    items(&engine)?;
    appends(&*engine)?;
    println!("on disk: {} MiB", disk(&path)? >> 20);
    objects(&*engine)?;
    println!(
        "on disk after deleting the objects: {} MiB",
        disk(&path)? >> 20
    );
    println!(
        "resident at the end: +{} KiB",
        resident().saturating_sub(rss)
    );
    drop(engine);
    let begin = Instant::now();
    drop(open(&path)?);
    println!("open and close: {:.0} ms", millis(begin));
    let program = std::env::current_exe()?;
    let args = [folder.as_os_str(), name.as_ref(), "abort".as_ref()];
    let killed = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .status()?;
    assert!(!killed.success(), "the child aborts");
    let begin = Instant::now();
    drop(open(&path)?);
    println!("open after a crash: {:.0} ms", millis(begin));
    Ok(())
}

/// Writes as appends do, and dies.
fn abort(engine: &dyn Engine) -> Outcome<()> {
    for number in 0..4_000 {
        engine.put(&[row(b'o', 1 << 61 | number, 5_000)], number % 100 == 0)?;
    }
    std::process::abort()
}

fn items(engine: &Arc<dyn Engine>) -> Outcome<()> {
    let begin = Instant::now();
    for number in 0..500 {
        engine.put(&[row(b'a', number, 200)], true)?;
    }
    println!("inserts, 1 writer: {:.0}/s", 500.0 * 1e3 / millis(begin));
    let committer = Committer::new(Arc::clone(engine));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let committer = &committer;
            scope.spawn(move || {
                for number in 0..250 {
                    committer.put(row(b'b', writer * 250 + number, 200));
                }
            });
        }
    });
    println!(
        "inserts, 16 writers: {:.0}/s",
        4_000.0 * 1e3 / millis(begin)
    );
    let rows: Vec<Row> = (0..10_000).map(|n| row(b'c', n, 200)).collect();
    for batch in rows.chunks(1_000) {
        engine.put(batch, true)?;
    }
    let begin = Instant::now();
    let bytes = engine.range(b"c", b"d")?;
    assert_eq!(bytes, 10_000 * 200);
    println!("range of 10,000 items: {:.1} ms", millis(begin));
    let begin = Instant::now();
    for step in 0..10_000_u64 {
        let found = engine.get(&row(b'c', step * 7_919 % 10_000, 0).0)?;
        assert_eq!(found, Some(200));
    }
    println!("10,000 point reads: {:.1} ms", millis(begin));
    Ok(())
}

/// One APPEND of a small message: its object and two items in one commit.
fn appends(engine: &dyn Engine) -> Outcome<()> {
    print!("appends/s by 1,000:");
    for window in 0..10 {
        let begin = Instant::now();
        for number in window * 1_000..(window + 1) * 1_000 {
            // Objects have random names, as keys of messages do.
            let place = (number + 1) * 0x9e37_79b9_7f4a_7c15 % (1 << 60);
            let rows = [
                row(b'o', place, 5_000),
                row(b'l', number, 200),
                row(b's', number, 600),
            ];
            engine.put(&rows, true)?;
        }
        print!(" {:.0}", 1e6 / millis(begin));
        std::io::stdout().flush()?;
    }
    println!();
    let begin = Instant::now();
    engine.range(b"o", b"p")?;
    println!("reading the 10,000 objects: {:.0} ms", millis(begin));
    Ok(())
}

fn objects(engine: &dyn Engine) -> Outcome<()> {
    for (bytes, count) in [
        (2 << 10, 500),
        (64 << 10, 200),
        (1 << 20, 40),
        (25 << 20, 4),
    ] {
        let rss = resident();
        let mut peak = rss;
        let begin = Instant::now();
        for object in 0..count {
            let chunks = (bytes / CHUNK).max(1);
            for chunk in 0..chunks {
                let number = (object * 1_000 + chunk) as u64;
                let last = chunk + 1 == chunks;
                engine.put(&[row(b'x', number, bytes.min(CHUNK))], last)?;
                peak = peak.max(resident_now(chunk));
            }
        }
        let write = millis(begin);
        let begin = Instant::now();
        let mut keys = Vec::new();
        for object in 0..count {
            for chunk in 0..(bytes / CHUNK).max(1) {
                let key = row(b'x', (object * 1_000 + chunk) as u64, 0).0;
                assert_eq!(engine.get(&key)?, Some(bytes.min(CHUNK)));
                peak = peak.max(resident_now(chunk));
                keys.push(key);
            }
        }
        let read = millis(begin);
        report(bytes, count, (write, read), peak - rss);
        engine.delete(&keys)?;
    }
    Ok(())
}

/// Objects as files: written aside, made durable, renamed, and the folder made durable.
fn files(folder: &Path) -> Outcome<()> {
    println!("\n== files");
    fs::create_dir_all(folder)?;
    for (bytes, count) in [
        (2 << 10, 500),
        (64 << 10, 200),
        (1 << 20, 40),
        (25 << 20, 4),
    ] {
        let rss = resident();
        let mut peak = rss;
        let body = row(b'f', 3, bytes.min(CHUNK)).1;
        let begin = Instant::now();
        for object in 0..count {
            let aside = folder.join("aside");
            let mut file = fs::File::create(&aside)?;
            for chunk in 0..(bytes / CHUNK).max(1) {
                file.write_all(&body)?;
                peak = peak.max(resident_now(chunk));
            }
            file.sync_all()?;
            fs::rename(&aside, folder.join(object.to_string()))?;
            fs::File::open(folder)?.sync_all()?;
        }
        let write = millis(begin);
        let begin = Instant::now();
        let mut chunk = vec![0; bytes.min(CHUNK)];
        for object in 0..count {
            let mut file = fs::File::open(folder.join(object.to_string()))?;
            for number in 0..(bytes / CHUNK).max(1) {
                file.read_exact(&mut chunk)?;
                peak = peak.max(resident_now(number));
            }
        }
        let read = millis(begin);
        report(bytes, count, (write, read), peak - rss);
        for object in 0..count {
            fs::remove_file(folder.join(object.to_string()))?;
        }
    }
    println!(
        "on disk after deleting the objects: {} MiB",
        disk(folder)? >> 20
    );
    Ok(())
}

fn report(bytes: usize, count: usize, (write, read): (f64, f64), rss: u64) {
    let mib = (bytes * count) as f64 / f64::from(1 << 20);
    println!(
        "{count} objects of {} KiB: write {:.0}/s {:.0} MiB/s, read {:.0} MiB/s, +{rss} KiB",
        bytes >> 10,
        count as f64 * 1e3 / write,
        mib * 1e3 / write,
        mib * 1e3 / read,
    );
}

/// Bytes that do not compress, the same on every run.
fn row(kind: u8, number: u64, bytes: usize) -> Row {
    let mut key = vec![kind];
    key.extend(number.to_be_bytes());
    let mut state = number.wrapping_mul(2) + 1;
    let mut value = Vec::with_capacity(bytes + 8);
    while value.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        value.extend(state.to_le_bytes());
    }
    value.truncate(bytes);
    (key, value)
}

fn millis(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// KiB of this process in memory, looked at once in 16 chunks.
fn resident_now(chunk: usize) -> u64 {
    if chunk.is_multiple_of(16) {
        resident()
    } else {
        0
    }
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Bytes of disk under a folder, holes left out.
fn disk(folder: &Path) -> Outcome<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let data = entry.metadata()?;
        bytes += if data.is_dir() {
            disk(&entry.path())?
        } else {
            data.blocks() * 512
        };
    }
    Ok(bytes)
}
