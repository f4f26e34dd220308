//! The state machine, scene by scene. Each test reads as the story it checks.

#[expect(dead_code, reason = "other tests use the rest")]
mod scenario;

use eud_core::fleet::{LimitAction, Live, OnNeedLost, Probe, RestartMode};
use eud_core::io::{Command, Fate, Notify, RecoveredRun, Recovery, RunEvent, Which};
use eud_core::record::EndReason;
use eud_core::view::State;
use scenario::{Script, daemon, fleet, ready};

fn vault_and_drain() -> [eud_core::fleet::Daemon; 2] {
    let mut vault = daemon("vault", &[]);
    vault.ready = ready();
    [vault, daemon("drain", &["vault"])]
}

fn running_pair() -> Script {
    let mut s = Script::up(vault_and_drain());
    s.started("vault");
    s.probed("vault", Which::Ready, Ok(()));
    s.started("drain");
    s.told();
    s
}

#[test]
fn a_daemon_starts_when_what_it_needs_is_ready_and_not_before() {
    let mut s = Script::up(vault_and_drain());
    s.expect(
        "launch vault
         drain stopped → waiting: needs `vault`, which is starting
         vault stopped → starting: its keeper is starting the command",
    );
    s.started("vault");
    s.expect("vault starting → up: not ready yet");
    s.probed("vault", Which::Ready, Err("connection refused"));
    s.expect("");
    s.probed("vault", Which::Ready, Ok(()));
    s.expect(
        "launch drain
         drain waiting → starting: its keeper is starting the command
         vault up → ready",
    );
}

#[test]
fn stopping_goes_the_other_way_round_and_dependents_wait_wanted() {
    let mut s = running_pair();
    s.command(Command::Stop(vec!["vault".into()]));
    s.expect(
        "stop drain
         drain up → stopping: `vault`, which it needs, is not wanted
         vault ready → stopping: stopped by hand; after `drain`",
    );
    s.stopped("drain");
    s.expect(
        "stop vault
         drain stopping → waiting: needs `vault`, which is stopping",
    );
    s.stopped("vault");
    s.expect("vault stopping → stopped: stopped by hand");
    s.command(Command::Start(vec!["vault".into()]));
    s.started("vault");
    s.told();
    s.probed("vault", Which::Ready, Ok(()));
    s.expect(
        "launch drain
         drain waiting → starting: its keeper is starting the command
         vault up → ready",
    );
}

#[test]
fn a_manual_stop_survives_up_reload_time_and_a_new_manager() {
    let mut s = running_pair();
    s.command(Command::Stop(vec!["drain".into()]));
    s.stopped("drain");
    s.told();
    s.command(Command::Up { profile: None });
    s.load(fleet(vault_and_drain()));
    s.pass(8_000);
    assert_eq!(s.core.state("drain"), Some(State::Stopped));
    let live = RecoveredRun {
        run: "r1".into(),
        unit: "vault".into(),
        generation: 5,
        fate: Fate::Live {
            pid: Some(1),
            started_at_ms: 0,
            ready_seen: false,
            changed: Vec::new(),
        },
    };
    let recovery = Recovery {
        runs: vec![live],
        ..Recovery::default()
    };
    s.crash_and_recover(fleet(vault_and_drain()), recovery);
    s.command(Command::Up { profile: None });
    s.expect("vault stopped → up: not ready yet");
    assert_eq!(s.core.state("drain"), Some(State::Stopped));
    s.command(Command::Start(vec!["drain".into()]));
    s.expect("drain stopped → waiting: needs `vault`, which is not ready yet");
}

#[test]
fn a_crash_of_a_needed_daemon_degrades_its_dependents_and_restarts_it_at_once() {
    let mut s = running_pair();
    s.exits("vault", 1);
    s.expect(
        "launch vault
         drain up → degraded: needs `vault`, which is starting
         vault ready → starting: its keeper is starting the command",
    );
    s.started("vault");
    s.probed("vault", Which::Ready, Ok(()));
    s.expect(
        "vault starting → up: not ready yet
         drain degraded → up
         vault up → ready",
    );
}

#[test]
fn on_need_lost_restart_stops_the_dependent_until_the_needed_one_is_back() {
    let [vault, mut drain] = vault_and_drain();
    drain.on_need_lost = OnNeedLost::Restart;
    let mut s = Script::up([vault, drain]);
    s.started("vault");
    s.probed("vault", Which::Ready, Ok(()));
    s.started("drain");
    s.told();
    s.exits("vault", 1);
    s.expect(
        "stop drain
         launch vault
         drain up → stopping: `vault`, which it needs, ended
         vault ready → starting: its keeper is starting the command",
    );
    s.stopped("drain");
    s.expect("drain stopping → waiting: needs `vault`, which is starting");
}

