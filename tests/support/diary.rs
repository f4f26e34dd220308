//! Diaries, and what they must agree with.
//!
//! Invariant: what a diarist wrote down is taken to be so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::log;
use super::processes::Process;

/// Everything one unit's diarists wrote down.
#[derive(Debug, Default)]
pub(crate) struct Diary {
    pub(crate) starts: Vec<Start>,
    /// Records of a start that found the one before still there.
    pub(crate) overlaps: Vec<String>,
}

/// One start.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) process: Process,
    pub(crate) run: String,
    /// Numbers of lines, and whether they went to standard error.
    pub(crate) lines: Vec<(u64, bool)>,
    /// Its child and grandchild.
    pub(crate) family: Vec<Process>,
    pub(crate) terms: usize,
    pub(crate) code: Option<i64>,
}

impl Diary {
    /// Reads one; empty when there is none.
    #[track_caller]
    pub(crate) fn read(folder: &Path, unit: &str) -> Self {
        let text = fs::read_to_string(folder.join(format!("{unit}.diary"))).unwrap_or_default();
        let mut diary = Self::default();
        for line in text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n'))
        {
            let words: Vec<&str> = line.split(' ').collect();
            diary.note(&words);
        }
        diary
    }

    fn note(&mut self, words: &[&str]) {
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let process = |at: usize| Process {
            pid: words[at].parse().unwrap(),
            born: words[at + 1].parse().unwrap(),
        };
        match words[0] {
            "overlap" => return self.overlaps.push(words.join(" ")),
            "start" => {
                assert_eq!(number(1), self.starts.len() as u64 + 1);
                return self.starts.push(Start {
                    process: process(2),
                    run: words[4].to_owned(),
                    lines: Vec::new(),
                    family: Vec::new(),
                    terms: 0,
                    code: None,
                });
            }
            _ => {}
        }
        let start = self.starts.last_mut().expect("a record before any start");
        match words[0] {
            "line" => start.lines.push((number(1), words[2] == "err")),
            "child" | "grandchild" => start.family.push(process(1)),
            "term" => start.terms += 1,
            "exit" => start.code = Some(words[1].parse().unwrap()),
            other => panic!("what is {other}?"),
        }
    }

    /// The latest start.
    #[track_caller]
    pub(crate) fn last(&self) -> &Start {
        self.starts.last().expect("it has started")
    }

    pub(crate) fn count_lines(&self) -> usize {
        self.starts.iter().map(|start| start.lines.len()).sum()
    }

    /// No two runs at any time.
    #[track_caller]
    pub(crate) fn was_alone(&self) {
        assert_eq!(self.overlaps, Vec::<String>::new());
    }

    /// The log has each line once, in order, and no other. Of a start that was killed, last lines
    /// may be missing: they were written down, and not yet printed or logged. Where its keeper was
    /// killed in the middle of writing, the last one may be a part of a line.
    #[track_caller]
    pub(crate) fn agrees_with_log(&self, unit_folder: &Path) {
        self.log_agrees(unit_folder, |_| false);
    }

    /// The same where keepers were killed too, some between the end of their command and the last
    /// look into its pipe, and disks were full for longer than a stop waits. By the journal, which
    /// must say so of such a run: last lines may be missing although it ended by itself.
    #[track_caller]
    pub(crate) fn agrees_with_disturbed_log(&self, unit_folder: &Path, runs: &[Value]) {
        let is_cut = |start: &Start| {
            let row = runs.iter().find(|row| row["run"] == start.run.as_str());
            let exit = row.map_or(&Value::Null, |row| &row["exit"]);
            let told = exit["message"].as_str().unwrap_or_default();
            exit["reason"] == "keeper-lost" || told.contains("bytes of log were given up")
        };
        self.log_agrees(unit_folder, is_cut);
    }

