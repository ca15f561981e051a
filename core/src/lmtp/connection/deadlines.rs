//! What there is time for, and what becomes of it when that is over.

use super::super::reply;
use super::{Activity, Connection};
use crate::boundary::{Event, Output, Reason};
use crate::time::Instant;

impl Connection {
    /// Everything that there is time for, with the reason.
    pub(super) fn deadlines(&self) -> [Option<(Instant, Reason)>; 4] {
        let config = &self.config;
        let client = |time| Some((self.heard.after(time), Reason::Command));
        let patience = |since: Instant| Some((since.after(config.lmtp_patience), Reason::Patience));
        let message = self.transaction.as_ref().and_then(|it| it.message.as_ref());
        let storing = matches!(self.activity, Activity::Storing(_));
        let own = match &self.activity {
            Activity::Ready if self.inbox.is_clean() && message.is_none() => Some((
                self.heard.after(config.lmtp_command_timeout),
                Reason::Inactivity,
            )),
            Activity::Ready => client(config.lmtp_command_timeout),
            Activity::Finding { since, .. } | Activity::Entering { since, .. } => patience(*since),
            Activity::Receiving(_) if message.and_then(|it| it.copies.room()) == Some(0) => None,
            Activity::Receiving(_) | Activity::Skipping(..) => client(config.lmtp_data_timeout),
            Activity::Storing(_) | Activity::Closing => None,
        };
        let whole = message.filter(|_| !storing).map(|message| {
            let end = message.began.after(config.lmtp_message_timeout);
            (end, Reason::Command)
        });
        let retry = message.and_then(|it| it.copies.deadline());
        let stall = (self.transmit.len() > 0).then(|| self.read.after(config.stall_timeout));
        [
            own,
            whole,
            retry.map(|at| (at, Reason::Retry)),
            stall.map(|at| (at, Reason::Stall)),
        ]
    }

    pub(super) fn timed_out(&mut self) {
        let now = self.now.instant;
        let due = |deadline: Option<(Instant, Reason)>| deadline.is_some_and(|(at, _)| at <= now);
        let [own, whole, retry, stall] = self.deadlines().map(due);
        if stall {
            self.outputs
                .push_back(Output::Event(Event::Aborted("the client does not read")));
            self.close();
            return;
        }
        if retry {
            self.with_copies(|copies, now, outputs| copies.timeout(now, outputs));
        }
        if whole {
            self.bye(reply::TOO_SLOW);
        } else if own {
            match core::mem::replace(&mut self.activity, Activity::Ready) {
                Activity::Finding { id, .. } => {
                    self.outputs.push_back(Output::Abandon(id));
                    self.say(reply::DIRECTORY);
                }
                Activity::Entering { id, framing, .. } => {
                    self.outputs.push_back(Output::Abandon(id));
                    self.turned_away(framing);
                }
                Activity::Ready => {
                    self.bye(reply::SILENT);
                }
                _ => {
                    self.bye(reply::TOO_SLOW);
                }
            }
            self.heard = now;
        }
    }
}
