//! What must hold once two servers are quiet that had both written before. Which of their
//! changes came first nobody can say, but from what there was before and what was answered
//! it follows what may have become of each mailbox and each message.
//!
//! A mailbox is known by its UIDVALIDITY, whatever its name is.

use crate::commands::{Answer, Command};
use crate::reference::{above, normal};
use std::collections::{BTreeMap, BTreeSet};

/// All that a server shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// By UIDVALIDITY.
    pub(crate) mailboxes: BTreeMap<u32, Shown>,
    pub(crate) subscribed: BTreeSet<String>,
    /// UIDVALIDITYs that several mailboxes have.
    pub(crate) alike: BTreeSet<u32>,
}

/// A mailbox as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) name: String,
    /// UID, and the number of what it says.
    pub(crate) messages: BTreeMap<u32, u32>,
}

impl Shown {
    /// Whether a message has a higher UID than it was told with, which nobody has.
    fn has_another_uid(&self, message: &Message) -> bool {
        let mut above = self.messages.range(message.uid..);
        !self.messages.contains_key(&message.uid) && above.any(|(_, it)| *it == message.text)
    }
}

/// A message that a client was told of.
#[derive(Clone, Copy)]
struct Message {
    validity: u32,
    uid: u32,
    text: u32,
}

/// The UIDVALIDITY of INBOX in a new account.
const INBOX: u32 = 1;

/// Octets of the longest name that is looked for: more than the commands of a round can make.
const NAME_OCTETS_MAX: usize = 300;

/// What clients of both servers said in a round, and were answered.
pub(crate) struct Round<'a> {
    before: &'a View,
    said: &'a [(Command, Answer)],
    /// RENAMEs that were carried out, or may have been.
    renames: Vec<(String, String)>,
    /// Where the messages of INBOX went, as often as it was asked for.
    inbox_to: Vec<String>,
    /// DELETEs, by name, that were carried out or may have been.
    deletes: Vec<String>,
    /// Names that mailboxes may have been made with.
    made: BTreeSet<String>,
}

/// The name without the mark that one of two mailboxes of one name has behind it.
fn unmarked(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((name, mark)) if mark.len() == 8 && mark.bytes().all(|it| it.is_ascii_hexdigit()) => {
            name
        }
        _ => name,
    }
}

/// The name that a command is about, as far as it says which mailboxes that may be.
fn named(name: &str) -> String {
    normal(unmarked(name))
}

/// The name that a mailbox is made with.
fn target(name: &str) -> String {
    let name = named(name);
    name.strip_suffix('/').unwrap_or(&name).to_owned()
}

/// Whether it was carried out, or may have been: the client was sent away before its answer.
fn maybe(answer: &Answer) -> bool {
    answer.tagged.is_none() || is_ok(answer)
}

fn is_ok(answer: &Answer) -> bool {
    ends(answer, "OK ")
}

fn ends(answer: &Answer, how: &str) -> bool {
    let tagged = answer.tagged.as_ref().and_then(|it| it.split_once(' '));
    tagged.is_some_and(|(_, text)| text.starts_with(how))
}

impl<'a> Round<'a> {
    pub(crate) fn new(before: &'a View, said: &'a [(Command, Answer)]) -> Self {
        let mut round = Self {
            before,
            said,
            renames: Vec::new(),
            inbox_to: Vec::new(),
            deletes: Vec::new(),
            made: BTreeSet::new(),
        };
        for (command, answer) in said {
            match command {
                // It makes the mailbox first. If that is deleted before the messages have come,
                // those that were made above it stay.
                Command::Rename(from, to)
                    if normal(from) == "INBOX" && ends(answer, "NO [NONEXISTENT]") =>
                {
                    round.make(&target(to), true);
                }
                _ if !maybe(answer) => {}
                Command::Create(name) => round.make(&target(name), true),
                Command::Delete(name) => round.deletes.push(named(name)),
                Command::Rename(from, to) if normal(from) == "INBOX" => {
                    round.make(&target(to), true);
                    round.inbox_to.push(target(to));
                }
                Command::Rename(from, to) => {
                    round.make(&named(to), false);
                    round.renames.push((named(from), named(to)));
                }
                _ => {}
            }
        }
        round
    }

    fn make(&mut self, name: &str, itself: bool) {
        self.made.extend(above(name).map(str::to_owned));
        if itself {
            self.made.insert(name.to_owned());
        }
    }

    /// All names that a mailbox may have had in the end, or meanwhile.
    fn names(&self, first: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::from([unmarked(first).to_owned()]);
        loop {
            let mut more = BTreeSet::new();
            for (from, to) in &self.renames {
                for name in &names {
                    let below = name.strip_prefix(from.as_str());
                    if let Some(below) = below.filter(|it| it.is_empty() || it.starts_with('/')) {
                        more.insert(format!("{to}{below}"));
                    }
                }
            }
            // What two servers move below each other's would have longer and longer names.
            more.retain(|name| name.len() <= NAME_OCTETS_MAX);
            if more.is_subset(&names) {
                return names;
            }
            names.extend(more);
        }
    }

