//! The part of the configuration with the limits that an operator may want to change.

use crate::autodiscovery::limits::HttpLimits;
use restante_core::config::Config as CoreConfig;
use serde::Deserialize;

/// Limits that an operator may want to change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Octets of one message.
    pub message_bytes_max: u64,
    /// Mailboxes of one account.
    pub mailboxes_max: usize,
    /// Messages of one mailbox.
    pub messages_max: usize,
    /// Connections of all clients together.
    pub connections_max: usize,
    /// Connections of mail servers to LMTP, and as many that have passwords checked.
    pub service_connections_max: usize,
    /// Threads that serve connections; `0`: as many as suit the storage.
    pub threads: usize,
    /// Connections of one account.
    pub connections_per_account_max: usize,
    /// Recipients of one LMTP transaction.
    pub lmtp_recipients_max: usize,
    /// Copies of messages that are being stored at once, for all recipients of all LMTP
    /// connections together.
    pub lmtp_copies_max: usize,
    /// HTTP connections of all clients together.
    pub http_connections_max: usize,
    /// Seconds a part of an HTTP request may take to come.
    pub http_timeout_s: u64,
    /// Seconds a connection may take to log in.
    pub login_timeout_s: u64,
    /// Seconds an authenticated connection may be silent.
    pub inactivity_timeout_s: u64,
    /// Seconds between two signs of life in IDLE.
    pub keep_alive_interval_s: u64,
    /// Seconds that commits may take when the server stops.
    pub shutdown_timeout_s: u64,
    /// Whether passwords may come without TLS from other machines.
    pub plaintext_login: bool,
    /// Days that expunged messages and deleted mailboxes can be brought back.
    pub undelete_retention_days: u32,
}

/// What `limits.undelete_retention_days` is where it is not said.
const UNDELETE_RETENTION_DAYS: u32 = 14;

/// What `limits.service_connections_max` is where it is not said: several busy Postfix have
/// some hundred processes each.
const SERVICE_CONNECTIONS_MAX: usize = 1_000;

/// What `limits.lmtp_copies_max` is where it is not said.
const LMTP_COPIES_MAX: usize = 128;

impl Default for Limits {
    fn default() -> Self {
        let core = CoreConfig::default();
        let http = HttpLimits::default();
        Self {
            message_bytes_max: core.message_bytes_max,
            mailboxes_max: core.mailboxes_max,
            messages_max: core.messages_max,
            connections_max: 10_000,
            service_connections_max: SERVICE_CONNECTIONS_MAX,
            threads: 0,
            connections_per_account_max: 50,
            lmtp_recipients_max: core.lmtp_recipients_max,
            lmtp_copies_max: LMTP_COPIES_MAX,
            http_connections_max: http.connections_max,
            http_timeout_s: http.request_timeout.as_secs(),
            login_timeout_s: core.login_timeout.as_secs(),
            inactivity_timeout_s: core.inactivity_timeout.as_secs(),
            keep_alive_interval_s: core.keep_alive_interval.as_secs(),
            shutdown_timeout_s: 10,
            plaintext_login: core.plaintext_login,
            undelete_retention_days: UNDELETE_RETENTION_DAYS,
        }
    }
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), String> {
        let positive = [
            ("message_bytes_max", self.message_bytes_max),
            ("mailboxes_max", self.mailboxes_max as u64),
            ("messages_max", self.messages_max as u64),
            ("connections_max", self.connections_max as u64),
            (
                "service_connections_max",
                self.service_connections_max as u64,
            ),
            (
                "connections_per_account_max",
                self.connections_per_account_max as u64,
            ),
            ("lmtp_recipients_max", self.lmtp_recipients_max as u64),
            ("http_connections_max", self.http_connections_max as u64),
            ("http_timeout_s", self.http_timeout_s),
            ("login_timeout_s", self.login_timeout_s),
            ("keep_alive_interval_s", self.keep_alive_interval_s),
            (
                "undelete_retention_days",
                u64::from(self.undelete_retention_days),
            ),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(format!("limits.{key}: must not be 0"));
            }
        }
        if self.lmtp_copies_max < self.lmtp_recipients_max {
            return Err(format!(
                "limits.lmtp_copies_max: {} are too few for one message to {} recipients",
                self.lmtp_copies_max, self.lmtp_recipients_max
            ));
        }
        // RFC 3501 §5.4
        if self.inactivity_timeout_s < 1_800 {
            return Err(format!(
                "limits.inactivity_timeout_s: {} is less than the 1800 seconds of RFC 3501",
                self.inactivity_timeout_s
            ));
        }
        Ok(())
    }
}
