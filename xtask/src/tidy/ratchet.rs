//! Known exceptions, which may only get better.
//!
//! Format: one `PATH LINES` or `PATH::FUNCTION LINES` a line; `#` begins a comment.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Failure;

/// The list, and which of it was used.
#[derive(Default)]
pub(super) struct Ratchet {
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    allowed: usize,
    seen: usize,
}

impl Ratchet {
    /// Reads the list; without a file there are no exceptions.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let mut ratchet = Self::default();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with('#'))
        {
            let entry = line
                .split_once(' ')
                .and_then(|(name, n)| Some((name, n.parse().ok()?)));
            let (name, allowed) =
                entry.ok_or(format!("{}: cannot read `{line}`", path.display()))?;
            ratchet
                .entries
                .insert(name.to_owned(), Entry { allowed, seen: 0 });
        }
        Ok(ratchet)
    }

    /// Whether something this long is a listed exception.
    pub(super) fn allows(&mut self, name: &str, lines: usize) -> bool {
        let Some(entry) = self.entries.get_mut(name) else {
            return false;
        };
        entry.seen = lines;
        lines <= entry.allowed
    }

    /// Entries that no longer say the truth.
    pub(super) fn stale(&self) -> Vec<String> {
        let stale = |(name, entry): (&String, &Entry)| match entry.seen {
            0 => Some(format!(
                "xtask/tidy.ratchet: strike off `{name}`, it fits now"
            )),
            seen if seen < entry.allowed => Some(format!(
                "xtask/tidy.ratchet: `{name}` has only {seen} lines now, say so"
            )),
            _ => None,
        };
        self.entries.iter().filter_map(stale).collect()
    }
}
