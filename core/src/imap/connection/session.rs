//! The states of a connection (RFC 3501 §3), and which command is legal in which.

use super::asleep::Asleep;
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
        /// The selected mailbox, as long as nothing happens; there is no view then.
        asleep: Option<Box<Asleep>>,
    },
}

impl core::fmt::Debug for Session {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotAuthenticated => "NotAuthenticated",
            Self::Authenticated {
                asleep: Some(_), ..
            } => "Asleep",
            Self::Authenticated { view: None, .. } => "Authenticated",
            Self::Authenticated { view: Some(_), .. } => "Selected",
        })
    }
}

impl Session {
    pub(super) fn is_authenticated(&self) -> bool {
        matches!(self, Self::Authenticated { .. })
    }

    pub(super) fn is_selected(&self) -> bool {
        matches!(
            self,
            Self::Authenticated { view: Some(_), .. }
                | Self::Authenticated {
                    asleep: Some(_),
                    ..
                }
        )
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

/// The one table of commands and states.
fn rule(command: &Command) -> Legal {
    match command {
        Command::Capability => Legal::Always,
        Command::Noop => Legal::Always,
        Command::Logout => Legal::Always,
        Command::Id(_) => Legal::Always,
        Command::StartTls => Legal::NotAuthenticated,
        Command::Authenticate { .. } => Legal::NotAuthenticated,
        Command::Login { .. } => Legal::NotAuthenticated,
        Command::Enable(_) => Legal::Authenticated,
        Command::Select { .. } => Legal::Authenticated,
        Command::Examine { .. } => Legal::Authenticated,
        Command::Create { .. } => Legal::Authenticated,
        Command::Delete { .. } => Legal::Authenticated,
        Command::Rename { .. } => Legal::Authenticated,
        Command::Subscribe { .. } => Legal::Authenticated,
        Command::Unsubscribe { .. } => Legal::Authenticated,
        Command::List(_) => Legal::Authenticated,
        Command::Namespace => Legal::Authenticated,
        Command::Status { .. } => Legal::Authenticated,
        Command::Idle => Legal::Authenticated,
        Command::Check => Legal::Selected,
        Command::Close => Legal::Selected,
        Command::Unselect => Legal::Selected,
        Command::Expunge => Legal::Selected,
        Command::UidExpunge(_) => Legal::Selected,
        Command::Search { .. } => Legal::Selected,
        Command::Fetch { .. } => Legal::Selected,
        Command::Store { .. } => Legal::Selected,
        Command::Copy { .. } => Legal::Selected,
        Command::Move { .. } => Legal::Selected,
    }
}

impl Connection {
    /// The command's name, or why it is not legal now.
    pub(super) fn legal(&self, command: &Command) -> Result<&'static str, &'static str> {
        match rule(command) {
            Legal::NotAuthenticated if self.session.is_authenticated() => {
                Err("You are logged in already")
            }
            Legal::Authenticated | Legal::Selected if !self.session.is_authenticated() => {
                Err("Log in first")
            }
            Legal::Selected if !self.session.is_selected() => Err("Select a mailbox first"),
            _ => match self.not_enabled(command) {
                Some(why) => Err(why),
                None => Ok(command.name()),
            },
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
            words.push_str(if self.may_log_in() {
                " AUTH=PLAIN"
            } else {
                " LOGINDISABLED"
            });
        }
        words.push_str(
            " ENABLE IDLE NAMESPACE CHILDREN LIST-EXTENDED LIST-STATUS SPECIAL-USE \
             CREATE-SPECIAL-USE XLIST UIDPLUS MOVE UNSELECT MULTIAPPEND WITHIN \
             ESEARCH CONDSTORE QRESYNC STATUS=SIZE",
        );
        words.push_str(&format!(" APPENDLIMIT={}", self.config.message_bytes_max));
        words
    }

    pub(super) fn greet(&mut self) {
        let greeting = format!(
            "* OK [CAPABILITY {}] Restante is ready\r\n",
            self.capabilities()
        );
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
