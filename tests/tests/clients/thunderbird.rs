//! Thunderbird itself, without a window: what a click would start is started by JavaScript that
//! runs inside it, so that all that is said is what it says to any server.

use std::{
    fs,
    os::unix::process::CommandExt,
    process::{Child, Stdio},
};

use restante_tests::{
    Client, Server, Test, neighbours::Program, process, samples, tests, trials::Need,
};
use serde_json::{Value, json};

use crate::{
    marionette::Marionette,
    recorder::{Recorder, Side},
};

const NEEDS: &[Need] = &[Need::OwnProcess, Need::Program(Program::THUNDERBIRD)];

pub(crate) const TESTS: &[Test] = tests![
    a_day_with_thunderbird => needs(NEEDS),
    thunderbird_with_condstore => needs(NEEDS),
    it_comes_by_starttls_and_by_tls => needs(NEEDS),
    it_understands_what_autoconfig_says => needs(NEEDS),
];

/// Messages in INBOX at the beginning.
const AT_FIRST: u32 = 20;

/// Messages in the folder that is copied to the server.
const COPIED: u32 = 60;

/// A running Thunderbird. When it is dropped, it and its own processes are killed.
struct Thunderbird {
    child: Child,
    inside: Marionette,
}

impl Thunderbird {
    /// Starts it with a new profile. `settings` are lines of the profile's `user.js`.
    fn start(server: &Server, settings: &str) -> Self {
        let profile = server.folder().join("thunderbird");
        fs::create_dir(&profile).expect("our folder can be written");
        let port = restante_garage_node::unused_port();
        // It says nothing to anybody but the server, and asks no questions.
        let settings = format!(
            "user_pref(\"marionette.port\", {});\n\
             user_pref(\"app.update.enabled\", false);\n\
             user_pref(\"datareporting.policy.dataSubmissionEnabled\", false);\n\
             user_pref(\"extensions.update.enabled\", false);\n\
             user_pref(\"mail.provider.suppress_dialog_on_startup\", true);\n\
             user_pref(\"mail.rights.version\", 1);\n\
             user_pref(\"mail.shell.checkDefaultClient\", false);\n\
             user_pref(\"mail.spotlight.firstRunDone\", true);\n\
             user_pref(\"mailnews.confirm.moveFoldersToTrash\", false);\n\
             user_pref(\"mailnews.start_page.enabled\", false);\n\
             user_pref(\"services.settings.server\", \"data:,\");\n\
             {settings}\n",
            port.port()
        );
        fs::write(profile.join("user.js"), settings).expect("our folder can be written");
        let log = fs::File::create(profile.join("said")).expect("our folder can be written");
        let child = Program::THUNDERBIRD
            .command()
            .args([
                "--headless",
                "--no-remote",
                "--marionette",
                "--remote-allow-system-access",
                "--profile",
            ])
            .arg(&profile)
            .env("HOME", server.folder())
            .env("TMPDIR", server.folder())
            .env_remove("DISPLAY")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("the program was found before");
        let Some(inside) = Marionette::connect(port) else {
            let mut child = child;
            // It is of no use, whatever becomes of it.
            let _ = child.kill().and_then(|()| child.wait());
            let said = fs::read_to_string(profile.join("said")).unwrap_or_default();
            panic!("Thunderbird does not come up:\n{said}");
        };
        Self { child, inside }
    }

    /// Runs JavaScript with `clients/thunderbird.js` before it.
    fn run(&mut self, body: &str, arguments: Value) -> Value {
        let before = include_str!("../../clients/thunderbird.js");
        self.inside.run(before, body, &arguments)
    }

    /// Makes alice's account; `security` is 0 for none, 2 for STARTTLS, 3 for TLS.
    fn make_account(&mut self, server: &Server, host: &str, port: u16, security: u32) {
        let account = json!({
            "host": host, "port": port, "security": security,
            "user": server.alice.name, "password": server.alice.password,
        });
        self.run("await makeAccount(args);", account);
    }

