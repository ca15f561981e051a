//! A client that looks at everything there is on one server, or at what has changed in the
//! mailboxes that it keeps.

use crate::cache::Caches;
use crate::client::Client;
use crate::script::Command;
use crate::world::{Event, SECOND, World};
use std::collections::{BTreeMap, BTreeSet};

/// A look at everything.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) process: usize,
    /// Mailboxes that are there.
    pub(crate) names: Vec<String>,
    listed: bool,
    /// Names that are subscribed to.
    subscribed: Option<BTreeSet<String>>,
    /// Only what changed is asked for.
    changes: bool,
    /// It waits in IDLE at the end.
    waits: bool,
    /// Mailboxes that were looked at.
    pub(crate) seen: BTreeMap<String, Shown>,
    done: bool,
}

/// Everything that a server shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct All {
    /// By name.
    pub(crate) mailboxes: BTreeMap<String, Shown>,
    pub(crate) subscribed: BTreeSet<String>,
}

/// A mailbox as it is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    /// UID, mail, flags.
    pub(crate) messages: Vec<(u32, usize, Vec<String>)>,
    /// INTERNALDATE of each.
    dates: Vec<Option<String>>,
}

/// After so long a server that is not disturbed must have shown everything.
const PATIENCE: u64 = 1_000 * SECOND;

impl World {
    /// Everything that a server shows.
    pub(crate) fn audit(&mut self, process: usize) -> All {
        let audit = Audit {
            process,
            ..Audit::default()
        };
        let client = self.look(Client::new(process, None), audit);
        let audit = self.clients[client].audit.take();
        let all = audit.map(|audit| All {
            mailboxes: audit.seen,
            subscribed: audit.subscribed.unwrap_or_default(),
        });
        all.unwrap_or_default()
    }

    /// Somebody who kept mailboxes asks a server what has changed in some of them.
    pub(crate) fn resynchronise(
        &mut self,
        process: usize,
        caches: Caches,
        names: Vec<String>,
    ) -> Caches {
        let audit = Audit {
            process,
            names,
            listed: true,
            subscribed: Some(BTreeSet::new()),
            changes: true,
            ..Audit::default()
        };
        let client = self.look(Client::new(process, Some(caches)), audit);
        self.clients[client].caches.take().unwrap_or_default()
    }

    /// Somebody selects a mailbox and waits for what comes; the number of the client.
    pub(crate) fn wait_in(&mut self, process: usize, name: &str) -> usize {
        let audit = Audit {
            process,
            names: vec![name.to_owned()],
            listed: true,
            subscribed: Some(BTreeSet::new()),
            waits: true,
            ..Audit::default()
        };
        self.look(Client::new(process, None), audit)
    }

    /// Lets a client look; its number.
    fn look(&mut self, it: Client, audit: Audit) -> usize {
        let (client, process) = (self.clients.len(), audit.process);
        self.note(format_args!("client {client} looks at server {process}"));
        self.clients.push(it);
        self.clients[client].audit = Some(audit);
        self.at(self.now, Event::Act(client, 0));
        let limit = self.now + PATIENCE;
        let is_done = |client: &Client| client.audit.as_ref().is_some_and(|audit| audit.done);
        while self.violation.is_none() && !is_done(&self.clients[client]) && self.now < limit {
            self.step();
        }
        if self.violation.is_none() && !is_done(&self.clients[client]) {
            self.blame(format!("server {process} does not show everything in time"));
        }
        let waits = self.clients[client].audit.as_ref();
        if !waits.is_some_and(|audit| audit.waits) {
            self.hang_up(client, true);
        }
        client
    }

    pub(crate) fn audit_next(&mut self, client: usize) {
        let it = &mut self.clients[client];
        let (Some(audit), Some(session)) = (&mut it.audit, &it.session) else {
            return;
        };
        if !audit.listed || (audit.names.is_empty() && !audit.changes) {
            audit.listed = true;
            audit.names.clear();
            return self.simple(client, Command::List, "LIST \"\" \"*\"");
        }
        if audit.subscribed.is_none() {
            return self.ask_subscribed(client);
        }
        let Some(name) = audit
            .names
            .iter()
            .find(|name| !audit.seen.contains_key(*name))
        else {
            audit.done = true;
            if audit.waits {
                self.simple(client, Command::Idle, "IDLE");
            }
            return;
        };
        let known = it.caches.as_ref().map(|caches| caches.parameters(name));
        let known = known.unwrap_or_default();
        let selected = session.view.as_ref().is_some_and(|view| view.name == *name);
        if selected {
            let line = "UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])";
            let command = Command::Fetch {
                whole: true,
                all: true,
            };
            return self.simple(client, command, line);
        }
        let (line, name, read_only) = (format!("EXAMINE \"{name}\"{known}"), name.clone(), true);
        self.simple(client, Command::Select { name, read_only }, &line);
    }

    /// The mailboxes were listed.
    pub(crate) fn audit_names(&mut self, client: usize, names: Vec<String>) {
        if let Some(audit) = &mut self.clients[client].audit {
            audit.names = names;
        }
    }

    /// What is subscribed to was told.
    pub(crate) fn audit_subscribed(&mut self, client: usize, names: Vec<String>) {
        if let Some(audit) = &mut self.clients[client].audit {
            audit.subscribed = Some(names.into_iter().collect());
        }
    }

    /// What changed in a mailbox was told.
    pub(crate) fn audit_selected(&mut self, client: usize) {
        let it = &mut self.clients[client];
        let view = it.session.as_ref().and_then(|it| it.view.as_ref());
        if let (Some(audit), Some(view)) = (&mut it.audit, view)
            && audit.changes
        {
            audit.seen.insert(view.name.clone(), Shown::default());
        }
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
            dates: view.messages.iter().map(|seen| seen.date.clone()).collect(),
        };
        audit.seen.insert(view.name.clone(), shown);
        Ok(())
    }
}
