//! File descriptors: each connection is one, and shells often allow only 1,024.

use crate::config::{Config, StorageKind};
use restante_core::doorbell::SHARDS;
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors for everything but connections, the files of a folder with mail among them.
const OTHERS: u64 = 256;

/// Takes as many descriptors as the system allows, and says so if that is too few.
pub(super) fn raise_limit(config: &Config) {
    let mut limit = getrlimit(Resource::Nofile);
    let before = limit.current;
    limit.current = limit.maximum;
    let allowed = match setrlimit(Resource::Nofile, limit) {
        Ok(()) => limit.current,
        Err(_) => before,
    };
    let wanted = wanted(config);
    if let Some(allowed) = allowed.filter(|allowed| *allowed < wanted) {
        tracing::warn!(
            allowed,
            wanted,
            "there are fewer file descriptors than limits.connections_max, service_connections_max, \
             http_connections_max and storage.limits ask for"
        );
    }
}

/// Descriptors when everything that the limits allow is in use.
fn wanted(config: &Config) -> u64 {
    let limits = &config.limits;
    // Those of LMTP, and as many of the authentication protocol.
    let services = limits.service_connections_max.saturating_mul(2);
    let web = match config.http.is_empty() {
        true => 0,
        false => config.http_limits().connections_max,
    };
    let garage = match config.storage.kind {
        StorageKind::Embedded => 0,
        StorageKind::Garage => {
            let limits = &config.storage.limits;
            let polls = limits.polls_max.min(SHARDS as usize);
            // Of each of the two interfaces.
            let requests = limits.requests_max.saturating_mul(2);
            requests
                .saturating_add(limits.streams_max)
                .saturating_add(polls)
        }
    };
    let connections = [limits.connections_max, services, web, garage];
    connections
        .into_iter()
        .fold(OTHERS, |sum, part| sum.saturating_add(part as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_connection_that_a_limit_allows_is_counted() {
        let wanted = |storage: &str, rest: &str| {
            let text = format!(
                "imap = [{{ address = '127.0.0.1:0', tls = 'none' }}]\n\
                 accounts = {{ file = 'a' }}\nstorage = {{ {storage} }}\n{rest}\n\
                 [limits]\nconnections_max = 10000\nservice_connections_max = 100\n"
            );
            wanted(&Config::parse(&text).unwrap())
        };
        let folder = "kind = 'embedded', folder = 's'";
        let garage = "kind = 'garage', s3 = 'http://127.0.0.1:1', k2v = 'http://127.0.0.1:2', \
                      region = 'garage', bucket = 'b', key_id = 'k', secret = 's', \
                      limits = { requests_max = 30, streams_max = 5 }";
        assert_eq!(wanted(folder, ""), 10_000 + 2 * 100 + OTHERS);
        assert_eq!(wanted(garage, ""), wanted(folder, "") + 2 * 30 + 5 + 8);
        let web = "http = [{ address = '127.0.0.1:0', tls = 'none' }]";
        assert_eq!(wanted(folder, web), wanted(folder, "") + 256);
    }
}
