//! Commands as the model generates and as a client sends them.
//!
//! A generated command names messages by raw numbers; [`Command::aim`] turns those into
//! numbers that make sense for what the client knows when it sends the command. So a
//! case stays a case when proptest takes commands out of it.

use super::flags::{Change, Flags};
use super::key::Key;
use super::mailbox::Arrival;
use super::set::Set;
use super::text::DATES;

/// Names of the two mailboxes of the model.
pub type Names = [String; 2];

/// A command without its tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// NOOP, or CHECK.
    Noop {
        /// CHECK.
        check: bool,
    },
    /// APPEND of one message or more.
    Append {
        /// To which.
        mailbox: usize,
        /// The messages.
        arrivals: Vec<Arrival>,
        /// The client waits before it sends the literal.
        synchronising: bool,
    },
    /// SELECT, or EXAMINE.
    Select {
        /// Which.
        mailbox: usize,
        /// EXAMINE.
        examine: bool,
        /// With `(CONDSTORE)`.
        condstore: bool,
        /// With `(QRESYNC (…))`, if the client remembers the mailbox.
        resync: bool,
        /// UIDVALIDITY and MODSEQ that it remembers.
        known: Option<(u32, u64)>,
    },
    /// CLOSE.
    Close,
    /// UNSELECT.
    Unselect,
    /// FETCH.
    Fetch {
        /// UID FETCH.
        uid: bool,
        /// Which messages.
        set: Set,
        /// What of them.
        items: Vec<Item>,
        /// CHANGEDSINCE.
        changed_since: Option<u64>,
        /// VANISHED.
        vanished: bool,
    },
    /// STORE.
    Store {
        /// UID STORE.
        uid: bool,
        /// Which messages.
        set: Set,
        /// What to do.
        change: Change,
        /// `.SILENT`
        silent: bool,
        /// With which flags.
        flags: Flags,
        /// UNCHANGEDSINCE.
        unchanged_since: Option<u64>,
    },
    /// EXPUNGE, or UID EXPUNGE with a set.
    Expunge {
        /// UID EXPUNGE.
        set: Option<Set>,
    },
    /// COPY, or MOVE.
    Copy {
        /// UID COPY, UID MOVE.
        uid: bool,
        /// Which messages.
        set: Set,
        /// To which.
        mailbox: usize,
        /// MOVE.
        moves: bool,
    },
    /// SEARCH.
    Search {
        /// UID SEARCH.
        uid: bool,
        /// What for.
        key: Key,
        /// Bits of [`RETURN`]; with RETURN at all.
        options: Option<u8>,
    },
    /// STATUS.
    Status {
        /// Of which.
        mailbox: usize,
        /// With HIGHESTMODSEQ.
        modseq: bool,
    },
    /// ENABLE CONDSTORE, or QRESYNC.
    Enable {
        /// QRESYNC.
        qresync: bool,
    },
    /// IDLE, until the client has something else to say.
    Idle,
}

/// Options of ESEARCH.
pub const RETURN: [&str; 4] = ["MIN", "MAX", "ALL", "COUNT"];

