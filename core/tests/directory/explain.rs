//! What is said at the same time, and in which order it may have happened.

use crate::commands::{Answer, Command};
use crate::reference::Reference;
use core::ops::Range;

/// Explanations that are gone on with at most.
const WAYS_MAX: usize = 64;

/// A small generator of numbers.
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn draw(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % below
    }
}

/// What some of these clients say at the same time; a command that takes long is said alone.
pub(crate) fn draw_round(
    chance: &mut Chance,
    texts: &mut u32,
    clients: Range<usize>,
) -> Vec<(usize, Command)> {
    let first = chance.draw(clients.len());
    let count = 1 + chance.draw(clients.len());
    let mut said = Vec::new();
    for it in first..first + count {
        let command = Command::draw(&mut |below| chance.draw(below), texts);
        said.push((clients.start + it % clients.len(), command));
    }
    if let Some(long) = said.iter().position(|(_, command)| command.is_long()) {
        said = vec![said.swap_remove(long)];
    }
    said
}

/// All that there may be after clients have said this at the same time, where it may have
/// been one of `ways` before; or why nothing explains the answers.
pub(crate) fn after(
    ways: &[Reference],
    said: &[(usize, Command)],
    answers: &[Answer],
) -> Result<Vec<Reference>, String> {
    let (mut next, mut why) = (Vec::new(), String::new());
    for reference in ways {
        for order in orders((0..said.len()).collect()) {
            match explain(reference, said, answers, &order) {
                Ok(more) => {
                    for way in more {
                        if !next.contains(&way) {
                            next.push(way);
                        }
                    }
                }
                Err(what) => why = what,
            }
        }
    }
    next.truncate(WAYS_MAX);
    match next.is_empty() {
        true => Err(why),
        false => Ok(next),
    }
}

/// What there may be if all was said in this order. A command whose client was sent away
/// before its answer was carried out or not.
fn explain(
    reference: &Reference,
    said: &[(usize, Command)],
    answers: &[Answer],
    order: &[usize],
) -> Result<Vec<Reference>, String> {
    let mut ways = vec![reference.clone()];
    for at in order {
        let ((client, command), answer) = (&said[*at], &answers[*at]);
        let mut next = Vec::new();
        let mut why = String::new();
        for way in ways {
            let mut done = way.clone();
            match command.apply(&mut done, *client, answer) {
                Ok(()) => next.push(done),
                Err(what) => why = format!("client {client}, {command:?}: {what}"),
            }
            if answer.tagged.is_none() {
                next.push(way);
            }
        }
        if next.is_empty() {
            return Err(why);
        }
        ways = next;
    }
    Ok(ways)
}

/// All orders of these.
fn orders(of: Vec<usize>) -> Vec<Vec<usize>> {
    if of.len() < 2 {
        return vec![of];
    }
    let mut all = Vec::new();
    for first in &of {
        let rest = of.iter().copied().filter(|it| it != first).collect();
        for order in orders(rest) {
            all.push([vec![*first], order].concat());
        }
    }
    all
}
