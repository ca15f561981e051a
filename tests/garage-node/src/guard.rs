//! What ends a process of a test, and removes its folder, when the test itself cannot: it may be
//! killed, and drops nothing then.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
};

/// What the guard runs: it learns the process that lives, and when its input ends,
/// which it does however the test process ends, it kills that one and cleans up.
const SCRIPT: &str = r#"pid=
while read -r line; do pid=$line; done
[ -z "$pid" ] || kill -KILL "$pid"
rm -rf "$1" || { sleep 1; rm -rf "$1"; }"#;

/// Guards one process at a time, and a folder. When it is dropped both are gone.
#[derive(Debug)]
pub struct Guard(Child);

impl Guard {
    /// Guards a folder, and no process yet.
    ///
    /// # Errors
    /// When sh(1) cannot be started.
    pub fn of(folder: &Path) -> Result<Self, String> {
        Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // An interrupt from the keyboard must not end the guard before its work.
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(|error| format!("sh cannot be started: {error}"))
    }

    /// This process was started.
    pub fn watch(&self, id: u32) {
        self.tell(&id.to_string());
    }

    /// The process has ended.
    pub fn forget(&self) {
        self.tell("");
    }

    fn tell(&self, line: &str) {
        // A guard that is gone can only be missed when this process dies as well.
        let _ = self
            .0
            .stdin
            .as_ref()
            .map(|mut pipe| pipe.write_all(format!("{line}\n").as_bytes()));
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // The end of its input sends the guard to remove the folder. Waiting for it is
        // all that is left to do, however it ends.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
