//! What the two readers make of the same octets. The fuzz target `grammar` compares them as
//! the tests do.

use super::translation::{translate, translate_append};
use imap_codec::CommandCodec;
use imap_codec::decode::{CommandDecodeError, Decoder};
use restante_core::config::Config;
use restante_core::imap::grammar::{
    AppendStart, Command, MailboxEncoding, Rejected, Tagged, append_start, parse_command,
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

/// The same of an APPEND: of what stands before its message.
pub(super) fn append_meanings(octets: &[u8]) -> Option<(AppendStart, AppendStart)> {
    let start = append_start(octets, &Config::default(), MailboxEncoding::default());
    let is_message = matches!(start, AppendStart::Message { .. });
    let theirs = theirs(&[octets, b"{1}\r\nx"].concat());
    Some((start, translate_append(&theirs?)?)).filter(|_| is_message)
}
