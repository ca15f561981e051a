//! What clients say about mailboxes, and what the answers must be.

use crate::reference::{Kind, Reference, Refusal, normal};
use std::collections::BTreeSet;

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Create(String),
    Delete(String),
    Rename(String, String),
    Subscribe(String, bool),
    List(Kind, &'static str),
    Append(String, u32),
    Select(String),
    Status(String),
    /// Everything in the selected mailbox.
    Look,
    /// MOVE of everything in the selected mailbox.
    Move(String),
    Noop,
}

/// What came until the tagged response, or the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) lines: Vec<String>,
    /// `None`: the server said BYE before.
    pub(crate) tagged: Option<String>,
}

const NAMES: [&str; 18] = [
    "INBOX",
    "inbox",
    "A",
    "A/B",
    "A/B/C",
    "A/D",
    "B",
    "B/C",
    "iNbOx/A",
    "INBOX/B/C",
    "Sent",
    "Trash",
    "Z\u{fc}rich",
    "A/",
    "B/C/",
    "A//B",
    "A*",
    "/A",
];
const PATTERNS: [&str; 8] = ["*", "%", "A%", "A/%", "%/%", "INBOX", "INBOX/*", "*B"];

/// A message of this number.
pub(crate) fn message(text: u32) -> String {
    format!("Subject: {text}.\r\n\r\nhello\r\n")
}

impl Command {
    /// Whether it goes through several logs, or is more than one command, so that what
    /// others do may come in between.
    pub(crate) fn is_long(&self) -> bool {
        match self {
            Self::Move(_) | Self::Look => true,
            Self::Rename(from, _) => normal(from) == "INBOX",
            _ => false,
        }
    }

    pub(crate) fn draw(draw: &mut dyn FnMut(usize) -> usize, texts: &mut u32) -> Self {
        let any = |draw: &mut dyn FnMut(usize) -> usize| match draw(3) {
            0 => NAMES[draw(NAMES.len())].to_owned(),
            _ => NAMES[draw(9)].to_owned(),
        };
        let kinds = [Kind::Plain, Kind::Returning, Kind::Subscribed, Kind::Lsub];
        match draw(24) {
            0..5 => Self::Create(any(draw)),
            5..8 => Self::Delete(any(draw)),
            8..12 => Self::Rename(any(draw), any(draw)),
            12 => Self::Subscribe(any(draw), true),
            13 => Self::Subscribe(any(draw), false),
            14..17 => Self::List(kinds[draw(4)], PATTERNS[draw(PATTERNS.len())]),
            17 | 18 => {
                *texts += 1;
                Self::Append(any(draw), *texts)
            }
            19 | 20 => Self::Select(any(draw)),
            21 => Self::Status(any(draw)),
            22 => match draw(2) {
                0 => Self::Look,
                _ => Self::Move(any(draw)),
            },
            _ => Self::Noop,
        }
    }

    pub(crate) fn line(&self, tag: &str) -> String {
        let quoted = |name: &str| format!("\"{}\"", name.replace('\u{fc}', "&APw-"));
        let command = match self {
            Self::Create(name) => format!("CREATE {}", quoted(name)),
            Self::Delete(name) => format!("DELETE {}", quoted(name)),
            Self::Rename(from, to) => format!("RENAME {} {}", quoted(from), quoted(to)),
            Self::Subscribe(name, true) => format!("SUBSCRIBE {}", quoted(name)),
            Self::Subscribe(name, false) => format!("UNSUBSCRIBE {}", quoted(name)),
            Self::List(Kind::Plain, pattern) => format!("LIST \"\" \"{pattern}\""),
            Self::List(Kind::Returning, pattern) => {
                format!("LIST \"\" \"{pattern}\" RETURN (SUBSCRIBED)")
            }
            Self::List(Kind::Subscribed, pattern) => {
                format!("LIST (SUBSCRIBED) \"\" \"{pattern}\"")
            }
            Self::List(Kind::Lsub, pattern) => format!("LSUB \"\" \"{pattern}\""),
            Self::Append(name, text) => {
                let message = message(*text);
                format!(
                    "APPEND {} {{{}+}}\r\n{message}",
                    quoted(name),
                    message.len()
                )
            }
            Self::Select(name) => format!("SELECT {}", quoted(name)),
            Self::Status(name) => {
                format!("STATUS {} (MESSAGES UIDNEXT UIDVALIDITY)", quoted(name))
            }
            // What came since the last command is told by NOOP.
            Self::Look => {
                let fetch = "UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])";
                return format!("n NOOP\r\n{tag} {fetch}\r\n");
            }
            Self::Move(name) => {
                return format!("n NOOP\r\n{tag} UID MOVE 1:* {}\r\n", quoted(name));
            }
            Self::Noop => "NOOP".to_owned(),
        };
        format!("{tag} {command}\r\n")
    }

