//! The accounts file: read again whenever it changed, and replaced as a whole.
//!
//! Whoever changes it holds a lock (`<file>.lock`), writes the new list beside the old
//! one, makes it durable, reads it back, and only then renames it over the old one. So
//! a crash leaves the old list or the new one, and a running server takes over what
//! `account add` does beside it.

use super::AccountsError;
use super::as_owner::AsOwner;
use super::list::AccountList;
use rustix::fs::OFlags;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Octets of an accounts file (some hundred thousand accounts).
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Who may read the accounts file at most: its owner and a group.
const MODE_MAX: u32 = 0o640;

/// An accounts file that is read when it changed.
pub struct AccountsFile {
    path: PathBuf,
    last: Mutex<Option<(Stamp, Arc<AccountList>)>>,
}

/// What differs between two contents of the file: each has its own inode at its time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
}

impl AccountsFile {
    /// The accounts file at `path`, which need not exist yet.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            last: Mutex::new(None),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The accounts as they are now; a file that does not exist holds none. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn read(&self) -> Result<Arc<AccountList>, AccountsError> {
        match self.read_existing() {
            Err(AccountsError::Io(_, error)) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Arc::default())
            }
            read => read,
        }
    }

    /// The same, but a file that does not exist is an error: it may be on a disk that is
    /// not there just now. Blocks.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn read_existing(&self) -> Result<Arc<AccountList>, AccountsError> {
        let io = |error| self.io_error(error);
        let mut file = File::open(&self.path).map_err(io)?;
        let stamp = Stamp::of(&file).map_err(io)?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, list)) = &*last
            && *read == stamp
        {
            return Ok(Arc::clone(list));
        }
        let list = Arc::new(self.parse(&mut file)?);
        *last = Some((stamp, Arc::clone(&list)));
        Ok(list)
    }

    /// The accounts as they were when they were last read, without waiting for anything;
    /// every login reads them.
    #[must_use]
    pub fn last(&self) -> Option<Arc<AccountList>> {
        let last = self.last.try_lock().ok()?;
        last.as_ref().map(|(_, list)| Arc::clone(list))
    }

    /// Replaces the list by what `change` makes of it, one writer at a time; a file that does
    /// not exist is made. Blocks.
    ///
    /// # Errors
    /// Those of `change`; and when the file cannot be read or written, in which case
    /// the old list stays.
    pub fn edit<T>(
        &self,
        change: impl FnOnce(&AccountList) -> Result<(AccountList, T), AccountsError>,
    ) -> Result<T, AccountsError> {
        if let Some(folder) = self.path.parent().filter(|path| *path != Path::new("")) {
            fs::create_dir_all(folder).map_err(|error| self.io_error(error))?;
        }
        self.edit_at(change, |file| match file {
            Some(mut file) => self.parse(&mut file),
            None => Ok(AccountList::default()),
        })
    }

    /// The same, but a file that does not exist is an error. Blocks.
    ///
    /// # Errors
    /// As for [`edit`](Self::edit).
    pub fn edit_existing<T>(
        &self,
        change: impl FnOnce(&AccountList) -> Result<(AccountList, T), AccountsError>,
    ) -> Result<T, AccountsError> {
        self.edit_at(change, |file| match file {
            Some(mut file) => self.parse(&mut file),
            None => Err(self.io_error(io::ErrorKind::NotFound.into())),
        })
    }

    /// `read` is given the file if it is there.
    fn edit_at<T>(
        &self,
        change: impl FnOnce(&AccountList) -> Result<(AccountList, T), AccountsError>,
        read: impl FnOnce(Option<File>) -> Result<AccountList, AccountsError>,
    ) -> Result<T, AccountsError> {
        // Once for all that follows: the path may lead elsewhere a moment later.
        let real = self.real()?;
        let owner = AsOwner::of(folder_of(&real)).map_err(|error| self.io_error(error))?;
        let _lock = self.lock(&real)?;
        let file = match File::open(&real) {
            Ok(file) => Some(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(self.io_error(error)),
        };
        let (list, output) = change(&read(file)?)?;
        self.replace(&real, &owner, &list, |_| Ok(()))?;
        Ok(output)
    }

    /// Waits until nobody else changes the file.
    fn lock(&self, real: &Path) -> Result<File, AccountsError> {
        let path = beside(real, "lock");
        let io = |error| AccountsError::Io(path.clone(), error);
        let lock = private().open(&path).map_err(io)?;
        leave_to_owner(&lock, real, 0o600).map_err(io)?;
        lock.lock().map_err(io)?;
        Ok(lock)
    }

    /// `reached` is told each step before it is made; its error ends the replacement
    /// there, as a crash would.
    fn replace(
        &self,
        real: &Path,
        owner: &AsOwner,
        list: &AccountList,
        reached: impl Fn(Step) -> io::Result<()>,
    ) -> Result<(), AccountsError> {
        let io = |error| self.io_error(error);
        let new = beside(real, "new");
        reached(Step::Create).map_err(io)?;
        // Of a crash before this; whoever holds the lock may remove it.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let mut file = private().create_new(true).open(&new).map_err(io)?;
        let left = owner.as_before(|| leave_to_owner(&file, real, MODE_MAX));
        left.flatten().map_err(io)?;
        reached(Step::Write).map_err(io)?;
        file.write_all(list.to_text().as_bytes()).map_err(io)?;
        reached(Step::Sync).map_err(io)?;
        file.sync_all().map_err(io)?;
        reached(Step::Confirm).map_err(io)?;
        let written = self.parse(&mut File::open(&new).map_err(io)?)?;
        if written != *list {
            return Err(self.format_error("what was written reads differently".to_owned()));
        }
        reached(Step::Rename).map_err(io)?;
        fs::rename(&new, real).map_err(io)?;
        reached(Step::SyncFolder).map_err(io)?;
        File::open(folder_of(real))
            .and_then(|folder| folder.sync_all())
            .map_err(io)
    }

    fn parse(&self, file: &mut File) -> Result<AccountList, AccountsError> {
        let mut text = String::new();
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        // Half of a list would deny that the other accounts exist.
        if read.map_err(|error| self.io_error(error))? as u64 > FILE_BYTES_MAX {
            return Err(self.format_error("the file is too long".to_owned()));
        }
        AccountList::parse(&text).map_err(|reason| self.format_error(reason))
    }

    /// Where the file is that is replaced: the path may be a symbolic link, which stays one.
    fn real(&self) -> Result<PathBuf, AccountsError> {
        match fs::canonicalize(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            real => return real.map_err(|error| self.io_error(error)),
        }
        match fs::symlink_metadata(&self.path) {
            // To a disk that is not there just now, perhaps.
            Ok(_) => Err(self.io_error(io::Error::new(
                io::ErrorKind::NotFound,
                "the symbolic link leads to no file",
            ))),
            Err(_) => Ok(self.path.clone()),
        }
    }

    fn io_error(&self, error: io::Error) -> AccountsError {
        AccountsError::Io(self.path.clone(), error)
    }

    fn format_error(&self, reason: String) -> AccountsError {
        AccountsError::Format(self.path.clone(), reason)
    }
}

