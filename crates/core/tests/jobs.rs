//! Jobs, scene by scene: times, fires, overlap, retries, what is overdue, what runs in circles.

#[expect(dead_code, reason = "other tests use the rest")]
mod scenario;

use eud_core::fleet::{
    Anchor, Daemon, Job, Kind, Missed, Overlap, Retry, Watch, WatchAction, When,
};
use eud_core::io::{Batch, Command, Fate, Input, RecoveredRun, Recovery, RunEvent};
use eud_core::record::EndReason;
use eud_core::view::State;
use scenario::{Script, daemon, fleet};

const MINUTE: u64 = 60_000;

fn job(name: &str, when: impl IntoIterator<Item = When>) -> Daemon {
    Daemon {
        kind: Kind::Job,
        job: Some(Job {
            schedules: when.into_iter().collect(),
            ..Job::default()
        }),
        ..daemon(name, &[])
    }
}

fn cron(expr: &str) -> When {
    When::Cron {
        expr: expr.into(),
        zone: None,
    }
}

fn every(every_ms: u64, from: Anchor) -> When {
    When::Every { every_ms, from }
}

fn with(mut daemon: Daemon, change: impl FnOnce(&mut Job)) -> Daemon {
    if let Some(job) = &mut daemon.job {
        change(job);
    }
    daemon
}

/// Runs the present run of a unit to this exit.
fn lives(s: &mut Script, unit: &str, code: i32) {
    s.started(unit);
    s.exits(unit, code);
}

#[test]
fn a_job_waits_for_its_time_runs_and_waits_again() {
    // It is 22:13:20.
    let mut s = Script::up([job("backup", [cron("*/5 * * * *")])]);
    s.expect("backup stopped → scheduled: next in 1m 40s");
    s.pass(100_000);
    s.expect(
        "backup fired (schedule), due 2023-11-14T22:15:00.000Z
         launch backup
         backup scheduled → starting: its keeper is starting the command",
    );
    s.started("backup");
    s.expect("backup starting → running");
    s.exits("backup", 0);
    s.expect(
        "backup succeeded, tries 1: it exited with code 0
         backup running → scheduled: next in 5m",
    );
    assert_eq!(
        s.core.view("backup", s.now).unwrap().restarts,
        0,
        "the end of a job is no restart"
    );
}

#[test]
fn a_failure_shows_until_the_next_success() {
    let mut s = Script::up([job("backup", [cron("*/5 * * * *")])]);
    s.pass(100_000);
    lives(&mut s, "backup", 1);
    assert_eq!(s.core.state("backup"), Some(State::Failed));
    s.told();
    s.pass(5 * MINUTE);
    lives(&mut s, "backup", 0);
    assert_eq!(s.core.state("backup"), Some(State::Scheduled));
}

#[test]
fn tries_within_a_fire_are_bounded_and_spaced_and_outlive_a_manager() {
    let retry = Retry {
        limit: 2,
        backoff_initial_ms: 10_000,
        ..Retry::default()
    };
    let backup = with(job("backup", [cron("*/30 * * * *")]), |job| {
        job.retry = retry
    });
    let mut s = Script::up([backup.clone()]);
    s.pass(17 * MINUTE);
    s.told();
    lives(&mut s, "backup", 1);
    s.expect(
        "backup starting → running
         backup running → backoff: exited with code 1; next try in 10s",
    );
    s.crash_and_recover(fleet([backup]), Recovery::default());
    s.told();
    s.pass(9_000);
    s.expect("");
    s.pass(1_000);
    assert_eq!(s.core.state("backup"), Some(State::Starting));
    lives(&mut s, "backup", 1);
    s.pass(20_000);
    s.told();
    lives(&mut s, "backup", 1);
    s.expect(
        "backup starting → running
         backup failed, tries 3: it exited with code 1
         backup running → failed: exited with code 1; next in 29m",
    );
}

/// What a sleep of 32 minutes over a job of every 10 leads to.
fn after_a_sleep(missed: Missed) -> (usize, Script) {
    let mut s = Script::up([with(job("j", [cron("*/10 * * * *")]), |job| {
        job.missed = missed;
        job.overlap = Overlap::QueueOne;
    })]);
    s.told();
    s.sleep(32 * MINUTE);
    let mut runs = 0;
    while s.core.state("j") == Some(State::Starting) {
        runs += 1;
        lives(&mut s, "j", 0);
    }
    (runs, s)
}

