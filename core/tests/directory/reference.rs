//! The reference: what mailboxes there are, by the rules of RFC 3501 §6.3 and the choices
//! of `docs/clients.md`. It shares nothing with the server.

use std::collections::{BTreeMap, BTreeSet};

/// Names one mailbox for ever, whatever it is called.
pub(crate) type Identity = u32;

/// All that there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) mailboxes: BTreeMap<String, Mailbox>,
    pub(crate) subscribed: BTreeSet<String>,
    /// UIDVALIDITYs that were told, of mailboxes that are gone as well.
    validities: BTreeMap<u32, Identity>,
    next: Identity,
    /// What each client has selected.
    pub(crate) selected: Vec<Option<Identity>>,
}

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) identity: Identity,
    pub(crate) special_use: Option<&'static str>,
    /// UID, and the number of what it says.
    pub(crate) messages: Vec<(u32, u32)>,
    pub(crate) uid_next: u32,
}

/// Why a command is refused: the response code (RFC 5530).
pub(crate) type Refusal = &'static str;

const INITIAL: [(&str, Option<&str>); 6] = [
    ("INBOX", None),
    ("Drafts", Some("\\Drafts")),
    ("Sent", Some("\\Sent")),
    ("Archive", Some("\\Archive")),
    ("Junk", Some("\\Junk")),
    ("Trash", Some("\\Trash")),
];

/// INBOX is the same in any case, also above others (RFC 3501 §5.1).
pub(crate) fn normal(name: &str) -> String {
    let (first, rest) = name.split_at(name.find('/').unwrap_or(name.len()));
    match first.eq_ignore_ascii_case("INBOX") {
        true => format!("INBOX{rest}"),
        false => name.to_owned(),
    }
}

fn is_valid(name: &str) -> bool {
    !name.contains(['%', '*']) && name.split('/').all(|level| !level.is_empty())
}

/// The names above one, the topmost first.
pub(crate) fn above(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('/').map(|(at, _)| &name[..at])
}

/// Whether a pattern of LIST matches (RFC 3501 §6.3.8).
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some(first) = pattern.chars().next() else {
        return name.is_empty();
    };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' | '%' => {
            let end = match first {
                '%' => name.find('/').unwrap_or(name.len()),
                _ => name.len(),
            };
            (0..=end).any(|at| name.is_char_boundary(at) && matches(rest, &name[at..]))
        }
        _ => name
            .strip_prefix(first)
            .is_some_and(|name| matches(rest, name)),
    }
}

impl Reference {
    pub(crate) fn new() -> Self {
        let mut new = Self {
            mailboxes: BTreeMap::new(),
            subscribed: INITIAL.iter().map(|(name, _)| (*name).to_owned()).collect(),
            validities: BTreeMap::new(),
            next: 0,
            selected: Vec::new(),
        };
        for (name, special_use) in INITIAL {
            new.make(name);
            if let Some(mailbox) = new.mailboxes.get_mut(name) {
                mailbox.special_use = special_use;
            }
        }
        new
    }

    /// Makes a mailbox and those above it that are missing.
    fn make(&mut self, name: &str) {
        for level in above(name).chain([name]) {
            if self.mailboxes.contains_key(level) {
                continue;
            }
            let mailbox = Mailbox {
                identity: self.next,
                special_use: None,
                messages: Vec::new(),
                uid_next: 1,
            };
            self.next += 1;
            self.mailboxes.insert(level.to_owned(), mailbox);
        }
    }

    pub(crate) fn has_children(&self, name: &str) -> bool {
        let below = format!("{name}/");
        self.mailboxes.keys().any(|name| name.starts_with(&below))
    }

    /// The mailbox that a client has selected, under its name of now.
    pub(crate) fn selected(&self, client: usize) -> Option<(&String, &Mailbox)> {
        let identity = self.selected[client]?;
        let mut mailboxes = self.mailboxes.iter();
        mailboxes.find(|(_, mailbox)| mailbox.identity == identity)
    }

    /// Whether what a client has selected is no more.
    pub(crate) fn is_lost(&self, client: usize) -> bool {
        self.selected[client].is_some() && self.selected(client).is_none()
    }

    pub(crate) fn create(&mut self, name: &str) -> Result<(), Refusal> {
        let name = name.strip_suffix('/').unwrap_or(name);
        if !is_valid(name) {
            return Err("CANNOT");
        }
        if self.mailboxes.contains_key(name) {
            return Err("ALREADYEXISTS");
        }
        self.make(name);
        Ok(())
    }

