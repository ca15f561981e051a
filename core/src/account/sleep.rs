//! Connections that sleep: they have a mailbox selected, but keep for themselves what they
//! were shown of it, so that the account need not hold it for them. They are told once that
//! there may be news, and then ask.
//!
//! When all connections sleep, or have nothing selected, the machine has nothing that could
//! not be read again: its owner may end it, keep the [`Sleepers`], and begin another one
//! when a connection asks for something or a doorbell rings.

use super::machine::{Account, Selected, Sleep};
use super::{AccountReply, ConnectionId};
use crate::mailbox::{MailboxId, MailboxState};

/// The connections of an account that sleep, without the machine.
#[derive(Debug, Default)]
pub struct Sleepers(Vec<(ConnectionId, MailboxId, bool, Sleep)>);

impl Account {
    /// With connections that sleep since before this machine began.
    #[must_use]
    pub fn with_sleepers(mut self, sleepers: Sleepers) -> Self {
        for (id, mailbox, read_only, sleep) in sleepers.0 {
            let connection = self.connections.entry(id).or_default();
            connection.selected = Some(Selected {
                mailbox,
                read_only,
                told: None,
                sleep: Some(sleep),
            });
        }
        self
    }

    /// Those who sleep, for the next machine.
    pub fn take_sleepers(&mut self) -> Sleepers {
        let connections = core::mem::take(&mut self.connections).into_iter();
        let sleepers = connections.filter_map(|(id, connection)| {
            let selected = connection.selected?;
            Some((id, selected.mailbox, selected.read_only, selected.sleep?))
        });
        Sleepers(sleepers.collect())
    }

    /// Whether no connection needs this machine now: all sleep or have nothing selected,
    /// none waits for an answer, everything is committed, and no upkeep is under way.
    #[must_use]
    pub fn is_unneeded(&self) -> bool {
        let awake = |selected: &Selected| selected.sleep.is_none();
        self.is_quiet()
            && self.upkeep.is_at_rest()
            && !self
                .connections
                .values()
                .any(|connection| connection.selected.as_ref().is_some_and(awake))
    }

    /// A connection need not be told more than that there are news.
    pub(super) fn sleep(&mut self, connection: ConnectionId) {
        let Some(selected) = self
            .connections
            .get_mut(&connection)
            .and_then(|it| it.selected.as_mut())
        else {
            return;
        };
        let Some(told) = selected.told.take() else {
            return;
        };
        selected.sleep = Some(Sleep {
            known: (told.highest_modseq(), told.len()),
            stirred: false,
        });
        let mailbox = selected.mailbox;
        if let Some(state) = self.state(mailbox).cloned() {
            self.stir_behind(mailbox, &state);
        }
        self.note_idle(mailbox);
    }

    /// A connection could not be told what stirred it. It is stirred again when the mailbox
    /// was read after all, which may be soon: storage is slow, or the log is long.
    pub(super) fn sleep_on(&mut self, connection: ConnectionId) {
        let connection = self.connections.get_mut(&connection);
        let selected = connection.and_then(|it| it.selected.as_mut());
        if let Some(sleep) = selected.and_then(|it| it.sleep.as_mut()) {
            sleep.stirred = false;
        }
    }

    /// A connection that slept is told of its mailbox in an answer: it sleeps no more.
    pub(super) fn rouse(&mut self, connection: ConnectionId) {
        let selected = self
            .connections
            .get(&connection)
            .and_then(|it| it.selected.as_ref());
        if let Some(&Selected {
            mailbox,
            read_only,
            sleep: Some(_),
            ..
        }) = selected
        {
            self.select(connection, mailbox, read_only);
        }
    }

    /// Whether a connection sleeps.
    pub(super) fn is_asleep(&self, connection: ConnectionId) -> bool {
        self.connections
            .get(&connection)
            .and_then(|it| it.selected.as_ref())
            .is_some_and(|selected| selected.sleep.is_some())
    }

    /// Whether a connection that sleeps on this mailbox was told that there are news, and so
    /// is about to ask for them, or asks already.
    pub(super) fn is_waking(&self, mailbox: MailboxId) -> bool {
        let mut selected = self.connections.values();
        selected.any(|connection| {
            let selected = connection.selected.as_ref();
            selected.is_some_and(|it| {
                it.mailbox == mailbox && it.sleep.is_some_and(|sleep| sleep.stirred)
            })
        })
    }

    /// There may be news for those who sleep on such a mailbox.
    pub(super) fn stir(&mut self, concerns: impl Fn(MailboxId) -> bool) {
        self.stir_if(|selected, _| concerns(selected.mailbox));
    }

    /// Stirs those who sleep on a mailbox and were not told of its state as it is.
    pub(super) fn stir_behind(&mut self, mailbox: MailboxId, state: &MailboxState) {
        let known = (state.highest_modseq(), state.len());
        self.stir_if(|selected, sleep| selected.mailbox == mailbox && sleep.known != known);
    }

    fn stir_if(&mut self, concerns: impl Fn(&Selected, &Sleep) -> bool) {
        let mut stirred = Vec::new();
        for (id, connection) in &mut self.connections {
            let Some(selected) = &mut connection.selected else {
                continue;
            };
            let Some(sleep) = selected.sleep.filter(|sleep| !sleep.stirred) else {
                continue;
            };
            if concerns(selected, &sleep) {
                let stirred_now = Sleep {
                    stirred: true,
                    ..sleep
                };
                selected.sleep = Some(stirred_now);
                stirred.push(*id);
            }
        }
        for connection in stirred {
            self.reply(connection, AccountReply::Stirred);
        }
    }
}
