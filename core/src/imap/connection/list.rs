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
use std::collections::BTreeSet;

/// One line of the answer.
struct Listed<'a> {
    name: &'a MailboxName,
    /// `None`: there is no such mailbox (any more).
    entry: Option<&'a MailboxEntry>,
    /// Whether it is listed for what is below it only.
    child_only: bool,
    child_subscribed: bool,
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
    let parents;
    let listed = if list.kind == ListKind::Lsub || list.selection.subscribed {
        parents = subscribed_parents(&directory, &list, &patterns);
        subscribed(&directory, &list, &patterns, &parents)
    } else {
        existing(&directory, &list, &patterns)
    };
    for line in listed {
        let attributes = attributes(&directory, &list, &line);
        context.room(io, LINE_OCTETS).await;
        io.write(|out| {
            let line = ListLine {
                kind: list.kind,
                attributes: &attributes,
                name: line.name,
                child_subscribed: line.child_subscribed && list.selection.recursive_match,
            };
            list_line(out, &line, MailboxEncoding::ModifiedUtf7);
        });
        if let (Some(items), Some(_)) = (&list.return_options.status, line.entry) {
            // RFC 5819 §2: a mailbox whose status cannot be had is passed over.
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

/// The patterns of a command, compiled once for it.
struct Patterns(Vec<ListMatcher>);

impl Patterns {
    fn new(list: &ListCommand) -> Self {
        Self(list.patterns.iter().map(ListPattern::matcher).collect())
    }

    fn match_name(&self, name: &MailboxName) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

fn existing<'a>(
    directory: &'a Directory,
    list: &ListCommand,
    patterns: &Patterns,
) -> Vec<Listed<'a>> {
    let mailboxes = directory.mailboxes().filter(|entry| {
        patterns.match_name(&entry.name)
            && (!list.selection.special_use || entry.special_use.is_some())
    });
    mailboxes
        .map(|entry| Listed {
            name: &entry.name,
            entry: Some(entry),
            child_only: false,
            child_subscribed: false,
        })
        .collect()
}

/// Names above something subscribed that the patterns match although what is below is
/// not matched: LSUB tells of them (RFC 3501 §6.3.9), and so does RECURSIVEMATCH
/// (RFC 5258 §3.5).
fn subscribed_parents(
    directory: &Directory,
    list: &ListCommand,
    patterns: &Patterns,
) -> BTreeSet<MailboxName> {
    let mut parents = BTreeSet::new();
    if list.kind != ListKind::Lsub && !list.selection.recursive_match {
        return parents;
    }
    for name in directory.subscribed() {
        if list.kind == ListKind::Lsub && patterns.match_name(name) {
            continue;
        }
        let mut above = name.as_str();
        while let Some((parent, _)) = above.rsplit_once(MailboxName::SEPARATOR) {
            let parent_name = MailboxName::new(parent);
            if patterns.match_name(&parent_name) {
                parents.insert(parent_name);
            }
            above = parent;
        }
    }
    parents
}

fn subscribed<'a>(
    directory: &'a Directory,
    list: &ListCommand,
    patterns: &Patterns,
    parents: &'a BTreeSet<MailboxName>,
) -> Vec<Listed<'a>> {
    let names = directory
        .subscribed()
        .filter(|name| patterns.match_name(name));
    let mut listed: Vec<Listed<'a>> = names
        .map(|name| Listed {
            name,
            entry: directory.find(name),
            child_only: false,
            child_subscribed: parents.contains(name),
        })
        .collect();
    listed.extend(
        parents
            .iter()
            .filter(|name| !directory.is_subscribed(name))
            .map(|name| Listed {
                name,
                entry: directory.find(name),
                child_only: true,
                child_subscribed: true,
            }),
    );
    if list.selection.special_use {
        listed.retain(|line| line.entry.is_some_and(|entry| entry.special_use.is_some()));
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
        None => attributes.push(ListAttribute::NonExistent),
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
