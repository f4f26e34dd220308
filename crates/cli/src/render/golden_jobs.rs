//! Screens with jobs, gauges and gates as they shall look; see [`super::golden`].

use eud_core::fleet::{Gauge, Kind, Level, Limit, Source, Value};
use eud_core::view::{DaemonView, GateView, GaugeView, JobView, State, Status};

use super::golden::{check, daemon, exit, fits, status_of};
use super::status::{self, Extent};
use super::{Screen, gauges};

fn job(name: &str, state: State) -> DaemonView {
    let mut daemon = daemon(name, "jobs", state);
    daemon.kind = Kind::Job;
    daemon.job = Some(JobView {
        last_success_at: Some("2026-11-23T02:31:12Z".into()),
        ..JobView::default()
    });
    daemon
}

fn gauge(name: &str, value: Option<f64>, level: Level, reason: Option<&str>) -> GaugeView {
    GaugeView {
        name: name.into(),
        value,
        level,
        reason: reason.map(str::to_owned),
        since: Some("2026-11-23T13:21:07Z".into()),
        sampled_at: Some("2026-11-23T14:02:00Z".into()),
        changed_at: Some("2026-11-23T13:21:07Z".into()),
    }
}

/// Every state that only jobs have, a queue over its limit, and who waits for it.
fn jobs() -> Status {
    let mut nightly = job("nightly-backup", State::Scheduled);
    nightly.reason = Some("next in 12h 27m".into());
    nightly.last_exit = Some(exit(Some(0), None, "2026-11-23T02:31:12Z"));
    let mut reindex = job("reindex", State::Running);
    reindex.job.as_mut().unwrap().trigger = Some("watch".into());
    reindex.job.as_mut().unwrap().attempt = 1;
    reindex.job.as_mut().unwrap().pending = 1;
    let mut b2 = job("b2-backup", State::Overdue);
    b2.reason = Some("last success 2d 03h ago; next in 1h 28m".into());
    b2.since = Some("2026-11-23T08:00:00Z".into());
    let mut audit = job("audit", State::Failed);
    audit.reason = Some("exited with code 2; next in 4h 58m".into());
    audit.last_exit = Some(exit(Some(2), None, "2026-11-23T14:00:00Z"));
    let mut by_hand = job("migrate", State::Scheduled);
    by_hand.reason = Some("runs when it is triggered by hand".into());
    by_hand.job = Some(JobView::default());
    let mut producer = daemon("producer", "ingest", State::Paused);
    producer.reason = Some("gate `ingest` is closed: `ingest-depth` is over".into());
    let mut looped = job("render-docs", State::Paused);
    looped.reason = Some("it brought itself about 5 times in a row".into());
    let api = daemon("api", "web", State::Ready);
    let all = vec![nightly, reindex, b2, audit, by_hand, producer, looped, api];
    let mut status = status_of("factory", all);
    status.gauges = vec![
        gauge("disk", Some(61.234), Level::Ok, None),
        gauge(
            "ingest-depth",
            Some(946.0),
            Level::Over,
            Some("946, at or above 500"),
        ),
        gauge(
            "spool",
            None,
            Level::Unknown,
            Some("no such table: queue\u{1b}[31m"),
        ),
        gauge(
            "size",
            Some(2.34e9),
            Level::Frozen,
            Some("2340000000, unchanged for 41m"),
        ),
    ];
    status.gates = vec![
        GateView {
            name: "ingest".into(),
            gauge: "ingest-depth".into(),
            closed: true,
            since: Some("2026-11-23T13:21:07Z".into()),
            reason: Some("`ingest-depth` is over".into()),
            members: vec!["producer".into(), "watcher".into()],
        },
        GateView {
            name: "disk".into(),
            gauge: "disk".into(),
            closed: false,
            since: None,
            reason: None,
            members: vec!["nightly-backup".into()],
        },
    ];
    status
}

#[test]
fn status_with_jobs_and_gauges() {
    for columns in [80, 120] {
        let text = status::render(&jobs(), &Screen::fixed(columns), Extent::Screen);
        fits(&text, columns);
        check(&format!("status-jobs-{columns}.txt"), &text);
    }
    let mut many = jobs();
    for n in 0..40 {
        let mut scheduled = job(&format!("job-{n:02}"), State::Scheduled);
        scheduled.reason = Some("next in 5m".into());
        many.daemons.push(scheduled);
    }
    let text = status::render(&many, &Screen::fixed(80), Extent::Screen);
    fits(&text, 80);
    check("status-jobs-many.txt", &text);
}

#[test]
fn gauges_and_gates_in_tables() {
    let status = jobs();
    let declared = |name: &str| {
        (name == "ingest-depth").then(|| Gauge {
            name: name.into(),
            description: None,
            source: Source::Sqlite {
                db: "/q.db".into(),
                query: "select 1".into(),
            },
            every_ms: 30_000,
            timeout_ms: 5_000,
            warn: None,
            over: Some(Limit {
                at: Value(500.0),
                clear: Value(300.0),
            }),
            under: None,
            frozen_ms: Some(1_800_000),
            origin: eud_core::fleet::Origin::default(),
        })
    };
    for columns in [80, 120] {
        let screen = Screen::fixed(columns);
        let text = gauges::tables(&status.gauges, &status.gates, declared, &screen);
        fits(&text, columns);
        check(&format!("gauges-{columns}.txt"), &text);
    }
}
