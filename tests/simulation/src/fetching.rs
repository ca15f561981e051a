//! FETCH responses: what a client is told of a message fits what it and others were told before.

use crate::answers::Fetched;
use crate::ledger::{date, mail_of, text};
use crate::world::World;

impl World {
    pub(crate) fn fetched(&mut self, client: usize, fetched: Fetched) -> Result<(), String> {
        let it = &mut self.clients[client];
        let Some(session) = &mut it.session else {
            return Ok(());
        };
        let view = session.view.as_mut().ok_or("FETCH with nothing selected")?;
        let index = (fetched.number as usize).wrapping_sub(1);
        if index >= view.messages.len() {
            return Err(format!(
                "FETCH {} of {}",
                fetched.number,
                view.messages.len()
            ));
        }
        if let Some(uid) = fetched.uid {
            let before = view.messages[..index]
                .iter()
                .rev()
                .find_map(|seen| seen.uid);
            let after = view.messages[index + 1..].iter().find_map(|seen| seen.uid);
            if before.is_some_and(|it| it >= uid) || after.is_some_and(|it| it <= uid) {
                return Err(format!("UID {uid} is out of order: {before:?} {after:?}"));
            }
            let known = view.messages[index].uid.replace(uid);
            if known.is_some_and(|known| known != uid) {
                return Err(format!(
                    "message {} had UID {known:?}, now {uid}",
                    fetched.number
                ));
            }
        }
        let seen = &mut view.messages[index];
        if let (Some(uid), Some(caches)) = (seen.uid, &mut it.caches) {
            let pending = session.pending.as_ref();
            let silent = pending.and_then(|pending| pending.silent.as_ref());
            caches.fetched(&view.name, uid, &fetched, silent)?;
        }
        if fetched.flags.is_some() {
            seen.flags = fetched.flags;
        }
        if let Some(modseq) = fetched.modseq {
            seen.modseq = Some(modseq);
            it.device.hear(view.uid_validity, modseq, self.now);
        }
        if fetched.date.is_some() {
            seen.date = fetched.date;
        }
        let (Some(uid), Some(octets)) = (seen.uid, fetched.literal) else {
            return Ok(());
        };
        let mail = mail_of(&octets).ok_or("a text that nobody wrote")?;
        let whole = session.pending.as_ref();
        let whole = whole.is_some_and(|it| it.command.reads_bodies());
        if whole && octets != text(mail) {
            return Err(format!("mail {mail} is not what it was"));
        }
        let dated = self.ledger.mails[mail].dated;
        if let Some(told) = seen
            .date
            .as_ref()
            .filter(|told| dated && **told != date(mail))
        {
            return Err(format!("mail {mail} has the date {told}"));
        }
        seen.mail = Some(mail);
        let place = (view.uid_validity, uid);
        self.ledger.told.entry(place).or_default().insert(mail);
        let seen = &mut self.ledger.mails[mail];
        let first = seen.first_seen.get_or_insert((place, self.now)).0 == place;
        if first && view.name == "INBOX" && !seen.dated && !seen.copied {
            self.ledger.born.entry(place).or_default();
        }
        it.device.show(place, mail)
    }
}
