//! A message comes in, by DATA (RFC 5321 §4.1.1.4) or BDAT (RFC 3030), and its recipients are
//! answered (RFC 2033 §4.2).

use super::super::copies::Start;
use super::super::data::Unstuffer;
use super::super::post::PostRequest;
use super::super::reply::{self, Reply};
use super::super::transaction::{Message, Transaction};
use super::{Activity, Connection};
use bytes::Bytes;

/// How the end of what comes in is found.
#[derive(Debug)]
pub(super) enum Framing {
    /// DATA.
    Dots(Unstuffer),
    /// BDAT: octets to come, and whether they are the last.
    Chunk { left: u64, last: bool },
}

/// Octets of a message that give the client its whole time again.
const PROGRESS_OCTETS: usize = 16 * 1024;

impl Connection {
    pub(super) fn data(&mut self) {
        match &self.transaction {
            Some(transaction) if transaction.message.is_some() => self.refuse(reply::SEQUENCE),
            Some(transaction) if transaction.recipients() > 0 => {
                self.enter(Framing::Dots(Unstuffer::default()));
            }
            // Whoever sends commands ahead cannot know yet that all RCPTs failed.
            Some(_) => self.say(reply::NO_RECIPIENT),
            None => self.refuse(reply::SEQUENCE),
        }
    }

    pub(super) fn chunk(&mut self, left: u64, last: bool) {
        let framing = Framing::Chunk { left, last };
        match &self.transaction {
            Some(transaction) if transaction.message.is_some() => {
                self.activity = Activity::Receiving(framing);
            }
            Some(transaction) if transaction.recipients() > 0 => self.enter(framing),
            _ if left > self.config.skip_bytes_max => {
                self.bye(reply::TOO_BIG);
            }
            _ => {
                // A last chunk has an answer for each recipient: none (RFC 2033 §4.3).
                self.activity = Activity::Skipping(left, (!last).then_some(reply::SEQUENCE));
                if last {
                    self.transaction = None;
                }
            }
        }
    }

    /// A message begins, once there is room for its copies.
    fn enter(&mut self, framing: Framing) {
        let copies = self.transaction.as_ref().map_or(0, Transaction::mailboxes);
        self.activity = Activity::Entering {
            id: self.ask(PostRequest::Room(copies)),
            framing,
            since: self.now.instant,
        };
    }

    pub(super) fn entered(&mut self, framing: Framing) {
        let chunked = matches!(framing, Framing::Chunk { .. });
        if let Some(transaction) = &mut self.transaction {
            let start = Start {
                config: &self.config,
                ids: &self.ids,
                random: &mut self.random,
                now: self.now,
            };
            let mut message = transaction.begin(start);
            message.copies.begin(self.now, &mut self.outputs);
            transaction.message = Some(message);
        }
        if !chunked {
            self.say(reply::GO_AHEAD);
        }
        self.heard = self.now.instant;
        self.activity = Activity::Receiving(framing);
    }

    /// There is no room in time.
    pub(super) fn turned_away(&mut self, framing: Framing) {
        match framing {
            Framing::Dots(_) => self.say(reply::BUSY),
            chunk @ Framing::Chunk { .. } => {
                // Its octets come all the same.
                if let Some(transaction) = &mut self.transaction {
                    let refused = Message::refused(reply::BUSY, self.now.instant);
                    transaction.message = Some(refused);
                }
                self.activity = Activity::Receiving(chunk);
            }
        }
    }

