//! Looks through the engine's journals before the engine reads them.
//!
//! fjall cuts a journal at the first thing in it that makes no sense: one flipped bit would
//! silently cost everything after it, though it was acknowledged. And it opens nothing
//! where the sum of a batch is wrong, be it the last one, of which a power failure left
//! only some pages. Here is told apart which of both it was: a bad batch that nothing
//! follows was not finished, and is cut off; one that another batch follows is damage, which
//! nobody but the operator can decide about. What is read is what the disk has, not what the system
//! still has in memory of it.
//!
//! ```text
//! each batch:  u8 1, u32 number of entries, u64 time; the entries; u8 3, u64 sum of the
//!              entries (XXH3), "FJL", u8 3
//! each entry:  u8 2, u8 kind, u8 compression (0: none), u64 table, u16 length of the key,
//!              u32 length of the value, u32 the same as it is stored, key, value
//!              or: u8 4, u64 table
//! ```
//!
//! Numbers are little endian. Batches follow each other without a gap; after the last one
//! come zeros, up to the size that was set aside. `N.jnl` with the highest number is written to.
//! The sum is not over the head: of the time it is only known here that it grows.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

/// What a batch and an entry begin with.
const START: u8 = 1;
const ROW: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
/// The end of a batch, and the file `version` of the engine; the last octet is the version.
const TRAILER: [u8; 4] = *b"FJL\x03";
/// Octets of the sum of a batch.
const SUM_BYTES: u64 = 8;
/// Kinds of entries: a value, two of tombstones, a value that is kept elsewhere.
const KINDS: [u8; 4] = [0, 1, 2, 4];
/// Times of batches are below. A million of them in a second reach it after nine years.
const TIME_MAX: u64 = 1 << 48;
/// Octets that are read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why journals are left to the operator.
#[derive(Debug)]
pub(super) enum Unfit {
    /// A file cannot be read, or not be cut.
    Io(PathBuf, io::Error),
    /// Acknowledged writes from this offset on are damaged, and others follow them.
    Damaged(PathBuf, u64),
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Damaged(path, offset) => write!(
                f,
                "{} is damaged at offset {offset}, and acknowledged writes follow; nothing was changed",
                path.display()
            ),
        }
    }
}

/// Cuts off what the journals in `folder` have of a batch that was never finished. Blocks
/// the thread.
///
/// # Errors
/// When something else is wrong with them; they are as they were then.
pub(super) fn settle(folder: &Path) -> Result<(), Unfit> {
    let at = |error| Unfit::Io(folder.to_owned(), error);
    // Without it there is no store yet, and another version is for the engine to refuse.
    match fs::read(folder.join("version")) {
        Ok(version) if version == TRAILER => {}
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(at(error)),
    }
    let mut unfinished: Option<(PathBuf, u64)> = None;
    let mut time = 0;
    for path in journals(folder).map_err(at)? {
        let journal = look_through(&path, time).map_err(|error| Unfit::Io(path.clone(), error))?;
        if journal.has_batches
            && let Some((path, offset)) = unfinished
        {
            return Err(Unfit::Damaged(path, offset));
        }
        match journal.rest {
            Rest::Nothing => {}
            Rest::Unfinished => unfinished = Some((path, journal.end)),
            Rest::Damaged => return Err(Unfit::Damaged(path, journal.end)),
        }
        time = journal.time;
    }
    let Some((path, end)) = unfinished else {
        return Ok(());
    };
    tracing::warn!(file = %path.display(), offset = end, "a write that was not finished is cut off");
    let file = OpenOptions::new().write(true).open(&path);
    file.and_then(|file| file.set_len(end).and_then(|()| file.sync_all()))
        .map_err(|error| Unfit::Io(path, error))
}

/// The journals, the oldest first.
fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let number = name.and_then(|name| name.strip_suffix(".jnl"));
        // The engine refuses others.
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// What is in a journal.
struct Journal {
    has_batches: bool,
    /// Time of the last batch, or that from before.
    time: u64,
    /// Where the last whole batch ends.
    end: u64,
    rest: Rest,
}

/// What comes after the whole batches.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    /// Zeros at most.
    Nothing,
    /// The beginning of a batch, or what a failing disk made of it.
    Unfinished,
    /// Something bad that batches follow.
    Damaged,
}

