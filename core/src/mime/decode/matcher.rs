//! Finding text whatever its case, while it streams by.

use std::sync::OnceLock;

use memchr::memmem::Finder;

/// Octets that are folded and searched at a time, so that they stay in the cache.
const BLOCK_BYTES: usize = 16 * 1024;

/// Looks for several needles in one text that comes in pieces. Text and needles are
/// compared without regard to case: each character becomes upper and then lower case
/// by the Unicode tables, so that `ß`, `ẞ` and `SS` are one, and `σ` and `ς`.
pub struct TextMatcher {
    needles: Vec<Finder<'static>>,
    found: Vec<bool>,
    /// Folded text: the end of what was searched, then what is to be searched.
    text: Vec<u8>,
    /// How much of the searched text a needle can begin in.
    overlap: usize,
    /// Octets of all needles.
    needle_octets: usize,
}

impl TextMatcher {
    /// A search for each of `needles`. An empty one is found in any text.
    #[must_use]
    pub fn new(needles: &[String]) -> Self {
        let fold = |needle: &String| {
            let mut folded = Vec::new();
            fold_into(needle, &mut folded);
            folded
        };
        let folded: Vec<_> = needles.iter().map(fold).collect();
        Self {
            found: folded.iter().map(Vec::is_empty).collect(),
            overlap: folded
                .iter()
                .map(|it| it.len().saturating_sub(1))
                .max()
                .unwrap_or(0),
            needle_octets: folded.iter().map(Vec::len).sum(),
            needles: folded
                .iter()
                .map(|it| Finder::new(it).into_owned())
                .collect(),
            text: Vec::new(),
        }
    }

    /// Takes the next piece of the text.
    pub fn feed(&mut self, utf8: &str) {
        let mut rest = utf8;
        while !rest.is_empty() && !self.is_complete() {
            let (block, after) = rest.split_at(rest.floor_char_boundary(BLOCK_BYTES));
            rest = after;
            let fresh = self.text.len();
            fold_into(block, &mut self.text);
            for (needle, found) in self.needles.iter().zip(&mut self.found) {
                // It was looked for in what was there before.
                let before = needle.needle().len().saturating_sub(1);
                let from = fresh.saturating_sub(before);
                *found = *found || needle.find(&self.text[from..]).is_some();
            }
            let searched = self.text.len().saturating_sub(self.overlap);
            self.text.drain(..searched);
        }
    }

    /// Takes the next piece of the text, behind which it may end.
    pub fn take(&mut self, utf8: &str, ends: bool) {
        self.feed(utf8);
        if ends {
            self.end_text();
        }
    }

    /// Octets that are looked at for a piece of so many: those for each needle, and what lies
    /// across the beginning of the piece.
    #[must_use]
    pub fn work(&self, octets: usize) -> usize {
        octets
            .saturating_mul(self.needles.len())
            .saturating_add(self.needle_octets)
    }

    /// Octets of a piece for which about `work` are looked at.
    #[must_use]
    pub fn piece_octets(&self, work: usize) -> usize {
        work / self.needles.len().max(1)
    }

    /// A text ends here: no needle lies across this place.
    pub fn end_text(&mut self) {
        self.text.clear();
    }

    /// Begins anew with the same needles.
    pub fn reset(&mut self) {
        self.end_text();
        for (needle, found) in self.needles.iter().zip(&mut self.found) {
            *found = needle.needle().is_empty();
        }
    }

    /// Which needles have been found.
    #[must_use]
    pub fn found(&self) -> &[bool] {
        &self.found
    }

    /// Whether all have been found: more text changes nothing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.found.iter().all(|&found| found)
    }
}

