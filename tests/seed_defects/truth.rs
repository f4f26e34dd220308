//! What is shown, and whether it is so.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::support::fleet::{Fleet, diarist};
use crate::support::{epoch_ms, eventually, processes};

/// One of each state that can be had at will.
fn zoo() -> String {
    let at_once = "--lines 1 --every 1 --code 3";
    let ready = "ready = { log = \"ready 1 1\" }";
    let restart = "restart = { backoff = { initial = \"1h\", max = \"1h\" } }";
    let cool = "restart = { limit = 1, cool_down = \"1h\", backoff = { initial = \"1ms\", max = \"1ms\" } }";
    [
        diarist("up", "", ""),
        diarist("ready", "", ready),
        diarist("unready", "", "ready = { file = \"never\" }"),
        diarist("waiting", "", "needs = [\"unready\"]"),
        diarist("backoff", at_once, restart),
        diarist("cool-down", at_once, cool),
        diarist("failed", at_once, "restart = \"never\""),
        diarist(
            "done",
            "--lines 1 --every 1 --code 0",
            "restart = \"on-failure\"",
        ),
        diarist("held", "", ""),
        diarist("stopped", "", ""),
        diarist("disabled", "", "enabled = false"),
        diarist("three", "", "replicas = 3"),
    ]
    .concat()
}

fn zoo_at_rest() -> Fleet {
    let fleet = Fleet::new(&zoo());
    fleet.eud("up --wait 0s", 0);
    fleet.call(
        "daemon.hold",
        &json!({"names": ["held"], "reason": "not today"}),
    );
    fleet.eud("stop stopped", 0);
    for state in [
        "up",
        "ready",
        "waiting",
        "backoff",
        "cool-down",
        "failed",
        "done",
        "held",
        "stopped",
    ] {
        fleet.until_state(state, state);
    }
    fleet.until_state("three@3", "up");
    fleet
}

#[track_caller]
fn sums(status: &Value) {
    let daemons = status["daemons"].as_array().unwrap();
    let counts = status["summary"].as_object().unwrap();
    let mut sum = 0;
    for (state, count) in counts.iter().filter(|(state, _)| *state != "total") {
        let rows = daemons
            .iter()
            .filter(|unit| unit["state"] == **state)
            .count();
        assert_eq!(*count, rows, "{state} in {status}");
        sum += rows;
    }
    assert_eq!(counts["total"], sum, "{status}");
    assert_eq!(daemons.len(), sum);
}

/// The numbers of an audit did not add up: 47, 74, 3 and 20 of 148.
#[test]
fn counts_sum_to_the_total_in_every_state() {
    let fleet = zoo_at_rest();
    let status = fleet.status();
    sums(&status);
    assert_eq!(status["summary"]["total"], 14);
    sums(&fleet.json("status"));
    let file = eventually("the same in the file", || {
        let text = fs::read_to_string(fleet.state().join("state.json")).ok()?;
        let file: Value = serde_json::from_str(&text).ok()?;
        (file["summary"] == status["summary"]).then_some(file)
    });
    sums(&file);
    // Also while everything is in motion.
    let mut down = fleet.command("down --keep-daemons");
    down.output().unwrap();
    fleet.eud("up --wait 0s", 0);
    for _ in 0..50 {
        sums(&fleet.status());
    }
    fleet.eud("restart up ready unready three --wait 0s", 0);
    for _ in 0..50 {
        sums(&fleet.status());
    }
    fleet.eud("status", 0).says("14 daemons");
    fleet.down();
}

/// Asked from another process, the status was that of a fleet of its own: 0 running while 26 ran.
#[test]
fn a_status_from_any_process_is_the_manager_s_own() {
    let fleet = zoo_at_rest();
    let essence = |status: &Value| {
        let rows = status["daemons"].as_array().unwrap().iter();
        let row = |unit: &Value| {
            (
                unit["name"].clone(),
                unit["state"].clone(),
                unit["pid"].clone(),
            )
        };
        rows.map(row).collect::<Vec<_>>()
    };
    let own = essence(&fleet.status());
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let mut command = fleet.command("status --json");
            command
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(essence(&status), own);
    }
    for (_, state, pid) in own {
        let pid = pid.as_u64().map(|pid| u32::try_from(pid).unwrap());
        let alive = pid.and_then(processes::Process::of).is_some();
        assert_eq!(
            alive,
            ["up", "ready"].contains(&state.as_str().unwrap()),
            "{state}"
        );
    }
    fleet.down();
}

