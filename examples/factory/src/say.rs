//! What a daemon says: news on standard output, trouble on standard error.
//!
//! Invariants: one call writes whole lines. A reader that has gone away is no reason to die here:
//! the next thing the daemon does will tell.

use std::io::Write as _;

/// Writes a line to standard output.
pub(crate) fn news(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Writes a line to standard error.
pub(crate) fn trouble(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
