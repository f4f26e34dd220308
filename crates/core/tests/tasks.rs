//! Tasks, scene by scene: turns, keys, tries, cancelling, recovery, rest, retention.

#[expect(dead_code, reason = "other tests use the rest")]
mod scenario;

use eud_core::fleet::{
    Breaker, Daemon, Delivery, Fleet, Keep, Kind, Limit, Machine, Pool, Rate, Retry, Source, Value,
    WorkDir,
};
use eud_core::fleet::{Gate, Gauge, Level};
use eud_core::io::{
    Command, Fate, Input, Numbers, RecoveredRun, Recovery, RunEvent, TaskCommand, TaskNews,
};
use eud_core::record::{EndReason, NewTask, TaskProgress, TaskSpec, TaskState};
use scenario::{Script, daemon, fleet};

const MINUTE: u64 = 60_000;

fn pool(change: impl FnOnce(&mut Pool)) -> Fleet {
    let mut pool = Pool {
        name: "p".into(),
        template: Daemon {
            kind: Kind::Task,
            ..daemon("p", &[])
        },
        ..Pool::default()
    };
    change(&mut pool);
    let mut fleet = fleet([]);
    fleet.pools.insert(pool.name.clone(), pool);
    fleet
}

/// A fleet with one pool, up and quiet.
fn with(change: impl FnOnce(&mut Pool)) -> Script {
    let mut s = Script::up_with(pool(change));
    s.told();
    s
}

fn task() -> NewTask {
    NewTask {
        pool: "p".into(),
        ..NewTask::default()
    }
}

fn keyed(key: &str) -> NewTask {
    NewTask {
        key: Some(key.into()),
        ..task()
    }
}

fn submit(s: &mut Script, tasks: impl IntoIterator<Item = NewTask>) {
    let tasks = tasks.into_iter().collect();
    s.command(Command::Task(TaskCommand::Submit(tasks)));
}

fn cancel(s: &mut Script, id: u64) {
    s.command(Command::Task(TaskCommand::Cancel {
        which: Numbers::These(vec![id]),
        by: "ann".into(),
    }));
}

fn state(s: &Script, id: u64) -> TaskState {
    s.tasks
        .get(&id)
        .unwrap_or_else(|| panic!("no task {id}"))
        .state
}

fn reason(s: &Script, id: u64) -> String {
    s.tasks[&id].reason.clone().unwrap_or_default()
}

/// Runs the present run of a task to this exit.
fn lives(s: &mut Script, unit: &str, code: i32) {
    s.started(unit);
    s.exits(unit, code);
}

/// Ends a run that nobody saw the end of.
fn lost(s: &mut Script, unit: &str) {
    let record = s.record(unit, EndReason::KeeperLost, None);
    s.run(unit, RunEvent::Ended(record));
}

#[test]
fn a_task_runs_and_is_over_and_no_daemon() {
    let mut s = with(|_| {});
    submit(&mut s, [task()]);
    s.expect(
        "task p#1 queued
         launch p#1
         task p#1 started",
    );
    assert_eq!(state(&s, 1), TaskState::Running);
    assert!(s.core.status(s.now).daemons.is_empty());
    assert_eq!(s.core.units().count(), 0);
    lives(&mut s, "p#1", 0);
    s.expect("task p#1 succeeded: exited with code 0");
    assert_eq!(state(&s, 1), TaskState::Succeeded);
    assert_eq!(s.core.generation("p#1"), None, "the unit goes with the run");
}

#[test]
fn priority_goes_first_and_waiting_counts() {
    let mut s = with(|pool| pool.ageing_ms = 10_000);
    submit(&mut s, [task(), task()]);
    s.pass(5_000);
    let urgent = NewTask {
        priority: 1,
        ..task()
    };
    submit(&mut s, [urgent.clone()]);
    s.told();
    lives(&mut s, "p#1", 0);
    assert_eq!(state(&s, 3), TaskState::Running, "one priority counts 10 s");
    s.pass(20_000);
    submit(&mut s, [urgent]);
    lives(&mut s, "p#3", 0);
    assert_eq!(
        state(&s, 2),
        TaskState::Running,
        "it waited longer than that"
    );
}

