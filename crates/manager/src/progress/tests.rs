//! What lines say of progress: tables of agents' own words, and anything else.

use std::fs::{self, File};
use std::io::Write;

use super::*;
use crate::log_follow::OutputLine;

const TIME: &str = "2026-06-01T00:00:00.5Z";

fn after(from: ProgressFrom, lines: &[&str]) -> TaskProgress {
    let mut tally = Tally::default();
    for line in lines {
        let line = OutputLine {
            time: TIME,
            text: line.as_bytes(),
            is_cut: false,
        };
        tally.line(from, line);
    }
    tally.progress().clone()
}

fn words(progress: &TaskProgress) -> &str {
    progress.text.as_deref().unwrap_or_default()
}

#[test]
fn any_output_counts_and_the_last_line_that_says_something_is_shown() {
    let progress = after(
        ProgressFrom::Output,
        &[
            "one",
            "  10%\r  20%\r\u{1b}[32m 30%\u{1b}[0m done\r",
            "",
            " \t",
        ],
    );
    assert_eq!((progress.steps, words(&progress)), (4, "30% done"));
    assert_eq!(progress.at_ms, Some(1_780_272_000_500));
    let long = "é".repeat(1_000);
    let progress = after(ProgressFrom::Output, &[&long]);
    assert_eq!(words(&progress).chars().count(), 200);
    let progress = after(ProgressFrom::Output, &["a\u{7}b\u{0}c"]);
    assert_eq!(words(&progress), "a b c");
}

#[test]
fn claude_says_what_it_does_what_it_takes_and_what_came_of_it() {
    let session: Vec<&str> = include_str!("samples/claude.jsonl").lines().collect();
    let progress = after(ProgressFrom::Json, &session[..4]);
    assert_eq!((progress.steps, words(&progress)), (4, "Bash: cargo test"));
    assert_eq!(
        (progress.tokens_in, progress.tokens_out),
        (Some(1104), Some(30))
    );
    assert_eq!((progress.cost_micros, &progress.result), (None, &None));
    let progress = after(ProgressFrom::Json, &session);
    assert_eq!((progress.steps, words(&progress)), (6, "Done."));
    assert_eq!(
        (progress.tokens_in, progress.tokens_out),
        (Some(1114), Some(40))
    );
    assert_eq!(progress.cost_micros, Some(12_346));
    assert_eq!(progress.result.as_deref(), Some("All tests pass."));
}

#[test]
fn codex_says_the_same_in_its_own_way() {
    let session: Vec<&str> = include_str!("samples/codex.jsonl").lines().collect();
    let progress = after(ProgressFrom::Json, &session);
    assert_eq!(
        (progress.steps, words(&progress)),
        (5, "The repository has docs.")
    );
    assert_eq!(
        (progress.tokens_in, progress.tokens_out),
        (Some(24_763), Some(122))
    );
    assert_eq!(progress.result.as_deref(), Some("The repository has docs."));
    for failed in [
        r#"{"type":"turn.failed","error":{"message":"quota"}}"#,
        r#"{"type":"error","message":"quota"}"#,
    ] {
        assert_eq!(words(&after(ProgressFrom::Json, &[failed])), "quota");
    }
}

#[test]
fn any_program_may_say_it_in_plain_keys() {
    let progress = after(
        ProgressFrom::Json,
        &[
            r#"{"progress":0.5,"message":"halfway","tokens_in":10,"tokens_out":2,"cost_usd":1}"#,
            r#"{"tokens_in":12,"result":"42"}"#,
            r#"{"progress":"epoch 3"}"#,
        ],
    );
    assert_eq!((progress.steps, words(&progress)), (3, "epoch 3"));
    assert_eq!(
        (progress.tokens_in, progress.tokens_out),
        (Some(12), Some(2))
    );
    assert_eq!(progress.cost_micros, Some(1_000_000));
    assert_eq!(progress.result.as_deref(), Some("42"));
    let halfway = after(ProgressFrom::Json, &[r#"{"progress":0.5,"text":"x"}"#]);
    assert_eq!(words(&halfway), "0.5: x");
}

#[test]
fn what_is_no_object_is_no_progress_and_wrong_numbers_are_left_out() {
    for line in [
        "",
        "null",
        "[1]",
        "7",
        "text",
        "{",
        "{\"a\":",
        "{\"a\":1}}",
        "\"{}\"",
    ] {
        let progress = after(ProgressFrom::Json, &[line]);
        assert_eq!(progress, TaskProgress::default(), "{line}");
    }
    for line in [
        r#"{"cost_usd":-1,"tokens_in":-5,"tokens_out":1.5}"#,
        r#"{"cost_usd":1e300,"tokens_in":18446744073709551615}"#,
        r#"{"type":"assistant","message":7}"#,
        r#"{"type":"assistant","message":{"id":7,"content":{"a":1},"usage":"x"}}"#,
        r#"{"type":"result","usage":[],"total_cost_usd":"x","result":{}}"#,
        r#"{"type":"item.completed"}"#,
        r#"{"type":["assistant"]}"#,
    ] {
        let progress = after(ProgressFrom::Json, &[line]);
        let expected = TaskProgress {
            steps: 1,
            at_ms: progress.at_ms,
            ..TaskProgress::default()
        };
        assert_eq!(progress, expected, "{line}");
    }
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(50_000), "]".repeat(50_000));
    assert_eq!(after(ProgressFrom::Json, &[&deep]).steps, 0);
}

#[test]
fn a_message_counts_once_and_messages_are_added_up_without_end() {
    let line = |id: usize| {
        format!(
            r#"{{"type":"assistant","message":{{"id":"m{id}","usage":{{"input_tokens":1,"output_tokens":2}}}}}}"#
        )
    };
    let lines: Vec<String> = (0..500).flat_map(|id| [line(id), line(id)]).collect();
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let progress = after(ProgressFrom::Json, &lines);
    assert_eq!(
        (progress.tokens_in, progress.tokens_out),
        (Some(500), Some(1000))
    );
}

struct Log {
    _dir: tempfile::TempDir,
    layout: Layout,
    key: RunKey,
}

impl Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        let key = RunKey {
            unit: "p#1".into(),
            run: "r".into(),
            generation: 1,
        };
        fs::create_dir_all(layout.logs(&key.unit)).unwrap();
        fs::create_dir_all(layout.run(&key.unit, &key.run)).unwrap();
        Self {
            _dir: dir,
            layout,
            key,
        }
    }

    fn append(&self, bytes: &[u8]) {
        let path = self.layout.log(&self.key.unit);
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(bytes).unwrap();
    }

    fn line(&self, tag: &str, text: &[u8]) {
        self.append(format!("{TIME} stdout {tag} ").as_bytes());
        self.append(text);
        self.append(b"\n");
    }

    fn progress(&self, from: ProgressFrom) -> Progress {
        let mark = Mark::now(&self.layout, &self.key.unit);
        Progress::new(&self.layout, &self.key.unit, from, Some(mark), 0)
    }
}

