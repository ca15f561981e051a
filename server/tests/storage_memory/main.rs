//! What a stream through the embedded storage takes in memory. Alone in its program,
//! because memory is counted for the whole process.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in #[test] only, not beside it"
)]

#[path = "../storage/fixture.rs"]
#[allow(dead_code, reason = "this program uses a part of it")]
mod fixture;

use fixture::{TestFolder, body, embedded, get, object, put};
use futures_lite::future::block_on;
use restante_server::storage::Storage as _;
use std::fs;

#[test]
fn a_stream_of_25_mb_takes_less_than_1_mib() {
    let folder = TestFolder::new();
    let storage = embedded(&folder.0);
    let chunk = body(1, 65_552);
    let stream = |name: &str| {
        block_on(async {
            let mut peak = 0;
            let mut sink = storage.create(object(name)).await.unwrap();
            for _ in 0..400 {
                sink.write(chunk.clone()).await.unwrap();
                peak = peak.max(resident());
            }
            sink.finish().await.unwrap();
            let mut opened = storage.open(object(name), 0, None, 65_552).await.unwrap();
            let mut left = opened.len - opened.chunk.len() as u64;
            while left > 0 {
                left -= opened.source.read(65_552).await.unwrap().len() as u64;
                peak = peak.max(resident());
            }
            peak
        })
    };
    // The first small use starts threads and allocator arenas.
    put(&storage, "warm", &body(2, 400_000)).unwrap();
    get(&storage, "warm").unwrap();
    let before = resident();
    let peak = stream("o");
    assert!(peak - before < 1024, "{} KiB", peak - before);
}

/// KiB of this process in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
