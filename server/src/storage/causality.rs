//! The values of one item and the tokens that stand for them.
//!
//! Garage keeps a dotted version vector set per item: each value has a dot (node,
//! time), and a token is the greatest time seen of each node. With one writer, which
//! both local backends have, this is a list of values with their times, and a token is
//! one time: it stands for all values that are not later.
//!
//! Times come from one clock of the whole store that only grows,
//! so a token of an item that has gone never stands for a value that came after.
//!
//! What [`encode`](Siblings::encode) writes is stored by the embedded backend:
//!
//! ```text
//! u8  version (1)
//! then for each value:  u64 time, u32 length, the bytes      (little endian)
//! ```

use bytes::{Buf, BufMut, Bytes};
use restante_core::storage::{CausalityToken, StorageError};

/// Version of the encoding of an item.
pub(super) const ITEM_FORMAT: u8 = 1;
/// How a token begins, so that one of another backend is not mistaken for ours.
const TOKEN_PREFIX: &str = "t1-";

/// The values of one item, tombstones included, in the order of their times.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Siblings {
    values: Vec<(u64, Option<Bytes>)>,
}

impl Siblings {
    /// Adds a value (`None`: a tombstone) with the time `now`, which must be later
    /// than any before, in place of the values that `seen` stands for.
    pub(super) fn put(&mut self, seen: Option<u64>, value: Option<Bytes>, now: u64) {
        debug_assert!(self.values.iter().all(|(time, _)| *time < now));
        if let Some(seen) = seen {
            self.values.retain(|(time, _)| *time > seen);
        }
        self.values.push((now, value));
    }

    /// Forgets tombstones. With one writer they say nothing that the clock does not.
    pub(super) fn drop_tombstones(&mut self) {
        self.values.retain(|(_, value)| value.is_some());
    }

    /// Whether nothing is left to store.
    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// What to send with a write that replaces these values.
    pub(super) fn token(&self) -> CausalityToken {
        let time = self.values.last().map_or(0, |(time, _)| *time);
        CausalityToken(format!("{TOKEN_PREFIX}{time:016x}"))
    }

    /// The values as a reader sees them: no tombstones, equal ones once.
    pub(super) fn visible(&self) -> Vec<Bytes> {
        let mut seen: Vec<Bytes> = Vec::with_capacity(self.values.len());
        for value in self.values.iter().filter_map(|(_, value)| value.as_ref()) {
            if !seen.contains(value) {
                seen.push(value.clone());
            }
        }
        seen
    }

    /// Bytes of all values.
    pub(super) fn value_bytes(&self) -> usize {
        self.values
            .iter()
            .filter_map(|(_, value)| value.as_ref())
            .map(Bytes::len)
            .sum()
    }

    /// The stored form. Tombstones are not stored.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(1 + self.values.len() * 12 + self.value_bytes());
        out.push(ITEM_FORMAT);
        for (time, value) in &self.values {
            let Some(value) = value else { continue };
            let len = u32::try_from(value.len()).expect("a value is at most 1 MiB long");
            out.put_u64_le(*time);
            out.put_u32_le(len);
            out.extend_from_slice(value);
        }
        out
    }

    /// Reads the stored form; `None` where it is damaged or of a later version.
    pub(super) fn decode(mut stored: Bytes) -> Option<Self> {
        if stored.try_get_u8().ok()? != ITEM_FORMAT {
            return None;
        }
        let mut values = Vec::with_capacity(1);
        while stored.has_remaining() {
            let time = stored.try_get_u64_le().ok()?;
            let len = stored.try_get_u32_le().ok()? as usize;
            if stored.remaining() < len {
                return None;
            }
            values.push((time, Some(stored.split_to(len))));
        }
        Some(Self { values })
    }
}

/// The time that a token stands for.
pub(super) fn token_time(token: &CausalityToken) -> Result<u64, StorageError> {
    token
        .0
        .strip_prefix(TOKEN_PREFIX)
        .filter(|hex| hex.len() == 16)
        .and_then(|hex| u64::from_str_radix(hex, 16).ok())
        .ok_or_else(|| StorageError::Refused("not a causality token of this store".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &'static str) -> Option<Bytes> {
        Some(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_token_replaces_what_it_saw_and_nothing_later() {
        let mut item = Siblings::default();
        item.put(None, bytes("a"), 1);
        let seen = token_time(&item.token()).unwrap();
        item.put(None, bytes("b"), 2);
        item.put(Some(seen), bytes("c"), 3);
        assert_eq!(item.visible(), [Bytes::from("b"), Bytes::from("c")]);
        item.put(Some(3), None, 4);
        assert_eq!(item.visible(), Vec::<Bytes>::new());
        assert_eq!(token_time(&item.token()), Ok(4));
        item.drop_tombstones();
        assert!(item.is_empty());
    }

    #[test]
    fn equal_siblings_are_shown_once() {
        let mut item = Siblings::default();
        item.put(None, bytes("same"), 1);
        item.put(None, bytes("same"), 2);
        assert_eq!(item.visible(), [Bytes::from("same")]);
    }

    #[test]
    fn the_stored_form_of_version_1_is_read_for_ever() {
        let golden = b"\x01\x05\0\0\0\0\0\0\0\x03\0\0\0one\x07\0\0\0\0\0\0\0\0\0\0\0";
        let mut item = Siblings::default();
        item.put(None, bytes("one"), 5);
        item.put(None, bytes(""), 7);
        assert_eq!(item.encode(), golden);
        assert_eq!(Siblings::decode(Bytes::from_static(golden)), Some(item));
    }

    #[test]
    fn damaged_and_later_forms_are_not_read() {
        let mut item = Siblings::default();
        item.put(None, bytes("value"), 5);
        let stored = item.encode();
        for end in [0, 5, 12, stored.len() - 1] {
            assert_eq!(
                Siblings::decode(Bytes::copy_from_slice(&stored[..end])),
                None
            );
        }
        let mut later = stored;
        later[0] = ITEM_FORMAT + 1;
        assert_eq!(Siblings::decode(Bytes::from(later)), None);
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for token in ["", "t1-", "t1-zz", "t1-00000000000000001", "AAAA"] {
            assert!(token_time(&CausalityToken(token.to_owned())).is_err());
        }
    }
}
