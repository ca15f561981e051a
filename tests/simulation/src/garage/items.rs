//! Items: written by one node, spread to the others, read from two.

use super::versions::Versions;
use super::{
    BELLS, Call, Deed, Deeds, Fate, Garage, Gathering, ItemState, Look, NODES, Reading, Seen,
    Spread, TIMEOUT_US, failure, puts, unless,
};
use crate::chance::Chance;
use restante_core::storage::{Item, ItemKey, ItemRange, SortKey, StorageRequest, StorageResponse};
use std::collections::BTreeMap;

impl Garage {
    /// Each item lands on its own; all are acknowledged when each is on two nodes.
    pub(super) fn write_items(
        &mut self,
        now: u64,
        chance: &mut Chance,
        gateway: usize,
        call: Call,
    ) -> Deeds {
        let mut deeds = Vec::new();
        let mut durable = Some(now);
        for (index, put) in puts(&call.request).into_iter().enumerate() {
            if let Fate::Partial(bits) = call.fate
                && bits >> (index % 64) & 1 == 0
            {
                continue;
            }
            let Some(coordinator) = self.reachable(chance, gateway).first().copied() else {
                durable = None;
                continue;
            };
            let item = self.nodes[coordinator].items.entry(put.key.clone());
            let item = item.or_default();
            item.write(coordinator as u8, put.token, put.value);
            let state = item.clone();
            if put.key.partition.0.starts_with(BELLS) {
                deeds.extend(self.wake_polls(now, chance, coordinator));
            }
            let second = self.spread(now, chance, coordinator, &mut deeds, || {
                Spread::Item(put.key.clone(), Box::new(ItemState(state.clone())))
            });
            durable = durable.max(second).filter(|_| second.is_some());
        }
        self.acknowledge(now, chance, &call, durable, &mut deeds);
        deeds
    }

    /// Sends what a node has taken in to the others; when the first of them has it.
    pub(super) fn spread(
        &mut self,
        now: u64,
        chance: &mut Chance,
        from: usize,
        deeds: &mut Deeds,
        what: impl Fn() -> Spread,
    ) -> Option<u64> {
        let mut second = None;
        for to in chance.order(NODES) {
            if to == from || !self.connected(from, to) {
                continue;
            }
            let mut at = now + self.weather.delay(chance);
            if chance.permille(self.weather.slow_spread) {
                at += chance.below(60_000_000);
            }
            second = Some(second.map_or(at, |other: u64| other.min(at)));
            deeds.push((at, Deed::Spread(to, what())));
        }
        second
    }

    /// The answer to a write that is on two nodes at a time, or never.
    pub(super) fn acknowledge(
        &mut self,
        now: u64,
        chance: &mut Chance,
        call: &Call,
        durable: Option<u64>,
        deeds: &mut Deeds,
    ) {
        if !call.answered {
            return;
        }
        let works = matches!(call.fate, Fate::Works | Fate::Twice(_));
        let caller = call.caller;
        match durable.filter(|at| works && *at < now + TIMEOUT_US) {
            Some(at) => {
                let at = at + self.weather.delay(chance);
                deeds.push((at, Deed::Answer(caller, StorageResponse::Done)));
            }
            None => deeds.push((now + TIMEOUT_US, failure(caller, "no quorum"))),
        }
    }

    /// Asks two nodes, one after the other.
    pub(super) fn read(
        &mut self,
        now: u64,
        chance: &mut Chance,
        gateway: usize,
        call: Call,
    ) -> Deeds {
        let later = looks(chance, &call.request);
        let reading = Reading {
            call,
            gateway,
            later,
            found: BTreeMap::new(),
        };
        self.read_on(now, chance, reading)
    }

    /// Looks at what is next of a read.
    fn read_on(&mut self, now: u64, chance: &mut Chance, mut reading: Reading) -> Deeds {
        let nodes = self.reachable(chance, reading.gateway);
        let [first_node, second_node, ..] = nodes[..] else {
            let caller = reading.call.caller;
            return unless(!reading.call.answered, || {
                vec![(now + TIMEOUT_US, failure(caller, "no quorum"))]
            });
        };
        // A read of nothing is one as well.
        let look = reading.later.pop().unwrap_or(Look::Items(Vec::new()));
        let first = self.look(first_node, &reading.call.request, &look);
        let at = now + self.weather.delay(chance) / 2;
        let gathering = Gathering {
            reading,
            look,
            first,
            first_node,
            second_node,
        };
        vec![(at, Deed::Gather(Box::new(gathering)))]
    }

    fn look(&self, node: usize, request: &StorageRequest, look: &Look) -> Seen {
        let items = &self.nodes[node].items;
        match (request, look) {
            (StorageRequest::OpenObject { key, .. }, _) => {
                Seen::Object(self.nodes[node].objects.get(key).cloned())
            }
            (StorageRequest::ReadRange(range), Look::Stretches(stretches)) => {
                let found = stretches.iter().flat_map(|(start, end)| {
                    let from = ItemKey {
                        partition: range.partition.clone(),
                        sort: start.clone(),
                    };
                    let inside = move |key: &ItemKey| {
                        key.partition == range.partition
                            && end.as_ref().is_none_or(|end| key.sort < *end)
                    };
                    items.range(from..).take_while(move |(key, _)| inside(key))
                });
                let found = found.map(|(key, item)| (key.clone(), item.clone()));
                Seen::Items(found.collect())
            }
            (_, Look::Items(keys)) => {
                let found = keys.iter();
                let found = found.filter_map(|key| Some((key.clone(), items.get(key)?.clone())));
                Seen::Items(found.collect())
            }
            _ => unreachable!("a look is one at what is asked for"),
        }
    }

