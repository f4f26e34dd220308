//! Jobs with real processes: each writes what it ran for into a file of its own, and the files are
//! what is believed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::support::eventually;
use crate::support::fleet::Fleet;

/// A job that appends the time it is for, and then does `then`.
fn job(name: &str, then: &str, rest: &str) -> String {
    format!(
        "[daemons.{name}]\nkind = \"job\"\n\
         command = [\"sh\", \"-c\", \"echo $EUD_FIRE_TIME $EUD_TRIGGER $EUD_ATTEMPT $EUD_RUN_ID \
         >> {name}.fires; {then}\"]\n{rest}\n"
    )
}

/// What a job wrote: the time, the trigger, the try, the run.
fn fires(folder: &Path, name: &str) -> Vec<[String; 4]> {
    let text = fs::read_to_string(folder.join(format!("{name}.fires"))).unwrap_or_default();
    let words = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        [(); 4].map(|()| words.next().unwrap())
    };
    text.lines().map(words).collect()
}

#[track_caller]
fn until_fires(fleet: &Fleet, name: &str, count: usize) -> Vec<[String; 4]> {
    eventually(&format!("{count} fires of {name}"), || {
        Some(fires(fleet.path(), name)).filter(|fires| fires.len() >= count)
    })
}

#[test]
fn a_killed_manager_loses_and_doubles_no_time() {
    let fleet = Fleet::up(&job(
        "j",
        "true",
        "schedule = { cron = \"* * * * * *\", missed = { run_all = 100 }, overlap = \"queue-one\" }",
    ));
    until_fires(&fleet, "j", 2);
    for round in 0..8 {
        fleet.kill_manager();
        fleet.eud("up --wait 0s", 0);
        until_fires(&fleet, "j", 4 + round);
    }
    fleet.eud("stop j", 0);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for [due, ..] in fires(fleet.path(), "j") {
        *counts.entry(due).or_default() += 1;
    }
    let doubled: Vec<_> = counts.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let (first, last) = (counts.keys().next().unwrap(), counts.keys().last().unwrap());
    let second = |text: &str| crate::support::epoch_ms(text) / 1_000;
    let expected = second(last) - second(first) + 1;
    assert_eq!(counts.len() as u64, expected, "{counts:?}");
    fleet.down();
}

#[test]
fn a_run_that_outlives_the_manager_is_its_fire_s_only_one() {
    let fleet = Fleet::up(&job(
        "j",
        "while [ ! -e go ]; do sleep 0.05; done",
        "schedule = { every = \"1h\" }",
    ));
    fleet.eud("trigger j", 0);
    let [[_, trigger, ..]] = &until_fires(&fleet, "j", 1)[..] else {
        panic!("more than one");
    };
    assert_eq!(trigger, "hand");
    fleet.until_state("j", "running");
    let process = fleet.process("j");
    fleet.kill_manager();
    fs::write(fleet.path().join("go"), "").unwrap();
    process.until_gone();
    fleet.eud("up --wait 0s", 0);
    let j = fleet.until("j", |j| j["job"]["last_success_at"].is_string());
    assert_eq!(j["job"]["fires"], 1);
    assert_eq!(fires(fleet.path(), "j").len(), 1);
    fleet.down();
}

#[test]
fn a_job_killed_with_its_keeper_and_manager_is_tried_again_and_says_so() {
    let fleet = Fleet::up(&job(
        "j",
        "while [ ! -e go ]; do sleep 0.05; done",
        "retry = { limit = 3, backoff = { initial = \"100ms\" } }",
    ));
    fleet.eud("trigger j", 0);
    until_fires(&fleet, "j", 1);
    fleet.until_state("j", "running");
    let (keeper, process) = (fleet.keeper("j"), fleet.process("j"));
    fleet.kill_manager();
    keeper.kill();
    process.until_gone();
    fs::write(fleet.path().join("go"), "").unwrap();
    fleet.eud("up --wait 0s", 0);
    let all = until_fires(&fleet, "j", 2);
    let tries: Vec<&str> = all
        .iter()
        .map(|[_, _, attempt, _]| attempt.as_str())
        .collect();
    assert_eq!(tries, ["0", "1"]);
    assert_eq!(all[0][0], all[1][0], "the same fire");
    fleet.until("j", |j| j["job"]["last_success_at"].is_string());
    let runs = fleet.runs("j");
    assert_eq!(runs[0]["exit"]["reason"], "keeper-lost");
    assert!(runs[0]["exit"]["code"].is_null(), "nobody saw it");
    fleet.down();
}

#[test]
fn tries_end_and_the_failure_stays_in_sight() {
    let fleet = Fleet::up(&job(
        "j",
        "exit 3",
        "retry = { limit = 2, backoff = { initial = \"50ms\" } }",
    ));
    fleet.eud("trigger j", 0);
    let j = fleet.until_state("j", "failed");
    assert_eq!(fires(fleet.path(), "j").len(), 3);
    assert_eq!(j["last_exit"]["code"], 3);
    assert_eq!(j["job"]["failures"], 1);
    assert_eq!(j["restarts"], 0, "tries of a job are no restarts");
    fleet.down();
}

#[test]
fn what_a_gate_holds_back_goes_on_by_itself_and_says_who_and_why() {
    let text = [
        "[gauges.depth]\nfiles = { glob = \"queue/*\", measure = \"count\" }\nevery = \"1s\"\n\
         over = { at = 3, clear = 2 }\n\
         [gates.ingest]\ngauge = \"depth\"\nmembers = [\"producer\", \"j\"]\n\
         [daemons.producer]\ncommand = [\"sleep\", \"1000\"]\n"
            .to_owned(),
        job("j", "true", ""),
    ];
    let fleet = Fleet::up(&text.concat());
    fs::create_dir(fleet.path().join("queue")).unwrap();
    fleet.until_state("producer", "up");
    for n in 0..3 {
        fs::write(fleet.path().join(format!("queue/{n}")), "").unwrap();
    }
    let producer = fleet.until_state("producer", "paused");
    let why = producer["reason"].as_str().unwrap();
    assert!(why.contains("ingest"), "{why}");
    fleet.eud("trigger j", 0);
    assert_eq!(fleet.unit("j")["state"], "paused");
    // A new manager neither opens nor closes it.
    fleet.kill_manager();
    fleet.eud("up --wait 0s", 0);
    assert_eq!(fleet.unit("producer")["state"], "paused");
    assert!(fires(fleet.path(), "j").is_empty());
    fs::remove_file(fleet.path().join("queue/0")).unwrap();
    fs::remove_file(fleet.path().join("queue/1")).unwrap();
    fleet.until_state("producer", "up");
    until_fires(&fleet, "j", 1);
    fleet.down();
}