    /// Takes octets of the message in, as many as the copies want.
    pub(super) fn receive(&mut self, mut framing: Framing) -> bool {
        let Some(message) = self.transaction.as_mut().and_then(|it| it.message.as_mut()) else {
            // Whoever receives has a message.
            return self.close();
        };
        loop {
            if matches!(framing, Framing::Chunk { left: 0, .. }) {
                return self.received(framing);
            }
            // One octet may have been held back.
            let room = message
                .copies
                .room()
                .map_or(usize::MAX, |it| it.saturating_sub(1));
            let waiting = self.inbox.waiting();
            let octets = &waiting[..waiting.len().min(room)];
            if octets.is_empty() {
                break;
            }
            let mut plain = Vec::with_capacity(octets.len() + 1);
            let (taken, ended, bare) = match &mut framing {
                Framing::Dots(unstuffer) => {
                    let found = unstuffer.read(octets, &mut plain);
                    (found.taken, found.ended, found.bare)
                }
                Framing::Chunk { left, last } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX);
                    plain.extend_from_slice(&octets[..octets.len().min(count)]);
                    *left -= plain.len() as u64;
                    let at_end = *last && *left == 0;
                    let bare =
                        message.line_ends.bare(&plain) || at_end && message.line_ends.bare_at_end();
                    (plain.len(), false, bare)
                }
            };
            self.inbox.take(taken);
            self.progress += taken;
            if self.progress >= PROGRESS_OCTETS {
                self.progress = 0;
                self.heard = self.now.instant;
            }
            message.size = message.size.saturating_add(plain.len() as u64);
            let too_big = message.size > self.config.message_bytes_max;
            if message.refusal.is_none() && (bare || too_big) {
                message.refusal = Some(match bare {
                    true => reply::BARE_IN_MESSAGE,
                    false => reply::TOO_BIG,
                });
                message.copies.abandon(&self.ids, &mut self.outputs);
            }
            let end = (self.config.message_bytes_max).saturating_add(self.config.skip_bytes_max);
            if message.size > end {
                return self.bye(reply::TOO_BIG);
            }
            let plain = Bytes::from(plain);
            message.copies.receive(self.now, &plain, &mut self.outputs);
            if ended {
                return self.received(framing);
            }
        }
        if self.eof && self.inbox.len() == 0 {
            return self.close();
        }
        self.activity = Activity::Receiving(framing);
        false
    }

    /// What was to come in has come.
    fn received(&mut self, framing: Framing) -> bool {
        self.heard = self.now.instant;
        let message = self.transaction.as_mut().and_then(|it| it.message.as_mut());
        let Some(message) = message else {
            return self.close();
        };
        if let Framing::Chunk { last: false, .. } = framing {
            let reply = message.refusal.unwrap_or(reply::CHUNK_OK);
            self.say(reply);
            return true;
        }
        // An empty last chunk may follow a CR.
        if message.refusal.is_none() && message.line_ends.bare_at_end() {
            message.refusal = Some(reply::BARE_IN_MESSAGE);
            message.copies.abandon(&self.ids, &mut self.outputs);
        }
        message.copies.end(self.now, &mut self.outputs);
        self.activity = Activity::Storing(0);
        true
    }

    /// Answers those recipients of whom it is known what became of their copies.
    pub(super) fn store(&mut self, answered: usize) -> bool {
        let Some(transaction) = &self.transaction else {
            return true;
        };
        let recipients = transaction.recipients();
        let answers = transaction.answers(answered);
        let answered = answered + answers.len();
        for answer in answers {
            self.say(answer);
        }
        if answered < recipients {
            self.activity = Activity::Storing(answered);
            return false;
        }
        self.heard = self.now.instant;
        self.drop_transaction();
        true
    }

    pub(super) fn skip(&mut self, left: u64, reply: Option<Reply>) -> bool {
        let waiting = self.inbox.len();
        let count = usize::try_from(left).map_or(waiting, |left| left.min(waiting));
        self.inbox.take(count);
        self.progress += count;
        if self.progress >= PROGRESS_OCTETS {
            self.progress = 0;
            self.heard = self.now.instant;
        }
        let left = left - count as u64;
        if left > 0 && self.eof {
            return self.close();
        }
        if left > 0 {
            self.activity = Activity::Skipping(left, reply);
            return false;
        }
        self.heard = self.now.instant;
        if let Some(reply) = reply {
            self.refuse(reply);
        }
        true
    }
}
