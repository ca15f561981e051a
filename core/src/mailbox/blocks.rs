//! A sorted sequence in blocks that copies of a state share.
//!
//! A state is never changed once shown, so each change makes a new state. Cloning a
//! [`SortedBlocks`] copies one pointer; the first change after that copies the list of
//! blocks and the one block that is touched. With 256 items a block, a change to a
//! mailbox of a million messages copies some 100 KiB.
//!
//! Looking up by key always works. Positions are right only after
//! [`SortedBlocks::renumber`], which whoever changes the sequence calls once at the end.

use std::sync::Arc;

/// Items of a block, at most.
const BLOCK_ITEMS_MAX: usize = 256;

/// What can be kept sorted.
pub(crate) trait Keyed: Clone {
    /// What it is sorted by, unique in its sequence.
    type Key: Ord + Copy;
    /// The key.
    fn key(&self) -> Self::Key;
}

/// The sequence.
#[derive(Clone, Debug)]
pub(crate) struct SortedBlocks<T> {
    blocks: Arc<Vec<Block<T>>>,
    len: usize,
}

#[derive(Clone, Debug)]
struct Block<T> {
    /// Position of the first item.
    start: usize,
    /// Never empty.
    items: Arc<Vec<T>>,
}

impl<T: Keyed> Block<T> {
    /// Whether all of its keys are below those of `other`.
    fn ends_before(&self, other: &Self) -> bool {
        let (last, first) = (self.items.last(), other.items.first());
        last.map(Keyed::key) < first.map(Keyed::key)
    }
}

impl<T> Default for SortedBlocks<T> {
    fn default() -> Self {
        Self {
            blocks: Arc::default(),
            len: 0,
        }
    }
}

impl<T: Keyed> SortedBlocks<T> {
    /// A sequence of items that are sorted already; `None` if they are not.
    pub(crate) fn from_sorted(items: Vec<T>) -> Option<Self> {
        if !items.is_sorted_by(|one, two| one.key() < two.key()) {
            return None;
        }
        let len = items.len();
        let mut blocks = Vec::with_capacity(len.div_ceil(BLOCK_ITEMS_MAX));
        let mut items = items.into_iter();
        for start in (0..len).step_by(BLOCK_ITEMS_MAX) {
            let block = items.by_ref().take(BLOCK_ITEMS_MAX).collect();
            blocks.push(Block {
                start,
                items: Arc::new(block),
            });
        }
        Some(Self {
            blocks: Arc::new(blocks),
            len,
        })
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The item at a position.
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        let block = self.blocks.partition_point(|block| block.start <= index);
        let block = self.blocks.get(block.checked_sub(1)?)?;
        block.items.get(index - block.start)
    }

    /// Where the key is, or where it would be.
    pub(crate) fn position(&self, key: T::Key) -> Result<usize, usize> {
        let Some(block) = self.block_of(key) else {
            return Err(self.len);
        };
        let block = &self.blocks[block];
        match block.items.binary_search_by_key(&key, Keyed::key) {
            Ok(index) => Ok(block.start + index),
            Err(index) => Err(block.start + index),
        }
    }

    /// The item with this key.
    pub(crate) fn find(&self, key: T::Key) -> Option<&T> {
        let items = &self.blocks[self.block_of(key)?].items;
        let index = items.binary_search_by_key(&key, Keyed::key).ok()?;
        Some(&items[index])
    }

    /// The item with the least key that is not below this one.
    pub(crate) fn first_from(&self, key: T::Key) -> Option<&T> {
        let items = &self.blocks[self.block_of(key)?].items;
        items.get(items.partition_point(|item| item.key() < key))
    }

    /// The item with this key, to change anything but its key.
    pub(crate) fn find_mut(&mut self, key: T::Key) -> Option<&mut T> {
        let block = self.block_of(key)?;
        let index = self.blocks[block]
            .items
            .binary_search_by_key(&key, Keyed::key)
            .ok()?;
        let block = &mut Arc::make_mut(&mut self.blocks)[block];
        Some(&mut Arc::make_mut(&mut block.items)[index])
    }

