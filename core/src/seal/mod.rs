//! Being built.

/// The keys of an account.
pub struct AccountKeys;
