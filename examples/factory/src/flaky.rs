//! The flaky worker: works for some seconds, then exits 1.
//!
//! Invariants: the lifetimes follow from the seed and from how often it ran before (counted in
//! `<data>/flaky.runs`), so a demonstration can be repeated.

use std::convert::Infallible;
use std::thread;
use std::time::Duration;

use crate::args::Args;
use crate::{Failure, say};

const LIFE_S_MIN: u64 = 4;
const LIFE_S_SPREAD: u64 = 12;

/// Runs `factory flaky`.
pub(crate) fn run(args: &Args) -> Result<Infallible, Failure> {
    let data = args.path("data")?;
    std::fs::create_dir_all(&data).map_err(|e| format!("{}: {e}", data.display()))?;
    let path = data.join("flaky.runs");
    let before = std::fs::read_to_string(&path)
        .ok()
        .and_then(|t| t.trim().parse().ok());
    let runs: u64 = before.unwrap_or(0);
    std::fs::write(&path, format!("{}\n", runs + 1))
        .map_err(|e| format!("{}: {e}", path.display()))?;
    let seed = args.number("seed")?;
    let life = lifetime(seed.to_bits(), runs);
    say::news(&format!("run {}: all is well", runs + 1));
    thread::sleep(life);
    Err(format!(
        "lost the connection to upstream after {} s",
        life.as_secs()
    ))
}

/// Lifetime of the `run`th run: splitmix64 of seed and run.
fn lifetime(seed: u64, run: u64) -> Duration {
    let mut z = seed.wrapping_add(run.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    Duration::from_secs(LIFE_S_MIN + (z ^ (z >> 31)) % LIFE_S_SPREAD)
}

#[cfg(test)]
mod tests {
    use super::lifetime;

    #[test]
    fn lifetimes_repeat_with_the_seed_and_vary_with_the_run() {
        let lives: Vec<_> = (0..20).map(|run| lifetime(7, run)).collect();
        assert_eq!(
            lives,
            (0..20).map(|run| lifetime(7, run)).collect::<Vec<_>>()
        );
        assert!(lives.iter().any(|life| *life != lives[0]));
        assert!(lives.iter().all(|life| (4..16).contains(&life.as_secs())));
    }
}
