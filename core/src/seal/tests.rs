//! Tests of whole objects.

use proptest::prelude::*;

use super::*;
use crate::mailbox::{AccountId, ContentId};
use crate::random::{Random, Seed};

/// Lower-case hexadecimal, as the golden files have it.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What [`hex`] made; white space is ignored.
pub(super) fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

const ID: ContentId = ContentId([5; 16]);
const KIND: ContentKind = ContentKind::Message;

fn random(seed: u8) -> Random {
    Random::new(Seed::new([seed; 32]))
}

fn account() -> AccountKeys {
    AccountKeys::generate(AccountId([7; 16]), &mut random(1))
}

/// A stored object and what is known about it.
struct Object {
    bytes: Vec<u8>,
    layout: ContentLayout,
    summary: SummaryPlace,
}

fn seal_with_seed(seed: u8, id: ContentId, body: &[u8], summary: &[u8], chunk: usize) -> Object {
    let mut bytes = Vec::new();
    let mut writer = ContentWriter::new(&account(), KIND, id, chunk, &mut random(seed));
    writer.write(body, &mut bytes);
    let layout = writer.end_body(&mut bytes);
    let summary = writer.finish(summary, &mut bytes);
    Object {
        bytes,
        layout,
        summary,
    }
}

fn seal(body: &[u8], summary: &[u8], chunk: usize) -> Object {
    seal_with_seed(2, ID, body, summary, chunk)
}

/// Feeds all of `stored` in pieces of `piece` bytes. An input that ends early is
/// `Truncated`, as a caller would have it.
fn drain(reader: &mut ContentReader, stored: &[u8], piece: usize) -> Result<Vec<u8>, SealError> {
    let mut out = Vec::new();
    let mut pieces = stored.chunks(piece);
    loop {
        let before = out.len();
        match reader.next(&mut out) {
            Ok(Progress::Chunk(length)) => assert_eq!(out.len(), before + length),
            Ok(Progress::End) => return Ok(out),
            Ok(Progress::NeedMore(hint)) => {
                assert!(hint > 0);
                reader.feed(pieces.next().ok_or(SealError::Truncated)?);
            }
            Err(error) => {
                assert_eq!(out.len(), before, "nothing of a bad chunk is given");
                return Err(error);
            }
        }
    }
}

fn read_all(stored: &[u8], size: impl Into<Option<u64>>) -> Result<Vec<u8>, SealError> {
    drain(
        &mut ContentReader::from_start(&account(), KIND, ID, size),
        stored,
        1000,
    )
}

fn read_at(object: &Object, offset: u64) -> Result<Vec<u8>, SealError> {
    let mut reader = ContentReader::at(&object.layout, KIND, ID, offset);
    let skip = reader.first_skip();
    let start = usize::try_from(reader.stored_start()).unwrap();
    let plaintext = drain(&mut reader, &object.bytes[start..], 1000)?;
    Ok(plaintext[skip..].to_vec())
}

fn read_summary(object: &[u8]) -> Result<Vec<u8>, SealError> {
    let tail = object
        .len()
        .checked_sub(CONTENT_TRAILER_BYTES)
        .ok_or(SealError::Truncated)?;
    let end = open_trailer(
        &account(),
        KIND,
        ID,
        object,
        &object[tail..],
        object.len() as u64,
    )?;
    let start = usize::try_from(end.summary.offset).unwrap();
    open_summary(&account(), KIND, ID, object, &object[start..tail])
}

/// Text that compresses, with something new in every line.
fn text(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|i: u32| format!("{} line\r\n", i.wrapping_mul(0x9e37_79b1)).into_bytes())
        .take(length)
        .collect()
}

fn noise(length: usize) -> Vec<u8> {
    let mut random = random(9);
    (0..length.div_ceil(32))
        .flat_map(|_| random.bytes::<32>())
        .take(length)
        .collect()
}

