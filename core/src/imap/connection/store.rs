//! STORE (RFC 3501 §6.4.6), also on condition (RFC 7162 §3.1.3).

use super::context::Context;
use super::reply::{Completion, Outcome};
use super::select::{out_of_step, read_only, uids_of};
use super::view::{FLAGS_OCTETS, Quiet, Renumber, View, fetch_start, write_modseq};
use crate::account::{AccountReply, AccountRequest, UnchangedSince};
use crate::imap::grammar::{SequenceSet, response};
use crate::mailbox::{
    FlagAction, FlagBit, FlagChange, FlagSet, Keyword, MailboxState, ModSeq, Uid,
};
use crate::workflow::Io;
use std::sync::Arc;

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
    let keywords = Arc::clone(view.latest.keyword_list());
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
        unchanged_since: store.unchanged_since.map(|modseq| UnchangedSince {
            modseq: ModSeq(modseq),
            shown: Arc::clone(&view.shown),
        }),
    };
    match io.account(request).await {
        AccountReply::Stored { snapshot, modified } => {
            view.learn(snapshot);
            view.announce_keywords(io);
            let quiet = if store.silent {
                let quiet = as_expected(&view.latest, &before, &keywords, &store.change);
                if context.enabled.condstore {
                    let stored = Silent {
                        before: &before,
                        expected: &quiet,
                        modified: &modified,
                        conditional: store.unchanged_since.is_some(),
                    };
                    say_modseqs(io, context, &view, &uids, stored).await
                } else {
                    quiet
                }
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
fn flags_known(view: &View, uids: &[Uid]) -> Vec<Before> {
    let messages = uids.iter().filter_map(|uid| view.latest.find(*uid));
    let known = messages.filter(|message| view.knows_flags(message));
    known
        .map(|message| Before {
            uid: message.uid,
            flags: message.flags,
            modseq: message.modseq,
        })
        .collect()
}

/// A message as the client knows it before it is changed.
struct Before {
    uid: Uid,
    flags: FlagSet,
    modseq: ModSeq,
}

/// What `.SILENT` is silent about: messages that have the flags which the client must
/// think that they have. What somebody else changed is told (RFC 3501 §6.4.6). `keywords` are
/// those of the state before, which may have counted them in another way.
fn as_expected(
    state: &MailboxState,
    before: &[Before],
    keywords: &[Keyword],
    change: &FlagChange,
) -> Quiet {
    let bits: Vec<_> = change.flags.iter().flat_map(|f| state.bit(f)).collect();
    let changed = change.flags.iter();
    let changed: Vec<_> = changed.flat_map(|f| FlagBit::of(f, keywords)).collect();
    let now = (0u8..).take(keywords.len() + FlagBit::FIRST_KEYWORD);
    let now = now.map(|bit| state.bit(&FlagBit(bit).flag(keywords)?));
    let now: Vec<Option<FlagBit>> = now.collect();
    let mut quiet = Quiet::default();
    for Before { uid, flags, .. } in before {
        let kept = match change.action {
            FlagAction::Replace => FlagSet::default(),
            FlagAction::Add | FlagAction::Remove => *flags,
        };
        let mut kept = kept.bits().filter(|bit| !changed.contains(bit));
        let expected = kept.try_fold(FlagSet::default(), |mut expected, bit| {
            let bit = now.get(usize::from(bit.0)).copied().flatten()?;
            expected.assign(bit, true);
            Some(expected)
        });
        // A keyword that nothing has any more, the message has lost.
        let Some(mut expected) = expected else {
            continue;
        };
        if change.action != FlagAction::Remove {
            for bit in &bits {
                expected.assign(*bit, true);
            }
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
        let (Ok(shown), Some(message)) = (view.shown.position(*uid), view.latest.find(*uid)) else {
            continue;
        };
        quiet.add(message);
        context.room(io, FLAGS_OCTETS).await;
        io.write(|out| view.write_fetch_flags(shown, message, context.enabled, out));
    }
    quiet
}

/// What a silent STORE did.
struct Silent<'a> {
    /// Ascending.
    before: &'a [Before],
    /// Messages that have the flags that the client expects.
    expected: &'a Quiet,
    /// Messages that failed the condition, ascending.
    modified: &'a [Uid],
    /// With UNCHANGEDSINCE.
    conditional: bool,
}

/// Who knows CONDSTORE is told the new MODSEQ even of what is silent, and what became of
/// messages that failed the condition (RFC 7162 §3.1.3 and §3.1.4.2, example 14).
async fn say_modseqs(
    io: &Io,
    context: &Context,
    view: &View,
    uids: &[Uid],
    stored: Silent<'_>,
) -> Quiet {
    let mut quiet = Quiet::default();
    for uid in uids {
        let (Ok(shown), Some(message)) = (view.shown.position(*uid), view.latest.find(*uid)) else {
            continue;
        };
        if stored.modified.binary_search(uid).is_ok() {
            quiet.add(message);
            context.room(io, FLAGS_OCTETS).await;
            io.write(|out| view.write_fetch_flags(shown, message, context.enabled, out));
        } else if stored.expected.covers(message) {
            quiet.add(message);
            let before = stored.before.binary_search_by_key(uid, |before| before.uid);
            let same = before.is_ok_and(|at| stored.before[at].modseq == message.modseq);
            if same && !stored.conditional {
                continue;
            }
            context.room(io, FLAGS_OCTETS).await;
            io.write(|out| {
                fetch_start(out, shown, message);
                out.push(b' ');
                write_modseq(out, message);
                out.extend_from_slice(b")\r\n");
            });
        }
    }
    quiet
}
