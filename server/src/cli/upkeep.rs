//! `fsck` and `undelete`: an operator looks after an account, with the user's password,
//! for nothing can be read without it. They work on storage themselves. The embedded
//! storage is for one process, so the server must not run then.

use super::account::{line, prompt};
use super::serve::cores;
use super::storage::{close_storage, open_storage};
use super::{ConfigFile, Failure};
use crate::accounts::edit;
use crate::accounts::file::AccountsFile;
use crate::config::Config;
use crate::driver::steward::Steward;
use crate::driver::steward::mending::RECOVERED;
use crate::runtime::Runtime;
use core::time::Duration;
use restante_core::account::{
    AccountReply, AccountRequest, Bodies, CheckOptions, NewMessage, Recoverable, Trouble,
};
use restante_core::config::Config as CoreConfig;
use restante_core::mailbox::{AccountId, MailboxName};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Whose account, and how it is opened.
#[derive(clap::Args)]
pub(super) struct Whose {
    /// What the account logs in as.
    name: String,
    #[command(flatten)]
    config: ConfigFile,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

/// What `fsck` is to do.
#[derive(clap::Args)]
pub(super) struct Fsck {
    #[command(flatten)]
    whose: Whose,
    /// Read only the beginning and the end of each message.
    #[arg(long)]
    quick: bool,
    /// Put right what can be put right.
    #[arg(long)]
    repair: bool,
    /// The index is lost or damaged: bring back every message that no mailbox names.
    #[arg(long)]
    rebuild: bool,
}

/// What `undelete` is to do.
#[derive(clap::Args)]
pub(super) struct Undelete {
    #[command(flatten)]
    whose: Whose,
    /// Only what was expunged from this mailbox.
    #[arg(long)]
    mailbox: Option<String>,
    /// Only what was expunged in the last, for example, `90m`, `12h` or `3d`.
    #[arg(long, value_parser = duration)]
    since: Option<Duration>,
    /// Only show what could be brought back.
    #[arg(long)]
    list: bool,
}

/// Checks an account.
pub(super) fn fsck<R: Runtime>(command: Fsck) -> Result<(), Failure> {
    let options = CheckOptions {
        bodies: match command.quick {
            true => Bodies::Quick,
            false => Bodies::Full,
        },
        repair: command.repair || command.rebuild,
        rebuild: command.rebuild,
        restored_ms: None,
    };
    let mark = command.rebuild.then(|| Mark::find(&command.whose));
    let mark = mark.transpose()?.flatten();
    with_account::<R, _>(command.whose, async move |steward| {
        if options.repair {
            // Before anything is put right.
            let look = CheckOptions {
                bodies: Bodies::Skip,
                repair: false,
                ..options
            };
            let report = steward.check(look).await?;
            steward.skip_uids(&report.lost).await?;
        }
        let mut left = 0;
        let mut report = steward.check(options).await?;
        println!(
            "{} mailboxes, {} messages, {} bodies and {} checkpoints stored, {} of them only kept for a while",
            report.mailboxes, report.messages, report.bodies, report.checkpoints, report.waiting
        );
        loop {
            if options.repair {
                let orphans = core::mem::take(&mut report.orphans);
                steward.recover(orphans).await?;
                for finding in &mut report.findings {
                    finding.repaired |= finding.trouble == Trouble::Orphan;
                }
            }
            for finding in &report.findings {
                println!("{finding}");
                left += u64::from(!finding.repaired);
            }
            if report.findings_left_out > 0 {
                println!("{} more problems are not shown", report.findings_left_out);
                left += report.findings_left_out;
            }
            if !(options.repair && report.more_orphans) {
                break;
            }
            // What was found before is not told again.
            let rest = CheckOptions {
                bodies: Bodies::Skip,
                ..options
            };
            report = steward.check(rest).await?;
            report.findings.retain(|it| it.trouble == Trouble::Orphan);
            report.findings_left_out = 0;
        }
        if let Some(mark) = mark {
            // The next login would do what is done.
            edit::note_settled(&mark.file, mark.account, mark.restored_ms)?;
        }
        match left {
            0 => println!("no problems are left"),
            left => return Err(format!("problems that are left: {left}").into()),
        }
        Ok(())
    })
}

/// That an account's storage was put back from a backup.
struct Mark {
    file: AccountsFile,
    account: AccountId,
    restored_ms: u64,
}

impl Mark {
    fn find(whose: &Whose) -> Result<Option<Self>, Failure> {
        let config = Config::load(&whose.config.config)?;
        let file = AccountsFile::new(config.accounts.file);
        let list = file.read()?;
        let entry = list.find(&whose.name);
        Ok(entry.and_then(|entry| {
            Some(Self {
                account: entry.id,
                restored_ms: entry.restored_ms?,
                file,
            })
        }))
    }
}

/// Brings expunged messages back.
pub(super) fn undelete<R: Runtime>(command: Undelete) -> Result<(), Failure> {
    let Undelete {
        whose,
        mailbox,
        since,
        list,
    } = command;
    with_account::<R, _>(whose, async move |steward| {
        let now_ms = steward.now_ms();
        let since_ms = since.map(|since| now_ms.saturating_sub(millis(since)));
        let mut brought = 0;
        loop {
            let request = AccountRequest::Undelete {
                mailbox: mailbox.as_deref().map(MailboxName::new),
                since_ms,
            };
            let found = match steward.ask(request).await {
                AccountReply::Recoverable(found) => found,
                other => return Err(steward.refused(&other).into()),
            };
            if list {
                found.messages.iter().for_each(|it| show(it, now_ms));
                if found.more {
                    println!("and more");
                }
            } else {
                brought += found.messages.len();
                bring_back(steward, found.messages).await?;
            }
            if !found.more || list {
                if found.unreadable > 0 {
                    println!("{} messages cannot be read any more", found.unreadable);
                }
                break;
            }
        }
        if !list {
            println!("brought back {brought} messages");
        }
        Ok(())
    })
}

fn show(found: &Recoverable, now_ms: u64) {
    let age = match found.expunged_ms {
        Some(at) => format!("expunged {} ago", ago(now_ms.saturating_sub(at))),
        None => "deleted with its mailbox".to_owned(),
    };
    println!(
        "{}\t{age}\t{} octets\t{}",
        target(found).as_str().escape_debug(),
        found.message.size,
        found.message.content
    );
}

async fn bring_back<R: Runtime>(
    steward: &mut Steward<R>,
    messages: Vec<Recoverable>,
) -> Result<(), Failure> {
    let mut targets: BTreeMap<MailboxName, Vec<NewMessage>> = BTreeMap::new();
    for found in messages {
        let messages = targets.entry(target(&found)).or_default();
        messages.push(found.message);
    }
    for (name, messages) in targets {
        steward.append(&name, messages).await?;
    }
    Ok(())
}

/// Where it goes: to its mailbox, or to one for all that was in a deleted one.
fn target(found: &Recoverable) -> MailboxName {
    match &found.mailbox {
        Some(name) => name.clone(),
        None => {
            let id = found.mailbox_id.to_string();
            MailboxName::new(&format!("{RECOVERED}/{}", &id[id.len() - 8..]))
        }
    }
}

/// Opens an account and its storage for `work`.
fn with_account<R: Runtime, W>(whose: Whose, work: W) -> Result<(), Failure>
where
    W: AsyncFnOnce(&mut Steward<R>) -> Result<(), Failure>,
{
    let config = Config::load(&whose.config.config)?;
    let file = Arc::new(AccountsFile::new(config.accounts.file.clone()));
    let password: Zeroizing<String> = match whose.password_stdin {
        true => line()?,
        false => prompt(&format!("Password of {}: ", whose.name))?,
    };
    let keys = edit::keys(&file, &whose.name, &password)?;
    // What is brought back may need a mailbox to be made, however many were deleted.
    let core = CoreConfig {
        deleted_mailboxes_max: usize::MAX,
        ..config.core_for_accounts()
    };
    R::run(config.threads(cores()), |runtime| async move {
        let storage = open_storage(&config, &runtime, &file).await?;
        let mut steward = Steward::new(runtime.clone(), Arc::clone(&storage), core, Arc::new(keys));
        let outcome = work(&mut steward).await;
        steward.finish().await;
        close_storage(&runtime, storage).await;
        outcome
    })?
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn duration(text: &str) -> Result<Duration, String> {
    let unit = |unit: char| match unit {
        'm' => Some(60),
        'h' => Some(3_600),
        'd' => Some(24 * 3_600),
        _ => None,
    };
    let last = text.chars().next_back();
    let seconds = last.and_then(unit).and_then(|seconds: u64| {
        let number: u64 = text[..text.len() - 1].parse().ok()?;
        number.checked_mul(seconds)
    });
    let wrong = || "a number and m, h or d, such as 90m, 12h or 3d".to_owned();
    seconds.map(Duration::from_secs).ok_or_else(wrong)
}

fn ago(ms: u64) -> String {
    match ms / 60_000 {
        minutes @ ..120 => format!("{minutes} min"),
        minutes @ 120..2_880 => format!("{} h", minutes / 60),
        minutes => format!("{} d", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("12h"), Ok(Duration::from_secs(43_200)));
        assert_eq!(duration("3d"), Ok(Duration::from_secs(259_200)));
        for wrong in [
            "",
            "3",
            "d",
            "-1d",
            "3w",
            "1 d",
            "99999999999999999999d",
            "é",
        ] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(ago(7_300_000), "2 h");
        assert_eq!(ago(86_400_000 * 3), "3 d");
    }
}
