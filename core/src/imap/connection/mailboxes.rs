//! Commands that change mailboxes: CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE
//! (RFC 3501 §6.3.3 to §6.3.7).

use super::context::Context;
use super::reply::{Completion, Outcome};
use super::select::out_of_step;
use super::view::{Quiet, Renumber, View};
use crate::account::{AccountReply, AccountRequest};
use crate::imap::grammar::Command;
use crate::workflow::Io;

pub(super) async fn change(
    io: &Io,
    mut view: Option<View>,
    context: &Context,
    command: Command,
) -> Outcome {
    let (request, done) = match command {
        Command::Create {
            mailbox,
            special_use,
            unsupported_use,
        } => {
            if special_use.len() > 1 || unsupported_use {
                // RFC 6154 §3 lets a server refuse what it cannot keep.
                let text = if unsupported_use {
                    "There is no such use of a mailbox here"
                } else {
                    "A mailbox can have one use only"
                };
                return Outcome::new(Completion::no(text).with_code("USEATTR"), view);
            }
            let special_use = special_use.first().copied();
            (
                AccountRequest::Create {
                    name: mailbox,
                    special_use,
                },
                "Created",
            )
        }
        Command::Delete { mailbox } => (AccountRequest::Delete(mailbox), "Deleted"),
        Command::Rename { from, to } => (AccountRequest::Rename { from, to }, "Renamed"),
        Command::Subscribe { mailbox: name } => (
            AccountRequest::Subscribe {
                name,
                subscribed: true,
            },
            "Subscribed",
        ),
        Command::Unsubscribe { mailbox: name } => (
            AccountRequest::Subscribe {
                name,
                subscribed: false,
            },
            "Unsubscribed",
        ),
        // The table of commands lets nothing else come here.
        _ => return Outcome::new(Completion::bad("This cannot be done now"), view),
    };
    match io.account(request).await {
        AccountReply::Failed(failure) => Outcome::new(failure.into(), view),
        AccountReply::Done | AccountReply::Deleted { selected: false } => {
            if let Some(view) = &mut view {
                view.announce(io, context, Renumber::Allowed, &Quiet::default())
                    .await;
            }
            Outcome::new(Completion::ok(done), view)
        }
        AccountReply::Deleted { selected: true } => Outcome::left(Completion::ok(done)),
        _ => out_of_step(view),
    }
}
