//! A new manager goes on where the old one was.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::fleet::{Fleet, diarist};
use crate::support::processes::Process;
use crate::support::{PATIENCE, epoch_ms, eventually};

fn three() -> String {
    ["a", "b", "c"]
        .map(|name| diarist(name, "--every 20", ""))
        .concat()
}

fn processes(fleet: &Fleet) -> Vec<Process> {
    ["a", "b", "c"].map(|name| fleet.process(name)).into()
}

#[track_caller]
fn agree(fleet: &Fleet) {
    for name in ["a", "b", "c"] {
        let diary = fleet.diary(name);
        assert_eq!(diary.starts.len(), 1, "{name} was started anew");
        diary.was_alone();
        diary.agrees_with_log(&fleet.folder_of(name));
        diary.agrees_with_runs(&fleet.runs(name));
    }
}

/// Kills the manager and starts another.
#[track_caller]
fn replace_manager(fleet: &Fleet) {
    let before = fleet.kill_manager();
    fleet.eud("up --wait 0s", 0);
    assert_ne!(fleet.manager(), before);
}

#[test]
fn an_upgrade_changes_no_process() {
    let fleet = Fleet::up(&three());
    for _ in 0..3 {
        let (before, manager) = (processes(&fleet), fleet.manager());
        fleet.eud("upgrade", 0);
        assert_eq!(processes(&fleet), before);
        assert_ne!(fleet.manager(), manager);
        manager.until_gone();
    }
    fleet.down();
    agree(&fleet);
}

#[test]
fn daemons_that_are_left_running_are_taken_back() {
    let fleet = Fleet::up(&three());
    let before = processes(&fleet);
    fleet.eud("down --keep-daemons", 0);
    assert!(before.iter().all(|one| one.is_alive()));
    fleet.eud("status", 4);
    fleet.eud("up", 0).says("took back 3 running daemons");
    assert_eq!(processes(&fleet), before);
    fleet.down();
    agree(&fleet);
}

#[test]
fn an_acknowledged_stop_is_completed_although_the_manager_dies_at_once() {
    let names: Vec<String> = (0..8).map(|n| format!("d{n}")).collect();
    // Half of them do not listen to TERM.
    let text = names.iter().enumerate().map(|(n, name)| {
        let more = if n % 2 == 0 { "--ignore-term" } else { "" };
        diarist(
            name,
            &format!("--every 20 {more}"),
            "stop = { grace = \"300ms\" }",
        )
    });
    let fleet = Fleet::up(&text.collect::<String>());
    let before: Vec<Process> = names.iter().map(|name| fleet.process(name)).collect();
    let mut wire = fleet.wire();
    let manager = fleet.manager();
    wire.call("daemon.stop", &json!({"names": names})).unwrap();
    manager.kill();
    fleet.eud("up --wait 0s", 0);
    for (name, process) in names.iter().zip(before) {
        fleet.until_state(name, "stopped");
        assert!(!process.is_alive(), "{name} is called stopped and lives");
        assert_eq!(fleet.unit(name)["desired"], "down");
        let diary = fleet.diary(name);
        assert_eq!(diary.starts.len(), 1, "{name} was started again");
        diary.agrees_with_runs(&fleet.runs(name));
    }
    fleet.down();
}

#[test]
fn a_keeper_completes_a_stop_without_the_manager_that_asked_for_it() {
    let stop = "stop = { grace = \"1s\" }";
    let fleet = Fleet::up(&diarist("a", "--every 20 --ignore-term", stop));
    let before = fleet.process("a");
    fleet.call("daemon.stop", &json!({"names": ["a"]}));
    fleet.until_state("a", "stopping");
    let socket = fleet.run_dir("a").join("control.sock");
    eventually("the keeper knows", || {
        keeper_is_stopping(&socket).then_some(())
    });
    fleet.kill_manager();
    assert!(before.is_alive(), "its grace is over already");
    before.until_gone();
    fleet.eud("up", 0);
    let unit = fleet.unit("a");
    assert_eq!(
        (&unit["state"], &unit["desired"]),
        (&"stopped".into(), &"down".into()),
        "{unit}"
    );
    let runs = fleet.runs("a");
    assert_eq!(runs.len(), 1, "{runs:?}");
    assert_eq!(runs[0]["exit"]["reason"], "stop-killed", "{runs:?}");
    fleet.down();
}

