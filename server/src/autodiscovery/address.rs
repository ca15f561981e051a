//! An address that somebody asks for.
//!
//! It comes from anybody and goes into XML, HTML and a URL, so it is held to what an address
//! can be: the dot-atoms of RFC 5322 §3.2.3 with the letters of RFC 6531, no quoted strings.
//! Writers escape it all the same, since `&` and `'` belong to an atom.

use super::limits::ADDRESS_BYTES_MAX;

/// Octets of a label of a domain (RFC 1035 §2.3.4).
const LABEL_BYTES_MAX: usize = 63;
/// What may stand in an atom besides letters and digits.
const ATOM: &str = "!#$%&'*+-/=?^_`{|}~";

/// `local@domain`, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    text: String,
    at: usize,
}

impl Address {
    /// Reads an address; white space around it counts for nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let at = text.rfind('@')?;
        let (local, domain) = (&text[..at], &text[at + 1..]);
        let fits = text.len() <= ADDRESS_BYTES_MAX;
        let is_address = fits && local.split('.').all(is_atom) && is_domain(domain);
        is_address.then(|| Self {
            text: text.to_owned(),
            at,
        })
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is before the `@`.
    #[must_use]
    pub fn local(&self) -> &str {
        &self.text[..self.at]
    }

    /// What is after the `@`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }
}

/// Whether `text` can be the name of a host or a domain, in ASCII or not.
pub(crate) fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=LABEL_BYTES_MAX).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || is_foreign(c))
    };
    text.split('.').all(is_label)
}

fn is_atom(text: &str) -> bool {
    let belongs = |c: char| c.is_ascii_alphanumeric() || ATOM.contains(c) || is_foreign(c);
    !text.is_empty() && text.chars().all(belongs)
}

/// A character beyond ASCII that shows itself as what it is: no control, no space, nothing
/// that only changes how its neighbours are shown.
fn is_foreign(c: char) -> bool {
    let invisible = matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{ffff}'
            | '\u{e0000}'..='\u{10ffff}'
    );
    !c.is_ascii() && !c.is_control() && !c.is_whitespace() && !invisible
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_all_kinds() {
        for text in [
            "alice@example.org",
            "alice+lists@example.org",
            "o'hara&sons@example.org",
            "a.b/c=d@xn--bcher-kva.example",
            "j\u{f6}rg@b\u{fc}cher.example",
            "\u{4f60}\u{597d}@\u{4f8b}\u{5b50}.\u{6d4b}\u{8bd5}",
            "EVOLUTIONUSER@example.org",
            "a@b",
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.text(), text);
            assert_eq!(format!("{}@{}", address.local(), address.domain()), text);
        }
        let address = Address::parse("  alice@example.org\r\n").unwrap();
        assert_eq!(address.text(), "alice@example.org");
    }

    #[test]
    fn what_is_no_address() {
        let long = format!("{}@example.org", "a".repeat(1000));
        let label = format!("a@{}.org", "b".repeat(64));
        for text in [
            "",
            "alice",
            "@example.org",
            "alice@",
            "alice@.org",
            "alice@example..org",
            "alice@-example.org",
            "a..b@example.org",
            ".a@example.org",
            "a b@example.org",
            "\"a b\"@example.org",
            "<alice@example.org>",
            "a@b@example.org",
            "alice@exa\"mple.org",
            "alice@exam<ple>.org",
            "alice@[127.0.0.1]",
            "alice@example.org:80",
            "alice@example.org/x",
            "al\0ice@example.org",
            "al\u{1}ice@example.org",
            "al\rice@example.org",
            "al\u{85}ice@example.org",
            "al\u{202e}ice@example.org",
            "al\u{ffff}ice@example.org",
            "alice@exam\u{200b}ple.org",
            &long,
            &label,
        ] {
            assert_eq!(Address::parse(text), None, "{text:?}");
        }
    }
}
