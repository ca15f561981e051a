//! Signs Apple's profile: a CMS message (RFC 5652) with the profile inside, so that the
//! device says who it comes from. The key is that of TLS, whose certificate the device
//! trusts already.
//!
//! Only the few shapes of DER that this takes are written here, and of a certificate only
//! what names it is read.

use futures_rustls::rustls::SignatureScheme;
use futures_rustls::rustls::sign::SigningKey;
use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha384};

const INTEGER: u8 = 0x02;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// `[0]`, constructed.
const CONTEXT_0: u8 = 0xa0;

// Object identifiers, whole.
const DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01";
const SIGNED_DATA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";
const CONTENT_TYPE: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03";
const MESSAGE_DIGEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04";
const SHA_256: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01";
const SHA_384: &[u8] = b"\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02";
/// With the parameters that it must have, NULL (RFC 3370 §3.2).
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const ECDSA_SHA_256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
const ECDSA_SHA_384: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03";

/// How a key signs.
struct Way {
    scheme: SignatureScheme,
    digest: &'static [u8],
    algorithm: &'static [u8],
}

const WAYS: [Way; 3] = [
    Way {
        scheme: SignatureScheme::RSA_PKCS1_SHA256,
        digest: SHA_256,
        algorithm: RSA,
    },
    Way {
        scheme: SignatureScheme::ECDSA_NISTP256_SHA256,
        digest: SHA_256,
        algorithm: ECDSA_SHA_256,
    },
    Way {
        scheme: SignatureScheme::ECDSA_NISTP384_SHA384,
        digest: SHA_384,
        algorithm: ECDSA_SHA_384,
    },
];

/// The content in a message that is signed with the key of the first certificate; none where
/// the key is of a kind that devices do not know.
#[must_use]
pub fn signed(
    chain: &[CertificateDer<'_>],
    key: &dyn SigningKey,
    content: &[u8],
) -> Option<Vec<u8>> {
    let (way, signer) = WAYS
        .iter()
        .find_map(|way| Some((way, key.choose_scheme(&[way.scheme])?)))?;
    let digest = match way.digest {
        SHA_384 => Sha384::digest(content).to_vec(),
        _ => Sha256::digest(content).to_vec(),
    };
    let attribute = |name: &[u8], value: &[u8]| element(SEQUENCE, &[name, &element(SET, &[value])]);
    // In the order of their octets, as DER has sets: the shorter comes first.
    let attributes = [
        attribute(CONTENT_TYPE, DATA),
        attribute(MESSAGE_DIGEST, &element(OCTET_STRING, &[&digest])),
    ]
    .concat();
    // They are signed as a set, and carried under another tag (RFC 5652 §5.4).
    let signature = signer.sign(&element(SET, &[&attributes])).ok()?;
    let (issuer, serial) = issuer_and_serial(chain.first()?)?;
    let digest_algorithm = element(SEQUENCE, &[way.digest]);
    let signer = element(
        SEQUENCE,
        &[
            &element(INTEGER, &[&[1]]),
            &element(SEQUENCE, &[issuer, serial]),
            &digest_algorithm,
            &element(CONTEXT_0, &[&attributes]),
            &element(SEQUENCE, &[way.algorithm]),
            &element(OCTET_STRING, &[&signature]),
        ],
    );
    let content = element(CONTEXT_0, &[&element(OCTET_STRING, &[content])]);
    let certificates: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    let message = element(
        SEQUENCE,
        &[
            &element(INTEGER, &[&[1]]),
            &element(SET, &[&digest_algorithm]),
            &element(SEQUENCE, &[DATA, &content]),
            &element(CONTEXT_0, &certificates),
            &element(SET, &[&signer]),
        ],
    );
    let message = element(CONTEXT_0, &[&message]);
    Some(element(SEQUENCE, &[SIGNED_DATA, &message]))
}

/// An element of DER: its tag, its length, what is in it.
fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let mut octets = vec![tag];
    if len < 0x80 {
        octets.push(len as u8);
    } else {
        let be = len.to_be_bytes();
        let zeros = be.iter().take_while(|octet| **octet == 0).count();
        octets.push(0x80 | (be.len() - zeros) as u8);
        octets.extend_from_slice(&be[zeros..]);
    }
    octets.extend(parts.iter().copied().flatten());
    octets
}

