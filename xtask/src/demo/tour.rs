//! What the demonstration shows, in order.
//!
//! Invariants: everything shown is printed by `eud` itself or measured from its JSON; after Ctrl-C
//! no further stop of the tour begins.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::Demo;
use crate::{Failure, cmd, fleet, processes};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The whole tour.
pub(super) fn run(demo: &Demo) -> Result<(), Failure> {
    for stop in [up, jobs, crash, cascade, manager_dies] {
        if demo.is_interrupted() {
            return Ok(());
        }
        stop(demo)?;
    }
    Ok(())
}

fn up(demo: &Demo) -> Result<(), Failure> {
    show(demo, &["up", "--profile", "full"])?;
    show(demo, &["status"])
}

/// One job is run by hand, another by a file that changes.
fn jobs(demo: &Demo) -> Result<(), Failure> {
    show(demo, &["next"])?;
    show(demo, &["trigger", "backup", "--wait"])?;
    let note = demo.data().join("notes/today.md");
    demo.title(&format!("echo 'the vault is open' > {}", note.display()));
    let written = std::fs::create_dir_all(demo.data().join("notes"))
        .and_then(|()| std::fs::write(&note, "the vault is open\n"));
    written.map_err(|e| format!("{}: {e}", note.display()))?;
    until(demo, "reindex", |d| d["last_exit"]["code"] == 0)?;
    show(demo, &["logs", "-n", "2", "reindex"])
}

/// A daemon is killed and returns.
fn crash(demo: &Demo) -> Result<(), Failure> {
    let before = demo.fleet.daemon("queue")?;
    let pid = fleet::pid(&before["pid"]).ok_or("queue has no pid")?;
    demo.title(&format!("kill -9 {pid}   # the queue"));
    let killed = Instant::now();
    processes::signal(pid, rustix::process::Signal::KILL)?;
    let after = until(demo, "queue", |d| {
        d["state"] == "ready" && fleet::pid(&d["pid"]).is_some_and(|now| now != pid)
    })?;
    let took = killed.elapsed().as_millis();
    let now = fleet::pid(&after["pid"]).unwrap_or(0);
    cmd::say(&format!(
        "queue is ready again as pid {now}, {took} ms after the kill"
    ));
    show(demo, &["runs", "queue"])
}

/// The vault's credential expires; everything that needs a token stands still, and `why` says so.
/// What fills the queue is paused until it is drained.
fn cascade(demo: &Demo) -> Result<(), Failure> {
    demo.title("factory expire   # the vault's credential");
    factory(demo, "expire")?;
    until(demo, "drain@1", |d| {
        d["state"] != "ready" && d["last_exit"].is_object()
    })?;
    until(demo, "vault", |d| d["state"] == "degraded")?;
    // The queue grows until the gate closes.
    until(demo, "producer", |d| d["state"] == "paused")?;
    show(demo, &["status"])?;
    show(demo, &["why", "drain@1"])?;
    show(demo, &["why", "producer"])?;
    demo.title("factory renew");
    factory(demo, "renew")?;
    until(demo, "drain@1", |d| d["state"] == "ready")?;
    until(demo, "producer", |d| d["state"] == "ready")?;
    cmd::say("drain@1 is ready again, and so, once the queue was drained, is the producer");
    show(demo, &["gauges"])
}

/// The manager is killed; nobody notices.
fn manager_dies(demo: &Demo) -> Result<(), Failure> {
    let (manager, _) = demo.fleet.pids()?;
    let before = steady_pids(demo)?;
    demo.title(&format!(
        "kill -9 {manager}   # the manager; then eud up again"
    ));
    processes::signal(manager, rustix::process::Signal::KILL)?;
    let gone = || (!processes::is_alive(manager)).then_some(());
    processes::wait_for("the manager's end", PATIENCE, LOOK_EVERY, gone)?;
    show(demo, &["up", "--profile", "full"])?;
    let after = steady_pids(demo)?;
    let kept = before.iter().filter(|pair| after.contains(pair)).count();
    cmd::say(&format!(
        "{kept} of {} daemons kept their process",
        before.len()
    ));
    if kept == before.len() {
        Ok(())
    } else {
        Err("a daemon was restarted".to_owned())
    }
}

/// Names and process ids of what is not made to crash by itself.
fn steady_pids(demo: &Demo) -> Result<Vec<(String, u64)>, Failure> {
    let status = demo.fleet.status()?;
    let daemons = status["daemons"].as_array().cloned().unwrap_or_default();
    let pairs = daemons.iter().filter(|d| d["name"] != "flaky");
    let pair = |d: &Value| Some((d["name"].as_str()?.to_owned(), d["pid"].as_u64()?));
    Ok(pairs.filter_map(pair).collect())
}

/// Runs `eud ARGS` with its output shown.
fn show(demo: &Demo, args: &[&str]) -> Result<(), Failure> {
    demo.title(&format!("eud {}", args.join(" ")));
    cmd::run(&mut demo.fleet.eud(args))
}

fn factory(demo: &Demo, what: &str) -> Result<(), Failure> {
    let vault = demo.fleet.variable("FACTORY_VAULT").unwrap_or_default();
    cmd::run(&mut cmd::command(&demo.factory, &[what, "--vault", vault]))
}

/// Waits until a daemon is as wished.
fn until(demo: &Demo, name: &str, wish: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
    let ask = || {
        let daemon = demo.fleet.daemon(name).ok()?;
        (demo.is_interrupted() || wish(&daemon)).then_some(daemon)
    };
    processes::wait_for(name, PATIENCE, LOOK_EVERY, ask)
}
