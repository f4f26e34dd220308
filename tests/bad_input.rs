//! What comes in cannot stop the manager, and is answered in words.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::fleet::{Fleet, Ran, diarist};
use crate::support::processes::{Process, Stranger};
use crate::support::wire::Wire;
use crate::support::{eventually, log};

fn steady() -> String {
    diarist("a", "--every 20", "")
}

/// The same manager, the same daemon, both well.
struct Before {
    manager: Process,
    daemon: Process,
}

impl Before {
    fn of(fleet: &Fleet) -> Self {
        Self {
            manager: fleet.manager(),
            daemon: fleet.process("a"),
        }
    }

    #[track_caller]
    fn unchanged(&self, fleet: &Fleet) {
        assert_eq!(fleet.manager(), self.manager, "the manager was replaced");
        assert_eq!(fleet.process("a"), self.daemon, "the daemon was replaced");
        assert_eq!(fleet.unit("a")["restarts"], 0);
        fleet.eud("status", 0);
    }
}

#[test]
fn no_line_on_the_socket_stops_the_manager() {
    let fleet = Fleet::up(&steady());
    let before = Before::of(&fleet);
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_params = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":"#.to_owned()
        + &r#"{"a":"#.repeat(10_000)
        + "1"
        + &"}".repeat(10_001);
    let batch = format!(
        "[{}]",
        [r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#; 3].join(",")
    );
    let wrong: [&[u8]; 20] = [
        b"null",
        b"",
        b"{",
        b"}",
        b"[]",
        b"0",
        b"\"ping\"",
        b"\xff\xfe\x00ping",
        b"{\"jsonrpc\":\"2.0\"}",
        br#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":7}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"no.such.method"}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"daemon.stop","params":[1,2]}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"daemon.stop","params":{"names":"a"}}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"daemon.stop","params":{"names":[]}}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"daemon.stop","params":{"names":["nobody"]}}"#,
        br#"{"jsonrpc":"2.0","id":1,"method":"daemon.runs","params":{"name":"a","limit":-1}}"#,
        deep.as_bytes(),
        deep_params.as_bytes(),
    ];
    for line in wrong {
        let shown = String::from_utf8_lossy(&line[..line.len().min(60)]).into_owned();
        let answer = fleet
            .wire()
            .ask(line)
            .unwrap_or_else(|| panic!("no answer to {shown}"));
        // A batch of one wrong call is answered by a batch of one error.
        let answer = answer.get(0).cloned().unwrap_or(answer);
        assert!(answer["error"]["code"].is_i64(), "{shown}: {answer}");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(!message.is_empty(), "{shown}: {answer}");
        before.unchanged(&fleet);
    }
    let answer = fleet.wire().ask(batch.as_bytes()).unwrap();
    assert_eq!(answer.as_array().map(Vec::len), Some(3), "{answer}");
    before.unchanged(&fleet);
    fleet.down();
}

#[test]
fn half_a_line_and_a_line_of_ten_megabytes_cost_only_their_connection() {
    let fleet = Fleet::up(&steady());
    let before = Before::of(&fleet);
    let mut half = fleet.wire();
    half.send(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"met").unwrap();
    half.close_write();
    if let Some(answer) = half.line() {
        assert!(answer["error"].is_object(), "{answer}");
    }
    assert!(half.line().is_none(), "the connection is not closed");
    // One that says half a word and hangs on to the connection.
    let mut hanging = fleet.wire();
    hanging.send(b"{\"json").unwrap();
    let mut long = fleet.wire();
    let megabyte = vec![b'x'; 1 << 20];
    let sent = (0..10).take_while(|_| long.send(&megabyte).is_ok()).count();
    let said = long.send(b"\n").is_ok().then(|| long.line()).flatten();
    if let Some(answer) = said {
        assert!(answer["error"].is_object(), "{answer}");
    }
    assert!(
        long.line().is_none(),
        "after {sent} MB the connection is still open"
    );
    before.unchanged(&fleet);
    let memory = memory_kb(before.manager);
    assert!(memory < 60_000, "the manager has grown to {memory} kB");
    fleet.down();
}

fn memory_kb(process: Process) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_thousand_signals_leave_the_manager_at_its_work() {
    let fleet = Fleet::up(&steady());
    let before = Before::of(&fleet);
    let storm = [
        Signal::HUP,
        Signal::USR1,
        Signal::USR2,
        Signal::CHILD,
        Signal::PIPE,
        Signal::WINCH,
        Signal::CONT,
        Signal::ALARM,
    ];
    for round in 0..1_000 {
        let signal = storm[round % storm.len()];
        assert!(
            before.manager.signal(signal),
            "it died after {round} signals, before {signal:?}"
        );
    }
    before.unchanged(&fleet);
    // It reloads still.
    fleet.write(&(steady() + &diarist("b", "", "")));
    assert!(before.manager.signal(Signal::HUP));
    eventually("the new daemon", || {
        (fleet.status()["summary"]["total"] == 2).then_some(())
    });
    before.unchanged(&fleet);
    fleet.down();
}

#[test]
fn what_a_dead_manager_left_behind_hinders_nobody() {
    let fleet = Fleet::up(&steady());
    let daemon = fleet.process("a");
    fleet.kill_manager();
    let mut stranger = Stranger::new("sleep", &["1000"]);
    let at = |name: &str| fleet.state().join(name);
    assert!(at("manager.lock").exists() && at("eud.sock").exists());
    fs::write(at("manager.lock"), "garbage").unwrap();
    fs::write(at("manager.pid"), format!("{}\n", stranger.id())).unwrap();
    fs::write(at("heartbeat"), "\0\0").unwrap();
    fs::write(at("state.json"), "{\"daemons\":").unwrap();
    fleet.eud("up", 0);
    assert_eq!(fleet.process("a"), daemon);
    let pid = fs::read_to_string(at("manager.pid")).unwrap();
    assert_eq!(pid.trim(), fleet.manager().pid.to_string());
    fleet.kill_manager();
    // What is no socket was not left by a manager. It is not removed, but named.
    fs::remove_file(at("eud.sock")).unwrap();
    fs::write(at("eud.sock"), "precious").unwrap();
    fleet.eud("up", 8).says("eud.sock");
    assert_eq!(fs::read_to_string(at("eud.sock")).unwrap(), "precious");
    assert!(daemon.is_alive());
    fs::remove_file(at("eud.sock")).unwrap();
    fleet.eud("up", 0);
    assert_eq!(fleet.process("a"), daemon);
    fleet.down();
    stranger.lives();
}

/// A process that was killed keeps its locks until the last of its threads has ended.
#[test]
fn a_lock_that_a_dying_manager_still_holds_is_waited_for() {
    let fleet = Fleet::up(&steady());
    let daemon = fleet.process("a");
    fleet.kill_manager();
    let lock = fs::File::options()
        .write(true)
        .open(fleet.state().join("manager.lock"))
        .unwrap();
    let managers = || {
        let of_fleet = crate::support::processes::of_fleet(fleet.state());
        let words = |one: &Process| fs::read_to_string(format!("/proc/{}/cmdline", one.pid));
        let is_manager =
            |one: &Process| words(one).is_ok_and(|words| words.contains("\0manager\0"));
        of_fleet.into_iter().filter(is_manager).collect::<Vec<_>>()
    };
    for outlast_the_first in [false, true] {
        eventually("the lock", || lock.try_lock().ok());
        let up = fleet
            .command("up")
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let first = eventually("a manager that waits", || managers().pop());
        if outlast_the_first {
            first.until_gone();
        }
        lock.unlock().unwrap();
        let ran = Ran::of("up", &up.wait_with_output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
        assert_eq!(fleet.process("a"), daemon);
        fleet.kill_manager();
    }
    fleet.eud("up", 0);
    fleet.down();
}

/// One that was killed a moment ago does so.
#[test]
fn who_accepts_and_never_answers_is_no_manager() {
    let fleet = Fleet::up(&steady());
    let daemon = fleet.process("a");
    fleet.kill_manager();
    let socket = fleet.state().join("eud.sock");
    fs::remove_file(&socket).unwrap();
    let dying = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || dying.incoming().for_each(drop));
    fleet.eud("up", 0);
    assert_eq!(fleet.process("a"), daemon);
    fleet.down();
}

#[test]
fn up_and_down_at_once_end_in_one_of_the_two() {
    let fleet = Fleet::up(&steady());
    for _ in 0..10 {
        let quiet = |line: &str| {
            let mut command = fleet.command(line);
            command
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped());
            command.spawn().unwrap()
        };
        let (down, up) = (quiet("down"), quiet("up"));
        let [down, up] = [("down", down), ("up", up)]
            .map(|(line, child)| Ran::of(line, &child.wait_with_output().unwrap()));
        // Each is done, or came too late or too early, and says so.
        assert!([0, 4, 7].contains(&down.code), "{down}");
        assert!([0, 1, 4, 7].contains(&up.code), "{up}");
        fleet.eud("up", 0);
        assert!(fleet.process("a").is_alive());
    }
    fleet.down();
    let diary = fleet.diary("a");
    diary.was_alone();
    diary.agrees_with_log(&fleet.folder_of("a"));
    diary.agrees_with_runs(&fleet.runs("a"));
}

