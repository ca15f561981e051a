//! Chunks are stored shorter than they are, each by itself, so that it can be read
//! without the others: attachments without their [base64](super::base64_lines), and what is
//! left compressed with zstd. The length of what is stored tells how well a chunk
//! compresses; that is accepted, since nobody but the sender chooses what stands in a
//! message.

use super::{SealError, base64_lines};
use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zstd::zstd_safe::{CCtx, CParameter, DCtx};

/// What was done to a chunk before it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// First: base64 was taken out.
    pub(super) packed: bool,
    /// Then it was compressed.
    pub(super) compressed: bool,
}

/// Makes chunks shorter where it is worth it. Holds at most a packed chunk besides the
/// zstd context.
pub(super) struct Compressor {
    zstd: Zstd,
    packs: bool,
    has_packed: bool,
    packed: Vec<u8>,
}

impl Compressor {
    /// `packs`: base64 is taken out as well.
    pub(super) fn new(packs: bool) -> Self {
        Self {
            zstd: Zstd::new(),
            packs,
            has_packed: false,
            packed: Vec::new(),
        }
    }

    /// Whether any chunk was packed.
    pub(super) fn has_packed(&self) -> bool {
        self.has_packed
    }

    /// Writes what is to be sealed to the beginning of `out`, which must be as long as
    /// `plaintext`; the length and its form.
    pub(super) fn shorten(&mut self, plaintext: &[u8], out: &mut [u8]) -> (usize, Form) {
        let packed = self.packs && base64_lines::pack(plaintext, &mut self.packed);
        self.has_packed |= packed;
        let text = if packed { &self.packed } else { plaintext };
        let compressed = self.zstd.compress(text, out);
        let length = compressed.unwrap_or(text.len());
        if compressed.is_none() {
            out[..length].copy_from_slice(text);
        }
        let compressed = compressed.is_some();
        (length, Form { packed, compressed })
    }
}

/// Compresses what gets shorter by it. Holds its zstd context (some 300 KiB, made with the
/// first chunk that is tried) and what it has learnt about the object.
struct Zstd {
    context: Option<CCtx<'static>>,
    /// Chunks that will be stored as they are before the next try.
    skip: u32,
    /// Chunks that were skipped after the last try that failed.
    skipped: u32,
}

impl Zstd {
    fn new() -> Self {
        Self {
            context: None,
            skip: 0,
            skipped: 0,
        }
    }

    /// Compresses `plaintext` into the beginning of `out`, which must be as long as
    /// it; the length, or `None` where the chunk is better stored as it is. After each
    /// failure twice as many chunks go by untried as after the one before.
    fn compress(&mut self, plaintext: &[u8], out: &mut [u8]) -> Option<usize> {
        if plaintext.len() < PLAINTEXT_BYTES_MIN {
            return None;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if self.context.is_none() {
            self.context = compression_context();
        }
        // zstd gives up as soon as the room is used up.
        let room = plaintext.len() - plaintext.len() / SAVING_FRACTION;
        let compressed = self
            .context
            .as_mut()?
            .compress2(&mut out[..room], plaintext)
            .ok();
        self.skipped = match compressed {
            Some(_) => 0,
            None => (self.skipped * 2 + 1).min(CHUNKS_SKIPPED_MAX),
        };
        self.skip = self.skipped;
        compressed
    }
}

/// A zstd context (some 100 KiB) that readers have one after another. Without it each makes its
/// own, which takes as long as to read a chunk with it.
#[derive(Clone, Default)]
pub struct SpareContext(Arc<Mutex<Option<DCtx<'static>>>>);

impl SpareContext {
    fn place(&self) -> MutexGuard<'_, Option<DCtx<'static>>> {
        // It is there or not.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SpareContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpareContext(…)")
    }
}

/// Makes of chunks what they were, with one zstd context for all of them.
pub(super) struct Decompressor {
    context: Option<DCtx<'static>>,
    /// Where it comes from and goes to.
    spare: Option<SpareContext>,
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        if let (Some(spare), Some(context)) = (&self.spare, self.context.take()) {
            *spare.place() = Some(context);
        }
    }
}

impl Decompressor {
    pub(super) fn new(spare: Option<SpareContext>) -> Self {
        let context = None;
        Self { context, spare }
    }

