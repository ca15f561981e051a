//! A real Postfix in a folder of its own: it asks a server whether passwords are right, and
//! hands the mail for `example.org` to it by LMTP.

use std::{
    fs::{self, Permissions},
    io::Read,
    net::TcpStream,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use restante_garage_node::unused_port;

use crate::{
    Server,
    neighbours::{self, Program},
    process::{Pid, wait_for},
};

/// See the module. Mail for others is thrown away.
pub struct Postfix {
    folder: tempfile::TempDir,
    process: Child,
    /// The port whose smtpd asks over TCP.
    pub by_tcp: u16,
    /// The port whose smtpd asks on the Unix socket.
    pub by_unix: u16,
    /// The port whose smtpd asks nobody: as if mail came from outside.
    pub from_outside: u16,
}

impl Postfix {
    /// Starts it, which takes the right of a superuser.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start(server: &Server) -> Self {
        Self::start_with(server, &format!("unix:{}", server.lmtp_socket().display()))
    }

    /// The same, handing mail over to what listens at this address, as transport(5) writes it.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    pub fn start_with(server: &Server, lmtp: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("restante-postfix-")
            .tempdir()
            .expect("a temporary folder");
        let path = folder.path();
        for name in ["spool", "data"] {
            fs::create_dir(path.join(name)).expect("the folder is ours");
        }
        chown(path.join("data"), Some(id("-u")), None).expect("we are root");
        let [by_tcp, by_unix, from_outside] = [(); 3].map(|()| unused_port().port());
        configure(path, [by_tcp, by_unix, from_outside], server, lmtp);
        let process = begin(path);
        let this = Self {
            folder,
            process,
            by_tcp,
            by_unix,
            from_outside,
        };
        this.wait_until_ready();
        this
    }

    /// Lets Postfix use the socket of a server that has just made it.
    ///
    /// # Panics
    /// When there is none.
    pub fn open_lmtp(&self, server: &Server) {
        chown(server.lmtp_socket(), Some(id("-u")), None).expect("we are root");
    }

    fn wait_until_ready(&self) {
        for port in [self.by_tcp, self.by_unix, self.from_outside] {
            assert!(wait_for(|| greets(port)), "no Postfix\n{}", self.log());
        }
    }

    /// Kills its LMTP clients (SIGKILL), of which one must be there. The rest of it goes on.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_clients(&self) {
        let clients = self.processes().into_iter();
        let clients: Vec<Pid> = clients.filter(|it| it.name() == "lmtp").collect();
        assert!(!clients.is_empty(), "no client\n{}", self.log());
        for client in clients {
            client.signal("KILL");
        }
    }

    /// Kills all of it (SIGKILL).
    ///
    /// # Panics
    /// When it is not there.
    pub fn kill(&mut self) {
        // What is stopped starts no others, nor notices that they end.
        self.master().signal("STOP");
        let all = [self.processes(), vec![self.master()]].concat();
        for process in &all {
            process.signal("KILL");
        }
        let _script = self.process.wait().expect("it was started");
        // Whoever has adopted them may leave their remains.
        let gone = |process: &Pid| !process.is_there();
        assert!(wait_for(|| all.iter().all(gone)), "{all:?}");
    }

    /// Starts it again on what the killed one left, beside a server that may have been started
    /// again as well.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self, server: &Server, lmtp: &str) {
        let ports = [self.by_tcp, self.by_unix, self.from_outside];
        configure(self.folder.path(), ports, server, lmtp);
        self.process = begin(self.folder.path());
        self.wait_until_ready();
    }

    /// The process that starts all others.
    fn master(&self) -> Pid {
        let file = self.folder.path().join("spool/pid/master.pid");
        let text = fs::read_to_string(file).expect("it runs");
        Pid(text.trim().parse().expect("a number"))
    }

    fn processes(&self) -> Vec<Pid> {
        self.master().children()
    }

    /// Mails that wait, as Postfix lists them.
    #[must_use]
    pub fn queue(&self) -> String {
        let mut command = Command::new("postqueue");
        neighbours::success(command.arg("-c").arg(self.folder.path()).arg("-p"))
    }

    /// Tries to send all that waits, now.
    pub fn flush(&self) {
        let mut command = Command::new("postqueue");
        neighbours::success(command.arg("-c").arg(self.folder.path()).arg("-f"));
    }

    /// What it has written down.
    #[must_use]
    pub fn log(&self) -> String {
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

/// Writes its configuration, and lets it use the sockets of the server.
fn configure(folder: &Path, ports: [u16; 3], server: &Server, lmtp: &str) {
    let open = |path: &Path, mode| {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("it is ours");
    };
    // Its processes run as the user postfix, in whose group is who may ask.
    open(folder, 0o755);
    open(server.folder(), 0o711);
    chown(server.auth_socket(), None, Some(id("-g"))).expect("we are root");
    chown(server.lmtp_socket(), Some(id("-u")), None).expect("we are root");
    let files = [
        ("main.cf", main_cf(folder, server, lmtp)),
        ("master.cf", master_cf(ports, &server.auth_socket())),
    ];
    for (name, text) in files {
        fs::write(folder.join(name), text).expect("the folder is ours");
    }
}

/// Starts it in its folder.
fn begin(folder: &Path) -> Child {
    Program::POSTFIX
        .command()
        .arg("-c")
        .arg(folder)
        .arg("start-fg")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program was found before")
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

fn main_cf(folder: &Path, server: &Server, lmtp: &str) -> String {
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
         transport_maps = inline:{{{{example.org = lmtp:{lmtp}}}}}\n\
         queue_run_delay = 1s\n\
         minimal_backoff_time = 1s\n\
         maximal_backoff_time = 2s\n\
         transport_retry_time = 1s\n\
         service_throttle_time = 1s\n\
         smtpd_sasl_auth_enable = yes\n\
         smtpd_sasl_type = dovecot\n\
         smtpd_sasl_path = inet:{}\n\
         smtpd_relay_restrictions = permit_sasl_authenticated, reject\n",
        server.auth_address()
    )
}

fn master_cf([by_tcp, by_unix, from_outside]: [u16; 3], socket: &Path) -> String {
    let socket = socket.display();
    format!(
        "127.0.0.1:{by_tcp} inet n - n - - smtpd\n\
         127.0.0.1:{by_unix} inet n - n - - smtpd -o smtpd_sasl_path={socket}\n\
         127.0.0.1:{from_outside} inet n - n - - smtpd\n \
         -o mynetworks=127.0.0.0/8 -o smtpd_sasl_auth_enable=no\n \
         -o smtpd_relay_restrictions=permit_mynetworks,reject\n\
         cleanup unix n - n - 0 cleanup\n\
         qmgr unix n - n 300 1 qmgr\n\
         pickup unix n - n 60 1 pickup\n\
         flush unix n - n - 0 flush\n\
         rewrite unix - - n - - trivial-rewrite\n\
         bounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\n\
         trace unix - - n - 0 bounce\n\
         discard unix - - n - - discard\n\
         lmtp unix - - n - - lmtp\n\
         showq unix n - n - - showq\n\
         error unix - - n - - error\n\
         retry unix - - n - - error\n\
         anvil unix - - n - 1 anvil\n\
         postlog unix-dgram n - n - 1 postlogd\n"
    )
}
