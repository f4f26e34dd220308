//! `cargo xtask fuzz`: any bytes for every parser, with libFuzzer on the stable compiler.
//!
//! Invariants: the instrumented build lives in `target/fuzz` and disturbs no other; what a run
//! finds worth keeping is merged into `fuzz/corpus/TARGET`, bounded in number and size; an input
//! that breaks a promise is kept in `fuzz/failures/TARGET`, together with the command that repeats
//! it.
//! Deliberately absent: sanitizers, which need another compiler. `unsafe` is in one crate only.

mod corpus;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Failure, cmd};

/// Inputs of a target when no number is asked for.
const RUNS: u64 = 1_000_000;
/// Inputs within which the planted defect must be found.
const PLANTED_RUNS: u64 = 2_000_000;
/// Longest time one input may take, in seconds.
const INPUT_SECONDS_MAX: u32 = 5;
/// Most memory the fuzzer may use, in megabytes.
const MEMORY_MB_MAX: u32 = 2_048;
/// Counters on every edge, and the operands of comparisons.
const INSTRUMENTED: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
     -Cdebug-assertions -Coverflow-checks -Ccodegen-units=4";

/// Runs the task.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let limit = Limit::of(args)?;
    let program = build(cmd::flag(args, "--planted"))?;
    if cmd::flag(args, "--planted") {
        return planted(&program);
    }
    let targets = wanted(targets(&program)?, args)?;
    let mut failed = Vec::new();
    for target in targets {
        if let Err(failure) = fuzz(&program, &target, &limit) {
            cmd::say(&failure);
            failed.push(target.name);
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("promises were broken: {}", failed.join(", "))),
    }
}

/// When a target has had enough.
struct Limit(String);

impl Limit {
    fn of(args: &[String]) -> Result<Self, Failure> {
        let minutes = cmd::number(args, "--minutes")?;
        let runs = cmd::number(args, "--runs")?.unwrap_or(RUNS);
        Ok(Self(match minutes {
            Some(minutes) => format!("-max_total_time={}", minutes.saturating_mul(60)),
            None => format!("-runs={runs}"),
        }))
    }
}

/// Folder of the package.
fn home() -> PathBuf {
    cmd::root().join("fuzz")
}

/// Folder of the instrumented build and of inputs that are not committed.
fn work() -> PathBuf {
    cmd::target("fuzz")
}

/// A target, as the program lists it.
struct Target {
    name: String,
    /// Longest input worth trying, in bytes.
    bytes_max: String,
    about: String,
}

fn targets(program: &Path) -> Result<Vec<Target>, Failure> {
    let said = cmd::output(Command::new(program).env_remove("EUD_FUZZ_TARGET"))?;
    let target = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        Some(Target {
            name: fields.next()?,
            bytes_max: fields.next()?,
            about: fields.next()?,
        })
    };
    Ok(said.lines().filter_map(target).collect())
}

/// Those that are named, in that order; all when none is.
fn wanted(mut all: Vec<Target>, args: &[String]) -> Result<Vec<Target>, Failure> {
    let names: Vec<&String> = args
        .iter()
        .take_while(|arg| !arg.starts_with("--"))
        .collect();
    if names.is_empty() {
        return Ok(all);
    }
    let mut wanted = Vec::new();
    for name in names {
        let Some(place) = all.iter().position(|target| target.name == *name) else {
            let known: Vec<&str> = all.iter().map(|target| target.name.as_str()).collect();
            let known = known.join(", ");
            return Err(format!("no target `{name}`; there are: {known}"));
        };
        wanted.push(all.remove(place));
    }
    Ok(wanted)
}

fn build(with_planted: bool) -> Result<PathBuf, Failure> {
    let host = host()?;
    let features = if with_planted {
        "libfuzzer,planted"
    } else {
        "libfuzzer"
    };
    let work = work();
    let target_dir = work.to_string_lossy();
    let mut args = vec!["build", "--release", "--package", "eud-fuzz"];
    args.extend(["--features", features, "--target-dir", &target_dir]);
    // With a target named, build scripts and macros are not instrumented.
    args.extend(["--target", &host]);
    cmd::run(cmd::cargo(&args).env("RUSTFLAGS", INSTRUMENTED))?;
    Ok(work.join(&host).join("release/eud-fuzz"))
}

