//! Building the two binaries under test, once in each test process.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::OnceLock,
};

use crate::Flavour;

/// How the binaries are built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// The profile the tests themselves were built with.
    SameAsTests,
    /// Optimised: for what is measured.
    Release,
}

/// The executable of a flavour, built if need be.
///
/// `RESTANTE_TEST_BINARIES` names a folder with binaries that were built elsewhere.
///
/// # Errors
/// What cargo said, when the build fails.
pub fn executable(flavour: Flavour, profile: Profile) -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("RESTANTE_TEST_BINARIES") {
        return Ok(PathBuf::from(folder).join(flavour.binary()));
    }
    let release = profile == Profile::Release || !cfg!(debug_assertions);
    static DEBUG: OnceLock<Result<Vec<PathBuf>, String>> = OnceLock::new();
    static RELEASE: OnceLock<Result<Vec<PathBuf>, String>> = OnceLock::new();
    let cell = if release { &RELEASE } else { &DEBUG };
    let built = cell
        .get_or_init(|| build(release))
        .as_ref()
        .map_err(Clone::clone)?;
    let name = flavour.binary();
    built
        .iter()
        .find(|path| path.file_stem().is_some_and(|stem| stem == name))
        .cloned()
        .ok_or_else(|| format!("cargo built no executable called {name}"))
}

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests
        .parent()
        .expect("the tests are a folder of the workspace")
        .to_path_buf()
}

/// The folder of a file that belongs to every checkout of the project but not to
/// this repository: `bench`, `corpus`.
///
/// # Errors
/// A sentence saying what is missing.
pub fn shared(name: &str) -> Result<PathBuf, String> {
    // A worktree and the main checkout both lie beside `shared`.
    let path = workspace().join("../shared").join(name);
    if path.exists() {
        Ok(path)
    } else {
        Err(format!("../shared/{name} is not beside the workspace"))
    }
}

fn build(release: bool) -> Result<Vec<PathBuf>, String> {
    eprintln!(
        "Building restante-tokio and restante-smol ({}); this may take some minutes.",
        if release { "release" } else { "dev" }
    );
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    cargo
        .current_dir(workspace())
        .args([
            "build",
            "-p",
            "restante-tokio",
            "-p",
            "restante-smol",
            "--message-format=json-render-diagnostics",
        ])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if release {
        cargo.arg("--release");
    }
    // What cargo has told the tests about their own package would be news to the build
    // scripts of others, which would run again each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    let output = cargo
        .output()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !output.status.success() {
        return Err("the binaries do not build (see cargo's messages above)".to_owned());
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(executable_of).collect())
}

/// The path in `"executable":"…"` of one of cargo's JSON messages.
fn executable_of(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    let (path, _) = rest.split_once('"')?;
    Some(PathBuf::from(path.replace("\\\\", "\\")))
}
