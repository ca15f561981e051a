//! What the configuration bounds of the Garage backend. Where nobody wants another limit, it is a
//! constant beside what it bounds.

use serde::Deserialize;
use std::time::Duration;

/// What a request to Garage may take: `[storage.limits]` in the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GarageLimits {
    /// Requests that are under way at once, to each of the two interfaces; others wait. The header of an
    /// object ends its request (then there is `streams_max`), otherwise the end of the answer. Of objects
    /// fewer are asked for at once where more would only wait at Garage.
    pub requests_max: usize,
    /// Long polls that are under way at once; others wait.
    pub polls_max: usize,
    /// Message bodies that are being read from a connection of their own; others are
    /// read piece by piece.
    pub streams_max: usize,
    /// Connections to each interface that wait for a request.
    pub idle_connections_max: usize,
    /// Seconds a connection waits for a request before it is closed.
    pub idle_timeout_s: u64,
    /// Milliseconds that connecting may take.
    pub connect_timeout_ms: u64,
    /// Milliseconds that the answer to a request may take, or the next part of a body; one second
    /// more for each 64 KiB that are sent with it. After that time a request is not made again.
    pub request_timeout_ms: u64,
    /// How often a request is made at most before it has failed.
    pub attempts_max: u32,
    /// Milliseconds of the first pause between two attempts, which doubles.
    pub retry_pause_ms: u64,
    /// Failures one after another until requests fail at once.
    pub breaker_failures_max: u32,
    /// Milliseconds until one request is let through again to see whether Garage is back.
    pub breaker_pause_ms: u64,
    /// Octets of an object that are stored by one request. A longer object is stored in
    /// parts of that length; each APPEND under way has one in memory.
    pub part_bytes: usize,
    /// Seconds after which an upload in parts that was not finished is nobody's any more
    /// and removed; also how often such uploads are looked for, from the start on.
    pub upload_age_max_s: u64,
}

impl Default for GarageLimits {
    fn default() -> Self {
        Self {
            requests_max: 64,
            polls_max: 64,
            streams_max: 256,
            idle_connections_max: 64,
            idle_timeout_s: 30,
            connect_timeout_ms: 5_000,
            request_timeout_ms: 20_000,
            attempts_max: 4,
            retry_pause_ms: 50,
            breaker_failures_max: 8,
            breaker_pause_ms: 1_000,
            part_bytes: 1024 * 1024,
            upload_age_max_s: 24 * 60 * 60,
        }
    }
}

impl GarageLimits {
    /// Says which limit makes no sense.
    pub(crate) fn check(&self) -> Result<(), String> {
        let positive = [
            ("requests_max", self.requests_max as u64),
            ("polls_max", self.polls_max as u64),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("request_timeout_ms", self.request_timeout_ms),
            ("attempts_max", self.attempts_max.into()),
            ("breaker_failures_max", self.breaker_failures_max.into()),
            ("part_bytes", self.part_bytes as u64),
            ("upload_age_max_s", self.upload_age_max_s),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err(format!("storage.limits.{key}: must not be 0")),
            None => Ok(()),
        }
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        Duration::from_secs(self.idle_timeout_s)
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(super) fn retry_pause(&self) -> Duration {
        Duration::from_millis(self.retry_pause_ms)
    }

    pub(super) fn upload_age_max(&self) -> Duration {
        Duration::from_secs(self.upload_age_max_s)
    }

    pub(super) fn breaker_pause(&self) -> Duration {
        Duration::from_millis(self.breaker_pause_ms)
    }
}