#[test]
fn missed_times_are_made_up_for_as_declared() {
    let (runs, mut s) = after_a_sleep(Missed::RunOnce);
    assert_eq!(runs, 1);
    assert!(
        s.told()
            .contains("j missed 3 times, last 2023-11-14T22:40:00.000Z; made up for by 1")
    );
    assert_eq!(after_a_sleep(Missed::Skip).0, 0);
    assert_eq!(after_a_sleep(Missed::RunAll { max: 10 }).0, 3);
    assert_eq!(after_a_sleep(Missed::RunAll { max: 2 }).0, 2);
}

#[test]
fn a_time_that_passed_while_no_manager_ran_is_made_up_for_once() {
    let j = job("j", [cron("*/10 * * * *")]);
    let mut s = Script::up([j.clone()]);
    s.now.wall_ms += 3_600_000;
    s.now.mono_ms += 3_600_000;
    s.crash_and_recover(fleet([j.clone()]), Recovery::default());
    assert!(s.told().contains("launch j"));
    lives(&mut s, "j", 0);
    s.crash_and_recover(fleet([j]), Recovery::default());
    assert!(!s.told().contains("launch j"));
}

#[test]
fn a_crash_between_decision_and_start_neither_loses_nor_doubles_a_fire() {
    let j = job("j", [cron("*/10 * * * *")]);
    let mut s = Script::up([j.clone()]);
    s.pass(7 * MINUTE);
    assert!(s.told().contains("launch j"));
    let mut record = s.record("j", EndReason::NeverStarted, None);
    record.run = "r9".into();
    let found = RecoveredRun {
        run: "r9".into(),
        unit: "j".into(),
        generation: 1,
        fate: Fate::Ended(record),
    };
    let recovery = Recovery {
        runs: vec![found],
        ..Recovery::default()
    };
    s.crash_and_recover(fleet([j.clone()]), recovery);
    assert_eq!(s.told().matches("launch j").count(), 1);
    lives(&mut s, "j", 0);
    s.crash_and_recover(fleet([j]), Recovery::default());
    s.pass(MINUTE);
    assert!(!s.told().contains("launch j"));
}

/// Fires every minute while a run takes for ever.
fn overlapping(overlap: Overlap, replicas: u32) -> Script {
    let mut j = with(job("j", [cron("* * * * *")]), |job| job.overlap = overlap);
    j.replicas = replicas;
    let mut s = Script::up([j]);
    s.pass(MINUTE);
    let first = if replicas > 1 { "j@1" } else { "j" };
    s.started(first);
    s.told();
    s.pass(2 * MINUTE);
    s
}

#[test]
fn overlap_is_as_declared() {
    let mut s = overlapping(Overlap::Skip, 1);
    assert_eq!(s.told().matches("it still runs").count(), 2);
    s.exits("j", 0);
    assert_eq!(s.core.state("j"), Some(State::Scheduled));

    let mut s = overlapping(Overlap::QueueOne, 1);
    assert_eq!(s.told().matches("launch").count(), 0);
    s.exits("j", 0);
    assert_eq!(s.told().matches("launch").count(), 1, "one for both");

    let mut s = overlapping(Overlap::KillOld, 1);
    assert!(
        s.told()
            .contains("j running → stopping: a newer fire takes its place")
    );
    s.stopped("j");
    assert!(s.told().contains("launch j"));
    let view = s.core.view("j", s.now).unwrap();
    assert_eq!(
        view.job.unwrap().failures,
        0,
        "to be replaced is no failure"
    );

    let mut s = overlapping(Overlap::Allow, 2);
    let told = s.told();
    assert!(told.contains("launch j@2"), "{told}");
    assert_eq!(told.matches("it still runs").count(), 1, "{told}");
}

#[test]
fn a_job_without_a_success_in_time_is_overdue_once() {
    let j = with(job("j", [cron("0 * * * *")]), |job| {
        job.overlap = Overlap::Skip;
    });
    let mut s = Script::up([j.clone()]);
    // 23:00: it begins and hangs. Expected by 23:00, and an hour of grace.
    s.pass(47 * MINUTE);
    s.started("j");
    s.told();
    s.pass(59 * MINUTE);
    assert!(!s.told().contains("overdue"));
    s.pass(2 * MINUTE);
    assert!(s.told().contains("j is overdue; last success: never"));
    s.pass(180 * MINUTE);
    assert!(!s.told().contains("overdue"));
    s.exits("j", 0);
    assert_eq!(s.core.state("j"), Some(State::Scheduled));
}