#[test]
fn without_ageing_priority_is_strict() {
    let mut s = with(|pool| pool.ageing_ms = 0);
    submit(&mut s, [task(), task()]);
    s.pass(1_000 * MINUTE);
    submit(
        &mut s,
        [NewTask {
            priority: 1,
            ..task()
        }],
    );
    lives(&mut s, "p#1", 0);
    assert_eq!(state(&s, 3), TaskState::Running);
}

#[test]
fn tasks_of_a_key_follow_one_another_and_stop_nobody_else() {
    let mut s = with(|pool| pool.concurrency = 3);
    submit(
        &mut s,
        [keyed("a"), keyed("a"), keyed("a"), keyed("b"), task()],
    );
    let running = |s: &Script| -> Vec<u64> {
        let runs = s
            .tasks
            .values()
            .filter(|row| row.state == TaskState::Running);
        runs.map(|row| row.id).collect()
    };
    assert_eq!(running(&s), [1, 4, 5]);
    lives(&mut s, "p#4", 0);
    assert_eq!(
        s.core.task_waits(2, s.now).as_deref(),
        Some("another task of key `a` goes first")
    );
    cancel(&mut s, 2);
    lives(&mut s, "p#1", 1);
    assert_eq!(running(&s), [3, 5]);
}

#[test]
fn a_failure_is_tried_again_within_the_limit_with_a_growing_delay() {
    let mut s = with(|pool| {
        pool.retry = Retry {
            limit: 2,
            backoff_initial_ms: 10_000,
            ..Retry::default()
        };
    });
    submit(&mut s, [task()]);
    lives(&mut s, "p#1", 1);
    assert_eq!(state(&s, 1), TaskState::Delayed);
    s.pass(8_999);
    assert_eq!(state(&s, 1), TaskState::Delayed, "{}", reason(&s, 1));
    s.pass(2_001);
    assert_eq!(state(&s, 1), TaskState::Running);
    lives(&mut s, "p#1", 1);
    s.pass(22_000);
    s.told();
    lives(&mut s, "p#1", 1);
    s.expect("task p#1 failed: exited with code 1");
    assert_eq!((s.tasks[&1].attempts, s.tasks[&1].failures), (3, 3));
    s.command(Command::Task(TaskCommand::Retry(Numbers::These(vec![1]))));
    assert_eq!(state(&s, 1), TaskState::Running);
    assert_eq!((s.tasks[&1].attempts, s.tasks[&1].failures), (4, 0));
}

#[test]
fn only_the_exits_that_are_named_are_tried_again() {
    let mut s = with(|pool| {
        pool.retry.limit = 5;
        pool.retry_exits = Some([75].into());
    });
    submit(&mut s, [task(), task()]);
    lives(&mut s, "p#1", 1);
    assert_eq!(state(&s, 1), TaskState::Failed);
    lives(&mut s, "p#2", 75);
    assert_eq!(state(&s, 2), TaskState::Delayed);
}

#[test]
fn a_missing_program_and_a_timeout_end_in_words() {
    let mut s = with(|_| {});
    submit(&mut s, [task(), task()]);
    let mut record = s.record("p#1", EndReason::SpawnFailed, None);
    record.message = Some("nosuch: No such file or directory".into());
    s.run("p#1", RunEvent::Ended(record));
    assert_eq!(state(&s, 1), TaskState::Failed);
    assert_eq!(
        reason(&s, 1),
        "could not be started: nosuch: No such file or directory"
    );
    let record = s.record("p#2", EndReason::Timeout, None);
    s.run("p#2", RunEvent::Ended(record));
    assert_eq!(state(&s, 2), TaskState::TimedOut);
}

#[test]
fn an_end_that_nobody_saw_is_tried_again_boundedly_or_lost() {
    let mut s = with(|pool| pool.retry.backoff_initial_ms = 100);
    submit(&mut s, [task()]);
    for _ in 0..3 {
        lost(&mut s, "p#1");
        s.pass(MINUTE);
        assert_eq!(state(&s, 1), TaskState::Running);
    }
    lost(&mut s, "p#1");
    assert_eq!(state(&s, 1), TaskState::Lost, "{}", reason(&s, 1));
    let mut s = with(|pool| pool.delivery = Delivery::AtMostOnce);
    submit(&mut s, [task()]);
    lost(&mut s, "p#1");
    assert_eq!(state(&s, 1), TaskState::Lost);
}

