//! The harness of Restante's conformance suites.
//!
//! Every suite in `tests/` speaks to a real server process, and every test runs
//! twice: as `tokio::…` against `restante-tokio` and as `smol::…` against
//! `restante-smol`. A test is a function of [`Server`]; [`run`] makes the trials,
//! starts a fresh server in its own folder for each, and afterwards asks it to
//! stop, which must succeed and must leave no panic in the log.
//!
//! A suite that runs on every storage does so a second time as `tokio-garage::…` and
//! `smol-garage::…`, each test in a fresh bucket of a real Garage.
//!
//! A test that needs a program this machine does not have is shown as ignored,
//! with the name of the package to install. With `CI=true` it fails instead, so
//! that nothing is skipped unseen where it counts.
//!
//! To try the scripts themselves against another server, set
//! `RESTANTE_TEST_ADDRESS=127.0.0.1:143` (and `RESTANTE_TEST_TLS_ADDRESS` for
//! implicit TLS). It must accept any user name with the password `hunter2`; tests
//! that need to own the process are then ignored.

pub mod auth;
pub mod binaries;
pub mod client;
pub mod garage;
pub mod http;
pub mod lmtp;
pub mod model;
pub mod neighbours;
pub mod postfix;
pub mod process;
pub mod reply;
pub mod samples;
pub mod server;
pub mod tls;
pub mod trials;
pub mod value;

pub use client::Client;
pub use garage::Storage;
pub use lmtp::Lmtp;
pub use reply::{Fetch, Reply, Response, Status};
pub use server::{Flavour, Server};
pub use trials::{Test, run};
pub use value::Value;
