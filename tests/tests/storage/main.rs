//! What lies on the disk: nothing that can be read, and faults that stay small.

mod confidential;
mod damage;
mod full;

fn main() -> std::process::ExitCode {
    restante_tests::run(&[
        ("confidential", confidential::TESTS),
        ("damage", damage::TESTS),
        ("full", full::TESTS),
    ])
}
