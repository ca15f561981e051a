//! The folder of a store: who has it open, which format it has, and what is where.
//!
//! ```text
//! format       "restante storage 1"
//! lock         held by flock while a process has the folder open; says which process
//! rows/        the engine: items, objects that are short, and where the others are
//! objects/xx/  bodies of long objects, one file each, by the last byte of their number
//! staging/     bodies that are being written, or were just finished
//! ```

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The format that this version writes and reads.
pub(super) const FOLDER_FORMAT: u32 = 1;
/// What stands before the number in the file `format`.
const FORMAT_NAME: &str = "restante storage ";

/// Why a folder cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has it, or this one twice.
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Which process, where it said so.
        process: Option<u32>,
    },
    /// A later version of Restante wrote it.
    LaterFormat {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u32,
    },
    /// There is something in it, and not from Restante.
    NotOurs {
        /// The folder.
        folder: PathBuf,
    },
    /// A file could not be read or written.
    Io {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The engine could not read its rows.
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// What the engine says, or who looked before it.
        why: String,
    },
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { folder, process } => {
                write!(f, "{} is in use by another Restante", folder.display())?;
                process.map_or(Ok(()), |process| write!(f, " (process {process})"))
            }
            Self::LaterFormat { folder, found } => write!(
                f,
                "{} was written by a later Restante (format {found}; this one reads {FOLDER_FORMAT})",
                folder.display()
            ),
            Self::NotOurs { folder } => write!(
                f,
                "{} is not empty and was not made by Restante",
                folder.display()
            ),
            Self::Io { path, error } => write!(f, "{}: {error}", path.display()),
            Self::Damaged { folder, why } => {
                write!(f, "{} cannot be read: {why}", folder.display())
            }
        }
    }
}

impl std::error::Error for OpenError {}

/// A folder that belongs to this process until this is dropped.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Takes a folder, and makes it where it does not exist.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let at = |error| OpenError::Io {
            path: path.to_owned(),
            error,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .map_err(at)?;
        let path = path.canonicalize().map_err(at)?;
        check_contents(&path)?;
        let lock = lock(&path)?;
        check_format(&path)?;
        for name in ["objects", "staging"] {
            make(&path.join(name))?;
        }
        Ok(Self { path, _lock: lock })
    }

    /// Makes it durable that the folder is there, and what is in it.
    pub(super) fn sync(&self) -> Result<(), OpenError> {
        // All that it is in: any of them may have been made with it.
        for parent in self.path.ancestors().skip(1) {
            // One that we may not open is somebody else's, who made it long ago.
            let _other = sync_folder(parent);
        }
        sync_folder(&self.path).map_err(|error| OpenError::Io {
            path: self.path.clone(),
            error,
        })
    }

    /// Where the engine is.
    pub(super) fn rows(&self) -> PathBuf {
        self.path.join("rows")
    }

    /// Where everything is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// A folder inside the store, made where it does not exist.
fn make(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(OpenError::Io {
            path: path.to_owned(),
            error,
        }),
        _ => Ok(()),
    }
}

/// Refuses a folder with somebody else's files, before anything is written there.
fn check_contents(path: &Path) -> Result<(), OpenError> {
    let at = |error| OpenError::Io {
        path: path.to_owned(),
        error,
    };
    let mut foreign = false;
    for entry in fs::read_dir(path).map_err(at)? {
        let name = entry.map_err(at)?.file_name();
        if name == "format" {
            return Ok(());
        }
        // What an interrupted first start leaves, and what mkfs leaves.
        foreign |= name != "lock" && name != "format.new" && name != "lost+found";
    }
    if foreign {
        return Err(OpenError::NotOurs {
            folder: path.to_owned(),
        });
    }
    Ok(())
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let at = |error| OpenError::Io {
        path: path.clone(),
        error,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(at)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only to name the other one: without a number the error is still right.
            let _unread = file.read_to_string(&mut holder);
            return Err(OpenError::InUse {
                folder: folder.to_owned(),
                process: holder.trim().parse().ok(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(at(error)),
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(at)?;
    Ok(file)
}

fn check_format(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join("format");
    let at = |error| OpenError::Io {
        path: path.clone(),
        error,
    };
    match fs::read_to_string(&path) {
        Ok(text) => {
            let number = text.trim_end().strip_prefix(FORMAT_NAME);
            match number.and_then(|number| number.parse::<u32>().ok()) {
                Some(found) if found > FOLDER_FORMAT => Err(OpenError::LaterFormat {
                    folder: folder.to_owned(),
                    found,
                }),
                Some(_) => Ok(()),
                None => Err(at(io::Error::new(
                    ErrorKind::InvalidData,
                    "this file does not say which format the folder has",
                ))),
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => write_format(folder).map_err(at),
        Err(error) => Err(at(error)),
    }
}

fn write_format(folder: &Path) -> io::Result<()> {
    let aside = folder.join("format.new");
    let mut file = File::create(&aside)?;
    writeln!(file, "{FORMAT_NAME}{FOLDER_FORMAT}")?;
    file.sync_all()?;
    fs::rename(&aside, folder.join("format"))?;
    sync_folder(folder)
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
