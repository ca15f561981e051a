//! Secrets in configuration: never shown, and wiped when they are dropped.

use core::fmt;
use serde::Deserialize;
use std::fs;
use std::path::Path;
use zeroize::Zeroizing;

/// A secret in text form.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text of a file, without the white space around it.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn read(file: &Path) -> Result<Self, String> {
        let fail = |why: &dyn fmt::Display| format!("{}: {why}", file.display());
        let text = fs::read_to_string(file).map(Self::from);
        let text = text.map_err(|error| fail(&error))?;
        match text.reveal().trim() {
            "" => Err(fail(&"the file is empty")),
            secret => Ok(Self::from(secret.to_owned())),
        }
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(secret: String) -> Self {
        Self(Zeroizing::new(secret))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}
