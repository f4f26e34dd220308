//! The real program with real processes: a manager, keepers, small shell daemons, one folder each
//! test.
//!
//! Nothing here waits for a fixed time: commands wait by themselves, and what they do not wait for
//! is looked for until it is there or a limit is reached.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "end_to_end/events.rs"]
mod events;
#[path = "end_to_end/jobs.rs"]
mod jobs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A fleet of four: one that is ready by a file, one that needs it, one that ends, one that fails.
const FLEET: &str = r#"
[fleet]
name = "shop"

[defaults]
stop = { grace = "2s" }

[profiles]
some = ["db"]

[daemons.db]
shell = "echo db says hello; echo trouble >&2; touch db.ready; exec sleep 1000"
ready = { file = "db.ready" }
category = "data"
tags = ["keep"]

[daemons.api]
shell = "echo api $COLOR; exec sleep 1000"
needs = ["db"]
category = "web"
env = { COLOR = "blue" }

[daemons.migrate]
shell = "echo migrated"
restart = "on-failure"
category = "data"
"#;

const BROKEN: &str = r#"
[daemons.broken]
shell = "echo it is broken; echo really >&2; exit 3"
restart = "never"
"#;

struct Fleet {
    folder: tempfile::TempDir,
}

impl Fleet {
    fn new(text: &str) -> Self {
        let fleet = Self {
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
        };
        fleet.write(text);
        fleet
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, text: &str) {
        fs::write(self.path().join("eud.toml"), text).unwrap();
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_eud"));
        command
            .args(line.split_whitespace())
            .current_dir(self.path());
        command.env("EUD_KEEPER", env!("CARGO_BIN_EXE_eud-keeper"));
        command
            .env_remove("EUD_STATE")
            .env_remove("COLUMNS")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Ran {
        Ran::of(line, &self.command(line).output().unwrap())
    }

    /// Runs a command that is to end with this code.
    #[track_caller]
    fn eud(&self, line: &str, code: i32) -> Ran {
        let ran = self.run(line);
        assert_eq!(ran.code, code, "{ran}");
        ran
    }

    #[track_caller]
    fn json(&self, line: &str, code: i32) -> Value {
        let ran = self.eud(&format!("{line} --json"), code);
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {ran}"))
    }

    #[track_caller]
    fn daemon(&self, name: &str) -> Value {
        let status = self.json("status", 0);
        let daemons = status["daemons"].as_array().unwrap();
        daemons
            .iter()
            .find(|d| d["name"] == name)
            .cloned()
            .unwrap_or_else(|| panic!("{status}"))
    }

    fn manager_pid(&self) -> Option<String> {
        fs::read_to_string(self.path().join(".eud/manager.pid")).ok()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A manager that a test has left unsupervised ones behind takes them back first.
        if self.path().join(".eud").exists() {
            let _ = self.command("down").output();
            if !self
                .command("down")
                .output()
                .is_ok_and(|o| o.status.success())
            {
                let _ = self.command("up --wait 0s").output();
                let _ = self.command("down").output();
            }
        }
    }
}

/// A process that does not outlive its test.
struct Child(std::process::Child);

impl Child {
    fn of(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.0.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    fn code(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Ran {
    line: String,
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn of(line: &str, output: &Output) -> Self {
        Self {
            line: line.to_owned(),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    #[track_caller]
    fn says(&self, words: &str) -> &Self {
        assert!(
            self.out.contains(words) || self.err.contains(words),
            "no {words:?} in {self}"
        );
        self
    }

    #[track_caller]
    fn says_not(&self, words: &str) -> &Self {
        assert!(
            !self.out.contains(words) && !self.err.contains(words),
            "{words:?} in {self}"
        );
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`eud {}` ended with {}\n{}\n{}",
            self.line, self.code, self.out, self.err
        )
    }
}

#[track_caller]
fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in 20 s: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn alive(pid: &Value) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[test]
fn a_fleet_comes_up_and_goes_down() {
    let fleet = Fleet::new(FLEET);
    fleet
        .eud("status", 4)
        .says("no manager is running")
        .says("eud up");
    fleet
        .eud("up", 0)
        .says("started the manager")
        .says("3 daemons up in");
    fleet
        .eud("status", 0)
        .says("3 daemons")
        .says("1 ready")
        .says("1 up")
        .says("1 done");
    let pid = fleet.daemon("db")["pid"].clone();
    assert!(alive(&pid));
    fleet.eud("up", 0).says("nothing to do");
    fleet.eud("down", 0).says("and the manager in");
    assert!(!alive(&pid));
    fleet.eud("down", 0).says("nothing runs here");
    fleet.eud("status", 4).says("stopped");
}

#[test]
fn a_profile_is_brought_up_alone() {
    let fleet = Fleet::new(FLEET);
    fleet
        .eud("up --profile sone", 5)
        .says("did you mean `some`?");
    assert!(!fleet.path().join(".eud").exists());
    fleet.eud("up --profile some", 0);
    assert_eq!(fleet.daemon("db")["state"], "ready");
    assert_eq!(fleet.daemon("api")["state"], "stopped");
}

#[test]
fn stop_start_and_restart_say_what_happened() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    let before = fleet.daemon("db")["pid"].clone();
    fleet
        .eud("restart db", 0)
        .says("restarted db (run ")
        .says("ready in")
        .says("restarted api");
    assert_ne!(fleet.daemon("db")["pid"], before);
    fleet
        .eud("stop category:web", 0)
        .says("stopped api (exit SIGTERM in");
    assert_eq!(fleet.daemon("api")["state"], "stopped");
    assert_eq!(fleet.daemon("db")["state"], "ready");
    fleet.eud("start api", 0).says("started api");
    fleet
        .eud("stop nothing", 5)
        .says("nothing is called `nothing`");
    fleet.eud("stop dv", 5).says("did you mean `db`?");
    let json = fleet.json("restart api", 0);
    assert_eq!(json["ok"], true);
    assert_eq!(json["daemons"][0]["name"], "api");
}

#[test]
fn a_hold_holds_until_it_is_released() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    let held = Ran::of(
        "hold",
        &fleet
            .command("hold api -m")
            .arg("key leaked")
            .output()
            .unwrap(),
    );
    held.says("held api (key leaked)");
    fleet
        .eud("start api", 7)
        .says("`api` is held: key leaked")
        .says("eud release api");
    fleet.eud("release api", 0).says("released api");
    fleet.eud("start api", 0);
}

#[test]
fn a_signal_is_sent() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    fleet
        .eud("kill TERM api", 0)
        .says("sent SIGTERM to api (pid ");
    eventually("api is restarted", || {
        (fleet.daemon("api")["restarts"] == 1).then_some(())
    });
    fleet
        .eud("kill TERM migrate", 7)
        .says("no process to signal");
    fleet
        .eud("kill api TERM", 2)
        .says("there is no signal `api`")
        .says("the signal comes before the names");
}

#[test]
fn what_fails_is_told_with_its_last_lines() {
    let fleet = Fleet::new(&format!("{FLEET}{BROKEN}"));
    let up = fleet.eud("up", 1);
    up.says("broken failed: exited with code 3")
        .says("it is broken")
        .says("really");
    up.says("next: eud why broken").says("3 of 4 daemons up");
    fleet
        .eud("status failing", 0)
        .says("broken")
        .says_not("api");
    fleet.eud("status", 0).says("1 failing");
    fleet
        .eud("why broken", 0)
        .says("broken")
        .says("it is broken")
        .says("Fix first: broken.");
    fleet.eud("start broken", 1);
}

#[test]
fn logs_are_merged_and_need_no_manager() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    fleet
        .eud("logs", 0)
        .says("db says hello")
        .says("api blue")
        .says("migrated");
    fleet.eud("down", 0);
    let all = fleet.eud("logs", 0);
    assert!(
        all.out.find("db says hello") < all.out.find("api blue"),
        "{all}"
    );
    fleet.eud("logs db --stderr --raw", 0);
    assert_eq!(fleet.eud("logs db --stderr --raw", 0).out, "trouble\n");
    assert_eq!(fleet.eud("logs --grep ^mig --raw", 0).out, "migrated\n");
    fleet
        .eud("logs category:web", 0)
        .says("api blue")
        .says_not("hello");
    fleet.eud("logs --grep (", 2).says("regular expression");
    fleet.eud("logs nobody", 5);
    let line = fleet.eud("logs api --json", 0).out;
    let value: Value = serde_json::from_str(line.trim()).unwrap();
    assert_eq!(
        (&value["daemon"], &value["stream"]),
        (&"api".into(), &"stdout".into())
    );
    fleet.eud("logs --manager", 0).says("manager ended");
}

#[test]
fn followed_logs_show_each_line_once_across_rotations() {
    let fleet = Fleet::new(
        r#"
        [daemons.counter]
        shell = "i=0; while [ $i -lt 3000 ]; do echo line $i; i=$((i+1)); done; exec sleep 1000"
        log = { max_size = "4KiB", keep = 100 }
        "#,
    );
    let out = fs::File::create(fleet.path().join("followed")).unwrap();
    fs::create_dir_all(fleet.path().join(".eud/daemons/counter/log")).unwrap();
    let follower = Child::of(fleet.command("logs -f -n all --raw counter").stdout(out));
    fleet.eud("up", 0);
    let read = || fs::read_to_string(fleet.path().join("followed")).unwrap();
    eventually("the last line", || {
        read().contains("line 2999\n").then_some(())
    });
    drop(follower);
    let expected: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    assert_eq!(read(), expected);
    assert_eq!(fleet.eud("logs counter --raw -n all", 0).out, expected);
    assert_eq!(
        fleet.eud("logs counter --raw -n 2", 0).out,
        "line 2998\nline 2999\n"
    );
}

#[test]
fn runs_are_known_with_and_without_a_manager() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    fleet.eud("restart db", 0);
    let runs = fleet.json("runs db", 0);
    assert_eq!(runs.as_array().unwrap().len(), 2);
    assert_eq!(runs[1]["exit"]["signal"], 15);
    fleet.eud("runs db", 0).says("running").says("SIGTERM");
    fleet.eud("down", 0);
    assert_eq!(fleet.json("runs db", 0).as_array().unwrap().len(), 2);
    fleet.eud("runs nobody", 5);
}

