//! A Garage process in a folder of its own.

use std::{
    fs::{self, OpenOptions},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Guard, executable};

/// A folder and the process that keeps its data there.
pub(crate) struct Process {
    folder: PathBuf,
    guard: Guard,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// A fresh folder, and nothing running yet.
    pub(crate) fn new() -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("restante-garage-")
            .tempdir()
            .map_err(|error| error.to_string())?
            .keep();
        match Guard::of(&folder) {
            Ok(guard) => Ok(Self {
                folder,
                guard,
                child: Mutex::new(None),
            }),
            Err(error) => {
                // The folder is empty and the failure is reported.
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything that the process has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Starts `garage server` on the configuration in the folder.
    pub(crate) fn start(&self, arguments: &[&str]) -> Result<(), String> {
        let mut child = self.child();
        assert!(child.is_none(), "the node runs already");
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("log"))
            .map_err(|error| error.to_string())?;
        let started = Command::new(executable()?)
            .arg("-c")
            .arg(self.folder.join("garage.toml"))
            .arg("server")
            .args(arguments)
            .env("RUST_LOG", "garage=info")
            .env("NO_COLOR", "1")
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(|error| error.to_string())?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .map_err(|error| format!("Garage cannot be started: {error}"))?;
        self.guard.watch(started.id());
        *child = Some(started);
        Ok(())
    }

    pub(crate) fn id(&self) -> u32 {
        self.child().as_ref().expect("the node runs").id()
    }

    /// Whether the process is there, asleep or not.
    pub(crate) fn is_running(&self) -> bool {
        self.child()
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Whether no thread of the process runs any more, after SIGSTOP.
    pub(crate) fn is_stopped(&self) -> bool {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()));
        let mut tasks = tasks.into_iter().flatten().flatten();
        tasks.all(|task| {
            // A thread that has just ended does not run either.
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let state = status.lines().find_map(|line| line.strip_prefix("State:"));
            state.is_none_or(|state| state.trim_start().starts_with('T'))
        })
    }

    /// Sends a signal by the name that kill(1) knows.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &id.to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "kill -{name} {id} failed"
        );
    }

    /// Kills the process if it runs, and waits until it is gone.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        if let Some(mut child) = child.take() {
            // Also ends a process that is stopped; one that has ended by itself is no fault here.
            let _ = child.kill();
            let _ = child.wait();
        }
        self.guard.forget();
    }

    /// Forgets a process that has ended by itself.
    pub(crate) fn forget_ended(&self) {
        *self.child() = None;
        self.guard.forget();
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        // A test that panicked while holding the lock has failed already.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard removes the folder.
        self.kill();
    }
}
