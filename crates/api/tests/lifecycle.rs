//! Up and down, through the death of managers and keepers.

mod support;

use std::fs;
use std::time::Duration;

use eud_sys::process;
use serde_json::{Value, json};
use support::{World, kill, until, until_gone};

#[test]
fn a_fleet_comes_up_in_order_and_goes_down_without_a_trace() {
    let mut world = World::up(
        r#"
        [daemons.base]
        shell = "echo base is here; exec sleep 1000"
        ready = { log = "base is here" }
        [daemons.top]
        shell = "sleep 1000 & sleep 1001 & wait"
        needs = ["base"]
        ready = { exec = ["sh", "-c", "test $EUD_UNIT = top"] }
        "#,
    );
    let base = world.until_state("base", "ready");
    let top = world.until_state("top", "ready");
    assert!(top["started_at"].as_str() > base["started_at"].as_str());
    assert!(world.output("base").contains("stdout F base is here"));
    let status = world.status();
    let counts: u64 = status["summary"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(k, _)| *k != "total")
        .map(|(_, v)| v.as_u64().unwrap())
        .sum();
    assert_eq!(counts, 2);
    let (base, top) = (world.identity("base"), world.identity("top"));
    let children = process::descendants(top.pid).unwrap();
    assert_eq!(children.len(), 2);
    let dirs = [world.run_dir("base"), world.run_dir("top")];
    assert_eq!(world.shut_down().code(), Some(0));
    for identity in children.into_iter().chain([base, top]) {
        assert!(!process::is_alive(identity));
    }
    for dir in dirs {
        let record: Value =
            serde_json::from_slice(&fs::read(dir.join("exit.json")).unwrap()).unwrap();
        assert_eq!(record["reason"], "stopped", "{record}");
        until_gone(world.keeper_of(&dir));
    }
    assert!(!world.state().join("eud.sock").exists());
    let log = world.log();
    let place = |text: &str| {
        log.find(text)
            .unwrap_or_else(|| panic!("no `{text}` in {log}"))
    };
    assert!(
        place("top stopping -> stopped") < place("base stopping -> stopped"),
        "{log}"
    );
}

