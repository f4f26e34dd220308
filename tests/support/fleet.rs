//! A fleet in a folder of its own.
//!
//! Invariant: nothing of it outlives its test: it is brought down, and what is left is killed.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};

use super::diary::Diary;
use super::processes::{self, Process};
use super::wire::Wire;
use super::{binaries, eventually};

/// A fleet file and its state.
pub(crate) struct Fleet {
    folder: tempfile::TempDir,
    state: PathBuf,
    /// Added to the environment of every command.
    pub(crate) env: Vec<(String, String)>,
}

impl Fleet {
    /// Writes the fleet file; starts nothing.
    pub(crate) fn new(text: &str) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let fleet = Self {
            state: folder.path().join(".eud"),
            folder,
            env: Vec::new(),
        };
        fleet.write(text);
        fleet
    }

    /// As [`Fleet::new`], and everything in it is brought up.
    #[track_caller]
    pub(crate) fn up(text: &str) -> Self {
        let fleet = Self::new(text);
        fleet.eud("up", 0);
        fleet
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    /// Puts the state elsewhere; before the first start.
    pub(crate) fn set_state(&mut self, state: &Path) {
        self.state = state.to_owned();
    }

    /// Replaces the fleet file.
    pub(crate) fn write(&self, text: &str) {
        fs::write(self.path().join("eud.toml"), text).unwrap();
    }

    /// `eud` with these words.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(binaries::eud());
        command
            .arg("--state")
            .arg(&self.state)
            .args(line.split_whitespace());
        command.current_dir(self.path()).stdin(Stdio::null());
        for name in [
            "EUD_STATE",
            "EUD_KEEPER",
            "EUD_UNIT",
            "EUD_RUN_ID",
            "COLUMNS",
            "NOTIFY_SOCKET",
        ] {
            command.env_remove(name);
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs `eud`, whatever comes of it.
    pub(crate) fn run(&self, line: &str) -> Ran {
        Ran::of(line, &self.command(line).output().unwrap())
    }

    /// Runs `eud`, which is to end with this code.
    #[track_caller]
    pub(crate) fn eud(&self, line: &str, code: i32) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "{ran}\n{}", self.manager_log());
        ran
    }

    /// Runs `eud … --json`, which is to succeed.
    #[track_caller]
    pub(crate) fn json(&self, line: &str) -> Value {
        let ran = self.eud(&format!("{line} --json"), 0);
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran}"))
    }

    /// Starts a manager that is a child of the test. It answers later.
    pub(crate) fn spawn_manager(&self) -> Child {
        let mut command = self.command("manager");
        command
            .arg("--fleet")
            .arg(self.path().join("eud.toml"))
            .arg("--dir")
            .arg(&self.state);
        command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    #[track_caller]
    pub(crate) fn wire(&self) -> Wire {
        Wire::to(&self.state).unwrap_or_else(|e| panic!("{e}\n{}", self.manager_log()))
    }

    /// Calls a method that is to succeed.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        let answer = self.wire().call(method, params);
        answer.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        self.call("fleet.status", &json!({}))
    }

    /// One unit of the status.
    #[track_caller]
    pub(crate) fn unit(&self, name: &str) -> Value {
        let status = self.status();
        let units = status["daemons"].as_array().unwrap();
        let found = units.iter().find(|unit| unit["name"] == name).cloned();
        found.unwrap_or_else(|| panic!("no unit {name}: {status}"))
    }

    /// Waits until a unit is as it should be.
    #[track_caller]
    pub(crate) fn until(&self, name: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let deadline = std::time::Instant::now() + super::PATIENCE;
        while std::time::Instant::now() < deadline {
            last = self.unit(name);
            if is_so(&last) {
                return last;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        panic!("still {last}\n{}", self.manager_log());
    }

    #[track_caller]
    pub(crate) fn until_state(&self, name: &str, state: &str) -> Value {
        self.until(name, |unit| unit["state"] == state)
    }

    /// The command of a unit, once it executes.
    #[track_caller]
    pub(crate) fn process(&self, name: &str) -> Process {
        let unit = self.until(name, |unit| unit["pid"].is_u64());
        let pid = u32::try_from(unit["pid"].as_u64().unwrap()).unwrap();
        Process::of(pid).unwrap_or_else(|| panic!("{name} is not alive: {unit}"))
    }

    /// Folder of a unit.
    pub(crate) fn folder_of(&self, unit: &str) -> PathBuf {
        self.state.join("daemons").join(unit)
    }

    /// Folder of a unit's present run.
    #[track_caller]
    pub(crate) fn run_dir(&self, name: &str) -> PathBuf {
        let unit = self.until(name, |unit| unit["run"].is_string());
        self.folder_of(name)
            .join("runs")
            .join(unit["run"].as_str().unwrap())
    }

    /// The keeper of a unit's present run: the parent of its command.
    #[track_caller]
    pub(crate) fn keeper(&self, name: &str) -> Process {
        let command = self.process(name);
        let text = fs::read_to_string(format!("/proc/{}/status", command.pid)).unwrap();
        let parent = text
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))
            .unwrap();
        let keeper = parent.trim().parse().unwrap();
        let words = fs::read_to_string(format!("/proc/{keeper}/cmdline")).unwrap();
        assert!(
            words.contains("eud-keeper"),
            "the parent of {name} is {words:?}"
        );
        Process::of(keeper).unwrap()
    }

    /// The manager: who listens on the socket.
    #[track_caller]
    pub(crate) fn manager(&self) -> Process {
        Process::of(self.wire().peer()).unwrap()
    }

    /// Kills the manager as a power cut would.
    #[track_caller]
    pub(crate) fn kill_manager(&self) -> Process {
        let manager = self.manager();
        manager.kill();
        manager
    }

    /// Diary of a unit.
    pub(crate) fn diary(&self, unit: &str) -> Diary {
        Diary::read(&self.path().join("diary"), unit)
    }

    /// Rows of `eud runs`, oldest first.
    #[track_caller]
    pub(crate) fn runs(&self, unit: &str) -> Vec<Value> {
        let mut runs = self
            .json(&format!("runs {unit} -n 1000"))
            .as_array()
            .unwrap()
            .clone();
        runs.reverse();
        runs
    }

    pub(crate) fn manager_log(&self) -> String {
        let text = fs::read_to_string(self.state.join("manager.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Brings everything down, and nobody is left.
    #[track_caller]
    pub(crate) fn down(&self) {
        self.eud("down", 0);
        self.until_nobody_is_left();
    }

    #[track_caller]
    pub(crate) fn until_nobody_is_left(&self) {
        let mut left = Vec::new();
        let gone = || {
            left = processes::of_fleet(&self.state);
            left.is_empty().then_some(())
        };
        eventually("everybody's end", gone);
    }
}

impl Fleet {
    /// Copies everything as it is now to a folder of its own below `EUD_TESTS_KEEP`, if that is
    /// set.
    fn keep(&self) {
        let Some(keep) = std::env::var_os("EUD_TESTS_KEEP") else {
            return;
        };
        let name = self.path().file_name().unwrap_or_default();
        let kept = Path::new(&keep).join(name.to_string_lossy().trim_start_matches('.'));
        let copied = fs::create_dir_all(&keep).is_ok()
            && Command::new("cp")
                .arg("-a")
                .args([self.path(), &kept])
                .status()
                .is_ok_and(|status| status.success());
        let how = if copied { "kept" } else { "kept in part" };
        eprintln!("{how}: {}", kept.display());
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.keep();
        }
        if Wire::to(&self.state).is_ok() {
            let _ = self.command("down --wait 20s").output();
        }
        processes::clear_away(&self.state);
    }
}

/// What a command said and ended with.
pub(crate) struct Ran {
    line: String,
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(line: &str, output: &Output) -> Self {
        Self {
            line: line.to_owned(),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> &Self {
        assert!(self.has(words), "no {words:?} in {self}");
        self
    }

    pub(crate) fn has(&self, words: &str) -> bool {
        self.out.contains(words) || self.err.contains(words)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            line,
            code,
            out,
            err,
        } = self;
        write!(f, "`eud {line}` ended with {code}\n{out}\n{err}")
    }
}

/// A daemon of a fleet file that is a diarist. `rest` is further keys.
pub(crate) fn diarist(name: &str, args: &str, rest: &str) -> String {
    let program = binaries::diarist();
    let words: Vec<&str> = [program]
        .into_iter()
        .chain(args.split_whitespace())
        .collect();
    format!("[daemons.{name}]\ncommand = {words:?}\n{rest}\n")
}
