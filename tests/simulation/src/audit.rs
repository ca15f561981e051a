//! A client that looks at everything there is on one server.

use crate::client::Client;
use crate::script::Command;
use crate::world::{Event, SECOND, World};
use std::collections::BTreeMap;

/// A look at everything.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) process: usize,
    /// Mailboxes that are there.
    pub(crate) names: Vec<String>,
    listed: bool,
    /// Mailboxes that were looked at.
    pub(crate) seen: BTreeMap<String, Shown>,
    done: bool,
}

/// A mailbox as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    /// UID, mail, flags.
    pub(crate) messages: Vec<(u32, usize, Vec<String>)>,
}

/// After so long a server that is not disturbed must have shown everything.
const PATIENCE: u64 = 1_000 * SECOND;

impl World {
    /// Everything that a server shows.
    pub(crate) fn audit(&mut self, process: usize) -> BTreeMap<String, Shown> {
        let client = self.clients.len();
        self.note(format_args!("client {client} looks at server {process}"));
        self.clients.push(Client::new());
        self.clients[client].audit = Some(Audit {
            process,
            ..Audit::default()
        });
        self.at(self.now, Event::Act(client, 0));
        let limit = self.now + PATIENCE;
        let is_done = |client: &Client| client.audit.as_ref().is_some_and(|audit| audit.done);
        while self.violation.is_none() && !is_done(&self.clients[client]) && self.now < limit {
            self.step();
        }
        if self.violation.is_none() && !is_done(&self.clients[client]) {
            self.blame(format!("server {process} does not show everything in time"));
        }
        let audit = self.clients[client].audit.take();
        self.hang_up(client, true);
        audit.map(|audit| audit.seen).unwrap_or_default()
    }

    pub(crate) fn audit_next(&mut self, client: usize) {
        let it = &mut self.clients[client];
        let (Some(audit), Some(session)) = (&mut it.audit, &it.session) else {
            return;
        };
        if audit.names.is_empty() || !audit.listed {
            audit.listed = true;
            audit.names.clear();
            return self.simple(client, Command::List, "LIST \"\" \"*\"");
        }
        let Some(name) = audit
            .names
            .iter()
            .find(|name| !audit.seen.contains_key(*name))
        else {
            audit.done = true;
            return;
        };
        let selected = session.view.as_ref().is_some_and(|view| view.name == *name);
        if selected {
            let line = "UID FETCH 1:* (UID FLAGS BODY.PEEK[])";
            let command = Command::Fetch {
                whole: true,
                all: true,
            };
            return self.simple(client, command, line);
        }
        let (line, name, read_only) = (format!("EXAMINE \"{name}\""), name.clone(), true);
        self.simple(client, Command::Select { name, read_only }, &line);
    }

    /// All messages of a mailbox were shown.
    pub(crate) fn audit_listed(&mut self, client: usize) -> Result<(), String> {
        let it = &mut self.clients[client];
        let (Some(audit), Some(session)) = (&mut it.audit, &it.session) else {
            return Ok(());
        };
        let Some(view) = &session.view else {
            return Ok(());
        };
        let messages = view.messages.iter().map(|seen| {
            let flags = seen.flags.clone().unwrap_or_default();
            Some((seen.uid?, seen.mail?, flags))
        });
        let Some(messages) = messages.collect::<Option<Vec<_>>>() else {
            return Err(format!("FETCH left something out in {}", view.name));
        };
        let shown = Shown {
            uid_validity: view.uid_validity,
            uid_next: view.uid_next,
            messages,
        };
        audit.seen.insert(view.name.clone(), shown);
        Ok(())
    }
}
