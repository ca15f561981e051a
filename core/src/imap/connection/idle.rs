//! IDLE (RFC 2177): the client is told of changes as they come, until it says DONE.
//!
//! Between two changes nothing runs and nothing is held beyond the tag; after a while not
//! even the mailbox ([`asleep`](super::asleep)).

use super::reply::{Completion, Outcome};
use super::session::Session;
use super::view::{Quiet, Renumber, View};
use super::{Activity, Connection, view};
use crate::boundary::Reason;
use crate::imap::grammar::Tag;
use crate::workflow::Workflow;
use core::task::Poll;

/// An IDLE that lasts.
#[derive(Debug)]
pub(super) struct Idling {
    tag: Tag,
    /// Tells the client what changed.
    pub(super) announcing: Option<Workflow<Outcome>>,
}

impl Connection {
    pub(super) fn start_idle(&mut self, tag: Tag) {
        self.write(b"+ idling\r\n");
        self.told();
        self.activity = Activity::Idling(Idling {
            tag,
            announcing: None,
        });
    }

    /// Goes on with IDLE; `false` until the next input.
    pub(super) fn idle(&mut self, mut idling: Idling) -> bool {
        if let Some(mut body) = idling.announcing.take() {
            let unsent = self.transmit.len();
            let resumed = self.resume(&mut body);
            if self.transmit.len() > unsent {
                self.told();
            }
            match resumed {
                Poll::Ready(mut outcome) => {
                    let due = outcome.view.as_mut().and_then(View::take_due_modseq);
                    if let Some(modseq) = due {
                        view::highest_modseq(self.transmit.end(), modseq);
                        self.told();
                    }
                    self.put_back(outcome.view, outcome.asleep, outcome.unread);
                    if let Some(words) = outcome.bye {
                        self.say_bye(words);
                        return false;
                    }
                }
                Poll::Pending => {
                    idling.announcing = Some(body);
                    return self.rest(Activity::Idling(idling));
                }
            }
        }
        if let Some(body) = self.announcement().or_else(|| self.waking()) {
            idling.announcing = Some(body);
            self.activity = Activity::Idling(idling);
            return true;
        }
        if self.shutdown {
            self.say_bye("The server is going down");
            return false;
        }
        if let Some(line) = self.inbox.take_line() {
            let word = line.trim_ascii();
            if word.is_empty() {
                // No command and no end: DONE is still to come, and would be taken for a
                // command if this had ended IDLE.
                self.activity = Activity::Idling(idling);
                return true;
            }
            // Whatever ends IDLE ends it; only DONE ends it well (RFC 2177 §3, RFC 9051
            // §6.3.13).
            let completion = if word.eq_ignore_ascii_case(b"DONE") {
                Completion::ok("IDLE is over")
            } else {
                Completion::bad("DONE was expected")
            };
            self.complete(&idling.tag, &completion, "IDLE");
            return true;
        }
        if self.eof || self.inbox.len() > self.config.line_bytes_max {
            self.close();
            return false;
        }
        self.inbox.shrink();
        self.rest(Activity::Idling(idling))
    }

    /// The body that tells what the client does not know yet.
    fn announcement(&mut self) -> Option<Workflow<Outcome>> {
        let context = self.context()?;
        let Session::Authenticated { view, .. } = &mut self.session else {
            return None;
        };
        let mut view = view.take_if(|view| view.is_behind())?;
        Some(Workflow::new(&self.ids, async move |io| {
            view.announce(&io, &context, Renumber::Allowed, &Quiet::default())
                .await;
            Outcome::new(Completion::ok("told"), Some(view))
        }))
    }

    /// Something was sent, so the tables of routers on the way live for as long again.
    fn told(&mut self) {
        self.timers.stop(Reason::KeepAlive);
    }

    /// Keeps the tables of routers on the way alive.
    pub(super) fn keep_alive(&mut self) {
        if matches!(
            &self.activity,
            Activity::Idling(Idling {
                announcing: None,
                ..
            })
        ) {
            self.write(b"* OK Still here\r\n");
        }
    }
}
