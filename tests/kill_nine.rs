//! The manager is killed again and again, and nobody notices.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::binaries::diarist;
use crate::support::fleet::Fleet;
use crate::support::processes::Process;
use crate::support::wire::Wire;
use crate::support::{Dice, PATIENCE, alone, eventually, log};

/// How often the manager is killed; `EUD_KILLS` changes it.
const KILLS: usize = 100;
const STEADY: usize = 40;
const CRASHING: usize = 10;
/// How long it may take until a new manager answers, at the 99th percentile.
const CONTROL_BACK: Duration = Duration::from_secs(1);
/// Every so often a manager is also killed while it takes control back.
const EARLY_EVERY: usize = 5;
/// It is killed within this time of its start then.
const EARLY_MS: u64 = 60;

fn fleet_text() -> String {
    let diarist = diarist();
    let mut text = "[defaults]\nlog = { max_size = \"64KiB\", keep = 1000 }\n".to_owned();
    for n in 0..STEADY {
        let every = 40 + n;
        text +=
            &format!("[daemons.steady-{n}]\ncommand = [{diarist:?}, \"--every\", \"{every}\"]\n");
    }
    for n in 0..CRASHING {
        let (a, b, c) = (n + 1, n + 21, n + 41);
        text += &format!(
            "[daemons.crashing-{n}]\n\
             command = [{diarist:?}, \"--every\", \"10\", \"--odds\", \"25\", \"--seed\", \"{n}\", \
             \"--code\", \"{a},{b},{c}\"]\n\
             restart = {{ limit = 0, backoff = {{ initial = \"100ms\", max = \"400ms\" }} }}\n"
        );
    }
    text
}

fn units() -> impl Iterator<Item = String> {
    let steady = (0..STEADY).map(|n| format!("steady-{n}"));
    steady.chain((0..CRASHING).map(|n| format!("crashing-{n}")))
}

/// Starts a manager by `eud up` and measures until it answers.
fn bring_back(fleet: &Fleet) -> (Duration, Process) {
    let begun = Instant::now();
    let mut up = fleet.command("up --wait 0s");
    let mut up = up
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let manager = loop {
        let answered = Wire::to(fleet.state()).ok().and_then(|mut wire| {
            let manager = Process::of(wire.peer())?;
            wire.try_call("ping", &json!({}))?.ok().map(|_| manager)
        });
        match answered {
            Some(manager) => break manager,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "no manager answers: {}",
            fleet.manager_log()
        );
    };
    let took = begun.elapsed();
    // Who asked for it may find it killed before its answer.
    up.wait().unwrap();
    (took, manager)
}

/// Starts one that does not live to see control.
fn kill_early(fleet: &Fleet, dice: &mut Dice) {
    let mut manager = fleet.spawn_manager();
    std::thread::sleep(Duration::from_millis(dice.below(EARLY_MS)));
    manager.kill().unwrap();
    manager.wait().unwrap();
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent).div_ceil(100).max(1) - 1]
}

#[test]
fn nothing_is_lost_when_the_manager_is_killed_a_hundred_times() {
    let kills = std::env::var("EUD_KILLS").map_or(KILLS, |n| n.parse().unwrap());
    let _alone = alone();
    let fleet = Fleet::new(&fleet_text());
    fleet.eud("up --wait 0s", 0);
    for unit in units() {
        eventually("its start", || {
            (!fleet.diary(&unit).starts.is_empty()).then_some(())
        });
    }
    let mut dice = Dice(9);
    let mut back = Vec::new();
    let mut manager = fleet.manager();
    for round in 0..kills {
        manager.kill();
        if round % EARLY_EVERY == 0 {
            kill_early(&fleet, &mut dice);
        }
        let took;
        (took, manager) = bring_back(&fleet);
        back.push(took);
    }
    // What a killed manager left half done is completed.
    for n in 0..CRASHING {
        let before = fleet.diary(&format!("crashing-{n}")).starts.len();
        eventually("one more start", || {
            (fleet.diary(&format!("crashing-{n}")).starts.len() > before).then_some(())
        });
    }
    check_while_alive(&fleet);
    fleet.down();
    check_at_the_end(&fleet);
    back.sort();
    let (least, most) = (back[0], percentile(&back, 99));
    eprintln!(
        "control back after {kills} kills: min {least:?}, median {:?}, p99 {most:?}",
        percentile(&back, 50)
    );
    assert!(most <= CONTROL_BACK, "control back only after {most:?}");
}

fn check_while_alive(fleet: &Fleet) {
    for n in 0..STEADY {
        let unit = format!("steady-{n}");
        let diary = fleet.diary(&unit);
        assert_eq!(diary.starts.len(), 1, "{unit} was restarted: {diary:?}");
        assert!(diary.last().process.is_alive(), "{unit} did not survive");
        assert_eq!(fleet.process(&unit), diary.last().process);
        assert_eq!(fleet.unit(&unit)["restarts"], 0);
    }
}

fn check_at_the_end(fleet: &Fleet) {
    let mut crashes = 0;
    for unit in units() {
        let diary = fleet.diary(&unit);
        diary.was_alone();
        diary.agrees_with_log(&fleet.folder_of(&unit));
        let runs = fleet.runs(&unit);
        diary.agrees_with_runs(&runs);
        // Each start but the first followed an end that nobody asked for.
        let ended = diary.starts.iter().filter(|start| start.terms == 0);
        crashes += ended.count();
        for start in &diary.starts[..diary.starts.len() - 1] {
            assert!(start.code.is_some_and(|code| code > 0), "{unit}: {start:?}");
        }
        assert!(!log::read(&fleet.folder_of(&unit)).is_empty());
    }
    assert!(crashes > CRASHING, "hardly anything crashed: {crashes}");
}
