//! Other programs on this machine: which are there, and running them.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

/// A program and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name of the executable.
    pub name: &'static str,
    /// The package to install.
    pub package: &'static str,
}

impl Program {
    /// Python 3, for imaplib and the mailboxes of the benchmarks.
    pub const PYTHON: Self = Self {
        name: "python3",
        package: "python3",
    };
    /// The Python 3 that Debian's packages bring modules for.
    pub const SYSTEM_PYTHON: Self = Self {
        name: "/usr/bin/python3",
        package: "python3",
    };
    /// mbsync, the synchroniser.
    pub const MBSYNC: Self = Self {
        name: "mbsync",
        package: "isync",
    };
    /// neomutt, the mail reader.
    pub const NEOMUTT: Self = Self {
        name: "neomutt",
        package: "neomutt",
    };
    /// mutt, the mail reader.
    pub const MUTT: Self = Self {
        name: "mutt",
        package: "mutt",
    };
    /// tmux, the terminal that a mail reader draws on.
    pub const TMUX: Self = Self {
        name: "tmux",
        package: "tmux",
    };
    /// curl with IMAP.
    pub const CURL: Self = Self {
        name: "curl",
        package: "curl",
    };
    /// offlineimap, the other synchroniser.
    pub const OFFLINEIMAP: Self = Self {
        name: "offlineimap",
        package: "offlineimap3",
    };
    /// Thunderbird, the mail program with windows.
    pub const THUNDERBIRD: Self = Self {
        name: "thunderbird",
        package: "thunderbird",
    };
    /// PHP, which webmail is written in.
    pub const PHP: Self = Self {
        name: "php",
        package: "php-cli",
    };
    /// Postfix, the mail server.
    pub const POSTFIX: Self = Self {
        name: "postfix",
        package: "postfix",
    };
    /// openssl, for signatures.
    pub const OPENSSL: Self = Self {
        name: "openssl",
        package: "openssl",
    };
    /// mount, for a file system that is soon full.
    pub const MOUNT: Self = Self {
        name: "mount",
        package: "mount",
    };

    /// Where the program is, if it is on the `PATH`.
    pub fn path(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path)
            .map(|folder| folder.join(self.name))
            .find(|file| file.is_file())
    }

    /// A command that runs the program.
    pub fn command(self) -> Command {
        Command::new(self.name)
    }
}

/// How long a mail client may take for one run.
const RUN_TIME_MAX: Duration = Duration::from_secs(180);

/// Runs a program to its end, with a time limit, and returns what it wrote.
///
/// # Panics
/// When it takes longer than three minutes.
pub fn output(command: &mut Command) -> Output {
    end(command.stdin(Stdio::null()), "")
}

/// The same of a program that is told some lines.
///
/// # Panics
/// When it takes longer than three minutes.
pub fn output_of_told(command: &mut Command, lines: &str) -> Output {
    end(command.stdin(Stdio::piped()), lines)
}

fn end(command: &mut Command, lines: &str) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was found before");
    let what = format!("{command:?}");
    let pid = child.id();
    let watch = Watch::new(pid);
    if let Some(mut input) = child.stdin.take() {
        // One that ends at once has not read it, and says why.
        let _ = input.write_all(lines.as_bytes());
    }
    let output = wait(child);
    assert!(!watch.stop(), "{what} took longer than {RUN_TIME_MAX:?}");
    output
}

/// Runs a program, which must succeed.
pub fn success(command: &mut Command) -> String {
    let what = format!("{command:?}");
    let output = output(command);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what} ended with {}:\n{out}\n{err}",
        output.status
    );
    out
}

/// The folder of the Python scripts that speak to the server.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients")
}

fn wait(child: Child) -> Output {
    child.wait_with_output().expect("a child can be waited for")
}

/// Kills a child that takes too long, so that a hanging client cannot hang the suite.
struct Watch {
    done: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watch {
    fn new(pid: u32) -> Self {
        let (done, finished) = std::sync::mpsc::channel::<()>();
        let begin = Instant::now();
        let thread = std::thread::spawn(move || {
            let late = finished.recv_timeout(RUN_TIME_MAX.saturating_sub(begin.elapsed()));
            let late = matches!(late, Err(std::sync::mpsc::RecvTimeoutError::Timeout));
            if late {
                crate::process::Pid(pid).signal("KILL");
            }
            late
        });
        Self { done, thread }
    }

    /// Ends the watch, and says whether it had to kill.
    fn stop(self) -> bool {
        // The thread may have ended already, which is what is asked next.
        let _ = self.done.send(());
        self.thread.join().expect("the watch does not panic")
    }
}

/// Base64 (RFC 4648 §4), for SASL.
pub fn base64(octets: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in octets.chunks(3) {
        let bits = group
            .iter()
            .fold(0_u32, |bits, &octet| bits << 8 | u32::from(octet))
            << (8 * (3 - group.len()));
        for place in 0..4 {
            let sextet = (bits >> (18 - 6 * place)) & 63;
            out.push(if place <= group.len() {
                char::from(ALPHABET[sextet as usize])
            } else {
                '='
            });
        }
    }
    out
}
