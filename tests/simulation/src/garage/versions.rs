//! The values of one K2V item: a dotted version vector set, as Garage 2.5 keeps it
//! (`src/model/k2v/item_table.rs` of its sources).

use bytes::Bytes;
use restante_core::storage::CausalityToken;
use std::collections::BTreeMap;

/// One item on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Versions {
    /// By the node that took the write in.
    entries: BTreeMap<u8, Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Entry {
    /// Values up to here were replaced.
    discarded: u64,
    /// `None` is a tombstone.
    values: Vec<(u64, Option<Bytes>)>,
}

impl Entry {
    fn max_time(&self) -> u64 {
        let last = self.values.iter().map(|(time, _)| *time).max();
        last.unwrap_or(0).max(self.discarded)
    }
}

impl Versions {
    /// A write that `node` takes in: what the token stands for is replaced, all else stays
    /// beside it.
    pub(super) fn write(&mut self, node: u8, token: Option<&CausalityToken>, value: Option<Bytes>) {
        for (other, time) in token.map(decode).unwrap_or_default() {
            let entry = self.entries.entry(other).or_default();
            entry.discarded = entry.discarded.max(time);
        }
        self.discard();
        let entry = self.entries.entry(node).or_default();
        let time = entry.max_time() + 1;
        entry.values.push((time, value));
    }

    /// Takes in what another node has.
    pub(super) fn merge(&mut self, other: &Self) {
        for (node, theirs) in &other.entries {
            let entry = self.entries.entry(*node).or_default();
            entry.discarded = entry.discarded.max(theirs.discarded);
            for value in &theirs.values {
                if !entry.values.contains(value) {
                    entry.values.push(value.clone());
                }
            }
            entry.values.sort_by_key(|(time, _)| *time);
        }
        self.discard();
    }

    fn discard(&mut self) {
        for entry in self.entries.values_mut() {
            let discarded = entry.discarded;
            entry.values.retain(|(time, _)| *time > discarded);
        }
    }

    /// The values, equal ones once, tombstones left out.
    pub(super) fn values(&self) -> Vec<Bytes> {
        let mut values: Vec<Bytes> = Vec::new();
        let all = self.entries.values().flat_map(|entry| &entry.values);
        for value in all.filter_map(|(_, value)| value.as_ref()) {
            if !values.contains(value) {
                values.push(value.clone());
            }
        }
        values
    }

    /// What stands for all these values.
    pub(super) fn token(&self) -> CausalityToken {
        let times = self.entries.iter();
        let times: Vec<String> = times
            .map(|(node, entry)| format!("{node}:{}", entry.max_time()))
            .collect();
        CausalityToken(times.join(","))
    }
}

fn decode(token: &CausalityToken) -> Vec<(u8, u64)> {
    let pairs = token.0.split(',').filter_map(|pair| pair.split_once(':'));
    pairs
        .filter_map(|(node, time)| Some((node.parse().ok()?, time.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(octet: u8) -> Option<Bytes> {
        Some(Bytes::from(vec![octet]))
    }

    #[test]
    fn a_token_replaces_what_it_saw_and_nothing_else() {
        let mut one = Versions::default();
        one.write(0, None, value(1));
        let token = one.token();
        let mut two = one.clone();
        two.write(1, None, value(2));
        one.write(0, Some(&token), value(3));
        one.merge(&two);
        assert_eq!(one.values(), [vec![3], vec![2]]);
        let token = one.token();
        one.write(2, Some(&token), None);
        assert!(one.values().is_empty());
        one.merge(&two);
        assert!(one.values().is_empty());
    }

    #[test]
    fn the_same_bytes_written_twice_are_read_once() {
        let mut one = Versions::default();
        one.write(0, None, value(1));
        one.write(1, None, value(1));
        assert_eq!(one.values(), [vec![1]]);
    }
}
