//! What becomes of output.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use eud_core::record::EndReason;

use crate::harness::{Bench, is_root, records, skipped};

fn record(head: &str, text: &str) -> (String, String) {
    (head.into(), text.into())
}

#[test]
fn both_streams_are_in_the_log_in_their_form() {
    let bench = Bench::new();
    let before = eud_sys::clock::wall_ns();
    bench.record_of(&["sh", "-c", "echo one; echo; printf 'no end'; echo oops >&2"]);
    let mut log = bench.log();
    log.sort();
    let expected = [
        record("stderr F", "oops"),
        record("stdout F", ""),
        record("stdout F", "no end"),
        record("stdout F", "one"),
    ];
    assert_eq!(log, expected);
    // The time is that of the line, to the second at least.
    let text = fs::read_to_string(bench.path().join("daemons/web/log/current")).unwrap();
    let date = Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{}", before / 1_000_000_000),
            "+%Y-%m-%dT%H:%M",
        ])
        .output()
        .unwrap();
    let date = String::from_utf8(date.stdout).unwrap();
    let next = Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{}", before / 1_000_000_000 + 60),
            "+%Y-%m-%dT%H:%M",
        ])
        .output()
        .unwrap();
    let next = String::from_utf8(next.stdout).unwrap();
    assert!(
        text.starts_with(date.trim()) || text.starts_with(next.trim()),
        "{text}"
    );
}

#[test]
fn a_partial_line_is_not_broken_by_the_other_stream() {
    let bench = Bench::new();
    let script = "printf 'half of '; echo whole >&2; until [ -e go ]; do sleep 0.01; done; echo it";
    let mut kept = bench.sh(script);
    kept.said("whole");
    fs::write(bench.path().join("go"), b"").unwrap();
    kept.ended();
    assert_eq!(
        bench.log(),
        [
            record("stderr F", "whole"),
            record("stdout F", "half of it")
        ]
    );
}

#[test]
fn output_after_the_leader_s_end_is_kept() {
    let bench = Bench::new();
    let script = "(trap 'echo last words; exit' TERM; echo up; while :; do sleep 0.01; done) &
        until [ -e go ]; do sleep 0.01; done; exit 0";
    let mut kept = bench.sh(script);
    kept.said("up");
    fs::write(bench.path().join("go"), b"").unwrap();
    assert_eq!(kept.ended().reason, EndReason::Exited);
    assert_eq!(bench.stdout(), ["up", "last words"]);
}

#[test]
fn a_command_that_closes_its_output_lives_on() {
    let bench = Bench::new();
    let mut kept = bench.sh("exec >&- 2>&-; until [ -e go ]; do sleep 0.01; done; exit 8");
    kept.started();
    fs::write(bench.path().join("go"), b"").unwrap();
    assert_eq!(kept.ended().code, Some(8));
}

#[test]
fn every_line_of_a_flood_is_there_once_and_in_order_through_rotation() {
    let bench = Bench::new();
    let script = "i=0; while [ $i -lt 200000 ]; do echo $i; i=$((i+1)); done";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        (spec.log_max_size, spec.log_keep) = (1_000_000, 100);
    });
    let mut rotated = Vec::new();
    loop {
        let event = kept.next_event().unwrap();
        match event["event"].as_str().unwrap() {
            "rotated" => rotated.push(event["file"].as_str().unwrap().to_owned()),
            "ended" => break,
            _ => {}
        }
    }
    kept.collect();
    let folder = bench.path().join("daemons/web/log");
    let mut names: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "current")
        .collect();
    names.sort();
    assert_eq!(names, rotated, "each rotation is told");
    assert!(names.len() >= 8);
    for name in &names {
        assert!(fs::metadata(folder.join(name)).unwrap().len() <= 1_000_000);
    }
    let mut expected = 0;
    for (head, text) in bench.log() {
        assert_eq!((head.as_str(), text), ("stdout F", expected.to_string()));
        expected += 1;
    }
    assert_eq!(expected, 200_000);
}

#[test]
fn only_so_many_files_are_kept() {
    let bench = Bench::new();
    let script = "i=0; while [ $i -lt 2000 ]; do echo number $i; i=$((i+1)); done";
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| {
        (spec.log_max_size, spec.log_keep) = (5_000, 2);
    });
    kept.ended();
    let count = fs::read_dir(bench.path().join("daemons/web/log"))
        .unwrap()
        .count();
    assert_eq!(count, 3);
    assert_eq!(bench.log_texts().last().unwrap(), "number 1999");
}

#[test]
fn the_next_run_goes_on_in_the_same_file() {
    let bench = Bench::new();
    bench.record_of(&["echo", "first"]);
    // As a keeper leaves it that was killed while it wrote.
    let current = bench.path().join("daemons/web/log/current");
    let torn = fs::read_to_string(&current).unwrap() + "2026-11-23T00:00:00.000000000Z stdout F to";
    fs::write(&current, torn).unwrap();
    bench.record_of(&["echo", "second"]);
    assert_eq!(bench.log_texts(), ["first", "to", "second"]);
}

