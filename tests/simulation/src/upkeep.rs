//! What an operator does now and then, while clients and other servers write: he brings back what was
//! expunged (`undelete`), or has the account checked and put right (`fsck --repair`).

use crate::account::Mail;
use crate::ledger::FLAGS;
use crate::script::is_volatile;
use crate::world::{Event, SECOND, World};
use restante_core::account::{
    AccountReply, AccountRequest, Bodies, CheckOptions, CheckReport, Finding, NewMessage,
    Recovered, Trouble,
};
use restante_core::mailbox::{Flag, MailboxName};

/// What was asked of a server.
#[derive(Debug)]
pub(crate) struct Job {
    process: usize,
    asked: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Check,
    Undelete,
    /// Which mail is appended, to which mailbox, with which flags.
    BringBack(usize, String, Vec<String>),
}

/// So many messages are brought back at once.
const BROUGHT_MAX: usize = 3;
/// By then whoever expunges a message knows of a change of its flags.
const LATE: u64 = 200 * SECOND;
/// Where times are short, only what was expunged since then is brought back: it must not be collected
/// meanwhile.
const SINCE_MS: u64 = 20_000;

impl World {
    /// The operator does something, and the next thing some time later.
    pub(crate) fn upkeep(&mut self) {
        if !self.busy {
            return;
        }
        let pause = self.chance.between(SECOND, 20 * SECOND);
        self.at(self.now + pause, Event::Upkeep);
        let process = self.chance.index(self.processes.len());
        if !self.processes[process].accepts() || self.stands_still(process) {
            return;
        }
        if self.chance.permille(300) {
            let options = CheckOptions {
                bodies: *self.chance.pick(&[Bodies::Quick, Bodies::Full]),
                repair: true,
                rebuild: false,
                restored_ms: None,
            };
            return self.ask_upkeep(process, Kind::Check, AccountRequest::Check(options));
        }
        let now_ms = self.time(process).unix_ms;
        let since_ms = self.collects.then(|| now_ms.saturating_sub(SINCE_MS));
        let mailbox = None;
        let request = AccountRequest::Undelete { mailbox, since_ms };
        self.ask_upkeep(process, Kind::Undelete, request);
    }

    fn ask_upkeep(&mut self, process: usize, kind: Kind, request: AccountRequest) {
        let number = self.processes[process].number();
        self.note(format_args!("operator asks {process}/{number}: {kind:?}"));
        let asked = self.now;
        let job = Job {
            process,
            asked,
            kind,
        };
        self.jobs.insert((process, number), job);
        self.attach(process, number);
        self.mail(process, Mail::Request(number, request));
    }

    /// The server is no more: what it was asked may have been done.
    pub(crate) fn jobs_end(&mut self, process: usize) {
        let ended = self.jobs.extract_if(.., |(of, _), _| *of == process);
        let ended: Vec<_> = ended.map(|(_, job)| job).collect();
        for job in ended {
            if let Kind::BringBack(mail, ..) = job.kind {
                self.ledger.mails[mail].maybe += 1;
            }
        }
    }

    /// A reply of an account, if it is for the operator.
    pub(crate) fn job_done(&mut self, process: usize, number: u64, reply: &AccountReply) -> bool {
        let Some(job) = self.jobs.remove(&(process, number)) else {
            return false;
        };
        self.mail(process, Mail::Detach(number));
        let judged = match (&job.kind, reply) {
            (Kind::Check, AccountReply::Checked(report)) => {
                *self.ledger.acknowledged.entry("fsck").or_default() += 1;
                whole(report)
            }
            (Kind::Undelete, AccountReply::Recoverable(found)) => {
                *self.ledger.acknowledged.entry("undelete").or_default() += 1;
                self.bring_back(&job, found)
            }
            (Kind::BringBack(mail, name, flags), reply) => {
                self.brought_back(*mail, name, flags, reply)
            }
            (_, reply) => {
                self.note(format_args!("operator reads {process}/{number}: {reply:?}"));
                Ok(())
            }
        };
        if let Err(what) = judged {
            self.blame(format!("operator at {process}/{number}: {what}"));
        }
        true
    }

    fn bring_back(&mut self, job: &Job, found: &Recovered) -> Result<(), String> {
        if found.unreadable > 0 && !self.collects {
            return Err(format!("{} messages cannot be read", found.unreadable));
        }
        let mut brought = 0;
        for it in &found.messages {
            let Some(mail) = self.mail_of_content(&it.message) else {
                continue;
            };
            self.is_not_there(job, mail)?;
            self.judge_last(mail, &it.message)?;
            let wanted = brought < BROUGHT_MAX && self.chance.permille(300);
            if !self.busy || !wanted {
                continue;
            }
            brought += 1;
            let name = it.mailbox.as_ref().map_or("Archive", MailboxName::as_str);
            let flags = it.message.flags.iter().map(written).collect();
            let kind = Kind::BringBack(mail, name.to_owned(), flags);
            let request = AccountRequest::Append {
                name: MailboxName::new(name),
                messages: vec![it.message.clone()],
                summaries: Vec::new(),
            };
            let known = &mut self.ledger.mails[mail];
            known.copied = true;
            if name == "INBOX" {
                self.ledger.enters_inbox(mail, self.now);
            }
            self.ask_upkeep(job.process, kind, request);
        }
        Ok(())
    }