#[test]
fn a_job_that_nobody_could_run_is_shown_overdue() {
    let j = with(job("j", [cron("*/5 * * * *")]), |job| {
        job.missed = Missed::Skip
    });
    let mut s = Script::up([j]);
    s.sleep(24 * 60 * MINUTE + 170_000);
    assert_eq!(s.core.state("j"), Some(State::Overdue));
}

#[test]
fn a_clock_set_back_repeats_no_time_and_one_set_forth_misses_none() {
    let mut s = Script::up([job("j", [cron("*/10 * * * *")])]);
    s.pass(7 * MINUTE);
    lives(&mut s, "j", 0);
    s.told();
    // Back to before it ran.
    s.now.wall_ms -= 15 * 60_000;
    s.give(Input::Tick);
    s.pass(14 * MINUTE);
    assert!(!s.told().contains("launch j"));
    s.pass(11 * MINUTE);
    assert_eq!(s.told().matches("launch j").count(), 1);
    lives(&mut s, "j", 0);
    s.now.wall_ms += 3_600_000;
    s.give(Input::Tick);
    assert!(s.told().contains("made up for by 1"));
}

#[test]
fn a_clock_that_was_years_ahead_does_not_silence_a_job() {
    let j = job("j", [cron("*/10 * * * *")]);
    let mut s = Script::up([j]);
    s.now.wall_ms += 4 * 365 * 86_400_000;
    s.give(Input::Tick);
    lives(&mut s, "j", 0);
    s.told();
    s.now.wall_ms -= 4 * 365 * 86_400_000;
    s.give(Input::Tick);
    s.pass(10 * MINUTE);
    assert_eq!(s.told().matches("launch j").count(), 1);
}

#[test]
fn intervals_count_from_what_they_are_anchored_to() {
    let mut s = Script::up([
        job("clock", [every(10 * MINUTE, Anchor::Clock)]),
        job("end", [every(10 * MINUTE, Anchor::End)]),
        job("start", [every(10 * MINUTE, Anchor::Start)]),
    ]);
    s.told();
    s.pass(10 * MINUTE - 1);
    assert!(s.told().contains("launch clock"));
    s.pass(1);
    s.told();
    s.started("end");
    s.started("start");
    s.pass(4 * MINUTE);
    s.exits("end", 0);
    s.exits("start", 0);
    s.told();
    s.pass(6 * MINUTE);
    assert!(s.told().contains("launch start"));
    s.pass(4 * MINUTE);
    assert!(s.told().contains("launch end"));
}

#[test]
fn once_runs_at_each_up_and_what_needs_it_waits_for_its_success() {
    let migrate = job("migrate", [When::AfterUp { delay_ms: 0 }]);
    let mut s = Script::up([migrate.clone(), daemon("web", &["migrate"])]);
    let told = s.told();
    assert!(
        told.contains("launch migrate") && !told.contains("launch web"),
        "{told}"
    );
    lives(&mut s, "migrate", 1);
    assert!(!s.told().contains("launch web"));
    s.command(Command::Trigger(vec!["migrate".into()]));
    lives(&mut s, "migrate", 0);
    assert!(s.told().contains("launch web"));
    assert_eq!(s.core.state("migrate"), Some(State::Done));
    s.crash_and_recover(
        fleet([migrate.clone(), daemon("web", &["migrate"])]),
        Recovery::default(),
    );
    assert!(
        !s.told().contains("launch migrate"),
        "a new manager is no new up"
    );
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    s.crash_and_recover(
        fleet([migrate, daemon("web", &["migrate"])]),
        Recovery::default(),
    );
    assert!(s.told().contains("launch migrate"));
}

#[test]
fn after_boot_runs_once_in_each_boot() {
    let j = job("j", [When::AfterBoot { delay_ms: 5_000 }]);
    let mut s = Script::up([j.clone()]);
    s.told();
    s.pass(4_000);
    assert!(s.told().contains("launch j"));
    lives(&mut s, "j", 0);
    s.crash_and_recover(fleet([j]), Recovery::default());
    s.pass(MINUTE);
    assert!(!s.told().contains("launch j"));
}

