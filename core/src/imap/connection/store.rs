//! STORE (RFC 3501 §6.4.6).

use super::context::Context;
use super::reply::{Completion, Outcome};
use super::select::{out_of_step, read_only, uids_of};
use super::view::{Quiet, Renumber, View, number_into};
use crate::account::{AccountReply, AccountRequest};
use crate::imap::grammar::SequenceSet;
use crate::mailbox::{FlagChange, ModSeq, Uid};
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
    let renumber = if store.uid {
        Renumber::Allowed
    } else {
        Renumber::Forbidden
    };
    let request = AccountRequest::Store {
        uids: uids.clone(),
        change: store.change,
        unchanged_since: store.unchanged_since.map(ModSeq),
    };
    match io.account(request).await {
        AccountReply::Stored { snapshot, .. } => {
            view.learn(snapshot);
            if !store.silent {
                say_flags(io, context, &view, &uids).await;
            }
            view.announce(io, context, renumber, &Quiet { uids }).await;
            Outcome::new(Completion::ok("Stored"), Some(view))
        }
        AccountReply::Failed(failure) => Outcome::new(failure.into(), Some(view)),
        _ => out_of_step(Some(view)),
    }
}

/// `* n FETCH (UID u FLAGS (…))` of each message, changed or not, as the client asked.
async fn say_flags(io: &Io, context: &Context, view: &View, uids: &[Uid]) {
    for uid in uids {
        let (Ok(shown), Ok(latest)) = (view.shown.position(*uid), view.latest.position(*uid))
        else {
            continue;
        };
        let Some(message) = view.latest.message(latest) else {
            continue;
        };
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
}

/// Room for one FETCH of flags.
const FLAGS_OCTETS: usize = 1024;
