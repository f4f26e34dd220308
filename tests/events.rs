//! Events through a manager that is killed again and again.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::fleet::Fleet;
use crate::support::processes::Process;
use crate::support::wire::Wire;
use crate::support::{Dice, PATIENCE, alone, eventually};

const KILLS: usize = 100;
const PUBLISHERS: usize = 4;
const EACH: usize = 2_500;
/// Events in one call, at most.
const BATCH_MAX: u64 = 7;

/// Publishes all its events, each until it is acknowledged. Gives the number of each.
fn publish(fleet: &Fleet, who: usize, done: &AtomicUsize) -> BTreeMap<usize, u64> {
    let mut dice = Dice(who as u64 + 1);
    let mut seqs = BTreeMap::new();
    let mut wire = None;
    let mut next = 0;
    let begun = std::time::Instant::now();
    while next < EACH {
        assert!(begun.elapsed() < 4 * PATIENCE, "no end");
        let Some(open) = &mut wire else {
            wire = Wire::to(fleet.state()).ok();
            continue;
        };
        let count = usize::try_from(dice.below(BATCH_MAX)).unwrap() + 1;
        let last = (next + count).min(EACH);
        let event = |n: usize| {
            json!({"type": "count.up", "source": format!("p{who}"), "id": n.to_string(),
                "data": {"n": n}})
        };
        let events: Vec<Value> = (next..last).map(event).collect();
        // Whoever got no answer asks again.
        let Some(answer) = open.try_call("event.emit", &json!({ "events": events })) else {
            wire = None;
            continue;
        };
        let receipts = answer.unwrap();
        for (n, receipt) in (next..last).zip(receipts.as_array().unwrap()) {
            seqs.insert(n, receipt["seq"].as_u64().unwrap());
        }
        next = last;
        done.fetch_add(count, Ordering::Relaxed);
    }
    seqs
}

fn bring_back(fleet: &Fleet) -> Process {
    let up = fleet
        .command("up --wait 0s")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    up.unwrap();
    eventually("a manager", || {
        let mut wire = Wire::to(fleet.state()).ok()?;
        let manager = Process::of(wire.peer())?;
        wire.try_call("ping", &json!({}))?.ok()?;
        Some(manager)
    })
}

/// Everything in the journal, in order.
fn journal(fleet: &Fleet) -> Vec<Value> {
    let out = fleet.command("events --after 0 --json").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn every_acknowledged_event_is_kept_once_through_a_hundred_kills() {
    let _alone = alone();
    let fleet = Fleet::up("[daemons.one]\nshell = \"exec sleep 1000\"\n");
    let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (fleet, done, over) = (&fleet, &done, &over);
    let acknowledged = std::thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|who| scope.spawn(move || publish(fleet, who, done)))
            .collect();
        let killer = scope.spawn(move || {
            let mut manager = fleet.manager();
            let total = PUBLISHERS * EACH;
            for kill in 1..=KILLS {
                // Spread over all of them: the last kill comes before the last event.
                let at = total * kill / (KILLS + 1);
                eventually("more events", || {
                    (done.load(Ordering::Relaxed) >= at || over.load(Ordering::Relaxed))
                        .then_some(())
                });
                manager.kill();
                manager = bring_back(fleet);
            }
        });
        let seqs: Vec<_> = publishers.into_iter().map(|p| p.join().unwrap()).collect();
        over.store(true, Ordering::Relaxed);
        killer.join().unwrap();
        seqs
    });
    let events = journal(fleet);
    for (at, event) in events.iter().enumerate() {
        let sequence: usize = event["sequence"].as_str().unwrap().parse().unwrap();
        assert_eq!(sequence, at + 1, "numbers have no gaps");
    }
    let mut kept = BTreeMap::new();
    for event in events.iter().filter(|event| event["type"] == "count.up") {
        let key = (
            event["source"].clone().to_string(),
            event["data"]["n"].as_u64(),
        );
        let seq: u64 = event["sequence"].as_str().unwrap().parse().unwrap();
        assert_eq!(
            kept.insert(key.clone(), seq),
            None,
            "{key:?} is there twice"
        );
    }
    assert_eq!(kept.len(), PUBLISHERS * EACH);
    for (who, seqs) in acknowledged.iter().enumerate() {
        for (n, seq) in seqs {
            let key = (format!("\"p{who}\""), Some(*n as u64));
            assert_eq!(kept.get(&key), Some(seq), "{key:?}");
        }
        assert!(seqs.values().is_sorted(), "each publisher's order is kept");
    }
    let starts = events.iter().filter(|e| e["type"] == "manager.started");
    assert_eq!(starts.count(), KILLS + 1);
}
