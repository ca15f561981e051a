//! What clients asked for and what they were promised: the reference that the servers are
//! held to.
//!
//! A *mail* is one text that was appended once. How often it must be there and may be
//! there in the end follows from what was acknowledged and what was only tried.

use std::collections::{BTreeMap, BTreeSet};

/// A message in a mailbox: UIDVALIDITY and UID.
pub(crate) type Place = (u32, u32);

/// What is known of one mail.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mail {
    /// Acknowledged arrivals: APPEND, and COPY and MOVE to another mailbox.
    pub(crate) sure: usize,
    /// Arrivals that were tried.
    pub(crate) maybe: usize,
    /// Where somebody marked it `\Deleted`, or mailboxes are deleted: it may be gone from there
    /// without a word to whom it was promised.
    pub(crate) exposed: BTreeSet<Place>,
    /// How often it may have been moved to where mailboxes are deleted.
    pub(crate) maybe_exposed: usize,
    /// It was appended with the date that its number gives.
    pub(crate) dated: bool,
    /// Where a client saw it first, and when: where a UID was burned, it is at another one later, with its flags.
    pub(crate) first_seen: Option<(Place, u64)>,
    /// Somebody asked for a copy of it, or for it to be moved.
    pub(crate) copied: bool,
    /// Where it was acknowledged to have arrived.
    pub(crate) arrived: BTreeSet<Place>,
    /// Where it was and is acknowledged not to be any more.
    pub(crate) gone: BTreeSet<Place>,
    /// It may have been in INBOX, by name.
    in_inbox: bool,
    /// When it came into being, in INBOX or elsewhere.
    came: u64,
    /// How many RENAMEs of INBOX may have moved it.
    pub(crate) renames: usize,
}

impl Mail {
    /// Whether nobody can have taken it from a place where it was.
    fn is_there(&self, place: Place) -> bool {
        !self.gone.contains(&place) && !self.exposed.contains(&place)
    }
}

/// One change of one flag, or of a subscription, that a client asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FlagOp {
    pub(crate) set: bool,
    pub(crate) asked: u64,
    pub(crate) acknowledged: Option<u64>,
    /// It was not made, as the answer said: its condition was against it.
    pub(crate) void: bool,
    /// Which server, in which of its lives.
    pub(crate) server: (usize, u64),
    /// The server knew all that was acknowledged before: the client asked then for the mailbox to be
    /// selected, or for a change on condition.
    pub(crate) knows: u64,
}

/// What became of the MOVEs of one message to one mailbox.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moved {
    /// It was tried.
    Maybe,
    /// It is there, as was acknowledged first.
    To(Place),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) mails: Vec<Mail>,
    /// How often RENAME of INBOX was tried: each may move what is there then, and two at
    /// once, on two servers, both do.
    inbox_renames: usize,
    /// RENAMEs of INBOX under way.
    renaming: usize,
    /// What comes to INBOX later is moved by none that is not under way.
    renamed_until: u64,
    /// The flags that messages arrived with: those that were appended, as acknowledged, and those that were
    /// delivered, where clients saw them.
    pub(crate) born: BTreeMap<Place, Vec<String>>,
    pub(crate) flags: BTreeMap<(Place, String), Vec<FlagOp>>,
    /// SUBSCRIBE and UNSUBSCRIBE, by name.
    pub(crate) subscriptions: BTreeMap<String, Vec<FlagOp>>,
    /// When it was acknowledged that a mail was delivered to INBOX, at whatever UID.
    pub(crate) delivered_at: BTreeMap<usize, u64>,
    /// When it was acknowledged that a message is at a place.
    pub(crate) arrived_at: BTreeMap<Place, u64>,
    /// When it was acknowledged that a message was moved away from a place.
    pub(crate) moved_at: BTreeMap<Place, u64>,
    /// What MOVE brings from one place to one mailbox arrives once, however often and by whom it is
    /// asked for.
    pub(crate) moves: BTreeMap<(Place, String), Moved>,
    /// Mails that several asked to be moved from one place to one mailbox. Each brings the flags that its
    /// server saw, and the message has all of them that nobody changed: also who took one away that it did
    /// not have yet changed nothing.
    pub(crate) moved_together: BTreeSet<usize>,
    /// From where to where messages were asked to be moved.
    pub(crate) moves_asked: BTreeSet<(Place, String)>,
    /// When it was acknowledged that a message is not at a place any more.
    pub(crate) gone_at: BTreeMap<Place, u64>,
    /// What somebody asked to be moved away: of which mailbox, by UIDVALIDITY, and which mail.
    pub(crate) leaving: BTreeSet<(u32, usize)>,
    /// Where COPY or MOVE found nothing any more.
    pub(crate) left_out: BTreeSet<Place>,
    /// Who is where, as any client was told.
    pub(crate) told: BTreeMap<Place, BTreeSet<usize>>,
    /// Counts for the summary.
    pub(crate) acknowledged: BTreeMap<&'static str, u64>,
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