#[test]
fn a_stop_that_nobody_here_asked_for_does_not_lead_to_tries_for_ever() {
    let mut s = with(|pool| pool.retry.backoff_initial_ms = 100);
    submit(&mut s, [task()]);
    for _ in 0..3 {
        s.stopped("p#1");
        s.pass(MINUTE);
        assert_eq!(state(&s, 1), TaskState::Running);
    }
    s.stopped("p#1");
    assert_eq!(state(&s, 1), TaskState::Lost);
}

#[test]
fn a_cancelled_task_is_never_a_success_also_across_a_crash() {
    let mut s = with(|pool| pool.concurrency = 2);
    submit(&mut s, [task(), task(), task()]);
    cancel(&mut s, 3);
    assert_eq!(state(&s, 3), TaskState::Cancelled, "it waited: at once");
    s.started("p#1");
    s.started("p#2");
    s.told();
    cancel(&mut s, 1);
    cancel(&mut s, 2);
    s.expect(
        "stop p#1
         stop p#2",
    );
    s.exits("p#1", 0);
    assert_eq!(state(&s, 1), TaskState::Cancelled);
    assert_eq!(reason(&s, 1), "cancelled by ann");
    let run = s.tasks[&2].run.clone().unwrap();
    let found = RecoveredRun {
        run,
        unit: "p#2".into(),
        generation: 2,
        fate: Fate::Live {
            pid: Some(7),
            started_at_ms: s.now.wall_ms,
            ready_seen: false,
            changed: Vec::new(),
        },
    };
    s.crash_and_recover(
        pool(|pool| pool.concurrency = 2),
        Recovery {
            runs: vec![found],
            ..Recovery::default()
        },
    );
    assert!(s.told().contains("stop p#2"));
    s.stopped("p#2");
    assert_eq!(state(&s, 2), TaskState::Cancelled);
}

#[test]
fn a_shutdown_stops_tasks_and_the_next_manager_begins_them_anew() {
    let mut s = with(|pool| pool.concurrency = 2);
    submit(&mut s, [task()]);
    s.started("p#1");
    s.told();
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    s.expect("stop p#1");
    s.stopped("p#1");
    s.expect("exit");
    assert_eq!(state(&s, 1), TaskState::Queued);
    s.crash_and_recover(pool(|_| {}), Recovery::default());
    assert_eq!(state(&s, 1), TaskState::Running);
    assert_eq!(s.tasks[&1].failures, 0);
}

#[test]
fn a_task_that_may_run_once_is_lost_with_a_shutdown() {
    let mut s = with(|pool| pool.delivery = Delivery::AtMostOnce);
    submit(&mut s, [task()]);
    s.started("p#1");
    s.command(Command::Shutdown {
        keep_daemons: false,
    });
    s.stopped("p#1");
    assert_eq!(state(&s, 1), TaskState::Lost);
    assert_eq!(
        reason(&s, 1),
        "it was stopped with the manager, and may not run twice"
    );
}

#[test]
fn what_may_run_once_may_so_also_when_its_pool_is_gone() {
    let mut s = with(|pool| pool.delivery = Delivery::AtMostOnce);
    submit(&mut s, [task()]);
    s.started("p#1");
    let mut record = s.record("p#1", EndReason::KeeperLost, None);
    let run = s.tasks[&1].run.clone().unwrap();
    record.run.clone_from(&run);
    let found = RecoveredRun {
        run,
        unit: "p#1".into(),
        generation: 1,
        fate: Fate::Ended(record),
    };
    s.crash_and_recover(
        fleet([]),
        Recovery {
            runs: vec![found],
            ..Recovery::default()
        },
    );
    assert_eq!(state(&s, 1), TaskState::Lost);
}

#[test]
fn a_queue_keeps_its_order_while_its_pool_is_gone() {
    let strict = |pool: &mut Pool| {
        pool.ageing_ms = 0;
        pool.retry.backoff_initial_ms = 0;
    };
    let mut s = with(strict);
    submit(&mut s, [task(), task(), task()]);
    s.load(fleet([]));
    lost(&mut s, "p#1");
    s.pass(1);
    assert_eq!(state(&s, 1), TaskState::Queued);
    s.load(pool(strict));
    assert_eq!(state(&s, 1), TaskState::Running, "it came first");
}

