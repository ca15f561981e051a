//! LIST, LSUB and XLIST: RFC 3501 §6.3.8 and §6.3.9, LIST-EXTENDED (RFC 5258),
//! LIST-STATUS (RFC 5819), SPECIAL-USE (RFC 6154).

use super::cursor::Cursor;
use super::parse::status_items;
use super::{Command, ListCommand, ListKind, ListPattern, ListReturn, ListSelection};
use super::{Parsed, bad};

const TOO_MANY: &str = "LIST has too many options or patterns";

/// What follows the name of the command.
pub(super) fn list(cursor: &mut Cursor<'_>, kind: ListKind) -> Parsed<Command> {
    cursor.space()?;
    // LSUB and XLIST never had any of the extensions.
    let may_extend = kind == ListKind::List;
    let mut extended = false;
    let mut selection = ListSelection::default();
    if may_extend && cursor.peek() == Some(b'(') {
        extended = true;
        selection = selection_options(cursor)?;
        cursor.space()?;
    }
    let reference = cursor.reference()?;
    cursor.space()?;
    let mut patterns = if may_extend && cursor.peek() == Some(b'(') {
        extended = true;
        let max = cursor.limits.list_patterns_max;
        cursor.list(max, TOO_MANY, |cursor| cursor.list_mailbox())?
    } else {
        vec![cursor.list_mailbox()?]
    };
    if patterns.is_empty() {
        return bad("LIST needs a pattern");
    }
    let mut return_options = ListReturn::default();
    if may_extend && cursor.take_word_after_space("RETURN") {
        extended = true;
        cursor.space()?;
        return_options = self::return_options(cursor)?;
    }
    cursor.end()?;
    let asks_separator = !extended && patterns.iter().all(String::is_empty);
    // Extended, an empty pattern is no request for the separator and matches nothing
    // (RFC 5258 §3).
    patterns.retain(|pattern| !pattern.is_empty());
    Ok(Command::List(ListCommand {
        kind,
        selection,
        return_options,
        extended,
        asks_separator,
        patterns: patterns
            .iter()
            .map(|pattern| ListPattern::new(&reference, pattern))
            .collect(),
        reference,
    }))
}

fn selection_options(cursor: &mut Cursor<'_>) -> Parsed<ListSelection> {
    let mut selection = ListSelection::default();
    let max = cursor.limits.list_patterns_max;
    cursor.list(max, TOO_MANY, |cursor| {
        match cursor.word().as_str() {
            "SUBSCRIBED" => selection.subscribed = true,
            "REMOTE" => selection.remote = true,
            "RECURSIVEMATCH" => selection.recursive_match = true,
            "SPECIAL-USE" => selection.special_use = true,
            _ => return bad("LIST knows no such selection option"),
        }
        Ok(())
    })?;
    // It takes a `list-select-base-opt` (RFC 5258 §6). REMOTE is none, nor is SPECIAL-USE
    // (RFC 6154 §6).
    if selection.recursive_match && !selection.subscribed {
        return bad("RECURSIVEMATCH needs SUBSCRIBED beside it");
    }
    Ok(selection)
}

fn return_options(cursor: &mut Cursor<'_>) -> Parsed<ListReturn> {
    let mut options = ListReturn::default();
    let max = cursor.limits.list_patterns_max;
    cursor.list(max, TOO_MANY, |cursor| {
        match cursor.word().as_str() {
            "SUBSCRIBED" => options.subscribed = true,
            "CHILDREN" => options.children = true,
            "SPECIAL-USE" => options.special_use = true,
            "STATUS" => {
                cursor.space()?;
                options.status = Some(status_items(cursor)?);
            }
            _ => return bad("LIST knows no such return option"),
        }
        Ok(())
    })?;
    Ok(options)
}