/// Flags that clients change.
pub(crate) const FLAGS: [&str; 6] = [
    "\\Seen",
    "\\Flagged",
    "\\Answered",
    "\\Deleted",
    "SECRETone",
    "SECRETtwo",
];

/// Stands in everything that storage must not see in the clear.
pub(crate) const MARK: &str = "SECRET";

impl Ledger {
    /// A mail that nobody has seen before.
    pub(crate) fn new_mail(&mut self, now: u64) -> usize {
        self.mails.push(Mail {
            came: now,
            ..Mail::default()
        });
        self.mails.len() - 1
    }

    /// A mail may be in INBOX from now on.
    pub(crate) fn enters_inbox(&mut self, mail: usize, now: u64) {
        let may_be_moved = self.renaming > 0 || now <= self.renamed_until;
        let it = &mut self.mails[mail];
        it.in_inbox = true;
        if may_be_moved {
            it.renames = self.inbox_renames;
        }
    }

    /// RENAME of INBOX is asked for.
    pub(crate) fn rename_inbox(&mut self) {
        self.inbox_renames += 1;
        self.renaming += 1;
        for mail in self.mails.iter_mut().filter(|mail| mail.in_inbox) {
            mail.renames += 1;
        }
    }

    /// It has ended; if it was not acknowledged, a part of it may still be on its way until then.
    pub(crate) fn renamed_inbox(&mut self, until: u64) {
        self.renaming -= 1;
        self.renamed_until = self.renamed_until.max(until);
    }

    /// Whether a mail that was in INBOX may have been moved by RENAME.
    pub(crate) fn may_be_renamed(&self, mail: usize) -> bool {
        let it = &self.mails[mail];
        let late = self.renaming > 0 || it.came <= self.renamed_until;
        self.inbox_renames > 0 && (it.copied || it.renames > 0 || late)
    }

    /// A mailbox was asked for at some time, and is shown with this UIDNEXT: what was acknowledged
    /// before that time, by whichever server, is below it.
    pub(crate) fn shows_all(
        &self,
        uid_validity: u32,
        uid_next: u32,
        asked: u64,
    ) -> Result<(), String> {
        let of_mailbox = (uid_validity, uid_next)..=(uid_validity, u32::MAX);
        let mut missing = self.arrived_at.range(of_mailbox);
        match missing.find(|(_, acknowledged)| **acknowledged < asked) {
            None => Ok(()),
            Some((place, acknowledged)) => Err(format!(
                "UIDNEXT is {uid_next} though {place:?} was acknowledged at {acknowledged}, and asked at {asked}"
            )),
        }
    }

    /// A message may have been moved.
    pub(crate) fn maybe_moved(&mut self, mail: usize, from: Place, to: &str) {
        match self.moves.get(&(from, to.to_owned())) {
            Some(Moved::Maybe) => return,
            Some(Moved::To(place)) if self.mails[mail].is_there(*place) => return,
            Some(Moved::To(_)) => {}
            None => {
                self.moves.insert((from, to.to_owned()), Moved::Maybe);
            }
        }
        self.mails[mail].maybe += 1;
    }

    /// It is acknowledged that a message was moved.
    pub(crate) fn moved(&mut self, mail: usize, from: Place, to: &str, place: Place) {
        let it = &mut self.mails[mail];
        match self.moves.get(&(from, to.to_owned())) {
            None => it.sure += 1,
            Some(Moved::Maybe) => {
                it.maybe -= 1;
                it.sure += 1;
            }
            Some(Moved::To(before)) => {
                // It was expunged meanwhile and came once more, or only its UID was burned.
                it.maybe += usize::from(!it.is_there(*before));
                return;
            }
        }
        self.moves.insert((from, to.to_owned()), Moved::To(place));
    }

    /// UIDs that stood for several messages, as told to different clients.
    pub(crate) fn told_twice(&self) -> u64 {
        self.told.values().filter(|mails| mails.len() > 1).count() as u64
    }