    /// Waits until it shows so many messages in INBOX.
    fn wait_for_inbox(&mut self, messages: u32) {
        self.run(
            "for (let round = 1; count(folder(\"INBOX\") ?? root) != args; round++) {
               await pause(20);
               // Somebody who waits for long clicks again.
               if (round % 500 == 0 && folder(\"INBOX\")) await open(folder(\"INBOX\"));
             }",
            json!(messages),
        );
    }

    /// Downloads everything that is not there yet, and says how many messages there are: so many, if
    /// it is known. It may be busy with a folder, and look at it only when it is asked once more.
    fn download_everything(&mut self, messages: Option<u32>) -> u32 {
        let all = self.run(
            "for (;;) {
               let all = 0;
               for (const box of root.descendants) all += await download(box);
               if (all == (args ?? all)) return all;
               await pause(20);
             }",
            json!(messages),
        );
        serde_json::from_value(all).expect("a number of messages")
    }
}

impl Drop for Thunderbird {
    fn drop(&mut self) {
        // The program as it is started may be a script, and it has processes for its windows.
        let group = format!("-{}", self.child.id());
        let killed = std::process::Command::new("kill")
            .args(["-KILL", "--", &group])
            .status();
        // Nothing can be done about one that cannot be killed.
        let _ = killed.and_then(|_| self.child.wait());
    }
}

/// Fills alice's account.
fn fill(server: &Server) -> Client {
    let mut client = server.login();
    for mailbox in ["Work", "Work/Projects", "W&APY-rter"] {
        client.ok(format!("CREATE {mailbox}"));
        client.ok(format!("SUBSCRIBE {mailbox}"));
    }
    for number in 1..AT_FIRST {
        let message = samples::plain(&format!("message {number}"), "text");
        client.append_ok("INBOX", "", &message);
    }
    client.append_ok("INBOX", "", &samples::nested().message);
    client.append_ok("Work/Projects", "(\\Seen)", &samples::plain("plan", "text"));
    client
}

/// Waits until a mailbox is as another client expects it.
fn wait_for(client: &mut Client, what: &str, mut is_so: impl FnMut(&mut Client) -> bool) {
    let so = process::wait_for(|| {
        client.ok("NOOP");
        is_so(client)
    });
    assert!(so, "it never came to {what}");
}

fn messages(client: &mut Client, mailbox: &str) -> u64 {
    client
        .ok(format!("STATUS {mailbox} (MESSAGES)"))
        .status_items()["MESSAGES"]
}

fn deliver(server: &Server, subject: &str) {
    let message = samples::plain(subject, "text");
    server.deliver().deliver(&["alice@example.org"], &message);
}

/// How many messages the program took from the server, or their headers.
fn taken(recorder: &Recorder) -> usize {
    let lines = recorder.lines(Side::Server);
    lines
        .iter()
        .filter(|line| line.contains(" FETCH (UID ") && line.contains(" RFC822.SIZE "))
        .count()
}

fn a_day_with_thunderbird(server: &Server) {
    let recorder = Recorder::before(server.address());
    let mut client = fill(server);
    let mut bird = Thunderbird::start(server, "");
    bird.make_account(server, "127.0.0.1", recorder.address.port(), 0);
    bird.wait_for_inbox(AT_FIRST);
    knows_the_folders(&mut bird);
    bird.download_everything(Some(AT_FIRST + 1));
    copies_a_folder(&mut bird, &mut client);
    moves_deletes_and_marks(&mut bird, &mut client);
    searches(&mut bird);
    makes_renames_and_deletes_folders(&mut bird, &mut client);
    hears_of_others_while_it_idles(server, &mut bird, &mut client);
    comes_back_after_a_crash(server, &recorder, &mut bird);
    drop(bird);
    recorder.check_answers();
}