#[test]
fn a_pool_that_is_declared_again_is_a_new_one() {
    let mut s = with(|_| {});
    submit(&mut s, [task()]);
    lives(&mut s, "p#1", 0);
    s.command(Command::Task(TaskCommand::PausePool {
        name: "p".into(),
        pause: Some("maintenance".into()),
    }));
    s.load(fleet([]));
    assert!(s.pools.is_empty(), "its pause is forgotten");
    s.load(pool(|_| {}));
    submit(&mut s, [task()]);
    assert_eq!(state(&s, 2), TaskState::Running);
}

#[test]
fn a_row_that_runs_without_a_run_is_queued_again() {
    let mut s = with(|pool| pool.delivery = Delivery::AtMostOnce);
    submit(&mut s, [task()]);
    s.crash_and_recover(pool(|_| {}), Recovery::default());
    assert_eq!(state(&s, 1), TaskState::Running);
    assert_eq!(s.core.generation("p#1"), Some(100), "a fresh one");
}

#[test]
fn the_run_of_a_row_that_a_power_cut_took_back_belongs_to_its_task() {
    let mut s = with(|pool| pool.delivery = Delivery::AtMostOnce);
    submit(&mut s, [task()]);
    let row = s.tasks.get_mut(&1).unwrap();
    row.state = TaskState::Queued;
    let (run, _) = (row.run.take().unwrap(), row.attempts = 0);
    let mut record = s.record("p#1", EndReason::KeeperLost, None);
    record.run.clone_from(&run);
    let found = RecoveredRun {
        run,
        unit: "p#1".into(),
        generation: 1,
        fate: Fate::Ended(record),
    };
    s.crash_and_recover(
        pool(|pool| pool.delivery = Delivery::AtMostOnce),
        Recovery {
            runs: vec![found],
            ..Recovery::default()
        },
    );
    assert_eq!(state(&s, 1), TaskState::Lost, "its command did begin");
}

#[test]
fn after_waits_for_success_and_falls_with_a_failure_however_long_the_chain() {
    let mut s = with(|_| {});
    submit(&mut s, [task()]);
    for on in 1..=20_000 {
        submit(
            &mut s,
            [NewTask {
                after: vec![on],
                ..task()
            }],
        );
    }
    lives(&mut s, "p#1", 0);
    assert_eq!(state(&s, 2), TaskState::Running);
    lives(&mut s, "p#2", 1);
    assert_eq!(state(&s, 20_001), TaskState::Cancelled);
    assert_eq!(
        reason(&s, 20_001),
        "task 20000, which it waits for, is cancelled"
    );
    submit(
        &mut s,
        [NewTask {
            after: vec![99_999],
            ..task()
        }],
    );
    assert!(!s.tasks.contains_key(&20_002));
}

#[test]
fn a_time_is_heeded_also_when_the_clock_is_set() {
    let mut s = with(|_| {});
    let at = s.now.wall_ms + 3_600_000;
    submit(
        &mut s,
        [NewTask {
            not_before_ms: Some(at),
            ..task()
        }],
    );
    s.pass(MINUTE);
    assert_eq!(state(&s, 1), TaskState::Delayed);
    s.now.wall_ms += 3_600_000;
    s.give(Input::Tick);
    assert_eq!(state(&s, 1), TaskState::Running);
}

#[test]
fn a_token_is_one_task_and_once_is_one_waiting_task_of_a_key() {
    let mut s = with(|_| {});
    let named = NewTask {
        token: Some("t".into()),
        ..task()
    };
    submit(&mut s, [named.clone(), named.clone()]);
    lives(&mut s, "p#1", 0);
    submit(&mut s, [named.clone()]);
    assert_eq!(s.tasks.len(), 1);
    s.crash_and_recover(pool(|_| {}), Recovery::default());
    submit(&mut s, [named]);
    assert_eq!(s.tasks.len(), 1);
    let once = NewTask {
        once: true,
        ..keyed("k")
    };
    submit(&mut s, [once.clone(), once.clone()]);
    assert_eq!(s.tasks.len(), 2);
    submit(&mut s, [once.clone()]);
    submit(&mut s, [once]);
    assert_eq!(s.tasks.len(), 3, "one runs by now, one waits");
}

#[test]
fn a_rate_bounds_how_many_begin() {
    let mut s = with(|pool| {
        pool.concurrency = 10;
        pool.rate = Some(Rate {
            count: 2,
            per_ms: 60_000,
        });
    });
    submit(&mut s, [task(), task(), task()]);
    assert_eq!(state(&s, 3), TaskState::Queued);
    assert_eq!(
        s.core.pools(s.now)[0].waits.as_deref(),
        Some("2 began within 1m")
    );
    s.pass(59_000);
    assert_eq!(state(&s, 3), TaskState::Queued);
    s.pass(1_000);
    assert_eq!(state(&s, 3), TaskState::Running);
}