    /// Does it, if the answer fits.
    pub(crate) fn apply(
        &self,
        reference: &mut Reference,
        client: usize,
        answer: &Answer,
    ) -> Result<(), String> {
        let outcome = match self {
            Self::Create(name) => reference.create(&normal(name)),
            Self::Delete(name) => {
                let name = normal(name);
                let own = reference.selected(client).is_some_and(|it| *it.0 == name);
                let outcome = reference.delete(&name);
                if own && outcome.is_ok() {
                    // Who deletes what it has selected has nothing selected then.
                    reference.selected[client] = None;
                }
                outcome
            }
            Self::Rename(from, to) => reference.rename(&normal(from), &normal(to)),
            Self::Subscribe(name, subscribed) => reference.subscribe(&normal(name), *subscribed),
            Self::List(kind, pattern) => {
                let (told, there) = (answer.listed(*kind), reference.list(*kind, pattern));
                if answer.tagged.is_some() && told != there {
                    return Err(format!("there are {there:?}"));
                }
                Ok(())
            }
            Self::Append(name, text) => {
                let name = normal(name);
                let identity = reference.mailboxes.get(&name).map(|it| it.identity);
                let uids = reference.add(&name, [*text].into_iter());
                match identity {
                    None => Err("TRYCREATE"),
                    Some(identity) => {
                        if let Some(code) = answer.code("APPENDUID") {
                            answer.check_uids(reference, identity, &code, &uids)?;
                        } else if answer.tagged.is_some() {
                            return Err("no APPENDUID".to_owned());
                        }
                        Ok(())
                    }
                }
            }
            Self::Select(name) => self.select(reference, client, &normal(name), answer)?,
            Self::Status(name) => self.status(reference, &normal(name), answer)?,
            Self::Look => match reference.selected(client) {
                None => return answer.is_bad(),
                Some((_, mailbox)) => {
                    let told = answer.fetched();
                    if answer.tagged.is_some() && told != mailbox.messages {
                        return Err(format!("there are {:?}", mailbox.messages));
                    }
                    Ok(())
                }
            },
            Self::Move(name) => match reference.selected(client) {
                None => return answer.is_bad(),
                // Where to is not looked at.
                Some((_, mailbox)) if mailbox.messages.is_empty() => Ok(()),
                Some((from, _)) => {
                    let from = from.clone();
                    self.shift(reference, &from, &normal(name), answer)?
                }
            },
            Self::Noop => Ok(()),
        };
        answer.ends(outcome)
    }

    fn select(
        &self,
        reference: &mut Reference,
        client: usize,
        name: &str,
        answer: &Answer,
    ) -> Result<Result<(), Refusal>, String> {
        reference.selected[client] = None;
        let Some(mailbox) = reference.mailboxes.get(name).cloned() else {
            return Ok(Err("NONEXISTENT"));
        };
        reference.selected[client] = Some(mailbox.identity);
        if answer.tagged.is_none() {
            return Ok(Ok(()));
        }
        let exists = format!("* {} EXISTS", mailbox.messages.len());
        if !answer.lines.contains(&exists) {
            return Err(format!("{exists} is missing"));
        }
        let code = |name: &str| answer.code(name).and_then(|it| it.parse::<u32>().ok());
        if code("UIDNEXT") != Some(mailbox.uid_next) {
            return Err(format!("UIDNEXT is {}", mailbox.uid_next));
        }
        let validity = code("UIDVALIDITY").ok_or("no UIDVALIDITY")?;
        reference.told(mailbox.identity, validity)?;
        Ok(Ok(()))
    }

    fn status(
        &self,
        reference: &mut Reference,
        name: &str,
        answer: &Answer,
    ) -> Result<Result<(), Refusal>, String> {
        let Some(mailbox) = reference.mailboxes.get(name).cloned() else {
            return Ok(Err("NONEXISTENT"));
        };
        if answer.tagged.is_none() {
            return Ok(Ok(()));
        }
        let mut lines = answer.lines.iter();
        let line = lines.find(|line| line.starts_with("* STATUS "));
        let (_, items) = line
            .and_then(|it| it.rsplit_once(" ("))
            .ok_or("no STATUS")?;
        let words: Vec<&str> = items.trim_end_matches(')').split(' ').collect();
        let [
            "MESSAGES",
            messages,
            "UIDNEXT",
            next,
            "UIDVALIDITY",
            validity,
        ] = words[..]
        else {
            return Err("not what was asked for".to_owned());
        };
        if messages != mailbox.messages.len().to_string() || next != mailbox.uid_next.to_string() {
            return Err(format!("there is {mailbox:?}"));
        }
        let validity = validity.parse().map_err(|_| "not a UIDVALIDITY")?;
        reference.told(mailbox.identity, validity)?;
        Ok(Ok(()))
    }

