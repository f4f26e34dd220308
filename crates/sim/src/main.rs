//! `eud-sim`: many seeds, or one with its trace.
//!
//! `eud-sim --seeds 100000` runs seeds on every core and then every planted defect; `eud-sim
//! --trace 42 [--plant NAME]` prints one history. Exit code 0 when nothing was violated and every
//! planted defect was found.
#![expect(clippy::print_stdout, reason = "a command's output")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use eud_sim::{Outcome, Planting, simulate};

/// Seeds within which every planted defect must be found.
const PLANTED_SEEDS_MAX: u64 = 1_000;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).cloned()
    };
    let number = |flag: &str| value(flag).and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("--trace") {
        let planting = value("--plant").map_or(Planting::None, |name| named(&name));
        let outcome = simulate(seed, planting, true);
        for line in &outcome.trace {
            println!("{line}");
        }
        println!("{:?}", outcome.violation);
        return std::process::ExitCode::SUCCESS;
    }
    let (start, count) = (
        number("--start").unwrap_or(0),
        number("--seeds").unwrap_or(1_000),
    );
    let sound = run_seeds(start, count) & find_planted() & repeats(start);
    if sound {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}

fn named(name: &str) -> Planting {
    let found = Planting::all()
        .into_iter()
        .find(|planting| format!("{planting:?}").contains(name));
    found.unwrap_or(Planting::None)
}

fn run_seeds(start: u64, count: u64) -> bool {
    let begun = Instant::now();
    let next = AtomicU64::new(start);
    let (violations, events, deaths) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= start + count {
                        break;
                    }
                    let outcome = simulate(seed, Planting::None, false);
                    events.fetch_add(outcome.events, Ordering::Relaxed);
                    deaths.fetch_add(outcome.manager_deaths, Ordering::Relaxed);
                    if let Some(violation) = outcome.violation
                        && violations.fetch_add(1, Ordering::Relaxed) < 10
                    {
                        println!("seed {seed}: {violation}");
                    }
                }
            });
        }
    });
    let violations = violations.into_inner();
    println!(
        "{count} seeds, {} events, {} managers died: {violations} violations, {:.1} s",
        events.into_inner(),
        deaths.into_inner(),
        begun.elapsed().as_secs_f64()
    );
    violations == 0
}

fn find_planted() -> bool {
    let mut all = true;
    for planting in Planting::all() {
        let found = (0..PLANTED_SEEDS_MAX).find_map(|seed| {
            let Outcome { violation, .. } = simulate(seed, planting, false);
            violation.map(|violation| (seed, violation))
        });
        match found {
            Some((seed, violation)) => println!("{planting:?}: found at seed {seed}: {violation}"),
            None => {
                println!("{planting:?}: NOT FOUND within {PLANTED_SEEDS_MAX} seeds");
                all = false;
            }
        }
    }
    all
}

fn repeats(start: u64) -> bool {
    let differing = (start..start + 100).find(|seed| {
        simulate(*seed, Planting::None, false) != simulate(*seed, Planting::None, false)
    });
    match differing {
        Some(seed) => println!("seed {seed} gives two traces"),
        None => println!("100 seeds lived twice: the same traces"),
    }
    differing.is_none()
}
