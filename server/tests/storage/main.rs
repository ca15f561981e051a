//! Storage through its trait and its desk: one suite for every backend, and what only
//! the embedded one promises (crashes, full disks, damage).

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows it in #[test] only, not beside it"
)]

mod conformance;
mod crash;
mod desk;
mod embedded;
mod fixture;
mod garage;
mod runtime;
mod tls_front;
