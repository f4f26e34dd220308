//! Which power cuts are tried.

use std::path::Path;

use eud_sys::fault::{Disk, Op, Survives};

/// Seeds for each point in time: with many points, with few, and with `EUD_FAULTS=all`.
const SEEDS_OF_MANY: u64 = 1;
const SEEDS_OF_FEW: u64 = 10;
const SEEDS_OF_ALL: u64 = 40;
/// Operations that are many.
const MANY: usize = 500;
/// Of writes in a row, so many at the beginning are tried, and then one in so many.
const ROW_START: usize = 8;
const ROW_STEP: usize = 400;

/// Whether everything is to be tried.
fn is_exhaustive() -> bool {
    std::env::var_os("EUD_FAULTS").is_some_and(|value| value == "all")
}

/// A folder where waiting for the disk costs nothing, where there is one.
pub(crate) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// After how many things that happened, and what survives.
pub(crate) fn all(disk: &Disk) -> Vec<(usize, Survives)> {
    let ops = disk.ops();
    let is_write = |place: usize| matches!(ops.get(place), Some(Op::Write { .. }));
    let mut cuts = Vec::new();
    let mut row = 0;
    for count in 0..=ops.len() {
        row = if is_write(count.wrapping_sub(1)) && is_write(count) {
            row + 1
        } else {
            0
        };
        if !is_exhaustive() && row > ROW_START && row % ROW_STEP != 0 {
            continue;
        }
        cuts.push((count, Survives::Everything));
        cuts.push((count, Survives::Nothing));
        let seeds = match ops.len() {
            _ if is_exhaustive() => 0..SEEDS_OF_ALL,
            MANY.. => 0..SEEDS_OF_MANY,
            _ => 0..SEEDS_OF_FEW,
        };
        cuts.extend(seeds.map(|seed| (count, Survives::Some(seed << 32 | count as u64))));
    }
    cuts
}
