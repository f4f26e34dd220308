//! Interactive tasks: agents in a window of tmux, driven through another tmux as a person would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::fleet::Fleet;
use crate::support::processes::Process;
use crate::support::{binaries, eventually};

/// A person's terminal: a tmux of its own, with one window.
struct Terminal {
    folder: tempfile::TempDir,
}

impl Terminal {
    fn tmux(&self, words: &[&str]) -> std::process::Output {
        let mut command = Command::new("tmux");
        command
            .arg("-S")
            .arg(self.folder.path().join("s"))
            .args(["-f", "/dev/null"])
            .args(words)
            .env_remove("TMUX")
            .stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Attaches to a task, as a person does at a prompt.
    fn attached(fleet: &Fleet, task: u64) -> Self {
        let terminal = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let eud = binaries::eud().to_str().unwrap();
        let (state, task) = (fleet.state().to_str().unwrap(), task.to_string());
        let attach = [eud, "--state", state, "task", "attach", &task];
        let window = ["new-session", "-d", "-x", "100", "-y", "30"];
        let made = terminal.tmux(&[&window[..], &attach[..]].concat());
        assert!(made.status.success(), "{made:?}");
        terminal
    }

    fn screen(&self) -> String {
        let shown = self.tmux(&["capture-pane", "-p"]);
        String::from_utf8_lossy(&shown.stdout).into_owned()
    }

    fn until_shown(&self, text: &str) {
        eventually(text, || self.screen().contains(text).then_some(()));
    }

    fn press(&self, keys: &[&str]) {
        let pressed = self.tmux(&[&["send-keys"], keys].concat());
        assert!(pressed.status.success(), "{pressed:?}");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

fn submit(fleet: &Fleet, task: &Value) -> u64 {
    let accepted = fleet.call("task.submit", &json!({ "tasks": [task] }));
    accepted["tasks"][0].as_u64().unwrap()
}

fn task(fleet: &Fleet, id: u64) -> Value {
    fleet.call("task.show", &json!({ "id": id }))["task"].take()
}

fn until_over(fleet: &Fleet, id: u64) -> Value {
    eventually("its end", || {
        let task = task(fleet, id);
        task["ended_ms"].is_i64().then_some(task)
    })
}

/// The process whose id is in a file.
fn process_in(path: &Path) -> Process {
    eventually("a process id", || {
        let pid = fs::read_to_string(path).ok()?;
        Process::of(pid.trim().parse().ok()?)
    })
}

fn run_dir(fleet: &Fleet, id: u64) -> PathBuf {
    let shown = fleet.call("task.show", &json!({ "id": id }));
    shown["run_dir"].as_str().unwrap().into()
}

fn output(fleet: &Fleet, id: u64) -> String {
    fleet.eud(&format!("task logs {id} --raw -n all"), 0).out
}

const AGENT: &str = r#"
[pools.agents]
command = ["sh", "-c", '''
    test -t 0 && test -t 1 || exit 9
    printf '<%s>\n' "$@" "$SECRET" > got; echo $$ > pid
    printf 'your name? '; read name; echo "hello $name"
    seq 1 3000; echo the last line; exit $code
''', "sh"]
env = { SECRET = { file = "secret" } }
interactive = "tmux"
"#;

fn fleet() -> Fleet {
    let fleet = Fleet::new(AGENT);
    // More than tmux hands over in its own ways.
    fs::write(fleet.path().join("secret"), "s".repeat(40_000)).unwrap();
    fleet.eud("up", 0);
    fleet
}

#[test]
fn a_person_attaches_types_and_sees_the_task_succeed() {
    let fleet = fleet();
    let long = "y".repeat(50_000);
    let args = ["a b;", "", ";", "$x `y` #{pid}", &long];
    let id = submit(&fleet, &json!({"pool": "agents", "args": args}));
    let terminal = Terminal::attached(&fleet, id);
    terminal.until_shown("your name?");
    assert_eq!(task(&fleet, id)["state"], "running");
    terminal.press(&["C-b", "d"]);
    drop(terminal);
    assert_eq!(
        task(&fleet, id)["state"],
        "running",
        "a window is only left"
    );
    let terminal = Terminal::attached(&fleet, id);
    terminal.until_shown("your name?");
    terminal.press(&["world", "Enter"]);
    let over = until_over(&fleet, id);
    assert_eq!(
        (&over["state"], &over["code"]),
        (&json!("succeeded"), &json!(0)),
        "{over}"
    );
    assert_eq!(over["progress"]["leftovers"], 0, "{over}");
    // Nothing of what it showed is missing, nor comes after its end.
    let shown = output(&fleet, id);
    let lines: Vec<&str> = shown.lines().collect();
    let hello = lines
        .iter()
        .position(|line| *line == "hello world")
        .unwrap();
    let numbers: Vec<String> = (1..=3000).map(|n: u32| n.to_string()).collect();
    assert_eq!(lines[hello + 1..=hello + 3000], numbers);
    assert_eq!(lines[hello + 3001..], ["the last line"]);
    let got = fs::read_to_string(fleet.path().join("got")).unwrap();
    let secret = "s".repeat(40_000);
    let expected = [&args[..], &[secret.as_str()]].concat();
    let expected: String = expected.iter().map(|arg| format!("<{arg}>\n")).collect();
    assert!(got == expected, "{}", &got[..200]);
    let late = fleet.run(&format!("task attach {id}"));
    assert_eq!(late.code, 2, "{late}");
    assert!(late.err.contains("succeeded"), "{late}");
    fleet.down();
    fleet.until_nobody_is_left();
}

#[test]
fn codes_and_signals_are_the_commands() {
    let fleet = fleet();
    let id = submit(&fleet, &json!({"pool": "agents", "env": {"code": "42"}}));
    let terminal = Terminal::attached(&fleet, id);
    terminal.until_shown("your name?");
    terminal.press(&["x", "Enter"]);
    let over = until_over(&fleet, id);
    assert_eq!(
        (&over["state"], &over["code"]),
        (&json!("failed"), &json!(42)),
        "{over}"
    );
    // Control-C is the command's.
    let id = submit(&fleet, &json!({"pool": "agents"}));
    let terminal = Terminal::attached(&fleet, id);
    terminal.until_shown("your name?");
    terminal.press(&["C-c"]);
    let over = until_over(&fleet, id);
    assert_eq!(over["state"], "failed", "{over}");
    assert!(over["reason"].as_str().unwrap().contains("INT"), "{over}");
    fleet.down();
    fleet.until_nobody_is_left();
}

#[test]
fn a_task_that_is_called_off_leaves_no_window_and_nobody() {
    let fleet = fleet();
    let id = submit(&fleet, &json!({"pool": "agents"}));
    let terminal = Terminal::attached(&fleet, id);
    terminal.until_shown("your name?");
    let command = process_in(&fleet.path().join("pid"));
    fleet.eud(&format!("task cancel {id}"), 0);
    let over = until_over(&fleet, id);
    assert_eq!(over["state"], "cancelled", "{over}");
    assert!(!command.is_alive());
    let socket = run_dir(&fleet, id).join("tmux.sock");
    let mut ask = Command::new("tmux");
    let asked = ask.arg("-S").arg(&socket).arg("ls").output().unwrap();
    assert!(!asked.status.success(), "a server is left");
    fleet.down();
    fleet.until_nobody_is_left();
}

#[test]
fn a_window_outlives_the_manager_and_its_end_is_no_success() {
    let fleet = fleet();
    let id = submit(&fleet, &json!({"pool": "agents"}));
    let terminal = Terminal::attached(&fleet, id);
    terminal.until_shown("your name?");
    fleet.kill_manager();
    fleet.eud("up", 0);
    assert_eq!(task(&fleet, id)["state"], "running");
    terminal.press(&["C-b", ":"]);
    let asks = || terminal.screen().lines().any(|line| line.starts_with(':'));
    eventually("a prompt", || asks().then_some(()));
    terminal.press(&["kill-server", "Enter"]);
    let over = until_over(&fleet, id);
    assert_eq!(over["state"], "failed", "{over}");
    assert!(output(&fleet, id).contains("its window was closed"));
    fleet.down();
    fleet.until_nobody_is_left();
}

#[test]
fn without_tmux_the_launch_fails_and_says_so() {
    let mut fleet = Fleet::new(AGENT);
    fs::write(fleet.path().join("secret"), "s").unwrap();
    let empty = fleet.path().to_str().unwrap().to_owned();
    fleet.env.push(("PATH".into(), empty));
    fleet.eud("up", 0);
    let id = submit(&fleet, &json!({"pool": "agents"}));
    let over = until_over(&fleet, id);
    assert_eq!(over["state"], "failed", "{over}");
    let reason = over["reason"].as_str().unwrap();
    assert!(
        reason.contains("tmux") && reason.contains("install"),
        "{reason}"
    );
    let none = fleet.run(&format!("task attach {id}"));
    assert!(none.code != 0, "{none}");
    fleet.down();
}
