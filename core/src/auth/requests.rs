//! The requests under way in one connection.

use super::grammar::Number;
use crate::boundary::Reason;
use crate::storage::RequestId;
use crate::time::Instant;
use core::net::IpAddr;
use std::collections::BTreeMap;

/// How far a request has come.
#[derive(Debug)]
pub(super) enum Request {
    /// The user was asked for something.
    Asked {
        step: Step,
        source: Option<IpAddr>,
        /// When it is given up.
        until: Instant,
    },
    /// The password is being checked.
    Checking {
        user: String,
        id: RequestId,
        /// When a wrong password may be answered.
        penalty: Instant,
    },
    /// The password is wrong, the answer waits for this.
    Refused { user: String, penalty: Instant },
}

/// What the user was asked for.
#[derive(Debug)]
pub(super) enum Step {
    /// A message of PLAIN.
    Plain,
    /// LOGIN: the user name.
    Name,
    /// LOGIN: the password of this user.
    Password(String),
}

/// Requests by their numbers.
#[derive(Debug, Default)]
pub(super) struct Requests(BTreeMap<Number, Request>);

impl Requests {
    pub(super) fn insert(&mut self, number: Number, request: Request) {
        self.0.insert(number, request);
    }

    pub(super) fn take(&mut self, number: Number) -> Option<Request> {
        self.0.remove(&number)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether some are answered without a further word of their users.
    pub(super) fn are_running(&self) -> bool {
        self.0
            .values()
            .any(|request| !matches!(request, Request::Asked { .. }))
    }

    /// The one whose user was asked first and has not answered.
    pub(super) fn longest_asked(&self) -> Option<Number> {
        let asked = self.0.iter().filter_map(|(number, request)| match request {
            Request::Asked { until, .. } => Some((*until, *number)),
            _ => None,
        });
        asked.min().map(|(_, number)| number)
    }

    /// Takes the request whose password this is the check of.
    pub(super) fn take_checked(&mut self, checked: RequestId) -> Option<(Number, String, Instant)> {
        let number = self.0.iter().find_map(|(number, request)| {
            let Request::Checking { id, .. } = request else {
                return None;
            };
            (*id == checked).then_some(*number)
        })?;
        match self.0.remove(&number) {
            Some(Request::Checking { user, penalty, .. }) => Some((number, user, penalty)),
            _ => None,
        }
    }

    /// Takes a request whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Number, Request)> {
        let (_, _, number) = self.deadlines().min().filter(|(at, ..)| *at <= now)?;
        Some((number, self.0.remove(&number)?))
    }

    /// When the next request's time comes.
    pub(super) fn deadline(&self) -> Option<(Instant, Reason)> {
        let (at, penalty, _) = self.deadlines().min()?;
        let reason = match penalty {
            true => Reason::Penalty,
            false => Reason::Command,
        };
        Some((at, reason))
    }

    /// When, whether it is a penalty, whose.
    fn deadlines(&self) -> impl Iterator<Item = (Instant, bool, Number)> {
        self.0.iter().filter_map(|(number, request)| match request {
            Request::Asked { until, .. } => Some((*until, false, *number)),
            Request::Refused { penalty, .. } => Some((*penalty, true, *number)),
            Request::Checking { .. } => None,
        })
    }

    /// The checks under way.
    pub(super) fn checks(&self) -> impl Iterator<Item = RequestId> {
        self.0.values().filter_map(|request| match request {
            Request::Checking { id, .. } => Some(*id),
            _ => None,
        })
    }
}
