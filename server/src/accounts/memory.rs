//! The memory that Argon2 works in, straight from the operating system.
//!
//! It is large (19 MiB by default) and needed for a moment, on whatever thread is free. An
//! allocator may keep what is freed: with glibc's, a server stayed at hundreds of MiB after a
//! morning's logins (`docs/decisions/006-runtimes-and-tls.md`). A mapping is gone when it is
//! dropped, whatever the allocator (which is jemalloc now).

use argon2::Block;
use memmap2::{Advice, MmapMut};
use std::io;

/// Blocks for one computation at a time.
pub(super) struct Memory(MmapMut);

impl Memory {
    /// Room for `blocks` blocks, all zero.
    ///
    /// # Errors
    /// When the operating system has no memory to give.
    pub(super) fn new(blocks: usize) -> io::Result<Self> {
        let map = MmapMut::map_anon(blocks * Block::SIZE)?;
        // Argon2 jumps about in it: large pages spare most of the page faults and TLB
        // misses. Where there are none it works as well.
        drop(map.advise(Advice::HugePage));
        Ok(Self(map))
    }

    /// How many blocks there are.
    pub(super) fn len(&self) -> usize {
        self.0.len() / Block::SIZE
    }

    /// The blocks.
    pub(super) fn blocks(&mut self) -> &mut [Block] {
        // SAFETY: a `Block` is an array of `u64`, for which every pattern of bits is a
        // value, and the mapping is borrowed for as long as the blocks are.
        #[expect(unsafe_code, reason = "argon2 has no safe way to place its blocks")]
        let (before, blocks, _) = unsafe { self.0.align_to_mut::<Block>() };
        assert!(before.is_empty(), "a mapping begins at a page");
        blocks
    }

    /// Overwrites what a computation left, which would spare an attacker that work.
    pub(super) fn clear(&mut self) {
        self.blocks().fill(Block::default());
        std::hint::black_box(&self.0);
    }
}