#[test]
fn a_pool_rests_after_failures_and_tries_one_task() {
    let mut s = with(|pool| {
        pool.concurrency = 2;
        pool.breaker = Some(Breaker {
            failures: 2,
            rest_ms: 60_000,
        });
    });
    submit(&mut s, (0..6).map(|_| task()));
    lives(&mut s, "p#1", 1);
    s.told();
    lives(&mut s, "p#2", 1);
    s.expect(
        "task p#2 failed: exited with code 1
         pool p rests: 2 failures in a row",
    );
    lives(&mut s, "p#3", 1);
    assert_eq!(state(&s, 4), TaskState::Queued);
    s.pass(60_000);
    assert_eq!(state(&s, 4), TaskState::Running);
    assert_eq!(state(&s, 5), TaskState::Queued, "one is tried first");
    lives(&mut s, "p#4", 1);
    assert_eq!(state(&s, 5), TaskState::Queued, "it rests again");
    s.pass(60_000);
    s.told();
    lives(&mut s, "p#5", 0);
    s.expect(
        "task p#5 succeeded: exited with code 0
         pool p goes on: a task succeeded
         launch p#6
         task p#6 started",
    );
}

#[test]
fn a_person_pauses_a_pool_and_that_outlives_the_manager() {
    let mut s = with(|_| {});
    let pause = |pause: Option<&str>| {
        Command::Task(TaskCommand::PausePool {
            name: "p".into(),
            pause: pause.map(str::to_owned),
        })
    };
    s.command(pause(Some("maintenance")));
    submit(&mut s, [task()]);
    s.crash_and_recover(pool(|_| {}), Recovery::default());
    assert_eq!(state(&s, 1), TaskState::Queued);
    assert_eq!(
        s.core.task_waits(1, s.now).as_deref(),
        Some("paused: maintenance")
    );
    s.command(pause(None));
    assert_eq!(state(&s, 1), TaskState::Running);
}

#[test]
fn a_gate_keeps_tasks_from_beginning_and_lets_them_go_on() {
    let mut fleet = pool(|pool| pool.gates = ["g".into()].into());
    let gauge = Gauge {
        name: "depth".into(),
        description: None,
        source: Source::Machine(Machine::Load),
        every_ms: 1_000,
        timeout_ms: 500,
        warn: None,
        over: Some(Limit {
            at: Value(50.0),
            clear: Value(30.0),
        }),
        under: None,
        frozen_ms: None,
        origin: Default::default(),
    };
    fleet.gauges.insert("depth".into(), gauge);
    let gate = Gate {
        name: "g".into(),
        gauge: "depth".into(),
        closes_at: [Level::Over].into(),
        members: Default::default(),
        origin: Default::default(),
    };
    fleet.gates.insert("g".into(), gate);
    let mut s = Script::up_with(fleet);
    submit(&mut s, [task(), task()]);
    s.pass(1_000);
    s.sampled("depth", Ok(60.0));
    lives(&mut s, "p#1", 0);
    assert_eq!(state(&s, 2), TaskState::Queued);
    s.pass(1_000);
    s.sampled("depth", Ok(10.0));
    assert_eq!(state(&s, 2), TaskState::Running);
}

#[test]
fn a_run_without_progress_is_told_of_and_then_stopped() {
    let mut s = with(|pool| pool.stall_ms = Some(10 * MINUTE));
    submit(&mut s, [task()]);
    s.started("p#1");
    s.pass(4 * MINUTE);
    let progress = |s: &mut Script, generation| {
        s.give(Input::Task(TaskNews {
            unit: "p#1".into(),
            generation,
            progress: TaskProgress {
                steps: 1,
                ..TaskProgress::default()
            },
        }));
    };
    progress(&mut s, 1);
    s.told();
    s.pass(4 * MINUTE);
    s.expect("");
    progress(&mut s, 7);
    s.pass(MINUTE);
    s.expect("task p#1 stalling: no progress for 5m; it is stopped after 10m");
    s.pass(5 * MINUTE);
    s.expect("stop p#1");
    s.stopped("p#1");
    s.expect("task p#1 failed: no progress for 10m");
    assert_eq!(s.tasks[&1].progress.steps, 1);
}

