//! What one HTTP client may take.

use core::time::Duration;

/// The limits of HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Octets of the head of a request: its first line and its header.
    pub head_bytes_max: usize,
    /// Fields in the header of a request.
    pub fields_max: usize,
    /// Octets of the body of a request.
    pub body_bytes_max: usize,
    /// Time for TLS to begin, for the head of a request, which counts from the answer before,
    /// and for its body: each of them.
    pub request_timeout: Duration,
    /// Time that a connection may last, whatever is asked.
    pub connection_timeout: Duration,
    /// Time that what a client still sends is read for after the last answer, so that it
    /// sees the answer.
    pub linger: Duration,
    /// Connections at once.
    pub connections_max: usize,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            head_bytes_max: 16 * 1024,
            fields_max: 64,
            body_bytes_max: 64 * 1024,
            request_timeout: Duration::from_secs(10),
            connection_timeout: Duration::from_secs(60),
            linger: Duration::from_secs(2),
            connections_max: 256,
        }
    }
}

/// Octets of an address: what fits into a path of RFC 5321 §4.5.3.1.3.
pub const ADDRESS_BYTES_MAX: usize = 254;
