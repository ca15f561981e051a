//! What a mailbox that was selected and listed must show: all that any server had acknowledged before the
//! client asked for it. And an answer that storage is unavailable must have a reason.

use crate::client::{Pending, View};
use crate::ledger::FLAGS;
use crate::script::Command;
use crate::world::{SECOND, World};

/// So long after the last fault everything works again: commits are no longer tried, and polls and logs
/// were asked for anew.
const CALM: u64 = 200 * SECOND;

impl World {
    /// Judges a mailbox of which everything was fetched just now.
    pub(crate) fn judge_list(&self, view: &View) -> Result<(), String> {
        self.misses_nothing(view)?;
        self.misses_no_delivery(view)?;
        self.shows_nothing_gone(view)?;
        self.shows_flags(view)
    }

    /// What was delivered has a UID that nobody is told of: it is known by its text. The first server that
    /// reads it gives it one, and cannot show it where it cannot write that down.
    fn misses_no_delivery(&self, view: &View) -> Result<(), String> {
        let ledger = &self.ledger;
        let unknown = view.messages.iter().any(|seen| seen.mail.is_none());
        if view.name != "INBOX" || unknown {
            return Ok(());
        }
        let calm = self.is_calm();
        let before = |(mail, at): &(&usize, &u64)| {
            let seen = ledger.mails[**mail].first_seen;
            **at < view.selected && (calm || seen.is_some_and(|(_, at)| at < view.selected))
        };
        for (mail, at) in ledger.delivered_at.iter().filter(before) {
            let it = &ledger.mails[*mail];
            let mut places = it.gone.iter().chain(&it.exposed);
            let may_be_gone = ledger.may_be_renamed(*mail)
                || ledger.leaving.contains(&(view.uid_validity, *mail))
                || places.any(|place| place.0 == view.uid_validity);
            let shown = view.messages.iter().any(|seen| seen.mail == Some(*mail));
            if !shown && !may_be_gone {
                return Err(format!(
                    "mail {mail} is not in INBOX though its delivery was acknowledged at {at}, and asked at {}",
                    view.selected
                ));
            }
        }
        Ok(())
    }

    fn misses_nothing(&self, view: &View) -> Result<(), String> {
        let ledger = &self.ledger;
        let all = (view.uid_validity, 0)..=(view.uid_validity, u32::MAX);
        for (place, at) in ledger.arrived_at.range(all) {
            let shown = view.messages.iter().any(|it| it.uid == Some(place.1));
            if shown || *at >= view.selected {
                continue;
            }
            let mails = ledger.told.get(place).into_iter().flatten();
            // Where a UID was burned the message has a later one, and may have gone under that.
            let may_be_gone = |mail: &usize| {
                let messages = view.messages.iter();
                let higher = messages.filter(|it| it.uid.is_none_or(|uid| uid > place.1));
                let exposed = ledger.mails[*mail].exposed.iter();
                view.name == "INBOX" && ledger.may_be_renamed(*mail)
                    || ledger.leaving.contains(&(place.0, *mail))
                    || exposed.into_iter().any(|it| it.0 == place.0)
                    || higher
                        .into_iter()
                        .any(|it| it.mail.is_none_or(|it| it == *mail))
            };
            if mails.clone().count() == 1 && !mails.clone().all(may_be_gone) {
                let told = ledger.told.get(place);
                let shown: Vec<_> = view.messages.iter().map(|it| (it.uid, it.mail)).collect();
                return Err(format!(
                    "{place:?}, mail {told:?}, is not in {} though it was acknowledged at {at}, and asked at {}: {shown:?}",
                    view.name, view.selected
                ));
            }
        }
        Ok(())
    }

    fn shows_nothing_gone(&self, view: &View) -> Result<(), String> {
        for uid in view.messages.iter().filter_map(|it| it.uid) {
            let place = (view.uid_validity, uid);
            let gone = self.ledger.gone_at.get(&place);
            if let Some(at) = gone.filter(|at| **at < view.selected) {
                return Err(format!(
                    "{place:?} is in {} though it was gone at {at}, and asked at {}",
                    view.name, view.selected
                ));
            }
        }
        Ok(())
    }

    fn shows_flags(&self, view: &View) -> Result<(), String> {
        for seen in &view.messages {
            let (Some(uid), Some(flags)) = (seen.uid, &seen.flags) else {
                continue;
            };
            let place = (view.uid_validity, uid);
            for flag in FLAGS {
                let ops = self.ledger.flags.get(&(place, flag.to_owned()));
                let known = |at: Option<u64>| at.is_some_and(|at| at < view.selected);
                let Some(ops) =
                    ops.filter(|ops| ops.iter().all(|op| op.void || known(op.acknowledged)))
                else {
                    continue;
                };
                let set = flags.iter().any(|it| it == flag);
                let allowed = self.ledger.allowed(place, flag);
                if allowed.is_some_and(|allowed| !allowed[usize::from(set)]) {
                    return Err(format!(
                        "{flag} at {place:?} is {set} for who asked at {} after {ops:?}",
                        view.selected
                    ));
                }
            }
        }
        Ok(())
    }

    /// Notes that something was wrong just now, or still is.
    pub(crate) fn note_trouble(&mut self) {
        self.trouble_at = self.now;
    }

    /// Whether nothing can be the reason of a failure.
    fn is_calm(&self) -> bool {
        self.garage.is_whole() && self.trouble_at + CALM < self.now
    }

    /// Judges a command that was refused.
    pub(crate) fn judge_refusal(&self, pending: &Pending, code: &str) -> Result<(), String> {
        // Passwords cannot always be checked, here as elsewhere.
        if matches!(pending.command, Command::Login) {
            return Ok(());
        }
        let blamed = ["UNAVAILABLE", "OVERQUOTA", "INUSE"];
        if blamed.iter().any(|it| code.starts_with(it)) && self.is_calm() {
            return Err(format!(
                "[{code}] to {:?} without a reason",
                pending.command
            ));
        }
        Ok(())
    }
}
