//! Removing folders of old runs.
//!
//! Invariant: only folders of runs that have a record are removed, and the newest
//! [`RUN_FOLDERS_KEPT`] of each unit stay. Names are UUIDv7, so their order is that of time.

use std::fs;

use crate::layout::{Layout, run_file};

/// Folders of ended runs kept for each unit.
pub const RUN_FOLDERS_KEPT: usize = 20;

/// Removes what is too old, for one unit. Blocks. Says how many folders it removed.
pub(crate) fn prune(layout: &Layout, unit: &str) -> usize {
    let Ok(entries) = fs::read_dir(layout.runs(unit)) else {
        return 0;
    };
    let mut ended: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join(run_file::EXIT).exists())
        .collect();
    ended.sort();
    let excess = ended.len().saturating_sub(RUN_FOLDERS_KEPT);
    ended
        .iter()
        .take(excess)
        .filter(|path| fs::remove_dir_all(path).is_ok())
        .count()
}

/// For every unit, tasks' too.
pub(crate) fn prune_all(layout: &Layout) -> usize {
    [layout.daemons(), layout.tasks()]
        .into_iter()
        .filter_map(|all| fs::read_dir(all).ok())
        .flatten()
        .flatten()
        .filter_map(|u| u.file_name().into_string().ok())
        .map(|u| prune(layout, &u))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_and_those_without_a_record_stay() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for n in 0..RUN_FOLDERS_KEPT + 7 {
            let run = layout.run("a", &format!("{n:04}"));
            fs::create_dir_all(&run).unwrap();
            if n != 2 {
                fs::write(run.join(run_file::EXIT), "{}").unwrap();
            }
        }
        assert_eq!(prune_all(&layout), 6);
        let mut left: Vec<_> = fs::read_dir(layout.runs("a"))
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left.len(), RUN_FOLDERS_KEPT + 1);
        assert_eq!(&left[..2], ["0002", "0007"]);
    }
}