#[test]
fn everything_known_of_one_daemon_is_shown() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    fleet
        .eud("show api", 0)
        .says("COLOR=blue")
        .says("needs")
        .says("declared in")
        .says("up");
    assert_eq!(fleet.json("show api", 0)["view"]["name"], "api");
    fleet.eud("show nobody", 5);
}

#[test]
fn a_reload_says_what_restarts_and_why() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    let pid = fleet.daemon("db")["pid"].clone();
    fleet.eud("reload", 0).says("nothing changed");
    fleet.write(&FLEET.replace("blue", "red"));
    fleet
        .eud("reload", 0)
        .says("api restarts: env changed")
        .says("restarted api");
    assert_eq!(fleet.daemon("db")["pid"], pid);
    fleet.eud("logs api --raw -n 1", 0).says("api red");
    fleet.write(&FLEET.replace("needs = [\"db\"]", "needs = [\"dv\"]"));
    fleet.eud("reload", 3).says("did you mean `db`?");
    fleet.eud("up", 3).says("nothing was changed");
    assert_eq!(fleet.daemon("db")["pid"], pid);
    fleet.write(&format!(
        "{FLEET}\n[daemons.extra]\nshell = \"exec sleep 1000\"\n"
    ));
    fleet.eud("up", 0).says("extra is new");
    assert_eq!(fleet.daemon("extra")["state"], "up");
}

