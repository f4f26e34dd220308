//! Gauges and gates, with real queues.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::support::eventually;
use crate::support::fleet::{Fleet, diarist};

/// A queue that somebody else keeps, in WAL mode.
fn queue(fleet: &Fleet) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(fleet.path().join("queue.sqlite")).unwrap();
    db.pragma_update(None, "journal_mode", "wal").unwrap();
    db.execute_batch("create table if not exists queue (item)")
        .unwrap();
    db
}

const DEPTH: &str = "[gauges.depth]\n\
    sqlite = { db = \"queue.sqlite\", query = \"select count(*) from queue\" }\n\
    every = \"100ms\"\n\
    over = { at = 10, clear = 5 }\n";

fn fill(db: &rusqlite::Connection, items: usize) {
    for _ in 0..items {
        db.execute("insert into queue values (1)", []).unwrap();
    }
}

#[track_caller]
fn gauge(fleet: &Fleet, name: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    eventually(what, || {
        let status = fleet.status();
        let gauges = status["gauges"].as_array().unwrap();
        let found = gauges
            .iter()
            .find(|gauge| gauge["name"] == name)
            .cloned()
            .unwrap();
        is_so(&found).then_some(found)
    })
}

#[track_caller]
fn unknown(fleet: &Fleet, name: &str, why: &str) {
    gauge(fleet, name, &format!("{name} unknown: {why}"), |gauge| {
        let reason = gauge["reason"].as_str().unwrap_or_default();
        gauge["level"] == "unknown" && gauge["value"].is_null() && reason.contains(why)
    });
}

fn is_closed(fleet: &Fleet) -> bool {
    fleet.status()["gates"][0]["closed"] == true
}

