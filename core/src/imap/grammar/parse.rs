//! From the name of a command to its arguments. One table, [`command`], names them all;
//! the larger ones have files of their own.

use super::base64::decode_base64;
use super::cursor::{Cursor, ascii};
use super::{
    Command, InitialResponse, ListKind, QResync, SelectParameters, SequenceSet, StatusItem,
};
use super::{Parsed, bad, fetch, flag, list, search};
use crate::mailbox::{FlagAction, FlagChange, MailboxName, SpecialUse, UidValidity};
use zeroize::Zeroizing;

/// RFC 2971 §3.3: "implementations MUST NOT send more than 30 field-value pairs".
const ID_PAIRS_MAX: usize = 30;

/// The command after the tag.
pub(super) fn command(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    if cursor.at_end() {
        return bad("A command follows the tag");
    }
    cursor.space()?;
    let name = cursor.word();
    match name.as_str() {
        "CAPABILITY" => alone(cursor, Command::Capability),
        "NOOP" => alone(cursor, Command::Noop),
        "LOGOUT" => alone(cursor, Command::Logout),
        "STARTTLS" => alone(cursor, Command::StartTls),
        "NAMESPACE" => alone(cursor, Command::Namespace),
        "IDLE" => alone(cursor, Command::Idle),
        "CHECK" => alone(cursor, Command::Check),
        "CLOSE" => alone(cursor, Command::Close),
        "UNSELECT" => alone(cursor, Command::Unselect),
        "EXPUNGE" => alone(cursor, Command::Expunge),
        "AUTHENTICATE" => authenticate(cursor),
        "LOGIN" => login(cursor),
        "ID" => id(cursor),
        "ENABLE" => enable(cursor),
        "SELECT" => select(cursor, |mailbox, parameters| Command::Select {
            mailbox,
            parameters,
        }),
        "EXAMINE" => select(cursor, |mailbox, parameters| Command::Examine {
            mailbox,
            parameters,
        }),
        "CREATE" => create(cursor),
        "DELETE" => one_mailbox(cursor, |mailbox| Command::Delete { mailbox }),
        "SUBSCRIBE" => one_mailbox(cursor, |mailbox| Command::Subscribe { mailbox }),
        "UNSUBSCRIBE" => one_mailbox(cursor, |mailbox| Command::Unsubscribe { mailbox }),
        "RENAME" => rename(cursor),
        "LIST" => list::list(cursor, ListKind::List),
        "LSUB" => list::list(cursor, ListKind::Lsub),
        "XLIST" => list::list(cursor, ListKind::Xlist),
        "STATUS" => status(cursor),
        "APPEND" => bad("APPEND ends with a message as a literal"),
        "UID" => uid(cursor),
        _ => on_messages(cursor, &name, false),
    }
}

/// `STATUS` items in parentheses: at least one.
pub(super) fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let mut items = Vec::new();
    // Names may be repeated, so the length of the line is the limit.
    let max = cursor.limits.line_bytes_max;
    cursor.list(max, "There are too many STATUS items", |cursor| {
        let name = cursor.word();
        let Some((item, _)) = StatusItem::NAMES.iter().find(|(_, known)| *known == name) else {
            return bad("STATUS knows no such item");
        };
        if !items.contains(item) {
            items.push(*item);
        }
        Ok(())
    })?;
    if items.is_empty() {
        return bad("STATUS needs at least one item");
    }
    Ok(items)
}

fn alone(cursor: &Cursor<'_>, command: Command) -> Parsed<Command> {
    if cursor.at_end() {
        Ok(command)
    } else {
        bad("The command takes no arguments, or its name is wrong")
    }
}

fn uid(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let name = cursor.word();
    if name == "EXPUNGE" {
        cursor.space()?;
        let set = SequenceSet::parse(cursor)?;
        cursor.end()?;
        return Ok(Command::UidExpunge(set));
    }
    on_messages(cursor, &name, true)
}

/// The commands that UID can stand before.
fn on_messages(cursor: &mut Cursor<'_>, name: &str, uid: bool) -> Parsed<Command> {
    match name {
        "FETCH" => fetch::fetch(cursor, uid),
        "STORE" => store(cursor, uid),
        "SEARCH" => search::search(cursor, uid),
        "COPY" => {
            let (set, mailbox) = set_and_mailbox(cursor)?;
            Ok(Command::Copy { uid, set, mailbox })
        }
        "MOVE" => {
            let (set, mailbox) = set_and_mailbox(cursor)?;
            Ok(Command::Move { uid, set, mailbox })
        }
        _ if uid => bad("UID is followed by FETCH, STORE, SEARCH, COPY, MOVE or EXPUNGE"),
        _ => bad("There is no such command"),
    }
}

fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mechanism = cursor.atom()?.to_ascii_uppercase();
    let mut initial = None;
    if !cursor.at_end() {
        cursor.space()?;
        let text = cursor.run(|octet| octet.is_ascii_graphic());
        let decoded = if text == b"=" {
            Some(Zeroizing::new(Vec::new()))
        } else {
            decode_base64(text).filter(|octets| !octets.is_empty())
        };
        let Some(decoded) = decoded else {
            return bad("The initial response is base64, or = for an empty one");
        };
        initial = Some(InitialResponse(decoded));
        cursor.end()?;
    }
    Ok(Command::Authenticate { mechanism, initial })
}

fn login(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let user = cursor.astring()?;
    cursor.space()?;
    let password = Zeroizing::new(cursor.astring()?);
    cursor.end()?;
    Ok(Command::Login { user, password })
}

fn id(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    if cursor.peek() != Some(b'(') {
        if cursor.word() != "NIL" {
            return bad("ID takes NIL or a list of fields and values");
        }
        cursor.end()?;
        return Ok(Command::Id(None));
    }
    let pairs = cursor.list(ID_PAIRS_MAX, "ID takes at most 30 fields", |cursor| {
        let field = cursor.string()?;
        cursor.space()?;
        Ok((field, cursor.nstring()?))
    })?;
    cursor.end()?;
    Ok(Command::Id(Some(pairs)))
}

fn enable(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut capabilities = Vec::new();
    // At least one; the length of the line is the limit.
    loop {
        cursor.space()?;
        capabilities.push(cursor.atom()?.to_ascii_uppercase());
        if cursor.at_end() {
            return Ok(Command::Enable(capabilities));
        }
    }
}

fn one_mailbox(
    cursor: &mut Cursor<'_>,
    command: impl FnOnce(MailboxName) -> Command,
) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.end()?;
    Ok(command(mailbox))
}

fn select(
    cursor: &mut Cursor<'_>,
    command: impl FnOnce(MailboxName, SelectParameters) -> Command,
) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let mut parameters = SelectParameters::default();
    if !cursor.at_end() {
        cursor.space()?;
        parameters = select_parameters(cursor)?;
        cursor.end()?;
    }
    Ok(command(mailbox, parameters))
}

fn select_parameters(cursor: &mut Cursor<'_>) -> Parsed<SelectParameters> {
    let mut parameters = SelectParameters::default();
    let mut given = 0;
    cursor.list(2, "SELECT takes CONDSTORE and QRESYNC", |cursor| {
        given += 1;
        match cursor.word().as_str() {
            "CONDSTORE" if !parameters.condstore => parameters.condstore = true,
            "QRESYNC" if parameters.qresync.is_none() => {
                cursor.space()?;
                parameters.qresync = Some(qresync(cursor)?);
            }
            _ => return bad("SELECT takes CONDSTORE and QRESYNC, each once"),
        }
        Ok(())
    })?;
    if given == 0 {
        return bad("A list of parameters is not empty");
    }
    Ok(parameters)
}

/// `(uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data])`
fn qresync(cursor: &mut Cursor<'_>) -> Parsed<QResync> {
    cursor.require(b'(', "QRESYNC takes a list")?;
    let uid_validity = UidValidity(cursor.nz_number()?);
    cursor.space()?;
    let mod_seq = cursor.number()?;
    if mod_seq == 0 {
        return bad("QRESYNC takes a modification sequence above 0");
    }
    let mut known_uids = None;
    let mut seq_match = None;
    if cursor.take(b' ') {
        if cursor.peek() != Some(b'(') {
            known_uids = Some(set_without_last(cursor)?);
        }
        if known_uids.is_none() || cursor.take(b' ') {
            cursor.require(b'(', "Message numbers and their UIDs stand in a list")?;
            let numbers = set_without_last(cursor)?;
            cursor.space()?;
            let uids = set_without_last(cursor)?;
            if !pair_up(&numbers, &uids) {
                return bad("Message numbers and their UIDs ascend and are as many");
            }
            seq_match = Some((numbers, uids));
            cursor.require(b')', "The list of QRESYNC is not closed")?;
        }
    }
    cursor.require(b')', "The list of QRESYNC is not closed")?;
    Ok(QResync {
        uid_validity,
        mod_seq,
        known_uids,
        seq_match,
    })
}

