//! From functions of a server to trials: each runs on both binaries.

use std::{
    os::unix::fs::MetadataExt,
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::{
    Flavour, Server,
    binaries::{self, Profile},
    client,
    garage::Storage,
    neighbours::Program,
    server::{self, Options},
};

/// What a test cannot run without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A server process of ours, to stop, kill, measure or look into.
    OwnProcess,
    /// A program.
    Program(Program),
    /// A file that is no program, and the Debian package that brings it.
    File(&'static str, &'static str),
    /// A folder beside the workspace: `bench`, `corpus`.
    Shared(&'static str),
    /// To be root, and allowed to mount a file system.
    Mounting,
    /// To be root, for a program that becomes somebody else.
    Root,
    /// An address of this machine other than the loopback's.
    OutwardAddress,
    /// `/proc` as Linux has it.
    Proc,
}

impl Need {
    /// Whether the machine that runs `.ci/run` must have it: what can be installed or lies
    /// beside every checkout, and where that is run by root what only root has.
    fn belongs_to_ci(self) -> bool {
        match self {
            Self::Program(_) | Self::File(..) | Self::Shared(_) => true,
            Self::Root | Self::Mounting | Self::OutwardAddress => is_root(),
            Self::OwnProcess | Self::Proc => false,
        }
    }

    /// A sentence saying what is missing, if it is.
    fn missing(self, flavour: Flavour) -> Option<String> {
        let own = !matches!(flavour, Flavour::External(..));
        match self {
            Self::OwnProcess => (!own).then(|| "needs a server process of its own".to_owned()),
            Self::Program(program) => program
                .path()
                .is_none()
                .then(|| format!("install {}", program.package)),
            Self::File(path, package) => {
                (!std::path::Path::new(path).exists()).then(|| format!("install {package}"))
            }
            Self::Shared(name) => binaries::shared(name).err(),
            Self::Mounting => {
                (!may_mount()).then(|| "needs root, to mount a small file system".to_owned())
            }
            Self::Root => (!is_root()).then(|| "needs root".to_owned()),
            Self::OutwardAddress => server::find_outward_address()
                .is_none()
                .then(|| "needs an address besides the loopback's".to_owned()),
            Self::Proc => (!cfg!(target_os = "linux")).then(|| "needs Linux's /proc".to_owned()),
        }
    }
}

/// One test: a name and a function of a fresh server.
#[derive(Clone, Copy)]
pub struct Test {
    name: &'static str,
    body: fn(&Server),
    needs: &'static [Need],
    options: Options,
    /// Absent where any storage will do.
    storage: Option<Storage>,
}

impl Test {
    /// A test that needs nothing special. The macro [`tests`](crate::tests) names it.
    pub const fn new(name: &'static str, body: fn(&Server)) -> Self {
        Self {
            name,
            body,
            needs: &[],
            options: server::PLAIN,
            storage: None,
        }
    }

    /// The same test, with what it cannot run without.
    #[must_use]
    pub const fn needs(mut self, needs: &'static [Need]) -> Self {
        self.needs = needs;
        self
    }

    /// The same test, with lines for the section `[limits]`. Such a test needs a
    /// process of its own.
    #[must_use]
    pub const fn limits(mut self, limits: &'static str) -> Self {
        self.options.limits = limits;
        self
    }

    /// The same test, on this storage only.
    #[must_use]
    pub const fn storage(mut self, storage: Storage) -> Self {
        self.storage = Some(storage);
        self
    }

    /// The same test, with lines for the section `[storage.limits]` where that is Garage.
    #[must_use]
    pub const fn storage_limits(mut self, limits: &'static str) -> Self {
        self.options.storage_limits = limits;
        self
    }

    /// The same test, on optimised binaries.
    #[must_use]
    pub const fn release(mut self) -> Self {
        self.options.profile = Profile::Release;
        self
    }

    /// The same test, with a listener on an address that is not the loopback's.
    #[must_use]
    pub const fn outward(mut self) -> Self {
        self.options.outward = true;
        self
    }

    fn full_name(&self, flavour: Flavour, subject: &str) -> String {
        let storage = match self.options.storage {
            Storage::Embedded => "",
            Storage::Garage | Storage::OwnGarage | Storage::ThreeNodes => "-garage",
        };
        format!("{}{storage}::{subject}::{}", flavour.name(), self.name)
    }

    fn needs_own_process(&self) -> bool {
        !self.options.limits.is_empty()
            || self.options.outward
            || self.options.storage != Storage::Embedded
            || self.options.profile == Profile::Release
    }

    fn missing(&self, flavour: Flavour) -> Option<(Need, String)> {
        let own = self.needs_own_process().then_some(Need::OwnProcess);
        let mut needs = own.iter().chain(self.needs);
        needs.find_map(|need| Some((*need, need.missing(flavour)?)))
    }

    fn run(&self, flavour: Flavour) -> Result<Completion, Failed> {
        if let Some((needed, sentence)) = self.missing(flavour) {
            return if is_ci() && needed.belongs_to_ci() {
                Err(format!("nothing may be skipped with CI=true: {sentence}").into())
            } else {
                Ok(Completion::ignored_with(sentence))
            };
        }
        let server = Server::start(flavour, self.options)?;
        client::take_transcripts();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (self.body)(&server);
            finish(&server);
        }));
        outcome
            .map(|()| Completion::Completed)
            .map_err(|panic| report(&server, panic.as_ref()))
    }
}

