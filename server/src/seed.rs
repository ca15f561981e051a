//! Randomness from the operating system, the only place where the server asks for it.

use restante_core::random::{Random, Seed};
use zeroize::Zeroizing;

/// A fresh seed for one machine.
///
/// # Panics
/// When the operating system has no randomness to give, without which nothing that is
/// sealed would be safe.
#[must_use]
pub fn seed() -> Seed {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).expect("the operating system gives randomness");
    Seed::new(*bytes)
}

/// A fresh generator.
///
/// # Panics
/// As [`seed`].
#[must_use]
pub fn random() -> Random {
    Random::new(seed())
}