#[test]
fn a_single_time_comes_once() {
    let at_ms = 1_700_000_000_000 + 60_000;
    let mut s = Script::up([job("j", [When::At { at_ms }])]);
    s.pass(MINUTE);
    lives(&mut s, "j", 0);
    s.pass(24 * 60 * MINUTE);
    assert_eq!(s.told().matches("launch j").count(), 1);
    assert_eq!(s.core.state("j"), Some(State::Done));
}

#[test]
fn a_stopped_job_misses_nothing_and_runs_by_hand() {
    let mut s = Script::up([job("j", [cron("*/10 * * * *")])]);
    s.command(Command::Stop(vec!["j".into()]));
    s.told();
    s.pass(120 * MINUTE);
    s.expect("");
    s.command(Command::Trigger(vec!["j".into()]));
    lives(&mut s, "j", 0);
    assert_eq!(s.core.state("j"), Some(State::Stopped));
    s.told();
    s.command(Command::Start(vec!["j".into()]));
    assert!(
        !s.told().contains("launch"),
        "times while it was stopped count for nothing"
    );
    // A stop holds for what a hand began, too, and through a crash.
    s.command(Command::Stop(vec!["j".into()]));
    s.command(Command::Trigger(vec!["j".into()]));
    s.started("j");
    s.told();
    s.command(Command::Stop(vec!["j".into()]));
    s.expect(
        "stop j
         j running → stopping: stopped by hand",
    );
}

#[test]
fn a_lane_that_is_stopped_alone_leaves_the_job_its_times() {
    let mut j = with(job("j", [cron("* * * * *")]), |job| {
        job.overlap = Overlap::Allow;
    });
    j.replicas = 2;
    let mut s = Script::up([j]);
    s.command(Command::Stop(vec!["j@1".into()]));
    s.told();
    s.pass(MINUTE);
    let told = s.told();
    assert!(
        told.contains("launch j@2") && !told.contains("launch j@1"),
        "{told}"
    );
    lives(&mut s, "j@2", 0);
    s.command(Command::Stop(vec!["j@2".into()]));
    s.told();
    s.pass(60 * MINUTE);
    s.expect("");
}

