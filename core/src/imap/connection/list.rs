//! LIST, LSUB, XLIST and STATUS (RFC 3501 §6.3.8 to §6.3.10, RFC 5258, RFC 5819, RFC 6154).

use super::context::Context;
use super::reply::{Completion, Outcome};
use super::select::out_of_step;
use super::view::{Quiet, Renumber, View};
use crate::account::{AccountReply, AccountRequest};
use crate::config::Config;
use crate::imap::grammar::response::{
    ListAttribute, ListLine, list_line, separator_line, status_line,
};
use crate::imap::grammar::{
    ListCommand, ListKind, ListMatcher, ListPattern, MailboxEncoding, StatusItem,
};
use crate::mailbox::{Directory, MailboxEntry, MailboxName, MailboxState};
use crate::workflow::Io;
use std::collections::BTreeMap;

/// One line of the answer.
struct Listed<'a> {
    name: &'a MailboxName,
    /// `None`: there is no such mailbox (any more).
    entry: Option<&'a MailboxEntry>,
    /// Whether it is listed for what is below it only.
    child_only: bool,
    /// Whether something is below it that was asked for.
    child_selected: bool,
}

pub(super) async fn list(
    io: &Io,
    context: &Context,
    mut view: Option<View>,
    list: ListCommand,
) -> Outcome {
    let done = Completion::ok("That is all");
    if list.asks_separator {
        io.write(|out| separator_line(out, list.kind));
        return Outcome::new(done, view);
    }
    let directory = match io.account(AccountRequest::List).await {
        AccountReply::Directory(directory) => directory,
        AccountReply::Failed(failure) => return Outcome::new(failure.into(), view),
        _ => return out_of_step(view),
    };
    let patterns = Patterns::new(&list);
    let superiors = superiors(io, &directory, &list, &patterns).await;
    let listed = listed(io, &directory, &list, &patterns, &superiors).await;
    for line in listed {
        let attributes = attributes(&directory, &list, &line);
        context.room(io, LINE_OCTETS).await;
        io.write(|out| {
            let line = ListLine {
                kind: list.kind,
                attributes: &attributes,
                name: line.name,
                child_subscribed: line.child_selected && list.selection.recursive_match,
            };
            list_line(out, &line, MailboxEncoding::ModifiedUtf7);
        });
        let selectable = line.entry.is_some() && !line.child_only;
        if let (Some(items), true) = (&list.return_options.status, selectable) {
            // RFC 5819 §2: a mailbox whose status cannot be had is passed over; and §3: one that
            // was not asked for itself has none.
            if let AccountReply::Status(state) =
                io.account(AccountRequest::Status(line.name.clone())).await
            {
                context.room(io, LINE_OCTETS).await;
                io.write(|out| write_status(out, &context.config, line.name, &state, items));
            }
        }
    }
    if let Some(view) = &mut view {
        view.announce(io, context, Renumber::Allowed, &Quiet::default())
            .await;
    }
    Outcome::new(done, view)
}

/// Room for a line: the longest name in modified UTF-7 may need more, and then waits.
const LINE_OCTETS: usize = 4096;

/// Octets that can be looked at in the time that a step of a pattern takes.
const STEP_OCTETS: usize = 4;

/// The patterns of a command, compiled once for it.
struct Patterns(Vec<ListMatcher>);

impl Patterns {
    fn new(list: &ListCommand) -> Self {
        Self(list.patterns.iter().map(ListPattern::matcher).collect())
    }

    /// Whether one of them matches. To try a long name on many long patterns takes time.
    async fn match_name(&self, io: &Io, name: &MailboxName) -> bool {
        for pattern in &self.0 {
            let steps = pattern.steps(name.as_str().len());
            io.look(steps.saturating_mul(STEP_OCTETS)).await;
            if pattern.matches(name) {
                return true;
            }
        }
        false
    }
}

/// What was asked for, whatever the patterns: what is subscribed to, or what there is.
fn selected<'a>(
    directory: &'a Directory,
    list: &ListCommand,
) -> impl Iterator<Item = (&'a MailboxName, Option<&'a MailboxEntry>)> {
    let by_subscription = is_by_subscription(list);
    let subscribed = directory.subscribed().filter(move |_| by_subscription);
    let existing = directory.mailboxes().filter(move |_| !by_subscription);
    let special_use = list.selection.special_use;
    subscribed
        .map(|name| (name, directory.find(name)))
        .chain(existing.map(|entry| (&entry.name, Some(entry))))
        .filter(move |(_, entry)| {
            !special_use || entry.is_some_and(|entry| entry.special_use.is_some())
        })
}

fn is_by_subscription(list: &ListCommand) -> bool {
    list.kind == ListKind::Lsub || list.selection.subscribed
}

/// Names that the patterns match and that have something below them that was asked for;
/// whether the patterns leave some of that out, so that they are listed for it.
type Superiors = BTreeMap<MailboxName, bool>;