/// A small file system in memory, unmounted with the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: &Path, size: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can mount");
            return None;
        }
        fs::create_dir_all(path).unwrap();
        let options = format!("size={size},mode=0700");
        let words = ["-t", "tmpfs", "-o", options.as_str(), "tmpfs"];
        let mounted = Command::new("mount").args(words).arg(path).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no tmpfs can be mounted here");
            return None;
        }
        Some(Self(path.to_owned()))
    }

    fn fill(&self) {
        let chunk = vec![0; 64 << 10];
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        for size in [chunk.len(), 4096, 1] {
            while std::io::Write::write_all(&mut file, &chunk[..size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_refuses_what_it_cannot_keep_and_loses_no_line() {
    // Before the fleet, so that it is there until nobody of the fleet is left.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let Some(disk) = SmallDisk::at(folder.path(), "24m") else {
        return;
    };
    let mut fleet =
        Fleet::new(&(diarist("a", "--every 2 --width 200", "") + &diarist("b", "", "")));
    fleet.set_state(&folder.path().join("state"));
    fleet.eud("up", 0);
    let before = Before::of(&fleet);
    disk.fill();
    fleet.until_state("a", "degraded");
    let unit = fleet.unit("a");
    let reason = unit["reason"].as_str().unwrap().to_lowercase();
    assert!(
        reason.contains("no space") || reason.contains("full"),
        "{unit}"
    );
    for command in ["daemon.stop", "daemon.hold", "daemon.restart"] {
        let refused = fleet
            .wire()
            .call(command, &json!({"names": ["b"]}))
            .unwrap_err();
        assert_eq!(
            refused["code"], 4,
            "what cannot be kept was acknowledged: {refused}"
        );
    }
    before.unchanged(&fleet);
    let problems = fleet.status()["problems"].to_string();
    assert!(problems.contains("state.db"), "{problems}");
    assert!(fleet.diary("b").last().process.is_alive());
    disk.free();
    fleet.until_state("a", "up");
    fleet.eud("stop b", 0);
    before.unchanged(&fleet);
    fleet.down();
    fleet.diary("a").agrees_with_log(&fleet.folder_of("a"));
    for name in ["a", "b"] {
        fleet.diary(name).agrees_with_runs(&fleet.runs(name));
    }
}

/// One daemon that cannot start, beside one that can.
#[track_caller]
fn cannot_start(text: &str, words: &[&str]) {
    let fleet = Fleet::new(&(steady() + "[daemons.bad]\nrestart = \"never\"\n" + text));
    let up = fleet.eud("up", 1);
    let unit = fleet.until_state("bad", "failed");
    let told = |ran: &Ran| words.iter().all(|word| ran.has(word));
    assert!(told(&up), "not told {words:?}: {up}");
    let why = fleet.eud("why bad", 0);
    assert!(told(&why), "not told {words:?}: {why}");
    assert!(
        unit["last_exit"]["code"].is_null() || unit["last_exit"]["code"] != 0,
        "{unit}"
    );
    let runs = fleet.runs("bad");
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(runs[0]["exit"]["reason"], "spawn-failed", "{runs:?}");
    assert_eq!(fleet.unit("a")["state"], "up");
    fleet.down();
}

#[test]
fn a_missing_command_is_named() {
    cannot_start(
        "command = [\"./no-such-program\"]\n",
        &["no-such-program", "does not exist"],
    );
}

#[test]
fn a_missing_interpreter_is_named() {
    let script = tempfile::NamedTempFile::with_suffix(".sh").unwrap();
    fs::write(script.path(), "#!/no/such/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(script.path(), mode).unwrap();
    let path = script.into_temp_path();
    cannot_start(
        &format!("command = [{path:?}]\n"),
        &["/no/such/interpreter"],
    );
}

#[test]
fn a_missing_folder_is_named() {
    let text = "command = [\"sleep\", \"1000\"]\ncwd = \"no-such-folder\"\n";
    cannot_start(text, &["no-such-folder"]);
}

#[test]
fn an_unknown_user_is_named() {
    let text = "command = [\"sleep\", \"1000\"]\nuser = \"no-such-user\"\n";
    cannot_start(text, &["no-such-user"]);
}

#[test]
fn a_file_that_may_not_be_executed_is_named() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let name = file
        .path()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    cannot_start(
        &format!("command = [{:?}]\n", file.path()),
        &[&name, "not executable"],
    );
}

#[test]
fn a_command_line_too_long_for_the_system_is_told_and_not_waited_for() {
    let text = format!("command = [\"echo\", \"{}\"]\n", "x".repeat(200_000));
    cannot_start(&text, &["rgument list too long"]);
}

#[test]
fn a_port_in_use_is_told_with_its_holder() {
    let holder = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = holder.local_addr().unwrap().port();
    let rest = format!("restart = \"never\"\nports = [{port}]");
    let fleet = Fleet::new(&(steady() + &diarist("bad", &format!("--listen {port}"), &rest)));
    fleet.eud("up --wait 5s", 1);
    let unit = fleet.until_state("bad", "failed");
    assert_eq!(unit["last_exit"]["reason"], "spawn-failed", "{unit}");
    let why = fleet.eud("why bad", 0);
    why.says(&port.to_string()).says("in use");
    why.says(&std::process::id().to_string());
    assert!(
        fleet.diary("bad").starts.is_empty(),
        "it was started nevertheless"
    );
    drop(holder);
    fleet.eud("start bad", 0);
    assert!(fleet.diary("bad").last().process.is_alive());
    fleet.down();
}

#[test]
fn a_corrupted_exit_record_gives_an_unknown_code_and_is_kept() {
    for bytes in ["", "{\"run\":\"", "null", "[1,2]", "\u{fffd}"] {
        let fleet = Fleet::new(&diarist(
            "a",
            "--lines 20 --every 20 --code 7",
            "restart = \"never\"",
        ));
        fleet.eud("up --wait 0s", 0);
        let run = fleet.run_dir("a");
        fleet.kill_manager();
        let record = run.join("exit.json");
        eventually("its record", || record.exists().then_some(()));
        fs::write(&record, bytes).unwrap();
        fleet.run("up");
        let unit = fleet.until("a", |unit| unit["last_exit"].is_object());
        let exit = &unit["last_exit"];
        assert_eq!(
            (&exit["code"], &exit["signal"]),
            (&Value::Null, &Value::Null),
            "{exit}"
        );
        assert_eq!(exit["reason"], "record-corrupt", "{exit}");
        assert_eq!(
            fs::read_to_string(run.join("exit.json.bad")).unwrap(),
            bytes
        );
        let runs = fleet.runs("a");
        assert_eq!(runs.len(), 1, "{runs:?}");
        fleet.down();
    }
}

#[test]
fn a_corrupted_database_is_refused_by_name_left_alone_and_costs_no_daemon() {
    let fleet = Fleet::up(&steady());
    let daemon = fleet.process("a");
    fleet.eud("down --keep-daemons", 0);
    let database = fleet.state().join("state.db");
    let good = fs::read(&database).unwrap();
    let torn = [&good[..100], &[0xa5; 4_000]].concat();
    for bad in [&b"no database at all"[..], &torn] {
        fs::write(&database, bad).unwrap();
        let refused = fleet.run("up");
        assert_ne!(refused.code, 0, "{refused}");
        refused.says("state.db");
        assert!(
            Wire::to(fleet.state()).is_err(),
            "a manager answers nevertheless"
        );
        assert_eq!(
            fs::read(&database).unwrap(),
            bad,
            "the evidence was changed"
        );
        assert!(daemon.is_alive());
    }
    fs::write(&database, good).unwrap();
    fleet.eud("up", 0);
    assert_eq!(fleet.process("a"), daemon);
    fleet.down();
    fleet.diary("a").agrees_with_log(&fleet.folder_of("a"));
    fleet.diary("a").agrees_with_runs(&fleet.runs("a"));
}

#[test]
fn a_broken_fleet_file_leaves_the_running_fleet_as_it_is() {
    let fleet = Fleet::up(&steady());
    let before = Before::of(&fleet);
    for bad in [
        "[daemons.a\n",
        "[daemons.a]\ncomand = \"x\"\n",
        "\u{0}",
        "[daemons.b]\nneeds = [\"c\"]\n",
    ] {
        fleet.write(bad);
        fleet.eud("reload", 3).says("eud.toml");
        fleet.eud("up", 3);
        assert!(before.manager.signal(Signal::HUP));
        before.unchanged(&fleet);
    }
    fs::remove_file(fleet.path().join("eud.toml")).unwrap();
    fleet.eud("reload", 3);
    before.unchanged(&fleet);
    // A new manager finds the file broken, and running daemons that need care.
    fleet.write("[daemons.a\n");
    before.manager.kill();
    let mut manager = fleet.spawn_manager();
    // Who is being killed still accepts for a moment, and answers nobody.
    eventually("an answer", || {
        let mut wire = Wire::to(fleet.state()).ok()?;
        wire.try_call("ping", &json!({}))?.ok()
    });
    assert_eq!(fleet.process("a"), before.daemon);
    let problems = fleet.status()["problems"].to_string();
    assert!(problems.contains("eud.toml"), "{problems}");
    // Once it is repaired, all is as before.
    fleet.write(&steady());
    fleet.eud("reload", 0);
    assert_eq!(fleet.process("a"), before.daemon);
    assert_eq!(fleet.status()["problems"], json!([]));
    fleet.down();
    manager.wait().unwrap();
}

#[test]
fn a_second_manager_is_refused_and_told_the_first_one_s_pid() {
    let fleet = Fleet::up(&steady());
    let before = Before::of(&fleet);
    let second = fleet.run("up --foreground");
    assert_ne!(second.code, 0, "{second}");
    second.says(&before.manager.pid.to_string());
    before.unchanged(&fleet);
    // In the background it is no mistake to be second, and changes nothing.
    assert!(fleet.spawn_manager().wait().unwrap().success());
    before.unchanged(&fleet);
    let pid = fs::read_to_string(fleet.state().join("manager.pid")).unwrap();
    assert_eq!(pid.trim(), before.manager.pid.to_string());
    fleet.down();
}

#[test]
fn a_folder_of_another_user_is_not_taken() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give a folder away");
        return;
    }
    let fleet = Fleet::new(&steady());
    fs::create_dir(fleet.state()).unwrap();
    std::os::unix::fs::chown(fleet.state(), Some(65_534), None).unwrap();
    let refused = fleet.run("up");
    assert_ne!(refused.code, 0, "{refused}");
    refused.says("65534");
    assert!(fleet.diary("a").starts.is_empty());
}

#[test]
fn bytes_that_are_no_text_are_logged_as_they_are() {
    let shell = "printf '\\377\\376\\n\\000\\n'; printf 'no end of line'; exit 4";
    let fleet = Fleet::new(&format!(
        "[daemons.a]\nshell = {shell:?}\nrestart = \"never\"\n"
    ));
    fleet.eud("up", 1);
    let lines: Vec<Vec<u8>> = log::read(&fleet.folder_of("a"))
        .into_iter()
        .map(|line| line.text)
        .collect();
    assert_eq!(
        lines,
        [
            b"\xff\xfe".to_vec(),
            b"\0".to_vec(),
            b"no end of line".to_vec()
        ]
    );
    assert_eq!(fleet.unit("a")["last_exit"]["code"], 4);
    fleet.eud("logs a", 0);
    fleet.down();
}
