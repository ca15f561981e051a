//! Long polls of a range (K2V `PollRange`): a node tells when there is something that the
//! poller has not seen, by the marker of its last answer. What is written while a poll is
//! being armed may be missed, as by Garage.

use super::versions::Versions;
use super::{Call, Caller, Deed, Deeds, Garage, failure};
use crate::chance::Chance;
use restante_core::storage::{ItemKey, PartitionKey, SortKey, StorageRequest, StorageResponse};
use std::collections::BTreeMap;

/// How long it may take to arm a poll, in microseconds: the range is read for it.
const ARMING_US: u64 = 60_000;
/// Of a thousand polls those that miss what is written while they are being armed.
const MISSED_PERMILLE: u64 = 300;

/// What somebody has seen of a partition.
type State = BTreeMap<ItemKey, Versions>;

/// A poll that waits.
#[derive(Debug)]
pub(crate) struct Poll {
    caller: Caller,
    node: usize,
    partition: PartitionKey,
    seen: State,
}

/// What each server has seen by its last answer, and the marker of that.
#[derive(Debug, Default)]
pub(super) struct Markers(BTreeMap<usize, (String, State)>);

impl Poll {
    /// Whether it is such a caller's.
    pub(super) fn is_of(&self, who: impl Fn(&Caller) -> bool) -> bool {
        who(&self.caller)
    }
}

impl Garage {
    /// A poll reaches a node.
    pub(super) fn poll(
        &mut self,
        now: u64,
        chance: &mut Chance,
        node: usize,
        call: &Call,
    ) -> Deeds {
        let StorageRequest::PollRange {
            partition,
            seen,
            timeout_ms,
        } = &call.request
        else {
            unreachable!("only polls come here");
        };
        let end = now + u64::from(*timeout_ms) * 1_000;
        let marked = self.markers.0.get(&call.caller.process);
        let marked = marked.filter(|(marker, _)| Some(marker) == seen.as_ref());
        let poll = Poll {
            caller: call.caller,
            node,
            partition: partition.clone(),
            seen: marked.map(|(_, state)| state.clone()).unwrap_or_default(),
        };
        if marked.is_none() || self.has_news(&poll) {
            return vec![self.tell(now, chance, poll)];
        }
        let armed = now + self.weather.delay(chance) + chance.below(ARMING_US);
        let misses = chance.permille(MISSED_PERMILLE);
        vec![
            (armed, Deed::Arm(Box::new(poll), misses)),
            (end, Deed::EndPoll(call.caller, node)),
        ]
    }

    /// From now on the poll is told of what changes.
    pub(super) fn arm(&mut self, now: u64, chance: &mut Chance, poll: Poll, misses: bool) -> Deeds {
        if !self.open.contains_key(&poll.caller) {
            return Vec::new();
        }
        let mut poll = poll;
        if misses {
            poll.seen = self.state_at(poll.node, &poll.partition);
        }
        match self.has_news(&poll) {
            true => vec![self.tell(now, chance, poll)],
            false => {
                self.polls.push(poll);
                Vec::new()
            }
        }
    }

    /// Something changed on a node: those who wait for it are told.
    pub(super) fn wake_polls(&mut self, now: u64, chance: &mut Chance, node: usize) -> Deeds {
        let mut deeds = Vec::new();
        for poll in core::mem::take(&mut self.polls) {
            match poll.node == node && self.up[node] && self.has_news(&poll) {
                true => deeds.push(self.tell(now, chance, poll)),
                false => self.polls.push(poll),
            }
        }
        deeds
    }

    /// The time of a poll is over.
    pub(super) fn end_poll(
        &mut self,
        now: u64,
        chance: &mut Chance,
        caller: Caller,
        node: usize,
    ) -> Deeds {
        let at = self.polls.iter().position(|poll| poll.caller == caller);
        let Some(at) = at else {
            return Vec::new();
        };
        self.polls.remove(at);
        let late = self.weather.delay(chance);
        match self.up[node] {
            true => {
                let answer = StorageResponse::Polled { seen: None };
                vec![(now + late, Deed::Answer(caller, answer))]
            }
            false => vec![(now + late, failure(caller, "the node is gone"))],
        }
    }

    fn tell(&mut self, now: u64, chance: &mut Chance, poll: Poll) -> (u64, Deed) {
        let mut state = poll.seen;
        for (key, versions) in self.state_at(poll.node, &poll.partition) {
            state.entry(key).or_default().merge(&versions);
        }
        let marker = format!("{now}-{}", poll.caller.request.0);
        let process = poll.caller.process;
        self.markers.0.insert(process, (marker.clone(), state));
        let answer = StorageResponse::Polled { seen: Some(marker) };
        let at = now + self.weather.delay(chance);
        (at, Deed::Answer(poll.caller, answer))
    }

    fn has_news(&self, poll: &Poll) -> bool {
        let state = self.state_at(poll.node, &poll.partition);
        state.into_iter().any(|(key, versions)| {
            let seen = poll.seen.get(&key).cloned().unwrap_or_default();
            let mut both = seen.clone();
            both.merge(&versions);
            both != seen
        })
    }

    fn state_at(&self, node: usize, partition: &PartitionKey) -> State {
        let from = ItemKey {
            partition: partition.clone(),
            sort: SortKey(String::new()),
        };
        let items = self.nodes[node].items.range(from..);
        let items = items.take_while(|(key, _)| key.partition == *partition);
        items
            .map(|(key, versions)| (key.clone(), versions.clone()))
            .collect()
    }
}
