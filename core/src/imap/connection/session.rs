//! The states of a connection (RFC 3501 §3), and which command is legal in which.

use super::view::View;
use super::{Activity, Connection};
use crate::imap::grammar::Command;
use crate::seal::AccountKeys;
use std::sync::Arc;

/// Whose connection this is.
pub(super) enum Session {
    /// Nobody's yet.
    NotAuthenticated,
    /// A user's.
    Authenticated {
        /// The user's keys.
        keys: Arc<AccountKeys>,
        /// The selected mailbox; a command's body holds it while it runs.
        view: Option<View>,
    },
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotAuthenticated => "NotAuthenticated",
            Self::Authenticated { view: None, .. } => "Authenticated",
            Self::Authenticated { view: Some(_), .. } => "Selected",
        })
    }
}

/// What the client switched on (RFC 5161).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Features {}

impl Session {
    pub(super) fn is_authenticated(&self) -> bool {
        matches!(self, Self::Authenticated { .. })
    }

    pub(super) fn is_selected(&self) -> bool {
        matches!(self, Self::Authenticated { view: Some(_), .. })
    }
}

/// In which state a command is legal (RFC 3501 §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Legal {
    Always,
    NotAuthenticated,
    Authenticated,
    Selected,
}

/// The one table of commands: name and state.
fn rule(command: &Command) -> (&'static str, Legal) {
    match command {
        Command::Capability => ("CAPABILITY", Legal::Always),
        Command::Noop => ("NOOP", Legal::Always),
        Command::Logout => ("LOGOUT", Legal::Always),
        Command::Id(_) => ("ID", Legal::Always),
        Command::StartTls => ("STARTTLS", Legal::NotAuthenticated),
        Command::Authenticate { .. } => ("AUTHENTICATE", Legal::NotAuthenticated),
        Command::Login { .. } => ("LOGIN", Legal::NotAuthenticated),
        Command::Enable(_) => ("ENABLE", Legal::Authenticated),
        Command::Select { .. } => ("SELECT", Legal::Authenticated),
        Command::Examine { .. } => ("EXAMINE", Legal::Authenticated),
        Command::Create { .. } => ("CREATE", Legal::Authenticated),
        Command::Delete(_) => ("DELETE", Legal::Authenticated),
        Command::Rename { .. } => ("RENAME", Legal::Authenticated),
        Command::Subscribe(_) => ("SUBSCRIBE", Legal::Authenticated),
        Command::Unsubscribe(_) => ("UNSUBSCRIBE", Legal::Authenticated),
        Command::List(_) => ("LIST", Legal::Authenticated),
        Command::Namespace => ("NAMESPACE", Legal::Authenticated),
        Command::Status { .. } => ("STATUS", Legal::Authenticated),
        Command::Idle => ("IDLE", Legal::Authenticated),
        Command::Check => ("CHECK", Legal::Selected),
        Command::Close => ("CLOSE", Legal::Selected),
        Command::Unselect => ("UNSELECT", Legal::Selected),
        Command::Expunge => ("EXPUNGE", Legal::Selected),
        Command::UidExpunge(_) => ("UID EXPUNGE", Legal::Selected),
        Command::Search { .. } => ("SEARCH", Legal::Selected),
        Command::Fetch { .. } => ("FETCH", Legal::Selected),
        Command::Store { .. } => ("STORE", Legal::Selected),
        Command::Copy { .. } => ("COPY", Legal::Selected),
        Command::Move { .. } => ("MOVE", Legal::Selected),
    }
}

impl Connection {
    /// The command's name, or why it is not legal now.
    pub(super) fn legal(&self, command: &Command) -> Result<&'static str, &'static str> {
        let (name, legal) = rule(command);
        match legal {
            Legal::NotAuthenticated if self.session.is_authenticated() => {
                Err("You are logged in already")
            }
            Legal::Authenticated | Legal::Selected if !self.session.is_authenticated() => {
                Err("Log in first")
            }
            Legal::Selected if !self.session.is_selected() => Err("Select a mailbox first"),
            _ => Ok(name),
        }
    }

    /// Whether a password may be sent now.
    pub(super) fn may_log_in(&self) -> bool {
        self.peer.tls || self.peer.loopback || self.config.plaintext_login
    }

    /// Whether STARTTLS may be used now.
    pub(super) fn may_start_tls(&self) -> bool {
        self.config.starttls && !self.peer.tls && !self.session.is_authenticated()
    }

    /// What the server can do, as far as this client may know now.
    pub(super) fn capabilities(&self) -> String {
        let mut words = String::from("IMAP4rev1 LITERAL+ SASL-IR ID");
        if !self.session.is_authenticated() {
            if self.may_start_tls() {
                words.push_str(" STARTTLS");
            }
            words.push_str(if self.may_log_in() { " AUTH=PLAIN" } else { " LOGINDISABLED" });
        }
        words.push_str(
            " ENABLE IDLE NAMESPACE CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE \
             CREATE-SPECIAL-USE XLIST UIDPLUS MOVE UNSELECT MULTIAPPEND WITHIN",
        );
        words.push_str(&format!(" APPENDLIMIT={}", self.config.message_bytes_max));
        words
    }

    pub(super) fn greet(&mut self) {
        let greeting = format!("* OK [CAPABILITY {}] Restante is ready\r\n", self.capabilities());
        self.write(greeting.as_bytes());
    }

    /// TLS is established: the client starts anew (RFC 3501 §6.2.1).
    pub(super) fn tls_established(&mut self) {
        if matches!(self.activity, Activity::StartingTls) {
            self.peer.tls = true;
            self.activity = Activity::Ready;
        }
    }
}