#[test]
fn restarts_back_off_then_cool_down_and_say_when_they_try_again() {
    let mut flaky = daemon("flaky", &[]);
    flaky.restart.limit = 2;
    let mut s = Script::up([flaky]);
    s.started("flaky");
    s.told();
    s.exits("flaky", 3);
    s.expect("launch flaky\nflaky up → starting: its keeper is starting the command");
    s.started("flaky");
    s.told();
    s.exits("flaky", 3);
    s.expect("flaky up → backoff: exited with code 3; next try in 1.0s");
    let restarts = |s: &Script| s.core.view("flaky", s.now).map(|view| view.restarts);
    assert_eq!(
        restarts(&s),
        Some(1),
        "the second restart has not happened yet"
    );
    s.pass(999);
    s.expect("");
    s.pass(1);
    s.expect("launch flaky\nflaky backoff → starting: its keeper is starting the command");
    s.started("flaky");
    s.told();
    s.exits("flaky", 3);
    s.expect("flaky up → cool-down: exited with code 3; next try in 5m");
    s.pass(300_000);
    s.expect("launch flaky\nflaky cool-down → starting: its keeper is starting the command");
}

#[test]
fn a_limit_can_hold_and_only_a_release_ends_it() {
    let mut flaky = daemon("flaky", &[]);
    flaky.restart.limit = 1;
    flaky.restart.limit_action = LimitAction::Hold;
    let mut s = Script::up([flaky]);
    for _ in 0..2 {
        s.started("flaky");
        s.told();
        s.exits("flaky", 1);
    }
    s.expect("flaky up → held: restarted 1 times within 10m; it last exited with code 1");
    s.command(Command::Start(vec!["flaky".into()]));
    assert!(
        s.told().starts_with("refused Held"),
        "a held daemon refuses a start"
    );
    s.command(Command::Release(vec!["flaky".into()]));
    s.expect("launch flaky\nflaky held → starting: its keeper is starting the command");
}

#[test]
fn a_oneshot_that_ends_well_is_done_serves_its_dependents_and_is_no_restart() {
    let mut migrate = daemon("migrate", &[]);
    migrate.restart.mode = RestartMode::OnFailure;
    let mut s = Script::up([migrate, daemon("app", &["migrate"])]);
    s.started("migrate");
    s.started("app");
    s.told();
    s.exits("migrate", 0);
    s.expect("migrate up → done: exited with code 0");
    assert_eq!(
        s.core.state("app"),
        Some(State::Up),
        "what is done still serves"
    );
    let restarts = s.core.view("migrate", s.now).map(|view| view.restarts);
    assert_eq!(restarts, Some(0));
}

#[test]
fn failure_without_restart_is_failed_and_an_alarm_exit_is_not() {
    for (code, state) in [(1, State::Failed), (2, State::Done), (0, State::Done)] {
        let mut check = daemon("check", &[]);
        check.restart.mode = RestartMode::Never;
        check.restart.alarm_exits = [2].into();
        let mut s = Script::up([check]);
        s.started("check");
        s.exits("check", code);
        assert_eq!(s.core.state("check"), Some(state), "exit {code}");
        s.pass(3_600_000);
        assert_eq!(
            s.core.state("check"),
            Some(state),
            "no timer undoes exit {code}"
        );
    }
}

#[test]
fn a_restart_by_hand_takes_the_dependents_along_in_order() {
    let mut s = running_pair();
    s.command(Command::Restart(vec!["vault".into()]));
    s.expect(
        "stop drain
         drain up → stopping: one it needs restarts
         vault ready → stopping: asked by hand; after `drain`",
    );
    s.stopped("drain");
    s.told();
    s.stopped("vault");
    s.expect("launch vault\nvault stopping → starting: its keeper is starting the command");
}

#[test]
fn a_keeper_that_does_not_obey_is_killed_after_the_grace_and_five_seconds() {
    let mut s = running_pair();
    s.command(Command::Stop(vec!["drain".into()]));
    s.told();
    s.pass(14_999);
    s.expect("");
    s.pass(1);
    s.expect("kill keeper of drain");
}

