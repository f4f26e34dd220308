//! Counting what test runners report.
//!
//! Invariants: a runner that fails without saying so in its summary (it did not compile, it
//! crashed) counts as one failure, never as none.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use crate::Failure;

/// Passes and failures.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl Count {
    /// One pass or one failure.
    pub(super) fn of_one<T>(outcome: &Result<T, Failure>) -> Self {
        let passed = u64::from(outcome.is_ok());
        Self {
            passed,
            failed: 1 - passed,
        }
    }

    /// Adds another.
    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    /// Takes a line of output in, if it is a summary of nextest or of libtest.
    fn read(&mut self, line: &str) {
        let is_nextest = line.trim_start().starts_with("Summary [");
        if !is_nextest && !line.starts_with("test result: ") {
            return;
        }
        let mut words = line.split_whitespace().peekable();
        while let Some(word) = words.next() {
            let Some(Ok(number)) = words.peek().map(|_| word.parse::<u64>()) else {
                continue;
            };
            match words.peek().map(|next| next.trim_end_matches([',', ';'])) {
                Some("passed") => self.passed += number,
                Some("failed" | "timed" | "exec") => self.failed += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Runs a test runner, shows its output, and counts what its summaries say.
pub(super) fn run_and_count(command: &mut Command) -> Count {
    let mut count = Count::default();
    let is_success = watch(command, &mut count).unwrap_or_else(|e| {
        crate::cmd::say(&format!(
            "error: cannot run {}: {e}",
            crate::cmd::words(command)
        ));
        false
    });
    if !is_success && count.failed == 0 {
        count.failed = 1;
    }
    count
}

/// nextest reports on standard error, libtest on standard output: both are read, each whole.
fn watch(command: &mut Command, count: &mut Count) -> std::io::Result<bool> {
    command
        .env("NO_COLOR", "1")
        .env("CARGO_TERM_COLOR", "never");
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let reader = std::thread::spawn(move || {
        let mut lines = Vec::new();
        for line in out
            .into_iter()
            .flat_map(|o| BufReader::new(o).lines())
            .map_while(Result::ok)
        {
            crate::cmd::say(&line);
            lines.push(line);
        }
        lines
    });
    for line in err
        .into_iter()
        .flat_map(|e| BufReader::new(e).lines())
        .map_while(Result::ok)
    {
        let _ = writeln!(std::io::stderr(), "{line}");
        count.read(&line);
    }
    for line in reader.join().unwrap_or_default() {
        count.read(&line);
    }
    Ok(child.wait()?.success())
}

#[cfg(test)]
mod tests {
    use super::Count;

    fn read(line: &str) -> (u64, u64) {
        let mut count = Count::default();
        count.read(line);
        (count.passed, count.failed)
    }

    #[test]
    fn summaries_of_both_runners_are_understood() {
        let ok = "     Summary [   0.022s] 8 tests run: 8 passed, 0 skipped";
        assert_eq!(read(ok), (8, 0));
        let bad = "     Summary [  1.2s] 9/12 tests run: 6 passed (1 slow), 2 failed, 1 timed out, 3 skipped";
        assert_eq!(read(bad), (6, 3));
        let libtest =
            "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out";
        assert_eq!(read(libtest), (3, 1));
        assert_eq!(
            read("12 passed, 3 failed, says a test's own output"),
            (0, 0)
        );
    }
}
