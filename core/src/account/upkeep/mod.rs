//! What keeps an account in order, beside its connections: the sweep of what nobody names
//! any more, by itself about once a day, and what an operator asks for: a check of
//! everything, and bringing back what was expunged.
//!
//! All of it works on what storage has, not on what this machine remembers, makes one
//! request after the other, and can be dropped at any of them.

mod check;
mod content;
mod missing;
mod recover;
mod report;
mod survey;
mod sweep;

pub use report::{CheckReport, Finding, Recoverable, Recovered, SweepReport, Trouble};

use super::machine::Account;
use super::plan::MailboxWork;
use super::shared::{LogId, Shared};
use super::{AccountFailure, AccountReply, AccountRequest, ConnectionId};
use crate::boundary::Event;
use crate::mailbox::{MailboxId, MessageId};
use crate::random::Random;
use crate::storage::{RequestId, StorageError, StorageResponse};
use crate::time::Instant;
use crate::workflow::{Io, Workflow};
use check::Check;
use core::task::Poll;
use core::time::Duration;
use recover::Undelete;
use std::collections::VecDeque;
use std::sync::Arc;
use survey::Survey;
use sweep::{Forget, Hindrance, Sweep, Swept};

/// How long to wait after a sweep that failed.
const RETRY_PAUSE: Duration = Duration::from_secs(3_600);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Upkeep {
    running: Option<Running>,
    /// One of each connection at most.
    waiting: VecDeque<(ConnectionId, AccountRequest)>,
    /// When to look whether a sweep is due. `None`: never.
    sweep_at: Option<Instant>,
}

#[derive(Debug)]
struct Running {
    /// Who is told; nobody of a sweep that came by itself.
    asker: Option<ConnectionId>,
    body: Workflow<Outcome>,
}

type Outcome = Result<Ended, AccountFailure>;

/// What came of it.
#[derive(Debug)]
struct Ended {
    reply: AccountReply,
    /// What the logs are to forget.
    forget: Forget,
}

impl From<AccountReply> for Ended {
    fn from(reply: AccountReply) -> Self {
        let forget = Vec::new();
        Self { reply, forget }
    }
}

impl Upkeep {
    /// For a machine that begins now.
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            sweep_at: later(shared, shared.config.sweep_delay),
            ..Self::default()
        }
    }

    /// Whether nothing is under way or asked for.
    pub(super) fn is_at_rest(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    /// When to be woken.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.sweep_at.filter(|_| self.running.is_none())
    }
}

/// The time in so long; never, if that is beyond all time.
fn later(shared: &Shared, duration: Duration) -> Option<Instant> {
    let at = shared.now.instant.after(duration);
    (at < Instant(u64::MAX)).then_some(at)
}

impl Account {
    /// Takes a request of upkeep.
    pub(super) fn ask_upkeep(&mut self, connection: ConnectionId, request: AccountRequest) {
        self.upkeep.waiting.push_back((connection, request));
        self.run_upkeep();
    }

    /// Takes an answer of storage.
    pub(super) fn upkeep_answered(&mut self, id: RequestId, response: StorageResponse) {
        if let Some(running) = &mut self.upkeep.running {
            running.body.answer(id, response);
        }
        self.run_upkeep();
    }

    /// Does what can be done now.
    pub(super) fn run_upkeep(&mut self) {
        loop {
            if self.upkeep.running.is_none() {
                self.start_upkeep();
            }
            let Some(running) = &mut self.upkeep.running else {
                return;
            };
            let outcome = running.body.resume();
            self.shared.carry_out(LogId::Upkeep, &mut running.body);
            let Poll::Ready(outcome) = outcome else {
                return;
            };
            self.shared.give_up(&running.body);
            let asker = running.asker;
            self.upkeep.running = None;
            self.upkeep_done(asker, outcome);
        }
    }

    /// Ends it all: nothing of it needs an end.
    pub(super) fn end_upkeep(&mut self) {
        self.upkeep.sweep_at = None;
        if let Some(running) = self.upkeep.running.take() {
            self.shared.give_up(&running.body);
            if let Some(connection) = running.asker {
                self.fail(connection, AccountFailure::Unavailable);
            }
        }
        for (connection, _) in core::mem::take(&mut self.upkeep.waiting) {
            self.fail(connection, AccountFailure::Unavailable);
        }
    }