/// Appends `text` without its case.
fn fold_into(text: &str, out: &mut Vec<u8>) {
    let folds = small_folds();
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = encoding_rs::Encoding::ascii_valid_up_to(rest.as_bytes());
        let (plain, other) = rest.split_at(ascii);
        let start = out.len();
        out.extend_from_slice(plain.as_bytes());
        out[start..].make_ascii_lowercase();
        let mut characters = other.chars();
        loop {
            rest = characters.as_str();
            match characters.next() {
                // A single space or comma between words does not end the run.
                Some(ascii)
                    if ascii.is_ascii() && rest.as_bytes().get(1).is_some_and(u8::is_ascii) =>
                {
                    break;
                }
                Some(character) => fold_character(character, folds, out),
                None => break,
            }
        }
    }
}

fn fold_character(character: char, folds: &SmallFolds, out: &mut Vec<u8>) {
    let mut push = |folded: char| out.extend_from_slice(folded.encode_utf8(&mut [0; 4]).as_bytes());
    match u32::from(character) {
        code @ ..SMALL_MAX => match folds[code as usize] {
            [0, 0] => slow_fold(character).for_each(push),
            [ascii, 0] => out.push(ascii),
            two => out.extend_from_slice(&two),
        },
        // CJK and Hangul have no case, and are most of what is not small.
        0x2e80..0xa640 | 0xac00..0xd800 => push(character),
        _ => slow_fold(character).for_each(push),
    }
}

/// Characters of one or two octets in UTF-8.
const SMALL_MAX: u32 = 0x800;

/// What small characters become, in UTF-8: two octets, or one and NUL. Two NULs stand
/// for what becomes several characters or longer ones, and for NUL itself.
type SmallFolds = [[u8; 2]; SMALL_MAX as usize];

fn small_folds() -> &'static SmallFolds {
    static FOLDS: OnceLock<Box<SmallFolds>> = OnceLock::new();
    FOLDS.get_or_init(|| {
        let mut folds = Box::new([[0; 2]; SMALL_MAX as usize]);
        for (fold, code) in folds.iter_mut().zip(0..) {
            let mut folded = char::from_u32(code).into_iter().flat_map(slow_fold);
            if let (Some(only), None) = (folded.next(), folded.next())
                && only.len_utf8() <= fold.len()
            {
                only.encode_utf8(fold);
            }
        }
        folds
    })
}

fn slow_fold(character: char) -> impl Iterator<Item = char> {
    character.to_uppercase().flat_map(char::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(needle: &str, pieces: &[&str]) -> bool {
        let mut matcher = TextMatcher::new(&[needle.to_owned()]);
        pieces.iter().for_each(|piece| matcher.feed(piece));
        matcher.found() == [true]
    }

    #[test]
    fn case_does_not_matter() {
        for (needle, text) in [
            ("hello", "Say HELLO!"),
            ("FRÖSCHE", "die frösche"),
            ("straße", "STRASSE"),
            ("ὈΔΥΣΣΕΎΣ", "ὀδυσσεύς"),
            ("привет", "ПРИВЕТ"),
            ("日本", "在日本語"),
            ("𐐨", "𐐀"),
        ] {
            assert!(found(needle, &[text]), "{needle} in {text}");
        }
        assert!(!found("hallo", &["hello"]));
    }

    #[test]
    fn a_needle_may_lie_across_pieces_but_not_across_texts() {
        assert!(found("needle", &["nee", "d", "le"]));
        let mut matcher = TextMatcher::new(&["needles".to_owned(), "ed".to_owned()]);
        for (piece, expected) in [
            ("ne", [false, false]),
            ("e", [false, false]),
            ("dl", [false, true]),
            ("es", [true, true]),
        ] {
            matcher.feed(piece);
            assert_eq!(matcher.found(), expected, "{piece}");
        }
        let mut matcher = TextMatcher::new(&["ab".to_owned(), "c".to_owned(), String::new()]);
        matcher.feed("a");
        matcher.end_text();
        matcher.feed("bC");
        assert_eq!(matcher.found(), [false, true, true]);
        matcher.reset();
        assert_eq!(matcher.found(), [false, false, true]);
    }

    #[test]
    fn a_needle_is_found_at_the_end_of_a_long_text() {
        let text = "x".repeat(3 * BLOCK_BYTES - 3) + "Needle";
        assert!(found("nEEDLE", &[&text]));
    }
}
