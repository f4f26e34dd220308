//! Screens with tasks and pools as they shall look; see [`super::golden`].

use std::collections::BTreeMap;

use eud_api::protocol::ShownTask;
use eud_core::record::{TaskProgress, TaskRow, TaskSpec, TaskState};
use eud_core::view::PoolView;

use super::golden::{check, fits};
use super::{Screen, task_page, tasks};

/// 2026-11-23 14:02:14 UTC, as the fixed screen has it.
const NOW_MS: i64 = 1_795_442_534_000;

fn task(id: u64, state: TaskState, age_s: i64, title: &str, reason: Option<&str>) -> TaskRow {
    let began = !matches!(
        state,
        TaskState::Queued | TaskState::Delayed | TaskState::Blocked
    );
    TaskRow {
        id,
        pool: "agents".into(),
        state,
        reason: reason.map(str::to_owned),
        title: title.into(),
        submitted_ms: NOW_MS - age_s * 1_000 - 60_000,
        started_ms: began.then_some(NOW_MS - age_s * 1_000),
        ended_ms: state.is_over().then_some(NOW_MS - age_s * 1_000 + 42_300),
        attempts: u32::from(began),
        ..TaskRow::default()
    }
}

/// One in every state, with texts of all sorts.
fn all() -> Vec<TaskRow> {
    let mut running = task(19, TaskState::Running, 130, "Fix the failing test", None);
    running.progress.text = Some("Edit src/lib.rs\u{1b}[31m\nand more".into());
    let mut succeeded = task(
        14,
        TaskState::Succeeded,
        4_000,
        "--in a.csv --out 'b c.csv'",
        None,
    );
    succeeded.progress.result = Some("wrote 1204 rows".into());
    let mut failed = task(13, TaskState::Failed, 90_000, "Review the change", None);
    failed.reason = Some("exited with code 1, after 3 tries".into());
    (failed.attempts, failed.failures, failed.code) = (3, 3, Some(1));
    let mut long = task(
        100_012,
        TaskState::Queued,
        5,
        "Summarise every document below docs/ and write what they have in common",
        Some("all 3 places of the pool are taken; 11 tasks go first"),
    );
    long.pool = "a-pool-with-a-name-nobody-should-have-given-it".into();
    vec![
        long,
        running,
        task(
            18,
            TaskState::Delayed,
            10,
            "Nightly",
            Some("not before 18:00"),
        ),
        task(
            17,
            TaskState::Blocked,
            20,
            "Deploy",
            Some("waits for task 19"),
        ),
        task(
            16,
            TaskState::Cancelled,
            600,
            "日本語 prompt",
            Some("cancelled by ada"),
        ),
        task(
            15,
            TaskState::TimedOut,
            7_300,
            "Train",
            Some("took longer than 2h"),
        ),
        succeeded,
        failed,
        task(
            12,
            TaskState::Lost,
            100_000,
            "Charge the card",
            Some("its keeper was lost"),
        ),
    ]
}

#[test]
fn golden_tasks() {
    for columns in [80, 120] {
        let text = tasks::list(&all(), &Screen::fixed(columns));
        fits(&text, columns);
        check(&format!("tasks-{columns}.txt"), &text);
    }
}

#[test]
fn golden_tasks_that_ended() {
    let over: Vec<TaskRow> = all().into_iter().filter(|t| t.state.is_over()).collect();
    let text = tasks::ended(&over, &Screen::fixed(80));
    fits(&text, 80);
    check("tasks-ended.txt", &text);
    let colored = Screen {
        color: true,
        ..Screen::fixed(80)
    };
    assert!(tasks::ended(&over, &colored).contains("\u{1b}[31m✗"));
}

#[test]
fn golden_task_counts() {
    let counts = BTreeMap::from([
        (
            "agents".to_owned(),
            BTreeMap::from([(TaskState::Running, 3), (TaskState::Succeeded, 12_345)]),
        ),
        (
            "scripts".to_owned(),
            BTreeMap::from([(TaskState::Queued, 100_000), (TaskState::Lost, 1)]),
        ),
    ]);
    let text = tasks::stats(&counts, &Screen::fixed(80));
    fits(&text, 80);
    check("task-stats.txt", &text);
    let json = tasks::stats_json(&counts);
    assert_eq!(json["all"]["total"], 112_349);
    assert_eq!(json["pools"]["agents"]["timed-out"], 0);
}

#[test]
fn golden_pools() {
    let pool = |name: &str, running: u64, queued: u64, waits: Option<&str>| PoolView {
        name: name.into(),
        concurrency: 3,
        tasks: BTreeMap::from([(TaskState::Running, running), (TaskState::Queued, queued)]),
        total: running + queued + 120,
        oldest_ms: (queued > 0).then_some(NOW_MS - 240_000),
        waits: waits.map(str::to_owned),
        ..PoolView::default()
    };
    let mut paused = pool("gpu", 0, 2, Some("paused: key leaked"));
    paused.paused = true;
    let mut rests = pool(
        "scripts",
        0,
        7,
        Some("rests for 9m 20s after 5 failures in a row"),
    );
    rests.rests_until_ms = Some(NOW_MS + 560_000);
    let pools = [
        pool("agents", 3, 11, Some("all 3 places are taken")),
        paused,
        pool("idle", 0, 0, None),
        rests,
    ];
    let text = tasks::pools(&pools, &Screen::fixed(80));
    fits(&text, 80);
    check("pools.txt", &text);
}

#[test]
fn golden_task_page() {
    let mut task = task(13, TaskState::Failed, 90, "Fix the failing test", None);
    task.reason = Some("exited with code 1, after 3 tries".into());
    (task.attempts, task.failures, task.code) = (3, 3, Some(1));
    (task.key, task.after) = (Some("repo".into()), vec![11, 12]);
    task.timeout_ms = Some(7_200_000);
    task.progress = TaskProgress {
        steps: 41,
        text: Some("Bash cargo test".into()),
        tokens_in: Some(81_204),
        tokens_out: Some(5_120),
        cost_micros: Some(412_300),
        result: Some("two tests still fail".into()),
        leftovers: Some(2),
        ..TaskProgress::default()
    };
    let shown = ShownTask {
        unit: "agents#13".into(),
        run: Some("0192aaaa-0000-7000-8000-000000000000".into()),
        run_dir: Some("/f/.eud/tasks/agents#13/runs/0192aaaa".into()),
        log: "/f/.eud/tasks/agents#13/log/current".into(),
        work_dir: Some("/f/.eud/tasks/agents#13/work".into()),
        spec: TaskSpec {
            args: vec!["--model".into(), "small one".into()],
            prompt: Some("Fix the failing test\nin tests/a.rs. ".repeat(30)),
            env: BTreeMap::from([("TOKEN".into(), "s3cret".into())]),
            ..TaskSpec::default()
        },
        task,
    };
    let text = task_page::render(&shown, &[], &Screen::fixed(80));
    assert!(!text.contains("s3cret"));
    fits(&text, 80);
    check("task-show.txt", &text);
}
