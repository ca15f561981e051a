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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_logged_without_what_it_was_about() {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        let log = tracing::Dispatch::new(subscriber);
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| match std::thread::current().name() {
            Some("panics here") => tracing::dispatcher::with_default(&log, || log_panic(panic)),
            _ => before(panic),
        }));
        let secret = "hunter2";
        let thread = std::thread::Builder::new().name("panics here".to_owned());
        let thread = thread.spawn(move || panic!("it was {secret}")).unwrap();
        thread.join().unwrap_err();
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        // What the tests of whole servers look for in their logs.
        assert!(said.contains("a task panicked"), "{said}");
        assert!(
            said.contains("logging.rs") && !said.contains(secret),
            "{said}"
        );
    }
}
