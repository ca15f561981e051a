//! Flags of the reference.

use crate::Value;

/// Every flag that the model uses; the last three are keywords.
pub const NAMES: [&str; 8] = [
    "\\Seen",
    "\\Answered",
    "\\Flagged",
    "\\Deleted",
    "\\Draft",
    "$Forwarded",
    "work",
    "Junk",
];

/// A set of [`NAMES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Deleted`
    pub const DELETED: Self = Self(1 << 3);
    /// All keywords.
    pub const KEYWORDS: Self = Self(0b1110_0000);

    /// Whether all of these are set.
    #[must_use]
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// `(\Seen work)`
    #[must_use]
    pub fn list(self) -> String {
        let names = NAMES.iter().enumerate();
        let set = names.filter(|(bit, _)| self.0 >> bit & 1 == 1);
        let set: Vec<&str> = set.map(|(_, name)| *name).collect();
        format!("({})", set.join(" "))
    }

    /// Whether `\Recent` is in a list.
    #[must_use]
    pub fn says_recent(list: &[Value]) -> bool {
        list.iter()
            .any(|value| value.text().eq_ignore_ascii_case("\\Recent"))
    }

    /// The flags of a list, `\Recent` left out.
    ///
    /// # Errors
    /// A flag that nobody has set.
    pub fn parse(list: &[Value]) -> Result<Self, String> {
        let mut flags = Self::default();
        for value in list {
            let text = value.text();
            match NAMES
                .iter()
                .position(|name| name.eq_ignore_ascii_case(&text))
            {
                Some(bit) if flags.0 >> bit & 1 == 1 => return Err(format!("{text} comes twice")),
                Some(bit) => flags.0 |= 1 << bit,
                None if text.eq_ignore_ascii_case("\\Recent") => {}
                None => return Err(format!("a flag that nobody has set: {text}")),
            }
        }
        Ok(flags)
    }
}

/// What STORE does with its flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// `FLAGS`
    Replace,
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
}

impl Change {
    /// What becomes of flags.
    #[must_use]
    pub fn apply(self, before: Flags, flags: Flags) -> Flags {
        match self {
            Self::Replace => flags,
            Self::Add => Flags(before.0 | flags.0),
            Self::Remove => Flags(before.0 & !flags.0),
        }
    }
}
