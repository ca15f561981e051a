//! Deadlines of a connection: one table, at most one deadline for each reason.

use super::{Activity, Connection};
use crate::boundary::Reason;
use crate::time::Instant;

/// In the order in which they win when they fall together.
const REASONS: [Reason; 9] = [
    Reason::Stall,
    Reason::Login,
    Reason::Command,
    Reason::Penalty,
    Reason::KeepAlive,
    Reason::Sleep,
    Reason::Inactivity,
    Reason::Retry,
    Reason::Turn,
];

/// The deadlines that are set.
#[derive(Debug, Default)]
pub(super) struct Timers([Option<Instant>; REASONS.len()]);

fn index(reason: Reason) -> usize {
    REASONS
        .iter()
        .position(|other| *other == reason)
        .expect("every reason is in the table")
}

impl Timers {
    pub(super) fn set(&mut self, reason: Reason, deadline: Instant) {
        self.0[index(reason)] = Some(deadline);
    }

    pub(super) fn stop(&mut self, reason: Reason) {
        self.0[index(reason)] = None;
    }

    fn is_set(&self, reason: Reason) -> bool {
        self.0[index(reason)].is_some()
    }

    /// Sets what is not set, or stops it.
    fn keep(&mut self, reason: Reason, wanted: bool, deadline: Instant) {
        if !wanted {
            self.stop(reason);
        } else if !self.is_set(reason) {
            self.set(reason, deadline);
        }
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<(Instant, Reason)> {
        let set = self
            .0
            .iter()
            .zip(REASONS)
            .filter_map(|(at, reason)| Some(((*at)?, reason)));
        set.min_by_key(|(at, _)| *at)
    }

    /// Stops and names a deadline that has passed.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Reason> {
        let (_, reason) = self.next().filter(|(at, _)| *at <= now)?;
        self.stop(reason);
        Some(reason)
    }
}

impl Connection {
    /// Sets the deadlines that follow from what the connection does now.
    pub(super) fn arm_timers(&mut self) {
        if matches!(self.activity, Activity::Closing | Activity::Closed) {
            self.timers = Timers::default();
            if self.transmit.len() > 0 {
                let stall = self.now.instant.after(self.config.stall_timeout);
                self.timers.set(Reason::Stall, stall);
            }
            return;
        }
        let now = self.now.instant;
        let ready = matches!(self.activity, Activity::Ready);
        let in_command = match &self.activity {
            // A whole pipeline that waits for the client to read is not slow to come.
            Activity::Ready => {
                self.transmit.len() < self.config.transmit_bytes_max
                    && (self.collector.has_begun() || self.inbox.len() > 0)
            }
            Activity::Appending(appending) => appending.wants_input(),
            Activity::LoggingIn(login) => login.wants_input(),
            Activity::StartingTls => true,
            _ => false,
        };
        let (paused, rests) = (self.body_is_paused(), self.body_rests());
        let authenticated = self.session.is_authenticated();
        let config = &self.config;
        let (command, stall) = (
            now.after(config.command_timeout),
            now.after(config.stall_timeout),
        );
        let (inactivity, keep_alive) = (
            now.after(config.inactivity_timeout),
            now.after(config.keep_alive_interval),
        );
        let unsent = self.transmit.len() > 0;
        let idling = matches!(self.activity, Activity::Idling(_));
        self.timers.keep(Reason::Command, in_command, command);
        self.timers.keep(Reason::Stall, unsent, stall);
        self.timers.keep(
            Reason::Inactivity,
            authenticated && (ready && !in_command || idling),
            inactivity,
        );
        self.timers.keep(Reason::KeepAlive, idling, keep_alive);
        self.timers.keep(Reason::Turn, paused, now);
        let rested = now.after(rests.unwrap_or_default());
        self.timers.keep(Reason::Retry, rests.is_some(), rested);
        let (tires, sleep) = (self.tires(), now.after(self.config.sleep_delay));
        self.timers.keep(Reason::Sleep, tires, sleep);
        if authenticated {
            self.timers.stop(Reason::Login);
        }
    }
}
