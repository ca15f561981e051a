//! The command line, the same for both binaries.
//!
//! `serve` and `demo` run a server; `account …` changes the accounts file, beside a
//! running server if there is one; `dns` shows the records to add for a domain; `fsck` and
//! `undelete` look after one account. Exit codes: 0 when everything went well, 1 when
//! something failed (the reason is on standard error) or `fsck` leaves problems, 2 for a
//! command line that makes no sense.

mod account;
mod demo;
mod descriptors;
mod dns;
mod logging;
mod notify;
mod serve;
mod sockets;
mod storage;
mod upkeep;

use crate::runtime::Runtime;
use clap::{Args, Parser, Subcommand};
use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

/// Whatever ends a command: its text is shown to the operator.
type Failure = Box<dyn Error + Send + Sync>;

/// An encrypted IMAP server: mail kept for you, sealed, until you call for it.
#[derive(Parser)]
#[command(version)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(ConfigFile),
    /// Run a server to try out, in a folder of its own, with the account `alice`.
    Demo {
        /// The folder; made if it is not there.
        #[arg(long, default_value = "./restante-data")]
        data: PathBuf,
        /// Where to listen, without TLS.
        #[arg(long, default_value = "127.0.0.1:1143")]
        imap: SocketAddr,
    },
    /// Add, list, remove and change accounts.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Show the DNS records by which mail programs find the servers of a domain.
    Dns {
        /// The domain, in ASCII.
        domain: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Check everything that is stored of an account.
    Fsck(upkeep::Fsck),
    /// Bring back messages that were expunged not too long ago.
    Undelete(upkeep::Undelete),
}

#[derive(Subcommand)]
enum AccountCommand {
    /// Make an account with new keys.
    Add {
        /// What it logs in as.
        name: String,
        #[command(flatten)]
        config: ConfigFile,
        /// Read the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        bucket: BucketOptions,
    },
    /// Show every account.
    List(ConfigFile),
    /// Forget an account and its keys: nobody can read its mail any more.
    Remove {
        /// What it logs in as.
        name: String,
        #[command(flatten)]
        config: ConfigFile,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Storage was put back from a backup: the next login to each account makes it safe to be shown again.
    Restored {
        /// What the accounts log in as.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        names: Vec<String>,
        /// Every account.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Further addresses of accounts: they get mail for them, but do not log in as that.
    #[command(subcommand)]
    Address(AddressCommand),
    /// Change a password; the present one is needed, because it opens the keys.
    Password {
        /// What it logs in as.
        name: String,
        #[command(flatten)]
        config: ConfigFile,
        /// Read the present password from the first line of standard input, the new one
        /// from the second.
        #[arg(long)]
        password_stdin: bool,
    },
}

/// Where the mail of one account is, if not in the bucket of all; all of it or nothing.
#[derive(Args)]
struct BucketOptions {
    /// Keep its mail in this bucket of the same Garage instead of the one in the
    /// configuration.
    #[arg(long, value_name = "NAME", requires_all = ["key_id", "secret_file"])]
    bucket: Option<String>,
    /// The key that may read and write the bucket.
    #[arg(long, value_name = "ID", requires = "bucket")]
    key_id: Option<String>,
    /// A file with the key's secret, which is copied into the accounts file.
    #[arg(long, value_name = "FILE", requires = "bucket")]
    secret_file: Option<PathBuf>,
}

#[derive(Subcommand)]
enum AddressCommand {
    /// Give an account a further address.
    Add {
        /// What the account logs in as.
        name: String,
        /// The address.
        address: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Take an address from whatever account has it.
    Remove {
        /// The address.
        address: String,
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
}

/// Does what the command line says, for the binary called `name`.
#[must_use]
pub fn main<R: Runtime>(name: &'static str) -> ExitCode {
    let result = match Line::parse().command {
        Command::Serve(file) => serve::serve::<R>(&file.config),
        Command::Demo { data, imap } => demo::demo::<R>(&data, imap),
        Command::Account(command) => account::run(command),
        Command::Dns { domain, config } => dns::run(&domain, &config.config),
        Command::Fsck(command) => upkeep::fsck::<R>(command),
        Command::Undelete(command) => upkeep::undelete::<R>(command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where nobody can be told, the exit code says it.
            let _untold = writeln!(io::stderr(), "{name}: {failure}");
            ExitCode::FAILURE
        }
    }
}