/// Stored bounds of the chunks of the body.
fn bounds(object: &Object) -> Vec<core::ops::Range<usize>> {
    let size = object.layout.plaintext_bytes();
    let count = size.div_ceil(object.layout.chunk_bytes() as u64).max(1);
    (0..count)
        .map(|index| {
            let first = index * object.layout.chunk_bytes() as u64;
            let stored = object.layout.stored_range(first..first + 1);
            usize::try_from(stored.start).unwrap()..usize::try_from(stored.end).unwrap()
        })
        .collect()
}

#[test]
fn golden_object() {
    // Noise is stored as it is, so this does not depend on the version of zstd.
    let object = seal(&noise(150), &noise(70), 64);
    assert_eq!(
        hex(&object.bytes),
        include_str!("golden/content-2.hex").trim()
    );
    for golden in [
        include_str!("golden/content.hex"),
        include_str!("golden/content-2.hex"),
    ] {
        let golden = from_hex(golden);
        assert_eq!(read_all(&golden, 150).unwrap(), noise(150));
        assert_eq!(read_summary(&golden).unwrap(), noise(70));
    }
}

#[test]
fn golden_layout() {
    let layout = seal(&noise(150), b"", 64).layout;
    assert_eq!(
        hex(&layout.encode()),
        include_str!("golden/layout.hex").trim()
    );
    let golden = from_hex(include_str!("golden/layout.hex"));
    let decoded = ContentLayout::decode(&golden).unwrap();
    assert!(decoded == layout);
    let object = from_hex(include_str!("golden/content.hex"));
    let object = Object {
        bytes: object,
        layout: decoded,
        summary: SummaryPlace { offset: 0, len: 0 },
    };
    assert_eq!(read_at(&object, 100).unwrap(), noise(150)[100..]);
}

#[test]
fn golden_compressed_object() {
    // Only opening is fixed: another version of zstd may compress better.
    let golden = from_hex(include_str!("golden/compressed.hex"));
    assert_eq!(read_all(&golden, 700).unwrap(), text(700));
    assert_eq!(read_summary(&golden).unwrap(), text(300));
    let today = seal(&text(700), &text(300), 256);
    assert!(today.bytes.len() < 1000, "{}", hex(&today.bytes));
}

#[test]
fn golden_packed_object() {
    // Noise in base64: nothing that zstd would compress.
    let characters = base64_simd::STANDARD.encode_to_string(noise(1_500));
    let lines = characters.as_bytes().chunks(76);
    let lines = lines.flat_map(|line| [line, b"\r\n"].concat());
    let body: Vec<u8> = b"\r\n".iter().copied().chain(lines).collect();
    let object = seal(&body, b"", 1_024);
    assert_eq!(hex(&object.bytes), include_str!("golden/packed.hex").trim());
    let golden = from_hex(include_str!("golden/packed.hex"));
    assert_eq!(read_all(&golden, body.len() as u64).unwrap(), body);
    assert!(golden.len() < 1_850, "{}", golden.len());
    let packed = |header: &[u8]| header[0] & 0x20 != 0;
    let chunks: Vec<bool> = bounds(&object)
        .into_iter()
        .map(|chunk| packed(&golden[chunk]))
        .collect();
    assert_eq!(chunks, [true, true, false], "the last one is short");
    // Its layout says so, others do not.
    let layout = include_str!("golden/layout-2.hex").trim();
    assert_eq!(hex(&object.layout.encode()), layout);
    let decoded = ContentLayout::decode(&from_hex(layout)).unwrap();
    assert!(decoded == object.layout);
    let golden = Object {
        bytes: golden,
        layout: decoded,
        summary: object.summary,
    };
    assert_eq!(read_at(&golden, 1_000).unwrap(), body[1_000..]);
}

