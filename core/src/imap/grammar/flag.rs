//! Flags as clients write them (`flag`, RFC 3501 §9). Only those that a message can
//! keep are taken: `\Recent` belongs to the server, `\*` to PERMANENTFLAGS.

use super::cursor::Cursor;
use super::{Parsed, bad, too_much};
use crate::mailbox::{Flag, Keyword};

const TOO_MANY: &str = "There are too many flags";

/// `flag-list`: flags in parentheses, perhaps none.
pub(super) fn flag_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<Flag>> {
    let max = cursor.limits.flags_max;
    cursor.list(max, TOO_MANY, flag)
}

/// The flags of STORE: in parentheses or not (`flag-list / (flag *(SP flag))`).
pub(super) fn store_flags(cursor: &mut Cursor<'_>) -> Parsed<Vec<Flag>> {
    if cursor.peek() == Some(b'(') {
        return flag_list(cursor);
    }
    let mut flags = vec![flag(cursor)?];
    while !cursor.at_end() {
        if flags.len() >= cursor.limits.flags_max {
            return too_much(TOO_MANY);
        }
        cursor.space()?;
        flags.push(flag(cursor)?);
    }
    Ok(flags)
}

/// A keyword, which is an atom.
pub(super) fn keyword(cursor: &mut Cursor<'_>) -> Parsed<Keyword> {
    let atom = cursor.atom()?;
    if atom.len() > cursor.limits.keyword_bytes_max {
        return too_much("A keyword is too long");
    }
    Ok(Keyword::new(atom))
}

fn flag(cursor: &mut Cursor<'_>) -> Parsed<Flag> {
    if !cursor.take(b'\\') {
        return keyword(cursor).map(Flag::Keyword);
    }
    // The whole name (`flag-extension`), so that what is wrong is told of it.
    let name = cursor.atom().unwrap_or_default();
    match name.to_ascii_uppercase().as_str() {
        "ANSWERED" => Ok(Flag::Answered),
        "FLAGGED" => Ok(Flag::Flagged),
        "DELETED" => Ok(Flag::Deleted),
        "SEEN" => Ok(Flag::Seen),
        "DRAFT" => Ok(Flag::Draft),
        "RECENT" => bad("\\Recent is set by the server only"),
        _ => bad("There is no such system flag; a keyword has no backslash"),
    }
}
