//! What SEARCH says: `* SEARCH` (RFC 3501 §7.2.5) or, with RETURN, `* ESEARCH` (RFC 4731 §3.1).

use super::Search;
use crate::imap::connection::context::Context;
use crate::imap::connection::view::{View, number_into};
use crate::imap::grammar::{ReturnOption, response};
use crate::mailbox::ModSeq;
use crate::workflow::Io;
use std::io::Write as _;

/// Room for a number or a range of numbers and what is around it.
const NUMBER_OCTETS: usize = 32;

/// Messages found, and how the client wants to hear of them.
pub(super) struct Report<'a> {
    pub(super) view: &'a View,
    pub(super) search: &'a Search,
    /// Positions, ascending.
    pub(super) found: &'a [u32],
}

impl Report<'_> {
    pub(super) async fn say(&self, io: &Io, context: &Context) {
        match &self.search.return_options {
            None => self.say_search(io, context).await,
            Some(options) => self.say_esearch(io, context, options).await,
        }
    }

    /// `* SEARCH 2 84 882`, with ` (MODSEQ 917162500)` if the key asks for changes
    /// (RFC 7162 §3.1.6).
    async fn say_search(&self, io: &Io, context: &Context) {
        context.room(io, NUMBER_OCTETS).await;
        io.write(|out| out.extend_from_slice(b"* SEARCH"));
        for number in self.numbers() {
            context.room(io, NUMBER_OCTETS).await;
            io.write(|out| {
                out.push(b' ');
                number_into(out, number as usize);
            });
        }
        let modseq = self.highest(self.found);
        context.room(io, 2 * NUMBER_OCTETS).await;
        io.write(|out| {
            if let Some(modseq) = modseq {
                write!(out, " (MODSEQ {})", modseq.0).expect("a Vec takes everything");
            }
            out.extend_from_slice(b"\r\n");
        });
    }

    /// `* ESEARCH (TAG "A282") MIN 2 COUNT 3`. Nothing but COUNT is said of nothing found.
    async fn say_esearch(&self, io: &Io, context: &Context, options: &[ReturnOption]) {
        let wants = |option| options.contains(&option);
        let tag = self.search.tag.as_str();
        context.room(io, tag.len() + 4 * NUMBER_OCTETS).await;
        io.write(|out| {
            // A tag has no character that a quoted string must escape.
            write!(out, "* ESEARCH (TAG \"{tag}\")").expect("a Vec takes everything");
            if self.search.uid {
                out.extend_from_slice(b" UID");
            }
            let ends = [
                (ReturnOption::Min, "MIN", self.found.first()),
                (ReturnOption::Max, "MAX", self.found.last()),
            ];
            for (option, name, position) in ends {
                let number = position.and_then(|position| self.number(*position));
                if let Some(number) = number.filter(|_| wants(option)) {
                    write!(out, " {name} {number}").expect("a Vec takes everything");
                }
            }
            if wants(ReturnOption::Count) {
                write!(out, " COUNT {}", self.found.len()).expect("a Vec takes everything");
            }
        });
        if wants(ReturnOption::All) {
            let mut before: &[u8] = b" ALL ";
            for range in response::ranges(self.numbers()) {
                context.room(io, NUMBER_OCTETS).await;
                io.write(|out| {
                    out.extend_from_slice(core::mem::replace(&mut before, b","));
                    response::set(out, [range]);
                });
            }
        }
        let modseq = self.returned_highest(options);
        context.room(io, NUMBER_OCTETS).await;
        io.write(|out| {
            if let Some(modseq) = modseq {
                write!(out, " MODSEQ {}", modseq.0).expect("a Vec takes everything");
            }
            out.extend_from_slice(b"\r\n");
        });
    }

    /// The highest MODSEQ of what ESEARCH returns: of the messages at the ends if nothing
    /// else is returned (RFC 4731 §3.2).
    fn returned_highest(&self, options: &[ReturnOption]) -> Option<ModSeq> {
        let (first, last) = (self.found.first()?, self.found.last()?);
        let wants = |option| options.contains(&option);
        if wants(ReturnOption::All) || wants(ReturnOption::Count) {
            return self.highest(self.found);
        }
        match (wants(ReturnOption::Min), wants(ReturnOption::Max)) {
            (true, false) => self.highest(&[*first]),
            (false, true) => self.highest(&[*last]),
            _ => self.highest(&[*first, *last]),
        }
    }

    /// The highest MODSEQ of some messages; `None` if there are none or the key does not
    /// ask for changes.
    fn highest(&self, positions: &[u32]) -> Option<ModSeq> {
        if !self.search.key.asks_modseq() {
            return None;
        }
        let messages = positions.iter().map(|position| *position as usize);
        messages
            .filter_map(|position| Some(self.view.message(position)?.modseq))
            .max()
    }

    /// UIDs or sequence numbers of what was found.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        let positions = self.found.iter();
        positions.filter_map(|position| self.number(*position))
    }

    fn number(&self, position: u32) -> Option<u32> {
        if self.search.uid {
            let message = self.view.shown.message(position as usize)?;
            return Some(message.uid.get());
        }
        Some(position + 1)
    }
}
