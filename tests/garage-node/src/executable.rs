//! Finding the `garage` executable, or installing it.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

/// The released version that the tests run on.
const VERSION: &str = "2.5.0";

/// The `garage` executable: the one `GARAGE_BIN` names, else one of the right version
/// in the workspace's `target/tools` or on the `PATH`, else one that is installed now
/// from the registry into `target/tools`, which takes some minutes once.
///
/// # Errors
/// A sentence saying what is wrong with `GARAGE_BIN`, or that the installation failed.
pub fn executable() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    FOUND.get_or_init(find_or_install).clone()
}

fn find_or_install() -> Result<PathBuf, String> {
    if let Some(path) = env::var_os("GARAGE_BIN").map(PathBuf::from) {
        return match version_line(&path) {
            Some(_) => Ok(path),
            None => Err(format!(
                "GARAGE_BIN names {}, which is not a Garage executable",
                path.display()
            )),
        };
    }
    let tools = tools_folder();
    let installed = tools.join("bin/garage");
    if let Some(found) = [installed.clone(), PathBuf::from("garage")]
        .into_iter()
        .find(|path| is_right(path))
    {
        return Ok(found);
    }
    fs::create_dir_all(&tools).map_err(|error| error.to_string())?;
    // Test processes that run at the same time wait here for the first of them.
    let lock = File::create(tools.join("garage.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    if !is_right(&installed) {
        install(&tools)?;
    }
    if is_right(&installed) {
        Ok(installed)
    } else {
        Err(format!("{} is not Garage {VERSION}", installed.display()))
    }
}

fn install(tools: &Path) -> Result<(), String> {
    eprintln!(
        "Installing Garage {VERSION} into {}; this takes some 12 minutes on two cores, once.\n\
         Set GARAGE_BIN to use an executable that you have.",
        tools.display()
    );
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["install", "garage", "--version", VERSION])
        .args(["--locked", "--force", "--root"])
        .arg(tools)
        .current_dir(tools)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err("Garage could not be installed (see cargo's messages above)".to_owned())
    }
}

fn tools_folder() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .expect("this package lies two folders below the workspace");
    workspace.join("target/tools")
}

/// Whether this is the version the tests want, built with K2V.
fn is_right(path: &Path) -> bool {
    version_line(path).is_some_and(|line| line.contains(VERSION) && line.contains("k2v"))
}

/// What `garage --version` says, if it is Garage at all.
fn version_line(path: &Path) -> Option<String> {
    let output = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let line = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && line.starts_with("garage ")).then_some(line)
}