    /// The second node answers: both answers become one.
    pub(super) fn gather(&mut self, now: u64, chance: &mut Chance, it: Gathering) -> Deeds {
        let Gathering {
            mut reading,
            look,
            first,
            first_node,
            second_node,
        } = it;
        let caller = reading.call.caller;
        if !self.up[second_node] {
            return vec![(now + TIMEOUT_US, failure(caller, "no quorum"))];
        }
        let second = self.look(second_node, &reading.call.request, &look);
        match (first, second) {
            (Seen::Items(first), Seen::Items(second)) => {
                let mut deeds = Vec::new();
                let merged = self.merge(now, chance, first, second, first_node, &mut deeds);
                reading.found.extend(merged);
                if !reading.later.is_empty() {
                    deeds.extend(self.read_on(now, chance, reading));
                    return deeds;
                }
                let at = now + self.weather.delay(chance);
                let answer = self.answer_items(&reading.call.request, &reading.found);
                deeds.push((at, Deed::Answer(caller, answer)));
                deeds
            }
            (Seen::Object(first), Seen::Object(second)) => {
                let at = now + self.weather.delay(chance);
                let row = first.max_by_stamp(second);
                self.open_object(at, chance, caller, &reading.call.request, row)
            }
            _ => unreachable!("both nodes are asked the same"),
        }
    }

    /// What both have, together; what they differ in is repaired soon.
    fn merge(
        &mut self,
        now: u64,
        chance: &mut Chance,
        first: BTreeMap<ItemKey, Versions>,
        second: BTreeMap<ItemKey, Versions>,
        node: usize,
        deeds: &mut Deeds,
    ) -> BTreeMap<ItemKey, Versions> {
        let mut merged = first.clone();
        for (key, versions) in &second {
            merged.entry(key.clone()).or_default().merge(versions);
        }
        for (key, versions) in &merged {
            if first.get(key) != Some(versions) || second.get(key) != Some(versions) {
                let state = || Box::new(ItemState(versions.clone()));
                let at = now + self.weather.delay(chance);
                deeds.push((at, Deed::Spread(node, Spread::Item(key.clone(), state()))));
                self.spread(now, chance, node, deeds, || {
                    Spread::Item(key.clone(), state())
                });
            }
        }
        merged
    }

    fn answer_items(
        &self,
        request: &StorageRequest,
        merged: &BTreeMap<ItemKey, Versions>,
    ) -> StorageResponse {
        let item = |key: &ItemKey| {
            let versions = merged.get(key)?;
            let (token, values) = (versions.token(), versions.values());
            let key = key.clone();
            (!values.is_empty() || self.shows_deleted).then_some(Item { key, token, values })
        };
        match request {
            StorageRequest::ReadItems(keys) => {
                StorageResponse::Items(keys.iter().filter_map(item).collect())
            }
            StorageRequest::ReadRange(ItemRange { limit, .. }) => {
                let mut items: Vec<Item> = merged.keys().filter_map(item).collect();
                let next: Option<SortKey> =
                    items.get(*limit as usize).map(|item| item.key.sort.clone());
                items.truncate(*limit as usize);
                StorageResponse::Range { items, next }
            }
            _ => unreachable!("only reads of items come here"),
        }
    }
}

/// A read as what of it is seen at up to three moments, in any order.
fn looks(chance: &mut Chance, request: &StorageRequest) -> Vec<Look> {
    match request {
        StorageRequest::ReadItems(keys) => {
            let looks = at_moments(chance, keys.clone());
            looks.into_iter().map(Look::Items).collect()
        }
        StorageRequest::ReadRange(range) => {
            let stretches = range.stretches();
            let stretches = stretches.map(|(start, end)| (start.clone(), end.cloned()));
            let looks = at_moments(chance, stretches.collect());
            looks.into_iter().map(Look::Stretches).collect()
        }
        _ => vec![Look::Object],
    }
}

fn at_moments<T>(chance: &mut Chance, all: Vec<T>) -> Vec<Vec<T>> {
    let moments = 1 + chance.index(all.len().clamp(1, 3));
    let mut looks: Vec<Vec<T>> = core::iter::repeat_with(Vec::new).take(moments).collect();
    for it in all {
        looks[chance.index(moments)].push(it);
    }
    looks
}

/// The newer of what two nodes know.
trait Newer {
    fn max_by_stamp(self, other: Self) -> Self;
}

impl Newer for Option<super::Row> {
    fn max_by_stamp(self, other: Self) -> Self {
        let stamp = |row: &Self| row.as_ref().map(|row| row.stamp);
        if stamp(&self) >= stamp(&other) {
            self
        } else {
            other
        }
    }
}