    /// Puts others in the place of some items, with their keys. Blocks without such an item stay
    /// shared.
    pub(crate) fn change(&mut self, other: impl Fn(&T) -> Option<T>) {
        for index in 0..self.blocks.len() {
            let items = self.blocks[index].items.iter().enumerate();
            let others = items.filter_map(|(at, item)| Some((at, other(item)?)));
            let others: Vec<(usize, T)> = others.collect();
            if others.is_empty() {
                continue;
            }
            let block = &mut Arc::make_mut(&mut self.blocks)[index];
            let items = Arc::make_mut(&mut block.items);
            for (at, other) in others {
                items[at] = other;
            }
        }
    }

    /// All items from a position on.
    pub(crate) fn iter_from(&self, index: usize) -> impl Iterator<Item = &T> {
        let block = self
            .blocks
            .partition_point(|block| block.start <= index)
            .saturating_sub(1);
        let skip = self
            .blocks
            .get(block)
            .map_or(0, |block| index.saturating_sub(block.start));
        self.blocks[block..]
            .iter()
            .flat_map(|block| block.items.iter())
            .skip(skip)
    }

    /// The items, with their positions, of blocks that `other` does not share: whatever is not the
    /// same there, and a few more. Of shared blocks no item is looked at.
    pub(crate) fn unshared<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (usize, &'a T)> + 'a {
        let mut theirs = other.blocks.iter().peekable();
        let blocks = self.blocks.iter().filter(move |block| {
            let same = |it: &&Block<T>| Arc::ptr_eq(&it.items, &block.items);
            while theirs
                .next_if(|it| !same(it) && it.ends_before(block))
                .is_some()
            {}
            theirs.next_if(same).is_none()
        });
        blocks.flat_map(|block| (block.start..).zip(block.items.iter()))
    }

    /// All items.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.blocks.iter().flat_map(|block| block.items.iter())
    }

    /// Adds an item; one with its key is replaced.
    pub(crate) fn insert(&mut self, item: T) {
        let key = item.key();
        let block = self.block_of(key);
        let blocks = Arc::make_mut(&mut self.blocks);
        let Some(index) = block else {
            self.len += 1;
            match blocks.last_mut() {
                Some(last) if last.items.len() < BLOCK_ITEMS_MAX => {
                    Arc::make_mut(&mut last.items).push(item);
                }
                _ => {
                    let start = self.len - 1;
                    let mut items = Vec::with_capacity(4);
                    items.push(item);
                    let items = Arc::new(items);
                    blocks.push(Block { start, items });
                }
            }
            return;
        };
        let items = Arc::make_mut(&mut blocks[index].items);
        match items.binary_search_by_key(&key, Keyed::key) {
            Ok(at) => items[at] = item,
            Err(at) => {
                self.len += 1;
                items.insert(at, item);
                if items.len() > BLOCK_ITEMS_MAX {
                    let upper = Arc::new(items.split_off(BLOCK_ITEMS_MAX / 2));
                    let start = blocks[index].start + BLOCK_ITEMS_MAX / 2;
                    blocks.insert(
                        index + 1,
                        Block {
                            start,
                            items: upper,
                        },
                    );
                }
            }
        }
    }

    /// Takes an item out.
    pub(crate) fn remove(&mut self, key: T::Key) -> Option<T> {
        let block = self.block_of(key)?;
        let index = self.blocks[block]
            .items
            .binary_search_by_key(&key, Keyed::key)
            .ok()?;
        let blocks = Arc::make_mut(&mut self.blocks);
        let items = Arc::make_mut(&mut blocks[block].items);
        let item = items.remove(index);
        if items.is_empty() {
            blocks.remove(block);
        }
        self.len -= 1;
        Some(item)
    }

    /// Counts positions again after changes.
    pub(crate) fn renumber(&mut self) {
        let mut start = 0;
        let right = self.blocks.iter().all(|block| {
            let right = block.start == start;
            start += block.items.len();
            right
        });
        if right {
            return;
        }
        start = 0;
        for block in Arc::make_mut(&mut self.blocks) {
            block.start = start;
            start += block.items.len();
        }
    }

