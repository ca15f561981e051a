//! A server process under test, in its own folder, with its own accounts.

mod beginnings;
mod panics;

use std::{
    fs::{self, OpenOptions},
    io::Read as _,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use restante_garage_node::{Guard, unused_port};

pub use panics::panic_in;

use beginnings::{accounts, add_account, configuration, embedded, prepared};

use crate::{
    Client, Lmtp,
    binaries::{self, Profile},
    garage::{Garage, Storage},
    process::{PATIENCE, Pid},
};

/// Which binary is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// `restante-tokio`.
    Tokio,
    /// `restante-smol`.
    Smol,
    /// Another server, for checking the tests themselves.
    External(SocketAddr, Option<SocketAddr>),
}

impl Flavour {
    /// The flavours to test: both binaries, or the one server named by the environment.
    pub fn all() -> Vec<Self> {
        let address = |name| {
            std::env::var(name)
                .ok()
                .map(|value| value.parse().expect("an address with a port"))
        };
        match address("RESTANTE_TEST_ADDRESS") {
            Some(plain) => vec![Self::External(plain, address("RESTANTE_TEST_TLS_ADDRESS"))],
            None => vec![Self::Tokio, Self::Smol],
        }
    }

    /// The first part of a test's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::Smol => "smol",
            Self::External(..) => "external",
        }
    }

    /// The name of the executable.
    pub fn binary(self) -> &'static str {
        match self {
            Self::Tokio => "restante-tokio",
            Self::Smol => "restante-smol",
            Self::External(..) => unreachable!("another server is not started here"),
        }
    }
}

/// Someone who may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user name.
    pub name: String,
    /// The password.
    pub password: String,
}

/// What a server is started with.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How the binary is built.
    pub profile: Profile,
    /// Lines for the section `[limits]` of the configuration.
    pub limits: &'static str,
    /// Where mail is kept.
    pub storage: Storage,
    /// Lines for the section `[storage.limits]`, for Garage only.
    pub storage_limits: &'static str,
    /// Also listen on this machine's address that is not the loopback.
    pub outward: bool,
}

/// The options of most tests.
pub const PLAIN: Options = Options {
    profile: Profile::SameAsTests,
    limits: "",
    storage: Storage::Embedded,
    storage_limits: "",
    outward: false,
};

/// A running server. When it is dropped its process is killed.
pub struct Server {
    /// Which binary it is.
    pub flavour: Flavour,
    /// The account that the tests use.
    pub alice: Account,
    /// Another account.
    pub bob: Account,
    options: Options,
    /// Kills the process and removes the folder where this one is killed itself.
    guard: Guard,
    folder: tempfile::TempDir,
    /// The accounts file, which servers on the same storage share.
    accounts: PathBuf,
    garage: Option<Arc<Garage>>,
    /// Which of the nodes of Garage it speaks to.
    node: usize,
    state: Mutex<State>,
}

struct State {
    child: Option<Child>,
    plain: SocketAddr,
    tls: Option<SocketAddr>,
    outward: Option<SocketAddr>,
    lmtp: Option<SocketAddr>,
    auth: Option<SocketAddr>,
    /// In the clear and in TLS.
    http: Option<[SocketAddr; 2]>,
}

impl Server {
    /// Starts a server with two accounts in a fresh folder.
    ///
    /// # Errors
    /// What cargo or the server said.
    pub fn start(flavour: Flavour, options: Options) -> Result<Self, String> {
        let garage = Garage::start(options.storage)?;
        Self::on(flavour, options, garage, 0, None)
    }