/// What a FETCH asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// `FLAGS`
    Flags,
    /// `UID`
    Uid,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`
    Size,
    /// `ENVELOPE`
    Envelope,
    /// `MODSEQ`
    ModSeq,
    /// A section of the body.
    Body {
        /// Without setting `\Seen`.
        peek: bool,
        /// Which.
        section: Section,
        /// `<first.count>`
        partial: Option<(u32, u32)>,
    },
}

/// A section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Section {
    /// `[]`
    All,
    /// `[HEADER]`
    Header,
    /// `[TEXT]`
    Text,
    /// `[HEADER.FIELDS (Subject)]`
    Subject,
}

impl Section {
    /// What stands between the brackets.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Header => "HEADER",
            Self::Text => "TEXT",
            Self::Subject => "HEADER.FIELDS (SUBJECT)",
        }
    }
}

impl Item {
    fn write(self) -> String {
        match self {
            Self::Body {
                peek,
                section,
                partial,
            } => {
                let peek = if peek { ".PEEK" } else { "" };
                let partial = partial.map(|(first, count)| format!("<{first}.{count}>"));
                let (name, partial) = (section.name(), partial.unwrap_or_default());
                format!("BODY{peek}[{name}]{partial}")
            }
            item => item.name(),
        }
    }

    /// The name that it has in the response.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Flags => "FLAGS".to_owned(),
            Self::Uid => "UID".to_owned(),
            Self::InternalDate => "INTERNALDATE".to_owned(),
            Self::Size => "RFC822.SIZE".to_owned(),
            Self::Envelope => "ENVELOPE".to_owned(),
            Self::ModSeq => "MODSEQ".to_owned(),
            Self::Body {
                section, partial, ..
            } => {
                let partial = partial.map(|(first, _)| format!("<{first}>"));
                format!("BODY[{}]{}", section.name(), partial.unwrap_or_default())
            }
        }
    }

    /// Whether it sets `\Seen`.
    #[must_use]
    pub fn sets_seen(self) -> bool {
        matches!(self, Self::Body { peek: false, .. })
    }
}

/// What a client knows when it sends a command.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// UIDs by sequence number; `None`: nothing is selected.
    pub selected: Option<Vec<u32>>,
    /// QRESYNC is enabled.
    pub qresync: bool,
    /// MODSEQs that it was told, ascending.
    pub modseqs: Vec<u64>,
    /// UIDVALIDITY and HIGHESTMODSEQ of each mailbox, as it remembers them.
    pub remembered: [Option<(u32, u64)>; 2],
}

impl Known {
    fn modseq(&self, raw: u64) -> u64 {
        match self.modseqs.len() {
            0 => 1 + raw % 3,
            count => self.modseqs[raw as usize % count],
        }
    }
}

impl Command {
    /// Whether it needs a selected mailbox.
    #[must_use]
    pub fn needs_selected(&self) -> bool {
        !matches!(
            self,
            Self::Noop { check: false }
                | Self::Append { .. }
                | Self::Select { .. }
                | Self::Status { .. }
                | Self::Enable { .. }
                | Self::Idle
        )
    }

    /// Turns raw numbers into ones that make sense, and a command that cannot be given
    /// now into one that can. Messages of APPEND are counted on.
    pub fn aim(&mut self, known: &Known, texts: &mut u32) {
        if known.selected.is_none() && self.needs_selected() {
            *self = Self::Select {
                mailbox: 0,
                examine: false,
                condstore: false,
                resync: false,
                known: None,
            };
        }
        let uids = known.selected.as_deref().unwrap_or_default();
        match self {
            Self::Append { arrivals, .. } => {
                for arrival in arrivals {
                    *texts += 1;
                    arrival.text.number = *texts;
                }
            }
            Self::Select {
                mailbox,
                resync: true,
                known: remembered,
                ..
            } if known.qresync => *remembered = known.remembered[*mailbox],
            Self::Fetch {
                uid,
                set,
                items,
                changed_since,
                vanished,
            } => {
                *vanished &= *uid && changed_since.is_some() && known.qresync;
                set.aim(*uid, uids);
                let mut names = Vec::new();
                items.retain(|item| {
                    let fresh = !names.contains(&item.name());
                    names.push(item.name());
                    fresh
                });
                *changed_since = changed_since.map(|raw| known.modseq(raw).max(1));
            }
            Self::Store {
                uid,
                set,
                unchanged_since,
                ..
            } => {
                set.aim(*uid, uids);
                *unchanged_since = unchanged_since.map(|raw| known.modseq(raw));
            }
            Self::Expunge { set: Some(set) } => set.aim(true, uids),
            Self::Copy { uid, set, .. } => set.aim(*uid, uids),
            Self::Search { key, .. } => key.aim(uids, &|raw| known.modseq(raw)),
            _ => {}
        }
    }

    /// The command in pieces; before each but the first, the client waits for `+`.
    #[must_use]
    pub fn pieces(&self, tag: &str, names: &Names) -> Vec<Vec<u8>> {
        if let Self::Append {
            mailbox,
            arrivals,
            synchronising,
        } = self
        {
            return append(tag, &names[*mailbox], arrivals, *synchronising);
        }
        vec![format!("{tag} {}\r\n", self.line(names)).into_bytes()]
    }

    fn line(&self, names: &Names) -> String {
        let by = |uid: bool| if uid { "UID " } else { "" };
        match self {
            Self::Noop { check: false } => "NOOP".to_owned(),
            Self::Noop { check: true } => "CHECK".to_owned(),
            Self::Append { .. } => unreachable!("APPEND is more than a line"),
            Self::Select {
                mailbox,
                examine,
                condstore,
                known,
                ..
            } => {
                let verb = if *examine { "EXAMINE" } else { "SELECT" };
                let parameter = match known {
                    Some((validity, modseq)) => format!(" (QRESYNC ({validity} {modseq}))"),
                    None if *condstore => " (CONDSTORE)".to_owned(),
                    None => String::new(),
                };
                format!("{verb} {}{parameter}", names[*mailbox])
            }
            Self::Close => "CLOSE".to_owned(),
            Self::Unselect => "UNSELECT".to_owned(),
            Self::Fetch {
                uid,
                set,
                items,
                changed_since,
                vanished,
            } => {
                let items: Vec<String> = items.iter().map(|item| item.write()).collect();
                let vanished = if *vanished { " VANISHED" } else { "" };
                let since =
                    changed_since.map(|modseq| format!(" (CHANGEDSINCE {modseq}{vanished})"));
                let (by, since) = (by(*uid), since.unwrap_or_default());
                format!("{by}FETCH {set} ({}){since}", items.join(" "))
            }
            Self::Store {
                uid,
                set,
                change,
                silent,
                flags,
                unchanged_since,
            } => {
                let sign = match change {
                    Change::Replace => "",
                    Change::Add => "+",
                    Change::Remove => "-",
                };
                let since = unchanged_since.map(|modseq| format!("(UNCHANGEDSINCE {modseq}) "));
                let silent = if *silent { ".SILENT" } else { "" };
                let (by, since, flags) = (by(*uid), since.unwrap_or_default(), flags.list());
                format!("{by}STORE {set} {since}{sign}FLAGS{silent} {flags}")
            }
            Self::Expunge { set: None } => "EXPUNGE".to_owned(),
            Self::Expunge { set: Some(set) } => format!("UID EXPUNGE {set}"),
            Self::Copy {
                uid,
                set,
                mailbox,
                moves,
            } => {
                let verb = if *moves { "MOVE" } else { "COPY" };
                format!("{}{verb} {set} {}", by(*uid), names[*mailbox])
            }
            Self::Search { uid, key, options } => {
                let options = options.map(|bits| {
                    let names = RETURN.iter().enumerate();
                    let named = names.filter(|(bit, _)| bits >> bit & 1 == 1);
                    let names: Vec<&str> = named.map(|(_, name)| *name).collect();
                    format!(" RETURN ({})", names.join(" "))
                });
                format!("{}SEARCH{} {key}", by(*uid), options.unwrap_or_default())
            }
            Self::Status { mailbox, modseq } => {
                let modseq = if *modseq { " HIGHESTMODSEQ" } else { "" };
                let name = &names[*mailbox];
                format!("STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN{modseq})")
            }
            Self::Enable { qresync: false } => "ENABLE CONDSTORE".to_owned(),
            Self::Enable { qresync: true } => "ENABLE QRESYNC".to_owned(),
            Self::Idle => "IDLE".to_owned(),
        }
    }
}

fn append(tag: &str, name: &str, arrivals: &[Arrival], synchronising: bool) -> Vec<Vec<u8>> {
    let mut pieces = vec![format!("{tag} APPEND {name}").into_bytes()];
    for arrival in arrivals {
        let octets = arrival.text.octets();
        let date = arrival.date.map(|date| DATES[usize::from(date)]);
        let date = date.map(|date| format!(" \"{date}\"")).unwrap_or_default();
        let plus = if synchronising { "" } else { "+" };
        let (flags, len) = (arrival.flags.list(), octets.len());
        let mut last = pieces.pop().unwrap_or_default();
        last.extend_from_slice(format!(" {flags}{date} {{{len}{plus}}}\r\n").as_bytes());
        if synchronising {
            pieces.push(last);
            pieces.push(octets);
        } else {
            last.extend_from_slice(&octets);
            pieces.push(last);
        }
    }
    pieces
        .last_mut()
        .expect("the first piece is there")
        .extend_from_slice(b"\r\n");
    pieces
}
