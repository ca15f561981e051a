//! IMAP: the grammar of commands and responses, and the session that answers them.

pub mod grammar;
