//! Randomness as a parameter: each machine is given one [`Seed`] and draws
//! everything random from it (identifiers, nonces, content keys).

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

/// 32 bytes from the operating system's generator, given by the driver when a
/// machine is made. Neither `Clone` nor `Debug`: a seed is used once.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// Takes over `bytes`, which must come from a cryptographic generator
    /// (except in tests, where a fixed seed gives a fixed run).
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

/// The generator (ChaCha20) that a machine draws from.
pub struct Random(ChaCha20Rng);

impl Random {
    /// Starts the generator.
    #[must_use]
    pub fn new(seed: Seed) -> Self {
        Self(ChaCha20Rng::from_seed(*seed.0))
    }

    /// Fills an array with random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A seed for a machine or a generator below this one.
    pub fn seed(&mut self) -> Seed {
        Seed::new(self.bytes())
    }
}

impl core::fmt::Debug for Random {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Random(…)")
    }
}
