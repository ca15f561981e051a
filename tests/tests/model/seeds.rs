//! Cases of the directory, each of a seed and in an account of its own.

use restante_tests::Server;
use restante_tests::model::effort::Effort;
use restante_tests::server::Account;

/// Cases, and the seed of the first, where they are always the same.
const FIXED_CASES: u64 = 3;
const FIXED_SEED: u64 = 1;

/// Runs cases until it is enough, from the seed `RESTANTE_DIRECTORY_SEED` on or one that the
/// clock gives. `run` says how many commands there were.
///
/// # Panics
/// With what the server must not have said, and the conversation.
pub(crate) fn run_cases(
    server: &Server,
    mut run: impl FnMut(&Account, u64) -> Result<usize, String>,
) {
    let effort = Effort::begin(FIXED_CASES);
    let first = match std::env::var("RESTANTE_DIRECTORY_SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) if effort.is_fixed() => FIXED_SEED,
        Err(_) => {
            let now = std::time::UNIX_EPOCH.elapsed();
            now.map_or(1, |now| u64::from(now.subsec_nanos()))
        }
    };
    let (mut cases, mut commands) = (0, 0);
    while effort.goes_on(cases) {
        let seed = first + cases;
        let account = Account {
            name: format!("case{cases}"),
            password: "hunter2".to_owned(),
        };
        server.add_account(&account);
        match run(&account, seed) {
            Ok(more) => commands += more,
            Err(why) => panic!("RESTANTE_DIRECTORY_SEED={seed}: {why}"),
        }
        cases += 1;
    }
    println!(
        "{}: {cases} cases, {commands} commands",
        server.flavour.name()
    );
    assert!(commands > 0);
}
