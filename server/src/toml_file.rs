//! Reading the configuration and the accounts, both TOML, with errors that may be shown.
//!
//! Both files hold secrets, and what is wrong with them goes into the log and onto terminals.
//! TOML's own error shows the line that it is about: here it has the number of that line
//! and the key, and nothing of the value.

use serde::de::DeserializeOwned;
use toml::de::Error;

/// What `text` says.
///
/// # Errors
/// In which line something is wrong, and what; never what stands there.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| describe(text, &error))
}

fn describe(text: &str, error: &Error) -> String {
    let message = without_value(error.message().trim_end());
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some(before) = before else {
        return message.to_owned();
    };
    let number = before.matches('\n').count() + 1;
    let line = text.lines().nth(number - 1).unwrap_or("");
    match key(text, line) {
        Some(key) => format!("line {number}, {key}: {message}"),
        None => format!("line {number}: {message}"),
    }
}

/// What was found instead is cut off a message of serde's: it may be the secret.
fn without_value(message: &str) -> &str {
    let found = ["invalid type: ", "invalid value: ", "unknown variant "];
    let expected = message.rfind(", expected ");
    match expected.filter(|_| found.iter().any(|found| message.starts_with(found))) {
        Some(place) => &message[place + ", ".len()..],
        None => message,
    }
}

/// The key that a line of TOML begins with. Where the text is no TOML at all, what stands before
/// `=` may be the end of a secret just as well.
fn key<'a>(text: &str, line: &'a str) -> Option<&'a str> {
    let key = line.split_once('=')?.0.trim();
    let bare = |octet: u8| octet.is_ascii_alphanumeric() || b"_-".contains(&octet);
    let is_key = !key.is_empty() && key.bytes().all(bare) && text.parse::<toml::Table>().is_ok();
    is_key.then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only that it is read matters")]
    struct Storage {
        kind: Kind,
        secret: Secret,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Garage,
    }

    #[test]
    fn errors_have_the_line_and_not_what_stands_there() {
        for (second, expected) in [
            ("secret = \"s3cr3t=\"", None),
            ("secret = \"s3cr3t=", Some("line 2: invalid basic string")),
            ("secret = s3cr3t=", Some("line 2: ")),
            (
                "secret = s3cr3t",
                Some("line 2: string values must be quoted"),
            ),
            (
                "secret = [\"s3cr3t\"]",
                Some("line 2, secret: expected a string"),
            ),
            ("secret = 5333", Some("line 2, secret: expected a string")),
            ("secret \"s3cr3t\"", Some("line 2: ")),
            ("secret =\ns3cr3t=", Some("line 2: ")),
            ("secret =\n\"s3cr3t=\"", Some("line 3: ")),
            ("secret = \"\"\"\ns3cr3t=\nx", Some("line ")),
            ("secret = '''\ns3cr3t=\n'''\nkind = 's3cr3t'", Some("line ")),
            (
                "Secret = \"s3cr3t\"",
                Some("line 2, Secret: unknown field `Secret`"),
            ),
        ] {
            let parsed = parse::<Storage>(&format!("kind = \"garage\"\n{second}\n"));
            let Some(expected) = expected else {
                parsed.unwrap();
                continue;
            };
            let error = parsed.unwrap_err();
            assert!(error.starts_with(expected), "{second}: {error}");
            for content in ["s3cr3t", "5333"] {
                assert!(!error.contains(content), "{second}: {error}");
            }
        }
        let error = parse::<Storage>("secret = ''\nkind = 's3cr3t'").unwrap_err();
        assert_eq!(error, "line 2, kind: expected `garage`");
        let error = parse::<Storage>("\nkind = 'garage'").unwrap_err();
        assert!(error.ends_with("missing field `secret`"), "{error}");
    }
}