#[test]
fn golden_delivery() {
    let mut random = random(3);
    let (keys, mut bytes) = (account(), Vec::new());
    let mut writer =
        ContentWriter::deliver(keys.account(), &keys.public_key(), ID, 64, &mut random).unwrap();
    writer.write(b"hello", &mut bytes);
    writer.end_body(&mut bytes);
    writer.finish(b"summary", &mut bytes);
    assert_eq!(hex(&bytes), include_str!("golden/delivery-2.hex").trim());
    let kind = ContentKind::Delivery;
    for golden in [
        include_str!("golden/delivery.hex"),
        include_str!("golden/delivery-2.hex"),
    ] {
        let mut reader = ContentReader::from_start(&keys, kind, ID, 5);
        assert_eq!(drain(&mut reader, &from_hex(golden), 10).unwrap(), b"hello");
    }
    let golden = from_hex(include_str!("golden/delivery-2.hex"));
    // What was made without the keys cannot pass for the account's own.
    assert_eq!(read_all(&golden, 5), Err(SealError::Forged));
    let mut renamed = golden;
    renamed[5] = KIND as u8;
    assert_eq!(read_all(&renamed, 5), Err(SealError::Forged));
}

#[test]
fn the_trailer_finds_the_summary() {
    for (body, summary) in [(0, 0), (1, 64), (64, 1), (500, 300)] {
        let object = seal(&text(body), &text(summary), 64);
        let tail = object.bytes.len() - CONTENT_TRAILER_BYTES;
        let (head, trailer) = (&object.bytes[..CONTENT_HEAD_BYTES], &object.bytes[tail..]);
        let length = object.bytes.len() as u64;
        let end = open_trailer(&account(), KIND, ID, head, trailer, length).unwrap();
        assert_eq!(
            end,
            ContentEnd {
                summary: object.summary,
                body_bytes: body as u64
            }
        );
        assert_eq!(read_summary(&object.bytes).unwrap(), text(summary));
        let longer = open_trailer(&account(), KIND, ID, head, trailer, length + 1);
        assert_eq!(longer, Err(SealError::Truncated));
    }
}

#[test]
fn empty_and_exact_bodies() {
    for chunks in [0, 1, 2, 3] {
        let body = noise(chunks * 64);
        let object = seal(&body, b"", 64);
        assert_eq!(bounds(&object).len(), chunks.max(1));
        assert_eq!(read_all(&object.bytes, body.len() as u64).unwrap(), body);
        assert_eq!(read_at(&object, body.len() as u64).unwrap(), b"");
        assert_eq!(read_at(&object, u64::MAX).unwrap(), b"");
        assert_eq!(read_summary(&object.bytes).unwrap(), b"");
    }
}

#[test]
fn every_flipped_bit_is_seen_by_who_needs_it() {
    let body = [text(200), noise(100)].concat();
    let object = seal(&body, &text(100), 128);
    let summary = usize::try_from(object.summary.offset).unwrap();
    for bit in 0..object.bytes.len() * 8 {
        let mut changed = object.bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let body_fails = read_all(&changed, None).is_err();
        let summary_fails = read_summary(&changed).is_err();
        let (head, of_body) = (bit / 8 < CONTENT_HEAD_BYTES, bit / 8 < summary);
        assert_eq!(body_fails, of_body, "body, bit {bit}");
        assert_eq!(summary_fails, head || !of_body, "summary, bit {bit}");
    }
}

#[test]
fn every_truncation_is_seen() {
    let object = seal(&noise(256), &noise(100), 64);
    let end = usize::try_from(object.summary.offset).unwrap();
    for length in 0..object.bytes.len() {
        let cut = &object.bytes[..length];
        assert_eq!(
            read_all(cut, None).is_err(),
            length < end,
            "length {length}"
        );
        assert!(read_summary(cut).is_err(), "length {length}");
    }
    // The chunks up to a border, followed at once by what stands at the end.
    for chunk in bounds(&object) {
        let cut = [&object.bytes[..chunk.start], &object.bytes[end..]].concat();
        assert_eq!(read_all(&cut, None), Err(SealError::Forged));
    }
}

