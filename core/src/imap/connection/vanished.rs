//! VANISHED (RFC 7162 §3.2.10): UIDs that name nothing any more, as ranges.

use super::context::Context;
use crate::imap::grammar::response;
use crate::workflow::Io;

/// Octets of a VANISHED response after which another one begins, so that a client may read
/// lines into a buffer of the length that RFC 7162 §4 recommends.
const LINE_OCTETS: usize = 8_000;
/// Room for a range and the start of a line.
const RANGE_OCTETS: usize = 64;

/// Which VANISHED (RFC 7162 §3.2.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vanished {
    /// `(EARLIER)`: messages that the client does not count among those of the mailbox.
    Earlier,
    /// Messages that it does count, and does not any more from now on.
    Now,
}

/// UIDs, ascending.
pub(super) type Uids<'a> = Box<dyn Iterator<Item = u32> + Send + 'a>;

/// Says that these UIDs, ascending, vanished; nothing if there are none.
pub(super) async fn say_vanished(io: &Io, context: &Context, which: Vanished, uids: Uids<'_>) {
    let start: &[u8] = match which {
        Vanished::Earlier => b"* VANISHED (EARLIER) ",
        Vanished::Now => b"* VANISHED ",
    };
    let mut length = 0;
    for range in response::ranges(uids) {
        context.room(io, RANGE_OCTETS).await;
        io.write(|out| {
            if length >= LINE_OCTETS {
                out.extend_from_slice(b"\r\n");
                length = 0;
            }
            let before = out.len();
            out.extend_from_slice(if length == 0 { start } else { b"," });
            response::set(out, [range]);
            length += out.len() - before;
        });
    }
    if length > 0 {
        io.write(|out| out.extend_from_slice(b"\r\n"));
    }
}
