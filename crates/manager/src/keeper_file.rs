//! Who keeps a run: its keeper's identity, noted at launch.
//!
//! Purpose: kill a keeper that holds its lock but answers nobody.
//! Invariant: process id, start time and boot together; a number alone proves nothing.

use std::path::Path;

use eud_sys::process::{self, Identity};

use crate::layout::run_file;

/// Notes it. Without the note a keeper that never answers cannot be killed by us, only by a person.
pub(crate) fn write(run_dir: &Path, pid: u32, boot_id: &str) {
    let Ok(identity) = process::identity(pid) else {
        return;
    };
    let text = format!("{} {} {boot_id}\n", identity.pid, identity.start_ticks);
    let _ = std::fs::write(run_dir.join(run_file::KEEPER), text);
}

/// Reads it; `None` when there is none, or one of another boot.
pub(crate) fn read(run_dir: &Path, boot_id: &str) -> Option<Identity> {
    let text = std::fs::read_to_string(run_dir.join(run_file::KEEPER)).ok()?;
    let mut words = text.split_ascii_whitespace();
    let identity = Identity {
        pid: words.next()?.parse().ok()?,
        start_ticks: words.next()?.parse().ok()?,
    };
    (words.next()? == boot_id).then_some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_note_of_this_boot_counts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path(), "b"), None);
        write(dir.path(), std::process::id(), "b");
        assert_eq!(
            read(dir.path(), "b").unwrap(),
            process::identity(std::process::id()).unwrap()
        );
        assert_eq!(read(dir.path(), "c"), None);
        std::fs::write(dir.path().join("keeper"), "12 b").unwrap();
        assert_eq!(read(dir.path(), "b"), None);
    }
}