/// Tests of one subject.
pub type Subject = (&'static str, &'static [Test]);

/// Names functions of `&Server` as tests: `tests![first, second => limits("…")]`.
#[macro_export]
macro_rules! tests {
    ($($body:ident $(=> $($method:ident($($argument:expr),*)).+)?),+ $(,)?) => {
        &[$($crate::Test::new(stringify!($body), $body)$($(.$method($($argument),*))+)?),+]
    };
}

/// Runs the tests of all subjects on every flavour, as `cargo test` asks.
pub fn run(subjects: &[Subject]) -> ExitCode {
    run_on(
        threads(),
        Profile::SameAsTests,
        &[Storage::Embedded],
        subjects,
    )
}

/// Like [`run`], with each test in a folder and in Garage, unless it names its storage.
pub fn run_on_every_storage(subjects: &[Subject]) -> ExitCode {
    run_on(
        threads(),
        Profile::SameAsTests,
        &[Storage::Embedded, Storage::Garage],
        subjects,
    )
}

/// Most tests wait for a disk or another process, so a few more than there are
/// processors go on at a time.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from) * 2
}

/// Like [`run_on_every_storage`], one test after the other and on optimised binaries,
/// since they measure.
pub fn run_one_by_one(subjects: &[Subject]) -> ExitCode {
    let storages = [Storage::Embedded, Storage::Garage];
    run_on(1, Profile::Release, &storages, subjects)
}

fn run_on(
    threads: usize,
    profile: Profile,
    storages: &[Storage],
    subjects: &[Subject],
) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    let mut trials = Vec::new();
    for flavour in Flavour::all() {
        // Before the first test, so that a failure to build is told once.
        let own = !matches!(flavour, Flavour::External(..));
        if own
            && !arguments.list
            && let Err(why) = binaries::executable(flavour, profile)
        {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
        for (subject, tests) in subjects {
            for &(mut test) in *tests {
                let fixed = test.storage;
                for &storage in fixed.as_ref().map_or(storages, std::slice::from_ref) {
                    // Another server has its own storage, which is that of a folder to us.
                    if storage != Storage::Embedded && !own {
                        continue;
                    }
                    test.options.storage = storage;
                    let name = test.full_name(flavour, subject);
                    trials.push(Trial::ignorable_test(name, move || test.run(flavour)));
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Every test ends with a server that stops when asked and never panicked.
fn finish(server: &Server) {
    if matches!(server.flavour, Flavour::External(..)) {
        return;
    }
    if server.is_running() {
        server.stop();
    }
    server.never_panicked();
}

/// Whether this run decides about a change (`CI=true`): nothing that could be there is skipped,
/// and chance begins where it did the last time.
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

fn report(server: &Server, panic: &(dyn std::any::Any + Send)) -> Failed {
    const LOG_BYTES_MAX: usize = 3_000;
    let message = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "a panic without a message".to_owned());
    let mut text = message;
    for transcript in client::take_transcripts() {
        text += &format!("\n--- conversation ---\n{transcript}");
    }
    let log = server.log();
    let mut cut = log.len().saturating_sub(LOG_BYTES_MAX);
    while !log.is_char_boundary(cut) {
        cut += 1;
    }
    text += &format!("\n--- end of the server's log ---\n{}", &log[cut..]);
    text.into()
}

/// Whether this process is root.
fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Whether this process may mount a file system: root in some containers may not.
fn may_mount() -> bool {
    // A mount namespace of its own, so that the trial leaves nothing behind.
    std::process::Command::new("unshare")
        .args(["--mount", "mount", "-t", "tmpfs", "restante-test", "/mnt"])
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
