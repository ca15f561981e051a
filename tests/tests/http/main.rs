//! Autodiscovery over HTTP and HTTPS, on both binaries.

mod answers;
mod hostile;
mod k9;
mod programs;

fn main() -> std::process::ExitCode {
    restante_tests::run(&[
        ("answers", answers::TESTS),
        ("hostile", hostile::TESTS),
        ("k9", k9::TESTS),
        ("programs", programs::TESTS),
    ])
}