    /// Appends at most `limit` octets to `out`, or nothing on failure; how many they are.
    pub(super) fn restore(
        &mut self,
        form: Form,
        text: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, SealError> {
        let Form { packed, compressed } = form;
        match (packed, compressed) {
            (false, false) => {
                out.extend_from_slice(text);
                Ok(text.len())
            }
            (false, true) => self.decompress(text, limit, out),
            (true, false) => base64_lines::unpack(text, limit, out),
            (true, true) => {
                let mut packed = Vec::new();
                self.decompress(text, limit, &mut packed)?;
                base64_lines::unpack(&packed, limit, out)
            }
        }
    }

    /// Appends at most `limit` octets to `out`, or nothing on failure.
    fn decompress(
        &mut self,
        compressed: &[u8],
        limit: usize,
        out: &mut Vec<u8>,
    ) -> Result<usize, SealError> {
        if self.context.is_none() {
            let spare = self.spare.as_ref().and_then(|spare| spare.place().take());
            self.context = spare.or_else(DCtx::try_create);
        }
        let context = self.context.as_mut().ok_or(SealError::Compression)?;
        if out.is_empty() {
            // Into memory that nobody had to clear before.
            out.reserve_exact(limit);
            let result = context.decompress(out, compressed);
            let fits = result.map_err(|_| SealError::Compression)? <= limit;
            if !fits {
                out.clear();
                return Err(SealError::Compression);
            }
            return Ok(out.len());
        }
        let start = out.len();
        out.resize(start + limit, 0);
        let result = context.decompress(&mut out[start..], compressed);
        out.truncate(start + result.unwrap_or(0));
        result.map_err(|_| SealError::Compression)
    }
}

/// Below this no chunk can win back what a zstd frame costs.
const PLAINTEXT_BYTES_MIN: usize = 64;
/// One twentieth must be saved: less is not worth a decompression at every reading.
const SAVING_FRACTION: usize = 20;
/// Of a long object that does not compress, one chunk of 32 is tried.
const CHUNKS_SKIPPED_MAX: u32 = 31;
/// Mail is mostly base64 and text, where higher levels win little and cost much.
const LEVEL: i32 = 1;
/// A window of 64 KiB, as long as the usual chunk: more would never be used.
const WINDOW_LOG: u32 = 16;

/// `None` when there is no memory: then chunks are stored as they are.
fn compression_context() -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    for parameter in [
        CParameter::CompressionLevel(LEVEL),
        CParameter::WindowLog(WINDOW_LOG),
        CParameter::ContentSizeFlag(false),
        CParameter::ChecksumFlag(false),
    ] {
        context.set_parameter(parameter).ok()?;
    }
    Some(context)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, Seed};

    #[test]
    fn an_incompressible_object_is_seldom_tried() {
        let mut random = Random::new(Seed::new([1; 32]));
        let noise = random.bytes::<4096>();
        let mut compressor = Zstd::new();
        let mut out = [0; 4096];
        let mut tries = 0;
        for _ in 0..1_000 {
            tries += u32::from(compressor.skip == 0);
            assert_eq!(compressor.compress(&noise, &mut out), None);
        }
        assert!(tries < 40, "{tries}");
        let text = [b'a'; 4096];
        let stored = (0..=CHUNKS_SKIPPED_MAX).find_map(|_| compressor.compress(&text, &mut out));
        assert!(stored.is_some());
        assert!(
            compressor.compress(&text, &mut out).is_some(),
            "tries again at once"
        );
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        let mut compressed = [0; 4096];
        let length = Zstd::new()
            .compress(&[b'a'; 4096], &mut compressed)
            .unwrap();
        let mut decompressor = Decompressor::new(None);
        let mut out = b"before".to_vec();
        let bomb = decompressor.decompress(&compressed[..length], 4095, &mut out);
        assert_eq!(bomb, Err(SealError::Compression));
        assert_eq!(out, b"before");
        assert_eq!(
            decompressor.decompress(&compressed[..length], 4096, &mut out),
            Ok(4096)
        );
        assert_eq!(out.len(), 6 + 4096);
    }

    #[test]
    fn readers_have_one_context_after_another() {
        let mut compressed = [0; 4096];
        let text = [b'a'; 4096];
        let length = Zstd::new().compress(&text, &mut compressed).unwrap();
        let spare = SpareContext::default();
        let read = |decompressor: &mut Decompressor| {
            let mut out = Vec::new();
            let result = decompressor.decompress(&compressed[..length], 4096, &mut out);
            assert_eq!((result, &out[..]), (Ok(4096), &text[..]));
        };
        let mut one = Decompressor::new(Some(spare.clone()));
        assert!(one.decompress(b"no zstd", 4096, &mut Vec::new()).is_err());
        // Two at the same time have two, and one of them is kept.
        let mut two = Decompressor::new(Some(spare.clone()));
        read(&mut two);
        drop(one);
        assert!(spare.place().is_some());
        let mut three = Decompressor::new(Some(spare.clone()));
        read(&mut three);
        assert!(spare.place().is_none(), "it has the one that was there");
        drop((two, three));
        assert!(spare.place().is_some());
        // Who decompresses nothing takes nothing.
        drop(Decompressor::new(Some(spare.clone())));
        assert!(spare.place().is_some());
    }

    #[test]
    fn contexts_are_small() {
        let mut compressor = Zstd::new();
        let text: Vec<u8> = (0..65_536_u32)
            .map(|i| b"some text "[(i % 10) as usize])
            .collect();
        assert!(
            compressor
                .compress(&text, &mut vec![0; text.len()])
                .is_some()
        );
        let bytes = compressor.context.unwrap().sizeof();
        assert!(bytes <= 320 * 1024, "{bytes}");
        assert!(DCtx::create().sizeof() <= 100 * 1024);
    }
}