/// 121 of 122 daemons had failed, and health was 200, alive and ready.
#[test]
fn a_fleet_that_is_nearly_all_down_is_not_called_well() {
    let mut text = diarist("well", "", "");
    for n in 0..20 {
        text += &diarist(
            &format!("ill-{n}"),
            "--lines 1 --every 1 --code 1",
            "restart = \"never\"",
        );
    }
    let fleet = Fleet::new(&text);
    fleet.eud("up", 1).says("1 of 21 daemons up");
    let status = fleet.status();
    assert_eq!(
        (&status["summary"]["failed"], &status["summary"]["up"]),
        (&20.into(), &1.into())
    );
    fleet.eud("status", 0).says("20 failing");
    let failing = fleet.eud("status failing", 0);
    for n in 0..20 {
        failing.says(&format!("ill-{n}"));
    }
    fleet.down();
}

/// Ready was set the moment a daemon was scheduled; a restart had succeeded when the process was
/// alive two seconds later.
#[test]
fn alive_is_not_ready_and_nobody_who_needs_it_is_started() {
    let text = diarist("base", "", "ready = { file = \"proof\" }")
        + &diarist("top", "", "needs = [\"base\"]");
    let fleet = Fleet::new(&text);
    fleet.eud("up --wait 700ms", 6).says("base is not ready");
    let base = fleet.unit("base");
    assert_eq!(
        (&base["state"], &base["ready"]),
        (&"up".into(), &false.into()),
        "{base}"
    );
    assert_eq!(fleet.unit("top")["state"], "waiting");
    assert!(fleet.diary("top").starts.is_empty());
    assert_eq!(fleet.status()["summary"]["ready"], 0);
    fleet.eud("restart base --wait 500ms", 6);
    fs::write(fleet.path().join("proof"), "").unwrap();
    fleet.until_state("base", "ready");
    fleet.until_state("top", "up");
    fleet.down();
}

/// A script under `set -e` died at its first increment, its trap exited with 0, and that was
/// success.
#[test]
fn an_exit_with_0_of_a_service_is_an_end_and_not_health() {
    let shell = "trap 'exit 0' EXIT; set -e; N=0; ((N++)); while :; do sleep 1; done";
    let restart = "restart = { backoff = { initial = \"1h\", max = \"1h\" } }";
    let fleet = Fleet::new(&format!(
        "[daemons.a]\ncommand = [\"bash\", \"-c\", {shell:?}]\n{restart}\n"
    ));
    fleet.eud("up", 1);
    let unit = fleet.until_state("a", "backoff");
    assert_eq!(unit["last_exit"]["code"], 0, "{unit}");
    assert!(
        unit["pid"].is_null() && unit["next_try_at"].is_string(),
        "{unit}"
    );
    fleet.eud("status failing", 0).says("a");
    fleet.eud("why a", 0).says("code 0");
    fleet.down();
}

/// `restarted` was said when it had been asked for, whatever came of it.
#[test]
fn done_is_said_of_what_is_done() {
    let fleet = Fleet::new(&diarist(
        "a",
        "--lines 1 --every 1 --code 6",
        "restart = \"never\"",
    ));
    for line in ["up", "start a", "restart a"] {
        let ran = fleet.eud(line, 1);
        assert!(!ran.out.contains("started a"), "{ran}");
        ran.says("code 6").says("a 1 1 out");
    }
    assert_eq!(fleet.diary("a").starts.len(), 3);
    fleet.down();
}