    /// Which mail it is, if clients were told of it at one place or several.
    fn mail_of_content(&self, message: &NewMessage) -> Option<usize> {
        let places = self.contents.get(&message.content)?;
        let told = places
            .iter()
            .filter_map(|place| self.ledger.told.get(place));
        let mut mails = told.flatten().copied();
        let mail = mails.next()?;
        mails.all(|it| it == mail).then_some(mail)
    }

    /// What is somewhere is not to be brought back; but logs are read one after the other, so what is moved
    /// meanwhile may be seen neither where it goes nor where it was.
    fn is_not_there(&self, job: &Job, mail: usize) -> Result<(), String> {
        let it = &self.ledger.mails[mail];
        let there = it.arrived.iter().find(|place| {
            let mut gone = it.gone.iter().chain(&it.exposed);
            let may_be_gone = gone.any(|it| it.0 == place.0);
            let moves = self.ledger.leaving.contains(&(place.0, mail));
            let leaves = moves || self.ledger.may_be_renamed(mail);
            let before = self.ledger.arrived_at.get(place);
            before.is_some_and(|at| *at < job.asked) && !may_be_gone && !leaves
        });
        match there {
            Some(place) => Err(format!(
                "mail {mail} is at {place:?} and to be brought back"
            )),
            None => Ok(()),
        }
    }

    /// It has the flags that it had when it was expunged, if that is known.
    fn judge_last(&self, mail: usize, message: &NewMessage) -> Result<(), String> {
        let places = self.contents.get(&message.content);
        let mut places = places.into_iter().flatten();
        let (Some(place), None) = (places.next(), places.next()) else {
            return Ok(());
        };
        let Some(gone) = self.ledger.gone_at.get(place) else {
            return Ok(());
        };
        for flag in FLAGS.into_iter().filter(|flag| *flag != "\\Deleted") {
            let ops = self.ledger.flags.get(&(*place, flag.to_owned()));
            let mut ops = ops.into_iter().flatten().filter(|op| !op.void);
            let known = |at: Option<u64>| at.is_some_and(|at| at + LATE < *gone);
            let allowed = self.ledger.allowed(*place, flag);
            let allowed = allowed.filter(|_| ops.all(|op| known(op.acknowledged)));
            let set = message.flags.iter().any(|it| written(it) == flag);
            if allowed.is_some_and(|allowed| !allowed[usize::from(set)]) {
                return Err(format!(
                    "mail {mail} was at {place:?} and comes back with {flag}: {set}"
                ));
            }
        }
        Ok(())
    }

    fn brought_back(
        &mut self,
        mail: usize,
        name: &str,
        flags: &[String],
        reply: &AccountReply,
    ) -> Result<(), String> {
        let AccountReply::Appended {
            uid_validity, uids, ..
        } = reply
        else {
            self.ledger.mails[mail].maybe += 1;
            self.note(format_args!("mail {mail} is not brought back: {reply:?}"));
            return Ok(());
        };
        let [uid] = uids[..] else {
            return Err(format!("mail {mail} is brought back as {uids:?}"));
        };
        let place = (uid_validity.0.get(), uid.get());
        self.note(format_args!("mail {mail} is brought back to {place:?}"));
        *self.ledger.acknowledged.entry("brought back").or_default() += 1;
        let it = &mut self.ledger.mails[mail];
        it.sure += 1;
        it.arrived.insert(place);
        if is_volatile(name) || flags.iter().any(|flag| flag == "\\Deleted") {
            it.exposed.insert(place);
        }
        self.ledger.arrived_at.entry(place).or_insert(self.now);
        self.ledger.told.entry(place).or_default().insert(mail);
        self.ledger.born.insert(place, flags.to_vec());
        Ok(())
    }
}

/// Nothing is damaged, so a check finds nothing but what waits to be collected.
fn whole(report: &CheckReport) -> Result<(), String> {
    match report.findings.iter().find(|it| !waits(it)) {
        Some(found) => Err(format!("a check finds {found:?}")),
        None => Ok(()),
    }
}

/// What a sweep has not collected yet is not damage, and of a commit that failed a part may have
/// landed without the summaries beside it, which are in the objects as well.
pub(crate) fn waits(found: &Finding) -> bool {
    use Trouble::{Orphan, OrphanCheckpoint, SummaryItem};
    matches!(found.trouble, Orphan | OrphanCheckpoint | SummaryItem)
}

/// A flag as clients write it.
fn written(flag: &Flag) -> String {
    match flag {
        Flag::Keyword(keyword) => keyword.as_str().to_owned(),
        flag => format!("\\{flag:?}"),
    }
}
