#![no_main]

// The server's crate has much that is of no use here and takes minutes to build.
#[path = "../../server/src/autodiscovery/mod.rs"]
#[allow(dead_code, unused_imports)]
mod autodiscovery;
#[path = "../src/discovery.rs"]
mod discovery;
#[path = "../src/source.rs"]
#[allow(dead_code)]
mod source;

libfuzzer_sys::fuzz_target!(|data: &[u8]| discovery::run(data));
