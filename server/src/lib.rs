//! What both Restante binaries share and what is not pure: configuration, accounts,
//! storage backends, TLS, the command line, and the loops that drive the core.
//!
//! Everything here is written once over [`runtime::Runtime`]; a binary is that trait
//! for one async runtime and a call of [`cli::main`].

pub mod accounts;
pub mod autodiscovery;
pub mod cli;
pub mod config;
pub mod driver;
mod permits;
pub mod runtime;
pub mod secret;
pub mod seed;
pub mod storage;
pub mod tls;
mod toml_file;
