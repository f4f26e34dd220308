//! Guards, with processes that eat, spin, fall silent and flood.

use std::fs;

use serde_json::Value;

use crate::support::fleet::{Fleet, diarist};

/// A daemon that misbehaves at its first start only, so that a restart helps.
fn once(name: &str, misbehave: &str, behave: &str, guards: &str) -> String {
    format!(
        "[daemons.{name}]\n\
         shell = '''if [ -e {name}.done ]; then {behave}; fi; touch {name}.done; {misbehave}'''\n\
         stop = {{ grace = \"1s\" }}\n\
         guards = {guards}\n"
    )
}

#[track_caller]
fn restarted(fleet: &Fleet, name: &str, why: &str) {
    let unit = fleet.until(name, |unit| unit["restarts"] == 1 && unit["pid"].is_u64());
    let message = unit["last_exit"]["message"].as_str().unwrap();
    assert!(message.starts_with(why), "{message}");
    assert_eq!(unit["last_exit"]["class"], "failure", "{unit}");
    let broken = format!("{name}: guard ");
    assert!(
        fleet.manager_log().contains(&broken),
        "{}",
        fleet.manager_log()
    );
}

fn degraded(unit: &Value) -> bool {
    unit["state"] == "degraded"
}

#[test]
fn a_hog_is_restarted_with_its_whole_tree() {
    // The memory is that of two children; neither alone is too much.
    let eat = "for n in 1 2; do sh -c 'x=$(yes | head -c 30000000); sleep 1000' & done; wait";
    let eat = eat.replace('\'', "\"").replace("$(", "\\$(");
    let guards = "{ memory = { max = \"45MB\", for = \"0s\", action = \"restart\" } }";
    let fleet = Fleet::up(&once("hog", &eat, "exec sleep 1000", guards));
    restarted(&fleet, "hog", "guard memory: ");
    let unit = fleet.unit("hog");
    assert_eq!(unit["state"], "up", "{unit}");
    let by = fleet.until("hog", |unit| unit["guarded_by"].is_string());
    assert!(
        ["polling", "cgroup"].contains(&by["guarded_by"].as_str().unwrap()),
        "{by}"
    );
    fleet.down();
}

#[test]
fn silence_and_a_cold_heartbeat_restart() {
    let silence = once(
        "quiet",
        "echo one; exec sleep 1000",
        "while :; do echo x; sleep 0.2; done",
        "{ silent_for = { max = \"1s\", action = \"restart\" } }",
    );
    let heartbeat = once(
        "stuck",
        "touch beat; exec sleep 1000",
        "while :; do touch beat; sleep 0.2; done",
        "{ heartbeat = { file = \"beat\", max_age = \"1s\", action = \"restart\" } }",
    );
    let fleet = Fleet::up(&(silence + &heartbeat));
    restarted(&fleet, "quiet", "guard silent_for: no output for ");
    restarted(&fleet, "stuck", "guard heartbeat: not written for ");
    fleet.down();
}

#[test]
fn a_line_that_is_not_ended_is_no_silence() {
    let fleet = Fleet::up(
        "[daemons.bar]\n\
         shell = '''while :; do printf .; sleep 0.1; done'''\n\
         guards = { silent_for = { max = \"1s\", action = \"hold\" } }\n\
         [daemons.quiet]\n\
         shell = '''printf .; exec sleep 1000'''\n\
         guards = { silent_for = \"3s\" }\n",
    );
    let quiet = fleet.until("quiet", degraded);
    assert!(
        quiet["reason"].as_str().unwrap().contains("no output for "),
        "{quiet}"
    );
    let bar = fleet.unit("bar");
    assert_eq!(
        (&bar["state"], &bar["restarts"]),
        (&"up".into(), &0.into()),
        "{bar}"
    );
    fleet.down();
}

#[test]
fn one_that_spins_is_held_until_a_person_releases_it() {
    let fleet = Fleet::up(
        "[daemons.spin]\n\
         shell = '''while :; do :; done'''\n\
         guards = { cpu = { max = 5, for = \"2s\", action = \"hold\" } }\n",
    );
    let held = fleet.until_state("spin", "held");
    let reason = held["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("guard cpu: ") && reason.contains("limit 5 %"),
        "{reason}"
    );
    fleet.kill_manager();
    fleet.run("up").says("held");
    assert_eq!(fleet.unit("spin")["state"], "held");
    fleet.eud("release spin", 0);
    fleet.until("spin", |unit| unit["pid"].is_u64());
    fleet.down();
}

#[test]
fn a_flood_is_told_and_over_when_it_is_over() {
    let fleet = Fleet::up(
        "[daemons.flood]\n\
         shell = '''trap \"exit 0\" TERM; while :; do [ -e calm ] && sleep 0.1 || \
             head -c 200000 /dev/zero | tr \"\\\\0\" \"\\\\n\"; done'''\n\
         log = { max_size = \"100kB\", keep = 2 }\n\
         guards = { log_rate = { max = \"100kB\", for = \"1s\" } }\n",
    );
    let unit = fleet.until("flood", degraded);
    let reason = unit["reason"].as_str().unwrap();
    assert!(reason.starts_with("guard log_rate: "), "{reason}");
    fs::write(fleet.path().join("calm"), "").unwrap();
    fleet.until_state("flood", "up");
    let log = fs::read_to_string(fleet.state().join("manager.log")).unwrap();
    assert!(log.contains("guard log_rate kept again"), "{log}");
    fleet.down();
}

#[test]
fn guards_go_on_under_a_new_manager() {
    let guards = "guards = { memory = { max = \"1B\", for = \"2s\" } }";
    let fleet = Fleet::up(&diarist("a", "", guards));
    fleet.until("a", degraded);
    let process = fleet.process("a");
    fleet.kill_manager();
    fleet.eud("up --wait 0s", 0);
    fleet.until("a", degraded);
    assert_eq!(fleet.process("a"), process, "it was left alone");
    fleet.down();
}