#[test]
fn a_full_queue_pauses_its_producers_across_a_dead_manager() {
    let gate = "[gates.ingest]\ngauge = \"depth\"\nmembers = [\"producer\"]\n";
    let fleet = Fleet::new(
        &(DEPTH.to_owned() + gate + &diarist("producer", "", "") + &diarist("drain", "", "")),
    );
    let db = queue(&fleet);
    fleet.eud("up", 0);
    gauge(&fleet, "depth", "a value", |gauge| gauge["value"] == 0.0);
    fill(&db, 10);
    let paused = fleet.until_state("producer", "paused");
    let reason = paused["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("gate `ingest` is closed: `depth` is over (10, "),
        "{reason}"
    );
    assert_eq!(paused["desired"], "up");
    assert_eq!(fleet.unit("drain")["state"], "up");
    let starts = fleet.diary("producer").starts.len();

    // A new manager finds the gate closed, and its gauge broken: it stays closed.
    fleet.kill_manager();
    let hidden = fleet.path().join("hidden.sqlite");
    fs::rename(fleet.path().join("queue.sqlite"), &hidden).unwrap();
    fleet.eud("up --wait 0s", 0);
    unknown(&fleet, "depth", "queue.sqlite does not exist");
    assert!(is_closed(&fleet));
    assert_eq!(fleet.unit("producer")["state"], "paused");

    // Back again, at a value between the thresholds: still closed; below: open.
    fs::rename(&hidden, fleet.path().join("queue.sqlite")).unwrap();
    db.execute("delete from queue where rowid > 5", []).unwrap();
    gauge(&fleet, "depth", "a value again", |gauge| {
        gauge["value"] == 5.0
    });
    assert!(is_closed(&fleet));
    assert_eq!(fleet.diary("producer").starts.len(), starts);
    db.execute("delete from queue", []).unwrap();
    fleet.until_state("producer", "up");
    assert_eq!(fleet.diary("producer").starts.len(), starts + 1);
    fleet.down();
}

#[test]
fn each_trouble_is_unknown_with_its_reason_and_costs_only_its_gauge() {
    let text = "[gauges.hang]\n\
        command = [\"sleep\", \"1000\"]\n\
        every = \"100ms\"\n\
        timeout = \"300ms\"\n\
        [gauges.broken]\n\
        command = [\"sh\", \"-c\", \"echo no such queue >&2; exit 3\"]\n\
        every = \"100ms\"\n\
        [gauges.files]\n\
        files = \"in/*.json\"\n\
        every = \"100ms\"\n\
        [gauges.gpu]\n\
        machine = { gpu = 77 }\n\
        [gauges.locked]\n\
        sqlite = { db = \"locked.sqlite\", query = \"select count(*) from queue\" }\n\
        every = \"100ms\"\n\
        timeout = \"300ms\"\n";
    let fleet = Fleet::new(&(DEPTH.to_owned() + text + &diarist("a", "", "")));
    let locked = rusqlite::Connection::open(fleet.path().join("locked.sqlite")).unwrap();
    locked
        .execute_batch("create table queue (item); begin exclusive; delete from queue")
        .unwrap();
    fleet.eud("up", 0);
    unknown(&fleet, "hang", "sleep did not end within ");
    unknown(&fleet, "broken", "exited with code 3: no such queue");
    unknown(&fleet, "files", "/in does not exist");
    unknown(&fleet, "depth", "queue.sqlite does not exist");
    unknown(&fleet, "gpu", "NVML");
    unknown(&fleet, "locked", "locked by another process");
    assert!(!fleet.path().join("queue.sqlite").exists(), "it was made");

    fs::create_dir(fleet.path().join("in")).unwrap();
    gauge(&fleet, "files", "none", |gauge| gauge["value"] == 0.0);
    for number in 0..10_000 {
        fs::write(fleet.path().join(format!("in/{number}.json")), "").unwrap();
    }
    gauge(&fleet, "files", "10,000", |gauge| {
        gauge["value"] == 10_000.0
    });
    locked.execute_batch("commit").unwrap();
    gauge(&fleet, "locked", "a value", |gauge| gauge["value"] == 0.0);
    unknown(&fleet, "hang", "sleep did not end within ");
    fleet.down();
}

#[test]
fn a_database_that_is_being_written_is_read_all_the_time() {
    let fleet = Fleet::new(&(DEPTH.to_owned() + &diarist("a", "", "")));
    let db = queue(&fleet);
    fleet.eud("up", 0);
    gauge(&fleet, "depth", "a value", |gauge| gauge["value"] == 0.0);
    let transitions = |fleet: &Fleet| fleet.manager_log().matches("gauge depth").count();
    let before = transitions(&fleet);
    for number in 1..=200 {
        db.execute("delete from queue", []).unwrap();
        fill(&db, 1 + number % 5);
    }
    db.execute("delete from queue", []).unwrap();
    gauge(&fleet, "depth", "all gone", |gauge| gauge["value"] == 0.0);
    assert_eq!(
        transitions(&fleet),
        before,
        "never unknown: {}",
        fleet.manager_log()
    );
    fleet.down();
}

#[test]
fn a_number_in_a_document_fires_a_job() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let depth = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(3));
    let told = std::sync::Arc::clone(&depth);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]);
            let depth = told.load(std::sync::atomic::Ordering::SeqCst);
            let body = format!("{{\"queue\": {{\"depth\": {depth}}}}}");
            let _ = write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let text = format!(
        "[gauges.told]\n\
         http = {{ url = \"http://127.0.0.1:{port}/stats\", pointer = \"/queue/depth\" }}\n\
         every = \"100ms\"\n\
         over = 10\n\
         [daemons.prune]\n\
         shell = \"echo $EUD_TRIGGER >> pruned\"\n\
         on_gauge = [{{ gauge = \"told\" }}]\n"
    );
    let fleet = Fleet::up(&text);
    gauge(&fleet, "told", "a value", |gauge| gauge["value"] == 3.0);
    let pruned = || fs::read_to_string(fleet.path().join("pruned")).unwrap_or_default();
    assert_eq!(pruned(), "");
    depth.store(12, std::sync::atomic::Ordering::SeqCst);
    eventually("a run", || (pruned() == "gauge\n").then_some(()));
    depth.store(15, std::sync::atomic::Ordering::SeqCst);
    gauge(&fleet, "told", "more", |gauge| gauge["value"] == 15.0);
    assert_eq!(
        pruned(),
        "gauge\n",
        "it stays over, so it does not come to it"
    );
    fleet.down();
}
