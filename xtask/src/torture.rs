//! `cargo xtask torture`: real processes, real faults, for as long as wanted.
//!
//! Purpose: the end-to-end test of random deaths and orders, seed after seed. What it does and what
//! it checks is in `tests/chaos`: managers and keepers are killed and suspended, files broken,
//! disks filled, descriptors withheld, and afterwards the daemons' own diaries must agree with what
//! eud says.
//! Invariants: first it is shown that the checkers notice what is wrong; every seed is printed, and
//! repeats what it did as far as the machine's timing allows.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Failure, cmd};

const MINUTES: u64 = 1;
const STEPS: u64 = 400;
const TEST: &str = "chaos::any_mixture_of_deaths_and_orders_ends_as_acknowledged";

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let minutes = cmd::number(args, "--minutes")?.unwrap_or(MINUTES);
    let first = cmd::number(args, "--seed")?.unwrap_or(1);
    let steps = cmd::number(args, "--steps")?.unwrap_or(STEPS);
    let units = cmd::number(args, "--units")?;
    let build = ["build", "--release", "-p", "eudaemon", "-p", "eud-tests"];
    cmd::run(&mut cmd::cargo(&build))?;
    cmd::say("── canary: what is wrong is noticed");
    cmd::output(&mut test("checkers::", &[]))?;
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    let (mut failed, mut seed) = (Vec::new(), first);
    while Instant::now() < until {
        let mut env = vec![
            ("EUD_SEED", seed.to_string()),
            ("EUD_CHAOS", steps.to_string()),
        ];
        env.extend(units.map(|units| ("EUD_UNITS", units.to_string())));
        let output = cmd::capture(&mut test(TEST, &env))?;
        let text = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            add(&mut sums, &text);
        } else {
            let told = String::from_utf8_lossy(&output.stdout);
            cmd::say(&format!(
                "VIOLATION with --seed {seed} --steps {steps}\n{told}{text}"
            ));
            failed.push(seed);
        }
        cmd::say(&format!("seed {seed}: {}", words(&sums)));
        seed += 1;
    }
    let kills = ["manager", "keeper"]
        .iter()
        .filter_map(|who| sums.get(*who));
    let kills: u64 = kills.sum();
    cmd::say(&format!(
        "\n{} seeds, {kills} kills of managers and keepers, {} violations",
        seed - first,
        failed.len()
    ));
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("violated by seeds {failed:?}"))
}

fn test(name: &str, env: &[(&str, String)]) -> Command {
    let words = [
        "test",
        "-q",
        "--release",
        "-p",
        "eud-tests",
        "--test",
        "processes",
        "--",
    ];
    let mut command = cmd::cargo(&words);
    command.args([name, "--nocapture", "--test-threads", "1"]);
    command.env("EUD_TESTS_BIN", cmd::target("release"));
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
}

/// Adds up the counts of a run.
fn add(sums: &mut BTreeMap<String, u64>, text: &str) {
    let line = text.lines().find(|line| line.starts_with("chaos: "));
    for word in line.unwrap_or_default().split(' ') {
        if let Some((name, count)) = word.split_once('=')
            && name != "seed"
        {
            *sums.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap_or(0);
        }
    }
}

fn words(sums: &BTreeMap<String, u64>) -> String {
    let words = sums.iter().map(|(name, count)| format!("{name} {count}"));
    words.collect::<Vec<_>>().join(", ")
}
