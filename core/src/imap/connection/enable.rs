//! What a client has enabled: CONDSTORE and QRESYNC (RFC 7162), by ENABLE (RFC 5161) or by
//! a command that uses CONDSTORE.

use super::reply::Completion;
use super::session::Session;
use super::{Connection, view};
use crate::imap::grammar::{Command, FetchItem, StatusItem, Tag};

/// Extensions that change what a client is told, from the moment it asks for them until the
/// connection ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// MODSEQ and UID are in every FETCH response that tells of a change (RFC 7162 §3.2.4).
    pub(super) condstore: bool,
    /// VANISHED comes instead of EXPUNGE (RFC 7162 §3.2.10).
    pub(super) qresync: bool,
}

impl Connection {
    /// ENABLE. What is not known or needs no enabling is passed over (RFC 5161 §3.1).
    pub(super) fn enable(&mut self, tag: &Tag, names: &[String]) {
        let named = |name: &str| names.iter().any(|named| named == name);
        let mut line = String::from("* ENABLED");
        for name in ["CONDSTORE", "QRESYNC"] {
            if named(name) {
                line.push(' ');
                line.push_str(name);
            }
        }
        line.push_str("\r\n");
        self.write(line.as_bytes());
        if named("CONDSTORE") || named("QRESYNC") {
            self.enabled.qresync |= named("QRESYNC");
            self.enable_condstore();
        }
        self.complete(tag, &Completion::ok("Enabled"), "ENABLE");
    }

    /// Why the command cannot be: it uses what has to be enabled before
    /// (RFC 7162 §3.2.5 and §3.2.6).
    pub(super) fn not_enabled(&self, command: &Command) -> Option<&'static str> {
        let wants_qresync = match command {
            Command::Select { parameters, .. } | Command::Examine { parameters, .. } => {
                parameters.qresync.is_some()
            }
            Command::Fetch { vanished, .. } => *vanished,
            _ => false,
        };
        (wants_qresync && !self.enabled.qresync).then_some("ENABLE QRESYNC comes first")
    }

    /// Notes that the client knows CONDSTORE if the command shows it.
    pub(super) fn enable_by(&mut self, command: &Command) {
        match command {
            Command::Select { parameters, .. } | Command::Examine { parameters, .. } => {
                self.enabled.condstore |= parameters.condstore;
            }
            command if is_enabling(command) => self.enable_condstore(),
            _ => {}
        }
    }

    /// The first time, the client is told up to where it knows the selected mailbox
    /// (RFC 7162 §3.1).
    fn enable_condstore(&mut self) {
        if core::mem::replace(&mut self.enabled.condstore, true) {
            return;
        }
        let Session::Authenticated { view, asleep, .. } = &self.session else {
            return;
        };
        let awake = view.as_ref().map(view::View::known_modseq);
        let known = awake.or(asleep.as_ref().map(|it| it.known_modseq()));
        if let Some(modseq) = known {
            view::highest_modseq(self.transmit.end(), modseq);
        }
    }
}

/// The CONDSTORE enabling commands of RFC 7162 §3.1 beside ENABLE and those of SELECT and
/// EXAMINE, which close the mailbox whose HIGHESTMODSEQ would be told.
fn is_enabling(command: &Command) -> bool {
    match command {
        Command::Fetch {
            items,
            changed_since,
            ..
        } => changed_since.is_some() || items.contains(&FetchItem::ModSeq),
        Command::Store {
            unchanged_since, ..
        } => unchanged_since.is_some(),
        Command::Search { key, .. } => key.asks_modseq(),
        Command::Status { items, .. } => items.contains(&StatusItem::HighestModSeq),
        Command::List(list) => {
            let items = list.return_options.status.as_deref().unwrap_or_default();
            items.contains(&StatusItem::HighestModSeq)
        }
        _ => false,
    }
}
