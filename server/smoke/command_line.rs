// What both binaries do on the command line; included by a test of each of them, which
// says where `BINARY` is.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(BINARY)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The command may end without reading it.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    child.wait_with_output().unwrap()
}

fn ok(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(arguments: &[&str], input: &str) -> String {
    let output = run(arguments, input);
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

/// A server that a test has started; killed with the test.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    fn start(arguments: &[&str], address: SocketAddr) -> Self {
        let child = Command::new(BINARY)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, address };
        let start = Instant::now();
        while !greets(address) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it does not start"
            );
            sleep(Duration::from_millis(20));
        }
        server
    }

    fn demo(folder: &Path) -> Self {
        let address = free_address();
        let (data, imap) = (folder.to_str().unwrap(), address.to_string());
        Self::start(&["demo", "--data", data, "--imap", &imap], address)
    }

    fn signal(&self, name: &str) {
        let mut kill = Command::new("kill");
        let kill = kill.args(["-s", name, &self.child.id().to_string()]);
        assert!(kill.status().unwrap().success());
    }

    /// The exit code.
    fn end(mut self) -> Option<i32> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "it does not stop"
            );
            sleep(Duration::from_millis(20));
        }
    }

    fn greeted(&self) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut client = BufReader::new(stream);
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        assert!(line.starts_with("* OK"), "{line}");
        client
    }
}

/// The tagged response to a command; what comes before it is passed over.
fn command(client: &mut BufReader<TcpStream>, line: &str) -> String {
    client
        .get_mut()
        .write_all(format!("t {line}\r\n").as_bytes())
        .unwrap();
    loop {
        let mut line = String::new();
        assert_ne!(client.read_line(&mut line).unwrap(), 0, "closed");
        if line.starts_with("t ") {
            return line;
        }
    }
}

/// Whether a server is there, and serves.
fn greets(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return false;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut greeting = [0; 4];
    stream.read_exact(&mut greeting).is_ok() && greeting == *b"* OK"
}

/// An address that nothing listens on. Its port lies below those that the kernel gives to
/// clients: who asks such a one whether a server is there yet may be connected to itself.
fn free_address() -> SocketAddr {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 2_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (offset + next) % COUNT;
        assert!(next < COUNT, "no free port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return SocketAddr::from(([127, 0, 0, 1], port));
        }
    }
}

#[test]
fn demo_serves_until_it_is_told_to_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::demo(&data);
    let mut client = server.greeted();
    server.signal("TERM");
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.starts_with("* BYE"), "{rest}");
    drop(client);
    assert_eq!(server.end(), Some(0));
    // And once more, with what is there by now.
    let server = Server::demo(&data);
    server.greeted();
    server.signal("INT");
    assert_eq!(server.end(), Some(0));
}

#[test]
fn mail_is_still_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::demo(folder.path());
    let mut client = server.greeted();
    assert!(command(&mut client, "LOGIN alice hunter2").starts_with("t OK"));
    let message = "Subject: kept\r\n\r\nfor you\r\n";
    let append = format!("APPEND INBOX {{{}+}}\r\n{message}", message.len());
    assert!(command(&mut client, &append).starts_with("t OK [APPENDUID"));
    server.signal("TERM");
    assert_eq!(server.end(), Some(0));

    let server = Server::demo(folder.path());
    let mut client = server.greeted();
    assert!(command(&mut client, "LOGIN alice hunter2").starts_with("t OK"));
    assert!(command(&mut client, "SELECT INBOX").starts_with("t OK"));
    client
        .get_mut()
        .write_all(b"f FETCH 1 BODY[]\r\ng LOGOUT\r\n")
        .unwrap();
    let mut rest = String::new();
    client.read_to_string(&mut rest).unwrap();
    assert!(rest.contains(message), "{rest}");
    assert!(rest.contains("\r\ng OK"), "{rest}");
}

#[test]
fn address_and_folder_are_used_by_one_server_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::demo(folder.path());
    let imap = server.address.to_string();
    let other = folder.path().join("other");
    let error = fails(
        &["demo", "--data", other.to_str().unwrap(), "--imap", &imap],
        "",
    );
    assert!(
        error.contains(&format!("cannot listen on {imap}")),
        "{error}"
    );

    let (data, imap) = (folder.path().to_str().unwrap(), free_address().to_string());
    let error = fails(&["demo", "--data", data, "--imap", &imap], "");
    assert!(error.contains("in use by another"), "{error}");
    drop(server.greeted());
}

