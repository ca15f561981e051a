use proptest::prelude::*;

use super::*;
use crate::config::Config;
use crate::mime::Scanner;

/// Octets written by version 1; they must decode for ever.
const GOLDEN: &[u8] = include_bytes!("golden-1.bin");
/// The message they are the summary of, and its layout.
const GOLDEN_MESSAGE: &[u8] = include_bytes!("golden.eml");
const GOLDEN_LAYOUT: &[u8] = b"layout \x00\x01\xff";

fn summary(message: &[u8], layout: &[u8]) -> Summary {
    let mut scanner = Scanner::new(&Config::default());
    scanner.feed(message);
    Summary::new(scanner.finish(), layout.to_vec())
}

#[test]
fn the_golden_octets_decode() {
    let decoded = Summary::decode(GOLDEN).unwrap();
    assert_eq!(decoded, summary(GOLDEN_MESSAGE, GOLDEN_LAYOUT));
    assert_eq!(decoded.layout, GOLDEN_LAYOUT);
    assert_eq!(decoded.envelope().subject.unwrap(), &b"Golden"[..]);
}

#[test]
fn the_plain_form_is_written_and_read_octet_by_octet() {
    let plain = summary(b"A: b\r\n\r\nc", b"l");
    let stored = [
        &[1, 0, 9, 8, 8][..],
        b"A: b\r\n\r\n",
        &[1, 0, 8, 1, 0, 4],
        b"text",
        &[5],
        b"plain",
        &[0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        b"l",
    ]
    .concat();
    assert_eq!(plain.encode(), stored);
    assert_eq!(Summary::decode(&stored), Ok(plain));
}

#[test]
fn strings_share_the_octets_that_were_read() {
    let decoded = Summary::decode(&summary(GOLDEN_MESSAGE, b"").encode()).unwrap();
    let all = decoded.header.as_ptr_range();
    let part = decoded.structure.parts().last().unwrap();
    let distance = part.description.media_type.as_ptr().addr() - all.start.addr();
    assert!(distance < 4_096, "one allocation");
}

#[test]
fn what_is_no_summary_is_refused() {
    assert_eq!(Summary::decode(b""), Err(SummaryError::Malformed));
    assert_eq!(Summary::decode(&[2, 0]), Err(SummaryError::Version(2)));
    assert_eq!(Summary::decode(&[1, 7]), Err(SummaryError::Malformed));
    // 2^40 octets are claimed: nothing is allocated.
    assert_eq!(
        Summary::decode(&[1, 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20]),
        Err(SummaryError::TooLong)
    );
    let whole = summary(GOLDEN_MESSAGE, GOLDEN_LAYOUT).encode();
    for len in 0..whole.len() {
        assert!(Summary::decode(&whole[..len]).is_err());
    }
    let mut longer = summary(b"A: b\r\n\r\nc", b"l").encode();
    longer.push(0);
    assert_eq!(Summary::decode(&longer), Err(SummaryError::Malformed));
}

#[test]
fn zstd_that_grows_beyond_its_claim_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 1).unwrap();
    let mut stored = vec![1, 1, 100];
    stored.extend_from_slice(&bomb);
    assert_eq!(Summary::decode(&stored), Err(SummaryError::Malformed));
}

#[test]
fn a_thousand_short_descriptions_need_little_room() {
    let mut message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n".to_vec();
    for _ in 0..900 {
        message.extend_from_slice(b"--b\r\nContent-Type: image/png; name=x.png\r\n\r\nxyz\r\n");
    }
    let summary = summary(&message, b"");
    assert!(summary.encode().len() < 1_000);
    assert_eq!(Summary::decode(&summary.encode()), Ok(summary));
}

fn lines() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\r\n".to_owned()),
        Just("--a\r\n".to_owned()),
        Just("--b--\r\n".to_owned()),
        Just("Content-Type: multipart/mixed; boundary=a\r\n".to_owned()),
        Just("Content-Type: multipart/digest; boundary=b; x*0=1; x*1=\"2 3\"\r\n".to_owned()),
        Just("Content-Type: message/rfc822\r\n".to_owned()),
        Just(
            "Content-Disposition: inline; filename=\"f\"\r\nContent-Language: de, en\r\n"
                .to_owned()
        ),
        Just("Content-ID: <i>\r\nContent-MD5: m\r\nContent-Location: l\r\n".to_owned()),
        "(From|To|Cc|Subject|Date|Message-ID): [ -~]{0,40}\r\n",
    ]
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(
        lines in prop::collection::vec(lines(), 0..40),
        layout in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let summary = summary(lines.concat().as_bytes(), &layout);
        prop_assert_eq!(Summary::decode(&summary.encode()), Ok(summary));
    }

    #[test]
    fn hostile_octets_do_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let plain = summary(GOLDEN_MESSAGE, GOLDEN_LAYOUT);
        let mut writer = Writer::default();
        writer.number(1);
        writer.number(0);
        writer.number(plain.size);
        writer.number(plain.header_len);
        writer.octets(&plain.header);
        writer.structure(&plain.structure);
        writer.octets(&plain.layout);
        for mut stored in [writer.into_octets(), GOLDEN.to_vec()] {
            for (index, octet) in &damage {
                let index = index.index(stored.len());
                stored[index] = *octet;
            }
            if let Ok(summary) = Summary::decode(&stored) {
                let mut out = Vec::new();
                crate::mime::write_bodystructure(&summary.structure, true, &mut out);
                prop_assert!(!out.is_empty());
            }
        }
    }
}
