//! What clients say next, and what the answers mean for the ledger.

use crate::client::{Pending, Session, View};
use crate::conditional::Condition;
use crate::ledger::Place;
use crate::searching::Search;
use crate::settle::LATEST;
use crate::world::{Event, SECOND, World};

/// Mailboxes that stay.
pub(crate) const STABLE: [&str; 4] = ["INBOX", "Archive", "Drafts", "Sent"];
/// Mailboxes that come and go.
pub(crate) const VOLATILE: [&str; 4] = ["SECRETbox/a", "SECRETbox/b", "SECRETbox", "SECRETvol"];

/// A command that was sent.
#[derive(Debug)]
pub(crate) enum Command {
    Login,
    Enable,
    Select {
        name: String,
        read_only: bool,
    },
    /// Of all messages (or those that are not known yet), whole or just the header.
    Fetch {
        whole: bool,
        all: bool,
    },
    Append {
        name: String,
        mails: Vec<usize>,
        flags: Vec<String>,
    },
    /// Where its changes are in the ledger, and with UNCHANGEDSINCE the condition.
    Store {
        changes: Vec<((Place, String), usize)>,
        condition: Option<Condition>,
    },
    Expunge {
        uids: Option<Vec<u32>>,
    },
    Copy {
        moves: bool,
        from: u32,
        to: String,
        mails: Vec<(u32, usize)>,
    },
    Search(Search),
    Idle,
    Close,
    List,
    Status,
    RenameInbox,
    /// Where it is in the ledger.
    Subscribe {
        name: String,
        index: usize,
    },
    /// LSUB, or LIST (SUBSCRIBED).
    Subscribed,
    Logout,
    /// Whatever leaves nothing to remember.
    Other(&'static str),
}

impl Command {
    pub(crate) fn reads_bodies(&self) -> bool {
        matches!(self, Self::Fetch { whole: true, .. })
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::Enable => "ENABLE",
            Self::Select { .. } => "SELECT",
            Self::Fetch { .. } => "FETCH",
            Self::Append { .. } => "APPEND",
            Self::Store {
                condition: Some(_), ..
            } => "conditional STORE",
            Self::Store { .. } => "STORE",
            Self::Expunge { .. } => "EXPUNGE",
            Self::Copy { moves: true, .. } => "MOVE",
            Self::Copy { .. } => "COPY",
            Self::Search(_) => "SEARCH",
            Self::Idle => "IDLE",
            Self::Close => "CLOSE",
            Self::List => "LIST",
            Self::Status => "STATUS",
            Self::RenameInbox => "RENAME INBOX",
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Subscribed => "LSUB",
            Self::Logout => "LOGOUT",
            Self::Other(kind) => kind,
        }
    }
}

impl World {
    /// The next thing that a client says.
    pub(crate) fn next_command(&mut self, client: usize) {
        let Some(session) = &self.clients[client].session else {
            return;
        };
        if !session.logged_in {
            let login = b"LOGIN alice hunter2\r\n".to_vec();
            return self.say(client, Command::Login, login, None);
        }
        if self.clients[client].caches.is_some() && !session.enabled {
            return self.simple(client, Command::Enable, "ENABLE QRESYNC");
        }
        if self.clients[client].audit.is_some() {
            return self.audit_next(client);
        }
        if !self.busy {
            return self.hang_up(client, true);
        }
        if self.clients[client].onlooker.is_some() {
            return self.look_on(client);
        }
        let Some(view) = session.view.clone() else {
            return self.without_selection(client);
        };
        if !view.listed {
            return self.fetch(client, true, "1:*");
        }
        if view.messages.iter().any(|seen| seen.mail.is_none()) && self.chance.permille(700) {
            let known = view.messages.iter().filter_map(|seen| seen.uid).max();
            return self.fetch(client, false, &format!("{}:*", known.unwrap_or(0) + 1));
        }
        self.with_selection(client, &view);
    }

    fn without_selection(&mut self, client: usize) {
        match self.chance.below(20) {
            0 => self.append(client, None),
            1 => self.change_directory(client),
            2 => self.simple(client, Command::Logout, "LOGOUT"),
            3 => self.status_command(client),
            4 | 5 => self.subscribe(client),
            _ => self.select(client),
        }
    }

