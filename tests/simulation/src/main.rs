//! `restante-simulation [--seeds N] [--from SEED] [--steps N]`: many runs.
//! `restante-simulation --seed SEED [--steps N]`: one run, told line by line.
//!
//! With RESTANTE_SIMULATION_COLLECT set, what nobody names is collected after minutes; with
//! RESTANTE_SIMULATION_NO_POST no messages are delivered.

use restante_simulation::{Options, run};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

struct Arguments {
    seed: Option<u64>,
    from: u64,
    seeds: u64,
    steps: u64,
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(what) => {
            eprintln!("{what}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(seed) = arguments.seed {
        let outcome = run(&options(seed, arguments.steps, true));
        println!("{} steps, trace {:016x}", outcome.steps, outcome.hash);
        println!("OK: {:?}", outcome.acknowledged);
        println!("NO: {:?}", outcome.refused);
        return match outcome.violation {
            Some(what) => {
                println!("VIOLATION: {what}");
                ExitCode::FAILURE
            }
            None => ExitCode::SUCCESS,
        };
    }
    let mut failed = 0_u64;
    let (mut steps, mut commands, mut told_twice) = (0, 0, 0_u64);
    let (mut resumed, mut resynchronised) = (0, 0);
    let (mut collected, mut forgotten) = (0, 0);
    for seed in arguments.from..arguments.from + arguments.seeds {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            run(&options(seed, arguments.steps, false))
        }));
        let what = match outcome {
            Ok(outcome) => {
                steps += outcome.steps;
                commands += outcome.acknowledged.values().sum::<u64>();
                told_twice += outcome.told_twice;
                resumed += outcome.resumed;
                collected += outcome.collected;
                forgotten += outcome.forgotten;
                resynchronised += outcome.resynchronised;
                if outcome.told_twice > 0 {
                    println!("seed {seed}: {} UIDs told twice", outcome.told_twice);
                }
                outcome.violation
            }
            Err(_) => Some("a panic".to_owned()),
        };
        if let Some(what) = what {
            failed += 1;
            let what: String = what.chars().take(300).collect();
            println!("seed {seed}: {what}");
        }
    }
    println!(
        "{} seeds, {steps} steps, {commands} commands done, {failed} failed, \
         {told_twice} UIDs told for two messages, {resynchronised} SELECTs of who kept the \
         mailbox, {resumed} machines begun for who slept, {collected} objects and logs \
         collected, {forgotten} expunged messages forgotten",
        arguments.seeds
    );
    if failed > 0 {
        let steps = arguments.steps;
        println!("one of them, line by line: --seed N --steps {steps}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn options(seed: u64, steps: u64, print: bool) -> Options {
    let collects = std::env::var_os("RESTANTE_SIMULATION_COLLECT").is_some();
    Options {
        seed,
        steps,
        collects,
        delivers: std::env::var_os("RESTANTE_SIMULATION_NO_POST").is_none(),
        print,
    }
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments {
        seed: None,
        from: 0,
        seeds: 1_000,
        steps: 3_000,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().and_then(|value| value.parse::<u64>().ok());
        let value = value.ok_or(format!("{word} wants a number"))?;
        match &*word {
            "--seed" => arguments.seed = Some(value),
            "--from" => arguments.from = value,
            "--seeds" => arguments.seeds = value,
            "--steps" => arguments.steps = value,
            _ => return Err(format!("{word} is not known")),
        }
    }
    Ok(arguments)
}
