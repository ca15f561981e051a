//! Clients that want to know how a mailbox stands, again and again: with SELECT, FETCH and STATUS of
//! the same one at the same server, several at once and in quick succession, and mostly while
//! somebody writes to it, so that a log is asked for at any moment of its being read.

use crate::script::Command;
use crate::world::{Event, SECOND, World};

/// What an onlooker is at.
#[derive(Debug, Default)]
pub(crate) struct Onlooker {
    /// The mailbox.
    name: String,
    /// How often it will still ask before it rests.
    left: u64,
}

/// How often an onlooker asks before it rests.
const QUESTIONS_MAX: u64 = 40;

impl World {
    /// Somebody begins to write to a mailbox, or was told that it is done: those who rest may come
    /// and look.
    pub(crate) fn draw_onlookers(&mut self, name: &str) {
        for client in 0..self.clients.len() {
            let Some(onlooker) = &self.clients[client].onlooker else {
                continue;
            };
            if onlooker.left > 0 || !self.chance.permille(500) {
                continue;
            }
            let (name, left) = (name.to_owned(), self.chance.between(5, QUESTIONS_MAX));
            self.clients[client].onlooker = Some(Onlooker { name, left });
            let (at, number) = (self.soon(), self.clients[client].number);
            self.at(at, Event::Act(client, number));
        }
    }

    /// An onlooker asks.
    pub(crate) fn look_on(&mut self, client: usize) {
        let left = self.chance.between(5, QUESTIONS_MAX);
        let Some(onlooker) = &mut self.clients[client].onlooker else {
            return;
        };
        match onlooker.left {
            // INBOX is where most is written.
            0 => {
                let name = "INBOX".to_owned();
                *onlooker = Onlooker { name, left };
            }
            _ => onlooker.left -= 1,
        }
        let name = onlooker.name.clone();
        let selected = self.clients[client].session.as_ref();
        let selected = selected.and_then(|session| session.view.clone());
        match self.chance.below(100) {
            0..45 => self.select_named(client, &name),
            45..60 if selected.is_some() => self.fetch(client, true, "1:*"),
            60..65 if selected.is_some() => self.search(client, &selected.unwrap_or_default()),
            45..95 => self.status_of(client, &name),
            95..99 => self.simple(client, Command::Other("NOOP"), "NOOP"),
            _ => self.simple(client, Command::Logout, "LOGOUT"),
        }
    }

    /// How long an onlooker waits after an answer, in microseconds.
    pub(crate) fn onlooker_waits(&mut self, client: usize) -> Option<u64> {
        let left = self.clients[client].onlooker.as_ref()?.left;
        Some(match left {
            0 => self.chance.below(20 * SECOND),
            _ => self.chance.below(3_000),
        })
    }
}