#[test]
fn accounts_from_beginning_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::demo(folder.path());
    let config = folder.path().join("restante.toml");
    let config = config.to_str().unwrap();
    let account = |command: &str, name: &str| {
        let arguments = [
            vec!["account", command],
            vec![name],
            vec!["--config", config],
        ];
        arguments
            .concat()
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let with = |command: &str, flag: &str| {
        let mut arguments = account(command, "bob");
        arguments.push(flag.to_owned());
        arguments
    };
    let add = with("add", "--password-stdin");
    let add: Vec<&str> = add.iter().map(String::as_str).collect();
    ok(&add, "first\n");
    // The running server knows the account at once.
    let mut client = server.greeted();
    assert!(command(&mut client, "LOGIN bob wrong").starts_with("t NO"));
    assert!(command(&mut client, "LOGIN Bob first").starts_with("t OK"));
    assert!(command(&mut client, "SELECT INBOX").starts_with("t OK"));
    assert!(fails(&add, "again\n").contains("already"));
    assert!(
        fails(
            &[
                "account",
                "add",
                "eve",
                "--config",
                config,
                "--password-stdin"
            ],
            ""
        )
        .contains("password")
    );
    let list = ok(&["account", "list", "--config", config], "");
    assert!(
        list.contains("\talice\n") && list.contains("\tbob\n"),
        "{list}"
    );

    let change = with("password", "--password-stdin");
    let change: Vec<&str> = change.iter().map(String::as_str).collect();
    assert!(fails(&change, "wrong\nsecond\n").contains("present password"));
    ok(&change, "first\nsecond\n");
    assert!(command(&mut server.greeted(), "LOGIN bob first").starts_with("t NO"));
    assert!(command(&mut server.greeted(), "LOGIN bob second").starts_with("t OK"));
    assert!(fails(&change, "first\nthird\n").contains("present password"));

    assert!(fails(&["account", "remove", "bob", "--config", config], "no\n").contains("nothing"));
    ok(
        &["account", "remove", "bob", "--config", config, "--yes"],
        "",
    );
    let list = ok(&["account", "list", "--config", config], "");
    assert!(!list.contains("bob"), "{list}");
    assert!(command(&mut server.greeted(), "LOGIN bob second").starts_with("t NO"));
    drop(server);
}

#[test]
fn whoever_makes_a_new_accounts_file_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let config = path("restante.toml");
    let text = "[[imap]]\naddress = '127.0.0.1:0'\ntls = 'none'\n\
        [storage]\nkind = 'embedded'\nfolder = 's'\n\
        [accounts]\nfile = 'accounts'\n[argon2]\nmemory_kib = 64\npasses = 1\n";
    fs::write(&config, text).unwrap();
    let add = |name: &str| {
        let add = ["account", "add", name, "--config", &config, "--password-stdin"];
        ok(&add, "secret\n")
    };
    let said = add("alice");
    assert!(said.contains(&format!("made a new accounts file, {}", path("accounts"))), "{said}");
    let said = add("bob");
    assert!(!said.contains("new accounts file"), "{said}");
    fs::rename(path("accounts"), path("elsewhere")).unwrap();
    let said = add("carol");
    assert!(said.contains("new accounts file"), "{said}");
}

#[test]
fn an_account_may_be_given_a_bucket_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (config, secret) = (path("restante.toml"), path("alice.secret"));
    let imap = "[[imap]]\naddress = '127.0.0.1:0'\ntls = 'none'\n";
    let rest = "[accounts]\nfile = 'accounts'\n[argon2]\nmemory_kib = 64\npasses = 1\n";
    let garage = "[storage]\nkind = 'garage'\nbucket = 'mail'\nkey_id = 'GK1'\nsecret = 's'\n";
    fs::write(&config, [imap, garage, rest].concat()).unwrap();
    let add = ["account", "add", "alice", "--config", &config, "--password-stdin"];
    let bucket = ["--bucket", "alice", "--key-id", "GK2"];
    // All of it or nothing.
    for part in [&bucket[..2], &bucket[2..], &bucket] {
        assert_eq!(run(&[&add[..], part].concat(), "pw\n").status.code(), Some(2));
    }
    let whole = [&add[..], &bucket, &["--secret-file", &secret]].concat();
    let error = fails(&whole, "pw\n");
    assert!(error.contains("--secret-file") && error.contains("alice.secret"), "{error}");
    fs::write(&secret, " \n").unwrap();
    assert!(fails(&whole, "pw\n").contains("empty"));
    fs::write(&secret, "s3cr3t\n").unwrap();
    let said = ok(&whole, "pw\n");
    assert!(!said.contains("s3cr3t"), "{said}");
    let list = fs::read_to_string(path("accounts")).unwrap();
    let entry = "bucket = \"alice\"\nkey_id = \"GK2\"\nsecret = \"s3cr3t\"\n";
    assert!(list.contains(entry), "{list}");

    let embedded = "[storage]\nkind = 'embedded'\nfolder = 's'\n";
    fs::write(&config, [imap, embedded, rest].concat()).unwrap();
    let whole: Vec<&str> = whole
        .iter()
        .map(|word| if *word == "alice" { "bob" } else { word })
        .collect();
    assert!(fails(&whole, "pw\n").contains("not in Garage"));
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let serve = ["serve", "--config", file.to_str().unwrap()];
    assert!(fails(&serve, "").contains("bad.toml"), "no such file");
    fs::write(&file, "imap = []\nsmtp = 1\n").unwrap();
    let error = fails(&serve, "");
    assert!(
        error.contains("bad.toml") && error.contains("smtp"),
        "{error}"
    );
    let tls = "[[imap]]\naddress = '127.0.0.1:0'\ntls = 'implicit'\n\
        [tls]\ncertificate = 'missing.pem'\nkey = 'missing.pem'\n\
        [storage]\nkind = 'embedded'\nfolder = 's'\n[accounts]\nfile = 'a'\n";
    fs::write(&file, tls).unwrap();
    assert!(fails(&serve, "").contains("missing.pem"));
    assert_eq!(run(&["serve"], "").status.code(), Some(2));
}