fn keeper_is_stopping(socket: &std::path::Path) -> bool {
    use std::io::BufRead;
    // Sockets have short paths: it is reached from its own folder.
    let folder = std::fs::File::open(socket.parent().unwrap()).unwrap();
    let near = format!(
        "/proc/self/fd/{}/control.sock",
        std::os::fd::AsRawFd::as_raw_fd(&folder)
    );
    let Ok(stream) = std::os::unix::net::UnixStream::connect(near) else {
        return false;
    };
    let mut line = String::new();
    std::io::BufReader::new(stream)
        .read_line(&mut line)
        .unwrap();
    let hello: Value = serde_json::from_str(&line).unwrap();
    hello["stopping"] == true
}

#[test]
fn a_stop_by_hand_outlives_crash_reload_and_up() {
    let fleet = Fleet::up(&three());
    fleet.eud("stop b", 0);
    let undone = |fleet: &Fleet| {
        let unit = fleet.unit("b");
        assert_eq!(unit["state"], "stopped", "{unit}");
        assert_eq!(unit["desired"], "down", "{unit}");
        assert_eq!(fleet.diary("b").starts.len(), 1, "b was started again");
    };
    replace_manager(&fleet);
    undone(&fleet);
    fleet.eud("reload", 0);
    undone(&fleet);
    fleet.eud("up", 0).says("b: stopped by hand");
    undone(&fleet);
    fleet.write(&three().replace("\"20\"", "\"21\""));
    fleet.eud("reload", 0);
    undone(&fleet);
    assert!(fleet.manager().signal(Signal::HUP));
    fleet.eud("upgrade", 0);
    undone(&fleet);
    fleet.down();
    fleet.eud("up", 0);
    undone(&fleet);
    fleet.eud("start b", 0);
    assert_eq!(fleet.diary("b").starts.len(), 2);
    fleet.down();
}

#[test]
fn a_hold_outlives_crash_reload_and_up() {
    let fleet = Fleet::up(&three());
    fleet.call(
        "daemon.hold",
        &json!({"names": ["b"], "reason": "key leaked"}),
    );
    fleet.until_state("b", "held");
    for line in ["reload", "up", "upgrade"] {
        replace_manager(&fleet);
        fleet.run(line);
        let unit = fleet.unit("b");
        assert_eq!(unit["state"], "held", "after {line}: {unit}");
        assert!(
            unit["reason"].as_str().unwrap().contains("key leaked"),
            "{unit}"
        );
    }
    fleet.eud("start b", 7).says("key leaked");
    assert_eq!(fleet.diary("b").starts.len(), 1);
    fleet.eud("release b", 0);
    eventually("its start", || {
        (fleet.diary("b").starts.len() == 2).then_some(())
    });
    fleet.down();
}

#[test]
fn a_back_off_goes_on_through_crashes_neither_shorter_nor_longer() {
    const DELAY_MS: u64 = 1_500;
    let restart = format!(
        "restart = {{ limit = 0, backoff = {{ initial = \"{DELAY_MS}ms\", max = \"{DELAY_MS}ms\", jitter = 0.0 }} }}"
    );
    let fleet = Fleet::new(&diarist("a", "--lines 1 --every 1 --code 3", &restart));
    fleet.eud("up --wait 0s", 0);
    let starts = || fleet.diary("a").starts.len();
    let mut managers = 0;
    let begun = std::time::Instant::now();
    while starts() < 5 {
        replace_manager(&fleet);
        managers += 1;
        assert!(begun.elapsed() < PATIENCE, "only {} starts", starts());
        std::thread::sleep(Duration::from_millis(150));
    }
    assert!(managers > 5, "only {managers} crashes");
    let diary = fleet.diary("a");
    diary.was_alone();
    let born: Vec<u64> = diary
        .starts
        .iter()
        .map(|start| start.process.born)
        .collect();
    // The first restart is immediate; ticks are hundredths of a second.
    for pair in born[1..].windows(2) {
        let apart_ms = (pair[1] - pair[0]) * 10;
        assert!(
            apart_ms + 10 >= DELAY_MS,
            "restarted after {apart_ms} ms: {born:?}"
        );
        assert!(
            apart_ms < DELAY_MS + 1_500,
            "restarted after {apart_ms} ms: {born:?}"
        );
    }
    let unit = fleet.until_state("a", "backoff");
    let restarts = usize::try_from(unit["restarts"].as_u64().unwrap()).unwrap();
    assert!(
        restarts + 1 >= diary.starts.len(),
        "restarts were forgotten: {unit}"
    );
    fleet.down();
}

