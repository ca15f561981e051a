//! The part of the configuration that says how passwords are stretched.

use serde::Deserialize;

/// How passwords are stretched (Argon2id, RFC 9106).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Argon2 {
    /// KiB of memory for one login.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
    /// Octets of memory for all logins that are being checked at once.
    pub checking_bytes_max: usize,
    /// Logins that wait for that memory.
    pub waiting_max: usize,
}

impl Default for Argon2 {
    fn default() -> Self {
        Self {
            memory_kib: 19_456,
            passes: 2,
            lanes: 1,
            checking_bytes_max: 64 * 1024 * 1024,
            waiting_max: 1_024,
        }
    }
}

impl Argon2 {
    pub(super) fn check(&self) -> Result<(), String> {
        self.params()?;
        if self.checking_bytes_max < self.memory_kib as usize * 1024 {
            return Err(format!(
                "argon2.checking_bytes_max: {} octets are too few for one login of {} KiB",
                self.checking_bytes_max, self.memory_kib
            ));
        }
        Ok(())
    }

    /// The parameters for new passwords.
    ///
    /// # Errors
    /// When Argon2 cannot work with them.
    pub fn params(&self) -> Result<::argon2::Params, String> {
        ::argon2::Params::new(self.memory_kib, self.passes, self.lanes, Some(32))
            .map_err(|error| format!("argon2: {error}"))
    }
}
