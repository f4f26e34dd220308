//! How runs end, and what is left.

use std::fs;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::fleet::{Fleet, diarist};
use crate::support::log;
use crate::support::processes;

/// A stop was killed before its drain had ended, and the lock it left made every later start fail.
#[test]
fn a_stop_that_is_cut_short_never_makes_a_start_impossible() {
    let stop = "stop = { grace = \"60s\" }";
    let fleet = Fleet::up(&diarist("a", "--ignore-term", stop));
    let (command, keeper) = (fleet.process("a"), fleet.keeper("a"));
    let mut down = fleet.command("down");
    let mut down = down.stdout(std::process::Stdio::null()).spawn().unwrap();
    fleet.until_state("a", "stopping");
    down.kill().unwrap();
    down.wait().unwrap();
    let manager = fleet.manager();
    for one in [manager, keeper] {
        one.kill();
    }
    command.until_gone();
    assert!(
        fleet.folder_of("a").join("lock").exists() && fleet.state().join("manager.lock").exists()
    );
    fleet.eud("up", 0);
    assert_eq!(fleet.unit("a")["state"], "up");
    fleet.diary("a").was_alone();
    fleet.keeper("a").kill();
}

/// After a crash, what had been at work was called running for ever.
#[test]
fn no_run_is_called_running_when_everybody_was_killed() {
    let names = ["a", "b", "c"];
    let fleet = Fleet::up(&names.map(|name| diarist(name, "", "")).concat());
    processes::clear_away(fleet.state());
    let status = fleet.eud("status", 4);
    assert!(!status.has("alive, not supervised"), "{status}");
    fleet.eud("up", 0);
    for name in names {
        let runs = fleet.runs(name);
        let open: Vec<&Value> = runs.iter().filter(|row| row["exit"].is_null()).collect();
        assert_eq!((runs.len(), open.len()), (2, 1), "{runs:?}");
        assert_eq!(runs[0]["exit"]["code"], Value::Null);
        assert_eq!(runs[0]["exit"]["reason"], "keeper-lost");
        fleet.diary(name).agrees_with_runs(&runs);
    }
    fleet.down();
}

/// A command that was out of time and then exited with 0 was recorded as completed.
#[test]
fn a_run_out_of_time_is_a_timeout_whatever_it_exits_with() {
    let shell = "trap 'exit 0' TERM; while :; do sleep 0.02; done";
    let rest = "timeout = \"300ms\"\nrestart = \"never\"";
    let fleet = Fleet::new(&format!("[daemons.a]\nshell = {shell:?}\n{rest}\n"));
    fleet.run("up");
    let unit = fleet.until_state("a", "failed");
    assert_eq!(unit["last_exit"]["reason"], "timeout", "{unit}");
    assert_eq!(unit["last_exit"]["class"], "failure", "{unit}");
    fleet.down();
}

/// The watchdog asked, and never killed.
#[test]
fn a_timeout_ends_in_a_kill() {
    let rest = "timeout = \"300ms\"\nrestart = \"never\"\nstop = { grace = \"200ms\" }";
    let fleet = Fleet::new(&diarist("a", "--ignore-term --family", rest));
    fleet.run("up");
    let unit = fleet.until_state("a", "failed");
    assert_eq!(unit["last_exit"]["reason"], "timeout", "{unit}");
    let diary = fleet.diary("a");
    let start = diary.last();
    assert!(!start.process.is_alive() && start.family.iter().all(|one| !one.is_alive()));
    fleet.down();
}

/// Who ignored TERM was taken for ended, and its place was given to the next.
#[test]
fn who_ignores_term_keeps_its_place_until_it_is_dead() {
    let fleet = Fleet::up(&diarist(
        "a",
        "--ignore-term --every 5",
        "stop = { grace = \"400ms\" }",
    ));
    for _ in 0..3 {
        let before = fleet.process("a");
        fleet.eud("restart a", 0);
        assert!(!before.is_alive());
    }
    let diary = fleet.diary("a");
    diary.was_alone();
    assert_eq!(diary.starts.len(), 4);
    diary.agrees_with_runs(&fleet.runs("a"));
    fleet.down();
}

/// Restarts of a service left 148 zombies behind.
#[test]
fn restarts_and_probes_leave_no_zombies() {
    let restart = "restart = { limit = 0, backoff = { initial = \"1ms\", max = \"1ms\" } }";
    let live =
        "live = { exec = [\"sh\", \"-c\", \"sleep 0 & echo x >> probes\"], every = \"100ms\" }";
    let text = diarist("a", "--lines 2 --every 1 --code 1", restart) + &diarist("b", "", live);
    let fleet = Fleet::new(&text);
    fleet.eud("up --wait 0s", 0);
    let probes = || {
        fs::read_to_string(fleet.path().join("probes"))
            .unwrap_or_default()
            .len()
            / 2
    };
    eventually("restarts and probes", || {
        (fleet.diary("a").starts.len() >= 30 && probes() >= 10).then_some(())
    });
    fleet.eud("stop a", 0);
    let parents = [fleet.manager().pid, fleet.keeper("b").pid];
    // One that has just ended may not have been collected yet.
    eventually("all children collected", || {
        let zombies = fs::read_dir("/proc").unwrap().flatten().filter(|entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let rest = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
            let mut words = rest.split(' ');
            let is_zombie = words.next() == Some("Z");
            let parent = words.next().and_then(|word| word.parse().ok());
            is_zombie && parent.is_some_and(|parent: u32| parents.contains(&parent))
        });
        (zombies.count() == 0).then_some(())
    });
    fleet.down();
}

