//! Base64: the alphabet of RFC 4648 §4 for SASL, and the one of modified UTF-7
//! (RFC 3501 §5.1.3), which has `,` for `/` and no padding. Small and ours, because
//! what it decodes are passwords: the result is zeroized and never reallocated.

use zeroize::Zeroizing;

const SASL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const MAILBOX: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

/// Decodes base64 with its padding (RFC 4648 §4); `None` if it is anything else,
/// bits that are left over and not zero included.
#[must_use]
pub fn decode_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text
        .iter()
        .rev()
        .take(2)
        .take_while(|&&octet| octet == b'=')
        .count();
    decode(&text[..text.len() - padding], b'/')
}

/// Encodes base64 with its padding (RFC 4648 §4).
#[must_use]
pub fn encode_base64(octets: &[u8]) -> String {
    let mut text = encode(octets, SASL);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// Decodes the base64 of modified UTF-7; `None` if it is not what [`encode_mailbox`] makes.
pub(super) fn decode_mailbox(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    decode(text, b',')
}

/// Encodes the base64 of modified UTF-7.
pub(super) fn encode_mailbox(octets: &[u8]) -> String {
    encode(octets, MAILBOX)
}

fn decode(text: &[u8], last: u8) -> Option<Zeroizing<Vec<u8>>> {
    let mut octets = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for &octet in group {
            bits = bits << 6 | u32::from(sextet(octet, last)?);
        }
        let (bits, length) = match group.len() {
            4 => (bits, 3),
            3 => (bits << 6, 2),
            2 => (bits << 12, 1),
            _ => return None,
        };
        let [_, decoded @ ..] = bits.to_be_bytes();
        if decoded[length..].iter().any(|&octet| octet != 0) {
            return None;
        }
        octets.extend_from_slice(&decoded[..length]);
    }
    Some(octets)
}

fn sextet(octet: u8, last: u8) -> Option<u8> {
    match octet {
        b'A'..=b'Z' => Some(octet - b'A'),
        b'a'..=b'z' => Some(octet - b'a' + 26),
        b'0'..=b'9' => Some(octet - b'0' + 52),
        b'+' => Some(62),
        _ if octet == last => Some(63),
        _ => None,
    }
}

fn encode(octets: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(padded);
        for place in 0..=group.len() {
            let sextet = bits >> (18 - 6 * place) & 63;
            text.push(char::from(alphabet[sextet as usize]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 4648 §10.
    #[test]
    fn vectors_of_rfc_4648() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode_base64(plain.as_bytes()), text);
            assert_eq!(
                decode_base64(text.as_bytes()).unwrap().as_slice(),
                plain.as_bytes()
            );
        }
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        for text in [
            "Z", "Zg", "Zg=", "Zh==", "Zg===", "=", "====", "Zm=v", "Zm9v\n", "Zm,v",
        ] {
            assert_eq!(decode_base64(text.as_bytes()), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(octets: Vec<u8>) {
            prop_assert_eq!(&*decode_base64(encode_base64(&octets).as_bytes()).unwrap(), &octets);
            prop_assert_eq!(&*decode_mailbox(encode_mailbox(&octets).as_bytes()).unwrap(), &octets);
        }

        #[test]
        fn what_decodes_encodes_to_the_same(text in "[A-Za-z0-9+/=]{0,12}") {
            if let Some(octets) = decode_base64(text.as_bytes()) {
                prop_assert_eq!(encode_base64(&octets), text);
            }
        }
    }
}