    /// What may become of a flag of a message, if anything is known of it: what it arrived with, or that
    /// a change was acknowledged. Both values may be allowed.
    pub(crate) fn allowed(&self, place: Place, flag: &str) -> Option<[bool; 2]> {
        let empty = Vec::new();
        let ops = self.flags.get(&(place, flag.to_owned())).unwrap_or(&empty);
        let ops: Vec<_> = ops.iter().filter(|op| !op.void).collect();
        let born = self.born.get(&place);
        let born = born.map(|born| born.iter().any(|it| it == flag));
        let mut allowed = Self::outcomes(&ops, born)?;
        let mut mails = self.told.get(&place).into_iter().flatten();
        allowed[1] |= mails.any(|mail| self.moved_together.contains(mail));
        Some(allowed)
    }

    /// What may come of changes, and of what was before them if that is known.
    pub(crate) fn outcomes(ops: &[&FlagOp], before: Option<bool>) -> Option<[bool; 2]> {
        let mut allowed = [false; 2];
        if ops.iter().all(|op| op.acknowledged.is_none()) {
            allowed[usize::from(before?)] = true;
        }
        for op in ops {
            let beaten = ops.iter().any(|later| beats(later, op));
            if !beaten {
                allowed[usize::from(op.set)] = true;
            }
        }
        Some(allowed)
    }

    /// A change of a flag that was asked for and acknowledged in this time, and is known to have
    /// changed something: whoever made it knew all others, and they left the other value.
    pub(crate) fn changed_within(
        &self,
        place: Place,
        flag: &str,
        span: core::ops::Range<u64>,
    ) -> Option<&FlagOp> {
        if self.told.get(&place).is_none_or(|mails| mails.len() != 1) {
            return None;
        }
        let ops = self.flags.get(&(place, flag.to_owned()))?;
        let ops: Vec<_> = ops.iter().filter(|op| !op.void).collect();
        let born = self.born.get(&place);
        let born = born.map(|flags| flags.iter().any(|it| it == flag));
        let changes = |op: &FlagOp, acknowledged: u64| {
            let before = ops.iter().filter(|it| it.asked < op.asked);
            let beside = ops.iter().filter(|it| it.asked >= op.asked);
            let alone = beside.filter(|it| it.asked < acknowledged).count() == 1;
            let before: Vec<_> = before.collect();
            let last = before
                .iter()
                .filter(|it| !before.iter().any(|by| beats(by, it)));
            let last: Vec<_> = last.collect();
            let was = match last.is_empty() {
                true => born.is_some_and(|born| born != op.set),
                false => last.iter().all(|it| it.set != op.set),
            };
            alone && was && before.iter().all(|it| beats(op, it))
        };
        let mut ops = ops.iter();
        let found = ops.find(|op| {
            let acknowledged = op.acknowledged.filter(|at| *at < span.end);
            acknowledged.is_some_and(|at| op.asked > span.start && changes(op, at))
        });
        found.copied()
    }
}

/// Whether a change was made by somebody who knew of the other.
fn beats(later: &FlagOp, earlier: &FlagOp) -> bool {
    let (Some(_), Some(acknowledged)) = (later.acknowledged, earlier.acknowledged) else {
        return false;
    };
    let same_server = later.server == earlier.server && acknowledged < later.asked;
    same_server || acknowledged < later.knows
}

/// The text of a mail: some are a few lines, some take many chunks.
pub(crate) fn text(mail: usize) -> Vec<u8> {
    let mut text = format!(
        "From: {MARK}@example.org\r\nSubject: {MARK}-{mail}-\r\n\r\n{MARK} is in mail {mail}\r\n"
    );
    let lines = match mail % 7 {
        0 => 60,
        1 => 9,
        _ => 1,
    };
    for line in 0..lines {
        text.push_str(&format!(
            "line {line} of mail {mail} with {}\r\n",
            mail * 7_919 % 104_729
        ));
    }
    text.into_bytes()
}

/// INTERNALDATE of a mail that was appended, as FETCH says it (RFC 3501 §9, date-time).
pub(crate) fn date(mail: usize) -> String {
    let (day, hour, minute) = (1 + mail % 28, mail / 28 % 24, mail / 672 % 60);
    format!("{day:2}-Feb-2021 {hour:02}:{minute:02}:07 +0130")
}

/// Which mail a text or a part of it belongs to.
pub(crate) fn mail_of(octets: &[u8]) -> Option<usize> {
    let text = core::str::from_utf8(octets).ok()?;
    let at = text.find("Subject: SECRET-")? + "Subject: SECRET-".len();
    let (number, _) = text[at..].split_once('-')?;
    number.parse().ok()
}
