//! Prints where the `garage` executable for tests is, after installing it if need be.

use std::process::ExitCode;

fn main() -> ExitCode {
    match restante_garage_node::executable() {
        Ok(path) => {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
