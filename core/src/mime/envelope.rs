//! The envelope of a message: what FETCH ENVELOPE shows of its header.

use super::address::{self, ADDRESSES_MAX, Address};
use super::header::{self, Field};
use super::{Octets, without_nul};

/// The envelope structure (RFC 3501 §7.4.2), not decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The Date field as written.
    pub date: Option<Octets>,
    /// The Subject, unfolded.
    pub subject: Option<Octets>,
    /// From.
    pub from: Vec<Address>,
    /// Sender; empty if there is none, and shown as From then.
    pub sender: Vec<Address>,
    /// Reply-To; empty if there is none, and shown as From then.
    pub reply_to: Vec<Address>,
    /// To.
    pub to: Vec<Address>,
    /// Cc.
    pub cc: Vec<Address>,
    /// Bcc.
    pub bcc: Vec<Address>,
    /// In-Reply-To.
    pub in_reply_to: Option<Octets>,
    /// Message-ID.
    pub message_id: Option<Octets>,
}

impl Envelope {
    /// Reads a raw header. Of a text field that is repeated the first counts, the
    /// addresses of repeated fields follow each other, up to [`ADDRESSES_MAX`] in all.
    #[must_use]
    pub fn from_header(header: &[u8]) -> Self {
        let mut envelope = Self::default();
        let mut room = ADDRESSES_MAX;
        for field in header::fields(header) {
            envelope.read(&field, &mut room);
        }
        envelope
    }

    /// The addresses of Sender or what stands for them (RFC 3501 §7.4.2).
    #[must_use]
    pub fn sender_or_from(&self) -> &[Address] {
        if self.sender.is_empty() {
            &self.from
        } else {
            &self.sender
        }
    }

    /// The addresses of Reply-To or what stands for them (RFC 3501 §7.4.2).
    #[must_use]
    pub fn reply_to_or_from(&self) -> &[Address] {
        if self.reply_to.is_empty() {
            &self.from
        } else {
            &self.reply_to
        }
    }

    /// About how many octets of memory this takes.
    pub(super) fn weight(&self) -> usize {
        let texts = [
            &self.date,
            &self.subject,
            &self.in_reply_to,
            &self.message_id,
        ];
        let texts: usize = texts.into_iter().flatten().map(Octets::len).sum();
        let lists = [
            &self.from,
            &self.sender,
            &self.reply_to,
            &self.to,
            &self.cc,
            &self.bcc,
        ];
        texts
            + lists
                .into_iter()
                .flatten()
                .map(Address::weight)
                .sum::<usize>()
    }

    fn read(&mut self, field: &Field<'_>, room: &mut usize) {
        // The names differ in their lengths and letters; this is cheaper than
        // comparing each field with all of them.
        let name = field.name.to_ascii_lowercase();
        let list = match name.as_slice() {
            b"date" => return set(&mut self.date, field),
            b"subject" => return set(&mut self.subject, field),
            b"in-reply-to" => return set(&mut self.in_reply_to, field),
            b"message-id" => return set(&mut self.message_id, field),
            b"from" => &mut self.from,
            b"sender" => &mut self.sender,
            b"reply-to" => &mut self.reply_to,
            b"to" => &mut self.to,
            b"cc" => &mut self.cc,
            b"bcc" => &mut self.bcc,
            _ => return,
        };
        let addresses = address::parse_list(field.value, *room);
        *room = room.saturating_sub(addresses.len());
        list.extend(addresses);
    }
}

fn set(text: &mut Option<Octets>, field: &Field<'_>) {
    text.get_or_insert_with(|| without_nul(&header::unfold(field.value)));
}
