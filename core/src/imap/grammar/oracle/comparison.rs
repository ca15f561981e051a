//! What the two readers make of the same octets. The fuzz target `grammar` compares them as
//! the tests do.

use super::translation::{translate, translate_append};
use imap_codec::CommandCodec;
use imap_codec::decode::{CommandDecodeError, Decoder};
use restante_core::config::Config;
use restante_core::imap::grammar::{
    AppendStart, Command, Fault, MailboxEncoding, Rejected, Tagged, append_start, parse_command,
};

/// What we read.
pub(super) fn ours(octets: &[u8]) -> Result<Tagged, Rejected> {
    parse_command(octets, &Config::default(), MailboxEncoding::default())
}

/// What imap-codec reads, without anything left over.
pub(super) fn theirs(octets: &[u8]) -> Option<imap_types::command::Command<'static>> {
    let line = [octets, b"\r\n"].concat();
    match CommandCodec::default().decode(&line) {
        Ok(([], command)) => Some(imap_types::IntoStatic::into_static(command)),
        Ok(_)
        | Err(
            CommandDecodeError::Failed
            | CommandDecodeError::Incomplete
            | CommandDecodeError::LiteralFound { .. },
        ) => None,
    }
}

/// Our meaning and theirs, where both take `octets` and none of the known differences
/// ([`BothUnlike`](super::lines::Taker::BothUnlike)) is in them.
pub(super) fn meanings(octets: &[u8]) -> Option<(Tagged, Tagged)> {
    let (ours, theirs) = (ours(octets).ok()?, theirs(octets)?);
    // `AUTHENTICATE X ` and `LIST inbox es`.
    let inbox_as_reference = matches!(
        &ours.command,
        Command::List(list) if list.reference.eq_ignore_ascii_case("INBOX")
    );
    if octets.ends_with(b" ") || inbox_as_reference {
        return None;
    }
    Some((ours, translate(&theirs)?))
}

/// What we say to refuse what imap-codec takes. The reasons are those of the commands that only
/// they take (`DIFFERENCES`).
pub(super) const REFUSED: &[&str] = &[
    "SEARCH knows the charsets US-ASCII and UTF-8",
    "\\Recent is set by the server only",
    "STATUS needs at least one item",
    "FETCH needs at least one item",
    "A number here starts with 1 to 9",
    "STATUS knows no such item",
    "There is no such command",
    "Only BODY and BODY.PEEK take a section",
    "The sets of QRESYNC are without *",
    "Message numbers and their UIDs ascend and are as many",
    "The modifiers of FETCH need CHANGEDSINCE",
    "VANISHED is for UID FETCH only",
    "SELECT takes CONDSTORE and QRESYNC, each once",
    "FETCH takes CHANGEDSINCE and VANISHED, each once",
    "The modifiers of STORE are not closed",
    "The name of a mailbox holds no control characters",
    "The name of a header field is printable ASCII",
    "A number is too large",
    "A string is not valid UTF-8",
    "A string is not US-ASCII, which the command said it is",
];

/// Why we refuse `octets`, if imap-codec takes them and this is none of the known reasons. It
/// has no limits, and reads the message of an APPEND.
pub(super) fn refusal(octets: &[u8]) -> Option<&'static str> {
    let Rejected { fault, text, .. } = ours(octets).err()?;
    let is_append = text == "APPEND ends with a message as a literal";
    let is_known = fault == Fault::Limit || is_append || REFUSED.contains(&text);
    (!is_known && theirs(octets).is_some()).then_some(text)
}

/// The same of an APPEND: of what stands before its message.
pub(super) fn append_meanings(octets: &[u8]) -> Option<(AppendStart, AppendStart)> {
    let start = append_start(octets, &Config::default(), MailboxEncoding::default());
    let is_message = matches!(start, AppendStart::Message { .. });
    let theirs = theirs(&[octets, b"{1}\r\nx"].concat());
    Some((start, translate_append(&theirs?)?)).filter(|_| is_message)
}
