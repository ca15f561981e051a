//! Text between its decoding and the search for words in it.
//!
//! To decode takes as long as there are octets, and to search as long as there are octets times
//! words. So the two are apart, and who searches may pause between two pieces.

use super::TextMatcher;

/// Text that was decoded and not searched yet, and where texts end in it.
#[derive(Default)]
pub struct Decoded {
    /// What was decoded, one text behind the other.
    pub(super) text: String,
    /// Ascending.
    ends: Vec<usize>,
}

impl Decoded {
    /// Adds a text that is whole.
    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.end_text();
    }

    /// A text ends here: no word lies across this place.
    pub fn end_text(&mut self) {
        self.ends.push(self.text.len());
    }

    /// What is there in pieces of at most `octets_max` (or one character), and whether a text
    /// ends behind each.
    pub fn pieces(&self, octets_max: usize) -> impl Iterator<Item = (&str, bool)> {
        let mut ends = self.ends.iter().copied().peekable();
        let mut at = 0;
        core::iter::from_fn(move || {
            let end = ends.peek().copied().unwrap_or(self.text.len());
            if at == end && ends.peek().is_none() {
                return None;
            }
            let rest = &self.text[at..end];
            let piece = &rest[..rest.floor_char_boundary(octets_max.max(char::MAX.len_utf8()))];
            at += piece.len();
            let ends_here = at == end && ends.next_if_eq(&end).is_some();
            Some((piece, ends_here))
        })
    }

    /// Searches all that is there in one go, and forgets it.
    pub fn search(&mut self, matcher: &mut TextMatcher) {
        for (piece, ends) in self.pieces(usize::MAX) {
            matcher.take(piece, ends);
        }
        self.clear();
    }

    /// Forgets what is there.
    pub fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_texts_do_and_between_characters() {
        let mut decoded = Decoded::default();
        decoded.push("abcde\u{20ac}f");
        decoded.push("");
        decoded.text.push_str("gh");
        let pieces: Vec<_> = decoded.pieces(5).collect();
        let expected = [
            ("abcde", false),
            ("\u{20ac}f", true),
            ("", true),
            ("gh", false),
        ];
        assert_eq!(pieces, expected);
        decoded.clear();
        assert_eq!(decoded.pieces(5).next(), None);
    }
}