    fn may_be_deleted(&self, first: &str) -> bool {
        let names = self.names(first);
        self.deletes.iter().any(|deleted| names.contains(deleted))
    }

    /// Judges what both servers show in the end; `ever` are the highest UIDVALIDITY so far
    /// and what each UID said.
    pub(crate) fn judge(&self, end: &View, ever: &mut Ever) -> Result<(), String> {
        if !end.alike.is_empty() {
            return Err(format!(
                "several mailboxes have UIDVALIDITY {:?}",
                end.alike
            ));
        }
        self.mailboxes(end, ever)?;
        self.acknowledged(end)?;
        self.messages(end, ever)?;
        self.names_that_nobody_touched()?;
        ever.look(end)
    }

    fn mailboxes(&self, end: &View, ever: &Ever) -> Result<(), String> {
        for (validity, mailbox) in &self.before.mailboxes {
            let name = &mailbox.name;
            match end.mailboxes.get(validity) {
                None if self.may_be_deleted(name) => {}
                None => return Err(format!("{name} is gone, and nobody deleted it")),
                Some(now) if self.names(name).contains(unmarked(&now.name)) => {}
                Some(now) => return Err(format!("{name} is called {} now", now.name)),
            }
        }
        for (validity, mailbox) in &end.mailboxes {
            if self.before.mailboxes.contains_key(validity) {
                continue;
            }
            let name = unmarked(&mailbox.name);
            if *validity <= ever.highest {
                return Err(format!(
                    "{name} is new and has UIDVALIDITY {validity}, there was {}",
                    ever.highest
                ));
            }
            if !self.made.iter().any(|made| self.names(made).contains(name)) {
                return Err(format!("nobody made {name}"));
            }
        }
        if end
            .mailboxes
            .get(&INBOX)
            .is_none_or(|it| it.name != "INBOX")
        {
            return Err("INBOX is not what it was".to_owned());
        }
        Ok(())
    }

    /// No mailbox whose CREATE was acknowledged is gone that nobody deleted; two of one name
    /// are two.
    fn acknowledged(&self, end: &View) -> Result<(), String> {
        let before = &self.before.mailboxes;
        let (mut made, mut inbox_to) = (BTreeMap::new(), BTreeSet::new());
        for (command, _) in self.said.iter().filter(|(_, answer)| is_ok(answer)) {
            match command {
                Command::Create(name) => *made.entry(target(name)).or_insert(0) += 1,
                Command::Rename(from, to) if normal(from) == "INBOX" => {
                    inbox_to.insert(target(to));
                }
                _ => {}
            }
        }
        // One may go on with what another one has begun.
        for name in inbox_to {
            *made.entry(name).or_insert(0) += 1;
        }
        for (name, times) in made {
            let names = self.names(&name);
            let new = end.mailboxes.iter().filter(|it| !before.contains_key(it.0));
            let new = new.filter(|(_, it)| names.contains(unmarked(&it.name)));
            let deleted = self.deletes.iter().filter(|it| names.contains(*it));
            if new.count() + deleted.count() < times {
                return Err(format!("{name} was made {times} times and is not there"));
            }
        }
        Ok(())
    }

    /// What was appended, and told under which UID, and the name that it was sent to.
    fn appended(&self) -> Result<Vec<(Message, String)>, String> {
        let mut appended = Vec::new();
        for (command, answer) in self.said.iter().filter(|(_, answer)| is_ok(answer)) {
            let Command::Append(name, text) = command else {
                continue;
            };
            let code = answer.code("APPENDUID").ok_or("no APPENDUID")?;
            let (validity, uid) = code.split_once(' ').ok_or("no UID")?;
            let (Ok(validity), Ok(uid)) = (validity.parse(), uid.parse()) else {
                return Err(format!("APPENDUID {code}"));
            };
            let message = Message {
                validity,
                uid,
                text: *text,
            };
            appended.push((message, normal(name)));
        }
        Ok(appended)
    }

    fn messages(&self, end: &View, ever: &mut Ever) -> Result<(), String> {
        let appended = self.appended()?;
        for (message, name) in &appended {
            ever.told(*message)?;
            let into = |it: &&(Message, String)| it.0.validity == message.validity;
            let alone = appended.iter().filter(into).count() == 1 && !self.may_get_others(name);
            let mailbox = end.mailboxes.get(&message.validity);
            // Two servers gave this UID to two messages at the same moment: both get others
            // (decision 007).
            if alone || !mailbox.is_some_and(|it| it.has_another_uid(message)) {
                self.is_kept(end, *message, name)?;
            }
        }
        for (validity, mailbox) in &self.before.mailboxes {
            for (uid, text) in &mailbox.messages {
                let message = Message {
                    validity: *validity,
                    uid: *uid,
                    text: *text,
                };
                self.is_kept(end, message, &mailbox.name)?;
            }
        }
        let sent = self.said.iter().filter_map(|(command, _)| match command {
            Command::Append(_, text) => Some(*text),
            _ => None,
        });
        let sent: BTreeSet<u32> = sent.collect();
        let (count, before) = (count(end), count(self.before));
        for (text, times) in count {
            let known = before.get(&text).copied();
            if known.is_none() && !sent.contains(&text) {
                return Err(format!("nobody appended {text}"));
            }
            // Two servers that move the messages of INBOX away at once both do.
            if times > known.unwrap_or(1) && self.inbox_to.len() < 2 {
                return Err(format!("{text} is there {times} times"));
            }
        }
        Ok(())
    }

