//! What a check found is put right: UIDs are skipped, and messages that nobody names are appended.

use super::Steward;
use crate::runtime::Runtime;
use restante_core::account::{
    AccountFailure, AccountReply, AccountRequest, CheckOptions, CheckReport, NewMessage,
};
use restante_core::mailbox::{MailboxId, MailboxName, Uid};
use std::fmt;

/// Messages that are appended together.
const APPENDED_MAX: usize = 64;
/// Where messages go whose mailbox is not known, or is no more.
pub(crate) const RECOVERED: &str = "Recovered";

/// Why an account did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl<R: Runtime> Steward<R> {
    /// Checks the account.
    ///
    /// # Errors
    /// When storage does not answer.
    pub(crate) async fn check(&mut self, options: CheckOptions) -> Result<CheckReport, Refused> {
        match self.ask(AccountRequest::Check(options)).await {
            AccountReply::Checked(report) => Ok(*report),
            other => Err(self.refused(&other)),
        }
    }

    /// UIDs of these mailboxes that may have been shown are not given again: before anything is put right,
    /// and before anybody is shown anything.
    ///
    /// # Errors
    /// When storage does not answer.
    pub(crate) async fn skip_uids(&mut self, lost: &[(MailboxId, Uid)]) -> Result<(), Refused> {
        for &(mailbox, above) in lost {
            let request = AccountRequest::SkipUids { mailbox, above };
            match self.ask(request).await {
                AccountReply::Done => {}
                // Who would see its UIDs? It is deleted, or it is not known any more what it was called.
                AccountReply::Failed(AccountFailure::NonExistent) => {}
                other => return Err(self.refused(&other)),
            }
        }
        Ok(())
    }

    /// Gives messages that no mailbox names to one.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub(crate) async fn recover(&mut self, orphans: Vec<NewMessage>) -> Result<(), Refused> {
        if orphans.is_empty() {
            return Ok(());
        }
        self.append(&MailboxName::new(RECOVERED), orphans).await
    }

    /// Appends messages to a mailbox, which is made if it is not there.
    ///
    /// # Errors
    /// When storage does not answer, or the mailbox cannot take them.
    pub(crate) async fn append(
        &mut self,
        name: &MailboxName,
        messages: Vec<NewMessage>,
    ) -> Result<(), Refused> {
        let create = AccountRequest::Create {
            name: name.clone(),
            special_use: None,
        };
        match self.ask(create).await {
            AccountReply::Done | AccountReply::Failed(AccountFailure::AlreadyExists) => {}
            other => return Err(self.refused(&other)),
        }
        for messages in messages.chunks(APPENDED_MAX) {
            let append = AccountRequest::Append {
                name: name.clone(),
                messages: messages.to_vec(),
                summaries: Vec::new(),
            };
            match self.ask(append).await {
                AccountReply::Appended { .. } => {}
                other => return Err(self.refused(&other)),
            }
        }
        Ok(())
    }

    /// A reply that is none.
    pub(crate) fn refused(&self, reply: &AccountReply) -> Refused {
        let reason = match reply {
            AccountReply::Failed(AccountFailure::NonExistent) => "there is no such mailbox",
            AccountReply::Failed(AccountFailure::OverQuota) => "storage is full",
            AccountReply::Failed(AccountFailure::Corrupt) => "what is stored is damaged",
            AccountReply::Failed(AccountFailure::Cannot(why) | AccountFailure::Limit(why)) => why,
            _ => self.trouble().unwrap_or("storage does not answer"),
        };
        Refused(reason.to_owned())
    }
}
