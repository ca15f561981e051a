//! Roundcube itself, on the server that PHP brings and with SQLite; `clients/roundcube_session.py`
//! is the browser.

use std::{
    fs,
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use restante_tests::{
    Server, Test,
    neighbours::{self, Program, base64},
    process, samples, tests,
    trials::Need,
};

use crate::recorder::Recorder;

/// Where Debian has it.
const FOLDER: &str = "/usr/share/roundcube";

pub(crate) const TESTS: &[Test] = tests![
    a_whole_session => needs(&[
        Need::Program(Program::PYTHON),
        Need::Program(Program::PHP),
        Need::File("/usr/share/roundcube/index.php", "roundcube-core"),
        Need::File("/usr/share/roundcube/SQL/sqlite.initial.sql", "roundcube-sqlite3"),
    ]),
];

/// PHP's server, which is killed when this is dropped.
struct Web(Child);

impl Drop for Web {
    fn drop(&mut self) {
        // Nothing can be done about one that cannot be killed.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

fn php() -> Command {
    Program::PHP.command()
}

fn a_whole_session(server: &Server) {
    let recorder = Recorder::before(server.address());
    let mut client = server.login();
    client.ok("CREATE Work");
    client.ok("SUBSCRIBE Work");
    for number in 1..20 {
        let message = samples::plain(&format!("message {number}"), &format!("text of {number}."));
        client.append_ok("INBOX", "", &message);
    }
    client.append_ok("INBOX", "", &with_attachment());

    let folder = server.folder().join("roundcube");
    fs::create_dir(&folder).expect("our folder can be written");
    for name in ["defaults.inc.php", "mimetypes.php"] {
        fs::copy(format!("/etc/roundcube/{name}"), folder.join(name))
            .expect("the package brings it");
    }
    let database = folder.join("database");
    neighbours::success(
        php()
            .arg("-r")
            .arg("(new SQLite3($argv[1]))->exec(file_get_contents($argv[2])) || exit(1);")
            .arg(&database)
            .arg(format!("{FOLDER}/SQL/sqlite.initial.sql")),
    );
    let text = format!(
        "<?php\n$config = ['db_dsnw' => 'sqlite:///{}?mode=0600', 'imap_host' => '{}',\n\
         'smtp_host' => '127.0.0.1:1', 'des_key' => '24 octets for a session.', 'log_dir' => '{here}/',\n\
         'temp_dir' => '{here}/', 'plugins' => []];\n",
        database.display(),
        recorder.address,
        here = folder.display(),
    );
    fs::write(folder.join("config.inc.php"), text).expect("our folder can be written");

    let address = restante_garage_node::unused_port();
    let said = fs::File::create(folder.join("said")).expect("our folder can be written");
    let web = php()
        .arg("-S")
        .arg(address.to_string())
        .args(["-t", FOLDER])
        .env("ROUNDCUBE_CONFIG_DIR", format!("{}/", folder.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .spawn()
        .expect("the program was found before");
    let web = Web(web);
    assert!(
        process::wait_for(|| TcpStream::connect(address).is_ok()),
        "PHP does not serve"
    );
    let output = neighbours::success(
        Program::PYTHON
            .command()
            .arg(neighbours::scripts().join("roundcube_session.py"))
            .arg(format!("http://{address}"))
            .arg(&server.alice.name)
            .arg(&server.alice.password),
    );
    assert!(output.trim_end().ends_with("all done"), "{output}");
    drop(web);

    client.ok("SELECT INBOX");
    let mut found = |key: &str| client.ok(format!("UID SEARCH {key}")).found();
    assert_eq!(found("FLAGGED"), [5, 6]);
    assert_eq!(found("SEEN"), [7, 20]);
    assert_eq!(found("UID 8:11"), [10]);
    client.ok("SELECT Drafts");
    let draft = client.ok("UID SEARCH SUBJECT \"a draft\"").found();
    assert_eq!(draft.len(), 1);
    let names = client.ok("LIST (SUBSCRIBED) \"\" *").mailboxes("LIST");
    assert!(names.contains_key("Work/Anders"), "{names:?}");
    assert!(
        !names.contains_key("Weg") && !names.keys().any(|name| name.contains("neu")),
        "{names:?}"
    );
    recorder.check_answers();
}

/// The twentieth message: an umlaut in the subject, and 1000 octets beside the text.
fn with_attachment() -> Vec<u8> {
    let octets: Vec<u8> = (0..1000_u32)
        .map(|index| u8::try_from(index % 251).expect("less than 251"))
        .collect();
    let attachment: Vec<String> = base64(&octets)
        .as_bytes()
        .chunks(76)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    format!(
        "From: Alice <alice@example.org>\r\nTo: Bob <bob@example.net>\r\n\
         Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= 20\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n\
         Message-ID: <20@example.org>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\ntext of 20.\r\n\
         --b\r\nContent-Type: application/octet-stream; name=a.bin\r\n\
         Content-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment; filename=a.bin\r\n\r\n{}\r\n--b--\r\n",
        attachment.join("\r\n")
    )
    .into_bytes()
}
