//! File descriptors: each connection is one, and shells often allow only 1,024.

use crate::config::Limits;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything but connections.
const OTHERS: u64 = 256;

/// Takes as many descriptors as the system allows, and says so if that is too few.
pub(super) fn raise_limit(limits: &Limits) {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let allowed = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_) => before,
    };
    // Those of LMTP, and as many of the authentication protocol.
    let services = 2 * limits.service_connections_max as u64;
    let wanted = limits.connections_max as u64 + services + OTHERS;
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "there are fewer file descriptors than limits.connections_max and \
             service_connections_max ask for"
        );
    }
}