#[test]
fn an_unreachable_keeper_is_unknown_and_nothing_starts_in_its_place() {
    let mut s = running_pair();
    s.run(
        "vault",
        RunEvent::Unreachable(Some("its keeper does not answer".into())),
    );
    s.expect(
        "drain up → degraded: needs `vault`, which is unknown
         vault ready → unknown: its keeper does not answer",
    );
    s.pass(9_000);
    s.expect("");
    s.run("vault", RunEvent::Unreachable(None));
    s.expect("drain degraded → up\nvault unknown → ready");
}

#[test]
fn a_lost_keeper_counts_as_a_failure_with_an_unknown_code() {
    let mut s = Script::up([daemon("a", &[])]);
    s.started("a");
    s.told();
    let record = s.record("a", EndReason::KeeperLost, None);
    s.run("a", RunEvent::Ended(record));
    s.expect("launch a\na up → starting: its keeper is starting the command");
    let view = s.core.view("a", s.now);
    let exit = view.and_then(|view| view.last_exit);
    assert_eq!(
        exit.map(|exit| (exit.code, exit.reason)),
        Some((None, EndReason::KeeperLost))
    );
}

#[test]
fn liveness_restarts_after_its_failures_in_a_row_and_a_success_resets_them() {
    let mut app = daemon("app", &[]);
    app.live = Some(Live {
        probe: Probe::Tcp("localhost:1".into()),
        every_ms: 1_000,
        timeout_ms: 500,
        failures: 2,
    });
    let mut s = Script::up([app]);
    s.started("app");
    s.told();
    s.pass(1_000);
    s.probed("app", Which::Live, Err("no answer"));
    s.expect("app up → degraded: liveness: no answer");
    s.pass(1_000);
    s.probed("app", Which::Live, Ok(()));
    s.expect("app degraded → up");
    for _ in 0..2 {
        s.pass(1_000);
        s.probed("app", Which::Live, Err("no answer"));
    }
    s.expect(
        "app up → degraded: liveness: no answer
         stop app
         app degraded → stopping: liveness failed 2 times: no answer",
    );
    s.stopped("app");
    s.expect("launch app\napp stopping → starting: its keeper is starting the command");
}

#[test]
fn a_probe_that_never_answers_counts_as_failed() {
    let mut app = daemon("app", &[]);
    app.live = Some(Live {
        probe: Probe::Tcp("localhost:1".into()),
        every_ms: 1_000,
        timeout_ms: 500,
        failures: 1,
    });
    let mut s = Script::up([app]);
    s.started("app");
    s.told();
    s.pass(1_000 + 500 + 5_000);
    s.expect(
        "stop app
         app up → stopping: liveness failed 1 times: the test gave no answer",
    );
}

#[test]
fn a_missed_watchdog_restarts_and_each_ping_puts_it_off() {
    let mut app = daemon("app", &[]);
    let mut notify = ready();
    if let Some(ready) = &mut notify {
        ready.probe = Probe::Notify {
            watchdog_ms: Some(1_000),
        };
    }
    app.ready = notify;
    let mut s = Script::up([app]);
    s.started("app");
    s.pass(5_000);
    assert_eq!(
        s.core.state("app"),
        Some(State::Up),
        "the watchdog begins with READY=1"
    );
    s.notify("app", Notify::Ready);
    s.pass(900);
    s.notify("app", Notify::Watchdog);
    s.pass(900);
    assert_eq!(s.core.state("app"), Some(State::Ready));
    s.told();
    s.pass(100);
    s.expect("stop app\napp ready → stopping: no WATCHDOG=1 for 1.0s");
}

#[test]
fn not_ready_within_its_time_is_a_failure_that_says_what_the_probe_said() {
    let mut app = daemon("app", &[]);
    app.ready = ready().map(|ready| eud_core::fleet::Ready {
        within_ms: Some(3_000),
        ..ready
    });
    let mut s = Script::up([app]);
    s.started("app");
    s.probed("app", Which::Ready, Err("http 503"));
    s.told();
    s.pass(3_000);
    s.expect("stop app\napp up → stopping: not ready within 3.0s: http 503");
}

#[test]
fn a_reload_restarts_only_what_changed_and_says_which_and_why() {
    let mut s = Script::up([daemon("a", &[]), daemon("b", &[]), daemon("gone", &[])]);
    for unit in ["a", "b", "gone"] {
        s.started(unit);
    }
    s.told();
    let mut changed = daemon("a", &[]);
    changed.exec.argv.push("--new".into());
    let mut retagged = daemon("b", &[]);
    retagged.description = Some("no restart for this".into());
    s.load(fleet([changed, retagged, daemon("new", &[])]));
    s.expect(
        "stop a
         stop gone
         launch new
         a up → stopping: its definition changed: command
         gone up → stopping: it is no longer in the fleet file
         new stopped → starting: its keeper is starting the command",
    );
    s.stopped("gone");
    assert_eq!(s.core.state("gone"), None);
}

