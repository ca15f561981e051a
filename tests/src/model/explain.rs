//! Finding an order in which everything that was said can have happened.
//!
//! Clients talk at the same time, so the order of what they did is not known; but each of
//! them knows the order of its own commands, and what one round of talk began after, another had ended.
//! The search takes one step of one client after the other, goes back where what was
//! told does not fit, and succeeds with the first order that explains all of it.

use super::act;
use super::command::Command;
use super::hear;
use super::wire::Said;
use super::world::World;
use crate::{Response, Status};
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};

/// Steps that are tried before it is left open whether a run can be explained.
const STEPS_MAX: usize = 300_000;

/// All that one client said and heard in one round.
#[derive(Clone, Debug)]
pub struct Track {
    /// Which client.
    pub client: usize,
    /// In order.
    pub said: Vec<Said>,
}

/// What clients said and heard at the same time.
#[derive(Clone, Debug)]
pub struct Round {
    /// Each client's part of it.
    pub tracks: Vec<Track>,
    /// Idle clients that must know everything in the end.
    pub told: Vec<usize>,
}

/// Why there is no order.
#[derive(Debug)]
pub enum Unexplained {
    /// There is none: what the server must not have said.
    Wrong(String),
    /// None was found in as many steps as are tried; how the best one ends.
    Open(String),
}

impl Unexplained {
    /// The same, with the conversation.
    #[must_use]
    pub fn after(self, transcript: &str) -> Self {
        match self {
            Self::Wrong(why) => Self::Wrong(format!("{why}\n{transcript}")),
            Self::Open(why) => Self::Open(format!("{why}\n{transcript}")),
        }
    }
}

impl From<String> for Unexplained {
    fn from(why: String) -> Self {
        Self::Wrong(why)
    }
}

struct Search<'a> {
    rounds: &'a [Round],
    /// Where there is no way on.
    dead: HashSet<u64>,
    steps: usize,
    /// How far the best order came, and why not further.
    furthest: (usize, String),
}

/// A place in the rounds: for each track of the round, which command and which of its steps.
#[derive(Clone, Hash)]
struct Place {
    round: usize,
    tracks: Vec<(usize, usize)>,
    /// Steps in all.
    depth: usize,
}

/// The world after all rounds.
///
/// # Errors
/// Why no order explains what was said.
pub fn explain(world: &World, rounds: &[Round]) -> Result<World, Unexplained> {
    let mut search = Search {
        rounds,
        dead: HashSet::new(),
        steps: 0,
        furthest: (0, String::new()),
    };
    let place = search.begin(0, 0);
    match search.go(world, &place) {
        Some(world) => Ok(world),
        None if search.steps > STEPS_MAX => Err(Unexplained::Open(format!(
            "no order was found in {STEPS_MAX} steps; the best one ends with: {}",
            search.furthest.1
        ))),
        None => Err(Unexplained::Wrong(search.furthest.1)),
    }
}

impl Search<'_> {
    fn begin(&self, round: usize, depth: usize) -> Place {
        let tracks = self.rounds.get(round).map_or(0, |round| round.tracks.len());
        Place {
            round,
            tracks: vec![(0, 0); tracks],
            depth,
        }
    }

    fn go(&mut self, world: &World, place: &Place) -> Option<World> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        let Some(round) = self.rounds.get(place.round) else {
            return Some(world.clone());
        };
        let tracks = &round.tracks;
        let mut over = true;
        // What is only told is told as soon as it fits: then less is left to be tried.
        for reports in [true, false] {
            for (index, track) in tracks.iter().enumerate() {
                let (at, step) = place.tracks[index];
                let Some(said) = track.said.get(at) else {
                    continue;
                };
                over = false;
                if is_report(said, step) != reports {
                    continue;
                }
                match advance(world, track.client, said, step) {
                    Ok(ways) => {
                        let mut next = place.clone();
                        next.depth += 1;
                        next.tracks[index] = match step + 1 < steps(said) {
                            true => (at, step + 1),
                            false => (at + 1, 0),
                        };
                        for way in ways {
                            if let Some(world) = self.visit(&way, &next) {
                                return Some(world);
                            }
                        }
                    }
                    Err(why) => self.note(place.depth, track.client, said, &why),
                }
            }
        }
        if over {
            if let Some(client) = round.told.iter().find(|client| !is_told(world, **client)) {
                let why = format!("client {client} is idle and is not told what changed");
                self.furthest = (place.depth, why);
                return None;
            }
            let next = self.begin(place.round + 1, place.depth);
            return self.go(world, &next);
        }
        None
    }

    fn visit(&mut self, world: &World, place: &Place) -> Option<World> {
        let mark = |place: &Place| {
            let mut hasher = DefaultHasher::new();
            (place, world).hash(&mut hasher);
            hasher.finish()
        };
        if !self.dead.is_empty() && self.dead.contains(&mark(place)) {
            return None;
        }
        let found = self.go(world, place);
        if found.is_none() {
            self.dead.insert(mark(place));
        }
        found
    }

    fn note(&mut self, depth: usize, client: usize, said: &Said, why: &str) {
        if depth >= self.furthest.0 {
            let (tag, command) = (&said.tag, &said.command);
            let why = format!("client {client}, {tag} {command:?}: {why}");
            self.furthest = (depth, why);
        }
    }
}

/// Whether a client knows its selected mailbox as it is.
fn is_told(world: &World, client: usize) -> bool {
    world.sessions[client]
        .selected
        .as_ref()
        .is_none_or(|selected| {
            let state = world.mailboxes[selected.mailbox].newest();
            selected.lists(state) && selected.difference(state).is_none()
        })
}

/// In how many steps a command is taken.
fn steps(said: &Said) -> usize {
    match said.command {
        Command::Idle => hear::announcements(&said.lines).len().max(1),
        _ => act::acts(said) + 1,
    }
}

/// Whether a step only tells.
fn is_report(said: &Said, step: usize) -> bool {
    said.command == Command::Idle || step >= act::acts(said)
}

fn advance(world: &World, client: usize, said: &Said, step: usize) -> Result<Vec<World>, String> {
    if said.command == Command::Idle {
        if said.answer.is_some() && said.status()? != Status::Ok {
            return Err(format!("{:?}", said.answer));
        }
        let parts: Vec<&[Response]> = hear::announcements(&said.lines);
        return match parts.get(step) {
            Some(lines) => hear::overhear(world, client, said, lines),
            None => Ok(vec![world.clone()]),
        };
    }
    if is_report(said, step) {
        return hear::report(world, client, said);
    }
    act::act(world, client, said, step)
}