    #[track_caller]
    fn log_agrees(&self, unit_folder: &Path, may_be_cut: impl Fn(&Start) -> bool) {
        let lines = log::read(unit_folder);
        for (earlier, later) in lines.iter().zip(lines.iter().skip(1)) {
            assert!(
                earlier.at <= later.at,
                "out of order: {earlier:?} {later:?}"
            );
        }
        let unit = unit_folder.file_name().unwrap().to_str().unwrap();
        // All lines of a diarist are padded alike.
        let padding = lines.iter().map(|line| padding(&line.text)).max();
        let padding = "x".repeat(padding.unwrap_or(0));
        for is_stderr in [false, true] {
            let stream = if is_stderr { "stderr" } else { "stdout" };
            let place = format!("{stream} of {}", unit_folder.display());
            let logged = lines.iter().filter(|line| line.stream == stream);
            let mut logged = logged.map(|line| line.text.as_slice()).peekable();
            for (start, number) in self.starts.iter().zip(1..) {
                let written = start.lines.iter().filter(|line| line.1 == is_stderr);
                for (line, _) in written {
                    let whole = format!("{unit} {number} {line} {} {padding}", &stream[3..]);
                    let whole = whole.as_bytes();
                    if logged.next_if_eq(&whole).is_some() {
                        continue;
                    }
                    let found = logged.peek().map(|text| String::from_utf8_lossy(text));
                    assert!(
                        start.code.is_none() || may_be_cut(start),
                        "{place}: {found:?} in the place of line {line} of start {number}, {}",
                        start.run
                    );
                    // Its end went with the keeper.
                    logged.next_if(|text| text.len() < whole.len() && whole.starts_with(text));
                    break;
                }
            }
            let more = logged.next().map(String::from_utf8_lossy);
            assert_eq!(more, None, "{place}: more than was printed");
        }
    }

    /// The journal has each run once, with the code it ended with. A run without a start in the
    /// diary was never started, or was killed before it could write, and has no code.
    #[track_caller]
    pub(crate) fn agrees_with_runs(&self, runs: &[Value]) {
        self.agrees_with(runs, Disturbed::No);
    }

    /// The same where keepers were killed too, and stops and crashes met.
    #[track_caller]
    pub(crate) fn agrees_with_disturbed_runs(&self, runs: &[Value]) {
        self.agrees_with(runs, Disturbed::Yes);
    }

    #[track_caller]
    fn agrees_with(&self, runs: &[Value], disturbed: Disturbed) {
        let mut by_run: BTreeMap<&str, &Value> = BTreeMap::new();
        for row in runs {
            let run = row["run"].as_str().unwrap();
            let is_first = by_run.insert(run, row).is_none();
            assert!(is_first, "two records of one run: {row}");
        }
        for (start, number) in self.starts.iter().zip(1..) {
            let row = by_run.remove(start.run.as_str());
            let row = row.unwrap_or_else(|| panic!("no record of {start:?} in {runs:?}"));
            let is_last = number == self.starts.len();
            start.agrees_with(row, is_last || disturbed == Disturbed::Yes, disturbed);
        }
        for (_, row) in by_run {
            let exit = &row["exit"];
            assert!(
                exit.is_object() && exit["code"].is_null(),
                "a run that left no trace: {row}"
            );
            let is_told = exit["reason"] == "never-started" || exit["signal"].is_i64();
            let is_lost = ["keeper-lost", "spawn-failed"]
                .iter()
                .any(|r| exit["reason"] == *r);
            let is_lost = is_lost && disturbed == Disturbed::Yes;
            assert!(is_told || is_lost, "a run that left no trace: {row}");
        }
    }
}

/// Whether keepers were killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disturbed {
    No,
    Yes,
}

impl Start {
    /// `may_be_asked`: somebody may have asked it to stop without its hearing of it any more.
    #[track_caller]
    fn agrees_with(&self, row: &Value, may_be_asked: bool, disturbed: Disturbed) {
        let exit = &row["exit"];
        assert_eq!(row["pid"], self.process.pid, "{row}");
        if self.process.is_alive() {
            return assert!(exit.is_null(), "it lives: {row}");
        }
        assert!(exit.is_object(), "it is called running: {row}");
        let reason = exit["reason"].as_str().unwrap();
        // A kill may come between its last words and its end.
        let was_killed = reason == "keeper-lost" || exit["signal"] == 9;
        if disturbed == Disturbed::Yes && was_killed {
            return assert!(exit["code"].is_null(), "a code that nobody saw: {row}");
        }
        let Some(code) = self.code else {
            return assert!(exit["code"].is_null(), "a code from nowhere: {row}");
        };
        assert_eq!(exit["code"], code, "{row}");
        // Its family may have had to be killed; and who is asked to stop may crash first.
        let expected: &[&str] = match self.terms {
            0 if may_be_asked => &["exited", "stopped", "stop-killed"],
            0 => &["exited"],
            _ => &["stopped", "stop-killed"],
        };
        assert!(expected.contains(&reason), "{row}");
    }
}

/// So many bytes of padding end a diarist's line.
fn padding(text: &[u8]) -> usize {
    text.iter().rev().take_while(|byte| **byte == b'x').count()
}
