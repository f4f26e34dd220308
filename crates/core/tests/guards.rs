//! Guards, scene by scene.

#[expect(dead_code, reason = "other tests use the rest")]
mod scenario;

use eud_core::fleet::{Fleet, Guard, GuardAction, Guarded};
use eud_core::io::{Command, Usage};
use eud_core::view::State;

use scenario::{Script, daemon, fleet};

const MB: u64 = 1_000_000;

fn guarded(what: Guarded, for_ms: u64, action: GuardAction) -> Fleet {
    let mut hog = daemon("hog", &[]);
    hog.guards = vec![Guard {
        what,
        for_ms,
        action,
    }];
    fleet([hog])
}

fn memory(action: GuardAction) -> Fleet {
    let max_bytes = 100 * MB;
    guarded(Guarded::Memory { max_bytes }, 20_000, action)
}

fn silence() -> Fleet {
    let max_ms = 60_000;
    guarded(Guarded::Silence { max_ms }, 0, GuardAction::Restart)
}

fn running(fleet: Fleet) -> Script {
    let mut s = Script::up_with(fleet);
    s.started("hog");
    s.told();
    s
}

fn uses(bytes: u64) -> Usage {
    Usage {
        memory_bytes: Some(Ok(bytes)),
        how: Some("polling".into()),
        ..Usage::default()
    }
}

fn cpu(ms: u64) -> Usage {
    Usage {
        cpu_ms: Some(Ok(ms)),
        ..Usage::default()
    }
}

fn silent(ms: u64) -> Usage {
    Usage {
        silent_ms: Some(Ok(ms)),
        ..Usage::default()
    }
}

/// One measurement, as soon as one is asked for; gives what was told.
fn measure(s: &mut Script, usage: Usage) -> String {
    while !s.told().contains("measure hog") {
        s.pass(100);
    }
    s.measured("hog", usage);
    s.told()
}

fn guards(s: &Script) -> Vec<String> {
    s.core.status(s.now).daemons[0].guards.clone()
}

#[test]
fn a_limit_must_be_broken_for_its_time() {
    let mut s = running(memory(GuardAction::Event));
    for bytes in [500 * MB, 500 * MB, 500 * MB, 50 * MB, 500 * MB, 500 * MB] {
        assert_eq!(measure(&mut s, uses(bytes)), "");
    }
    let mut told = String::new();
    for _ in 0..4 {
        told.push_str(&measure(&mut s, uses(500 * MB)));
    }
    assert_eq!(
        told.matches("guard memory broken: 500 MB, limit 100 MB")
            .count(),
        1,
        "once: {told}"
    );
    assert_eq!(guards(&s), ["guard memory: 500 MB, limit 100 MB"]);
    let view = s.core.view("hog", s.now).expect("a unit");
    assert_eq!(view.guarded_by.as_deref(), Some("polling"));
    let told = measure(&mut s, uses(50 * MB));
    assert!(
        told.contains("hog: guard memory kept again: 50 MB"),
        "{told}"
    );
    assert!(guards(&s).is_empty());
}

#[test]
fn what_cannot_be_measured_neither_breaks_nor_mends() {
    let mut s = running(memory(GuardAction::Event));
    let unknown = || Usage {
        memory_bytes: Some(Err("permission denied".into())),
        ..Usage::default()
    };
    for _ in 0..3 {
        measure(&mut s, uses(500 * MB));
    }
    for _ in 0..20 {
        assert_eq!(measure(&mut s, unknown()), "");
    }
    let mut told = measure(&mut s, uses(500 * MB));
    assert_eq!(told, "", "the time in between does not count");
    for _ in 0..3 {
        told.push_str(&measure(&mut s, uses(500 * MB)));
    }
    assert!(told.contains("broken"), "{told}");
    for _ in 0..20 {
        assert_eq!(measure(&mut s, unknown()), "");
    }
    assert_eq!(guards(&s).len(), 1, "still broken, as far as anyone knows");
}

#[test]
fn restart_is_like_a_failed_liveness() {
    let mut s = running(memory(GuardAction::Restart));
    let mut told = String::new();
    for _ in 0..5 {
        told = measure(&mut s, uses(500 * MB));
        if told.contains("broken") {
            break;
        }
    }
    assert_eq!(
        told,
        "hog: guard memory broken: 500 MB, limit 100 MB\n\
         stop hog\n\
         hog up → stopping: guard memory: 500 MB, limit 100 MB"
    );
    s.stopped("hog");
    s.expect(
        "launch hog
         hog stopping → starting: its keeper is starting the command",
    );
    let view = s.core.view("hog", s.now).expect("a unit");
    let message = view.last_exit.and_then(|exit| exit.message);
    assert_eq!(
        message.as_deref(),
        Some("guard memory: 500 MB, limit 100 MB")
    );
    s.started("hog");
    assert!(guards(&s).is_empty(), "a new run begins anew");
}