    fn with_selection(&mut self, client: usize, view: &View) {
        // Who goes by MODSEQs does so when it changes something.
        if self.clients[client].caches.is_some() && self.chance.permille(200) {
            return self.store(client, view);
        }
        match self.chance.below(100) {
            0..6 => return self.search(client, view),
            6..12 => return self.subscribe(client),
            _ => {}
        }
        match self.chance.below(100) {
            0..12 => self.simple(client, Command::Other("NOOP"), "NOOP"),
            12..30 => self.append(client, Some(view)),
            30..50 => self.store(client, view),
            50..60 => self.copy(client, view),
            60..68 => self.expunge(client, view),
            68..78 => self.select(client),
            78..82 => self.fetch(client, false, "1:*"),
            82..86 => self.simple(client, Command::Idle, "IDLE"),
            86..90 => self.change_directory(client),
            90 => self.simple(client, Command::Close, "CLOSE"),
            91 => self.simple(client, Command::Close, "UNSELECT"),
            92 => self.status_command(client),
            93 => self.simple(client, Command::Logout, "LOGOUT"),
            94 => self.hang_up(client, false),
            95 => self.hang_up(client, true),
            _ => self.simple(client, Command::Other("CHECK"), "CHECK"),
        }
    }

    pub(crate) fn simple(&mut self, client: usize, command: Command, text: &str) {
        self.say(client, command, format!("{text}\r\n").into_bytes(), None);
    }