/// What names a certificate (RFC 5280 §4.1), as it is encoded.
fn issuer_and_serial<'a>(certificate: &'a CertificateDer<'_>) -> Option<(&'a [u8], &'a [u8])> {
    let (_, certificate, _) = split(certificate)?;
    let (_, mut rest, _) = split(certificate)?;
    // The version, which may be missing.
    if rest.first() == Some(&CONTEXT_0) {
        rest = split(rest)?.2;
    }
    let (serial, _, rest) = split(rest)?;
    let (_algorithm, _, rest) = split(rest)?;
    let (issuer, _, _) = split(rest)?;
    Some((issuer, serial))
}

/// The first element: whole, what is in it, and what comes after it.
fn split(octets: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let first = usize::from(*octets.get(1)?);
    let (head, len) = match first.checked_sub(0x80) {
        None => (2, first),
        Some(count) => {
            let be = octets.get(2..2 + count).filter(|_| count <= 4)?;
            let len = be
                .iter()
                .fold(0, |len, octet| len << 8 | usize::from(*octet));
            (2 + count, len)
        }
    };
    let whole = octets.get(..head.checked_add(len)?)?;
    Some((whole, &whole[head..], &octets[whole.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_rustls::rustls::crypto::ring;
    use rustls_pki_types::PrivateKeyDer;
    use rustls_pki_types::pem::PemObject;

    const CERTIFICATE: &[u8] = include_bytes!("../../smoke/certificate.pem");
    const KEY: &[u8] = include_bytes!("../../smoke/key.pem");

    #[test]
    fn lengths_as_der_has_them() {
        for (len, head) in [
            (0, &b"\x04\x00"[..]),
            (0x7f, b"\x04\x7f"),
            (0x80, b"\x04\x81\x80"),
            (0x1234, b"\x04\x82\x12\x34"),
            (0x1_0000, b"\x04\x83\x01\x00\x00"),
        ] {
            let octets = element(OCTET_STRING, &[&vec![7; len]]);
            assert!(octets.starts_with(head));
            let more = [&octets[..], b"rest"].concat();
            let (whole, inner, rest) = split(&more).unwrap();
            assert_eq!(
                (whole.len(), inner.len(), rest),
                (octets.len(), len, &b"rest"[..])
            );
        }
        for cut in [
            &b""[..],
            b"\x04",
            b"\x04\x01",
            b"\x04\x82\x01",
            b"\x04\x85\0\0\0\0\x01",
        ] {
            assert!(split(cut).is_none());
        }
    }

    #[test]
    fn the_message_holds_the_content_and_the_certificate() {
        let certificate = CertificateDer::from_pem_slice(CERTIFICATE).unwrap();
        let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        let (issuer, serial) = issuer_and_serial(&certificate).unwrap();
        let shown =
            b"\x0b\x1d\x0a\x9f\x7c\x10\x98\x1a\xfb\xc3\xa6\x9e\x58\x4c\xfb\x06\x16\x11\x21\x78";
        assert_eq!(&serial[2..], shown);
        assert!(issuer.ends_with(b"localhost"));
        let message = signed(std::slice::from_ref(&certificate), &*key, b"content").unwrap();
        let (whole, _, rest) = split(&message).unwrap();
        assert_eq!((whole.len(), rest.len()), (message.len(), 0));
        let holds = |part: &[u8]| message.windows(part.len()).any(|window| window == part);
        assert!(holds(b"\x04\x07content") && holds(&certificate));
    }
}