fn host() -> Result<String, Failure> {
    let said = cmd::output(&mut cmd::command("rustc", &["-vV"]))?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned)
        .ok_or_else(|| "rustc does not say its host".to_owned())
}

/// One target, to its limit or its first failure.
fn fuzz(program: &Path, target: &Target, limit: &Limit) -> Result<(), Failure> {
    let Target {
        name,
        bytes_max,
        about,
    } = target;
    let places = corpus::Places::of(name)?;
    let failures = home().join("failures").join(name);
    create(&failures)?;
    let temporary = Temporary::new()?;
    let mut command = fuzzer(program, name, &temporary.0);
    command
        .arg(&limit.0)
        .arg(format!("-artifact_prefix={}/", failures.display()))
        .arg(format!("-max_len={}", bytes_max))
        .args(["-print_final_stats=1", "-reload=0"]);
    let dictionary = home().join("dictionaries").join(format!("{name}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command.args([&places.found, &places.committed, &places.seeds]);
    cmd::say(&format!("── {name}: {about}"));
    let ended = watch(&mut command);
    // An empty folder says nothing.
    let _ = fs::remove_dir(&failures);
    ended.map_err(|why| {
        format!(
            "{why}\nfuzz/failures/{name} has the input; to repeat it:\n  \
             cargo nextest run -p eud-fuzz -E 'test(={name})'"
        )
    })?;
    let mut merge = fuzzer(program, name, &temporary.0);
    corpus::merge(&mut merge, &places)
}

fn fuzzer(program: &Path, target: &str, temporary: &Path) -> Command {
    let mut command = Command::new("nice");
    command
        .args(["-n", "10"])
        .arg(program)
        .env("EUD_FUZZ_TARGET", target)
        .env("TMPDIR", temporary)
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB_MAX}"))
        .current_dir(home());
    command
}

/// Shows every doubling of inputs, and everything that is not about progress.
fn watch(command: &mut Command) -> Result<(), Failure> {
    let mut child = command
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run {}: {e}", cmd::words(command)))?;
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line);
            if is_worth_saying(&line) {
                cmd::say(&line);
            }
        }
    }
    let status = child.wait().map_err(|e| e.to_string())?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("the fuzzer ended with {status}"))
    }
}

fn is_worth_saying(line: &str) -> bool {
    let progress = line.starts_with('#') && !line.starts_with("##");
    let event = line.split_ascii_whitespace().nth(1);
    let step = progress && matches!(event, Some("INITED" | "pulse" | "DONE"));
    let chatter = [
        "INFO:",
        "NEW_FUNC",
        "###",
        "\"",
        "stat::peak",
        "stat::slowest",
    ];
    step || !(progress || line.is_empty() || chatter.iter().any(|word| line.contains(word)))
}

/// The fuzzer must find the panic that is there to be found.
fn planted(program: &Path) -> Result<(), Failure> {
    let temporary = Temporary::new()?;
    let mut command = fuzzer(program, "planted", &temporary.0);
    command
        .arg(format!("-runs={PLANTED_RUNS}"))
        .arg(format!("-artifact_prefix={}/", temporary.0.display()))
        .args(["-max_len=64", "-seed=1"]);
    let said = cmd::capture(&mut command)?;
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    if said.contains("the planted defect") {
        let runs = said.lines().rfind(|line| line.starts_with('#'));
        cmd::say(&format!(
            "the planted defect was found after {}",
            runs.unwrap_or("?")
        ));
        Ok(())
    } else {
        Err(format!(
            "the planted defect was not found in {PLANTED_RUNS} inputs"
        ))
    }
}

fn create(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))
}

/// A folder for what targets write, gone with the value. In memory where there is such a place.
struct Temporary(PathBuf);

impl Temporary {
    fn new() -> Result<Self, Failure> {
        let shm = Path::new("/dev/shm");
        let parent = if shm.is_dir() {
            shm.to_owned()
        } else {
            std::env::temp_dir()
        };
        let folder = parent.join(format!("eud-xtask-fuzz-{}", std::process::id()));
        create(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is in a temporary folder.
        let _ = fs::remove_dir_all(&self.0);
    }
}