#[test]
fn a_fleet_file_is_checked_and_written() {
    let fleet = Fleet::new("[daemons.a]\ncommand = \"true\"\nneeds = [\"b\"]\n");
    fleet.eud("check", 3).says("b").says("1 error in eud.toml");
    assert_eq!(fleet.json("check", 3)["ok"], false);
    fleet.eud("up", 3);
    assert!(
        !fleet.path().join(".eud").exists(),
        "nothing is created for an invalid fleet"
    );
    fleet.write(FLEET);
    fleet
        .eud("check", 0)
        .says("eud.toml is valid: 3 daemons, 1 profile, no warnings");
    fleet.eud("init", 2).says("is there already");
    fs::remove_file(fleet.path().join("eud.toml")).unwrap();
    fleet
        .eud("check", 3)
        .says("no fleet file found")
        .says("eud init");
    fleet.eud("init", 0).says("wrote");
    fleet.eud("check", 0);
    let schema: Value = serde_json::from_str(&fleet.eud("schema", 0).out).unwrap();
    assert!(schema["properties"]["daemons"].is_object(), "{schema}");
}

#[test]
fn an_upgrade_keeps_every_process() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    let (pid, manager) = (fleet.daemon("db")["pid"].clone(), fleet.manager_pid());
    let up = fleet.eud("upgrade", 0);
    up.says("2 running daemons: every process id is as before")
        .says("replaced manager");
    assert_eq!(fleet.daemon("db")["pid"], pid);
    assert_ne!(fleet.manager_pid(), manager);
}