/// Gives a new file to whom the accounts file belongs, and to whom else may read that, up to `mode_max`: root may edit
/// it, and the server must still be able to.
fn leave_to_owner(file: &File, accounts: &Path, mode_max: u32) -> io::Result<()> {
    let old = match fs::metadata(accounts) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let new = file.metadata()?;
    let mut mode = old.mode() & mode_max | 0o600;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        match fchown(file, Some(old.uid()), Some(old.gid())) {
            Ok(()) => {}
            // Ours it can stay; but not for another group.
            Err(_) if new.uid() != 0 => mode = 0o600,
            Err(error) => {
                let why = format!(
                    "it cannot be given to the owner of the accounts file (user {}), who could not read it any \
                     more: {error}; do this as that user",
                    old.uid()
                );
                return Err(io::Error::new(error.kind(), why));
            }
        }
    }
    file.set_permissions(fs::Permissions::from_mode(mode))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// A step of replacing the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Create,
    Write,
    Sync,
    Confirm,
    Rename,
    SyncFolder,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

/// For files that only the server's user may read.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    // What stands there instead is not ours.
    options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::list::Entry;
    use restante_core::mailbox::AccountId;
    use std::os::unix::fs::PermissionsExt;

    fn entry(name: &str, number: u8) -> Entry {
        Entry {
            id: AccountId([number; 16]),
            names: vec![name.to_owned()],
            addresses: Vec::new(),
            public_key: [number; 32],
            inbox: None,
            restored_ms: None,
            bucket: None,
            slots: Vec::new(),
        }
    }

    fn add(file: &AccountsFile, name: &str, number: u8) -> Result<(), AccountsError> {
        file.edit(|list| {
            let list = list.changed(|entries| entries.push(entry(name, number)));
            Ok((
                list.map_err(|_| AccountsError::Exists(name.to_owned()))?,
                (),
            ))
        })
    }

    #[test]
    fn changes_of_another_process_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/accounts.toml");
        let server = AccountsFile::new(path.clone());
        assert!(server.read().unwrap().entries().is_empty(), "no file yet");
        add(&AccountsFile::new(path.clone()), "alice", 1).unwrap();
        let list = server.read().unwrap();
        assert!(list.find("alice").is_some());
        assert!(Arc::ptr_eq(&list, &server.read().unwrap()), "read twice");
        add(&AccountsFile::new(path.clone()), "bob", 2).unwrap();
        assert_eq!(server.read().unwrap().entries().len(), 2);
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn crash_at_any_step_leaves_the_old_list_or_the_new_one() {
        for (crash, left) in [
            (Step::Create, 1),
            (Step::Write, 1),
            (Step::Sync, 1),
            (Step::Confirm, 1),
            (Step::Rename, 1),
            (Step::SyncFolder, 2),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = AccountsFile::new(folder.path().join("accounts.toml"));
            add(&file, "alice", 1).unwrap();
            let old = file.read().unwrap();
            let new = old
                .changed(|entries| entries.push(entry("bob", 2)))
                .unwrap();
            let owner = AsOwner::of(folder_of(file.path())).unwrap();
            file.replace(file.path(), &owner, &new, |step| match step == crash {
                true => Err(io::Error::other("crash")),
                false => Ok(()),
            })
            .unwrap_err();
            let after = AccountsFile::new(file.path().to_owned());
            assert_eq!(after.read().unwrap().entries().len(), left, "{crash:?}");
            // And what the crash left behind is in nobody's way.
            add(&after, "carol", 3).unwrap();
            assert_eq!(after.read().unwrap().entries().len(), left + 1);
        }
    }

    #[test]
    fn link_stays_a_link_to_the_file_that_is_edited() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("shared")).unwrap();
        let target = AccountsFile::new(folder.path().join("shared/accounts.toml"));
        let link = AccountsFile::new(folder.path().join("link"));
        add(&target, "alice", 1).unwrap();
        std::os::unix::fs::symlink("shared/accounts.toml", link.path()).unwrap();
        add(&link, "bob", 2).unwrap();
        assert!(fs::symlink_metadata(link.path()).unwrap().is_symlink());
        assert_eq!(target.read().unwrap().entries().len(), 2);
        assert_eq!(link.read().unwrap().entries().len(), 2);
        // One lock for both ways to it.
        let names = fs::read_dir(folder.path()).unwrap();
        assert_eq!(names.count(), 2, "something beside the link");
        fs::remove_file(target.path()).unwrap();
        assert!(add(&link, "carol", 3).is_err(), "it may be elsewhere now");
        assert!(fs::symlink_metadata(link.path()).unwrap().is_symlink());
    }

    #[test]
    fn writers_wait_for_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts.toml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = path.clone();
                scope.spawn(move || {
                    add(&AccountsFile::new(path), &format!("user{number}"), number).unwrap();
                });
            }
        });
        assert_eq!(AccountsFile::new(path).read().unwrap().entries().len(), 8);
    }

    #[test]
    fn damaged_file_is_an_error_and_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let file = AccountsFile::new(folder.path().join("accounts.toml"));
        fs::write(file.path(), "version = 1\n[[account]]\nid = ").unwrap();
        assert!(file.read().is_err());
        assert!(add(&file, "alice", 1).is_err());
        let text = fs::read_to_string(file.path()).unwrap();
        assert!(text.ends_with("id = "));
    }

    #[test]
    fn who_edits_the_file_leaves_it_to_its_owner() {
        const SOMEBODY: u32 = 65_533;
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tested: giving files away needs root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = AccountsFile::new(folder.path().join("accounts.toml"));
        add(&file, "alice", 1).unwrap();
        std::os::unix::fs::chown(file.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        fs::remove_file(beside(file.path(), "lock")).unwrap();
        add(&file, "bob", 2).unwrap();
        for path in [file.path(), &beside(file.path(), "lock")] {
            let metadata = fs::metadata(path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (SOMEBODY, SOMEBODY));
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn who_else_may_read_the_file_may_do_so_after_an_edit() {
        const SERVER: u32 = 65_533;
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tested: giving files away needs root");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = AccountsFile::new(folder.path().join("accounts.toml"));
        add(&file, "alice", 1).unwrap();
        std::os::unix::fs::chown(file.path(), Some(0), Some(SERVER)).unwrap();
        let edited = |mode: u32| {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            file.edit(|list| Ok((list.clone(), ()))).unwrap();
            let metadata = fs::metadata(file.path()).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (0, SERVER));
            metadata.permissions().mode() & 0o777
        };
        for (mode, after) in [(0o640, 0o640), (0o666, 0o640), (0o600, 0o600)] {
            assert_eq!(edited(mode), after);
        }
        // In the server's own folder as well.
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::chown(folder.path(), Some(SERVER), Some(SERVER)).unwrap();
        fs::remove_file(beside(file.path(), "lock")).unwrap();
        assert_eq!(edited(0o640), 0o640);
    }

    #[test]
    fn root_follows_nothing_in_the_folder_of_another_user() {
        const SERVER: u32 = 65_533;
        if !rustix::process::geteuid().is_root() {
            eprintln!("not tested: giving files away needs root");
            return;
        }
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let shadow = root.path().join("shadow");
        fs::write(&shadow, "root's").unwrap();
        let folder = root.path().join("folder");
        fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(SERVER), Some(SERVER)).unwrap();
        let file = AccountsFile::new(folder.join("accounts.toml"));
        add(&file, "alice", 1).unwrap();
        let owner = |path: &Path| fs::symlink_metadata(path).unwrap().uid();
        assert_eq!(owner(file.path()), SERVER);
        let lock = beside(file.path(), "lock");
        assert_eq!(owner(&lock), SERVER);
        fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(&shadow, &lock).unwrap();
        add(&file, "bob", 2).unwrap_err();
        fs::remove_file(&lock).unwrap();
        // A link that somebody made on purpose leads to the file itself, in a folder of root's.
        let real = root.path().join("accounts.toml");
        fs::rename(file.path(), &real).unwrap();
        std::os::unix::fs::symlink(&real, file.path()).unwrap();
        add(&file, "bob", 2).unwrap();
        assert_eq!((owner(&real), owner(&shadow)), (SERVER, 0));
        assert_eq!(fs::read_to_string(&shadow).unwrap(), "root's");
        assert!(rustix::process::geteuid().is_root());
    }
}