    /// Whether messages may have come into a mailbox of this name that no APPENDUID tells of:
    /// those of INBOX, or one whose client was sent away before its answer.
    fn may_get_others(&self, name: &str) -> bool {
        let names = self.names(name);
        let may_be_it = |other: &str| !self.names(other).is_disjoint(&names);
        let unanswered = self.said.iter().filter(|(_, it)| it.tagged.is_none());
        let mut appended = unanswered.filter_map(|(command, _)| match command {
            Command::Append(name, _) => Some(normal(name)),
            _ => None,
        });
        self.inbox_to.iter().any(|to| may_be_it(to)) || appended.any(|to| may_be_it(&to))
    }

    /// A message that was acknowledged or shown is where it was.
    fn is_kept(&self, end: &View, message: Message, name: &str) -> Result<(), String> {
        let Message {
            validity,
            uid,
            text,
        } = message;
        match end.mailboxes.get(&validity) {
            Some(mailbox) if mailbox.messages.get(&uid) == Some(&text) => Ok(()),
            // Its messages may have gone to another mailbox.
            Some(_) if validity == INBOX => {
                let moved = |to: &String| {
                    let names = self.names(to);
                    let mut there = end.mailboxes.values();
                    there.any(|it| {
                        names.contains(unmarked(&it.name))
                            && it.messages.values().any(|it| *it == text)
                    }) || self.may_be_deleted(to)
                };
                match self.inbox_to.iter().any(moved) {
                    true => Ok(()),
                    false => Err(format!("{text} is not in INBOX")),
                }
            }
            None if self.may_be_deleted(name) => Ok(()),
            _ => Err(format!("{text} is not in {name} under UID {uid}")),
        }
    }

    /// What was there before, or was not, and that no command was about, was so all the time.
    fn names_that_nobody_touched(&self) -> Result<(), String> {
        let mailboxes = self.before.mailboxes.values();
        let there: BTreeSet<&str> = mailboxes.map(|it| it.name.as_str()).collect();
        let may_appear = |name: &str| {
            let origins = self
                .made
                .iter()
                .map(String::as_str)
                .chain(there.iter().copied());
            origins
                .filter(|it| *it != name)
                .any(|it| self.names(it).contains(name))
                || self.made.contains(name)
        };
        for (command, answer) in self.said.iter().filter(|it| it.1.tagged.is_some()) {
            let (name, missing) = match command {
                Command::Select(name) | Command::Status(name) => (normal(name), "NO [NONEXISTENT]"),
                Command::Append(name, _) => (normal(name), "NO [TRYCREATE]"),
                _ => continue,
            };
            // The mark goes when the other one of its name does.
            if name != unmarked(&name) {
                continue;
            }
            let stays = there.contains(name.as_str())
                && self.names(&name).len() == 1
                && !self.may_be_deleted(&name);
            if stays && !is_ok(answer) {
                return Err(format!("{command:?}, which is there: {answer:?}"));
            }
            let never = !there.contains(name.as_str()) && !may_appear(&name);
            if never && !ends(answer, missing) {
                return Err(format!("{command:?}, which is not there: {answer:?}"));
            }
        }
        Ok(())
    }
}

/// How often each text is there.
fn count(view: &View) -> BTreeMap<u32, usize> {
    let mut count = BTreeMap::new();
    for mailbox in view.mailboxes.values() {
        for text in mailbox.messages.values() {
            *count.entry(*text).or_insert(0) += 1;
        }
    }
    count
}

/// What was shown so far.
#[derive(Default)]
pub(crate) struct Ever {
    /// The highest UIDVALIDITY.
    highest: u32,
    /// What the message says, by UIDVALIDITY and UID.
    said: BTreeMap<(u32, u32), u32>,
}

impl Ever {
    /// A client was told of a message: its UID never says anything else.
    fn told(&mut self, message: Message) -> Result<(), String> {
        let Message {
            validity,
            uid,
            text,
        } = message;
        match *self.said.entry((validity, uid)).or_insert(text) {
            said if said == text => Ok(()),
            said => Err(format!("UID {uid} of {validity} said {said}, now {text}")),
        }
    }

    /// The same for all that is shown.
    pub(crate) fn look(&mut self, view: &View) -> Result<(), String> {
        for (validity, mailbox) in &view.mailboxes {
            self.highest = self.highest.max(*validity);
            for (uid, text) in &mailbox.messages {
                self.told(Message {
                    validity: *validity,
                    uid: *uid,
                    text: *text,
                })?;
            }
        }
        Ok(())
    }
}