    /// MOVE: the copies are new messages.
    fn shift(
        &self,
        reference: &mut Reference,
        from: &str,
        to: &str,
        answer: &Answer,
    ) -> Result<Result<(), Refusal>, String> {
        let Some(identity) = reference.mailboxes.get(to).map(|it| it.identity) else {
            return Ok(Err("TRYCREATE"));
        };
        let source = reference.mailboxes.get_mut(from).ok_or("not there")?;
        let moved = core::mem::take(&mut source.messages);
        let uids = reference.add(to, moved.iter().map(|(_, text)| *text));
        match answer.code("COPYUID") {
            Some(code) => {
                let words: Vec<&str> = code.splitn(3, ' ').collect();
                let [validity, originals, copies] = words[..] else {
                    return Err(format!("COPYUID {code}"));
                };
                let known: Vec<u32> = moved.iter().map(|(uid, _)| *uid).collect();
                if numbers(originals) != known {
                    return Err(format!("{known:?} were moved"));
                }
                answer.check_uids(reference, identity, &format!("{validity} {copies}"), &uids)?;
            }
            None if moved.is_empty() || answer.tagged.is_none() => {}
            None => return Err("no COPYUID".to_owned()),
        }
        Ok(Ok(()))
    }
}

fn numbers(set: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (from, to) = part.split_once(':').unwrap_or((part, part));
        let (from, to) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0));
        from..=to
    };
    set.split(',').flat_map(range).collect()
}

impl Answer {
    pub(crate) fn code(&self, name: &str) -> Option<String> {
        let lines = self.lines.iter().chain(&self.tagged);
        let mut codes = lines.filter_map(|line| line.split_once(&format!("[{name} ")));
        let (code, _) = codes.next()?.1.split_once(']')?;
        Some(code.to_owned())
    }

    /// The end is as it has to be.
    fn ends(&self, outcome: Result<(), Refusal>) -> Result<(), String> {
        let Some(tagged) = &self.tagged else {
            return Ok(());
        };
        let (_, tagged) = tagged.split_once(' ').unwrap_or_default();
        let fits = match outcome {
            Ok(()) => tagged.starts_with("OK "),
            Err(code) => tagged.starts_with(&format!("NO [{code}]")),
        };
        match fits {
            true => Ok(()),
            false => Err(format!("{outcome:?} was expected")),
        }
    }

    fn is_bad(&self) -> Result<(), String> {
        match &self.tagged {
            Some(tagged) if tagged.contains(" BAD ") => Ok(()),
            Some(_) => Err("nothing is selected".to_owned()),
            None => Ok(()),
        }
    }

    fn check_uids(
        &self,
        reference: &mut Reference,
        identity: u32,
        code: &str,
        uids: &[u32],
    ) -> Result<(), String> {
        let (validity, told) = code.split_once(' ').ok_or("no UIDs")?;
        if numbers(told) != uids {
            return Err(format!("UIDs {uids:?} are next"));
        }
        let validity = validity.parse().map_err(|_| "not a UIDVALIDITY")?;
        reference.told(identity, validity)
    }

    /// UIDs and what the messages say.
    pub(crate) fn fetched(&self) -> Vec<(u32, u32)> {
        let number = |line: &str, word: &str, end: char| {
            let (_, rest) = line.split_once(word)?;
            rest.split_once(end)?.0.parse::<u32>().ok()
        };
        let fetches = self.lines.iter().filter(|line| line.contains(" FETCH ("));
        let fetches = fetches
            .filter_map(|line| Some((number(line, "UID ", ' ')?, number(line, "Subject: ", '.')?)));
        fetches.collect()
    }

    pub(crate) fn listed(&self, kind: Kind) -> BTreeSet<(BTreeSet<String>, String)> {
        let word = match kind {
            Kind::Lsub => "* LSUB (",
            _ => "* LIST (",
        };
        let lines = self.lines.iter().filter_map(|line| line.strip_prefix(word));
        let lines = lines.filter_map(|line| {
            let (attributes, name) = line.split_once(") \"/\" ")?;
            let attributes = attributes.split(' ').filter(|it| !it.is_empty());
            let name = name.trim_matches('"').replace("&APw-", "\u{fc}");
            Some((attributes.map(str::to_uppercase).collect(), name))
        });
        lines.collect()
    }
}
