//! The checkers themselves: each must find what it is there to find.

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use serde_json::{Value, json};

use crate::support::diary::Diary;
use crate::support::epoch_ms;

const LINES: u64 = 12;

/// A diary of two starts, the first of which ended with code 3, the second because it was asked to.
fn write_diary(folder: &Path) {
    let mut text = String::new();
    for start in 1..=2 {
        writeln!(text, "start {start} 999999{start} 1 run-{start}").unwrap();
        for line in 1..=LINES {
            writeln!(text, "line {line} {}", stream(line)).unwrap();
        }
        text += if start == 1 {
            "exit 3\n"
        } else {
            "term\nexit 0\n"
        };
    }
    fs::create_dir_all(folder.join("diary")).unwrap();
    fs::write(folder.join("diary/a.diary"), text).unwrap();
}

fn stream(line: u64) -> &'static str {
    if line.is_multiple_of(4) { "err" } else { "out" }
}

/// The log that belongs to it.
fn log() -> Vec<String> {
    let lines = (1..=2).flat_map(|start| (1..=LINES).map(move |line| (start, line)));
    lines
        .map(|(start, line)| {
            let at = format!("2026-11-23T12:00:{:02}.000000000Z", start * 20 + line);
            let stream = stream(line);
            format!("{at} std{stream} F a {start} {line} {stream} ")
        })
        .collect()
}

fn runs() -> Vec<Value> {
    let exit = |code, reason| json!({"code": code, "signal": null, "reason": reason});
    vec![
        json!({"run": "run-1", "pid": 9_999_991, "exit": exit(3, "exited")}),
        json!({"run": "run-2", "pid": 9_999_992, "exit": exit(0, "stopped")}),
    ]
}

/// Whether the checkers are content with a log and runs that were tampered with.
fn is_content(tamper: impl FnOnce(&mut Vec<String>, &mut Vec<Value>)) -> bool {
    let folder = tempfile::tempdir().unwrap();
    write_diary(folder.path());
    let (mut lines, mut rows) = (log(), runs());
    tamper(&mut lines, &mut rows);
    let unit = folder.path().join("a");
    fs::create_dir_all(unit.join("log")).unwrap();
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(unit.join("log/current"), text).unwrap();
    let diary = Diary::read(&folder.path().join("diary"), "a");
    let check = || {
        diary.was_alone();
        diary.agrees_with_log(&unit);
        diary.agrees_with_runs(&rows);
    };
    catch_unwind(AssertUnwindSafe(check)).is_ok()
}

#[test]
fn the_checkers_find_what_is_wrong_with_a_log() {
    assert!(is_content(|_, _| ()), "they find fault with what is right");
    for at in [0, 5, 11, 12, 23] {
        assert!(
            !is_content(|log, _| drop(log.remove(at))),
            "line {at} is lost"
        );
        assert!(
            !is_content(|log, _| log.insert(at, log[at].clone())),
            "line {at} is doubled"
        );
    }
    assert!(
        !is_content(|log, _| log.swap(0, 1)),
        "times are out of order"
    );
    let swap_texts = |log: &mut Vec<String>| {
        let (a, b) = (log[0].clone(), log[1].clone());
        log[0] = a[..30].to_owned() + &b[30..];
        log[1] = b[..30].to_owned() + &a[30..];
    };
    assert!(
        !is_content(|log, _| swap_texts(log)),
        "lines are out of order"
    );
    let wrong_stream = |log: &mut Vec<String>| log[0] = log[0].replacen("stdout", "stderr", 1);
    assert!(
        !is_content(|log, _| wrong_stream(log)),
        "a line is in the wrong stream"
    );
    for at in [0, 11, 12, 23] {
        assert!(
            !is_content(|log, _| shorten(&mut log[at])),
            "line {at} is torn"
        );
    }
}