    fn start_upkeep(&mut self) {
        let now = self.shared.now.instant;
        let (asker, request) = match self.upkeep.waiting.pop_front() {
            Some((connection, request)) => (Some(connection), request),
            None if self.upkeep.sweep_at.is_some_and(|at| at <= now) => {
                self.upkeep.sweep_at = None;
                (None, AccountRequest::Sweep)
            }
            None => return,
        };
        let shared = &mut self.shared;
        let random = Random::new(shared.random.seed());
        let body = Workflow::new(&shared.ids, |io| {
            let survey = Survey {
                io,
                config: Arc::clone(&shared.config),
                keys: Arc::clone(&shared.keys),
                places: shared.places,
                now_ms: shared.now.unix_ms,
            };
            run(survey, random, request, asker.is_some())
        });
        self.upkeep.running = Some(Running { asker, body });
    }

    fn upkeep_done(&mut self, asker: Option<ConnectionId>, outcome: Outcome) {
        if asker.is_none() {
            let pause = match outcome {
                Ok(_) => self.shared.config.sweep_interval,
                Err(_) => RETRY_PAUSE,
            };
            self.upkeep.sweep_at = later(&self.shared, pause);
        }
        let outcome = outcome.map(|Ended { reply, forget }| {
            for (mailbox, messages) in forget {
                self.forget(mailbox, messages);
            }
            reply
        });
        if let Ok(AccountReply::Swept(report)) = &outcome
            && report.deleted() + report.forgotten > 0
        {
            self.shared.event(Event::Swept(report.clone()));
        }
        match (asker, outcome) {
            (Some(connection), Ok(reply)) => self.reply(connection, reply),
            (Some(connection), Err(failure)) => self.fail(connection, failure),
            (None, _) => {}
        }
    }

    /// Writes down that it need not be known any more of these messages that they were
    /// expunged. Nobody waits for it: what fails is found again by the next sweep.
    fn forget(&mut self, mailbox: MailboxId, messages: Vec<MessageId>) {
        if !self.shutdown && self.has_mailbox(mailbox) {
            let log = &mut self.mailbox(mailbox).log;
            log.push(MailboxWork::Forget(messages));
            self.run_mailbox(mailbox);
        }
    }
}

async fn run(survey: Survey, random: Random, request: AccountRequest, wanted: bool) -> Outcome {
    let (io, prefix) = (survey.io.clone(), survey.places.prefix());
    let outcome = match request {
        AccountRequest::Sweep => {
            let sweep = Sweep {
                survey,
                random,
                wanted,
            };
            let swept = sweep.run().await.map(Option::unwrap_or_default);
            swept.map(|Swept { report, forget }| Ended {
                reply: AccountReply::Swept(report),
                forget,
            })
        }
        AccountRequest::Check(options) => {
            let check = Check::new(survey, random, options);
            let report = check.run().await.map_err(Hindrance::from);
            report.map(|report| AccountReply::Checked(Box::new(report)).into())
        }
        AccountRequest::Undelete { mailbox, since_ms } => {
            let undelete = Undelete {
                survey,
                mailbox,
                since_ms,
            };
            return match undelete.run().await {
                Ok(Some(recovered)) => Ok(AccountReply::Recoverable(recovered).into()),
                Ok(None) => Err(AccountFailure::NonExistent),
                Err(error) => Err(failed(&io, &error)),
            };
        }
        _ => unreachable!("only requests of upkeep come here"),
    };
    outcome.map_err(|hindrance| match hindrance {
        Hindrance::Storage(error) => failed(&io, &error),
        Hindrance::Damaged => {
            let reason = "the index is damaged, so nothing is collected; fsck tells more";
            refuse(&io, prefix, reason)
        }
        Hindrance::Lost => {
            let reason = "the index has less than before, so nothing is collected; fsck tells more";
            refuse(&io, prefix, reason)
        }
    })
}

fn failed(io: &Io, error: &StorageError) -> AccountFailure {
    io.event(Event::StorageFailed {
        step: "upkeep",
        reason: error.to_string(),
    });
    AccountFailure::Unavailable
}

fn refuse(io: &Io, place: String, reason: &str) -> AccountFailure {
    let reason = reason.to_owned();
    io.event(Event::Damaged { place, reason });
    AccountFailure::Corrupt
}
