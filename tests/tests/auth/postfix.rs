//! A real Postfix asks, on behalf of a real mail client.

use std::{
    fs::{self, Permissions},
    io::Read,
    net::TcpStream,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use restante_garage_node::unused_port;
use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    process::wait_for,
    tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    a_real_postfix_lets_in_who_knows_the_password => needs(&[
        Need::OwnProcess,
        Need::Program(Program::POSTFIX),
        Need::Program(Program::PYTHON),
        Need::Root,
    ]),
];

/// What Postfix says to a client after its own 535.
const REFUSED: &str = "535 5.7.8 Error: authentication failed: User name and password do not match";

fn a_real_postfix_lets_in_who_knows_the_password(server: &Server) {
    let postfix = Postfix::start(server);
    let (user, password) = (&server.alice.name, &server.alice.password);
    let let_in = "235 2.7.0 Authentication successful\nsent\n";
    for port in [postfix.by_tcp, postfix.by_unix] {
        for mechanism in ["PLAIN", "LOGIN", "CANCELLED"] {
            assert_eq!(submit(port, mechanism, user, password), let_in);
        }
        for mechanism in ["PLAIN", "LOGIN"] {
            let said = submit(port, mechanism, user, "wrong");
            assert_eq!(said.trim_end(), REFUSED);
        }
        let said = submit(port, "PLAIN", "nobody", "wrong");
        assert_eq!(said.trim_end(), REFUSED);
        // By other letters it is the same user, also to Postfix.
        let said = submit(port, "PLAIN", &user.to_uppercase(), password);
        assert_eq!(said, let_in);
    }
    let accounts = server.folder().join("accounts");
    let good = fs::read(&accounts).expect("it can be read");
    fs::write(&accounts, "this is not an accounts file").expect("it can be written");
    let said = submit(postfix.by_tcp, "PLAIN", user, password);
    assert!(said.contains("cannot be checked just now"), "{said}");
    fs::write(&accounts, good).expect("it can be written");
    assert_eq!(submit(postfix.by_tcp, "PLAIN", user, password), let_in);

    let log = postfix.log();
    let name = format!("sasl_username={user}\n");
    assert_eq!(log.matches(&name).count(), 2 * 4 + 1 + 2 * 2 + 1, "{log}");
    assert!(!log.contains(password), "{log}");
    assert!(!server.log().contains(password));
}

fn submit(port: u16, mechanism: &str, user: &str, password: &str) -> String {
    let script = neighbours::scripts().join("submission.py");
    let arguments = [&port.to_string(), mechanism, user, password];
    neighbours::success(Program::PYTHON.command().arg(script).args(arguments))
}

/// A Postfix of its own, which throws away what it takes.
struct Postfix {
    folder: tempfile::TempDir,
    process: Child,
    /// The port whose smtpd asks over TCP.
    by_tcp: u16,
    /// The port whose smtpd asks on the Unix socket.
    by_unix: u16,
}

impl Postfix {
    fn start(server: &Server) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("restante-postfix-")
            .tempdir()
            .expect("a temporary folder");
        let path = folder.path();
        let open = |path: &Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
        };
        // Its processes run as the user postfix, in whose group is who may ask.
        open(path, 0o755);
        open(server.folder(), 0o711);
        let (postfix, group) = (id("-u"), id("-g"));
        chown(server.auth_socket(), None, Some(group)).expect("we are root");
        for name in ["spool", "data"] {
            fs::create_dir(path.join(name)).expect("the folder is ours");
        }
        chown(path.join("data"), Some(postfix), None).expect("we are root");
        let (by_tcp, by_unix) = (unused_port().port(), unused_port().port());
        fs::write(path.join("main.cf"), main_cf(path, server)).expect("the folder is ours");
        fs::write(
            path.join("master.cf"),
            master_cf(by_tcp, by_unix, &server.auth_socket()),
        )
        .expect("the folder is ours");
        let process = Program::POSTFIX
            .command()
            .arg("-c")
            .arg(path)
            .arg("start-fg")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program was found before");
        let this = Self {
            folder,
            process,
            by_tcp,
            by_unix,
        };
        for port in [by_tcp, by_unix] {
            assert!(wait_for(|| greets(port)), "no Postfix\n{}", this.log());
        }
        this
    }

    fn log(&self) -> String {
        let log: PathBuf = self.folder.path().join("log");
        fs::read_to_string(log).unwrap_or_default()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let stop = Program::POSTFIX
            .command()
            .arg("-c")
            .arg(self.folder.path())
            .arg("stop")
            .stderr(Stdio::null())
            .status();
        // If it cannot be stopped, there is nothing to wait for.
        if stop.is_ok_and(|status| status.success()) {
            let _ended = self.process.wait();
        }
    }
}

fn greets(port: u16) -> bool {
    let mut code = [0; 3];
    TcpStream::connect(("127.0.0.1", port))
        .and_then(|mut socket| socket.read_exact(&mut code))
        .is_ok()
        && code == *b"220"
}

/// A number of the user postfix.
fn id(which: &str) -> u32 {
    let said = neighbours::success(Command::new("id").args([which, "postfix"]));
    said.trim().parse().expect("a number")
}

fn main_cf(folder: &Path, server: &Server) -> String {
    let folder = folder.display();
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {folder}/spool\n\
         data_directory = {folder}/data\n\
         maillog_file = {folder}/log\n\
         maillog_file_prefixes = {folder}\n\
         inet_protocols = ipv4\n\
         myhostname = mail.example.org\n\
         mydestination =\n\
         mynetworks =\n\
         alias_maps =\n\
         alias_database =\n\
         local_recipient_maps =\n\
         default_transport = discard:\n\
         smtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_type = dovecot\n\
         smtpd_sasl_path = inet:{}\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject\n",
        server.auth_address()
    )
}

fn master_cf(by_tcp: u16, by_unix: u16, socket: &Path) -> String {
    let socket = socket.display();
    format!(
        "127.0.0.1:{by_tcp} inet n - n - - smtpd\n\
         127.0.0.1:{by_unix} inet n - n - - smtpd -o smtpd_sasl_path={socket}\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         discard unix - - n - - discard\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         anvil unix - - n - 1 anvil\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}