#[test]
fn services_are_not_triggered_and_held_jobs_say_so() {
    let mut s = Script::up([daemon("web", &[]), job("j", [])]);
    s.told();
    s.command(Command::Trigger(vec!["web".into()]));
    s.expect(r#"refused NotAJob { unit: "web" }"#);
    s.command(Command::Hold(vec!["j".into()], "why not".into()));
    s.told();
    s.command(Command::Trigger(vec!["j".into()]));
    s.expect(r#"refused Held { unit: "j", reason: "why not" }"#);
}

#[test]
fn a_fire_that_cannot_begin_in_time_is_given_up() {
    let mut j = with(job("j", [cron("*/30 * * * *")]), |job| {
        job.start_within_ms = Some(5 * MINUTE);
    });
    j.needs = vec!["db".into()];
    let mut db = daemon("db", &[]);
    db.ready = scenario::ready();
    let mut s = Script::up([j, db]);
    s.started("db");
    s.pass(17 * MINUTE);
    assert_eq!(s.core.state("j"), Some(State::Waiting));
    s.told();
    s.pass(5 * MINUTE);
    assert!(s.told().contains("it could not begin in time"));
    assert_eq!(s.core.state("j"), Some(State::Scheduled));
}

#[test]
fn jitter_is_the_same_for_the_same_time_and_within_its_bound() {
    let j = |name: &str| with(job(name, [cron("0 * * * *")]), |job| job.jitter_ms = MINUTE);
    let fire_at = |name: &str| {
        let mut s = Script::up([j(name)]);
        s.pass(46 * MINUTE + 39_999);
        let begun = s.now.mono_ms;
        while s.core.state(name) == Some(State::Scheduled) {
            let due = s.core.next_timeout().unwrap();
            s.pass(due - s.now.mono_ms);
        }
        s.now.mono_ms - begun
    };
    assert_eq!(fire_at("a"), fire_at("a"));
    let times: Vec<u64> = (0..20).map(|n| fire_at(&format!("j{n}"))).collect();
    assert!(times.iter().all(|t| *t <= MINUTE + 1), "{times:?}");
    assert!(times.iter().any(|t| *t != times[0]), "{times:?}");
}

fn watching(overlap: Overlap) -> Script {
    let mut j = with(job("j", []), |job| job.overlap = overlap);
    j.watch = Some(Watch {
        paths: vec!["/w".into()],
        loop_limit: 3,
        ..Watch::default()
    });
    Script::up([j])
}

fn changes(s: &mut Script, id: &str) {
    let batch = Batch {
        id: id.into(),
        count: 1,
        example: "/w/x".into(),
        first_ms: s.now.wall_ms,
        last_ms: s.now.wall_ms,
    };
    s.give(Input::Changed {
        daemon: "j".into(),
        batch,
    });
}

#[test]
fn changes_fire_a_job_and_are_never_skipped() {
    let mut s = watching(Overlap::Skip);
    s.expect(
        "watch j
         j stopped → scheduled: runs when its paths change",
    );
    changes(&mut s, "b1");
    assert!(s.told().contains("launch j"));
    s.started("j");
    changes(&mut s, "b2");
    changes(&mut s, "b2");
    changes(&mut s, "b3");
    s.told();
    s.exits("j", 0);
    let told = s.told();
    assert!(
        told.contains("drop b1 of j") && told.contains("launch j"),
        "{told}"
    );
    lives(&mut s, "j", 0);
    let told = s.told();
    assert!(
        told.contains("drop b2, b3 of j") && !told.contains("launch"),
        "{told}"
    );
    changes(&mut s, "b2");
    s.expect("");
    s.command(Command::Stop(vec!["j".into()]));
    assert!(s.told().contains("unwatch j"));
}

#[test]
fn a_job_that_triggers_itself_is_paused_and_named() {
    let mut s = watching(Overlap::QueueOne);
    changes(&mut s, "b0");
    for n in 1..=3 {
        s.started("j");
        s.pass(1_000);
        changes(&mut s, &format!("b{n}"));
        s.exits("j", 0);
    }
    assert_eq!(s.core.state("j"), Some(State::Waiting));
    s.pass(4_000);
    let told = s.told();
    let why = "it seems to trigger itself: `/w/x` changed while it ran, 3 times in a row";
    assert!(
        told.contains(&format!("j waiting → paused: {why}")),
        "{told}"
    );
    s.pass(60 * MINUTE);
    s.expect("");
    s.command(Command::Release(vec!["j".into()]));
    assert!(
        s.told().contains("launch j"),
        "what changed last is not lost"
    );
}

/// The manager shuts down, and the keeper is lost before the command executes.
fn shut_down_before_it_runs(s: &mut Script) -> String {
    s.told();
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    let record = s.record("j", EndReason::NeverStarted, None);
    s.run("j", RunEvent::Ended(record));
    s.told()
}

#[test]
fn a_shutdown_costs_no_fire_that_did_not_run() {
    let mut s = watching(Overlap::Skip);
    changes(&mut s, "b1");
    let told = shut_down_before_it_runs(&mut s);
    assert!(
        !told.contains("drop b1") && !told.contains("failed"),
        "{told}"
    );
    let j = s.core.daemon("j").unwrap().as_ref().clone();
    s.crash_and_recover(fleet([j]), Recovery::default());
    assert_eq!(s.told().matches("launch j").count(), 1);

    let mut s = Script::up([job("j", [cron("*/10 * * * *")])]);
    s.pass(7 * MINUTE);
    let told = shut_down_before_it_runs(&mut s);
    assert!(!told.contains("failed"), "{told}");
    let j = s.core.daemon("j").unwrap().as_ref().clone();
    s.crash_and_recover(fleet([j]), Recovery::default());
    assert_eq!(s.told().matches("launch j").count(), 1);
}

#[test]
fn what_the_next_up_brings_about_is_not_kept_through_a_shutdown() {
    let j = job("j", [When::AfterUp { delay_ms: 0 }]);
    let mut s = Script::up([j.clone()]);
    assert!(s.told().contains("launch j"));
    shut_down_before_it_runs(&mut s);
    s.crash_and_recover(fleet([j]), Recovery::default());
    assert_eq!(s.told().matches("launch j").count(), 1);
    lives(&mut s, "j", 0);
    s.pass(MINUTE);
    assert!(!s.told().contains("launch j"));
}

#[test]
fn a_start_that_waits_at_a_shutdown_comes_once_with_the_next_up() {
    let after_up = [When::AfterUp { delay_ms: 0 }];
    let j = with(job("j", after_up), |job| job.overlap = Overlap::QueueOne);
    let j = Daemon {
        needs: vec!["db".into()],
        ..j
    };
    let mut db = daemon("db", &[]);
    db.ready = scenario::ready();
    let mut s = Script::up([db.clone(), j.clone()]);
    s.started("db");
    assert!(!s.told().contains("launch j"), "db is not ready");
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    s.stopped("db");
    s.crash_and_recover(fleet([daemon("db", &[]), j]), Recovery::default());
    s.started("db");
    let mut launches = 0;
    while s.told().contains("launch j") {
        launches += 1;
        lives(&mut s, "j", 0);
    }
    assert_eq!(launches, 1);
}

#[test]
fn changes_that_go_on_while_a_job_rests_are_not_its_own() {
    let mut s = watching(Overlap::QueueOne);
    changes(&mut s, "b0");
    for n in 1..=20 {
        if s.core.state("j") == Some(State::Starting) {
            s.started("j");
            s.pass(1_000);
            changes(&mut s, &format!("b{n}"));
            s.exits("j", 0);
        } else {
            s.pass(2_000);
            changes(&mut s, &format!("b{n}"));
        }
    }
    assert_ne!(s.core.state("j"), Some(State::Paused));
    assert!(s.told().matches("launch j").count() > 10);
}

#[test]
fn changes_by_others_between_runs_are_no_loop() {
    let mut s = watching(Overlap::QueueOne);
    for n in 0..20 {
        changes(&mut s, &format!("b{n}"));
        s.started("j");
        s.pass(1_000);
        s.exits("j", 0);
        s.pass(5_000);
    }
    assert_eq!(s.core.state("j"), Some(State::Scheduled));
}

#[test]
fn a_service_restarts_when_its_paths_change() {
    let mut web = daemon("web", &[]);
    web.watch = Some(Watch {
        paths: vec!["/w".into()],
        action: WatchAction::Restart,
        ..Watch::default()
    });
    let mut s = Script::up([web]);
    s.started("web");
    s.told();
    let batch = Batch {
        id: "b".into(),
        count: 3,
        example: "/w/x".into(),
        ..Batch::default()
    };
    s.give(Input::Changed {
        daemon: "web".into(),
        batch,
    });
    s.expect(
        "drop b of web
         stop web
         web up → stopping: `/w/x` and 2 more changed",
    );
    s.stopped("web");
    assert!(s.told().contains("launch web"));
}

#[test]
fn a_reload_gives_a_job_its_new_times_and_forgets_one_that_is_gone() {
    let mut s = Script::up([job("j", [cron("0 * * * *")])]);
    s.told();
    s.load(fleet([job("j", [cron("*/5 * * * *")])]));
    s.pass(2 * MINUTE);
    assert!(s.told().contains("launch j"));
    lives(&mut s, "j", 0);
    s.load(fleet([daemon("web", &[])]));
    s.pass(60 * MINUTE);
    assert!(!s.told().contains("launch j"));
    assert_eq!(s.core.state("j"), None);
}

#[test]
fn ten_thousand_schedules_cost_one_timer() {
    let jobs =
        (0..10_000).map(|n| job(&format!("j{n:05}"), [cron(&format!("{} 3 * * *", n % 60))]));
    let s = Script::up(jobs);
    let due = s.core.next_timeout().unwrap();
    // 22:13:20 to 03:00.
    assert_eq!(due - s.now.mono_ms, (4 * 60 + 46) * MINUTE + 40_000);
}

#[test]
fn a_changed_command_leaves_a_jobs_run_alone() {
    let before = job("backup", [cron("*/5 * * * *")]);
    let mut s = Script::up([before.clone()]);
    s.pass(100_000);
    s.started("backup");
    s.told();
    let mut after = before;
    after.exec.argv = vec!["bin/other".into()];
    s.load(fleet([after]));
    s.expect("");
    assert_eq!(s.core.state("backup"), Some(State::Running));
    s.exits("backup", 0);
    s.pass(5 * MINUTE);
    assert_eq!(
        s.core.daemon("backup").map(|d| d.exec.argv.clone()),
        Some(vec!["bin/other".to_owned()]),
        "the next run is by the new definition"
    );
}
