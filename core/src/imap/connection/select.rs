//! SELECT, EXAMINE and what ends or refreshes a selection (RFC 3501 §6.3.1, §6.4).

use super::context::Context;
use super::reply::{Completion, Outcome};
use super::resync::resynchronise;
use super::view::{Quiet, Renumber, View, highest_modseq, line};
use crate::account::{AccountReply, AccountRequest};
use crate::imap::grammar::{QResync, SequenceSet, response};
use crate::mailbox::{MailboxName, Uid};
use crate::workflow::Io;
use std::io::Write as _;

/// An account's reply that does not fit its request: a bug of ours, told as one.
pub(super) fn out_of_step(view: Option<View>) -> Outcome {
    Outcome::new(Completion::out_of_step(), view)
}

/// The arguments of SELECT and EXAMINE.
pub(super) struct Select {
    pub(super) name: MailboxName,
    /// EXAMINE.
    pub(super) read_only: bool,
    /// What the client knows of the mailbox.
    pub(super) known: Option<QResync>,
}

/// SELECT and EXAMINE; `closes`: another mailbox was selected until now.
pub(super) async fn select(io: &Io, context: &Context, closes: bool, select: Select) -> Outcome {
    let Select {
        name, read_only, ..
    } = select;
    let reply = io.account(AccountRequest::Select { name, read_only }).await;
    if closes {
        // RFC 7162 §3.2.11: what was said until now is about the mailbox before.
        io.write(|out| out.extend_from_slice(b"* OK [CLOSED] The mailbox before is closed\r\n"));
    }
    match reply {
        AccountReply::Selected { mailbox, snapshot } => {
            let outcome = selected(io, context, View::new(mailbox, read_only, snapshot));
            if let (Some(view), Some(known)) = (&outcome.view, &select.known) {
                resynchronise(io, context, view, known).await;
            }
            outcome
        }
        // RFC 3501 §6.3.1: after a failed SELECT nothing is selected.
        AccountReply::Failed(failure) => Outcome::new(failure.into(), None),
        _ => out_of_step(None),
    }
}

/// The responses that SELECT requires.
fn selected(io: &Io, context: &Context, view: View) -> Outcome {
    let read_only = view.read_only;
    io.write(|out| {
        let state = &view.shown;
        let flags = view.mailbox_flags();
        out.extend_from_slice(b"* FLAGS ");
        response::flag_list(out, &flags, false);
        out.extend_from_slice(b"\r\n* OK [PERMANENTFLAGS ");
        if read_only {
            out.extend_from_slice(b"()] Nothing can be changed\r\n");
        } else {
            let new = state.has_room_for_keywords(1, context.config.keywords_max);
            response::permanent_flags(out, &flags, new);
            out.extend_from_slice(b"] Flags are kept\r\n");
        }
        line(out, state.len(), "EXISTS");
        line(out, view.recent_count(), "RECENT");
        if let Some(position) = state.first_unseen() {
            write!(
                out,
                "* OK [UNSEEN {}] The first unseen message\r\n",
                position + 1
            )
            .expect("a Vec takes everything");
        }
        write!(
            out,
            "* OK [UIDVALIDITY {}] UIDs are valid\r\n* OK [UIDNEXT {}] The next UID\r\n",
            state.uid_validity().0,
            state.uid_next()
        )
        .expect("a Vec takes everything");
        highest_modseq(out, state.highest_modseq());
    });
    let completion = if read_only {
        Completion::ok("Selected, to be read only").with_code("READ-ONLY")
    } else {
        Completion::ok("Selected").with_code("READ-WRITE")
    };
    Outcome::new(completion, Some(view))
}

/// NOOP and CHECK. NOOP cannot fail (RFC 3501 §6.1.2): where storage does not answer, the
/// client is told what is known.
pub(super) async fn refresh(io: &Io, context: &Context, mut view: View) -> Outcome {
    match io.account(AccountRequest::Refresh).await {
        AccountReply::Snapshot(snapshot) => view.learn(snapshot),
        AccountReply::Failed(_) => {}
        _ => return out_of_step(Some(view)),
    }
    view.announce(io, context, Renumber::Allowed, &Quiet::default())
        .await;
    Outcome::new(Completion::ok("Nothing else was done"), Some(view))
}

/// CLOSE: expunges silently, then nothing is selected (RFC 3501 §6.4.2).
pub(super) async fn close(io: &Io, view: View) -> Outcome {
    if !view.read_only
        && let AccountReply::Failed(failure) =
            io.account(AccountRequest::Expunge { uids: None }).await
    {
        return Outcome::new(failure.into(), Some(view));
    }
    unselect(io).await
}

/// UNSELECT (RFC 3691).
pub(super) async fn unselect(io: &Io) -> Outcome {
    match io.account(AccountRequest::Unselect).await {
        AccountReply::Failed(failure) => Outcome::new(failure.into(), None),
        _ => Outcome::new(Completion::ok("Nothing is selected now"), None),
    }
}

/// EXPUNGE and UID EXPUNGE (RFC 3501 §6.4.3, RFC 4315 §2.1).
pub(super) async fn expunge(
    io: &Io,
    context: &Context,
    mut view: View,
    set: Option<SequenceSet>,
) -> Outcome {
    if view.read_only {
        return read_only(view);
    }
    let uids = set.map(|set| uids_of(&view, &view.uid_positions(&set)));
    match io.account(AccountRequest::Expunge { uids }).await {
        AccountReply::Snapshot(snapshot) => {
            view.learn(snapshot);
            view.announce(io, context, Renumber::Allowed, &Quiet::default())
                .await;
            Outcome::new(Completion::ok("Expunged"), Some(view))
        }
        AccountReply::Failed(failure) => Outcome::new(failure.into(), Some(view)),
        _ => out_of_step(Some(view)),
    }
}

/// Something that would change a mailbox opened by EXAMINE.
pub(super) fn read_only(view: View) -> Outcome {
    Outcome::new(
        Completion::no("The mailbox was opened to be read only"),
        Some(view),
    )
}

/// The UIDs at these positions.
pub(super) fn uids_of(view: &View, positions: &[core::ops::Range<usize>]) -> Vec<Uid> {
    let messages = positions.iter().flat_map(|range| {
        view.shown
            .iter_from(range.start)
            .take(range.end - range.start)
    });
    messages.map(|message| message.uid).collect()
}