#[test]
fn a_line_without_end_is_bounded_and_whole() {
    let bench = Bench::new();
    let mut kept = bench.sh("head -c 100000 /dev/zero | tr '\\0' x; echo; echo next");
    kept.ended();
    let log = bench.log();
    let (next, parts) = log.split_last().unwrap();
    assert_eq!(next, &record("stdout F", "next"));
    assert_eq!(parts.len(), 7);
    assert!(
        parts[..6]
            .iter()
            .all(|(head, text)| head == "stdout P" && text.len() == 16 * 1024)
    );
    assert_eq!(parts[6].0, "stdout F");
    assert_eq!(
        parts.iter().map(|(_, text)| text.len()).sum::<usize>(),
        100_000
    );
}

/// A small file system of its own.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(at)
            .stderr(std::process::Stdio::null())
            .status();
        status
            .is_ok_and(|status| status.success())
            .then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let bench = Bench::new();
    let folder = bench.path().join("daemons/web/log");
    let Some(_disk) = is_root().then(|| SmallDisk::mount(&folder)).flatten() else {
        return skipped("only root can mount a small file system");
    };
    let filler = folder.join("filler");
    fs::write(&filler, vec![0; 128 * 1024]).unwrap();
    let script = "i=0; while [ $i -lt 3000 ]; do echo number $i; i=$((i+1)); done; exit 3";
    let mut kept = bench.sh(script);
    let blocked = kept.wait_for("log-blocked");
    assert!(
        blocked["error"].as_str().unwrap().contains("No space left"),
        "{blocked}"
    );
    let hello = crate::harness::next_event(&mut kept.connect()).unwrap();
    assert_eq!(hello["log_blocked"], blocked["error"]);
    assert!(!kept.folder.join("exit.json").exists());

    fs::remove_file(&filler).unwrap();
    kept.wait_for("log-unblocked");
    assert_eq!(kept.ended().code, Some(3));
    let expected: Vec<_> = (0..3000).map(|n| format!("number {n}")).collect();
    assert_eq!(bench.log_texts(), expected);
}

#[test]
fn who_kills_a_run_that_waits_for_the_disk_gives_its_output_up() {
    let bench = Bench::new();
    // A file where the folder should be.
    fs::create_dir_all(bench.path().join("daemons/web")).unwrap();
    fs::write(bench.path().join("daemons/web/log"), b"").unwrap();
    let mut kept = bench.sh("echo lost; exit 6");
    kept.wait_for("log-blocked");
    crate::harness::until("the command is gone", || {
        let noted = eud_keeper::noted(&kept.folder).unwrap();
        let command = noted.and_then(|noted| noted.command);
        command.is_some_and(|command| !eud_sys::process::is_alive(command))
    });
    // It may be collected a moment later; to kill a tree that is still there is harmless, so ask
    // until it ends.
    let mut asks = 0;
    while !kept.folder.join("exit.json").exists() {
        // When it ends between the look and this, nobody takes it.
        let _ = kept.events.get_mut().write_all(b"kill\n");
        asks += 1;
        assert!(asks < 100_000);
        std::thread::yield_now();
    }
    let record = kept.ended();
    assert_eq!(record.code, Some(6));
    assert!(
        record
            .message
            .unwrap()
            .contains("5 bytes of log were given up")
    );
}

/// A run whose log can never be written: there is a file where its folder should be.
fn without_a_log(script: &str) -> (Bench, crate::harness::Kept) {
    let bench = Bench::new();
    fs::create_dir_all(bench.path().join("daemons/web")).unwrap();
    fs::write(bench.path().join("daemons/web/log"), b"").unwrap();
    let mut kept = bench.start_with(&["sh", "-c", script], |spec| spec.grace_ms = 50);
    kept.wait_for("log-blocked");
    (bench, kept)
}

#[test]
fn who_asks_a_run_that_waits_for_the_disk_to_stop_is_heard_after_the_grace() {
    let (_bench, mut kept) = without_a_log("echo lost; exit 6");
    let command = eud_keeper::noted(&kept.folder).unwrap().unwrap().command;
    crate::harness::until("the command is gone", || {
        !eud_sys::process::is_alive(command.unwrap())
    });
    eud_sys::process::signal_child(kept.pid, eud_sys::signal::Signal::TERM).unwrap();
    let record = kept.ended();
    assert_eq!(record.code, Some(6));
    let message = record.message.unwrap();
    assert!(
        message.starts_with("5 bytes of log were given up"),
        "{message}"
    );
}

#[test]
fn a_stop_ends_although_the_log_cannot_be_written_and_says_how_much_was_lost() {
    // What was read, and what is still in the pipe: it writes until nobody reads any more.
    let (_bench, mut kept) = without_a_log("while :; do echo 0123456789; done");
    kept.ask("stop\n");
    let record = kept.ended();
    assert_eq!(record.signal, Some(15));
    let message = record.message.unwrap();
    let lost: usize = message.split(' ').next().unwrap().parse().unwrap();
    assert!(
        lost > 0 && lost.is_multiple_of(11),
        "whole lines, all of them: {message}"
    );
}

#[test]
fn a_log_that_exists_is_read_like_any_other() {
    let bench = Bench::new();
    bench.record_of(&["printf", "bl\\303\\245b\\303\\246r\\n"]);
    let current = bench.path().join("daemons/web/log/current");
    assert_eq!(records(&current), [record("stdout F", "blåbær")]);
}
