//! Dovecot's authentication protocol on both binaries, over TCP and on a Unix socket.

mod altered;
mod checking;
mod hostile;
mod postfix;
mod sockets;

use restante_tests::{Server, auth::Auth};

fn main() -> std::process::ExitCode {
    restante_tests::run(&[
        ("altered", altered::TESTS),
        ("checking", checking::TESTS),
        ("hostile", hostile::TESTS),
        ("postfix", postfix::TESTS),
        ("sockets", sockets::TESTS),
    ])
}

fn connect(server: &Server) -> Auth {
    Auth::tcp(server.auth_address())
}

/// How a refusal of alice begins and ends, for any wrong password.
const REFUSED: &str = "reason=User name and password do not match";
