//! COPY and MOVE (RFC 3501 §6.4.7, RFC 6851), with COPYUID (RFC 4315 §3).

use super::context::Context;
use super::reply::{Completion, Outcome, target_failure};
use super::select::{out_of_step, read_only, uids_of};
use super::store::NO_SUCH_MESSAGE;
use super::view::{Quiet, Renumber, View};
use crate::account::{AccountReply, AccountRequest, Copied};
use crate::imap::grammar::{SequenceSet, response};
use crate::mailbox::MailboxName;
use crate::workflow::Io;

/// The arguments.
pub(super) struct Copy {
    pub(super) uid: bool,
    pub(super) set: SequenceSet,
    pub(super) mailbox: MailboxName,
    /// MOVE.
    pub(super) expunge: bool,
}

pub(super) async fn copy(io: &Io, context: &Context, mut view: View, copy: Copy) -> Outcome {
    if copy.expunge && view.read_only {
        return read_only(view);
    }
    let Some(positions) = view.positions(copy.uid, &copy.set) else {
        return Outcome::new(Completion::bad(NO_SUCH_MESSAGE), Some(view));
    };
    // UIDs that name nothing are no failure (RFC 3501 §6.4.8).
    let fails_for_none = !copy.uid && view.names_any(&copy.set);
    let uids = uids_of(&view, &positions);
    if uids.is_empty() {
        let completion = match fails_for_none {
            true => all_gone(),
            false => Completion::ok("There was nothing to copy"),
        };
        view.announce(io, context, Renumber::Allowed, &Quiet::default())
            .await;
        return Outcome::new(completion, Some(view));
    }
    let Copy {
        mailbox: to,
        expunge,
        ..
    } = copy;
    match io.account(AccountRequest::Copy { uids, to, expunge }).await {
        AccountReply::Copied { copied, snapshot } => {
            let code = copy_uid(&copied);
            view.learn(snapshot);
            let mut completion = match copied.uids.is_empty() && fails_for_none {
                true => all_gone(),
                false => Completion::ok(if expunge { "Moved" } else { "Copied" }),
            };
            if expunge {
                // RFC 6851 §4.3: COPYUID comes before the EXPUNGEs.
                if let Some(code) = code {
                    io.write(|out| {
                        let line = ["* OK [", &code, "] Moved\r\n"].concat();
                        out.extend_from_slice(line.as_bytes());
                    });
                }
            } else if let Some(code) = code {
                completion = completion.with_code(&code);
            }
            view.announce(io, context, Renumber::Allowed, &Quiet::default())
                .await;
            Outcome::new(completion, Some(view))
        }
        AccountReply::Failed(failure) => Outcome::new(target_failure(failure), Some(view)),
        _ => out_of_step(Some(view)),
    }
}

/// Nothing is left of the messages that were named by numbers (RFC 2180 §4.4.1). Where some are
/// left these are copied, and COPYUID says which: a client that is told NO would have to find
/// out which of them it can still copy.
fn all_gone() -> Completion {
    Completion::no("These messages are gone").with_code("EXPUNGEISSUED")
}

/// `COPYUID 38505 304,319:320 3956:3958`; nothing if nothing was copied.
fn copy_uid(copied: &Copied) -> Option<String> {
    if copied.uids.is_empty() {
        return None;
    }
    let mut code = format!("COPYUID {} ", copied.uid_validity.0).into_bytes();
    response::set(
        &mut code,
        response::ranges(copied.uids.iter().map(|(uid, _)| uid.get())),
    );
    code.push(b' ');
    response::set(
        &mut code,
        response::ranges(copied.uids.iter().map(|(_, uid)| uid.get())),
    );
    String::from_utf8(code).ok()
}
