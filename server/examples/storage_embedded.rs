//! Measures the embedded backend as the server uses it. The figures are in
//! `docs/decisions/003-embedded-engine.md`.
//!
//! ```text
//! cargo run --release -p restante-server --example storage_embedded -- [FOLDER]
//! ```
//!
//! FOLDER (default: `./restante-data/bench-embedded`) is made and removed.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_lite::future::block_on;
use futures_util::StreamExt;
use futures_util::future::join;
use futures_util::stream;
use restante_core::storage::{
    InsertItem, ItemKey, ObjectKey, PartitionKey, SortKey, StorageError, StorageRequest,
    StorageResponse,
};
use restante_server::storage::Storage;
use restante_server::storage::embedded::{Embedded, EmbeddedConfig};

const CHUNK: u32 = 65_552;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1);
    let folder = folder.map_or_else(
        || PathBuf::from("restante-data/bench-embedded"),
        PathBuf::from,
    );
    let before = resident();
    let storage = open(&folder)?;
    println!("opened: +{} KiB", resident() - before);
    hop(&storage);
    block_on(appends(&storage)).map_err(|error| error.to_string())?;
    println!("after the appends: +{} KiB", resident() - before);
    block_on(together(&storage)).map_err(|error| error.to_string())?;
    block_on(concurrent_appends(&storage)).map_err(|error| error.to_string())?;
    block_on(fetch(&storage)).map_err(|error| error.to_string())?;
    block_on(large(&storage)).map_err(|error| error.to_string())?;
    println!("at the end: +{} KiB", resident() - before);
    drop(storage);
    let begin = Instant::now();
    let storage = open(&folder)?;
    println!("opened again in {:.0} ms", millis(begin));
    drop(storage);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn open(folder: &std::path::Path) -> Result<Embedded, Box<dyn Error>> {
    // Nothing here waits for a time.
    let sleeper = Arc::new(|_| Box::pin(std::future::pending()) as _);
    Ok(Embedded::open(folder, EmbeddedConfig::default(), sleeper)?)
}

/// What it costs to go to a thread and back: a read of nothing.
fn hop(storage: &Embedded) {
    let begin = Instant::now();
    for _ in 0..20_000 {
        block_on(storage.execute(StorageRequest::ReadItems(Vec::new())));
    }
    println!("hop to a thread and back: {:.1} µs", millis(begin) / 20.0);
}

fn item(partition: &str, number: usize, bytes: usize) -> InsertItem {
    InsertItem {
        key: ItemKey {
            partition: PartitionKey(partition.to_owned()),
            sort: SortKey(format!("{number:08}")),
        },
        token: None,
        value: noise(number, bytes),
    }
}

async fn put(storage: &Embedded, key: String, body: &Bytes) -> Result<(), StorageError> {
    let mut sink = storage.create(ObjectKey(key)).await?;
    for chunk in body.chunks(CHUNK as usize) {
        sink.write(body.slice_ref(chunk)).await?;
    }
    sink.finish().await
}

async fn get(storage: &Embedded, key: String) -> Result<u64, StorageError> {
    let mut opened = storage.open(ObjectKey(key), 0, None, CHUNK).await?;
    let mut read = opened.chunk.len() as u64;
    while read < opened.len {
        read += opened.source.read(CHUNK).await?.len() as u64;
    }
    Ok(read)
}

async fn append(storage: &Embedded, number: usize, body: &Bytes) -> Result<(), StorageError> {
    put(storage, name(number), body).await?;
    let items = vec![item("log", number, 200), item("summaries", number, 600)];
    expect_done(storage.execute(StorageRequest::InsertItems(items)).await)
}

fn expect_done(response: StorageResponse) -> Result<(), StorageError> {
    match response {
        StorageResponse::Failed(error) => Err(error),
        _ => Ok(()),
    }
}

/// Random names, as keys of messages are.
fn name(number: usize) -> String {
    format!(
        "user/{:016x}",
        (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    )
}

async fn appends(storage: &Embedded) -> Result<(), StorageError> {
    print!("appends/s by 1,000, one after another:");
    for window in 0..10 {
        let begin = Instant::now();
        for number in window * 1_000..(window + 1) * 1_000 {
            append(storage, number, &noise(number, 5_000)).await?;
        }
        print!(" {:.0}", 1e6 / millis(begin));
    }
    println!();
    Ok(())
}

/// Whether an object and the items about it, asked for at once, share a commit. In
/// turns, because the speed of a disk changes while one looks.
async fn together(storage: &Embedded) -> Result<(), StorageError> {
    let (mut apart, mut joined) = (0.0, 0.0);
    for number in 50_000..51_000 {
        let body = noise(number, 5_000);
        let begin = Instant::now();
        append(storage, number, &body).await?;
        apart += millis(begin);
        let number = number + 1_000;
        let items = vec![item("log", number, 200), item("summaries", number, 600)];
        let begin = Instant::now();
        let object = put(storage, name(number), &body);
        let items = storage.execute(StorageRequest::InsertItems(items));
        let (object, items) = join(object, items).await;
        object.and(expect_done(items))?;
        joined += millis(begin);
    }
    println!(
        "object and items asked for at once: {:.2} of the time",
        joined / apart
    );
    Ok(())
}

async fn concurrent_appends(storage: &Embedded) -> Result<(), StorageError> {
    let begin = Instant::now();
    let mut appends = stream::iter(20_000..24_000)
        .map(|number| async move { append(storage, number, &noise(number, 5_000)).await })
        .buffer_unordered(16);
    while let Some(result) = appends.next().await {
        result?;
    }
    println!("appends/s, 16 at once: {:.0}", 4e6 / millis(begin));
    Ok(())
}

/// 100 messages of 19 MB together: 60 short, 40 long ones.
async fn fetch(storage: &Embedded) -> Result<(), StorageError> {
    let size = |number: usize| if number % 5 < 3 { 20_000 } else { 445_000 };
    for number in 0..100 {
        put(
            storage,
            format!("fetch/{number}"),
            &noise(number, size(number)),
        )
        .await?;
    }
    for at_once in [1, 8] {
        let begin = Instant::now();
        let mut reads = stream::iter(0..100)
            .map(|number| get(storage, format!("fetch/{number}")))
            .buffered(at_once);
        let mut bytes = 0;
        while let Some(read) = reads.next().await {
            bytes += read?;
        }
        println!(
            "fetch of {bytes} bytes, {at_once} at once: {:.1} ms",
            millis(begin)
        );
    }
    Ok(())
}

async fn large(storage: &Embedded) -> Result<(), StorageError> {
    let body = noise(1, 25 << 20);
    let before = resident();
    let begin = Instant::now();
    for number in 0..8 {
        put(storage, format!("large/{number}"), &body).await?;
    }
    println!("writing 25 MiB: {:.0} MiB/s", 2e5 / millis(begin));
    let begin = Instant::now();
    for number in 0..8 {
        get(storage, format!("large/{number}")).await?;
    }
    println!("reading 25 MiB: {:.0} MiB/s", 2e5 / millis(begin));
    println!("memory: +{} KiB", resident().saturating_sub(before));
    Ok(())
}

/// Bytes that do not compress, the same on every run.
fn noise(seed: usize, bytes: usize) -> Bytes {
    let mut state = (seed as u64).wrapping_mul(2) + 1;
    let mut out = Vec::with_capacity(bytes + 8);
    while out.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes());
    }
    out.truncate(bytes);
    Bytes::from(out)
}

fn millis(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1e3
}

/// KiB of this process in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