    /// The block whose last key is the first not below `key`.
    fn block_of(&self, key: T::Key) -> Option<usize> {
        let block = self
            .blocks
            .partition_point(|block| block.items.last().is_some_and(|last| last.key() < key));
        (block < self.blocks.len()).then_some(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq)]
    struct Pair(u32, u32);
    impl Keyed for Pair {
        type Key = u32;
        fn key(&self) -> u32 {
            self.0
        }
    }

    fn check(blocks: &SortedBlocks<Pair>, model: &BTreeMap<u32, u32>) {
        let expected: Vec<_> = model
            .iter()
            .map(|(key, value)| Pair(*key, *value))
            .collect();
        assert_eq!(blocks.iter().cloned().collect::<Vec<_>>(), expected);
        assert_eq!(blocks.len(), expected.len());
        for (index, pair) in expected.iter().enumerate() {
            let after = index
                .checked_sub(1)
                .map_or(0, |before| expected[before].0 + 1);
            assert_eq!(blocks.first_from(after), Some(pair));
            assert_eq!(blocks.get(index), Some(pair));
            assert_eq!(blocks.position(pair.0), Ok(index));
        }
        assert_eq!(blocks.get(expected.len()), None);
        assert_eq!(blocks.first_from(u32::MAX), None);
        for from in [0, 1, expected.len() / 2, expected.len(), expected.len() + 5] {
            let rest: Vec<_> = blocks.iter_from(from).cloned().collect();
            assert_eq!(rest, expected.get(from..).unwrap_or_default());
        }
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map_and_leaves_older_copies_alone(
            first in prop::collection::vec((0u32..2_000, any::<u32>()), 0..900),
            steps in prop::collection::vec((any::<bool>(), 0u32..2_000, any::<u32>()), 0..600),
        ) {
            let mut model = BTreeMap::new();
            for (key, value) in first {
                model.insert(key, value);
            }
            let pairs = model.iter().map(|(key, value)| Pair(*key, *value));
            let mut blocks = SortedBlocks::from_sorted(pairs.collect()).unwrap();
            check(&blocks, &model);
            let (old, old_model) = (blocks.clone(), model.clone());
            for (add, key, value) in steps {
                if add {
                    blocks.insert(Pair(key, value));
                    model.insert(key, value);
                } else {
                    let removed = blocks.remove(key).map(|pair| pair.1);
                    prop_assert_eq!(removed, model.remove(&key));
                }
                if let Some(pair) = blocks.find_mut(key / 2) {
                    pair.1 ^= 1;
                    *model.get_mut(&(key / 2)).unwrap() ^= 1;
                }
            }
            blocks.renumber();
            check(&blocks, &model);
            check(&old, &old_model);
            for (one, two) in [(&blocks, &old), (&old, &blocks)] {
                let unshared: BTreeMap<usize, &Pair> = one.unshared(two).collect();
                for (position, pair) in one.iter().enumerate() {
                    let alike = two.find(pair.key()) == Some(pair);
                    prop_assert!(alike || unshared.get(&position) == Some(&pair));
                    let told = unshared.get(&position);
                    prop_assert!(told.is_none_or(|told| *told == pair));
                }
            }
        }
    }

    #[test]
    fn a_change_of_a_large_sequence_is_found_without_looking_at_the_rest() {
        let count = 100 * BLOCK_ITEMS_MAX;
        let pairs = (0..count as u32).map(|key| Pair(2 * key, 0));
        let old = SortedBlocks::from_sorted(pairs.collect()).unwrap();
        let mut new = old.clone();
        assert_eq!(new.unshared(&old).count(), 0);
        new.find_mut(1_000).unwrap().1 = 1;
        new.remove(20_000);
        new.insert(Pair(30_001, 0));
        new.insert(Pair(u32::MAX, 0));
        new.renumber();
        // A block that grew beyond its size became two.
        let visited = new.unshared(&old).count();
        assert_eq!(visited, 3 * BLOCK_ITEMS_MAX + 1);
        let visited = old.unshared(&new).count();
        assert_eq!(visited, 3 * BLOCK_ITEMS_MAX);
        let all = SortedBlocks::default();
        assert_eq!(old.unshared(&all).count(), count);
        assert_eq!(all.unshared(&old).count(), 0);
    }
}
