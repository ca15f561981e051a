//! A selected mailbox while its client only waits: what the client was shown, in so few
//! octets that nobody minds how long it waits.
//!
//! A client that has been in IDLE for [`sleep_delay`] without news falls asleep: of its
//! [`View`] only this is kept, and the account is told that it need not keep the mailbox.
//! When something may have happened ([`AccountReply::Stirred`]), or the client sends a
//! command that is about messages, the mailbox is read again and the view made anew: what
//! was expunged meanwhile is announced as if the client had been awake all the time. DONE,
//! IDLE, and commands that are not about the mailbox wake nobody; APPEND does if it turns out
//! that the message came to this mailbox.
//!
//! [`sleep_delay`]: crate::config::Config::sleep_delay

use super::context::Context;
use super::idle::Idling;
use super::reply::{Completion, Outcome};
use super::session::Session;
use super::view::{Quiet, Recent, Renumber, View};
use super::{Activity, Connection, VANISHED};
use crate::account::{AccountFailure, AccountReply, AccountRequest, Snapshot};
use crate::boundary::Output;
use crate::imap::grammar::Command;
use crate::mailbox::{Keyword, MailboxId, ModSeq, Uid};
use crate::workflow::{Io, Workflow};
use core::ops::RangeInclusive;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Said when what is read is older than what the client was shown: numbers that it knows
/// must not be told as expunged, so it is to come again.
pub(super) const BEHIND: &str = "The server has lost sight of the mailbox, please connect again";

/// See the module.
#[derive(Debug)]
pub(super) struct Asleep {
    mailbox: MailboxId,
    read_only: bool,
    /// The messages that sequence numbers count: ranges of UIDs, ascending.
    uids: Box<[RangeInclusive<u32>]>,
    known_modseq: ModSeq,
    flags_told: ModSeq,
    recent: Recent,
    keywords_told: Arc<Vec<Keyword>>,
}

/// Whether something may have happened while the view is asleep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stir {
    /// Not that anybody said so.
    #[default]
    None,
    /// It may have: the client is to be told when it can be.
    Due,
    /// It may have, but the mailbox could not be read: once more after a while.
    Later,
}

impl Asleep {
    /// What stays of a view whose client was told everything.
    fn of(view: View) -> Self {
        let mut uids: Vec<RangeInclusive<u32>> = Vec::new();
        for message in view.shown.iter_from(0) {
            let uid = message.uid.get();
            match uids.last_mut() {
                Some(range) if *range.end() == uid - 1 => *range = *range.start()..=uid,
                _ => uids.push(uid..=uid),
            }
        }
        Self {
            mailbox: view.mailbox,
            read_only: view.read_only,
            uids: uids.into(),
            known_modseq: view.known_modseq(),
            flags_told: view.flags_told,
            recent: view.recent,
            keywords_told: view.keywords_told,
        }
    }

    /// The client knows all changes up to here.
    pub(super) fn known_modseq(&self) -> ModSeq {
        self.known_modseq
    }

    /// Takes in what is `\Recent` for this client.
    pub(super) fn grant(&mut self, recent: Recent) {
        self.recent.join(recent);
    }

    /// The view that it was, with the newest state of the mailbox; `None` if that state is
    /// older than what the client was shown.
    pub(super) fn into_view(self, snapshot: Snapshot) -> Option<View> {
        let uids = self.uids.iter().cloned().flatten().filter_map(Uid::new);
        let (shown, lost) = snapshot.state.as_shown(uids, self.known_modseq)?;
        let mut recent = self.recent;
        recent.grant(&snapshot);
        Some(View {
            mailbox: self.mailbox,
            read_only: self.read_only,
            shown,
            latest: snapshot.state,
            lost,
            flags_told: self.flags_told,
            recent,
            keywords_told: self.keywords_told,
            modseq_due: false,
            ahead: false,
            gone: BTreeMap::new(),
        })
    }
}

/// Makes the view again.
///
/// # Errors
/// How a command ends that needs it.
pub(super) async fn wake(io: &Io, asleep: Box<Asleep>) -> Result<View, Outcome> {
    let request = AccountRequest::Resume {
        mailbox: asleep.mailbox,
        read_only: asleep.read_only,
    };
    match io.account(request).await {
        AccountReply::Snapshot(snapshot) => asleep
            .into_view(snapshot)
            .ok_or_else(|| Outcome::bye(BEHIND)),
        AccountReply::Failed(AccountFailure::NonExistent) => Err(Outcome::bye(VANISHED)),
        AccountReply::Failed(failure) => Err(Outcome::unread(failure.into(), asleep)),
        _ => Err(Outcome::unread(Completion::out_of_step(), asleep)),
    }
}

/// Whether a command is about the messages of the selected mailbox. Others leave it asleep.
pub(super) fn wakes(command: &Command) -> bool {
    matches!(
        command,
        Command::Noop
            | Command::Check
            | Command::Close
            | Command::Expunge
            | Command::UidExpunge(_)
            | Command::Search { .. }
            | Command::Fetch { .. }
            | Command::Store { .. }
            | Command::Copy { .. }
            | Command::Move { .. }
    )
}

impl Connection {
    /// Whether the client may fall asleep, or a waking that failed is to be tried again.
    pub(super) fn tires(&self) -> bool {
        let Activity::Idling(Idling {
            announcing: None, ..
        }) = &self.activity
        else {
            return false;
        };
        match &self.session {
            Session::Authenticated {
                view: Some(view), ..
            } => !view.is_behind(),
            Session::Authenticated {
                asleep: Some(_), ..
            } => self.stir == Stir::Later,
            _ => false,
        }
    }

    /// The client has had no news for a while.
    pub(super) fn tired(&mut self) {
        if !self.tires() {
            return;
        }
        let Session::Authenticated { view, asleep, .. } = &mut self.session else {
            return;
        };
        match view.take() {
            Some(view) => {
                *asleep = Some(Box::new(Asleep::of(view)));
                self.stir = Stir::None;
                self.outputs
                    .push_back(Output::Account(AccountRequest::Sleep));
            }
            None => self.stir = Stir::Due,
        }
    }

    /// Something may have happened.
    pub(super) fn stirred(&mut self) {
        // To who is awake by now it was told otherwise.
        self.stir = Stir::Due;
    }

    /// The body that wakes the client to tell it what it does not know yet.
    pub(super) fn waking(&mut self) -> Option<Workflow<Outcome>> {
        let context = self.context()?;
        let Session::Authenticated { asleep, .. } = &mut self.session else {
            return None;
        };
        let asleep = asleep.take_if(|_| self.stir == Stir::Due)?;
        Some(Workflow::new(&self.ids, async move |io| {
            told(&io, &context, asleep).await
        }))
    }
}

async fn told(io: &Io, context: &Context, asleep: Box<Asleep>) -> Outcome {
    let mut view = match wake(io, asleep).await {
        Ok(view) => view,
        Err(outcome) => return outcome,
    };
    view.announce(io, context, Renumber::Allowed, &Quiet::default())
        .await;
    Outcome::new(Completion::ok("told"), Some(view))
}
