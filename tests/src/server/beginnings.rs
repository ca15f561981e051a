//! What a server begins with: its accounts, its certificate, and what its configuration says whatever
//! its addresses are.

use std::{
    ffi::OsString,
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use restante_garage_node::unused_port;

use super::{Account, Flavour};
use crate::{
    binaries::{self, Profile},
    neighbours, tls,
};

/// The part of the configuration that does not depend on addresses.
///
/// Passwords are stretched very little: the tests log in hundreds of times, and a
/// large buffer of Argon2 that the allocator keeps would hide growth from the tests
/// that measure memory.
pub(super) fn configuration(folder: &Path, storage: &str, accounts: &Path) -> String {
    let (folder, accounts) = (folder.display(), accounts.display());
    format!(
        "[tls]\ncertificate = \"{folder}/certificate.pem\"\nkey = \"{folder}/key.pem\"\n\
         {storage}\
         [accounts]\nfile = \"{accounts}\"\n\
         [argon2]\nmemory_kib = 64\npasses = 1\n"
    )
}

/// The section `[storage]` for mail in a folder.
pub(super) fn embedded(folder: &Path) -> String {
    format!(
        "[storage]\nkind = \"embedded\"\nfolder = \"{}/data\"\n",
        folder.display()
    )
}

pub(super) fn accounts(flavour: Flavour) -> [Account; 2] {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let account = |name: String, password: &str| Account {
        name,
        password: password.to_owned(),
    };
    if matches!(flavour, Flavour::External(..)) {
        // Each test has its own user, since all of them share the one server.
        let begin = std::time::UNIX_EPOCH
            .elapsed()
            .map_or(0, |time| time.as_millis());
        let name = format!(
            "t{}-{begin}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        return [
            account(name.clone(), "hunter2"),
            account(format!("{name}-bob"), "hunter2"),
        ];
    }
    [
        account("alice".to_owned(), "hunter2"),
        account("bob".to_owned(), "swordfish"),
    ]
}

/// A file that every server begins with.
pub(super) struct Prepared {
    name: OsString,
    /// They matter for the key.
    permissions: fs::Permissions,
    octets: Vec<u8>,
}

impl Prepared {
    fn read(entry: &fs::DirEntry) -> std::io::Result<Self> {
        Ok(Self {
            name: entry.file_name(),
            permissions: entry.metadata()?.permissions(),
            octets: fs::read(entry.path())?,
        })
    }

    pub(super) fn write_into(&self, folder: &Path) -> std::io::Result<()> {
        let path = folder.join(&self.name);
        fs::write(&path, &self.octets)?;
        fs::set_permissions(&path, self.permissions.clone())
    }
}

/// What [`prepared`] made for a binary.
type PreparedFor = (Flavour, Profile, Arc<[Prepared]>);

/// Certificate and accounts, made once for each binary and written for every server. They
/// are kept in memory: what a static holds is never dropped, and a folder would stay.
pub(super) fn prepared(flavour: Flavour, profile: Profile) -> Result<Arc<[Prepared]>, String> {
    static PREPARED: Mutex<Vec<PreparedFor>> = Mutex::new(Vec::new());
    let mut prepared = PREPARED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut known = prepared.iter();
    if let Some((_, _, files)) =
        known.find(|(kind, built, _)| (*kind, *built) == (flavour, profile))
    {
        return Ok(Arc::clone(files));
    }
    let folder = tempfile::Builder::new()
        .prefix("restante-accounts-")
        .tempdir()
        .map_err(|error| error.to_string())?;
    let path = folder.path();
    tls::write_certificate(&path.join("certificate.pem"), &path.join("key.pem"));
    let config = path.join("restante.toml");
    let listener = format!(
        "[[imap]]\naddress = \"{}\"\ntls = \"none\"\n",
        unused_port()
    );
    let rest = configuration(path, &embedded(path), &path.join("accounts"));
    fs::write(&config, listener + &rest).map_err(|error| error.to_string())?;
    for account in accounts(flavour) {
        add_account(flavour, profile, &config, &account)?;
    }
    let files: std::io::Result<Arc<[Prepared]>> = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Prepared::read(&entry?)).collect());
    let files = files.map_err(|error| error.to_string())?;
    prepared.push((flavour, profile, Arc::clone(&files)));
    Ok(files)
}

pub(super) fn add_account(
    flavour: Flavour,
    profile: Profile,
    config: &Path,
    account: &Account,
) -> Result<(), String> {
    let mut program = Command::new(binaries::executable(flavour, profile)?);
    let program = program
        .args([
            "account",
            "add",
            &account.name,
            "--password-stdin",
            "--config",
        ])
        .arg(config);
    let output = neighbours::output_of_told(program, &format!("{}\n", account.password));
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`account add` ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    ))
}