#[test]
fn swapped_and_repeated_chunks_are_seen() {
    let object = seal(&noise(64 * 4), b"", 64);
    let bounds = bounds(&object);
    for (i, one) in bounds.iter().enumerate() {
        for (j, other) in bounds.iter().enumerate().filter(|(j, _)| *j != i) {
            let mut changed = object.bytes.clone();
            changed[one.clone()].copy_from_slice(&object.bytes[other.clone()]);
            assert_eq!(
                read_all(&changed, None),
                Err(SealError::Forged),
                "{j} at {i}"
            );
        }
    }
}

#[test]
fn a_chunk_of_the_summary_is_none_of_the_body() {
    let object = seal(&noise(50), &noise(50), 64);
    let body = bounds(&object).remove(0);
    let summary = usize::try_from(object.summary.offset).unwrap();
    let mut changed = object.bytes.clone();
    changed.copy_within(summary..summary + body.len(), body.start);
    assert_eq!(read_all(&changed, None), Err(SealError::Forged));
}

#[test]
fn chunks_of_another_object_do_not_open() {
    let one = seal_with_seed(2, ID, &noise(200), b"", 64);
    let two = seal_with_seed(3, ID, &noise(200), b"", 64);
    for chunk in bounds(&one) {
        let mut changed = one.bytes.clone();
        changed[chunk.clone()].copy_from_slice(&two.bytes[chunk]);
        assert_eq!(read_all(&changed, None), Err(SealError::Forged));
    }
    // Not even under the same content key.
    let other = seal_with_seed(2, ContentId([6; 16]), &noise(200), b"", 64);
    assert!(one.layout == other.layout);
    let mut reader = ContentReader::at(&one.layout, KIND, ID, 0);
    let stored = &other.bytes[CONTENT_HEAD_BYTES..];
    assert_eq!(drain(&mut reader, stored, 1000), Err(SealError::Forged));
}

#[test]
fn a_moved_object_does_not_open() {
    let object = seal(b"body", b"summary", 64);
    let (keys, stored) = (account(), &object.bytes);
    let stranger = AccountKeys::from_secrets(
        AccountId([8; 16]),
        (*keys.root()).into(),
        (*keys.private()).into(),
    );
    for (keys, kind, id) in [
        (&keys, KIND, ContentId([6; 16])),
        (&keys, ContentKind::Checkpoint, ID),
        (&keys, ContentKind::Delivery, ID),
        (&stranger, KIND, ID),
    ] {
        let mut reader = ContentReader::from_start(keys, kind, id, None);
        assert_eq!(drain(&mut reader, stored, 1000), Err(SealError::Forged));
        assert_eq!(
            open_summary(keys, kind, id, stored, b""),
            Err(SealError::Forged)
        );
    }
}

#[test]
fn a_body_of_another_size_than_expected_is_an_error() {
    let object = seal(&noise(128), b"", 64);
    for size in [0, 1, 64, 127, 129, 192, 1000] {
        assert_eq!(
            read_all(&object.bytes, size),
            Err(SealError::Truncated),
            "{size}"
        );
    }
    assert_eq!(read_all(&object.bytes, 128).unwrap(), noise(128));
}

#[test]
fn an_announced_length_over_a_chunk_is_refused_before_it_is_read() {
    let object = seal(&noise(64), b"", 64);
    let mut reader = ContentReader::at(&object.layout, KIND, ID, 0);
    reader.feed(&[0x40, 0, 0, 64 + 17]);
    assert_eq!(reader.next(&mut Vec::new()), Err(SealError::TooLarge));
}

#[test]
fn a_broken_download_is_taken_up_by_range() {
    let body = text(1000);
    let object = seal(&body, b"summary", 100);
    let mut reader = ContentReader::from_start(&account(), KIND, ID, 1000);
    let (mut out, mut position) = (Vec::new(), 0);
    // Every connection breaks after 250 bytes, which is hardly two chunks.
    for _ in 0..40 {
        let end = object.bytes.len().min(position + 250);
        reader.feed(&object.bytes[position..end]);
        while let Progress::Chunk(_) = reader.next(&mut out).unwrap() {}
        assert_eq!(reader.plaintext_position(), out.len() as u64);
        position = usize::try_from(reader.reopen()).unwrap();
    }
    assert_eq!(reader.next(&mut out), Ok(Progress::End));
    assert_eq!(out, body);
    assert_eq!(reader.stored_position(), object.summary.offset);
}