/// Batches must not be earlier than `time`.
fn look_through(path: &Path, time: u64) -> io::Result<Journal> {
    let mut journal = Journal {
        has_batches: false,
        time,
        end: 0,
        rest: Rest::Nothing,
    };
    let mut file = File::open(path)?;
    forget_cached(&file)?;
    let mut reader = BatchReader::new(BufReader::with_capacity(CHUNK_BYTES, &file));
    while let Some(batch) = reader.next()? {
        journal.has_batches = true;
        if batch < journal.time || batch >= TIME_MAX {
            journal.rest = Rest::Damaged;
            return Ok(journal);
        }
        journal.time = batch;
        journal.end = reader.at;
    }
    let bad_ends_at = reader.ends_at;
    drop(reader);
    let used = used_bytes(&mut file, journal.end)?;
    if bad_ends_at.is_some_and(|end| used > end) {
        journal.rest = Rest::Damaged;
    } else if used > journal.end {
        let mut rest = Vec::new();
        file.seek(SeekFrom::Start(journal.end))?;
        file.take(used - journal.end).read_to_end(&mut rest)?;
        journal.rest = match has_another(&rest)? {
            true => Rest::Damaged,
            false => Rest::Unfinished,
        };
    }
    Ok(journal)
}

/// Lets go what the system has of a file in memory, so that what is read is what the disk has.
///
/// After a sync that failed Linux keeps pages that the disk has not, and counts them as written: a batch of
/// which nobody can say whether it is stored would be there until the next power failure, and what was
/// acknowledged after it would be behind a hole then. Only written pages are let go, hence the sync.
fn forget_cached(file: &File) -> io::Result<()> {
    file.sync_all()?;
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    // Where it is not taken, what is read is no worse than without.
    let _kept = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    Ok(())
}

/// Up to where there is anything but zeros, if that is behind `from`.
fn used_bytes(file: &mut File, from: u64) -> io::Result<u64> {
    static ZEROS: [u8; CHUNK_BYTES] = [0; CHUNK_BYTES];
    let mut chunk = vec![0; CHUNK_BYTES];
    let (mut at, mut used) = (from, from);
    file.seek(SeekFrom::Start(from))?;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(used);
        }
        if chunk[..read] != ZEROS[..read]
            && let Some(last) = chunk[..read].iter().rposition(|octet| *octet != 0)
        {
            used = at + last as u64 + 1;
        }
        at += read as u64;
    }
}

/// Whether a further batch begins in what begins with a bad one.
fn has_another(rest: &[u8]) -> io::Result<bool> {
    for start in 1..rest.len() {
        if rest[start] != START {
            continue;
        }
        let from_here = &rest[start..];
        let after_an_end = rest[..start].ends_with(&TRAILER) && has_a_likely_head(from_here);
        if after_an_end || BatchReader::new(from_here).next()?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether it begins like a batch, whatever follows.
fn has_a_likely_head(octets: &[u8]) -> bool {
    matches!(octets, [START, _, _, _, 0, _, _, _, _, _, _, 0, 0, ..])
}

/// Reads whole batches.
struct BatchReader<R> {
    input: R,
    /// Octets that were read.
    at: u64,
    /// Where the last batch ends, be it right or not, if its end was found.
    ends_at: Option<u64>,
    sum: Xxh3,
    /// For keys and values.
    buffer: Vec<u8>,
}

/// Why there is no whole batch.
enum Broken {
    Io(io::Error),
    /// It ends too early, or makes no sense.
    Bad,
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::UnexpectedEof => Self::Bad,
            _ => Self::Io(error),
        }
    }
}