fn knows_the_folders(bird: &mut Thunderbird) {
    let uses = bird.run(
        "const { SentMail, Drafts, Trash, Junk, Archive } = Ci.nsMsgFolderFlags;
         await until(() => folder(\"W&APY-rter\") && folder(\"Work/Projects\"));
         return [[\"Sent\", SentMail], [\"Drafts\", Drafts], [\"Trash\", Trash], [\"Junk\", Junk],
           [\"Archive\", Archive]].filter(([name, flag]) => folder(name).flags & flag)
           .map(([name]) => name).concat(folder(\"W&APY-rter\").localizedName);",
        Value::Null,
    );
    assert_eq!(
        uses,
        json!(["Sent", "Drafts", "Trash", "Junk", "Archive", "Wörter"])
    );
}

fn copies_a_folder(bird: &mut Thunderbird, client: &mut Client) {
    bird.run(
        "accounts.createLocalMailAccount();
         const local = accounts.localFoldersServer.rootFolder;
         const from = local.QueryInterface(Ci.nsIMsgLocalMailFolder).createLocalSubfolder(\"Copied\")
           .QueryInterface(Ci.nsIMsgLocalMailFolder);
         const line = \"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\\r\\n\";
         for (let number = 1; number <= args; number++) {
           from.addMessage(`From: bob@example.net\\r\\nTo: alice@example.org\\r\\nSubject: local ${number}\\r\\n` +
             `Message-ID: <local${number}@example.net>\\r\\nMIME-Version: 1.0\\r\\n` +
             `Content-Type: multipart/mixed; boundary=b\\r\\n\\r\\n` +
             `--b\\r\\nContent-Type: text/plain\\r\\n\\r\\ntext ${number}.\\r\\n` +
             `--b\\r\\nContent-Type: application/octet-stream; name=a.bin\\r\\n` +
             `Content-Transfer-Encoding: base64\\r\\n` +
             `Content-Disposition: attachment; filename=a.bin\\r\\n\\r\\n` +
             line.repeat(10 * number) + `--b--\\r\\n`);
         }
         await copied(listener =>
           MailServices.copy.copyFolder(from, root, false, listener, ourWindow()));
         await open(folder(\"Copied\"));
         await until(() => count(folder(\"Copied\")) == args);",
        json!(COPIED),
    );
    client.ok("SELECT Copied");
    let last = client.fetch(COPIED, "BODY.PEEK[]");
    let last = String::from_utf8_lossy(last.bytes("BODY[]")).into_owned();
    assert!(last.contains(&format!("\r\ntext {COPIED}.\r\n")), "{last}");
    let lines = last.matches("QUJDREVGR0hJSktM").count();
    assert_eq!(lines, 10 * COPIED as usize, "the attachment is whole");
}

fn moves_deletes_and_marks(bird: &mut Thunderbird, client: &mut Client) {
    // It shows the outcome at once, and tells the server half a second later. What is moved out of
    // the same folder after that it may forget to tell, so there is one of each folder.
    bird.run(
        "const from = folder(\"Copied\");
         MailServices.copy.copyMessages(from, messages(from).slice(5, 10), folder(\"Work\"), true,
           null, ourWindow(), true);",
        Value::Null,
    );
    wait_for(client, "five messages in Work", |client| {
        messages(client, "Work") == 5
    });
    bird.run(
        "const from = folder(\"Work/Projects\");
         from.deleteMessages(messages(from), ourWindow(), false, true, null, true);",
        Value::Null,
    );
    wait_for(client, "one in Trash", |client| {
        messages(client, "Trash") == 1
    });
    bird.run(
        "const box = folder(\"Copied\");
         const all = messages(box);
         box.markMessagesFlagged(all.slice(0, 2), true);
         box.markMessagesRead(all.slice(0, 4), true);
         box.addKeywordsToMessages(all.slice(0, 3), \"$label1\");
         box.removeKeywordsFromMessages(all.slice(2, 3), \"$label1\");",
        Value::Null,
    );
    wait_for(client, "tags and flags", |client| {
        let found = ["FLAGGED", "SEEN", "KEYWORD $label1"]
            .map(|key| client.ok(format!("UID SEARCH {key}")).found());
        found == [vec![1, 2], vec![1, 2, 3, 4], vec![1, 2]]
    });
    let left = [
        messages(client, "Copied"),
        messages(client, "Work/Projects"),
    ];
    assert_eq!(left, [u64::from(COPIED) - 5, 0]);
}

fn searches(bird: &mut Thunderbird) {
    let found = bird.run(
        "const box = folder(\"Copied\");
         await open(box);
         return [
           await search(box, \"Body\", \"Contains\", \"text 60.\"),
           await search(box, \"Subject\", \"Contains\", \"local 4\"),
           await search(box, \"Sender\", \"DoesntContain\", \"bob\"),
           await search(box, \"Keywords\", \"Contains\", \"$label1\"),
           await search(folder(\"Work\"), \"Subject\", \"Contains\", \"Grüße\"),
         ];",
        Value::Null,
    );
    assert_eq!(found, json!([1, 11, 0, 2, 0]));
}

fn makes_renames_and_deletes_folders(bird: &mut Thunderbird, client: &mut Client) {
    let names = |client: &mut Client| {
        let names = client.ok("LIST (SUBSCRIBED) \"\" *").mailboxes("LIST");
        names.into_keys().collect::<Vec<_>>()
    };
    bird.run(
        "root.createSubfolder(\"Neu & alt\", null);
         await until(() => folder(\"Neu &- alt\"));
         folder(\"Neu &- alt\").createSubfolder(\"Kind\", null);
         await until(() => folder(\"Neu &- alt/Kind\"));
         folder(\"Neu &- alt\").rename(\"Größer\", ourWindow());
         await until(() => folder(\"Gr&APYA3w-er/Kind\"));",
        Value::Null,
    );
    wait_for(client, "a renamed folder", |client| {
        let names = names(client);
        names.contains(&"Gr&APYA3w-er/Kind".to_owned()) && !names.contains(&"Neu &- alt".to_owned())
    });
    // Into the trash, and out of it.
    bird.run(
        "folder(\"Gr&APYA3w-er\").deleteSelf(ourWindow());
         await until(() => folder(\"Trash/Gr&APYA3w-er\"));
         await finished(listener => folder(\"Trash\").emptyTrash(listener));",
        Value::Null,
    );
    wait_for(client, "an empty trash", |client| {
        let names = names(client);
        messages(client, "Trash") == 0 && !names.iter().any(|name| name.starts_with("Trash/"))
    });
}

fn hears_of_others_while_it_idles(server: &Server, bird: &mut Thunderbird, client: &mut Client) {
    bird.run("await open(folder(\"INBOX\"));", Value::Null);
    deliver(server, "news");
    bird.wait_for_inbox(AT_FIRST + 1);
    client.ok("SELECT INBOX");
    client.ok("STORE 2 +FLAGS (\\Flagged $label2)");
    client.ok("STORE 3 +FLAGS (\\Seen)");
    let keywords = bird.run(
        "const named = name => messages(folder(\"INBOX\")).find(each => each.subject == name);
         await until(() => named(\"message 2\").isFlagged && named(\"message 3\").isRead);
         return named(\"message 2\").getStringProperty(\"keywords\");",
        Value::Null,
    );
    assert_eq!(keywords, "$label2");
    client.ok("STORE 4 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    bird.wait_for_inbox(AT_FIRST);
}

/// What was downloaded before is not downloaded again.
fn comes_back_after_a_crash(server: &Server, recorder: &Recorder, bird: &mut Thunderbird) {
    let all = bird.download_everything(None);
    let before = taken(recorder);
    server.kill();
    server.start_again().expect("the server starts again");
    recorder.lead_to(server.address());
    deliver(server, "after the crash");
    bird.run(
        "for (const box of root.descendants) await open(box);",
        Value::Null,
    );
    bird.wait_for_inbox(AT_FIRST + 1);
    bird.download_everything(Some(all + 1));
    // The header and the body of what is new.
    assert_eq!(taken(recorder) - before, 2);
}

/// It does not use CONDSTORE unless it is told to.
fn thunderbird_with_condstore(server: &Server) {
    let recorder = Recorder::before(server.address());
    drop(fill(server));
    let setting = "user_pref(\"mail.server.default.use_condstore\", true);";
    let mut bird = Thunderbird::start(server, setting);
    bird.make_account(server, "127.0.0.1", recorder.address.port(), 0);
    bird.wait_for_inbox(AT_FIRST);
    bird.download_everything(Some(AT_FIRST + 1));
    let before = taken(&recorder);
    server.restart();
    recorder.lead_to(server.address());
    let mut client = server.login();
    client.ok("SELECT INBOX");
    client.ok("STORE 2 +FLAGS (\\Flagged)");
    client.ok("STORE 3 +FLAGS.SILENT (\\Deleted)");
    client.ok("EXPUNGE");
    deliver(server, "news");
    // One is gone and one has come.
    bird.run(
        "await open(folder(\"INBOX\"));
         const named = name => messages(folder(\"INBOX\")).find(each => each.subject == name);
         const knows = () =>
           named(\"message 2\").isFlagged && !named(\"message 3\") && named(\"news\");
         for (let round = 1; !knows(); round++) {
           await pause(20);
           // It may overlook an EXPUNGE that comes as IDLE begins, until it connects anew.
           if (round % 500 == 0) {
             server.closeCachedConnections();
             await open(folder(\"INBOX\"));
           }
         }",
        Value::Null,
    );
    bird.download_everything(Some(AT_FIRST + 1));
    assert_eq!(taken(&recorder) - before, 2);
    drop(bird);
    let asked = recorder.lines(Side::Client);
    assert!(
        asked.iter().any(|line| line.contains("(CHANGEDSINCE ")),
        "it asks for what changed"
    );
    recorder.check_answers();
}

fn it_comes_by_starttls_and_by_tls(server: &Server) {
    drop(fill(server));
    let pem = fs::read_to_string(server.folder().join("certificate.pem")).expect("it is there");
    let certificate: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut bird = Thunderbird::start(server, "");
    for (address, security) in [(server.address(), 2), (server.tls_address(), 3)] {
        // What confirming the exception does.
        bird.run(
            "const [certificate, port] = args;
             const made = Cc[\"@mozilla.org/security/x509certdb;1\"].getService(Ci.nsIX509CertDB)
               .constructX509FromBase64(certificate);
             Cc[\"@mozilla.org/security/certoverride;1\"].getService(Ci.nsICertOverrideService)
               .rememberValidityOverride(\"localhost\", port, {}, made, false);",
            json!([certificate, address.port()]),
        );
        bird.make_account(server, "localhost", address.port(), security);
        bird.wait_for_inbox(AT_FIRST);
        bird.run(
            "server.closeCachedConnections();
             accounts.removeAccount(accounts.defaultAccount, true);",
            Value::Null,
        );
    }
}

fn it_understands_what_autoconfig_says(server: &Server) {
    let mut bird = Thunderbird::start(server, "");
    let config = bird.run(
        "const { fetchHTTP } =
           ChromeUtils.importESModule(\"resource:///modules/accountcreation/FetchHTTP.sys.mjs\");
         const { readFromXML } =
           ChromeUtils.importESModule(\"resource:///modules/accountcreation/readFromXML.sys.mjs\");
         const xml = await fetchHTTP(`http://${args}/mail/config-v1.1.xml`, {
           urlArgs: { emailaddress: \"alice@example.org\" },
           signal: new AbortController().signal,
         });
         const config = readFromXML(xml, \"isp-http\");
         const of = server => [server.type, server.hostname, server.port, server.socketType,
           server.auth, server.username];
         return [config.incoming, ...config.incomingAlternatives, config.outgoing,
           ...config.outgoingAlternatives].map(of);",
        json!(server.http_address().to_string()),
    );
    // socketType: 2 STARTTLS, 3 TLS; auth: 3 a password.
    let (host, user) = ("mx.example.org", "alice@example.org");
    let (tls, starttls) = (server.tls_address().port(), server.address().port());
    assert_eq!(
        config,
        json!([
            ["imap", host, tls, 3, 3, user],
            ["imap", host, starttls, 2, 3, user],
            ["smtp", host, 465, 3, 3, user],
            ["smtp", host, 587, 2, 3, user],
        ])
    );
}
