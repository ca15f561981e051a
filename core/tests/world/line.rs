//! One socket, whichever protocol it speaks.

use restante_core::boundary::{Input, Output};
use restante_core::time::Now;
use restante_core::{imap, lmtp};

pub(super) enum Line {
    Imap(Box<imap::Connection>),
    Lmtp(Box<lmtp::Connection>),
}

impl Line {
    pub(super) fn handle_input(&mut self, now: Now, input: Input<'_>) {
        match self {
            Self::Imap(connection) => connection.handle_input(now, input),
            Self::Lmtp(connection) => connection.handle_input(now, input),
        }
    }

    pub(super) fn poll_output(&mut self) -> Output {
        match self {
            Self::Imap(connection) => connection.poll_output(),
            Self::Lmtp(connection) => connection.poll_output(),
        }
    }

    pub(super) fn transmit(&self) -> &[u8] {
        match self {
            Self::Imap(connection) => connection.transmit(),
            Self::Lmtp(connection) => connection.transmit(),
        }
    }
}
