//! What the bodies of commands work with beside their arguments.

use super::enable::Enabled;
use crate::config::Config;
use crate::seal::{AccountKeys, Places};
use crate::time::Now;
use crate::workflow::Io;
use std::sync::Arc;

/// One per command that runs.
#[derive(Clone)]
pub(crate) struct Context {
    pub(super) config: Arc<Config>,
    pub(super) keys: Arc<AccountKeys>,
    pub(super) places: Places,
    /// When the command began.
    pub(super) now: Now,
    /// What the client has enabled.
    pub(super) enabled: Enabled,
}

impl Context {
    /// Waits until `octets` more can be written.
    pub(super) async fn room(&self, io: &Io, octets: usize) {
        io.room(octets, self.config.transmit_bytes_max).await;
    }
}
