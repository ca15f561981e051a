//! A server that stands still for a while, as a process that is stopped does, or a machine that
//! sleeps, is moved to another host, or swaps: meanwhile storage, other servers and clients go on. Then
//! everything that has come reaches it at once. Its clocks have gone on, or stood still as well.

use crate::world::{Event, SECOND, World};
use restante_core::time::Instant;

/// Far below the times after which something is collected, where those are short.
const COLLECTING_MAX: u64 = 30 * SECOND;

impl World {
    /// A server stands still from now on.
    pub(crate) fn stand_still(&mut self, process: usize) {
        if !self.processes[process].up || self.stands_still(process) {
            return;
        }
        let longest = *self.chance.pick(&[SECOND, 10 * SECOND, 150 * SECOND]);
        let longest = match self.collects {
            true => longest.min(COLLECTING_MAX),
            false => longest,
        };
        let length = self.chance.between(SECOND / 100, longest);
        let clock_stops = self.chance.permille(500);
        let time_is_set = clock_stops && self.chance.permille(500);
        self.note(format_args!(
            "server {process} stands still for {} ms, its clock too: {clock_stops}",
            length / 1_000
        ));
        let until = self.now + length;
        self.processes[process].still_until = until;
        if clock_stops {
            self.processes[process].still_us += length;
            self.delay_deadlines(process, length);
        }
        if clock_stops && !time_is_set {
            self.processes[process].offset_ms -= (length / 1_000) as i64;
        }
    }

    /// Whether it does.
    pub(crate) fn stands_still(&self, process: usize) -> bool {
        self.processes[process].still_until > self.now
    }

    /// When something reaches its server, if that stands still.
    pub(crate) fn put_off(&self, event: &Event) -> Option<u64> {
        let process = match event {
            Event::ToAccount(process, ..)
            | Event::ToConnection(process, ..)
            | Event::Inbox(process, ..)
            | Event::Announce(process, ..)
            | Event::Rung(process, ..)
            | Event::Derived(process, ..)
            | Event::Wake(process, ..)
            | Event::Turn(process, ..)
            | Event::FromClient(process, ..)
            | Event::Turned(process, ..) => *process,
            Event::Storage(deed) => deed.answers()?,
            Event::ToClient(..)
            | Event::Act(..)
            | Event::Post
            | Event::Upkeep
            | Event::Chaos
            | Event::Start(..) => return None,
        };
        let until = self.processes[process].still_until;
        (until > self.now).then_some(until)
    }

    /// The time of the world when a clock of a server shows this.
    pub(crate) fn world_time(&self, process: usize, instant: Instant) -> u64 {
        instant.0.saturating_add(self.processes[process].still_us)
    }
}