#[test]
fn a_bad_chunk_can_be_read_again() {
    let object = seal(&noise(100), b"", 64);
    let mut changed = object.bytes.clone();
    changed[CONTENT_HEAD_BYTES + 10] ^= 1;
    let mut reader = ContentReader::from_start(&account(), KIND, ID, 100);
    assert_eq!(drain(&mut reader, &changed, 1000), Err(SealError::Forged));
    let position = usize::try_from(reader.reopen()).unwrap();
    assert_eq!(position, CONTENT_HEAD_BYTES);
    assert_eq!(
        drain(&mut reader, &object.bytes[position..], 1000).unwrap(),
        noise(100)
    );
}

#[test]
fn memory_does_not_grow_with_the_message() {
    const CHUNK: usize = 64 * 1024;
    let piece = noise(48 * 1024);
    let mut writer = ContentWriter::new(&account(), KIND, ID, CHUNK, &mut random(2));
    let mut reader = ContentReader::from_start(&account(), KIND, ID, None);
    let (mut stored, mut plain) = (Vec::new(), Vec::new());
    let mut total = 0;
    for _ in 0..64 {
        stored.clear();
        writer.write(&piece, &mut stored);
        assert!(writer.buffer_capacity() <= CHUNK + 1024);
        assert!(stored.capacity() <= 2 * (CHUNK + CHUNK_OVERHEAD_BYTES + CONTENT_HEAD_BYTES));
        for part in stored.chunks(16 * 1024) {
            reader.feed(part);
            plain.clear();
            while let Progress::Chunk(length) = reader.next(&mut plain).unwrap() {
                total += length;
            }
            assert!(reader.buffer_capacity() <= 2 * (CHUNK + CHUNK_OVERHEAD_BYTES));
        }
    }
    assert!(total > 2 * 1024 * 1024);
}

#[test]
fn overheads_are_as_documented() {
    let object = seal(&noise(6400), b"", 64);
    assert_eq!(
        object.summary.offset,
        (CONTENT_HEAD_BYTES + 6400 + 100 * CHUNK_OVERHEAD_BYTES) as u64
    );
    assert_eq!(CONTENT_HEAD_BYTES, 90);
    assert_eq!(CONTENT_TRAILER_BYTES, 36);
    assert_eq!(object.layout.encode().len(), 45 + 3 * 100);
}

#[test]
fn base64_is_stored_smaller() {
    let base64: Vec<u8> = noise(200_000).iter().map(|byte| b'A' + byte % 64).collect();
    let object = seal(&base64, b"", 64 * 1024);
    assert!(object.bytes.len() < 165_000, "{}", object.bytes.len());
    assert_eq!(read_all(&object.bytes, 200_000).unwrap(), base64);
}

#[test]
fn a_layout_that_is_cut_or_too_long_is_refused() {
    let bytes = seal(&noise(300), b"", 64).layout.encode();
    for length in 0..bytes.len() {
        assert!(ContentLayout::decode(&bytes[..length]).is_err(), "{length}");
    }
    let longer = [bytes.as_slice(), &[0; 3]].concat();
    assert_eq!(
        ContentLayout::decode(&longer).unwrap_err(),
        SealError::TooLarge
    );
    // A chunk without any octet, not even those around it.
    let mut empty = bytes.to_vec();
    empty[45..48].fill(0);
    assert_eq!(
        ContentLayout::decode(&empty).unwrap_err(),
        SealError::Truncated
    );
    let huge = [&bytes[..5], &[0xff; 8], &bytes[13..]].concat();
    assert_eq!(
        ContentLayout::decode(&huge).unwrap_err(),
        SealError::Truncated
    );
}