/// A daemon that died of something unforeseen took the loop that looked after all of them along.
#[test]
fn a_crash_of_any_kind_leaves_the_manager_at_its_work() {
    let signals = [
        "SEGV", "ABRT", "FPE", "ILL", "BUS", "TRAP", "KILL", "SYS", "XCPU", "PIPE", "HUP",
    ];
    let mut text = diarist("steady", "--every 20", "");
    for signal in signals {
        let shell = format!("ulimit -c 0; kill -{signal} $$; sleep 5");
        text += &format!("[daemons.{signal}]\nshell = {shell:?}\nrestart = \"never\"\n");
    }
    let fleet = Fleet::new(&text);
    fleet.eud("up", 1);
    let manager = fleet.manager();
    for signal in signals {
        let exit = fleet.until_state(signal, "failed")["last_exit"].clone();
        assert_eq!(exit["code"], Value::Null, "{signal}: {exit}");
        let expected = signal_number(signal);
        assert_eq!(exit["signal"], expected, "{signal}: {exit}");
    }
    // It still notices an end and answers it.
    let before = fleet.process("steady");
    before.kill();
    eventually("a restart", || {
        (fleet.diary("steady").starts.len() == 2).then_some(())
    });
    assert_eq!(fleet.manager(), manager);
    fleet.down();
}

fn signal_number(name: &str) -> i32 {
    let signal = match name {
        "SEGV" => Signal::SEGV,
        "ABRT" => Signal::ABORT,
        "FPE" => Signal::FPE,
        "ILL" => Signal::ILL,
        "BUS" => Signal::BUS,
        "TRAP" => Signal::TRAP,
        "KILL" => Signal::KILL,
        "SYS" => Signal::SYS,
        "XCPU" => Signal::XCPU,
        "PIPE" => Signal::PIPE,
        _ => Signal::HUP,
    };
    signal.as_raw()
}

/// An exit code of 1 was shown as 256, the wait status nobody had decoded.
#[test]
fn exit_codes_are_decoded_everywhere() {
    let codes = [1, 2, 126, 128, 137, 254, 255];
    let text = codes.map(|code| {
        let shell = format!("exit {code}");
        format!("[daemons.c{code}]\nshell = {shell:?}\nrestart = \"never\"\n")
    });
    let fleet = Fleet::new(&text.concat());
    fleet.eud("up", 1);
    for code in codes {
        let name = format!("c{code}");
        let unit = fleet.until_state(&name, "failed");
        assert_eq!(unit["last_exit"]["code"], code, "{unit}");
        assert_eq!(unit["last_exit"]["signal"], Value::Null, "{unit}");
        let runs = fleet.runs(&name);
        assert_eq!(runs[0]["exit"]["code"], code);
        let run = fleet
            .folder_of(&name)
            .join("runs")
            .join(runs[0]["run"].as_str().unwrap());
        let record: Value =
            serde_json::from_slice(&fs::read(run.join("exit.json")).unwrap()).unwrap();
        assert_eq!(record["code"], code);
        fleet
            .eud(&format!("runs {name}"), 0)
            .says(&code.to_string());
    }
    fleet.down();
}

/// Whoever was skipped or refused lost the record of how it had really ended.
#[test]
fn a_refused_start_leaves_the_last_end_as_it_was() {
    let fleet = Fleet::new(&diarist(
        "a",
        "--lines 1 --every 1 --code 9",
        "restart = \"never\"",
    ));
    fleet.run("up");
    let before = fleet.until_state("a", "failed")["last_exit"].clone();
    assert_eq!(before["code"], 9);
    fleet.call("daemon.hold", &json!({"names": ["a"], "reason": "not now"}));
    fleet.eud("start a", 7);
    fleet.run("up");
    fleet.eud("reload", 0);
    let unit = fleet.unit("a");
    assert_eq!(
        (&unit["state"], &unit["last_exit"]),
        (&"held".into(), &before),
        "{unit}"
    );
    assert_eq!(fleet.runs("a").len(), 1);
    fleet.down();
}

/// What a command's children printed after the command itself had exited was lost.
#[test]
fn output_after_the_leader_s_exit_is_logged() {
    let shell = "(trap '' TERM; touch armed; sleep 0.3; echo late; printf 'last words') & \
                 until test -e armed; do sleep 0.01; done; echo early; exit 3";
    let rest = "restart = \"never\"\nstop = { grace = \"5s\" }";
    let fleet = Fleet::new(&format!("[daemons.a]\nshell = {shell:?}\n{rest}\n"));
    fleet.run("up");
    let unit = fleet.until_state("a", "failed");
    assert_eq!(unit["last_exit"]["code"], 3, "{unit}");
    assert_eq!(
        log::texts(&fleet.folder_of("a")),
        ["early", "late", "last words"]
    );
    fleet.down();
}
