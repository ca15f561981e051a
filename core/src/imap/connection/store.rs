//! STORE (RFC 3501 §6.4.6).

use super::context::Context;
use super::reply::{Completion, Outcome};
use super::select::{out_of_step, read_only, uids_of};
use super::view::{Quiet, Renumber, View, number_into};
use crate::account::{AccountReply, AccountRequest};
use crate::imap::grammar::{SequenceSet, response};
use crate::mailbox::{FlagAction, FlagChange, FlagSet, MailboxState, ModSeq, Uid};
use crate::workflow::Io;

/// The arguments.
pub(super) struct Store {
    pub(super) uid: bool,
    pub(super) set: SequenceSet,
    pub(super) change: FlagChange,
    pub(super) silent: bool,
    pub(super) unchanged_since: Option<u64>,
}

pub(super) const NO_SUCH_MESSAGE: &str = "There is no message of that number";

pub(super) async fn store(io: &Io, context: &Context, mut view: View, store: Store) -> Outcome {
    if view.read_only {
        return read_only(view);
    }
    let Some(positions) = view.positions(store.uid, &store.set) else {
        return Outcome::new(Completion::bad(NO_SUCH_MESSAGE), Some(view));
    };
    let uids = uids_of(&view, &positions);
    let before = if store.silent {
        flags_known(&view, &uids)
    } else {
        Vec::new()
    };
    let renumber = if store.uid {
        Renumber::Allowed
    } else {
        Renumber::Forbidden
    };
    let request = AccountRequest::Store {
        uids: uids.clone(),
        change: store.change.clone(),
        unchanged_since: store.unchanged_since.map(ModSeq),
    };
    match io.account(request).await {
        AccountReply::Stored { snapshot, modified } => {
            view.learn(snapshot);
            view.announce_keywords(io);
            let quiet = if store.silent {
                as_expected(&view.latest, &before, &store.change)
            } else {
                say_flags(io, context, &view, &uids).await
            };
            let completion = stored(&view, store.uid, &modified);
            view.announce(io, context, renumber, &quiet).await;
            Outcome::new(completion, Some(view))
        }
        AccountReply::Failed(failure) => Outcome::new(failure.into(), Some(view)),
        _ => out_of_step(Some(view)),
    }
}

/// The answer: it names what was left alone because it changed after UNCHANGEDSINCE
/// (RFC 7162 §3.1.3), in the numbers of the command.
fn stored(view: &View, uid: bool, modified: &[Uid]) -> Completion {
    if modified.is_empty() {
        return Completion::ok("Stored");
    }
    let position = |uid: &Uid| view.shown.position(*uid).ok();
    let number = |at: usize| u32::try_from(at + 1).unwrap_or(u32::MAX);
    let mut code = b"MODIFIED ".to_vec();
    if uid {
        let uids = modified.iter().map(|uid| uid.get());
        response::set(&mut code, response::ranges(uids));
    } else {
        let numbers = modified.iter().filter_map(position).map(number);
        response::set(&mut code, response::ranges(numbers));
    }
    Completion::ok("Some messages had changed").with_code(&String::from_utf8_lossy(&code))
}

/// Flags of messages as the client knows them.
fn flags_known(view: &View, uids: &[Uid]) -> Vec<(Uid, FlagSet)> {
    let messages = uids.iter().filter_map(|uid| view.latest.find(*uid));
    let known = messages.filter(|message| view.knows_flags(message));
    known.map(|message| (message.uid, message.flags)).collect()
}

/// What `.SILENT` is silent about: messages that have the flags which the client must
/// think that they have. What somebody else changed is told (RFC 3501 §6.4.6).
fn as_expected(state: &MailboxState, before: &[(Uid, FlagSet)], change: &FlagChange) -> Quiet {
    let bits: Vec<_> = change.flags.iter().flat_map(|f| state.bit(f)).collect();
    let mut quiet = Quiet::default();
    for (uid, flags) in before {
        let mut expected = match change.action {
            FlagAction::Replace => FlagSet::default(),
            FlagAction::Add | FlagAction::Remove => *flags,
        };
        for bit in &bits {
            expected.assign(*bit, change.action != FlagAction::Remove);
        }
        if let Some(message) = state.find(*uid).filter(|it| it.flags == expected) {
            quiet.add(message);
        }
    }
    quiet
}

/// `* n FETCH (UID u FLAGS (…))` of each message, changed or not, as the client asked.
async fn say_flags(io: &Io, context: &Context, view: &View, uids: &[Uid]) -> Quiet {
    let mut quiet = Quiet::default();
    for uid in uids {
        let (Ok(shown), Ok(latest)) = (view.shown.position(*uid), view.latest.position(*uid))
        else {
            continue;
        };
        let Some(message) = view.latest.message(latest) else {
            continue;
        };
        quiet.add(message);
        context.room(io, FLAGS_OCTETS).await;
        io.write(|out| {
            out.extend_from_slice(b"* ");
            number_into(out, shown + 1);
            out.extend_from_slice(b" FETCH (UID ");
            number_into(out, uid.get() as usize);
            out.push(b' ');
            view.write_flags(message, out);
            out.extend_from_slice(b")\r\n");
        });
    }
    quiet
}

/// Room for one FETCH of flags.
const FLAGS_OCTETS: usize = 1024;
