//! What happened, in order: its hash tells whether two runs were the same, its lines tell
//! a reader how a failure came about.

use core::fmt::{self, Write};

/// The record of a run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    print: bool,
}

/// FNV-1a of whatever is written to it.
struct Hasher<'a>(&'a mut u64);

impl Write for Hasher<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            *self.0 = (*self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        Ok(())
    }
}

impl Trace {
    /// A record that prints its lines at once (which survives a panic), or does not.
    #[must_use]
    pub(crate) fn new(print: bool) -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            print,
        }
    }

    /// Adds a line.
    pub(crate) fn note(&mut self, now: u64, what: fmt::Arguments<'_>) {
        // Writing to the hash cannot fail.
        let _: fmt::Result = writeln!(Hasher(&mut self.hash), "{now} {what}");
        if self.print {
            println!("{:>8}.{:06} {what}", now / 1_000_000, now % 1_000_000);
        }
    }

    /// The hash of all that was noted.
    #[must_use]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }
}
