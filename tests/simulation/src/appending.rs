//! APPEND as the clients give it, and what the ledger learns from the answer.

use crate::answers;
use crate::client::View;
use crate::ledger::{FLAGS, date, text};
use crate::script::{Command, is_volatile};
use crate::world::World;

impl World {
    pub(crate) fn append(&mut self, client: usize, view: Option<&View>) {
        let name = match view {
            Some(view) if self.chance.permille(600) => view.name.clone(),
            _ => self.any_name().to_owned(),
        };
        let count = if self.chance.permille(150) { 3 } else { 1 };
        let flags: Vec<String> = match self.chance.permille(200) {
            true => vec![(*self.chance.pick(&FLAGS)).to_owned()],
            false => Vec::new(),
        };
        let mails: Vec<usize> = (0..count).map(|_| self.ledger.new_mail(self.now)).collect();
        for mail in &mails {
            let it = &mut self.ledger.mails[*mail];
            it.dated = true;
            if name == "INBOX" {
                self.ledger.enters_inbox(*mail, self.now);
            }
        }
        let list = flags.join(" ");
        let waits = count == 1 && self.chance.permille(500);
        let mut octets = format!("APPEND {name}").into_bytes();
        let mut rest = None;
        for mail in &mails {
            let text = text(*mail);
            let plus = if waits { "" } else { "+" };
            let date = date(*mail);
            octets
                .extend(format!(" ({list}) \"{date}\" {{{}{plus}}}\r\n", text.len()).into_bytes());
            match waits {
                true => rest = Some([&text[..], b"\r\n"].concat()),
                false => octets.extend(text),
            }
        }
        if !waits {
            octets.extend(b"\r\n");
        }
        self.draw_onlookers(&name);
        let command = Command::Append { name, mails, flags };
        self.say(client, command, octets, rest);
    }

    pub(crate) fn appended(
        &mut self,
        client: usize,
        name: &str,
        mails: &[usize],
        flags: &[String],
        ok: bool,
        code: &str,
    ) -> Result<(), String> {
        if !ok {
            mails
                .iter()
                .for_each(|mail| self.ledger.mails[*mail].maybe += 1);
            return Ok(());
        }
        let words: Vec<&str> = code.split(' ').collect();
        let ["APPENDUID", uid_validity, uids] = words[..] else {
            return Err(format!("APPEND says [{code}]"));
        };
        let uid_validity = uid_validity.parse().unwrap_or(0);
        let uids = answers::numbers(uids);
        if uids.len() != mails.len() {
            return Err(format!("APPEND of {} says [{code}]", mails.len()));
        }
        for (mail, uid) in mails.iter().zip(uids) {
            let place = (uid_validity, uid);
            self.ledger.mails[*mail].sure += 1;
            self.arrived(client, *mail, place)?;
            if is_volatile(name) || flags.iter().any(|flag| flag == "\\Deleted") {
                self.ledger.mails[*mail].exposed.insert(place);
            }
            self.ledger.born.insert(place, flags.to_vec());
        }
        Ok(())
    }
}
