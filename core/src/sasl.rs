//! What clients say to prove who they are, whatever the protocol around it: the message
//! of PLAIN (RFC 4616), and how login names are compared.

use crate::boundary::Credentials;
use zeroize::Zeroizing;

/// What login names are compared by: `Alice` and `alice` are one.
#[must_use]
pub fn fold_name(name: &str) -> String {
    name.to_ascii_lowercase()
}

/// Why a message of PLAIN holds no credentials.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PlainError {
    /// It is not one.
    Malformed,
    /// Whoever this is wants to act for somebody else.
    ForAnother {
        /// Who this is.
        user: String,
    },
}

/// Reads a message of PLAIN: authorization identity, NUL, user, NUL, password (RFC 4616 §2).
pub(crate) fn parse_plain(message: &[u8]) -> Result<Credentials, PlainError> {
    let mut pieces = message
        .splitn(3, |octet| *octet == 0)
        .map(core::str::from_utf8);
    let (Some(Ok(authzid)), Some(Ok(user)), Some(Ok(password))) =
        (pieces.next(), pieces.next(), pieces.next())
    else {
        return Err(PlainError::Malformed);
    };
    if user.is_empty() || password.contains('\0') {
        return Err(PlainError::Malformed);
    }
    // Some clients repeat the user here: that is the same wish as saying nothing.
    if !authzid.is_empty() && fold_name(authzid) != fold_name(user) {
        let user = user.to_owned();
        return Err(PlainError::ForAnother { user });
    }
    Ok(Credentials {
        user: user.to_owned(),
        password: Zeroizing::new(password.to_owned()),
        source: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_acts_for_himself_is_let_in() {
        for message in [
            &b"\0alice\0secret"[..],
            b"alice\0alice\0secret",
            b"ALICE\0alice\0secret",
        ] {
            let credentials = parse_plain(message).unwrap();
            assert_eq!(credentials.user, "alice");
            assert_eq!(*credentials.password, "secret");
        }
        let other = PlainError::ForAnother {
            user: "alice".to_owned(),
        };
        assert_eq!(parse_plain(b"bob\0alice\0secret").unwrap_err(), other);
    }

    #[test]
    fn anything_else_is_malformed() {
        for message in [
            &b""[..],
            b"alice",
            b"\0alice",
            b"\0\0secret",
            b"\0alice\0sec\0ret",
            b"\0al\xffce\0secret",
            b"\0alice\0secr\xff",
            b"\xff\0alice\0secret",
        ] {
            assert_eq!(parse_plain(message).unwrap_err(), PlainError::Malformed);
        }
    }
}