/// Whether both ascend and one has as many numbers as the other (RFC 7162 §3.2.5.2).
fn pair_up(numbers: &SequenceSet, uids: &SequenceSet) -> bool {
    let count = |set: &SequenceSet| -> u64 {
        let ranges = set.resolve(0).into_iter();
        ranges
            .map(|range| u64::from(range.end() - range.start()) + 1)
            .sum()
    };
    numbers.is_ascending() && uids.is_ascending() && count(numbers) == count(uids)
}

fn set_without_last(cursor: &mut Cursor<'_>) -> Parsed<SequenceSet> {
    let set = SequenceSet::parse(cursor)?;
    if set.has_last() {
        return bad("The sets of QRESYNC are without *");
    }
    Ok(set)
}

fn create(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let named = cursor.mailbox()?;
    let mailbox = match named.as_str().strip_suffix(MailboxName::SEPARATOR) {
        Some(name) if !name.is_empty() => MailboxName::new(name),
        _ => named,
    };
    let mut special_use = Vec::new();
    let mut unsupported_use = false;
    if !cursor.at_end() {
        cursor.space()?;
        cursor.require(b'(', "CREATE takes (USE (attributes))")?;
        if cursor.word() != "USE" {
            return bad("CREATE takes no parameter but USE");
        }
        cursor.space()?;
        let max = cursor.limits.flags_max;
        cursor.list(max, "There are too many special uses", |cursor| {
            match use_attribute(cursor)? {
                Some(special) if !special_use.contains(&special) => special_use.push(special),
                Some(_) => {}
                None => unsupported_use = true,
            }
            Ok(())
        })?;
        cursor.require(b')', "The parameters of CREATE are not closed")?;
        cursor.end()?;
    }
    Ok(Command::Create {
        mailbox,
        special_use,
        unsupported_use,
    })
}

/// `use-attr` (RFC 6154 §6); `None` for one that cannot be set here.
fn use_attribute(cursor: &mut Cursor<'_>) -> Parsed<Option<SpecialUse>> {
    cursor.require(b'\\', "A special use starts with a backslash")?;
    Ok(match cursor.atom()?.to_ascii_uppercase().as_str() {
        "ARCHIVE" => Some(SpecialUse::Archive),
        "DRAFTS" => Some(SpecialUse::Drafts),
        "JUNK" => Some(SpecialUse::Junk),
        "SENT" => Some(SpecialUse::Sent),
        "TRASH" => Some(SpecialUse::Trash),
        _ => None,
    })
}

fn rename(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let from = cursor.mailbox()?;
    cursor.space()?;
    let to = cursor.mailbox()?;
    cursor.end()?;
    Ok(Command::Rename { from, to })
}

fn status(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.space()?;
    let items = status_items(cursor)?;
    cursor.end()?;
    Ok(Command::Status { mailbox, items })
}

fn set_and_mailbox(cursor: &mut Cursor<'_>) -> Parsed<(SequenceSet, MailboxName)> {
    cursor.space()?;
    let set = SequenceSet::parse(cursor)?;
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    cursor.end()?;
    Ok((set, mailbox))
}

fn store(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Command> {
    cursor.space()?;
    let set = SequenceSet::parse(cursor)?;
    cursor.space()?;
    let mut unchanged_since = None;
    if cursor.take(b'(') {
        if cursor.word() != "UNCHANGEDSINCE" {
            return bad("STORE takes no modifier but UNCHANGEDSINCE");
        }
        cursor.space()?;
        unchanged_since = Some(cursor.number()?);
        cursor.require(b')', "The modifiers of STORE are not closed")?;
        cursor.space()?;
    }
    let sign = ascii(cursor.run(|octet| matches!(octet, b'+' | b'-')));
    let action = match sign {
        "" => FlagAction::Replace,
        "+" => FlagAction::Add,
        "-" => FlagAction::Remove,
        _ => return bad("STORE takes FLAGS, +FLAGS or -FLAGS"),
    };
    let silent = match cursor.word().as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return bad("STORE takes FLAGS, +FLAGS or -FLAGS"),
    };
    cursor.space()?;
    let flags = flag::store_flags(cursor)?;
    cursor.end()?;
    Ok(Command::Store {
        uid,
        set,
        change: FlagChange { action, flags },
        silent,
        unchanged_since,
    })
}