    pub(crate) fn any_name(&mut self) -> &'static str {
        let names: &[&'static str] = match self.chance.permille(750) {
            true => &STABLE,
            false => &VOLATILE,
        };
        names[self.chance.index(names.len())]
    }

    fn select(&mut self, client: usize) {
        let name = match self.chance.permille(500) {
            true => "INBOX",
            false => self.any_name(),
        };
        self.select_named(client, name);
    }

    pub(crate) fn select_named(&mut self, client: usize, name: &str) {
        let read_only = self.chance.permille(100);
        let verb = if read_only { "EXAMINE" } else { "SELECT" };
        let command = Command::Select {
            name: name.to_owned(),
            read_only,
        };
        let caches = self.clients[client].caches.as_ref();
        let known = caches.map(|caches| caches.parameters(name));
        let known = known.unwrap_or_default();
        self.simple(client, command, &format!("{verb} {name}{known}"));
    }

    pub(crate) fn fetch(&mut self, client: usize, all: bool, set: &str) {
        let whole = self.chance.permille(300);
        let section = match whole {
            true => "INTERNALDATE BODY.PEEK[]",
            false => "BODY.PEEK[HEADER.FIELDS (SUBJECT)]",
        };
        let modseq = match self.clients[client].caches.is_some() && self.chance.permille(700) {
            true => " MODSEQ",
            false => "",
        };
        let line = format!("UID FETCH {set} (UID FLAGS{modseq} {section})");
        self.simple(client, Command::Fetch { whole, all }, &line);
    }

    /// Some of the messages whose mail is known.
    pub(crate) fn some(&mut self, view: &View, max: usize) -> Vec<(u32, usize)> {
        let known = view.messages.iter();
        let known: Vec<_> = known
            .filter_map(|seen| Some((seen.uid?, seen.mail?)))
            .collect();
        let mut some: Vec<_> = match known.len() {
            0 => Vec::new(),
            len => {
                let count = 1 + self.chance.index(max.min(len));
                let order = self.chance.order(len);
                order[..count].iter().map(|at| known[*at]).collect()
            }
        };
        some.sort_unstable();
        some
    }

    fn expunge(&mut self, client: usize, view: &View) {
        let some = self.some(view, 5);
        if view.read_only || some.is_empty() || self.chance.permille(300) {
            return self.simple(client, Command::Expunge { uids: None }, "EXPUNGE");
        }
        let uids = some.iter().map(|(uid, _)| *uid).collect();
        let line = format!("UID EXPUNGE {}", set_of(&some));
        self.simple(client, Command::Expunge { uids: Some(uids) }, &line);
    }

    fn status_command(&mut self, client: usize) {
        let name = self.any_name();
        self.status_of(client, name);
    }

    pub(crate) fn status_of(&mut self, client: usize, name: &str) {
        let line = format!("STATUS {name} (MESSAGES UIDNEXT UIDVALIDITY)");
        self.simple(client, Command::Status, &line);
    }

    /// `* STATUS …`: it shows all that was acknowledged before it was asked for.
    pub(crate) fn status_told(
        &mut self,
        client: usize,
        numbers: &[(String, u32)],
    ) -> Result<(), String> {
        let session = self.clients[client].session.as_ref();
        let Some(pending) = session.and_then(|session| session.pending.as_ref()) else {
            return Err("STATUS that nobody asked for".to_owned());
        };
        let number = |word: &str| numbers.iter().find(|(it, _)| it == word).map(|it| it.1);
        let (Some(uid_validity), Some(uid_next)) = (number("UIDVALIDITY"), number("UIDNEXT"))
        else {
            return Err(format!("STATUS says {numbers:?}"));
        };
        (self.ledger).shows_all(uid_validity, uid_next, pending.asked)?;
        self.clients[client].device.uid_next(uid_validity, uid_next)
    }

    fn change_directory(&mut self, client: usize) {
        let (one, two) = (*self.chance.pick(&VOLATILE), *self.chance.pick(&VOLATILE));
        let line = match self.chance.below(20) {
            0..9 => format!("CREATE {one}"),
            9..13 => format!("DELETE {one}"),
            13..17 => format!("RENAME {one} {two}"),
            17 => {
                self.ledger.rename_inbox();
                let line = format!("RENAME INBOX SECRETkept/{}", self.chance.below(5));
                return self.simple(client, Command::RenameInbox, &line);
            }
            _ => "LIST \"\" \"*\"".to_owned(),
        };
        self.simple(client, Command::Other("directory"), &line);
    }

    /// A client that waits may lose patience.
    pub(crate) fn while_waiting(&mut self, client: usize) {
        let session = self.clients[client].session.as_mut();
        let pending = session.and_then(|session| session.pending.as_mut());
        let waits = |it: &&mut Pending| matches!(it.command, Command::Idle) && !it.done;
        if let Some(pending) = pending.filter(waits) {
            pending.done = true;
            self.note(format_args!("client {client}: DONE"));
            self.send(client, b"DONE\r\n".to_vec());
        }
    }

    /// The server said that it goes on: IDLE has begun.
    pub(crate) fn may_idle(&mut self, client: usize) -> Result<(), String> {
        let session = self.clients[client].session.as_ref();
        let pending = session.and_then(|session| session.pending.as_ref());
        if !pending.is_some_and(|pending| matches!(pending.command, Command::Idle)) {
            return Err("a continuation that nobody waits for".to_owned());
        }
        if self.clients[client].audit.is_some() {
            return Ok(());
        }
        let number = self.clients[client].number;
        let at = self.now + self.chance.below(40 * SECOND);
        self.at(at, Event::Act(client, number));
        Ok(())
    }

    /// A command has its answer.
    pub(crate) fn answered(
        &mut self,
        client: usize,
        pending: Pending,
        ok: bool,
        code: &str,
    ) -> Result<(), String> {
        let count = match ok {
            true => &mut self.ledger.acknowledged,
            false => &mut self.ledger.refused,
        };
        *count.entry(pending.command.kind()).or_default() += 1;
        if code.starts_with("CORRUPTION") || code.starts_with("SERVERBUG") {
            return Err(format!("[{code}] to {:?}", pending.command));
        }
        if !ok {
            self.judge_refusal(&pending, code)?;
        }
        let Some(session) = &mut self.clients[client].session else {
            return Ok(());
        };
        match pending.command {
            Command::Login => session.logged_in |= ok,
            Command::Enable => session.enabled |= ok,
            Command::Select { .. } if !ok => session.view = None,
            Command::Select { .. } => {
                if let Some(view) = &session.view {
                    let asked = view.selected;
                    (self.ledger).shows_all(view.uid_validity, view.uid_next, asked)?;
                }
                self.audit_selected(client);
            }
            Command::Close if ok => session.view = None,
            Command::Fetch { all, .. } if ok => return self.listed(client, all),
            Command::Append { name, mails, flags } => {
                self.draw_onlookers(&name);
                return self.appended(client, &name, &mails, &flags, ok, code);
            }
            Command::Store {
                ref changes,
                ref condition,
            } if ok => {
                let condition = condition.as_ref();
                return self.stored(client, &pending, changes, condition, code);
            }
            Command::RenameInbox if ok => self.ledger.renamed_inbox(self.now),
            Command::RenameInbox => self.ledger.renamed_inbox(self.now + LATEST),
            Command::Subscribe { name, index } if ok => {
                self.subscribed(&name, index);
            }
            Command::List if ok => self.audit_names(client, pending.names),
            Command::Subscribed if ok => {
                self.judge_subscribed(client, &pending)?;
                self.audit_subscribed(client, pending.names);
            }
            Command::Search(ref search) if ok => {
                return self.judge_search(client, &pending, search);
            }
            Command::Expunge { uids: Some(uids) } if ok => {
                let uid_validity = session.view.as_ref().map_or(0, |view| view.uid_validity);
                let gone = uids.iter().filter(|uid| pending.expunged.contains(uid));
                for place in gone.map(|uid| (uid_validity, *uid)) {
                    let mail = self.clients[client].device.mail_at(place);
                    let mail = mail.map(|mail| &mut self.ledger.mails[mail]);
                    // Else its UID was burned just then: it is there under another one.
                    if let Some(mail) = mail.filter(|mail| mail.exposed.contains(&place)) {
                        mail.gone.insert(place);
                        self.ledger.gone_at.entry(place).or_insert(self.now);
                    }
                }
            }
            Command::Copy {
                moves,
                from,
                to,
                mails,
            } => {
                self.draw_onlookers(&to);
                let code = pending.copied.unwrap_or_else(|| code.to_owned());
                if moves && ok {
                    self.moved(pending.asked, from, &code)?;
                }
                if !ok {
                    self.maybe_copied(moves, from, &to, &mails);
                    return Ok(());
                }
                return self.copied(client, moves, from, &to, &mails, &code);
            }
            _ => {}
        }
        Ok(())
    }

    fn listed(&mut self, client: usize, all: bool) -> Result<(), String> {
        let it = &mut self.clients[client];
        let Some(view) = it
            .session
            .as_mut()
            .and_then(|session| session.view.as_mut())
        else {
            return Ok(());
        };
        if !all {
            return Ok(());
        }
        view.listed = true;
        let listed = view.clone();
        if view.messages.iter().all(|seen| seen.mail.is_some()) {
            it.device.is_complete(view.uid_validity, view.uid_next);
        }
        self.judge_list(&listed)?;
        self.audit_listed(client)
    }

    pub(crate) fn arrived(
        &mut self,
        client: usize,
        mail: usize,
        place: Place,
    ) -> Result<(), String> {
        self.ledger.mails[mail].arrived.insert(place);
        self.ledger.arrived_at.entry(place).or_insert(self.now);
        self.ledger.told.entry(place).or_default().insert(mail);
        self.clients[client].device.show(place, mail)
    }

    /// A command that will have no answer: it may be carried out, now or later.
    pub(crate) fn unanswered(&mut self, client: usize, _: &Session, pending: &Pending) {
        match &pending.command {
            Command::RenameInbox => self.ledger.renamed_inbox(self.now + LATEST),
            Command::Append { mails, .. } => {
                for mail in mails {
                    self.ledger.mails[*mail].maybe += 1;
                }
            }
            Command::Copy {
                moves,
                from,
                to,
                mails,
            } => self.maybe_copied(*moves, *from, to, mails),
            _ => {}
        }
        let kind = pending.command.kind();
        self.note(format_args!("client {client}: no answer to {kind}"));
    }
}

/// Whether mailboxes of such names are deleted.
pub(crate) fn is_volatile(name: &str) -> bool {
    VOLATILE.contains(&name)
}

pub(crate) fn set_of(some: &[(u32, usize)]) -> String {
    let uids = some.iter().map(|(uid, _)| uid.to_string());
    uids.collect::<Vec<_>>().join(",")
}
