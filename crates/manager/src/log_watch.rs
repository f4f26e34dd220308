//! Looking for a line in a daemon's log.
//!
//! Purpose: the `log` readiness probe.
//! Invariants: every line written since the run began is looked at once, in order; a line is held
//! only up to [`LINE_BYTES_MAX`].
//! Deliberately absent: waiting. The keeper says when there is more.

use std::io;
use std::ops::ControlFlow;

use regex::Regex;

use crate::layout::Layout;
use crate::log_follow::{LogFollow, Looked, Mark};

/// Longest piece of a line that is matched, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct LogWatch {
    pattern: Regex,
    follow: LogFollow,
}

impl LogWatch {
    /// Looks from `mark` on, or, without one, at lines no older than `since_ms`.
    ///
    /// # Errors
    /// In words, when the pattern cannot be used.
    pub(crate) fn new(
        layout: &Layout,
        unit: &str,
        pattern: &str,
        mark: Option<Mark>,
        since_ms: i64,
    ) -> Result<Self, String> {
        let pattern = regex::RegexBuilder::new(pattern)
            .size_limit(PATTERN_BYTES_MAX)
            .build()
            .map_err(|e| format!("the pattern of the log probe cannot be used: {e}"))?;
        Ok(Self {
            pattern,
            follow: LogFollow::new(layout, unit, mark, since_ms, LINE_BYTES_MAX),
        })
    }

    /// Looks at some of what is new; [`Looked::Enough`]: a line matches.
    ///
    /// # Errors
    /// When the log cannot be read; it may be tried again.
    pub(crate) fn look(&mut self) -> io::Result<Looked> {
        let Self { pattern, follow } = self;
        follow.look(&mut |line| {
            if pattern.is_match(&String::from_utf8_lossy(line.text)) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Write;

    use super::*;

    /// Most bytes of one look.
    const LOOK_BYTES_MAX: usize = 4 << 20;

    struct Log {
        _dir: tempfile::TempDir,
        layout: Layout,
    }

    impl Log {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::new(dir.path());
            fs::create_dir_all(layout.logs("a")).unwrap();
            Self { _dir: dir, layout }
        }

        fn append(&self, text: &str) {
            let mut file = File::options()
                .create(true)
                .append(true)
                .open(self.layout.log("a"))
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }

        fn rotate(&self, name: &str) {
            fs::rename(self.layout.log("a"), self.layout.logs("a").join(name)).unwrap();
        }

        fn watch(&self, mark: Option<Mark>, since_ms: i64) -> LogWatch {
            LogWatch::new(&self.layout, "a", "^listening on \\d+$", mark, since_ms).unwrap()
        }
    }

    const OLD: &str = "2026-01-01T00:00:00.000000001Z stdout F listening on 80\n";
    const HIT: &str = "2026-06-01T00:00:00.000000001Z stderr F listening on 80\n";
    const MISS: &str = "2026-06-01T00:00:00.000000001Z stdout F not listening on 80\n";

    #[test]
    fn only_lines_after_the_mark_count() {
        let log = Log::new();
        log.append(OLD);
        let mut watch = log.watch(Some(Mark::now(&log.layout, "a")), 0);
        assert_eq!(watch.look().unwrap(), Looked::AllSeen);
        log.append(MISS);
        assert_eq!(watch.look().unwrap(), Looked::AllSeen);
        log.append(&HIT[..40]);
        assert_eq!(
            watch.look().unwrap(),
            Looked::AllSeen,
            "the line is not whole yet"
        );
        log.append(&HIT[40..]);
        assert_eq!(watch.look().unwrap(), Looked::Enough);
    }

    #[test]
    fn an_adopted_run_is_told_from_an_earlier_one_by_time() {
        let log = Log::new();
        log.append(OLD);
        let since = "2026-03-01T00:00:00Z"
            .parse::<jiff::Timestamp>()
            .unwrap()
            .as_millisecond();
        let mut watch = log.watch(None, since);
        assert_eq!(watch.look().unwrap(), Looked::AllSeen);
        log.append(HIT);
        assert_eq!(watch.look().unwrap(), Looked::Enough);
    }

    #[test]
    fn lines_are_followed_through_rotations() {
        let log = Log::new();
        log.append(MISS);
        let mut watch = log.watch(Some(Mark::now(&log.layout, "a")), 0);
        assert_eq!(watch.look().unwrap(), Looked::AllSeen);
        log.append(MISS);
        log.append("2026-06-01T00:00:00.000000001Z stdout P liste\n");
        log.rotate("2026-06-01T00-00-00.log");
        log.append("2026-06-01T00:00:00.000000001Z stdout F ning on 80\n");
        assert_eq!(watch.look().unwrap(), Looked::Enough);
    }

    #[test]
    fn a_line_in_parts_is_not_mixed_with_the_other_stream() {
        let log = Log::new();
        let mut watch = log.watch(Some(Mark::now(&log.layout, "a")), 0);
        log.append("2026-06-01T00:00:00.000000001Z stdout P a very long line\n");
        log.append(HIT);
        assert_eq!(watch.look().unwrap(), Looked::Enough);
    }

    #[test]
    fn a_missing_log_and_garbage_are_no_match() {
        let log = Log::new();
        let mut watch = log.watch(Some(Mark::now(&log.layout, "a")), 0);
        assert_eq!(watch.look().unwrap(), Looked::AllSeen);
        log.append("\u{0}\u{1}\n\nlistening on 80\n");
        assert_eq!(watch.look().unwrap(), Looked::AllSeen);
        let mut file = File::options()
            .append(true)
            .open(log.layout.log("a"))
            .unwrap();
        file.write_all(&vec![b'x'; 3 * LINE_BYTES_MAX]).unwrap();
        file.write_all(b"\n\xff\xfe\n").unwrap();
        log.append(HIT);
        assert_eq!(watch.look().unwrap(), Looked::Enough);
    }

    #[test]
    fn a_pattern_that_cannot_be_used_is_an_error() {
        let log = Log::new();
        assert!(LogWatch::new(&log.layout, "a", "(", None, 0).is_err());
        assert!(LogWatch::new(&log.layout, "a", "(a{1000}){1000}", None, 0).is_err());
    }

    #[test]
    fn a_look_ends_even_when_there_is_more() {
        let log = Log::new();
        let mut watch = log.watch(Some(Mark::now(&log.layout, "a")), 0);
        log.append(&MISS.repeat(2 * LOOK_BYTES_MAX / MISS.len() + 2));
        log.append(HIT);
        assert_eq!(watch.look().unwrap(), Looked::More);
        assert_eq!(watch.look().unwrap(), Looked::More);
        assert_eq!(watch.look().unwrap(), Looked::Enough);
    }
}
