//! Takes a JSON answer apart while it comes, so that a range of many items is never in
//! memory as text: each item is handed out as soon as it is whole, and what is left is a
//! small document in which the lists of items are empty.
//!
//! It only looks for strings and brackets; what it hands out is parsed by `serde_json`,
//! which finds every other mistake.

/// Octets of one item: a value of a mebibyte in base64, some siblings, and names.
const ITEM_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Octets of everything but the items.
const FRAME_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A JSON document that comes in pieces.
pub(super) struct Splitter {
    /// How many brackets are open around an item.
    item_depth: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    item: Vec<u8>,
    frame: Vec<u8>,
    /// How many objects of the outermost list have begun.
    lists: usize,
}

/// The answer is longer than anything that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

impl Splitter {
    /// Items are `item_depth` brackets deep: 3 in `[{"items":[` and 2 in `{"items":[`.
    pub(super) fn new(item_depth: usize) -> Self {
        Self {
            item_depth,
            depth: 0,
            in_string: false,
            escaped: false,
            item: Vec::new(),
            frame: Vec::new(),
            lists: 0,
        }
    }

    /// Takes the next octets; `take` gets the text of each item that ends in them, with
    /// the number (from 0) of the list that it belongs to, and says whether to go on.
    /// Returns whether it wants more.
    pub(super) fn feed<E: From<TooLong>>(
        &mut self,
        octets: &[u8],
        mut take: impl FnMut(usize, &[u8]) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut rest = octets;
        while !rest.is_empty() {
            if self.in_string {
                // Most of an answer is the inside of strings.
                let inside = self.string_len(rest);
                self.push(&rest[..inside])?;
                rest = &rest[inside..];
                continue;
            }
            let octet = rest[0];
            rest = &rest[1..];
            match octet {
                b'{' | b'[' => {
                    if self.depth + 1 == self.item_depth - 1 && octet == b'{' {
                        self.lists += 1;
                    }
                    self.depth += 1;
                    self.push(&[octet])?;
                }
                b'}' | b']' => {
                    self.push(&[octet])?;
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == self.item_depth && !self.item.is_empty() {
                        let go_on = take(self.lists.saturating_sub(1), &self.item)?;
                        self.item.clear();
                        if !go_on {
                            return Ok(false);
                        }
                    }
                }
                b'"' => {
                    self.in_string = true;
                    self.push(&[octet])?;
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                // Between two items.
                b',' if self.depth == self.item_depth => {}
                octet => self.push(&[octet])?,
            }
        }
        Ok(true)
    }

    /// What is left when the answer has ended.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// How many octets belong to the string that has begun, its end included.
    fn string_len(&mut self, octets: &[u8]) -> usize {
        for (at, octet) in octets.iter().enumerate() {
            match octet {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => {
                    self.in_string = false;
                    return at + 1;
                }
                _ => {}
            }
        }
        octets.len()
    }

    fn push(&mut self, octets: &[u8]) -> Result<(), TooLong> {
        let (target, max) = match self.depth > self.item_depth {
            true => (&mut self.item, ITEM_BYTES_MAX),
            false => (&mut self.frame, FRAME_BYTES_MAX),
        };
        if target.len() + octets.len() > max {
            return Err(TooLong);
        }
        target.extend_from_slice(octets);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(depth: usize, text: &str, step: usize) -> (Vec<(usize, String)>, String) {
        let mut splitter = Splitter::new(depth);
        let mut items = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            let more = splitter.feed(piece, |list, item| {
                items.push((list, String::from_utf8(item.to_vec()).unwrap()));
                Ok::<_, TooLong>(true)
            });
            assert_eq!(more, Ok(true));
        }
        let frame = String::from_utf8(splitter.frame().to_vec()).unwrap();
        (items, frame)
    }

    #[test]
    fn items_come_out_whole_however_the_text_is_cut() {
        let text = r#"[ {"partitionKey": "a}]\"", "items": [
            {"sk": "{[\\", "ct": "t", "v": [null, "QQ=="]}, {"sk":"b","ct":"","v":[]}
          ], "more": true, "nextStart": "c"}, {"items": [], "more": false},
          {"items": [{"sk":"z","ct":"u","v":[]}]} ]"#;
        let expected = vec![
            (0, r#"{"sk":"{[\\","ct":"t","v":[null,"QQ=="]}"#.to_owned()),
            (0, r#"{"sk":"b","ct":"","v":[]}"#.to_owned()),
            (2, r#"{"sk":"z","ct":"u","v":[]}"#.to_owned()),
        ];
        let frame = r#"[{"partitionKey":"a}]\"","items":[],"more":true,"nextStart":"c"},{"items":[],"more":false},{"items":[]}]"#;
        for step in [1, 2, 3, 7, 1_000] {
            assert_eq!(split(3, text, step), (expected.clone(), frame.to_owned()));
        }
        let text = r#"{"items":[{"sk":"a","ct":"","v":[]}],"seenMarker":"m"}"#;
        let (items, frame) = split(2, text, 5);
        assert_eq!(items, [(0, r#"{"sk":"a","ct":"","v":[]}"#.to_owned())]);
        assert_eq!(frame, r#"{"items":[],"seenMarker":"m"}"#);
    }

    #[test]
    fn it_stops_where_it_is_told() {
        let mut splitter = Splitter::new(2);
        let mut count = 0;
        let more = splitter.feed(br#"{"items":[{"a":1},{"a":2},{"a":3}]}"#, |_, _| {
            count += 1;
            Ok::<_, TooLong>(count < 2)
        });
        assert_eq!((more, count), (Ok(false), 2));
    }
}
