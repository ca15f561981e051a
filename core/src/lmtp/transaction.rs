//! A mail transaction (RFC 5321 §3.3): a sender, its recipients, and the message to them.

use super::copies::{Copies, Start};
use super::data::LineEnds;
use super::reply::{self, Reply};
use crate::delivery::{DeliveryFailure, Recipient};
use crate::time::Instant;
use bytes::Bytes;

/// What MAIL and what followed it said.
#[derive(Debug)]
pub(super) struct Transaction {
    /// The sender's address; empty where errors go to nobody.
    return_path: String,
    /// Whether addresses need not be ASCII.
    pub(super) utf8: bool,
    /// Each account once, with the address that it was first named by.
    mailboxes: Vec<(Recipient, String)>,
    /// Which of them each RCPT named that was accepted.
    recipients: Vec<usize>,
    /// What has come of the message.
    pub(super) message: Option<Message>,
}

impl Transaction {
    pub(super) fn new(return_path: String, utf8: bool) -> Self {
        Self {
            return_path,
            utf8,
            mailboxes: Vec::new(),
            recipients: Vec::new(),
            message: None,
        }
    }

    /// How many RCPT were accepted.
    pub(super) fn recipients(&self) -> usize {
        self.recipients.len()
    }

    /// How many copies of the message there will be.
    pub(super) fn mailboxes(&self) -> usize {
        self.mailboxes.len()
    }

    /// An account gets the message, once.
    pub(super) fn add(&mut self, recipient: Recipient, address: String) {
        let known = self.mailboxes.iter();
        let known = known.map(|(it, _)| it.account);
        let at = known
            .clone()
            .position(|account| account == recipient.account);
        self.recipients.push(at.unwrap_or(self.mailboxes.len()));
        if at.is_none() {
            self.mailboxes.push((recipient, address));
        }
    }

    /// The message begins.
    pub(super) fn begin(&self, start: Start<'_>) -> Message {
        let began = start.now.instant;
        let to = self.mailboxes.iter().map(|(recipient, address)| {
            let return_path = &self.return_path;
            let head = format!("Return-Path: <{return_path}>\r\nDelivered-To: {address}\r\n");
            (*recipient, Bytes::from(head))
        });
        Message {
            copies: Copies::start(start, to),
            began,
            size: 0,
            line_ends: LineEnds::default(),
            refusal: None,
        }
    }

    /// The answers to the accepted RCPTs from number `from` on, as far as they are known.
    pub(super) fn answers(&self, from: usize) -> Vec<Reply> {
        let Some(message) = &self.message else {
            return Vec::new();
        };
        let copies = self.recipients[from..].iter();
        copies
            .map_while(|&copy| match message.refusal {
                Some(refusal) => Some(refusal),
                None => message.copies.outcome(copy).map(answer),
            })
            .collect()
    }
}

/// A message that comes in.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) copies: Copies,
    pub(super) began: Instant,
    /// Octets so far.
    pub(super) size: u64,
    pub(super) line_ends: LineEnds,
    /// Why nobody gets it: it is read to its end and thrown away.
    pub(super) refusal: Option<Reply>,
}

impl Message {
    /// One that nobody will get.
    pub(super) fn refused(refusal: Reply, began: Instant) -> Self {
        Self {
            copies: Copies::default(),
            began,
            size: 0,
            line_ends: LineEnds::default(),
            refusal: Some(refusal),
        }
    }
}

fn answer(outcome: Result<(), DeliveryFailure>) -> Reply {
    match outcome {
        Ok(()) => reply::STORED,
        Err(DeliveryFailure::TooBig) => reply::TOO_BIG,
        Err(DeliveryFailure::OverQuota) => reply::FULL,
        // A copy is never without octets: its first lines are ours.
        Err(DeliveryFailure::Empty | DeliveryFailure::Unavailable) => reply::UNAVAILABLE,
        Err(DeliveryFailure::BadKey) => reply::BAD_KEY,
    }
}
