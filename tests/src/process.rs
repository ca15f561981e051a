//! What `/proc` tells about a running server, and the signals it gets.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

/// How long a condition may take to come true on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A process of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pid(pub u32);

impl Pid {
    /// Resident memory in KiB (`VmRSS`).
    pub fn resident_kib(self) -> u64 {
        self.status_kib("VmRSS:")
    }

    /// The highest resident memory in KiB since [`Pid::reset_peak`] (`VmHWM`).
    pub fn peak_kib(self) -> u64 {
        self.status_kib("VmHWM:")
    }

    /// Makes the peak start again from the present level (proc(5), `clear_refs`).
    pub fn reset_peak(self) {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5")
            .expect("the server is ours, so its peak can be reset");
    }

    /// A field of `smaps_rollup`, in KiB: `Pss:`, `Private_Dirty:`, …
    pub fn rollup_kib(self, field: &str) -> u64 {
        number(&self.read("smaps_rollup"), field)
    }

    /// The names of its threads.
    pub fn threads(self) -> Vec<String> {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.0)) else {
            return Vec::new();
        };
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("comm")).ok())
            .map(|name| name.trim().to_owned())
            .collect()
    }

    /// What it is called.
    pub fn name(self) -> String {
        // One that has ended meanwhile has no name.
        let name = fs::read_to_string(format!("/proc/{}/comm", self.0));
        name.unwrap_or_default().trim().to_owned()
    }

    /// Whether it is there and has not ended.
    pub fn is_there(self) -> bool {
        // What is left of one that has ended has no command line.
        fs::read(format!("/proc/{}/cmdline", self.0)).is_ok_and(|line| !line.is_empty())
    }

    /// The processes that it started and that are there.
    ///
    /// # Panics
    /// Without `/proc`.
    pub fn children(self) -> Vec<Self> {
        let entries = fs::read_dir("/proc").expect("Linux has it").flatten();
        let processes = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        processes
            .map(Self)
            .filter(|process| process.parent() == Some(self))
            .collect()
    }

    fn parent(self) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).ok()?;
        let (_, after) = stat.rsplit_once(')')?;
        after.split_whitespace().nth(1)?.parse().ok().map(Self)
    }

    /// Octets read from files so far (`rchar`; what came by sockets is not among them).
    pub fn read_octets(self) -> u64 {
        number(&self.read("io"), "rchar:")
    }

    /// CPU time used so far, in clock ticks, of user and system together.
    pub fn cpu_ticks(self) -> u64 {
        let stat = self.read("stat");
        // The name, in brackets, may hold anything; count the fields after it.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        after
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|ticks| ticks.parse::<u64>().ok())
            .sum()
    }

    /// Waits until the process has used no CPU time for half a second.
    pub fn wait_until_idle(self) {
        let begin = Instant::now();
        let mut last = self.cpu_ticks();
        let mut since = Instant::now();
        while since.elapsed() < Duration::from_millis(500) && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(25));
            let now = self.cpu_ticks();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    }

    /// Sends a signal, by the name that kill(1) knows.
    pub fn signal(self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.0.to_string()])
            .status();
        assert!(
            status.is_ok_and(|status| status.success()),
            "kill -{name} {} failed",
            self.0
        );
    }

    fn status_kib(self, field: &str) -> u64 {
        number(&self.read("status"), field)
    }

    fn read(self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.0))
            .expect("a running process has its files in /proc")
    }
}

/// Waits for a condition by asking again, and says whether it came true in time.
pub fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn number(text: &str, field: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or_else(|| panic!("no field {field}"))
}
