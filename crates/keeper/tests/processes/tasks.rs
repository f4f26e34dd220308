//! What runs of tasks ask of a keeper: something to read, and a count of what is left behind.

use std::fs;

use eud_core::record::EndReason;
use serde_json::Value;

use crate::harness::{Bench, Kept};

/// The record as it is on disk.
fn record_of(kept: &mut Kept) -> Value {
    kept.ended();
    serde_json::from_slice(&fs::read(kept.folder.join("exit.json")).unwrap()).unwrap()
}

#[test]
fn a_file_is_read_as_standard_input_to_its_last_byte() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    let mut text = "a line of it, with \u{e9} and \u{1f600}\n"
        .repeat(50_000)
        .into_bytes();
    text.extend([0, 0xff, b'x']);
    fs::write(folder.join("in put"), &text).unwrap();
    let mut spec = bench.spec(&run, &["sh", "-c", "cat > copy"]);
    spec.stdin = Some("in put".into());
    let record = bench.start_in(folder, &spec).ended();
    assert_eq!(record.code, Some(0), "{record:?}");
    assert!(fs::read(bench.path().join("copy")).unwrap() == text);
}

#[test]
fn without_a_file_there_is_nothing_to_read() {
    let bench = Bench::new();
    let record = bench.record_of(&["sh", "-c", "test -z \"$(cat)\" || exit 3"]);
    assert_eq!(record.code, Some(0));
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let bench = Bench::new();
    let mut kept = bench.start_with(&["true"], |spec| spec.stdin = Some("gone".into()));
    let record = kept.ended();
    assert_eq!(record.reason, EndReason::SpawnFailed);
    let words = record.message.unwrap();
    assert!(words.contains("standard input gone"), "{words}");
}

#[test]
fn a_stop_command_does_not_read_what_was_meant_for_the_command() {
    let bench = Bench::new();
    let (run, folder) = bench.new_run();
    fs::write(folder.join("stdin"), "secret").unwrap();
    let mut spec = bench.spec(&run, &["sleep", "1000"]);
    spec.stdin = Some("stdin".into());
    spec.stop_args = ["sh", "-c", "cat > seen; kill $EUD_PID"]
        .map(Into::into)
        .into();
    let mut kept = bench.start_in(folder, &spec);
    kept.started();
    kept.ask("stop\n");
    kept.ended();
    assert_eq!(fs::read(bench.path().join("seen")).unwrap(), b"");
}

#[test]
fn what_a_command_leaves_behind_is_ended_and_counted() {
    let bench = Bench::new();
    // One of them deaf to everything but KILL, one in a session of its own.
    let script = "sleep 1000 & \
                  sh -c \"trap '' TERM; echo deaf > deaf; while :; do sleep 1000; done\" & \
                  setsid sleep 1000 & \
                  until test -s deaf && pgrep -s 0 -x sleep > /dev/null; do sleep 0.01; done; \
                  exit 3";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| spec.grace_ms = 100);
    let record = record_of(&mut kept);
    assert_eq!(record["reason"], "exited");
    assert_eq!(record["code"], 3);
    assert!(record["leftovers"].as_u64().unwrap() >= 3, "{record}");
    // Who leaves nothing behind, or is stopped with all it has, has left nothing.
    let mut kept = bench.start(&["sh", "-c", "sleep 0.01"]);
    assert_eq!(record_of(&mut kept)["leftovers"], 0);
    let mut kept = bench.sh("sleep 1000 & echo here; wait");
    kept.started();
    kept.ask("stop\n");
    let record = record_of(&mut kept);
    assert_eq!(
        (&record["reason"], &record["leftovers"]),
        (&"stopped".into(), &0.into())
    );
}
