//! Root acts as whom a folder belongs to, while it changes files there.
//!
//! Whoever owns a folder decides what its names lead to, at any moment. Were root to open a file in the
//! folder of the server's user as root, a server that somebody took over could have it follow a link, and
//! change or give away a file of the system.

use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{set_thread_res_gid, set_thread_res_uid};
use std::fs;
use std::io;
use std::marker::PhantomData;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As long as it is there, this thread opens and makes files as that user. Nobody but root can do so, so for others
/// it does nothing.
pub(super) struct AsOwner {
    /// As whom it goes on afterwards.
    before: Option<(Uid, Gid)>,
    /// It belongs to the thread.
    _thread: PhantomData<*const ()>,
}

impl AsOwner {
    /// Acts as the owner of a folder.
    ///
    /// # Errors
    /// When the folder is not there, or the system does not let us.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        let owner = fs::metadata(folder)?;
        let before = (geteuid(), getegid());
        let mut acting = Self {
            before: None,
            _thread: PhantomData,
        };
        if before.0.is_root() && owner.uid() != 0 {
            // What is not done is undone by the drop.
            acting.before = Some(before);
            change_to(
                Uid::from_raw(owner.uid()),
                Gid::from_raw(owner.gid()),
                false,
            )?;
        }
        Ok(acting)
    }
}

impl AsOwner {
    /// Does something as who it was before: only root may give a file away. Of a file that is open and that was made
    /// here it matters nothing what its name leads to.
    pub(super) fn as_before<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        let Some((uid, gid)) = self.before else {
            return Ok(work());
        };
        let acting = (geteuid(), getegid());
        change_to(uid, gid, true)?;
        let done = work();
        change_to(acting.0, acting.1, false)?;
        Ok(done)
    }
}

/// Goes on as that user. Only root may change the group, so who becomes root changes the user first, and who
/// ceases to be root last.
fn change_to(uid: Uid, gid: Gid, becomes_root: bool) -> io::Result<()> {
    if becomes_root {
        set_thread_res_uid(None, uid, None)?;
    }
    set_thread_res_gid(None, gid, None)?;
    if !becomes_root {
        set_thread_res_uid(None, uid, None)?;
    }
    Ok(())
}

impl Drop for AsOwner {
    fn drop(&mut self) {
        if let Some((uid, gid)) = self.before {
            let back = change_to(uid, gid, true);
            // The real user is root still, who may.
            debug_assert!(back.is_ok(), "{back:?}");
        }
    }
}
