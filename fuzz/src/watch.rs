//! Batches of changed paths, and what is known of watched paths.
//!
//! What is promised: any bytes are records or an error in words; what is read is what was written;
//! a file that was cut off gives what is before the cut, and is the same afterwards however often
//! it is read; no name of a file passes itself off as two.

use eud_manager::Layout;
use eud_manager::fuzz as manager;

use crate::scratch;

/// What the file of known paths is about.
const ABOUT: &str = "[]";

pub(crate) fn run(bytes: &[u8]) {
    let batch = with_head(b"eud-batch 1 3 1 2 /a\0", bytes);
    if let Ok(records) = manager::watch_batch(&batch) {
        let again = with_head(b"eud-batch 1 3 1 2 /a\0", &records);
        assert_eq!(manager::watch_batch(&again).as_ref(), Ok(&records));
    }
    // The head is anybody's too.
    let _ = manager::watch_batch(bytes);
    // Few inputs pay for the files, and those that come of them are others again.
    let sum: usize = bytes.iter().map(|byte| usize::from(*byte)).sum();
    if sum.is_multiple_of(64) {
        known(bytes);
        lists(&batch);
    }
}

fn with_head(head: &[u8], bytes: &[u8]) -> Vec<u8> {
    [head, bytes].concat()
}

fn known(bytes: &[u8]) {
    let dir = scratch();
    let path = dir.path().join("known");
    let whole = with_head(b"eud-known 1 []\0", bytes);
    std::fs::write(&path, &whole).expect("a file can be written");
    let Some(records) = manager::watch_known(&path, ABOUT) else {
        return;
    };
    let left = std::fs::read(&path).expect("it can be read");
    assert!(whole.starts_with(&left));
    assert_eq!(manager::watch_known(&path, ABOUT), Some(records));
    assert_eq!(std::fs::read(&path).expect("it can be read"), left);
    assert_eq!(manager::watch_known(&path, "other"), None);
}

fn lists(batch: &[u8]) {
    let dir = scratch();
    let layout = Layout::new(dir.path().join("state"));
    let Ok((lines, nuls)) = manager::watch_paths(&layout, dir.path(), batch) else {
        panic!("any batch gives lists");
    };
    let mut paths = nuls.split(|byte| *byte == 0);
    let lines = lines
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    for line in lines {
        assert!(paths.any(|path| path == line), "a line is a path");
    }
}
