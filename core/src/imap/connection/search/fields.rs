//! What the fields of a header hold of what the keys about them ask for: HEADER, SUBJECT, FROM
//! and the like. The header is walked once for all keys, and each field is decoded once.

use super::search_text;
use crate::mime::decode::{Decoded, TextMatcher};
use crate::mime::header::{self, decode_text};
use crate::workflow::Io;
use std::collections::BTreeMap;

/// A key about the fields of a name.
pub(super) struct FieldKey {
    pub(super) name: String,
    /// Empty: that there is one is enough.
    pub(super) words: String,
}

/// The keys about fields, for one header after another.
pub(super) struct Fields {
    /// By name.
    names: Vec<Named>,
    keys: usize,
}

/// The keys about the fields of one name.
struct Named {
    /// In small letters.
    name: Vec<u8>,
    /// Which they are.
    keys: Vec<usize>,
    /// Their words.
    matcher: TextMatcher,
    /// Whether there is such a field.
    is_there: bool,
}

impl Fields {
    pub(super) fn new(keys: &[FieldKey]) -> Self {
        let mut names: BTreeMap<Vec<u8>, (Vec<usize>, Vec<String>)> = BTreeMap::new();
        for (place, key) in keys.iter().enumerate() {
            let name = key.name.as_bytes().to_ascii_lowercase();
            let (places, words) = names.entry(name).or_default();
            places.push(place);
            words.push(key.words.clone());
        }
        let named = |(name, (keys, words)): (_, (_, Vec<String>))| Named {
            name,
            keys,
            matcher: TextMatcher::new(&words),
            is_there: false,
        };
        Self {
            names: names.into_iter().map(named).collect(),
            keys: keys.len(),
        }
    }

    /// Which of the keys hold for this header.
    pub(super) async fn look(&mut self, io: &Io, header: &[u8]) -> Vec<bool> {
        let mut held = vec![false; self.keys];
        if self.names.is_empty() {
            return held;
        }
        let mut decoded = Decoded::default();
        for field in header::fields(header) {
            io.look(field.raw.len()).await;
            let name = field.name.to_ascii_lowercase();
            let Ok(place) = self.names.binary_search_by(|it| it.name.cmp(&name)) else {
                continue;
            };
            let named = &mut self.names[place];
            named.is_there = true;
            if !named.matcher.is_complete() {
                decoded.push(&decode_text(field.value));
                search_text(io, &mut decoded, &mut named.matcher).await;
            }
        }
        for named in &mut self.names {
            for (key, found) in named.keys.iter().zip(named.matcher.found()) {
                held[*key] = named.is_there && *found;
            }
            named.is_there = false;
            named.matcher.reset();
        }
        held
    }
}