/// The agent daemon before lost what was written after the last look.
#[test]
fn the_tail_of_the_output_is_not_lost() {
    let log = Log::new();
    let mut progress = log.progress(ProgressFrom::Output);
    log.line("F", b"first");
    progress.look().unwrap();
    assert_eq!(progress.news().unwrap().steps, 1);
    assert_eq!(progress.news(), None);
    log.line("F", b"second");
    fs::rename(
        log.layout.log("p#1"),
        log.layout.logs("p#1").join("2026.log"),
    )
    .unwrap();
    log.line("F", b"third");
    log.line("P", b"the very last, with no end");
    let (progress, read) = progress.end(&log.layout, &log.key);
    read.unwrap();
    assert_eq!(
        (progress.steps, words(&progress)),
        (4, "the very last, with no end")
    );
}

/// The agent daemon before tore characters at the borders of its reads.
#[test]
fn a_character_in_two_parts_is_one_character() {
    let log = Log::new();
    let progress = log.progress(ProgressFrom::Json);
    let text = r#"{"text":"größer 🙂"}"#.as_bytes();
    for byte in &text[..text.len() - 1] {
        log.line("P", &[*byte]);
    }
    log.line("F", &text[text.len() - 1..]);
    let (progress, _) = progress.end(&log.layout, &log.key);
    assert_eq!((progress.steps, words(&progress)), (1, "größer 🙂"));
}

#[test]
fn a_line_without_end_is_a_step_and_takes_no_more_memory_than_it_may() {
    let log = Log::new();
    let progress = log.progress(ProgressFrom::Json);
    log.line("P", b"{\"text\":\"");
    for _ in 0..100 {
        log.line("P", &vec![b'x'; 16 << 10]);
    }
    log.line("F", b"\"}");
    log.line("F", br#"{"text":"after it"}"#);
    let (progress, _) = progress.end(&log.layout, &log.key);
    assert_eq!((progress.steps, words(&progress)), (2, "after it"));
}

#[test]
fn leftovers_are_what_the_keeper_counted() {
    let log = Log::new();
    let end = |log: &Log| {
        log.progress(ProgressFrom::Output)
            .end(&log.layout, &log.key)
            .0
    };
    assert_eq!(end(&log).leftovers, None);
    let record = log.layout.run("p#1", "r").join("exit.json");
    fs::write(&record, r#"{"run":"r","unit":"p#1","leftovers":3}"#).unwrap();
    assert_eq!(end(&log).leftovers, Some(3));
}

#[test]
fn only_the_run_itself_counts_when_it_is_read_later() {
    let log = Log::new();
    log.append(b"2026-01-01T00:00:00.1Z stdout F of an earlier try\n");
    log.line("F", b"of this one");
    let record = exit_file::blank(&log.key, eud_core::record::EndReason::Exited, String::new());
    let begun = ExitRecord {
        started_at_ms: 1_780_272_000_000,
        ..record
    };
    let progress = of_ended(&log.layout, &log.key, ProgressFrom::Output, &begun);
    assert_eq!((progress.steps, words(&progress)), (1, "of this one"));
    // A run whose start nobody saw has its time in its name.
    assert_eq!(
        begun_ms("019e8065-1a00-7000-8000-000000000000", 0),
        0x019e_8065_1a00
    );
    assert_eq!(begun_ms("019e8065-1a00-7000-8000-000000000000", 5), 5);
    assert_eq!(begun_ms("r", 0), 0);
}
