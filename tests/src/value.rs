//! The data items of a response, parsed as the nested lists they are.
//!
//! This reader is deliberately simple and shares nothing with the server's own
//! grammar: it knows atoms, strings, literals and lists, and takes the brackets
//! of `BODY[HEADER.FIELDS (FROM TO)]<0>` into the atom before them.

/// One item of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An atom, a number, a flag, or a name with a section in brackets.
    Atom(String),
    /// A quoted string or a literal.
    String(Vec<u8>),
    /// A parenthesised list.
    List(Vec<Value>),
    /// `NIL`.
    Nil,
}

impl Value {
    /// Parses all items of a line whose literals are inline.
    pub fn parse_all(bytes: &[u8]) -> Vec<Self> {
        let mut reader = Reader { bytes, at: 0 };
        let mut stack: Vec<Vec<Self>> = vec![Vec::new()];
        loop {
            reader.skip_spaces();
            match reader.peek() {
                None => break,
                Some(b'(') => {
                    reader.at += 1;
                    stack.push(Vec::new());
                }
                Some(b')') => {
                    reader.at += 1;
                    let list = stack.pop().expect("the stack holds the outermost list");
                    stack
                        .last_mut()
                        .expect("a closing bracket has its opening one")
                        .push(Self::List(list));
                }
                Some(_) => {
                    let value = reader.scalar();
                    stack
                        .last_mut()
                        .expect("the outermost list is never popped")
                        .push(value);
                }
            }
        }
        assert_eq!(
            stack.len(),
            1,
            "unbalanced brackets in {:?}",
            String::from_utf8_lossy(bytes)
        );
        stack.remove(0)
    }

    /// The octets of a string; an atom's text counts, `NIL` is empty.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Atom(atom) => atom.as_bytes(),
            Self::String(string) => string,
            Self::Nil => b"",
            Self::List(_) => panic!("a list where a string was expected: {self}"),
        }
    }

    /// The text of a string or atom.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// The number that an atom is.
    pub fn number(&self) -> u64 {
        self.text()
            .parse()
            .unwrap_or_else(|_| panic!("{self} is not a number"))
    }

    /// The items of a list.
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => panic!("{self} where a list was expected"),
        }
    }
}

/// As the protocol writes it, with atoms in upper case: for comparing structures.
impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Atom(atom) => f.write_str(&atom.to_uppercase()),
            Self::String(string) => write!(f, "{:?}", String::from_utf8_lossy(string)),
            Self::Nil => f.write_str("NIL"),
            Self::List(items) => {
                f.write_str("(")?;
                for (number, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if number == 0 { "" } else { " " })?;
                }
                f.write_str(")")
            }
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn scalar(&mut self) -> Value {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal(),
            _ => self.atom(),
        }
    }

    fn quoted(&mut self) -> Value {
        self.at += 1;
        let mut out = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Value::String(out),
                b'\\' => {
                    out.extend(self.peek());
                    self.at += 1;
                }
                _ => out.push(byte),
            }
        }
        panic!("a quoted string without its end");
    }

    fn literal(&mut self) -> Value {
        let rest = &self.bytes[self.at..];
        let end = rest
            .windows(3)
            .position(|three| three == b"}\r\n")
            .expect("a literal's size ends with }CRLF");
        let size = String::from_utf8_lossy(&rest[1..end])
            .trim_end_matches('+')
            .parse::<usize>();
        let size = size.expect("a literal's size is a number");
        let begin = self.at + end + 3;
        self.at = begin + size;
        Value::String(self.bytes[begin..self.at].to_vec())
    }

    fn atom(&mut self) -> Value {
        let begin = self.at;
        let mut brackets = 0_u32;
        while let Some(byte) = self.peek() {
            match byte {
                b'[' => brackets += 1,
                b']' => brackets = brackets.saturating_sub(1),
                b' ' | b'(' | b')' | b'\r' | b'\n' if brackets == 0 => break,
                _ => {}
            }
            self.at += 1;
        }
        assert!(
            self.at > begin,
            "an item starts with {:?}",
            self.peek().map(char::from)
        );
        let atom = String::from_utf8_lossy(&self.bytes[begin..self.at]).into_owned();
        if atom.eq_ignore_ascii_case("NIL") {
            Value::Nil
        } else {
            Value::Atom(atom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn sections_lists_and_literals_are_read() {
        let items = Value::parse_all(
            b"UID 7 BODY[HEADER.FIELDS (FROM TO)]<0> {3}\r\na)b X (\\Seen (NIL \"q\\\"\"))",
        );
        let text: Vec<String> = items.iter().map(ToString::to_string).collect();
        assert_eq!(
            text,
            [
                "UID",
                "7",
                "BODY[HEADER.FIELDS (FROM TO)]<0>",
                "\"a)b\"",
                "X",
                "(\\SEEN (NIL \"q\\\"\"))"
            ]
        );
    }
}
