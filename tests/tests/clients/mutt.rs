//! mutt and neomutt on a terminal of tmux: open a mailbox, copy, delete, flag.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use restante_tests::{
    Server, Test,
    neighbours::{self, Program},
    process, samples, tests,
    trials::Need,
};

pub(crate) const TESTS: &[Test] = tests![
    mutt_reads_and_files => needs(&[Need::Program(Program::MUTT), Need::Program(Program::TMUX)]),
    neomutt_reads_and_files => needs(&[Need::Program(Program::NEOMUTT), Need::Program(Program::TMUX)]),
];

fn mutt_reads_and_files(server: &Server) {
    reads_and_files(server, Program::MUTT);
}

fn neomutt_reads_and_files(server: &Server) {
    reads_and_files(server, Program::NEOMUTT);
}

/// A terminal that goes away with this value.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    fn tmux(&self) -> Command {
        let mut command = Program::TMUX.command();
        command.arg("-S").arg(&self.socket);
        command
    }

    fn screen(&self) -> String {
        let Output { stdout, .. } = neighbours::output(self.tmux().args(["capture-pane", "-p"]));
        String::from_utf8_lossy(&stdout).into_owned()
    }

    /// Whether the program in it still runs.
    fn is_open(&self) -> bool {
        neighbours::output(self.tmux().arg("has-session"))
            .status
            .success()
    }

    fn keys(&self, keys: &[&str]) {
        neighbours::success(self.tmux().arg("send-keys").args(keys));
    }

    /// Waits until the screen shows something.
    fn wait_for(&self, what: &str) {
        let shown = process::wait_for(|| self.screen().contains(what));
        assert!(
            shown,
            "{what:?} never came on the screen:\n{}",
            self.screen()
        );
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.tmux().arg("kill-server").output();
    }
}

fn reads_and_files(server: &Server, program: Program) {
    let mut client = server.login();
    client.ok("CREATE Filed");
    for number in 1..=5 {
        client.append_ok(
            "INBOX",
            "",
            &samples::plain(&format!("subject{number}"), &format!("text of {number}")),
        );
    }
    let configuration = format!(
        "set folder=\"imap://{}@{}\"\nset spoolfile=\"+INBOX\"\nset imap_user=\"{}\"\nset imap_pass=\"{}\"\n\
         set ssl_starttls=no\nset ssl_force_tls=no\nset header_cache=\"\"\nset sleep_time=0\nset confirmappend=no\n\
         set delete=yes\nset move=no\nset sort=mailbox-order\nset mark_old=no\nset help=no\nset wait_key=no\n\
         set copy=no\nset quit=yes\nset beep=no\nset pager_index_lines=0\nset mail_check=1\nset timeout=1\n",
        server.alice.name,
        server.address(),
        server.alice.name,
        server.alice.password
    );
    let file = server.folder().join("muttrc");
    fs::write(&file, configuration).expect("our folder can be written");
    let terminal = Terminal {
        socket: server.folder().join("tmux"),
    };
    let command = format!("{} -n -F {}", program.name, file.display());
    neighbours::success(
        terminal
            .tmux()
            .args([
                "-f",
                "/dev/null",
                "new-session",
                "-d",
                "-x",
                "120",
                "-y",
                "40",
            ])
            .env("HOME", server.folder())
            .env("TERM", "xterm")
            .env("LC_ALL", "C.UTF-8")
            .arg(command),
    );
    terminal.wait_for("subject5");
    // Read the second one, file the third, flag the fourth, delete the fifth.
    terminal.keys(&["2", "Enter"]);
    terminal.keys(&["Enter"]);
    terminal.wait_for("text of 2");
    terminal.keys(&["i"]);
    terminal.wait_for("subject5");
    terminal.keys(&["3", "Enter"]);
    terminal.keys(&["C"]);
    terminal.wait_for("Copy to mailbox");
    terminal.keys(&["C-u"]);
    terminal.keys(&["-l", "=Filed"]);
    terminal.keys(&["Enter"]);
    let mut other = server.login();
    let filed =
        process::wait_for(|| other.ok("STATUS Filed (MESSAGES)").status_items()["MESSAGES"] == 1);
    assert!(filed, "nothing was filed:\n{}", terminal.screen());
    terminal.keys(&["4", "Enter"]);
    terminal.keys(&["F"]);
    terminal.keys(&["5", "Enter"]);
    terminal.keys(&["d"]);
    terminal.keys(&["$"]);
    client.ok("SELECT INBOX");
    let done = process::wait_for(|| {
        client.ok("NOOP");
        client.ok("SEARCH ALL").found() == [1, 2, 3, 4]
            && client.ok("SEARCH FLAGGED").found() == [4]
    });
    assert!(done, "the changes did not arrive:\n{}", terminal.screen());
    assert_eq!(
        client.ok("SEARCH SEEN").found().first(),
        Some(&2),
        "what was read is seen"
    );
    client.ok("SELECT Filed");
    assert_eq!(
        client.fetch(1, "BODY.PEEK[]").bytes("BODY[]"),
        samples::plain("subject3", "text of 3")
    );
    // A new message arrives while it is open.
    client.append_ok("INBOX", "", &samples::plain("subject6", "late"));
    let shown = process::wait_for(|| {
        terminal.keys(&["C-l"]);
        terminal.screen().contains("subject6")
    });
    assert!(
        shown,
        "the new message never came on the screen:\n{}",
        terminal.screen()
    );
    terminal.keys(&["q"]);
    assert!(
        process::wait_for(|| !terminal.is_open()),
        "it does not quit:\n{}",
        terminal.screen()
    );
}
