//! `demo`: a server to try out.
//!
//! Its folder gets a configuration file like any other server's, so that `account add`
//! and `serve` work with it too.

use super::{Failure, serve};
use crate::accounts::edit;
use crate::accounts::file::AccountsFile;
use crate::config::Config;
use crate::runtime::Runtime;
use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

const NAME: &str = "alice";
const PASSWORD: &str = "hunter2";
const CONFIG: &str = r#"# Written by `demo`; docs/restante.toml explains every key.
[[imap]]
address = "127.0.0.1:1143"
tls = "none"

[storage]
kind = "embedded"
folder = "storage"

[accounts]
file = "accounts.toml"
"#;

pub(super) fn demo<R: Runtime>(data: &Path, imap: SocketAddr) -> Result<(), Failure> {
    let cannot = |error| format!("{}: {error}", data.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .map_err(cannot)?;
    let file = data.join("restante.toml");
    if !file.exists() {
        fs::write(&file, CONFIG).map_err(cannot)?;
    }
    let mut config = Config::load(&file)?;
    for listener in &mut config.imap {
        listener.address = imap;
    }
    let accounts = AccountsFile::new(config.accounts.file.clone());
    if accounts.read()?.entries().is_empty() {
        edit::add(&accounts, NAME, PASSWORD, &config.argon2.params()?, None)?;
    }
    let config_file = file.display().to_string();
    serve::run::<R>(&config, move |addresses| {
        for address in addresses {
            println!(
                "IMAP on {address}, without TLS; mail is kept in {}",
                data.display()
            );
            println!("Log in as {NAME} with the password {PASSWORD}, for example:");
            println!(
                "  curl -u {NAME}:{PASSWORD} imap://{address}/INBOX -X 'STATUS INBOX (MESSAGES)'"
            );
        }
        println!("More accounts: account add NAME --config {config_file}");
        println!("Ctrl-C stops the server.");
    })
}