#[test]
fn hold_is_durable_and_says_why() {
    let mut s = running(memory(GuardAction::Hold));
    while s.core.state("hog") == Some(State::Up) {
        measure(&mut s, uses(500 * MB));
    }
    s.stopped("hog");
    assert_eq!(s.core.state("hog"), Some(State::Held));
    assert_eq!(
        s.intents[0].hold.as_deref(),
        Some("guard memory: 500 MB, limit 100 MB")
    );
    s.command(Command::Release(vec!["hog".into()]));
    assert_eq!(s.core.state("hog"), Some(State::Starting));
}

#[test]
fn of_cpu_time_the_average_counts_and_not_a_burst() {
    let max_percent = 150;
    let mut s = running(guarded(
        Guarded::Cpu { max_percent },
        40_000,
        GuardAction::Event,
    ));
    let mut total = 0;
    for step in 0..12 {
        // Ten seconds apart: one burst of four cores, then half a core.
        total += if step == 2 { 40_000 } else { 5_000 };
        assert_eq!(measure(&mut s, cpu(total)), "", "step {step}");
    }
    let mut told = String::new();
    for _ in 0..5 {
        total += 20_000;
        told.push_str(&measure(&mut s, cpu(total)));
    }
    assert!(told.contains("hog: guard cpu broken: "), "{told}");
    assert!(
        told.contains(" % of a core over 40s, limit 150 %"),
        "{told}"
    );
    for _ in 0..5 {
        told.push_str(&measure(&mut s, cpu(total)));
    }
    assert!(told.contains("guard cpu kept again"), "{told}");
}

#[test]
fn a_flood_of_output_is_seen_and_a_total_that_shrinks_is_not_one() {
    let mut s = running(guarded(
        Guarded::LogRate {
            max_bytes_per_s: MB,
        },
        20_000,
        GuardAction::Event,
    ));
    let output = |total| Usage {
        log_bytes: Some(Ok(total)),
        ..Usage::default()
    };
    for total in [5 * MB, 4 * MB, 3 * MB, 2 * MB, MB, 0, 0, 0] {
        assert_eq!(measure(&mut s, output(total)), "");
    }
    let mut told = String::new();
    for step in 1..8 {
        told.push_str(&measure(&mut s, output(step * 50 * MB)));
    }
    assert!(told.contains("hog: guard log_rate broken: "), "{told}");
}

#[test]
fn silence_and_a_cold_heartbeat_restart() {
    let mut s = running(silence());
    assert_eq!(measure(&mut s, silent(59_000)), "");
    let told = measure(&mut s, silent(61_000));
    assert!(
        told.starts_with("hog: guard silent_for broken: no output for 1m 01s, limit 1m\nstop hog"),
        "{told}"
    );
    let heartbeat = Guarded::Heartbeat {
        path: "/beat".into(),
        max_age_ms: 60_000,
    };
    let mut s = running(guarded(heartbeat, 0, GuardAction::Restart));
    let told = measure(
        &mut s,
        Usage {
            heartbeat_age_ms: Some(Ok(90_000)),
            ..Usage::default()
        },
    );
    assert!(told.contains("not written for 1m 30s, limit 1m"), "{told}");
}

#[test]
fn a_daemon_that_slept_with_the_machine_was_not_silent() {
    let mut s = running(silence());
    assert_eq!(measure(&mut s, silent(20_000)), "");
    s.now.mono_ms += 28_800_000;
    s.now.wall_ms += 28_800_000;
    assert_eq!(measure(&mut s, silent(28_820_000)), "");
    assert_eq!(measure(&mut s, silent(28_830_000)), "");
    for more in 1..10 {
        let told = measure(&mut s, silent(28_830_000 + more * 10_000));
        if !told.is_empty() {
            assert!(told.contains("no output for 1m"), "{told}");
            return;
        }
    }
    panic!("it is silent still");
}

#[test]
fn nothing_is_measured_before_the_start_nor_while_it_stops() {
    let mut s = Script::up_with(memory(GuardAction::Event));
    s.told();
    s.pass(50_000);
    s.expect("");
    s.started("hog");
    while !s.told().contains("measure hog") {
        s.pass(100);
    }
    s.command(Command::Stop(vec!["hog".into()]));
    s.told();
    s.measured("hog", uses(900 * MB));
    s.pass(14_000);
    s.expect("");
}

#[test]
fn a_measurement_without_an_answer_is_asked_for_again() {
    let mut s = running(memory(GuardAction::Event));
    while !s.told().contains("measure hog") {
        s.pass(100);
    }
    s.pass(9_999);
    s.expect("");
    s.pass(5_001);
    s.expect("measure hog");
}

#[test]
fn a_reload_changes_guards_of_a_running_daemon_at_once() {
    let mut s = running(fleet([daemon("hog", &[])]));
    s.pass(60_000);
    s.expect("");
    s.load(memory(GuardAction::Event));
    s.told();
    s.pass(5_000);
    s.expect("measure hog");
    s.load(fleet([daemon("hog", &[])]));
    s.pass(60_000);
    s.expect("");
}
