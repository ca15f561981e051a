//! Flags as clients write them (`flag`, RFC 3501 §9). `\Recent` belongs to the server, `\*` to
//! PERMANENTFLAGS: they are refused. Of a system flag that this server does not know
//! (`flag-extension`) nothing is kept: such a change is ignored (RFC 3501 §7.1,
//! PERMANENTFLAGS), and no message stays out because another server had such a flag.

use super::cursor::Cursor;
use super::{Parsed, bad, too_much};
use crate::mailbox::{Flag, Keyword};

const TOO_MANY: &str = "There are too many flags";

/// `flag-list`: flags in parentheses, perhaps none.
pub(super) fn flag_list(cursor: &mut Cursor<'_>) -> Parsed<Vec<Flag>> {
    let max = cursor.limits.flags_max;
    let flags = cursor.list(max, TOO_MANY, flag)?;
    Ok(flags.into_iter().flatten().collect())
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
    Ok(flags.into_iter().flatten().collect())
}

/// A keyword, which is an atom.
pub(super) fn keyword(cursor: &mut Cursor<'_>) -> Parsed<Keyword> {
    let atom = cursor.atom()?;
    if atom.len() > cursor.limits.keyword_bytes_max {
        return too_much("A keyword is too long");
    }
    Ok(Keyword::new(atom))
}

/// One flag; `None`: a system flag that is not known here.
fn flag(cursor: &mut Cursor<'_>) -> Parsed<Option<Flag>> {
    if !cursor.take(b'\\') {
        return keyword(cursor).map(Flag::Keyword).map(Some);
    }
    let name = cursor.atom()?;
    match name.to_ascii_uppercase().as_str() {
        "ANSWERED" => Ok(Some(Flag::Answered)),
        "FLAGGED" => Ok(Some(Flag::Flagged)),
        "DELETED" => Ok(Some(Flag::Deleted)),
        "SEEN" => Ok(Some(Flag::Seen)),
        "DRAFT" => Ok(Some(Flag::Draft)),
        "RECENT" => bad("\\Recent is set by the server only"),
        _ => Ok(None),
    }
}