#[test]
fn a_summary_that_unfolds_to_too_much_is_refused() {
    // The writer refuses such a summary, so its chunks are sealed one by one: 17 MiB of
    // zeros, which are a few kilobytes.
    let mut random = random(2);
    let (head, bytes) = head::Head::seal(&account(), KIND, ID, CHUNK_BYTES_MAX, &mut random);
    let cipher = chunk::ChunkCipher::new(&head.key, KIND, ID);
    let mut compressor = compression::Compressor::new(true);
    let (zeros, mut sealed) = (vec![0; CHUNK_BYTES_MAX], Vec::new());
    for index in 0..17 {
        let last = index == 16;
        let place = chunk::ChunkPlace {
            domain: chunk::Domain::Summary,
            index,
            last,
        };
        cipher.seal_chunk(place, &zeros, &mut compressor, &mut sealed);
    }
    assert!(sealed.len() < 10_000, "{}", sealed.len());
    assert_eq!(
        open_summary(&account(), KIND, ID, &bytes, &sealed),
        Err(SealError::TooLarge)
    );
}

#[test]
fn debug_shows_no_key() {
    let object = seal(b"secret", b"", 64);
    assert_eq!(format!("{:?}", object.layout), "ContentLayout(6 octets, …)");
    let reader = ContentReader::at(&object.layout, KIND, ID, 0);
    assert_eq!(format!("{reader:?}"), "ContentReader(at 0, …)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_of_writing_and_feeding(
        length in 0_usize..3000,
        chunk in 1_usize..700,
        written in 1_usize..900,
        fed in 1_usize..900,
        compressible in any::<bool>(),
    ) {
        let body = if compressible { text(length) } else { noise(length) };
        let whole = seal(&body, b"summary", chunk);
        let mut bytes = Vec::new();
        let mut writer = ContentWriter::new(&account(), KIND, ID, chunk, &mut random(2));
        for piece in body.chunks(written) {
            writer.write(piece, &mut bytes);
        }
        let layout = writer.end_body(&mut bytes);
        let summary = writer.finish(b"summary", &mut bytes);
        prop_assert!(bytes == whole.bytes && layout == whole.layout);
        prop_assert_eq!(summary, whole.summary);
        let mut reader = ContentReader::from_start(&account(), KIND, ID, length as u64);
        prop_assert!(drain(&mut reader, &bytes, fed).unwrap() == body);
        prop_assert_eq!(reader.stored_position(), summary.offset);
        prop_assert!(ContentLayout::decode(&layout.encode()).unwrap() == layout);
    }

    #[test]
    fn any_part_is_read_alone(
        length in 1_u64..3000,
        chunk in 1_usize..700,
        start in 0_u64..3000,
        wanted in 0_u64..3000,
    ) {
        let body = text(usize::try_from(length).unwrap());
        let object = seal(&body, b"", chunk);
        let (start, end) = (start.min(length), (start + wanted).min(length));
        prop_assert!(read_at(&object, start).unwrap() == body[usize::try_from(start).unwrap()..]);

        let range = object.layout.stored_range(start..end);
        let mut reader = ContentReader::at(&object.layout, KIND, ID, start);
        prop_assert_eq!(reader.stored_start(), range.start);
        reader.feed(&object.bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]);
        let mut out = Vec::new();
        while let Progress::Chunk(_) = reader.next(&mut out).unwrap() {}
        prop_assert_eq!(reader.stored_position(), range.end);
        let skip = reader.first_skip();
        let part = &out[skip..skip + usize::try_from(end - start).unwrap()];
        prop_assert!(part == &body[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()]);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let keys = account();
        prop_assert!(ContentLayout::decode(&bytes).is_err());
        prop_assert!(unwrap(&bytes, &[0; 32], keys.account()).is_err());
        prop_assert!(keys.open_sealed_to(b"", b"", &bytes).is_err());
        prop_assert!(read_all(&bytes, None).is_err());
        prop_assert!(read_summary(&bytes).is_err());
        let object = seal(b"body", b"", 64);
        let mut reader = ContentReader::at(&object.layout, KIND, ID, 0);
        prop_assert!(drain(&mut reader, &bytes, 7).is_err());
    }
}
