//! One client of the model of the directory, by a socket.

use crate::commands::{Answer, Command};
use restante_tests::server::Account;
use restante_tests::{Client, Server};
use std::time::Duration;

/// A client that is logged in.
pub(crate) struct Talker {
    client: Client,
    tags: u32,
    closed: bool,
}

/// What was said, and is to be answered.
pub(crate) struct Asked(String);

impl Talker {
    pub(crate) fn come(server: &Server, account: &Account) -> Self {
        let mut client = server.connect();
        client.login(&account.name, &account.password);
        Self {
            client,
            tags: 0,
            closed: false,
        }
    }

    /// Says it and does not wait.
    pub(crate) fn ask(&mut self, command: &Command) -> Asked {
        self.tags += 1;
        let tag = format!("d{}", self.tags);
        // Whoever was sent away meanwhile reads why instead of the answer.
        let _closed = self.client.try_send(command.line(&tag).as_bytes());
        Asked(tag)
    }

    /// Reads until the answer is there, or the end.
    pub(crate) fn hear(&mut self, asked: &Asked) -> Answer {
        let mut answer = Answer::default();
        while let Some(response) = self.client.try_response() {
            if response.starts_with(&format!("{} ", asked.0)) {
                answer.tagged = Some(response.text());
                return answer;
            }
            answer.lines.push(response.text());
        }
        self.closed = true;
        answer
    }

    pub(crate) fn say(&mut self, command: &Command) -> Answer {
        let asked = self.ask(command);
        self.hear(&asked)
    }

    /// Whether the connection ended before an answer.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the server has said BYE, or says it within the time.
    pub(crate) fn is_sent_away(&mut self, within: Duration) -> bool {
        if !self.closed && self.client.has_more_within(within) {
            let last = self.client.until_closed();
            self.closed = last.iter().any(|line| line.starts_with("* BYE"));
        }
        self.closed
    }
}
