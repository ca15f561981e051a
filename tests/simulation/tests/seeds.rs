//! Many worlds, each from a seed. A longer search is the program:
//! `cargo run --release -p restante-simulation -- --seeds 100000`.

use restante_simulation::{Options, Outcome, run};

/// Seeds of every run of the tests.
const SEEDS: u64 = 120;
/// Steps of each of them before its faults end.
const STEPS: u64 = 1_500;

fn world(seed: u64, steps: u64) -> Outcome {
    run(&Options {
        seed,
        steps,
        collects: false,
        delivers: true,
        print: false,
    })
}

#[test]
fn no_fault_breaks_a_promise() {
    let (mut commands, mut refused, mut delivered) = (0, 0, 0);
    for seed in 0..SEEDS {
        let outcome = world(seed, STEPS);
        commands += outcome.acknowledged.values().sum::<u64>();
        refused += outcome.refused.values().sum::<u64>();
        delivered += outcome.acknowledged.get("delivery").unwrap_or(&0);
        if let Some(what) = outcome.violation {
            panic!(
                "seed {seed}: {what}\nline by line: \
                 cargo run -p restante-simulation -- --seed {seed} --steps {STEPS}"
            );
        }
    }
    // A world in which nothing happens, or nothing goes wrong, proves nothing.
    assert!(commands > SEEDS * 30, "{commands} commands were done");
    assert!(refused > SEEDS, "{refused} commands were refused");
    assert!(delivered > SEEDS * 5, "{delivered} messages were delivered");
}

/// Clients keep mailboxes and ask for changes only, on servers whose machines for accounts
/// end while everybody sleeps, and nothing is delivered that would wake them.
#[test]
fn who_roams_between_servers_that_write_at_once_misses_nothing() {
    let (mut resynchronised, mut resumed) = (0, 0);
    for seed in 50_000..50_020 {
        let outcome = run(&Options {
            seed,
            steps: 4_000,
            collects: true,
            delivers: false,
            print: false,
        });
        resynchronised += outcome.resynchronised;
        resumed += outcome.resumed;
        if let Some(what) = outcome.violation {
            panic!("seed {seed}: {what}");
        }
    }
    assert!(resynchronised > 150, "{resynchronised} SELECTs of caches");
    assert!(resumed > 300, "{resumed} machines began for who slept");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (one, two) = (world(7, STEPS), world(7, STEPS));
    assert_eq!((one.hash, one.steps), (two.hash, two.steps));
    assert_ne!(one.hash, world(8, STEPS).hash);
}

#[test]
fn what_is_collected_is_missed_by_nobody() {
    let (mut collected, mut forgotten) = (0, 0);
    for seed in 0..24 {
        let outcome = run(&Options {
            seed,
            steps: 6_000,
            collects: true,
            delivers: true,
            print: false,
        });
        collected += outcome.collected;
        forgotten += outcome.forgotten;
        if let Some(what) = outcome.violation {
            panic!(
                "seed {seed}: {what}\nline by line: RESTANTE_SIMULATION_COLLECT=1 \
                 cargo run -p restante-simulation -- --seed {seed} --steps 6000"
            );
        }
    }
    assert!(collected > 10, "{collected} were collected");
    assert!(forgotten > 10, "{forgotten} were forgotten");
}
