//! The log: to standard error, for people or for programs.
//!
//! A line that cannot be written is lost, and that is all: whoever fills the disk under the
//! log, or ends what reads it, must not end the server.

use crate::config::{Log, LogFormat};
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt;

/// Begins to log.
///
/// # Errors
/// When the level cannot be understood.
pub(super) fn init(log: &Log) -> Result<(), String> {
    let filter = log.filter()?;
    // journald puts the time before each line itself.
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    // Else what cannot be written would be told by `eprintln!`, which panics then; and so
    // would the hook that logs panics, which aborts.
    let builder = fmt()
        .with_writer(io::stderr)
        .with_env_filter(filter)
        .log_internal_errors(false);
    let done = match log.format {
        LogFormat::Json => builder.json().finish().try_init(),
        LogFormat::Text if journal => builder.without_time().with_ansi(false).finish().try_init(),
        LogFormat::Text => {
            let colours = io::stderr().is_terminal();
            builder.with_ansi(colours).finish().try_init()
        }
    };
    done.map_err(|error| error.to_string())?;
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// Says where. What the panic says it only shows if it is a literal of the program:
/// anything formatted may hold what belongs to a user.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string);
    let reason = panic.payload().downcast_ref::<&'static str>();
    tracing::error!(
        place = place.as_deref().unwrap_or("somewhere"),
        reason = reason.copied().unwrap_or("…"),
        "a task panicked"
    );
}