#[test]
fn lines_of_who_ended_by_itself_are_missing_only_where_the_journal_says_why() {
    let is_content = |reason: &str, message: Value| {
        let folder = tempfile::tempdir().unwrap();
        write_diary(folder.path());
        let (mut lines, mut rows) = (log(), runs());
        // The last two of the first start.
        lines.drain(10..12);
        rows[0]["exit"]["reason"] = reason.into();
        rows[0]["exit"]["message"] = message;
        let unit = folder.path().join("a");
        fs::create_dir_all(unit.join("log")).unwrap();
        fs::write(unit.join("log/current"), lines.join("\n") + "\n").unwrap();
        let diary = Diary::read(&folder.path().join("diary"), "a");
        let check = || diary.agrees_with_disturbed_log(&unit, &rows);
        catch_unwind(AssertUnwindSafe(check)).is_ok()
    };
    let given_up = json!("20 bytes of log were given up: the log could not be written");
    assert!(!is_content("exited", Value::Null));
    assert!(!is_content("stopped", json!("something else")));
    assert!(is_content("keeper-lost", Value::Null));
    assert!(is_content("stopped", given_up));
}

fn shorten(line: &mut String) {
    line.truncate(line.len() - 3);
}

#[test]
fn only_the_last_line_of_who_was_killed_may_be_torn() {
    let is_content = |tear: &dyn Fn(&mut Vec<String>)| {
        let folder = tempfile::tempdir().unwrap();
        write_diary(folder.path());
        let path = folder.path().join("diary/a.diary");
        let killed = fs::read_to_string(&path).unwrap().replace("exit 3\n", "");
        fs::write(&path, killed).unwrap();
        let mut lines = log();
        tear(&mut lines);
        let unit = folder.path().join("a");
        fs::create_dir_all(unit.join("log")).unwrap();
        fs::write(unit.join("log/current"), lines.join("\n") + "\n").unwrap();
        let diary = Diary::read(&folder.path().join("diary"), "a");
        catch_unwind(|| diary.agrees_with_log(&unit)).is_ok()
    };
    assert!(is_content(&|_| ()));
    // The twelfth went to standard error, the eleventh to standard output.
    assert!(is_content(&|log| shorten(&mut log[11])));
    assert!(is_content(&|log| shorten(&mut log[10])));
    for at in [0, 7, 12, 23] {
        assert!(!is_content(&|log| shorten(&mut log[at])), "{at}");
    }
    let foreign = |log: &mut Vec<String>| {
        shorten(&mut log[10]);
        log[10].push('?');
    };
    assert!(!is_content(&foreign));
}

#[test]
fn the_checkers_find_what_is_wrong_with_runs() {
    assert!(
        !is_content(|_, runs| drop(runs.pop())),
        "a run without a record"
    );
    assert!(
        !is_content(|_, runs| runs.push(runs[0].clone())),
        "two records of a run"
    );
    assert!(
        !is_content(|_, runs| runs[0]["exit"]["code"] = 4.into()),
        "a wrong code"
    );
    assert!(
        !is_content(|_, runs| runs[0]["exit"]["code"] = Value::Null),
        "a lost code"
    );
    assert!(
        !is_content(|_, runs| runs[0]["exit"]["reason"] = "stopped".into()),
        "not asked"
    );
    assert!(
        !is_content(|_, runs| runs[1]["exit"]["reason"] = "exited".into()),
        "asked"
    );
    assert!(
        !is_content(|_, runs| runs[0]["exit"] = Value::Null),
        "running for ever"
    );
    assert!(
        !is_content(|_, runs| runs[0]["pid"] = 1.into()),
        "a wrong pid"
    );
    let stranger = json!({"run": "run-3", "pid": 1, "exit": {"code": 0, "reason": "exited"}});
    assert!(
        !is_content(|_, runs| runs.push(stranger)),
        "a run that never was"
    );
    let unborn = json!({"run": "run-3", "pid": null, "exit": {"reason": "never-started"}});
    assert!(
        is_content(|_, runs| runs.push(unborn)),
        "one that never started may be there"
    );
}

#[test]
fn an_overlap_is_found() {
    let folder = tempfile::tempdir().unwrap();
    write_diary(folder.path());
    let path = folder.path().join("diary/a.diary");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("start 2", "overlap 1 run-1\nstart 2")).unwrap();
    let diary = Diary::read(&folder.path().join("diary"), "a");
    assert!(catch_unwind(|| diary.was_alone()).is_err());
}

#[test]
fn times_are_read_right() {
    assert_eq!(epoch_ms("1970-01-01T00:00:00Z"), 0);
    assert_eq!(epoch_ms("2024-02-29T12:34:56.789Z"), 1_709_210_096_789);
    assert_eq!(
        epoch_ms("2026-11-23T00:00:00.000000001Z"),
        1_795_392_000_000
    );
}