    /// Starts another server on the same storage with the same accounts, in a folder
    /// of its own. Only Garage serves two.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn second(&self) -> Self {
        self.second_at(self.node)
    }

    /// The same, which speaks to this one of three nodes.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn second_at(&self, node: usize) -> Self {
        let (garage, accounts) = (self.garage.clone(), self.accounts.clone());
        Self::on(self.flavour, self.options, garage, node, Some(accounts))
            .expect("a second server on the same storage starts")
    }

    fn on(
        flavour: Flavour,
        options: Options,
        garage: Option<Arc<Garage>>,
        node: usize,
        shared_accounts: Option<PathBuf>,
    ) -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("restante-test-")
            .tempdir()
            .map_err(|error| error.to_string())?;
        let (plain, tls) = match flavour {
            Flavour::External(plain, tls) => (plain, tls),
            Flavour::Tokio | Flavour::Smol => {
                for file in prepared(flavour, options.profile)?.iter() {
                    (file.write_into(folder.path())).map_err(|error| error.to_string())?;
                }
                (unused_port(), None)
            }
        };
        let guard = Guard::of(folder.path())?;
        let [alice, bob] = accounts(flavour);
        let state = Mutex::new(State {
            child: None,
            plain,
            tls,
            outward: None,
            lmtp: None,
            auth: None,
            http: None,
        });
        let accounts = shared_accounts.unwrap_or_else(|| folder.path().join("accounts"));
        let server = Self {
            flavour,
            alice,
            bob,
            options,
            guard,
            folder,
            accounts,
            garage,
            node,
            state,
        };
        if !matches!(flavour, Flavour::External(..)) {
            server.start_again()?;
        }
        Ok(server)
    }

    /// Starts the process again on the same folder, on new ports.
    ///
    /// # Errors
    /// The log of a server that does not come up.
    pub fn start_again(&self) -> Result<(), String> {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file());
        let log = log.map_err(|error| error.to_string())?;
        let output = log.try_clone().map_err(|error| error.to_string())?;
        self.start_saying(output.into(), log.into())
    }

    /// Starts the process again on the same folder, on new ports, and lets it log elsewhere.
    ///
    /// # Errors
    /// Why it does not come up, as far as its end tells.
    pub fn start_again_logging_to(&self, log: Stdio) -> Result<(), String> {
        self.start_saying(Stdio::null(), log)
    }

    fn start_saying(&self, output: Stdio, log: Stdio) -> Result<(), String> {
        let mut state = self.state();
        assert!(state.child.is_none(), "the server runs already");
        state.plain = unused_port();
        state.tls = Some(unused_port());
        state.lmtp = Some(unused_port());
        state.auth = Some(unused_port());
        state.http = Some([unused_port(), unused_port()]);
        state.outward = self
            .options
            .outward
            .then(|| SocketAddr::new(outward_address(), unused_port().port()));
        let config = self.folder.path().join("restante.toml");
        fs::write(&config, self.configuration(&state)).map_err(|error| error.to_string())?;
        let child = Command::new(binaries::executable(self.flavour, self.options.profile)?)
            .args(["serve", "--config"])
            .arg(&config)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let addresses = [
            (Some(state.plain), false),
            (state.tls, true),
            (state.outward, false),
        ];
        self.guard.watch(child.id());
        let child = state.child.insert(child);
        for (address, implicit_tls) in addresses {
            let Some(address) = address else { continue };
            if let Err(why) = wait_until_ready(child, address, implicit_tls) {
                // Nothing more can be done about a process that will not die.
                let _ = child.kill().and_then(|()| child.wait());
                state.child = None;
                self.guard.forget();
                return Err(format!("{why}\n{}", self.log()));
            }
        }
        Ok(())
    }

    /// Runs a command on alice's account, beside the server and with its configuration, and
    /// returns its exit code and what it says.
    ///
    /// # Panics
    /// When it does not start.
    pub fn upkeep(&self, command: &str, options: &[&str]) -> (Option<i32>, String) {
        let command = [&[command, &self.alice.name, "--password-stdin"], options].concat();
        self.told(&command, &format!("{}\n", self.alice.password))
    }

    /// Runs a command on the accounts file, beside the server if it runs, and returns its exit code and
    /// what it says.
    ///
    /// # Panics
    /// When it does not start.
    pub fn accounts(&self, command: &[&str]) -> (Option<i32>, String) {
        self.told(&[&["account"], command].concat(), "")
    }

    /// Tries to change a password beside the server, and returns the exit code and what is said.
    ///
    /// # Panics
    /// When the command does not start.
    pub fn change_password(&self, account: &Account, new: &str) -> (Option<i32>, String) {
        let command = ["account", "password", &account.name, "--password-stdin"];
        self.told(&command, &format!("{}\n{new}\n", account.password))
    }

    /// Runs a command beside the server that is told some lines.
    fn told(&self, command: &[&str], lines: &str) -> (Option<i32>, String) {
        let executable =
            binaries::executable(self.flavour, self.options.profile).expect("it was built before");
        let mut program = Command::new(executable);
        let program = program
            .args(command)
            .arg("--config")
            .arg(self.folder.path().join("restante.toml"));
        let output = crate::neighbours::output_of_told(program, lines);
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// Tries to start a second process on the same folder while the first runs, and
    /// returns what it says when it gives up.
    ///
    /// # Panics
    /// When it does not give up.
    pub fn try_second(&self) -> String {
        self.try_on(&self.storage()).1
    }

    /// Tries to start a second process with another section `[storage]`, and returns
    /// its exit code and what it says when it gives up.
    ///
    /// # Panics
    /// When it does not give up.
    pub fn try_on(&self, storage: &str) -> (Option<i32>, String) {
        let config = self.folder.path().join("second.toml");
        let listener = format!(
            "[[imap]]\naddress = \"{}\"\ntls = \"none\"\n",
            unused_port()
        );
        let rest = configuration(self.folder.path(), storage, &self.accounts);
        fs::write(&config, listener + &rest).expect("our folder can be written");
        let executable =
            binaries::executable(self.flavour, self.options.profile).expect("it was built before");
        let output = crate::neighbours::output(
            Command::new(executable)
                .args(["serve", "--config"])
                .arg(&config),
        );
        assert!(
            !output.status.success(),
            "a second server runs, though it should not"
        );
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.code(), said)
    }

    /// Asks the server to stop by SIGTERM, waits for it, and checks that it succeeded, and that it
    /// never panicked.
    pub fn stop(&self) {
        let status = self.end("TERM");
        assert!(
            status.success(),
            "after SIGTERM the server ended with {status}\n{}",
            self.log()
        );
        self.never_panicked();
    }

    /// Checks that no process of this server has panicked, as its log would tell: a task that
    /// does ends alone, and the server goes on.
    ///
    /// # Panics
    /// When one has, with what it said.
    pub(crate) fn never_panicked(&self) {
        if let Some(panic) = panic_in(&self.log()) {
            panic!("a panic in the server's log: {panic}");
        }
    }

    /// Whether another one was there before it, on the same storage.
    fn is_second(&self) -> bool {
        !self.accounts.starts_with(self.folder.path())
    }

    /// Kills the server, so that it can do nothing more.
    pub fn kill(&self) {
        self.end("KILL");
    }

    /// Stops the server and starts it again on the same folder.
    pub fn restart(&self) {
        self.stop();
        self.start_again().expect("the server starts again");
    }

    /// Whether the process is there.
    pub fn is_running(&self) -> bool {
        let mut state = self.state();
        state
            .child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid(self.state().child.as_ref().expect("the server runs").id())
    }

    /// The address for connections in the clear and STARTTLS.
    pub fn address(&self) -> SocketAddr {
        self.state().plain
    }

    /// The address for implicit TLS.
    pub fn tls_address(&self) -> SocketAddr {
        self.state().tls.expect("the server listens for TLS")
    }

    /// The address that is not the loopback's, if the options asked for it.
    pub fn outward_address(&self) -> SocketAddr {
        self.state()
            .outward
            .expect("the options ask for an outward address")
    }

    /// The address where mail comes in.
    pub fn lmtp_address(&self) -> SocketAddr {
        self.state().lmtp.expect("the server listens for LMTP")
    }

    /// The address for HTTP in the clear.
    pub fn http_address(&self) -> SocketAddr {
        self.state().http.expect("the server listens for HTTP")[0]
    }

    /// The address for HTTPS.
    pub fn https_address(&self) -> SocketAddr {
        self.state().http.expect("the server listens for HTTP")[1]
    }

    /// The Unix socket where mail comes in.
    pub fn lmtp_socket(&self) -> PathBuf {
        self.folder.path().join("lmtp")
    }

    /// The address where passwords are checked for other services.
    pub fn auth_address(&self) -> SocketAddr {
        self.state().auth.expect("the server checks passwords")
    }

    /// The Unix socket where passwords are checked for other services.
    pub fn auth_socket(&self) -> PathBuf {
        self.folder.path().join("auth")
    }

    /// A connection by which mail comes in.
    pub fn deliver(&self) -> Lmtp {
        Lmtp::connect(self.lmtp_address())
    }

    /// Gives an account a further address, beside the running server.
    ///
    /// # Panics
    /// When that fails.
    pub fn add_address(&self, account: &Account, address: &str) {
        let executable =
            binaries::executable(self.flavour, self.options.profile).expect("it was built before");
        crate::neighbours::success(
            Command::new(executable)
                .args(["account", "address", "add", &account.name, address])
                .arg("--config")
                .arg(self.folder.path().join("restante.toml")),
        );
    }

    /// Adds an account beside the running server.
    ///
    /// # Panics
    /// When that fails.
    pub fn add_account(&self, account: &Account) {
        let config = self.folder.path().join("restante.toml");
        add_account(self.flavour, self.options.profile, &config, account)
            .expect("the name is not taken");
    }

    /// A connection that is not logged in.
    pub fn connect(&self) -> Client {
        Client::connect(self.address())
    }

    /// A connection of alice.
    pub fn login(&self) -> Client {
        let mut client = self.connect();
        client.login(&self.alice.name, &self.alice.password);
        client
    }

    /// A connection of alice with a new mailbox selected that holds these messages.
    pub fn select(&self, mailbox: &str, messages: &[&[u8]]) -> Client {
        let mut client = self.login();
        client.ok(format!("CREATE {mailbox}"));
        for message in messages {
            client.append_ok(mailbox, "", message);
        }
        client.ok(format!("SELECT {mailbox}"));
        client
    }

    /// The folder with the configuration, accounts, log and mail.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The Garage under it.
    ///
    /// # Panics
    /// When its mail is in its own folder.
    pub fn garage(&self) -> &Garage {
        self.garage
            .as_deref()
            .expect("the test asks for Garage as storage")
    }

    /// Whether its mail is in Garage.
    pub fn storage_is_garage(&self) -> bool {
        self.garage.is_some()
    }

    /// The folder with the mail of the embedded storage.
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn end(&self, signal: &str) -> ExitStatus {
        let mut child = self.state().child.take().expect("the server runs");
        Pid(child.id()).signal(signal);
        let begin = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                self.guard.forget();
                return status;
            }
            if begin.elapsed() > PATIENCE {
                // The failure is reported below, whatever becomes of the process.
                let _ = child.kill();
                panic!(
                    "the server does not end within {PATIENCE:?} after SIG{signal}\n{}",
                    self.log()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn configuration(&self, state: &State) -> String {
        let mut listeners = format!(
            "[[imap]]\naddress = \"{}\"\ntls = \"starttls\"\n",
            state.plain
        );
        if let Some(tls) = state.tls {
            listeners += &format!("[[imap]]\naddress = \"{tls}\"\ntls = \"implicit\"\n");
        }
        if let Some(outward) = state.outward {
            listeners += &format!("[[imap]]\naddress = \"{outward}\"\ntls = \"starttls\"\n");
        }
        if let Some(lmtp) = state.lmtp {
            listeners += &format!(
                "[[lmtp]]\naddress = \"{lmtp}\"\n[[lmtp]]\naddress = \"unix:lmtp\"\nmode = \"600\"\n\
                 [delivery]\nhost = \"mx.example.org\"\ndomains = [\"example.org\"]\n"
            );
        }
        if let Some(auth) = state.auth {
            listeners +=
                &format!("[[auth]]\naddress = \"{auth}\"\n[[auth]]\naddress = \"unix:auth\"\n");
        }
        if let Some([plain, tls]) = state.http {
            listeners += &format!(
                "[[http]]\naddress = \"{plain}\"\ntls = \"none\"\n\
                 [[http]]\naddress = \"{tls}\"\ntls = \"implicit\"\n\
                 [autodiscovery]\nname = \"Example Mail\"\ndomains = [\"example.org\"]\n"
            );
        }
        let rest = configuration(self.folder.path(), &self.storage(), &self.accounts);
        listeners + &rest + "[limits]\n" + self.options.limits + "\n"
    }

    /// The section `[storage]` of its configuration.
    fn storage(&self) -> String {
        match &self.garage {
            None => embedded(self.folder.path()),
            Some(garage) => {
                garage.configuration(self.node)
                    + "[storage.limits]\n"
                    + self.options.storage_limits
                    + "\n"
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while holding the lock has failed already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.state().child.take() {
            // There is nothing to do about a process that cannot be killed.
            let _ = child.kill().and_then(|()| child.wait());
            self.guard.forget();
        }
        // What became of the first one the trial looks at, which also tells its log.
        if self.is_second() && !std::thread::panicking() {
            self.never_panicked();
        }
    }
}

/// The address by which this machine would reach others, if it has one.
pub fn find_outward_address() -> Option<std::net::IpAddr> {
    // Connecting a datagram socket chooses an address and sends nothing.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback()).then_some(address)
}

fn outward_address() -> std::net::IpAddr {
    find_outward_address().expect("the test says that it needs such an address")
}

fn greets(mut socket: &TcpStream) -> bool {
    let mut first = [0; 4];
    socket
        .set_read_timeout(Some(PATIENCE))
        .expect("a positive time");
    socket.read_exact(&mut first).is_ok() && first == *b"* OK"
}

fn wait_until_ready(
    child: &mut Child,
    address: SocketAddr,
    implicit_tls: bool,
) -> Result<(), String> {
    let begin = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("the server ended with {status} instead of serving"));
        }
        if let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            // The kernel takes connections from the moment of the bind on. The server is
            // ready when it greets, which with implicit TLS it cannot do here.
            if implicit_tls || greets(&socket) {
                return Ok(());
            }
        }
        if begin.elapsed() > PATIENCE {
            return Err(format!(
                "the server does not listen on {address} within {PATIENCE:?}"
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