#[test]
fn daemons_outlive_a_manager_that_is_told_to_keep_them() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("up", 0);
    let pid = fleet.daemon("db")["pid"].clone();
    fleet.eud("down --keep-daemons", 0).says("2 daemons go on");
    assert!(alive(&pid));
    let status = fleet.eud("status", 4);
    status
        .says("alive, not supervised")
        .says("no manager is running");
    fleet.eud("down", 4).says("2 run without one: api, db");
    fleet.eud("up", 0).says("took back 2 running daemons");
    assert_eq!(fleet.daemon("db")["pid"], pid);
}

#[test]
fn many_who_bring_it_up_at_once_start_one_manager() {
    let fleet = Fleet::new(FLEET);
    let ups: Vec<_> = (0..4)
        .map(|_| {
            fleet
                .command("up")
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for up in ups {
        let ran = Ran::of("up", &up.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
    }
    assert_eq!(fleet.json("runs db", 0).as_array().unwrap().len(), 1);
}

#[test]
fn a_wait_that_runs_out_is_code_6() {
    let fleet = Fleet::new(
        "[daemons.slow]\nshell = \"echo not yet; exec sleep 1000\"\nready = { file = \"never\" }\n",
    );
    fleet
        .eud("up --wait 300ms", 6)
        .says("slow is not ready")
        .says("not yet")
        .says("0 of 1");
    fleet.eud("up --wait 0s", 0).says("1 daemon on the way");
}

#[test]
fn file_and_state_can_be_anywhere() {
    let fleet = Fleet::new(FLEET);
    let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let state = state.path().join(format!("{}/state", "long-".repeat(20)));
    fs::rename(
        fleet.path().join("eud.toml"),
        fleet.path().join("other.toml"),
    )
    .unwrap();
    let eud = |line: &str| {
        let output = fleet
            .command(line)
            .env("EUD_STATE", &state)
            .output()
            .unwrap();
        Ran::of(line, &output)
    };
    assert_eq!(eud("up -f other.toml").code, 0);
    assert!(!fleet.path().join(".eud").exists());
    let status = eud("status");
    assert_eq!(status.code, 0, "{status}");
    assert_eq!(eud("logs db --file other.toml").code, 0);
    assert_eq!(eud("down").code, 0);
}

#[test]
fn a_graph_is_drawn_without_a_manager() {
    let fleet = Fleet::new(FLEET);
    assert_eq!(fleet.eud("graph", 0).out, "api\n└── db\nmigrate\n");
    fleet
        .eud("graph --format mermaid", 0)
        .says("flowchart LR")
        .says("-->");
    fleet
        .eud("graph --format dot", 0)
        .says("\"api\" -> \"db\";");
    assert_eq!(fleet.eud("graph migrate", 0).out, "migrate\n");
}

#[test]
fn a_run_by_hand_passes_output_and_code_on() {
    let fleet = Fleet::new(FLEET);
    let run = |words: &[&str]| {
        let output = fleet.command("run").args(words).output().unwrap();
        Ran::of("run", &output)
    };
    let ran = run(&["--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (7, "out\n", "err\n"),
        "{ran}"
    );
    let late = run(&["--timeout", "100ms", "--", "sleep", "1000"]);
    assert_eq!(late.code, 124, "{late}");
    let missing = run(&["--", "./no-such-program"]);
    assert_eq!(missing.code, 127, "{missing}");
    let detached = run(&[
        "--detach",
        "--json",
        "--",
        "sh",
        "-c",
        "echo later; exec sleep 1000",
    ]);
    let value: Value = serde_json::from_str(&detached.out).unwrap();
    assert!(alive(&value["pid"]));
    let log = PathBuf::from(value["log"].as_str().unwrap());
    eventually("its output", || {
        fs::read_to_string(&log)
            .ok()
            .filter(|text| text.contains("stdout F later"))
    });
    // By its keeper, as whoever holds the folder may.
    let socket = PathBuf::from(value["folder"].as_str().unwrap()).join("control.sock");
    let mut keeper = eud_sys::socket::connect(&socket).unwrap();
    std::io::Write::write_all(&mut keeper, b"kill\n").unwrap();
    let record = socket.with_file_name("exit.json");
    eventually("its record", || {
        record.metadata().ok().filter(|meta| meta.len() > 0)
    });
    assert!(!alive(&value["pid"]));
}

#[test]
fn an_interrupted_run_by_hand_leaves_nothing_behind() {
    let fleet = Fleet::new(FLEET);
    let script = "sleep 1000 & echo $! > child; trap '' INT; echo ready; wait";
    let out = fs::File::create(fleet.path().join("out")).unwrap();
    let mut command = fleet.command("run --grace 1s --");
    let mut eud = Child::of(command.args(["sh", "-c", script]).stdout(out));
    eventually("its output", || {
        fs::read_to_string(fleet.path().join("out"))
            .ok()
            .filter(|t| t.contains("ready"))
    });
    eud.signal(rustix::process::Signal::INT);
    assert_eq!(eud.code(), Some(143), "stopped by TERM");
    let child = fs::read_to_string(fleet.path().join("child")).unwrap();
    assert!(
        !Path::new("/proc").join(child.trim()).exists(),
        "the tree is gone"
    );
}

#[test]
fn the_foreground_prints_and_ends_with_the_fleet() {
    let fleet = Fleet::new(FLEET);
    let out = fs::File::create(fleet.path().join("out")).unwrap();
    let mut eud = Child::of(fleet.command("up --foreground").stdout(out));
    eventually("db ready", || {
        let text = fs::read_to_string(fleet.path().join("out")).ok()?;
        text.contains("db  up → ready").then_some(())
    });
    fleet.eud("up", 0);
    eud.signal(rustix::process::Signal::TERM);
    assert_eq!(eud.code(), Some(0));
    fleet.eud("status", 4);
}

#[test]
fn usage_errors_are_code_2_and_help_is_0() {
    let fleet = Fleet::new(FLEET);
    fleet.eud("", 2);
    fleet.eud("frobnicate", 2);
    fleet.eud("stop", 2);
    fleet.eud("--help", 0).says("Set up");
    fleet.eud("stop --help", 0).says("Example");
    fleet.eud("-V", 0).says("eud ");
    fleet.eud("completions bash", 0).says("_eud");
    fleet.eud("man", 0).says(".SH");
}

#[test]
fn errors_are_json_when_asked() {
    let fleet = Fleet::new(FLEET);
    let ran = fleet.eud("stop db --json", 4);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(error["error"]["code"], 4);
}