#[test]
fn daemons_outlive_a_killed_manager_and_the_next_one_takes_them_back() {
    let mut world = World::up(
        r#"
        [daemons.steady]
        shell = "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.01; done"
        ready = { log = "line 1" }
        [daemons.short]
        shell = "until test -e go; do sleep 0.01; done; exit 7"
        restart = "never"
        [daemons.quiet]
        command = "sleep 1000"
        "#,
    );
    world.until_state("steady", "ready");
    let before = (world.identity("steady"), world.identity("quiet"));
    world.pid("short");
    world.ok("daemon.stop", json!({"names": ["quiet"]}));
    world.until_state("quiet", "stopped");
    world.kill_manager();
    fs::write(world.path().join("go"), "").unwrap();
    let run = fs::read_dir(world.state().join("daemons/short/runs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    until(|| run.path().join("exit.json").exists());
    world.start();
    let steady = world.unit("steady");
    assert_eq!(
        steady["state"], "ready",
        "the line was seen by the first manager: {steady}"
    );
    assert_eq!(world.identity("steady"), before.0);
    let short = world.until_state("short", "failed");
    assert_eq!(short["last_exit"]["code"], 7);
    let quiet = world.unit("quiet");
    assert_eq!(
        (quiet["state"].as_str(), quiet["desired"].as_str()),
        (Some("stopped"), Some("down"))
    );
    world.kill_manager();
    world.start();
    assert_eq!(world.identity("steady"), before.0);
    let runs = world.ok("daemon.runs", json!({"name": "short"}));
    assert_eq!(
        runs.as_array().unwrap().len(),
        1,
        "one run, one record: {runs}"
    );
    let seen = world.output("steady").lines().count();
    until(|| world.output("steady").lines().count() > seen);
    for (index, line) in world.output("steady").lines().enumerate() {
        assert!(line.ends_with(&format!(" F line {}", index + 1)), "{line}");
    }
}

#[test]
fn an_upgrade_leaves_the_daemons_alone() {
    let mut world = World::up("[daemons.a]\ncommand = \"sleep 1000\"\n");
    let before = world.identity("a");
    world.ok("fleet.shutdown", json!({"keep_daemons": true}));
    assert_eq!(world.manager_ended().code(), Some(0));
    assert!(process::is_alive(before));
    world.start();
    assert_eq!(world.identity("a"), before);
    assert_eq!(world.unit("a")["restarts"], 0);
}

#[test]
fn a_killed_keeper_is_a_recorded_loss_and_leads_to_exactly_one_new_copy() {
    let mut world =
        World::up("[daemons.a]\nshell = \"setsid sleep 1234 & setsid sleep 1235 & wait\"\n");
    let before = world.identity("a");
    let dir = world.run_dir("a");
    until(|| process::descendants(before.pid).is_ok_and(|all| all.len() == 2));
    let tree = process::descendants(before.pid).unwrap();
    kill(world.keeper_of(&dir));
    let after = world.until("a", |unit| {
        unit["pid"].is_u64() && unit["pid"] != json!(before.pid)
    });
    assert_eq!(after["last_exit"]["reason"], "keeper-lost", "{after}");
    assert_eq!(after["last_exit"]["code"], Value::Null);
    for identity in tree.into_iter().chain([before]) {
        assert!(
            !process::is_alive(identity),
            "the old tree must be gone before the new run"
        );
    }
    let runs = world.ok("daemon.runs", json!({"name": "a"}));
    assert_eq!(runs.as_array().unwrap().len(), 2, "{runs}");
    // The same while no manager looks.
    let before = world.identity("a");
    let dir = world.run_dir("a");
    world.kill_manager();
    kill(world.keeper_of(&dir));
    world.start();
    let after = world.until("a", |unit| {
        unit["pid"].is_u64() && unit["pid"] != json!(before.pid)
    });
    assert_eq!(after["last_exit"]["reason"], "keeper-lost", "{after}");
    let runs = world.ok("daemon.runs", json!({"name": "a"}));
    assert_eq!(runs.as_array().unwrap().len(), 3, "{runs}");
}

#[test]
fn a_lost_database_costs_no_daemon() {
    let mut world = World::up(
        "[daemons.a]\ncommand = \"sleep 1000\"\n[daemons.b]\ncommand = \"false\"\nrestart = \"never\"\n",
    );
    let before = world.identity("a");
    world.until_state("b", "failed");
    let newest = world.ok("daemon.runs", json!({"name": "b"}))[0]["generation"]
        .as_u64()
        .unwrap();
    world.kill_manager();
    for name in ["state.db", "state.db-wal", "state.db-shm"] {
        let _ = fs::remove_file(world.state().join(name));
    }
    world.start();
    assert_eq!(world.identity("a"), before);
    // What had settled is forgotten with the database: it is tried again, as a new generation.
    let runs = support::until_some(|| {
        let runs = world.ok("daemon.runs", json!({"name": "b"}));
        (runs.as_array().unwrap().len() >= 2).then_some(runs)
    });
    assert!(runs[0]["generation"].as_u64().unwrap() > newest, "{runs}");
}

#[test]
fn a_corrupt_exit_record_is_unknown_not_guessed() {
    let mut world = World::up(
        "[daemons.a]\nshell = \"until test -e go; do sleep 0.01; done\"\nrestart = \"never\"\n",
    );
    world.pid("a");
    let dir = world.run_dir("a");
    world.kill_manager();
    fs::write(world.path().join("go"), "").unwrap();
    until(|| dir.join("exit.json").exists());
    fs::write(dir.join("exit.json"), "{\"run\":\"").unwrap();
    world.start();
    let unit = world.until("a", |unit| unit["last_exit"].is_object());
    assert_eq!(unit["last_exit"]["reason"], "record-corrupt", "{unit}");
    assert_eq!(unit["last_exit"]["code"], Value::Null);
    assert_eq!(
        fs::read_to_string(dir.join("exit.json.bad")).unwrap(),
        "{\"run\":\""
    );
    let record: Value = serde_json::from_slice(&fs::read(dir.join("exit.json")).unwrap()).unwrap();
    assert_eq!(record["reason"], "record-corrupt");
}

#[test]
fn a_keeper_that_does_not_answer_is_unknown_and_nothing_is_started_in_its_place() {
    let mut world = World::up("[daemons.a]\ncommand = \"sleep 1000\"\n");
    let before = world.identity("a");
    let dir = world.run_dir("a");
    let keeper = world.keeper_of(&dir);
    world.kill_manager();
    process::signal(keeper, eud_sys::signal::Signal::parse("STOP").unwrap()).unwrap();
    world.start();
    let unit = world.until_state("a", "unknown");
    assert!(
        unit["reason"].as_str().unwrap().contains("does not answer"),
        "{unit}"
    );
    assert_eq!(
        fs::read_dir(dir.parent().unwrap()).unwrap().count(),
        1,
        "nothing was started"
    );
    process::signal(keeper, eud_sys::signal::Signal::CONT).unwrap();
    world.until_state("a", "up");
    assert_eq!(world.identity("a"), before);
}

#[test]
fn signals_end_and_reload_the_manager() {
    let mut world = World::up("[daemons.a]\ncommand = \"sleep 1000\"\n");
    let before = world.identity("a");
    world.write_fleet(
        "[daemons.a]\ncommand = \"sleep 1000\"\n[daemons.b]\ncommand = \"sleep 1000\"\n",
    );
    let manager = process::identity(world.manager_pid()).unwrap();
    process::signal(manager, eud_sys::signal::Signal::HUP).unwrap();
    until(|| world.status()["daemons"].as_array().unwrap().len() == 2);
    world.until_state("b", "up");
    assert_eq!(world.identity("a"), before);
    process::signal(manager, eud_sys::signal::Signal::TERM).unwrap();
    assert_eq!(world.manager_ended().code(), Some(0));
    assert!(!process::is_alive(before));
}

#[test]
fn notify_readiness_and_status_are_heard_and_remembered() {
    let notifier = "import os,socket,time\n\
        s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\n\
        a=os.environ['NOTIFY_SOCKET']\n\
        a='\\0'+a[1:] if a[0]=='@' else a\n\
        s.sendto(b'READY=1\\nSTATUS=serving 3 models',a)\n\
        time.sleep(1000)\n";
    let mut world = World::new(
        "[daemons.a]\ncommand = [\"python3\", \"notifier.py\"]\nready = { notify = true }\n",
    );
    fs::write(world.path().join("notifier.py"), notifier).unwrap();
    if std::process::Command::new("python3")
        .arg("-V")
        .output()
        .is_err()
    {
        eprintln!("no python3 here: not tested");
        return;
    }
    world.start();
    let unit = world.until_state("a", "ready");
    assert_eq!(unit["status_text"], "serving 3 models");
    world.kill_manager();
    world.start();
    let unit = world.until_state("a", "ready");
    assert_eq!(unit["restarts"], 0);
}

#[test]
fn a_manager_killed_at_any_moment_of_a_start_leaves_exactly_one_copy() {
    let mut world = World::new("[daemons.a]\ncommand = \"sleep 1000\"\n");
    for n in 0..40 {
        // The intent may or may not be recorded, the folder and the keeper may or may not be there.
        world.start_and_kill_after(Duration::from_millis(n));
    }
    let _ = fs::remove_file(world.state().join("eud.sock"));
    world.start();
    let unit = world.until_state("a", "up");
    let alive = |run: &fs::DirEntry| !run.path().join("exit.json").exists();
    let runs = fs::read_dir(world.state().join("daemons/a/runs")).unwrap();
    let runs: Vec<_> = runs.map(Result::unwrap).filter(alive).collect();
    assert_eq!(runs.len(), 1, "one run without a record: the live one");
    assert_eq!(runs[0].file_name().to_str(), unit["run"].as_str());
    let listed = world.ok("daemon.runs", json!({"name": "a"}));
    let mut generations: Vec<u64> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["generation"].as_u64().unwrap())
        .collect();
    let count = generations.len();
    generations.dedup();
    assert_eq!(generations.len(), count, "no generation twice: {listed}");
}

#[test]
fn a_frozen_keeper_does_not_keep_a_fleet_from_going_down() {
    let mut world =
        World::up("[daemons.a]\ncommand = \"sleep 1000\"\nstop = { grace = \"50ms\" }\n");
    let command = world.identity("a");
    let dir = world.run_dir("a");
    let keeper = world.keeper_of(&dir);
    process::signal(keeper, eud_sys::signal::Signal::parse("STOP").unwrap()).unwrap();
    assert_eq!(world.shut_down().code(), Some(0));
    assert!(!process::is_alive(keeper) && !process::is_alive(command));
    let record: Value = serde_json::from_slice(&fs::read(dir.join("exit.json")).unwrap()).unwrap();
    assert_eq!(
        (&record["reason"], &record["code"]),
        (&json!("keeper-lost"), &Value::Null)
    );
}

#[test]
fn rotated_logs_are_compressed() {
    let world = World::up(
        "[daemons.a]\nshell = \"seq 100000; exec sleep 1000\"\n\
         log = { max_size = \"100kB\", keep = 3, compress = true }\n",
    );
    let folder = world.state().join("daemons/a/log");
    let names = || -> Vec<String> {
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().into_string().unwrap())
            .collect()
    };
    until(|| {
        let names = names();
        let packed = names.iter().filter(|name| name.ends_with(".zst")).count();
        packed == 3 && names.len() == 4
    });
    assert_eq!(world.status()["problems"], json!([]));
}

#[test]
fn a_daemon_that_never_stops_talking_can_be_stopped_and_its_line_is_found() {
    let world = World::up(
        "[daemons.a]\nshell = \"yes noise | head -c 500000; echo here I am; exec yes\"\n\
         ready = { log = \"here I am\" }\n",
    );
    world.until_state("a", "ready");
    world.ok("daemon.stop", json!({"names": ["a"]}));
    let unit = world.until_state("a", "stopped");
    assert_eq!(unit["last_exit"]["reason"], "stopped", "{unit}");
}