#[test]
fn the_machine_sleeps_and_no_task_stalls() {
    let mut s = with(|pool| pool.stall_ms = Some(10 * MINUTE));
    submit(&mut s, [task()]);
    s.started("p#1");
    s.told();
    s.sleep(600 * MINUTE);
    s.expect("");
}

#[test]
fn a_full_queue_and_an_unknown_pool_refuse() {
    let mut s = with(|pool| pool.queue_max = 2);
    submit(&mut s, [task()]);
    submit(&mut s, [task(), task()]);
    s.told();
    submit(&mut s, [task()]);
    assert!(s.told().starts_with("refused Full"));
    assert_eq!(s.tasks.len(), 3);
    submit(
        &mut s,
        [NewTask {
            pool: "q".into(),
            ..NewTask::default()
        }],
    );
    assert!(s.told().starts_with("refused Unknown"));
    let nul = TaskSpec {
        args: vec!["a\0b".into()],
        ..TaskSpec::default()
    };
    submit(
        &mut s,
        [NewTask {
            spec: nul,
            ..task()
        }],
    );
    assert!(s.told().contains("NUL byte"));
}

#[test]
fn old_tasks_go_when_new_ones_come_but_not_those_that_others_wait_for() {
    let mut s = with(|pool| {
        pool.keep_max = 1;
        pool.work_dir = WorkDir::Own { keep: Keep::Failed };
        pool.concurrency = 2;
    });
    submit(&mut s, [task(), task()]);
    submit(
        &mut s,
        [NewTask {
            after: vec![1, 2],
            ..task()
        }],
    );
    lives(&mut s, "p#1", 0);
    submit(&mut s, [task()]);
    s.told();
    lives(&mut s, "p#4", 1);
    s.expect(
        "task p#4 failed: exited with code 1
         drop p#4",
    );
    assert!(s.tasks.contains_key(&1), "task 3 waits for it");
    lives(&mut s, "p#2", 0);
    assert_eq!(state(&s, 3), TaskState::Running);
    s.told();
    lives(&mut s, "p#3", 0);
    s.expect(
        "drop the folder of p#3
         task p#3 succeeded: exited with code 0
         drop p#1
         drop p#2",
    );
}

#[test]
fn tasks_of_a_pool_that_is_gone_wait_for_it() {
    let mut s = with(|_| {});
    submit(&mut s, [task(), task()]);
    s.started("p#1");
    s.load(fleet([]));
    s.told();
    s.exits("p#1", 0);
    assert_eq!(state(&s, 2), TaskState::Queued);
    assert_eq!(
        s.core.task_waits(2, s.now).as_deref(),
        Some("pool `p` is not declared")
    );
    s.load(pool(|_| {}));
    assert_eq!(state(&s, 2), TaskState::Running);
}

#[test]
fn a_reload_leaves_a_running_task_alone() {
    let mut s = with(|_| {});
    submit(&mut s, [task()]);
    s.started("p#1");
    s.told();
    s.load(pool(|pool| pool.template.exec.argv = vec!["other".into()]));
    s.command(Command::Up { profile: None });
    s.expect("");
    assert_eq!(state(&s, 1), TaskState::Running);
}

#[test]
fn views_count_every_task_once_and_titles_are_short() {
    let mut s = with(|_| {});
    let prompt = TaskSpec {
        prompt: Some(format!("\n  Fix {}\nand more", "x".repeat(200))),
        ..TaskSpec::default()
    };
    let args = TaskSpec {
        args: vec!["a".into(), "b".into()],
        ..TaskSpec::default()
    };
    submit(
        &mut s,
        [
            NewTask {
                spec: prompt,
                ..task()
            },
            NewTask {
                spec: args,
                ..task()
            },
        ],
    );
    lives(&mut s, "p#1", 0);
    let view = &s.core.pools(s.now)[0];
    assert_eq!(view.total, 2);
    assert_eq!(view.tasks[&TaskState::Succeeded], 1);
    assert_eq!(view.tasks[&TaskState::Running], 1);
    assert_eq!(s.tasks[&1].title.chars().count(), 80);
    assert!(s.tasks[&1].title.starts_with("Fix xxx"));
    assert_eq!(s.tasks[&2].title, "a b");
}