impl<R: Read> BatchReader<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            at: 0,
            ends_at: None,
            sum: Xxh3::new(),
            buffer: Vec::new(),
        }
    }

    /// The time of the next batch; `None` if there is no whole one.
    fn next(&mut self) -> io::Result<Option<u64>> {
        match self.batch() {
            Ok(time) => Ok(Some(time)),
            Err(Broken::Bad) => Ok(None),
            Err(Broken::Io(error)) => Err(error),
        }
    }

    fn batch(&mut self) -> Result<u64, Broken> {
        self.ends_at = None;
        self.tag(START)?;
        let entries = u32::from_le_bytes(self.take()?);
        let time = u64::from_le_bytes(self.take()?);
        self.sum.reset();
        for _ in 0..entries {
            self.entry()?;
        }
        let sum = self.sum.digest();
        self.tag(END)?;
        self.ends_at = Some(self.at + SUM_BYTES + TRAILER.len() as u64);
        let stored = u64::from_le_bytes(self.take()?);
        let trailer = self.take::<4>()?;
        match stored == sum && trailer == TRAILER {
            true => Ok(time),
            false => Err(Broken::Bad),
        }
    }

    fn entry(&mut self) -> Result<(), Broken> {
        match self.take()? {
            [ROW] => {
                let [kind, compression] = self.take()?;
                let _table = self.take::<8>()?;
                let key = u16::from_le_bytes(self.take()?);
                let value = u32::from_le_bytes(self.take()?);
                let stored = u32::from_le_bytes(self.take()?);
                if !KINDS.contains(&kind) || compression != 0 || stored != value {
                    return Err(Broken::Bad);
                }
                self.skip(u64::from(key) + u64::from(value))
            }
            [CLEAR] => self.take::<8>().map(drop),
            _ => Err(Broken::Bad),
        }
    }

    fn tag(&mut self, tag: u8) -> Result<(), Broken> {
        match self.take()? == [tag] {
            true => Ok(()),
            false => Err(Broken::Bad),
        }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Broken> {
        let mut octets = [0; N];
        self.input.read_exact(&mut octets)?;
        self.at += N as u64;
        self.sum.update(&octets);
        Ok(octets)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Broken> {
        let mut left = bytes;
        while left > 0 {
            let part = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            self.buffer.resize(part, 0);
            self.input.read_exact(&mut self.buffer)?;
            self.sum.update(&self.buffer);
            left -= part as u64;
        }
        self.at += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fjall::{Database, KeyspaceCreateOptions};
    use tempfile::TempDir;

    /// Rows of a batch: table, key, and value or none.
    type Row<'a> = (u64, &'a [u8], Option<&'a [u8]>);

    fn entry((table, key, value): &Row<'_>) -> Vec<u8> {
        let len = value.map_or(0, <[u8]>::len) as u32;
        let kind = u8::from(value.is_none());
        let mut out = vec![ROW, kind, 0];
        out.extend(table.to_le_bytes());
        out.extend((key.len() as u16).to_le_bytes());
        out.extend([len.to_le_bytes(), len.to_le_bytes()].concat());
        out.extend_from_slice(key);
        out.extend_from_slice(value.unwrap_or_default());
        out
    }

    fn batch(time: u64, entries: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![START];
        out.extend((entries.len() as u32).to_le_bytes());
        out.extend(time.to_le_bytes());
        let entries_octets = entries.concat();
        out.extend_from_slice(&entries_octets);
        out.push(END);
        out.extend(xxhash_rust::xxh3::xxh3_64(&entries_octets).to_le_bytes());
        out.extend(TRAILER);
        out
    }

    /// Four batches, and where each of them begins.
    fn four() -> (Vec<u8>, Vec<usize>) {
        let (mut octets, mut starts) = (Vec::new(), Vec::new());
        for number in 1..=4_u8 {
            starts.push(octets.len());
            let rows: [Row<'_>; 2] = [
                (1, &[number; 5], Some(&[number.wrapping_mul(77); 40])),
                (2, b"gone", None),
            ];
            octets.extend(batch(u64::from(number) * 10, &rows.each_ref().map(entry)));
        }
        (octets, starts)
    }

    /// A folder with journals, numbered from 1.
    fn folder(journals: &[&[u8]]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("version"), TRAILER).unwrap();
        for (number, octets) in journals.iter().enumerate() {
            fs::write(path(&folder, number + 1), octets).unwrap();
        }
        folder
    }

    fn path(folder: &TempDir, number: usize) -> PathBuf {
        folder.path().join(format!("{number}.jnl"))
    }

    /// How many batches the engine would read.
    fn batches(octets: &[u8]) -> usize {
        let mut reader = BatchReader::new(octets);
        std::iter::from_fn(|| reader.next().unwrap()).count()
    }

    #[test]
    fn the_engine_writes_what_is_read_here() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![7; 3 * CHUNK_BYTES];
        let database = Database::builder(folder.path()).open().unwrap();
        let table = database
            .keyspace("a", KeyspaceCreateOptions::default)
            .unwrap();
        let mut both = database.batch();
        both.insert(&table, "key", "value");
        both.remove(&table, "gone");
        both.commit().unwrap();
        table.insert("long", &long[..]).unwrap();
        table.clear().unwrap();
        drop(table);
        drop(database);

        let version = fs::read(folder.path().join("version")).unwrap();
        assert_eq!(version, TRAILER);
        let [ref path] = journals(folder.path()).unwrap()[..] else {
            panic!("there is one journal");
        };
        let octets = fs::read(path).unwrap();
        let mut reader = BatchReader::new(&octets[..]);
        let times: Vec<_> = std::iter::from_fn(|| reader.next().unwrap()).collect();
        let row: Row<'_> = (1, b"key", Some(b"value"));
        let expected = [
            batch(times[0], &[entry(&row), entry(&(1, b"gone", None))]),
            batch(times[1], &[entry(&(1, b"long", Some(&long)))]),
            batch(times[2], &[[&[CLEAR][..], &1_u64.to_le_bytes()].concat()]),
        ]
        .concat();
        assert!(octets[..expected.len()] == expected, "another format");
        assert!(octets[expected.len()..].iter().all(|octet| *octet == 0));
        settle(folder.path()).unwrap();
        assert!(fs::read(path).unwrap() == octets, "it was whole");
    }

    #[test]
    fn every_flipped_octet_is_noticed_or_costs_only_what_was_not_finished() {
        let (whole, starts) = four();
        let padded = [&whole[..], &[0; 50]].concat();
        for at in 0..padded.len() {
            for mask in [0x01, 0x02, 0x10, 0x80, 0xff] {
                let mut octets = padded.clone();
                octets[at] ^= mask;
                let folder = folder(&[&octets]);
                let settled = settle(folder.path());
                let left = fs::read(path(&folder, 1)).unwrap();
                match settled {
                    Ok(()) => {
                        let least = if at < starts[3] || at >= whole.len() {
                            4
                        } else {
                            3
                        };
                        let found = batches(&left);
                        assert!(found >= least, "{found} left, {mask:02x} at {at}");
                        let cut = left.len() < padded.len();
                        assert!(
                            !cut || left.len() == if found == 4 { whole.len() } else { starts[3] }
                        );
                    }
                    Err(Unfit::Damaged(_, offset)) => {
                        assert!(left == octets, "{mask:02x} at {at}");
                        let start = starts.iter().rev().find(|start| **start <= at);
                        // Where the time of a batch is too late, the next one is too early.
                        let next = starts.iter().find(|start| **start > at);
                        let told = usize::try_from(offset).unwrap();
                        assert!(
                            Some(&told) == start || Some(&told) == next,
                            "{told} for {at}"
                        );
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }

    #[test]
    fn what_was_not_finished_is_cut_off_wherever_it_ends() {
        let (whole, starts) = four();
        for len in 0..=whole.len() {
            for padding in [0, 50] {
                let octets = [&whole[..len], &vec![0; padding]].concat();
                let folder = folder(&[&octets]);
                settle(folder.path()).unwrap();
                let ends = starts[1..].iter().copied().chain([whole.len()]);
                let finished = ends.filter(|end| *end <= len).count();
                let left = fs::read(path(&folder, 1)).unwrap();
                assert_eq!(batches(&left), finished, "{len}");
                settle(folder.path()).unwrap();
                assert!(fs::read(path(&folder, 1)).unwrap() == left);
            }
        }
    }

    #[test]
    fn a_hole_is_cut_off_only_in_the_last_batch() {
        const HOLE: usize = 16;
        let (whole, starts) = four();
        // What takes the whole end of a batch with the beginning of the last one makes one of both.
        let last_end = starts[3] - (1 + SUM_BYTES as usize + TRAILER.len());
        let makes_one = |at| at <= last_end && at + HOLE > starts[3];
        for at in (0..whole.len() - HOLE).filter(|at| !makes_one(*at)) {
            let mut octets = whole.clone();
            octets[at..at + HOLE].fill(0);
            let folder = folder(&[&octets]);
            let settled = settle(folder.path());
            let left = fs::read(path(&folder, 1)).unwrap();
            match at < starts[3] {
                true => {
                    assert!(matches!(settled, Err(Unfit::Damaged(..))), "{at}");
                    assert!(left == octets);
                }
                false => {
                    settled.unwrap();
                    assert_eq!(batches(&left), 3, "{at}");
                }
            }
        }
    }

    #[test]
    fn an_older_journal_ends_where_a_younger_one_begins() {
        let (whole, starts) = four();
        let (older, younger) = whole.split_at(starts[2]);
        let cut = &older[..older.len() - 1];
        let padding = [0; 50];

        let good = folder(&[older, younger]);
        settle(good.path()).unwrap();

        let damaged = folder(&[cut, younger]);
        let Err(Unfit::Damaged(file, offset)) = settle(damaged.path()) else {
            panic!("acknowledged writes are gone");
        };
        assert_eq!((file, offset), (path(&damaged, 1), starts[1] as u64));
        assert!(fs::read(path(&damaged, 1)).unwrap() == cut);

        // It was set aside, and nothing came.
        let unfinished = folder(&[cut, &padding]);
        settle(unfinished.path()).unwrap();
        assert_eq!(fs::read(path(&unfinished, 1)).unwrap().len(), starts[1]);

        let exchanged = folder(&[younger, older]);
        assert!(matches!(settle(exchanged.path()), Err(Unfit::Damaged(..))));
    }

    #[test]
    fn the_journals_of_another_version_are_left_to_the_engine() {
        let (whole, _) = four();
        let cut = &whole[..whole.len() - 1];
        let folder = folder(&[cut]);
        fs::write(folder.path().join("version"), b"FJL\x04").unwrap();
        settle(folder.path()).unwrap();
        assert!(fs::read(path(&folder, 1)).unwrap() == cut);
    }
}