/// The list of daemons was kept by hand in three places, and they did not agree.
#[test]
fn one_declaration_is_known_everywhere_and_gone_everywhere() {
    let two = diarist("old", "", "") + &diarist("new-one", "", "needs = [\"old\"]");
    let fleet = Fleet::up(&two);
    let places = || {
        let file = fs::read_to_string(fleet.state().join("state.json")).unwrap_or_default();
        let lines = [
            "check --json",
            "graph",
            "status --all",
            "status --json",
            "logs",
        ];
        let outputs = lines.map(|line| fleet.run(line).out);
        let mut places: Vec<(String, bool)> = lines
            .iter()
            .zip(outputs)
            .map(|(l, out)| ((*l).to_owned(), out.contains("new-one")))
            .collect();
        places.push(("state.json".into(), file.contains("new-one")));
        let asked = ["why new-one", "show new-one"];
        places.extend(asked.map(|line| (line.to_owned(), fleet.run(line).code == 0)));
        // What only says that a file is valid names nobody, and logs outlive their daemon.
        places.retain(|(place, _)| place != "check --json" && place != "logs");
        places
    };
    eventually("known everywhere", || {
        places().iter().all(|(_, known)| *known).then_some(())
    });
    let process = fleet.process("new-one");
    fleet.write(&diarist("old", "", ""));
    fleet.eud("reload", 0);
    process.until_gone();
    eventually("gone everywhere", || {
        places().iter().all(|(_, known)| !*known).then_some(())
    });
    // Its history is not forgotten.
    assert_eq!(fleet.runs("new-one").len(), 1);
    fleet.down();
}

/// A file of the dead watchdog said that everything was healthy, for ten days.
#[test]
fn nobody_is_called_up_by_a_manager_that_is_gone() {
    let fleet = Fleet::up(&(diarist("a", "", "") + &diarist("b", "", "")));
    let (manager, keeper) = (fleet.manager(), fleet.keeper("b"));
    manager.kill();
    keeper.kill();
    let command = fleet.diary("b").last().process;
    command.until_gone();
    let status = fleet.eud("status", 4);
    status.says("no manager is running");
    let json = fleet.run("status --json");
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["manager"], Value::Null, "{json}");
    let row = |name: &str| {
        let rows = value["daemons"].as_array().unwrap();
        rows.iter()
            .find(|unit| unit["name"] == name)
            .cloned()
            .unwrap()
    };
    assert!(row("b")["pid"].is_null(), "b is dead: {json}");
    assert!(
        !["up", "ready"].contains(&row("b")["state"].as_str().unwrap()),
        "b is dead: {json}"
    );
    status.says("alive, not supervised");
    assert!(fleet.diary("a").last().process.is_alive());
    assert_eq!(
        row("a")["state"],
        "unknown",
        "nobody asks whether a works: {json}"
    );
    sums(&value);
    fleet.eud("up", 0);
    fleet.down();
}

/// A time without a zone made a file of 14 minutes look 2 hours and 15 minutes old.
#[test]
fn times_are_utc_and_in_order_wherever_the_manager_lives() {
    let mut fleet = Fleet::new(&diarist("a", "", ""));
    fleet.env = vec![("TZ".into(), "Pacific/Kiritimati".into())];
    let now_ms = || {
        u64::try_from(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_millis(),
        )
        .unwrap()
    };
    let before = now_ms();
    fleet.eud("up", 0);
    let status = fleet.status();
    let after = now_ms();
    let at = |value: &Value| epoch_ms(value.as_str().unwrap());
    let times = [
        at(&status["manager"]["started_at"]),
        at(&status["daemons"][0]["started_at"]),
        at(&status["daemons"][0]["since"]),
        at(&status["generated_at"]),
    ];
    assert!(times.is_sorted(), "{times:?}");
    assert!(
        before <= times[0] + 1 && times[3] <= after + 1,
        "{before} {times:?} {after}"
    );
    let line = crate::support::log::read(&fleet.folder_of("a")).remove(0);
    assert!(
        (before..=now_ms()).contains(&epoch_ms(&line.at)),
        "{line:?}"
    );
    let uptime = status["daemons"][0]["uptime_s"].as_f64().unwrap();
    assert!(
        uptime >= 0.0 && uptime * 1e3 <= (after - before) as f64,
        "{uptime}"
    );
    fleet.down();
}
