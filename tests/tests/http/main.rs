//! Autodiscovery over HTTP and HTTPS, on both binaries.

mod answers;
mod hostile;
mod programs;

fn main() -> std::process::ExitCode {
    restante_tests::run(&[
        ("answers", answers::TESTS),
        ("hostile", hostile::TESTS),
        ("programs", programs::TESTS),
    ])
}