#[test]
fn wants_are_waited_for_but_not_for_ever_and_not_when_they_fail() {
    let mut cache = daemon("cache", &[]);
    cache.ready = ready();
    let mut app = daemon("app", &[]);
    app.wants = vec!["cache".into()];
    let mut s = Script::up([cache.clone(), app.clone()]);
    s.started("cache");
    s.told();
    s.pass(59_000);
    assert_eq!(s.core.state("app"), Some(State::Waiting));
    s.pass(1_000);
    assert_eq!(
        s.core.state("app"),
        Some(State::Starting),
        "patience ends after a minute"
    );

    cache.restart.mode = RestartMode::Never;
    let mut s = Script::up([cache, app]);
    s.started("cache");
    s.exits("cache", 1);
    assert_eq!(
        s.core.state("app"),
        Some(State::Starting),
        "a want that failed blocks nobody"
    );
}

#[test]
fn conflicting_daemons_never_run_together() {
    let mut blue = daemon("blue", &[]);
    blue.conflicts = vec!["green".into()];
    let mut s = Script::new();
    s.load(fleet([blue, daemon("green", &[])]));
    s.command(Command::Start(vec!["green".into()]));
    s.started("green");
    s.told();
    s.command(Command::Start(vec!["blue".into()]));
    assert!(
        s.told().starts_with("refused Conflict"),
        "the operator is told"
    );
}

#[test]
fn news_of_an_earlier_generation_changes_nothing() {
    let mut s = Script::up([daemon("a", &[])]);
    s.started("a");
    let old = s.record("a", EndReason::Exited, Some(1));
    s.exits("a", 1);
    s.started("a");
    s.told();
    let generation = old.generation;
    s.give(eud_core::io::Input::Run {
        unit: "a".into(),
        generation,
        event: RunEvent::Ended(old),
    });
    s.expect("");
    assert_eq!(s.core.state("a"), Some(State::Up));
}

#[test]
fn shutdown_stops_in_order_and_then_the_manager_may_exit() {
    let mut s = running_pair();
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    s.expect(
        "stop drain
         drain up → stopping: the manager is shutting down
         vault ready → stopping: the manager is shutting down; after `drain`",
    );
    s.command(Command::Start(vec!["drain".into()]));
    s.expect("refused ShuttingDown");
    s.stopped("drain");
    s.told();
    s.stopped("vault");
    s.expect("vault stopping → stopped\nexit");
}

#[test]
fn keeping_daemons_leaves_at_once_and_stops_nothing() {
    let mut s = running_pair();
    s.command(Command::Shutdown { keep_daemons: true });
    s.expect("exit");
}

#[test]
fn a_recovered_back_off_goes_on_and_a_clock_set_back_cannot_stretch_it() {
    let mut s = Script::up([daemon("a", &[])]);
    for _ in 0..2 {
        s.started("a");
        s.exits("a", 1);
    }
    assert_eq!(s.core.state("a"), Some(State::Backoff));
    s.now.wall_ms -= 86_400_000;
    s.crash_and_recover(fleet([daemon("a", &[])]), Recovery::default());
    assert_eq!(s.core.state("a"), Some(State::Backoff));
    s.pass(120_000);
    assert_eq!(s.core.state("a"), Some(State::Starting));
}

#[test]
fn why_follows_the_chain_to_the_root() {
    let mut vault = daemon("vault", &[]);
    vault.ready = ready();
    let daemons = [vault, daemon("drain", &["vault"]), daemon("mc", &["drain"])];
    let mut s = Script::up(daemons);
    s.started("vault");
    s.probed("vault", Which::Ready, Err("/health timed out after 2 s"));
    let why = s.core.explain("mc", s.now).unwrap_or_default();
    assert_eq!(why.chain, ["mc", "drain", "vault"]);
    assert_eq!(why.fix_first.as_deref(), Some("vault"));
    assert!(
        why.sentences[2].contains("/health timed out after 2 s"),
        "{:?}",
        why.sentences
    );
}

#[test]
fn the_summary_always_sums() {
    let mut s = running_pair();
    s.command(Command::Hold(vec!["drain".into()], "for a test".into()));
    let status = s.core.status(s.now);
    let sum: usize = status.summary.counts.values().sum();
    assert_eq!((sum, status.summary.total), (2, 2));
}
