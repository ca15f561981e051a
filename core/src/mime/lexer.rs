//! The words of structured header fields: what RFC 5322 §3.2 and RFC 2045 §5.1
//! have in common. Nothing is rejected: what cannot be read is passed over.

/// A position in the raw, still folded value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lexer<'a> {
    octets: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self { octets, at: 0 }
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.octets.get(self.at).copied()
    }

    pub(super) fn at_end(&self) -> bool {
        self.at >= self.octets.len()
    }

    /// Passes over one octet.
    pub(super) fn bump(&mut self) {
        self.at = (self.at + 1).min(self.octets.len());
    }

    /// Passes over `octet` if it comes next.
    pub(super) fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.at += 1;
        }
        found
    }

    /// Passes over white space, folds and comments.
    pub(super) fn skip_cfws(&mut self) {
        let _ = self.cfws(None);
    }

    /// Like [`skip_cfws`](Self::skip_cfws), and puts the content of the last
    /// comment into `comment`. Returns whether there was anything.
    pub(super) fn skip_cfws_keeping(&mut self, comment: &mut Vec<u8>) -> bool {
        self.cfws(Some(comment))
    }

    fn cfws(&mut self, mut comment: Option<&mut Vec<u8>>) -> bool {
        let start = self.at;
        while let Some(octet) = self.peek() {
            match octet {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                b'(' => self.comment(comment.as_deref_mut()),
                _ => break,
            }
        }
        self.at > start
    }

    /// A comment, which may hold comments; depth is counted, not recursed into.
    fn comment(&mut self, mut kept: Option<&mut Vec<u8>>) {
        let mut depth = 0_usize;
        if let Some(kept) = kept.as_deref_mut() {
            kept.clear();
        }
        while let Some(octet) = self.peek() {
            self.at += 1;
            let mut text = octet;
            match octet {
                b'(' => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                }
                b'\\' => match self.peek() {
                    Some(quoted) => {
                        self.at += 1;
                        text = quoted;
                    }
                    None => return,
                },
                b'\r' | b'\n' => continue,
                _ => {}
            }
            if let Some(kept) = kept.as_deref_mut() {
                kept.push(text);
            }
        }
    }

    /// The content of a quoted string; the position is on its first quote.
    /// `Err` holds what there was when the closing quote is missing.
    pub(super) fn quoted_string(&mut self) -> Result<Vec<u8>, Vec<u8>> {
        let mut content = Vec::new();
        self.at += 1;
        while let Some(octet) = self.peek() {
            self.at += 1;
            match octet {
                b'"' => return Ok(content),
                // A fold: its line end is no part of the value (RFC 5322 §3.2.4).
                b'\r' | b'\n' => {}
                b'\\' => {
                    if let Some(quoted) = self.peek() {
                        content.push(quoted);
                        self.at += 1;
                    }
                }
                _ => content.push(octet),
            }
        }
        Err(content)
    }

    /// Octets for which `belongs` holds; may be none.
    pub(super) fn take_while(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.octets.get(self.at..).unwrap_or_default();
        let len = rest
            .iter()
            .position(|&octet| !belongs(octet))
            .unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// A token of RFC 2045 §5.1, with 8-bit octets allowed; may be empty.
    pub(super) fn mime_token(&mut self) -> &'a [u8] {
        self.take_while(is_mime_token)
    }

    /// An atom of RFC 5322 §3.2.3, with 8-bit octets allowed; may be empty.
    pub(super) fn atom(&mut self) -> &'a [u8] {
        self.take_while(is_atext)
    }

    /// Atoms and dots (RFC 5322 §3.2.3 `dot-atom`, loosely); may be empty.
    pub(super) fn dot_atom(&mut self) -> &'a [u8] {
        self.take_while(|octet| octet == b'.' || is_atext(octet))
    }
}

fn is_mime_token(octet: u8) -> bool {
    octet > b' ' && octet != 0x7f && !b"()<>@,;:\\\"/[]?=".contains(&octet)
}

fn is_atext(octet: u8) -> bool {
    octet > b' ' && octet != 0x7f && !b"()<>@,;:\\\".[]".contains(&octet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_nest_and_the_last_one_is_kept() {
        let mut lexer = Lexer::new(b" (a) (b \\) (c)) x");
        let mut comment = Vec::new();
        lexer.skip_cfws_keeping(&mut comment);
        assert_eq!(comment, b"b ) (c)");
        assert_eq!(lexer.atom(), b"x");
    }

    #[test]
    fn a_quoted_string_loses_its_folds_and_backslashes() {
        let mut lexer = Lexer::new(b"\"a\r\n b\\\"\"");
        assert_eq!(lexer.quoted_string(), Ok(b"a b\"".to_vec()));
        assert_eq!(Lexer::new(b"\"open").quoted_string(), Err(b"open".to_vec()));
    }

    #[test]
    fn an_endless_comment_ends_with_the_field() {
        let bomb = vec![b'('; 100_000];
        let mut lexer = Lexer::new(&bomb);
        lexer.skip_cfws();
        assert!(lexer.at_end());
    }
}