/// Which names are told for what is below them:
///
/// - by LSUB those that are not subscribed to, where there is a `%` (RFC 3501 §6.3.9),
/// - with RECURSIVEMATCH all (RFC 5258 §3.5),
/// - with SUBSCRIBED alone none (RFC 5258 §3.1),
/// - and else those of which there is no mailbox (RFC 3501 §6.3.8; RFC 5258 §3.5, example 11):
///   one server can delete a mailbox while another one makes a mailbox below it.
async fn superiors(
    io: &Io,
    directory: &Directory,
    list: &ListCommand,
    patterns: &Patterns,
) -> Superiors {
    let mut superiors = Superiors::new();
    let recursive = list.selection.recursive_match;
    let by_subscription = is_by_subscription(list);
    let none = match list.kind {
        ListKind::Lsub => !list.patterns.iter().any(|it| it.as_str().contains('%')),
        ListKind::List | ListKind::Xlist => by_subscription && !recursive,
    };
    if none {
        return superiors;
    }
    for (name, _) in selected(directory, list) {
        let left_out = !patterns.match_name(io, name).await;
        if !left_out && !recursive {
            continue;
        }
        let mut below = name.as_str();
        while let Some((above, _)) = below.rsplit_once(MailboxName::SEPARATOR) {
            below = above;
            let above = MailboxName::new(above);
            let is_told = by_subscription || directory.find(&above).is_none();
            if is_told && patterns.match_name(io, &above).await {
                *superiors.entry(above).or_default() |= left_out;
            }
        }
    }
    superiors
}

/// The lines of the answer, by name.
async fn listed<'a>(
    io: &Io,
    directory: &'a Directory,
    list: &ListCommand,
    patterns: &Patterns,
    superiors: &'a Superiors,
) -> Vec<Listed<'a>> {
    let mut listed: Vec<Listed<'a>> = Vec::new();
    for (name, entry) in selected(directory, list) {
        if patterns.match_name(io, name).await {
            listed.push(Listed {
                name,
                entry,
                child_only: false,
                child_selected: superiors.contains_key(name),
            });
        }
    }
    let own = listed.len();
    for (name, left_out) in superiors {
        let is_listed = listed[..own].binary_search_by(|line| line.name.cmp(name));
        if *left_out && is_listed.is_err() {
            listed.push(Listed {
                name,
                entry: directory.find(name),
                child_only: true,
                child_selected: true,
            });
        }
    }
    listed.sort_by(|a, b| a.name.cmp(b.name));
    listed
}

fn attributes(directory: &Directory, list: &ListCommand, line: &Listed<'_>) -> Vec<ListAttribute> {
    let mut attributes = Vec::new();
    if list.kind == ListKind::Lsub {
        if line.child_only {
            attributes.push(ListAttribute::NoSelect);
        }
        return attributes;
    }
    match line.entry {
        // The attribute came with the extended LIST (RFC 5258 §3).
        None if list.extended => attributes.push(ListAttribute::NonExistent),
        None => attributes.push(ListAttribute::NoSelect),
        Some(entry) => {
            if list.kind == ListKind::Xlist && entry.name.is_inbox() {
                attributes.push(ListAttribute::Inbox);
            }
            // Clients look for special uses in every LIST, whether they ask or not.
            attributes.extend(entry.special_use.map(ListAttribute::SpecialUse));
        }
    }
    attributes.push(if directory.has_children(line.name) {
        ListAttribute::HasChildren
    } else {
        ListAttribute::HasNoChildren
    });
    if (list.return_options.subscribed || list.selection.subscribed)
        && directory.is_subscribed(line.name)
    {
        attributes.push(ListAttribute::Subscribed);
    }
    attributes
}

pub(super) async fn status(
    io: &Io,
    context: &Context,
    mut view: Option<View>,
    mailbox: MailboxName,
    items: &[StatusItem],
) -> Outcome {
    match io.account(AccountRequest::Status(mailbox.clone())).await {
        AccountReply::Status(state) => {
            io.write(|out| write_status(out, &context.config, &mailbox, &state, items));
            if let Some(view) = &mut view {
                view.announce(io, context, Renumber::Allowed, &Quiet::default())
                    .await;
            }
            Outcome::new(Completion::ok("That is its status"), view)
        }
        AccountReply::Failed(failure) => Outcome::new(failure.into(), view),
        _ => out_of_step(view),
    }
}

fn write_status(
    out: &mut Vec<u8>,
    config: &Config,
    name: &MailboxName,
    state: &MailboxState,
    items: &[StatusItem],
) {
    let value = |item: &StatusItem| match item {
        StatusItem::Messages => state.len() as u64,
        StatusItem::Recent => match state.position(state.recent_from()) {
            Ok(position) | Err(position) => (state.len() - position) as u64,
        },
        StatusItem::UidNext => u64::from(state.uid_next().get()),
        StatusItem::UidValidity => u64::from(state.uid_validity().0.get()),
        StatusItem::Unseen => state.unseen_count() as u64,
        StatusItem::Size => state.size_total(),
        StatusItem::AppendLimit => config.message_bytes_max,
        StatusItem::Deleted => state.deleted_count() as u64,
        StatusItem::HighestModSeq => state.highest_modseq().0,
    };
    let values: Vec<(StatusItem, u64)> = items.iter().map(|item| (*item, value(item))).collect();
    status_line(out, name, &values, MailboxEncoding::ModifiedUtf7);
}