    pub(crate) fn delete(&mut self, name: &str) -> Result<(), Refusal> {
        if name == "INBOX" {
            return Err("CANNOT");
        }
        if !self.mailboxes.contains_key(name) {
            return Err("NONEXISTENT");
        }
        if self.has_children(name) {
            return Err("CANNOT");
        }
        self.mailboxes.remove(name);
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> Result<(), Refusal> {
        if from == "INBOX" {
            return self.rename_inbox(to);
        }
        if !self.mailboxes.contains_key(from) {
            return Err("NONEXISTENT");
        }
        if !is_valid(to) {
            return Err("CANNOT");
        }
        if self.mailboxes.contains_key(to) {
            return Err("ALREADYEXISTS");
        }
        let below = format!("{from}/");
        if to.starts_with(&below) {
            return Err("CANNOT");
        }
        if let Some((parent, _)) = to.rsplit_once('/') {
            self.make(parent);
        }
        let names = self.mailboxes.keys();
        let moved = names.filter(|name| *name == from || name.starts_with(&below));
        for name in moved.cloned().collect::<Vec<_>>() {
            if let Some(mailbox) = self.mailboxes.remove(&name) {
                let new = format!("{to}{}", &name[from.len()..]);
                self.mailboxes.insert(new, mailbox);
            }
        }
        Ok(())
    }

    /// The messages of INBOX go to a new mailbox (RFC 3501 §6.3.5).
    fn rename_inbox(&mut self, to: &str) -> Result<(), Refusal> {
        self.create(to)?;
        let inbox = self.mailboxes.get_mut("INBOX").ok_or("SERVERBUG")?;
        let messages = core::mem::take(&mut inbox.messages);
        let to = to.strip_suffix('/').unwrap_or(to);
        self.add(to, messages.iter().map(|(_, text)| *text));
        Ok(())
    }

    pub(crate) fn subscribe(&mut self, name: &str, subscribed: bool) -> Result<(), Refusal> {
        if !subscribed {
            self.subscribed.remove(name);
        } else if self.subscribed.contains(name) {
        } else if is_valid(name) {
            self.subscribed.insert(name.to_owned());
        } else {
            return Err("CANNOT");
        }
        Ok(())
    }

    /// Messages come; their UIDs.
    pub(crate) fn add(&mut self, name: &str, texts: impl Iterator<Item = u32>) -> Vec<u32> {
        let Some(mailbox) = self.mailboxes.get_mut(name) else {
            return Vec::new();
        };
        let first = mailbox.uid_next;
        for text in texts {
            mailbox.messages.push((mailbox.uid_next, text));
            mailbox.uid_next += 1;
        }
        (first..mailbox.uid_next).collect()
    }

    /// A UIDVALIDITY is told of a mailbox: it always has the same, and no other one ever has
    /// it, whatever their names are or were (RFC 3501 §2.3.1.1).
    pub(crate) fn told(&mut self, identity: Identity, validity: u32) -> Result<(), String> {
        let known = self.validities.iter().find(|(_, of)| **of == identity);
        if known.is_some_and(|(known, _)| *known != validity) {
            return Err(format!("UIDVALIDITY {validity}, it was {known:?}"));
        }
        match self.validities.insert(validity, identity) {
            Some(other) if other != identity => Err(format!(
                "UIDVALIDITY {validity} was that of another mailbox"
            )),
            _ => Ok(()),
        }
    }

    /// The lines of LIST: attributes and names.
    pub(crate) fn list(&self, kind: Kind, pattern: &str) -> BTreeSet<(BTreeSet<String>, String)> {
        let mut lines = BTreeSet::new();
        let existing = self.mailboxes.keys();
        let names: Vec<&String> = match kind {
            Kind::Plain | Kind::Returning => existing.collect(),
            Kind::Subscribed | Kind::Lsub => self.subscribed.iter().collect(),
        };
        for name in names.into_iter().filter(|name| matches(pattern, name)) {
            lines.insert((self.attributes(kind, name), name.clone()));
        }
        if kind == Kind::Lsub && pattern.contains('%') {
            // Above what is subscribed to and not listed itself (RFC 3501 §6.3.9).
            let hidden = self.subscribed.iter().filter(|it| !matches(pattern, it));
            let parents = hidden.flat_map(|name| above(name));
            for parent in parents.filter(|it| matches(pattern, it)) {
                if !self.subscribed.contains(parent) {
                    let no_select = BTreeSet::from(["\\NOSELECT".to_owned()]);
                    lines.insert((no_select, parent.to_owned()));
                }
            }
        }
        lines
    }

    fn attributes(&self, kind: Kind, name: &str) -> BTreeSet<String> {
        let mut attributes = BTreeSet::new();
        if kind == Kind::Lsub {
            return attributes;
        }
        match self.mailboxes.get(name) {
            None => attributes.insert("\\NONEXISTENT".to_owned()),
            Some(mailbox) => {
                attributes.extend(mailbox.special_use.map(str::to_uppercase));
                true
            }
        };
        attributes.insert(match self.has_children(name) {
            true => "\\HASCHILDREN".to_owned(),
            false => "\\HASNOCHILDREN".to_owned(),
        });
        if kind != Kind::Plain && self.subscribed.contains(name) {
            attributes.insert("\\SUBSCRIBED".to_owned());
        }
        attributes
    }
}

/// The ways to ask for a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `LIST "" …`
    Plain,
    /// `LIST "" … RETURN (SUBSCRIBED)` (RFC 5258)
    Returning,
    /// `LIST (SUBSCRIBED) "" …`
    Subscribed,
    /// `LSUB "" …`
    Lsub,
}
