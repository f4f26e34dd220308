//! `cargo xtask torture`: real processes, real faults, for as long as wanted.
//!
//! Purpose: the end-to-end test of random deaths and orders, seed after seed. What it does and what
//! it checks is in `tests/chaos`: managers and keepers are killed and suspended, files broken,
//! disks filled, descriptors withheld, and afterwards the daemons' own diaries must agree with what
//! eud says.
//! Invariants: first it is shown that the checkers notice what is wrong; every seed is printed, and
//! repeats what it did as far as the machine's timing allows; what is tested is a copy, so that
//! nobody who builds meanwhile changes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::{Failure, cmd};

const MINUTES: u64 = 1;
const STEPS: u64 = 400;
/// Programs that are copied.
const PROGRAMS: [&str; 3] = ["eud", "eud-keeper", "diarist"];
const TEST: &str = "chaos::any_mixture_of_deaths_and_orders_ends_as_acknowledged";

/// Runs it.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let minutes = cmd::number(args, "--minutes")?.unwrap_or(MINUTES);
    let first = cmd::number(args, "--seed")?.unwrap_or(1);
    let steps = cmd::number(args, "--steps")?.unwrap_or(STEPS);
    let units = cmd::number(args, "--units")?;
    let copy = Copied::build(cmd::flag(args, "--dist"))?;
    cmd::say("── canary: what is wrong is noticed");
    cmd::output(&mut copy.test("checkers::", &[]))?;
    let until = Instant::now() + Duration::from_secs(minutes * 60);
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    let (mut failed, mut seed) = (Vec::new(), first);
    while Instant::now() < until {
        let mut env = vec![
            ("EUD_SEED", seed.to_string()),
            ("EUD_CHAOS", steps.to_string()),
        ];
        env.extend(units.map(|units| ("EUD_UNITS", units.to_string())));
        let output = cmd::capture(&mut copy.test(TEST, &env))?;
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

/// What is tested and those who test it, in a folder that is removed in the end.
struct Copied(PathBuf);

impl Copied {
    /// With the programs as they are distributed, or as released.
    fn build(is_dist: bool) -> Result<Self, Failure> {
        let build = ["build", "--release", "-p", "eudaemon", "-p", "eud-tests"];
        cmd::run(&mut cmd::cargo(&build))?;
        if is_dist {
            crate::dist::run(&[])?;
        }
        let copy = Self(cmd::target("torture").join(std::process::id().to_string()));
        let failed = |e: std::io::Error| format!("cannot copy what is tested: {e}");
        fs::create_dir_all(&copy.0).map_err(failed)?;
        for name in PROGRAMS {
            let is_distributed = is_dist && name != "diarist";
            let from = if is_distributed {
                "dist-out"
            } else {
                "release"
            };
            fs::copy(cmd::target(from).join(name), copy.0.join(name)).map_err(failed)?;
        }
        fs::copy(tests()?, copy.tests()).map_err(failed)?;
        Ok(copy)
    }

    fn tests(&self) -> PathBuf {
        self.0.join("processes")
    }

    fn test(&self, name: &str, env: &[(&str, String)]) -> Command {
        let mut command = Command::new(self.tests());
        command.args([name, "--nocapture", "--test-threads", "1"]);
        command.current_dir(cmd::root().join("tests"));
        command.env("EUD_TESTS_BIN", &self.0);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // What stays is in nobody's way.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Builds the tests; the program.
fn tests() -> Result<PathBuf, Failure> {
    let words = [
        "test",
        "--release",
        "-p",
        "eud-tests",
        "--test",
        "processes",
    ];
    let mut build = cmd::cargo(&words);
    build.args(["--no-run", "--message-format", "json-render-diagnostics"]);
    let said = cmd::output(&mut build)?;
    let messages = said
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    messages
        .filter(|message| message["target"]["name"] == "processes")
        .find_map(|message| {
            message["executable"]
                .as_str()
                .map(|path| Path::new(path).to_owned())
        })
        .ok_or_else(|| "cargo built no tests".to_owned())
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
