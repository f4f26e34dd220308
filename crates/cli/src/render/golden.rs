//! Screens as they shall look: fixed data in, the text of `tests/golden/*.txt` out.
//!
//! `EUD_UPDATE_GOLDEN=1 cargo nextest run -p eudaemon golden` writes the texts anew; read the diff.

use std::path::PathBuf;

use eud_core::fleet::Fleet;
use eud_core::io::Accepted;
use eud_core::record::{EndReason, ExitClass, ExitRecord, RunRow};
use eud_core::view::{DaemonView, Explanation, LastExit, ManagerView, State, Status, Summary};
use serde_json::json;

use super::graph::Graph;
use super::layout::width;
use super::reply::{self, Verb};
use super::status::{self, Extent};
use super::tree::{self, Progress};
use super::{Screen, runs, why};

pub(super) fn check(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("EUD_UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, expected, "{name}");
}

pub(super) fn fits(text: &str, columns: usize) {
    for line in text.lines() {
        assert!(width(line) <= columns, "{} columns: {line}", width(line));
        assert_eq!(line, line.trim_end(), "ends in blanks");
    }
}

pub(super) fn daemon(name: &str, category: &str, state: State) -> DaemonView {
    let value = json!({
        "name": name, "kind": "service", "category": category, "desired": "up", "state": state,
        "since": "2026-11-23T13:21:07Z", "restarts": 0,
    });
    let nulls = [
        "reason",
        "pid",
        "run",
        "started_at",
        "uptime_s",
        "last_exit",
        "ready",
        "next_try_at",
        "status_text",
    ];
    let mut value = value;
    for key in nulls {
        value[key] = serde_json::Value::Null;
    }
    serde_json::from_value(value).unwrap()
}

pub(super) fn exit(code: Option<i32>, signal: Option<i32>, at: &str) -> LastExit {
    LastExit {
        run: "0192aaaa-0000-7000-8000-000000000000".into(),
        code,
        signal,
        at: at.into(),
        class: ExitClass::Failure,
        reason: EndReason::Exited,
        message: None,
    }
}

fn trouble() -> Vec<DaemonView> {
    let mut vault = daemon("vault", "secrets", State::Degraded);
    vault.reason = Some("not ready any more: GET /health timed out after 2s".into());
    let mut drain = daemon("rag-drain", "rag", State::Backoff);
    drain.restarts = 12;
    drain.reason = Some("exited with code 1; next try in 41s".into());
    drain.blocked_on = vec!["vault".into()];
    drain.last_exit = Some(exit(Some(1), None, "2026-11-23T14:02:11Z"));
    let mut orch = daemon("pi-orch-health", "monitoring", State::Failed);
    orch.since = Some("2026-11-21T09:00:00Z".into());
    orch.reason = Some("could not be started: bin/pi-orch-health.sh does not exist".into());
    orch.last_exit = Some(exit(Some(127), None, "2026-11-20T23:00:00Z"));
    let mut backup = daemon("b2-backup", "backup", State::CoolDown);
    backup.since = Some("2026-11-23T08:00:00Z".into());
    backup.restarts = 104;
    backup.reason = Some("exited with code 1; next try in 4m 10s".into());
    backup.last_exit = Some(exit(Some(1), None, "2026-11-23T03:30:00Z"));
    let mut long = daemon(
        "a-daemon-with-a-name-nobody-should-have-given-it-east-7",
        "rag",
        State::Failed,
    );
    long.last_exit = Some(exit(None, Some(9), "2026-11-23T13:59:00Z"));
    long.reason = Some("was killed by KILL".into());
    vec![vault, drain, orch, backup, long]
}

/// A fleet like that of the audit: 148 daemons, most of them well.
fn fleet_of_148() -> Status {
    let mut daemons = trouble();
    for n in 0..15 {
        daemons.push(daemon(&format!("stale-job-{n:02}"), "jobs", State::Failed));
    }
    for name in ["rag-bookstack", "rag-mc", "rag-fsevents", "lightrag"] {
        let mut waiting = daemon(name, "rag", State::Waiting);
        waiting.blocked_on = vec!["rag-drain".into()];
        waiting.reason = Some("needs `rag-drain`, which is backoff".into());
        daemons.push(waiting);
    }
    for n in 0..4 {
        let mut held = daemon(&format!("held-{n}"), "agents", State::Held);
        held.reason = Some("key leaked".into());
        daemons.push(held);
    }
    for n in 0..3 {
        daemons.push(daemon(&format!("migrate-{n}"), "jobs", State::Done));
    }
    for n in 0..47 {
        let category = ["agents", "memory", "monitoring"][n % 3];
        daemons.push(daemon(
            &format!("{category}-{n:02}"),
            category,
            State::Ready,
        ));
    }
    while daemons.len() < 148 {
        let mut up = daemon(&format!("worker-{:03}", daemons.len()), "", State::Up);
        up.category = None;
        daemons.push(up);
    }
    status_of("ai-factory", daemons)
}

pub(super) fn status_of(fleet: &str, mut daemons: Vec<DaemonView>) -> Status {
    daemons.sort_by(|a, b| a.name.cmp(&b.name));
    let mut summary = Summary {
        total: daemons.len(),
        ..Summary::default()
    };
    for state in State::ALL {
        let count = daemons.iter().filter(|d| d.state == state).count();
        summary.counts.insert(state.as_str().into(), count);
    }
    Status {
        fleet: fleet.into(),
        profile: Some("standard".into()),
        generated_at: "2026-11-23T14:02:14Z".into(),
        manager: Some(ManagerView {
            pid: 4100,
            started_at: "2026-11-17T09:30:00Z".into(),
            version: "0.1.0".into(),
        }),
        summary,
        daemons,
        gauges: Vec::new(),
        gates: Vec::new(),
        problems: Vec::new(),
    }
}

/// Six daemons, one of them waiting for a held one.
fn small_fleet() -> Status {
    let mut api = daemon("api", "web", State::Ready);
    api.pid = Some(4121);
    let mut held = daemon("queue", "web", State::Held);
    held.reason = Some("key leaked, see #12".into());
    let mut waiting = daemon("worker", "web", State::Waiting);
    waiting.reason = Some("needs `queue`, which is held".into());
    waiting.blocked_on = vec!["queue".into()];
    let mut up = daemon("tunnel", "net", State::Up);
    up.status_text = Some("2 clients\u{1b}[31m\nconnected".into());
    let done = daemon("migrate", "db", State::Done);
    let mut stopped = daemon("debug", "db", State::Stopped);
    stopped.reason = Some("not in the profile".into());
    status_of("shop", vec![api, held, waiting, up, done, stopped])
}

/// Header counts sum to the total, whatever the states.
#[test]
fn every_unit_is_counted_once_in_the_headline() {
    let daemons = State::ALL.into_iter().enumerate();
    let daemons =
        daemons.flat_map(|(n, s)| (0..=n).map(move |k| daemon(&format!("{s}-{k}"), "c", s)));
    let status = status_of("all", daemons.collect());
    let text = status::render(&status, &Screen::fixed(300), Extent::Screen);
    let head = text.lines().next().unwrap();
    let counts = head
        .split("daemons")
        .nth(1)
        .unwrap()
        .split("up 6d")
        .next()
        .unwrap();
    let sum: usize = counts
        .split_whitespace()
        .filter_map(|w| w.parse::<usize>().ok())
        .sum();
    assert_eq!(sum, status.daemons.len(), "{head}");
    let groups: Vec<&str> = text.lines().filter(|l| l.starts_with(" c ")).collect();
    assert_eq!(groups.len(), 1);
    assert!(groups[0].contains(&status.daemons.len().to_string()));
}

#[test]
fn status_of_a_large_fleet() {
    for columns in [80, 120] {
        let text = status::render(&fleet_of_148(), &Screen::fixed(columns), Extent::Screen);
        fits(&text, columns);
        assert!(text.lines().count() <= 24, "{} lines", text.lines().count());
        check(&format!("status-148-{columns}.txt"), &text);
    }
}

#[test]
fn status_in_colour() {
    let screen = Screen {
        color: true,
        ..Screen::fixed(100)
    };
    check(
        "status-148-colour.txt",
        &status::render(&fleet_of_148(), &screen, Extent::Screen),
    );
}

#[test]
fn status_of_a_small_fleet() {
    let text = status::render(&small_fleet(), &Screen::fixed(80), Extent::Screen);
    fits(&text, 80);
    check("status-6.txt", &text);
    let verbose = Screen {
        verbose: true,
        ..Screen::fixed(80)
    };
    let text = status::render(&small_fleet(), &verbose, Extent::Screen);
    fits(&text, 80);
    check("status-6-verbose.txt", &text);
}

#[test]
fn status_of_nothing() {
    let empty = status_of("empty", Vec::new());
    check(
        "status-0.txt",
        &status::render(&empty, &Screen::fixed(80), Extent::Screen),
    );
}

#[test]
fn status_fits_any_width() {
    for columns in 40..200 {
        for extent in [Extent::Screen, Extent::All, Extent::Rows] {
            for line in status::render(&fleet_of_148(), &Screen::fixed(columns), extent).lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }
}

#[test]
fn a_large_status_is_drawn_quickly() {
    let mut status = fleet_of_148();
    let template = status.daemons.clone();
    for n in 0..6 {
        status.daemons.extend(template.iter().cloned().map(|mut d| {
            d.name = format!("{}-{n}", d.name);
            d
        }));
    }
    let began = std::time::Instant::now();
    status::render(&status, &Screen::fixed(80), Extent::All);
    // Generous for a debug build on a busy machine; what it must not be is quadratic.
    assert!(began.elapsed().as_millis() < 500, "{:?}", began.elapsed());
}

#[test]
fn progress_as_a_tree() {
    let status = fleet_of_148();
    let open: Vec<&DaemonView> = status
        .daemons
        .iter()
        .filter(|d| d.state == State::Waiting || ["vault", "rag-drain"].contains(&d.name.as_str()))
        .collect();
    let progress = Progress {
        title: "bringing up ai-factory",
        counted: "ready",
        settled: 141,
        total: 148,
        open,
        elapsed_s: 3.24,
    };
    let lines = tree::lines(&progress, &Screen::fixed(80), 20);
    check("tree.txt", &format!("{}\n", lines.join("\n")));
    let few = tree::lines(&progress, &Screen::fixed(80), 4);
    assert_eq!(few.len(), 4);
    assert!(few[3].contains("more"), "{few:?}");
}

#[test]
fn a_cycle_in_the_tree_ends() {
    let mut a = daemon("a", "c", State::Waiting);
    a.blocked_on = vec!["b".into()];
    let mut b = daemon("b", "c", State::Waiting);
    b.blocked_on = vec!["a".into()];
    let progress = Progress {
        title: "t",
        counted: "ready",
        settled: 0,
        total: 2,
        open: vec![&a, &b],
        elapsed_s: 0.0,
    };
    assert!(!tree::lines(&progress, &Screen::fixed(80), 9).is_empty());
}

#[test]
fn replies() {
    let screen = Screen::fixed(80);
    let asked = "2026-11-23T13:21:05.800Z".parse().unwrap();
    let mut ready = daemon("rag-drain", "rag", State::Ready);
    ready.run = Some("0192f0c0-1111-7000-8000-000000000000".into());
    let mut stopped = daemon("api", "web", State::Stopped);
    stopped.last_exit = Some(exit(None, Some(15), "2026-11-23T13:21:07Z"));
    let mut text = String::new();
    text.push_str(&reply::done(Verb::Restart, &ready, asked, &screen));
    text.push_str(&reply::done(Verb::Stop, &stopped, asked, &screen));
    let log = vec!["connect: timed out".to_owned(), "giving up\tnow".to_owned()];
    text.push_str(&reply::failed(&trouble()[1], &log, &screen));
    let accepted = Accepted {
        unchanged: vec![("b".into(), "already ready".into())],
        restarted: vec![(
            "api".into(),
            vec!["command".into(), "env".into(), "cwd".into()],
        )],
        added: vec!["new".into()],
        removed: vec!["old".into()],
        warnings: vec!["`x` is deprecated; use `y` instead".into()],
        ..Accepted::default()
    };
    text.push_str(&reply::reloaded(&accepted, &screen));
    text.push_str(&reply::asides(&accepted, &screen));
    check("replies.txt", &text);
}

#[test]
fn runs_and_how_they_ended() {
    let record = |reason, code, signal, started: i64, ended: i64| ExitRecord {
        run: String::new(),
        unit: "rag-drain".into(),
        generation: 1,
        reason,
        code,
        signal,
        core: false,
        message: None,
        pid: 1,
        started_at_ms: 1_795_442_400_000 + started,
        ended_at_ms: 1_795_442_400_000 + ended,
        max_rss_kb: 53_400,
        cpu_user_us: 1_200_000,
        cpu_system_us: 45_000,
    };
    let row = |n: u64, cause: &str, exit: Option<ExitRecord>, class| RunRow {
        run: format!("0192f0c{n}-1111-7000-8000-000000000000"),
        unit: "rag-drain".into(),
        generation: n,
        intent_at_ms: 1_795_442_500_000,
        pid: Some(4121),
        cause: cause.into(),
        exit,
        class,
    };
    let failure = Some(ExitClass::Failure);
    let rows = [
        row(4, "restart: was killed by KILL", None, None),
        row(
            3,
            "restart: exited with code 1",
            Some(record(EndReason::Exited, None, Some(9), 9_000, 9_800)),
            failure,
        ),
        row(
            2,
            "start",
            Some(record(EndReason::Exited, Some(1), None, 0, 8_400)),
            failure,
        ),
        row(
            1,
            "start",
            Some(record(
                EndReason::Timeout,
                None,
                Some(15),
                -90_000_000,
                -7_200_000,
            )),
            failure,
        ),
    ];
    let text = runs::render(&rows, &Screen::fixed(80));
    fits(&text, 80);
    check("runs.txt", &text);
}

#[test]
fn why_in_sentences() {
    let explanation = Explanation {
        unit: "rag-mc".into(),
        sentences: vec![
            "`rag-mc` waits since 41m: it needs `rag-drain`, which is backoff.".into(),
            "`rag-drain` failed 12 times and is tried again in 41s: it exited with code 1, \
             and its last line names a port that `vault` listens on."
                .into(),
            "`vault` runs but is degraded: GET http://127.0.0.1:8200/health timed out after 2s."
                .into(),
        ],
        chain: vec!["rag-mc".into(), "rag-drain".into(), "vault".into()],
        show_log_of: vec!["rag-drain".into()],
        fix_first: Some("vault".into()),
        next: vec!["eud logs vault".into(), "eud restart vault".into()],
    };
    let logs = [(
        "rag-drain".to_owned(),
        vec!["14:02:11 stderr connect: timed out".to_owned()],
    )];
    let text = why::render(&explanation, &logs, &Screen::fixed(80));
    fits(&text, 80);
    check("why.txt", &text);
}

fn graph_fleet() -> Fleet {
    let mut fleet = Fleet::default();
    let of = |name: &str, needs: &[&str]| eud_core::fleet::Daemon {
        name: name.into(),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        ..Default::default()
    };
    let mut drain = of("rag-drain", &["qdrant", "vault"]);
    drain.reads = vec!["queue:ingest".into()];
    drain.wants = vec!["metrics".into()];
    let mut canary = of("canary", &[]);
    canary.conflicts = vec!["rag-mc".into()];
    for daemon in [
        of("qdrant", &[]),
        of("vault", &[]),
        of("metrics", &[]),
        drain,
        canary,
    ] {
        fleet.daemons.insert(daemon.name.clone(), daemon);
    }
    fleet
        .daemons
        .insert("rag-mc".into(), of("rag-mc", &["rag-drain", "qdrant"]));
    fleet
        .daemons
        .insert("we\"ird".into(), of("we\"ird", &["rag-drain"]));
    fleet
}

#[test]
fn graphs() {
    let fleet = graph_fleet();
    let chosen = fleet.daemons.keys().cloned().collect();
    let states = [
        ("vault".to_owned(), State::Failed),
        ("qdrant".to_owned(), State::Ready),
    ];
    let graph = Graph {
        fleet: &fleet,
        chosen,
        states: states.into(),
        wiring: true,
    };
    check("graph.txt", &graph.text(&Screen::fixed(80)));
    check("graph.mermaid.txt", &graph.mermaid());
    check("graph.dot.txt", &graph.dot());
}
