//! Text inside XML and HTML.

use core::fmt::{self, Display, Write};

/// Shows a text so that it is nothing but text, in elements and in quoted attributes. What
/// XML 1.0 cannot hold in any form (its §2.2) is shown as U+FFFD.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaper(f), "{}", self.0)
    }
}

struct Escaper<'a, 'b>(&'a mut fmt::Formatter<'b>);

impl Write for Escaper<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                '\t' | '\n' => self.0.write_char(c)?,
                // A reader would make a line end of it.
                '\r' => self.0.write_str("&#13;")?,
                c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => {
                    self.0.write_char('\u{fffd}')?;
                }
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text() {
        let escaped = Escaped("<a b='c' d=\"e\">&amp;\r\n\0\u{1b}\u{ffff}\u{fc}").to_string();
        let expected = "&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;amp;&#13;\n\
                        \u{fffd}\u{fffd}\u{fffd}\u{fc}";
        assert_eq!(escaped, expected);
    }
}
