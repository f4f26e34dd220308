//! The control socket, and what may come through it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use eud_core::record::EndReason;

use crate::harness::{Bench, Kept, next_event, until};

/// Asserts that the keeper and its command are still well, by a new connection.
#[track_caller]
fn assert_well(kept: &Kept, pid: u32) {
    let hello = next_event(&mut kept.connect()).unwrap();
    assert_eq!(
        (&hello["event"], &hello["pid"]),
        (&"hello".into(), &pid.into())
    );
}

#[test]
fn the_greeting_says_who_it_is() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let first = kept.next_event().unwrap();
    assert_eq!(
        (&first["event"], first["pid"].is_null()),
        (&"hello".into(), true)
    );
    let command = kept.started();
    let hello = next_event(&mut kept.connect()).unwrap();
    let expected = serde_json::json!({
        "event": "hello", "unit": "web", "run": kept.run, "generation": 7,
        "keeper_pid": kept.pid, "pid": command.pid, "start_ticks": command.start_ticks,
        "started_at_ms": hello["started_at_ms"], "stopping": false, "ready": false,
        "status": null, "log_blocked": null,
    });
    assert_eq!(hello, expected);
    assert!(hello["started_at_ms"].as_i64().unwrap() > 1_700_000_000_000);
    let mode = fs::metadata(kept.folder.join("control.sock"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    kept.ask("stop\n");
    assert_eq!(kept.ended().reason, EndReason::Stopped);
}

#[test]
fn every_connection_hears_of_the_end() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    kept.started();
    let mut others = [kept.connect(), kept.connect()];
    for other in &mut others {
        assert_eq!(next_event(other).unwrap()["event"], "hello");
    }
    others[0].get_mut().write_all(b"stop\n").unwrap();
    for other in &mut others {
        assert_eq!(next_event(other).unwrap()["event"], "ended");
        assert!(next_event(other).is_none());
    }
    assert_eq!(kept.ended().reason, EndReason::Stopped);
}

#[test]
fn garbage_does_no_harm() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let pid = kept.started().pid;
    let garbage: [&[u8]; 8] = [
        b"null\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"stop\"}\n",
        b"\0\0\0\n\xff\xfe\n\xf0\x9f\n",
        b"stop\0\nSTOP\nstop stop\nkill me\n",
        b"signal\nsignal 0\nsignal -9\nsignal KILL KILL\nsignal 99999999999\n",
        b"sto",
        b"",
        b"\n\n\n",
    ];
    for bytes in garbage {
        let mut socket = kept.connect();
        next_event(&mut socket).unwrap();
        socket.get_mut().write_all(bytes).unwrap();
        drop(socket);
        assert_well(&kept, pid);
    }
    kept.ask("stop\n");
    assert_eq!(kept.ended().reason, EndReason::Stopped);
}

#[test]
fn ten_megabytes_without_a_newline_close_their_connection() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let pid = kept.started().pid;
    let mut socket = kept.connect();
    next_event(&mut socket).unwrap();
    let refused = socket.get_mut().write_all(&vec![b'x'; 10_000_000]);
    assert!(refused.is_err(), "nobody reads that much");
    assert_well(&kept, pid);
    kept.ask("stop\n");
    kept.ended();
}

#[test]
fn connections_are_bounded_and_the_newest_gets_in() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let pid = kept.started().pid;
    let mut crowd: Vec<BufReader<UnixStream>> = (0..20).map(|_| kept.connect()).collect();
    for socket in &mut crowd {
        assert_eq!(next_event(socket).unwrap()["event"], "hello");
    }
    // The first ones were closed in favour of the last.
    assert!(next_event(&mut crowd[0]).is_none());
    let newest = crowd.last_mut().unwrap();
    newest.get_mut().write_all(b"stop\n").unwrap();
    assert_eq!(next_event(newest).unwrap()["record"]["pid"], pid);
    kept.collect();
    assert_eq!(kept.record_on_disk().reason, EndReason::Stopped);
}

#[test]
fn who_does_not_read_blocks_nobody() {
    let bench = Bench::new();
    let script = "i=0; while [ $i -lt 100000 ]; do echo $i; i=$((i+1)); done; exit 2";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        // Thousands of rotations, each an event nobody reads.
        (spec.log_max_size, spec.log_keep) = (500, 1);
    });
    kept.next_event();
    let deaf = kept.connect();
    let (unused, _far) = UnixStream::pair().unwrap();
    let mute = std::mem::replace(&mut kept.events, BufReader::new(unused));
    kept.collect();
    assert_eq!(kept.record_on_disk().code, Some(2));
    drop((deaf, mute));
}

#[test]
fn output_is_told_once_per_watch() {
    let bench = Bench::new();
    let fifo = bench.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let mut kept = bench.sh("exec cat fifo");
    kept.started();
    let mut fifo = fs::File::options().write(true).open(&fifo).unwrap();
    // Not watched: said in the log only.
    writeln!(fifo, "one").unwrap();
    kept.said("one");
    kept.ask("watch\n");
    // Two connections are served in turn: when the second one is greeted, the request has been
    // taken.
    assert_well(&kept, kept_pid(&kept));
    writeln!(fifo, "two").unwrap();
    assert_eq!(kept.next_event().unwrap()["event"], "output");
    writeln!(fifo, "three").unwrap();
    kept.said("three");
    drop(fifo);
    assert_eq!(kept.next_event().unwrap()["event"], "ended");
    kept.collect();
}

#[test]
fn a_connection_that_ends_in_the_middle_of_an_event_is_forgotten() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    let pid = kept.started().pid;
    for _ in 0..50 {
        let mut socket = kept.connect();
        socket.get_mut().write_all(b"watch\nwat").unwrap();
        let mut one = [0; 1];
        socket.get_mut().read_exact(&mut one).unwrap();
    }
    assert_well(&kept, pid);
    kept.ask("stop\n");
    kept.ended();
}

#[test]
fn it_sleeps_while_nothing_happens() {
    let bench = Bench::new();
    let mut kept = bench.start(&["sleep", "1000"]);
    kept.started();
    let switches = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text
            .lines()
            .find(|l| l.starts_with("voluntary_ctxt_switches"))
            .unwrap()
            .to_owned();
        line.split_ascii_whitespace()
            .nth(1)
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    until("it waits", || {
        eud_sys::process::stat(kept.pid).unwrap().state == b'S'
    });
    assert_well(&kept, kept_pid(&kept));
    // After the closing of that connection it has nothing to do, however long it is watched.
    let mut last = (0, 0);
    until("it has settled", || {
        std::thread::sleep(std::time::Duration::from_millis(50));
        let now = switches(kept.pid);
        last = if now == last.0 {
            (now, last.1 + 1)
        } else {
            (now, 0)
        };
        last.1 >= 20
    });
    kept.ask("stop\n");
    kept.ended();
}

fn kept_pid(kept: &Kept) -> u32 {
    let noted = eud_keeper::noted(&kept.folder).unwrap().unwrap();
    noted.command.unwrap().pid
}

#[test]
fn lines_are_events_of_their_own() {
    let bench = Bench::new();
    let mut kept = bench.start(&["true"]);
    let mut lines = Vec::new();
    let mut line = String::new();
    while kept.events.read_line(&mut line).unwrap() > 0 {
        lines.push(std::mem::take(&mut line));
    }
    assert!(lines.iter().all(|line| line.ends_with("}\n")), "{lines:?}");
    assert_eq!(lines.len(), 3);
    kept.collect();
}