#[test]
fn a_cool_down_stays_one_through_crashes_and_says_the_same_time() {
    let restart = "restart = { limit = 2, within = \"1h\", cool_down = \"1h\", \
                   backoff = { initial = \"1ms\", max = \"1ms\" } }";
    let fleet = Fleet::new(&diarist("a", "--lines 1 --every 1 --code 3", restart));
    fleet.eud("up --wait 0s", 0);
    let next = next_try_ms(&fleet.until_state("a", "cool-down"));
    for _ in 0..3 {
        replace_manager(&fleet);
        let unit = fleet.unit("a");
        assert_eq!(unit["state"], "cool-down", "{unit}");
        assert!(
            next_try_ms(&unit).abs_diff(next) < 100,
            "not at {next}: {unit}"
        );
    }
    assert_eq!(fleet.diary("a").starts.len(), 3);
    fleet.down();
}

#[track_caller]
fn next_try_ms(unit: &Value) -> u64 {
    let at = unit["next_try_at"]
        .as_str()
        .unwrap_or_else(|| panic!("no next try: {unit}"));
    epoch_ms(at)
}

#[test]
fn an_end_while_nobody_looks_has_its_exact_code() {
    let text = (1..=20).map(|n| {
        let more = format!("--every 5 --lines {} --code {}", 5 * n, 100 + n);
        diarist(&format!("d{n}"), &more, "restart = \"never\"")
    });
    let fleet = Fleet::new(&text.collect::<String>());
    fleet.eud("up --wait 0s", 0);
    eventually("all starts", || {
        (1..=20)
            .all(|n| !fleet.diary(&format!("d{n}")).starts.is_empty())
            .then_some(())
    });
    fleet.kill_manager();
    eventually("all ends", || {
        (1..=20)
            .all(|n| fleet.diary(&format!("d{n}")).last().code.is_some())
            .then_some(())
    });
    fleet.eud("up", 1);
    for n in 1..=20 {
        let name = format!("d{n}");
        let unit = fleet.until_state(&name, "failed");
        assert_eq!(unit["last_exit"]["code"], 100 + n, "{unit}");
        let diary = fleet.diary(&name);
        diary.agrees_with_runs(&fleet.runs(&name));
        diary.agrees_with_log(&fleet.folder_of(&name));
    }
    fleet.down();
}

#[test]
fn readiness_that_was_proven_once_is_not_asked_for_again() {
    let ready = "ready = { log = \"a 1 3 \" }";
    let fleet = Fleet::up(&diarist(
        "a",
        "--every 20 --lines 10 --stderr-each 0",
        ready,
    ));
    assert_eq!(fleet.unit("a")["state"], "ready");
    eventually("its last line", || {
        (fleet.diary("a").count_lines() == 10).then_some(())
    });
    for _ in 0..3 {
        replace_manager(&fleet);
        fleet.until_state("a", "ready");
    }
    assert_eq!(fleet.diary("a").starts.len(), 1);
    fleet.down();
}

#[test]
fn a_daemon_no_longer_declared_is_stopped_by_the_next_manager() {
    let fleet = Fleet::up(&three());
    let (a, b) = (fleet.process("a"), fleet.process("b"));
    fleet.kill_manager();
    fleet.write(&diarist("a", "--every 20", ""));
    fleet.eud("up", 0);
    b.until_gone();
    assert_eq!(fleet.process("a"), a);
    assert_eq!(fleet.status()["summary"]["total"], 1);
    fleet.down();
}
