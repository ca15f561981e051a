//! Answers of the server: single responses, and all those of one command.

use std::collections::{BTreeMap, BTreeSet};

use crate::Value;

/// How a command ended (RFC 3501 §7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Refused.
    No,
    /// Not understood.
    Bad,
}

/// One response line with its literals inline, without the last CRLF.
#[derive(Clone, PartialEq, Eq)]
pub struct Response(pub Vec<u8>);

impl Response {
    /// The line as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }

    /// Whether the line starts with `prefix`, in any letter case.
    pub fn starts_with(&self, prefix: &str) -> bool {
        self.0.len() >= prefix.len()
            && self.0[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
    }

    /// The number and the data of `* 23 NAME data`.
    pub fn numbered(&self, name: &str) -> Option<(u32, &[u8])> {
        let rest = self.0.strip_prefix(b"* ")?;
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()?;
        let rest = rest[digits..].strip_prefix(b" ")?;
        let (head, data) = rest.split_at_checked(name.len())?;
        (head.eq_ignore_ascii_case(name.as_bytes()) && matches!(data.first(), None | Some(b' ')))
            .then_some((number, data))
    }

    /// The items after `* NAME `.
    pub fn data(&self, name: &str) -> Option<Vec<Value>> {
        let head = format!("* {name}");
        let rest = self.starts_with(&head).then(|| &self.0[head.len()..])?;
        matches!(rest.first(), None | Some(b' ')).then(|| Value::parse_all(rest))
    }

    /// What stands in a response code `[NAME …]`, empty if it has no arguments.
    pub fn code(&self, name: &str) -> Option<String> {
        let text = self.text();
        let (_, rest) = text.split_once('[')?;
        let head = rest.get(..name.len())?;
        let rest = &rest[name.len()..];
        (head.eq_ignore_ascii_case(name) && rest.starts_with([' ', ']'])).then(|| {
            // PERMANENTFLAGS holds brackets of the other kind only.
            rest.split_once(']')
                .map_or("", |(arguments, _)| arguments)
                .trim()
                .to_owned()
        })
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.text())
    }
}

/// Everything that came between a command and its tagged answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The untagged responses, in order.
    pub untagged: Vec<Response>,
    /// How the command ended.
    pub status: Status,
    /// The tagged line.
    pub tagged: Response,
}

/// The data of one FETCH response.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// The message's sequence number.
    pub number: u32,
    /// The items by name in upper case.
    pub items: BTreeMap<String, Value>,
}

impl Fetch {
    /// An item that must be there.
    pub fn item(&self, name: &str) -> &Value {
        self.items
            .get(name)
            .unwrap_or_else(|| panic!("no {name} among {:?}", self.items.keys()))
    }

    /// The octets of a section.
    pub fn bytes(&self, name: &str) -> &[u8] {
        self.item(name).bytes()
    }

    /// The message's UID.
    pub fn uid(&self) -> u32 {
        u32::try_from(self.item("UID").number()).expect("a UID has 32 bits")
    }

    /// The flags, sorted, as the server wrote them.
    pub fn flags(&self) -> BTreeSet<String> {
        self.item("FLAGS").list().iter().map(Value::text).collect()
    }

    /// Whether a flag is set.
    pub fn has(&self, flag: &str) -> bool {
        self.flags()
            .iter()
            .any(|set| set.eq_ignore_ascii_case(flag))
    }

    fn parse(number: u32, data: &[u8]) -> Self {
        let values = Value::parse_all(data);
        let [Value::List(list)] = values.as_slice() else {
            panic!("FETCH without one list: {values:?}")
        };
        let mut items = BTreeMap::new();
        for pair in list.chunks(2) {
            let [name, value] = pair else {
                panic!("FETCH item without a value: {pair:?}")
            };
            let fresh = items
                .insert(name.text().to_uppercase(), value.clone())
                .is_none();
            assert!(fresh, "{name} comes twice in one FETCH");
        }
        Self { number, items }
    }
}

impl Reply {
    /// The FETCH responses in order.
    pub fn fetches(&self) -> Vec<Fetch> {
        self.untagged
            .iter()
            .filter_map(|response| response.numbered("FETCH"))
            .map(|(number, data)| Fetch::parse(number, data))
            .collect()
    }

    /// The one FETCH response there is.
    pub fn fetch(&self) -> Fetch {
        let mut fetches = self.fetches();
        assert_eq!(fetches.len(), 1, "one FETCH expected: {self:?}");
        fetches.remove(0)
    }

    /// The numbers of `* n EXPUNGE`, in order.
    pub fn expunged(&self) -> Vec<u32> {
        self.untagged
            .iter()
            .filter_map(|response| response.numbered("EXPUNGE"))
            .map(|(number, _)| number)
            .collect()
    }

    /// The last `* n EXISTS`.
    pub fn exists(&self) -> Option<u32> {
        self.last_number("EXISTS")
    }

    /// The last `* n RECENT`.
    pub fn recent(&self) -> Option<u32> {
        self.last_number("RECENT")
    }

    /// The numbers of all SEARCH responses, sorted.
    pub fn found(&self) -> Vec<u32> {
        let mut numbers: Vec<u32> = self
            .data("SEARCH")
            .iter()
            .flatten()
            .map(|value| u32::try_from(value.number()).expect("32 bits"))
            .collect();
        assert!(
            !self.data("SEARCH").is_empty(),
            "no SEARCH response: {self:?}"
        );
        numbers.sort_unstable();
        numbers
    }

    /// The items of each `* NAME …`.
    pub fn data(&self, name: &str) -> Vec<Vec<Value>> {
        self.untagged
            .iter()
            .filter_map(|response| response.data(name))
            .collect()
    }

    /// Attributes and name of each mailbox in LIST, LSUB or XLIST responses.
    pub fn mailboxes(&self, name: &str) -> BTreeMap<String, BTreeSet<String>> {
        self.data(name)
            .into_iter()
            .map(|items| {
                assert_eq!(items.len(), 3, "attributes, delimiter, name: {items:?}");
                (
                    items[2].text(),
                    items[0]
                        .list()
                        .iter()
                        .map(|attribute| attribute.text().to_lowercase())
                        .collect(),
                )
            })
            .collect()
    }

    /// The counts of the one STATUS response.
    pub fn status_items(&self) -> BTreeMap<String, u64> {
        let data = self.data("STATUS");
        assert_eq!(data.len(), 1, "one STATUS expected: {self:?}");
        data[0][1]
            .list()
            .chunks(2)
            .map(|pair| (pair[0].text().to_uppercase(), pair[1].number()))
            .collect()
    }

    /// A response code of any of the lines.
    pub fn code(&self, name: &str) -> Option<String> {
        self.untagged
            .iter()
            .chain([&self.tagged])
            .find_map(|response| response.code(name))
    }

    /// A response code that must be there, as a number.
    pub fn code_number(&self, name: &str) -> u32 {
        let code = self
            .code(name)
            .unwrap_or_else(|| panic!("no [{name}] in {self:?}"));
        code.parse()
            .unwrap_or_else(|_| panic!("[{name} {code}] is not a number"))
    }

    /// The text after the status of the tagged line.
    pub fn text(&self) -> String {
        self.tagged
            .text()
            .splitn(3, ' ')
            .nth(2)
            .unwrap_or_default()
            .to_owned()
    }

    fn last_number(&self, name: &str) -> Option<u32> {
        self.untagged
            .iter()
            .filter_map(|response| response.numbered(name))
            .next_back()
            .map(|(number, _)| number)
    }
}
