//! The pattern of a log probe, and the log it looks at.
//!
//! What is promised: any pattern is used or refused; it matches when, and only when, a line of the
//! output does, whichever way the line was written and whatever the other stream wrote meanwhile.

use std::fs;

use arbitrary::{Result, Unstructured};
use eud_manager::{Layout, fuzz as manager};

use crate::logs::cri::Joiner;
use crate::scratch;

const RECORDS_MAX: usize = 30;
const PATTERN_BYTES_MAX: usize = 1 << 20;

pub(crate) fn run(bytes: &[u8]) {
    let Some(newline) = bytes.iter().position(|byte| *byte == b'\n') else {
        return;
    };
    let (pattern, rest) = bytes.split_at(newline.min(40));
    let pattern = String::from_utf8_lossy(pattern);
    let regex = regex::RegexBuilder::new(&pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .build();
    let mut files = [Vec::new(), Vec::new()];
    // Input that is used up ends the log.
    let _ = write(&mut Unstructured::new(rest), &mut files);
    let folder = scratch();
    let layout = Layout::new(folder.path());
    fs::create_dir_all(layout.logs("a")).expect("a folder can be made");
    for (name, file) in ["1.log", "current"].into_iter().zip(&files) {
        fs::write(layout.logs("a").join(name), file).expect("a file can be written");
    }
    let found = manager::log_matches(&layout, "a", &pattern);
    let Ok(regex) = regex else {
        assert!(found.is_err(), "{pattern:?} cannot be used and is");
        return;
    };
    let mut joiner = Joiner::default();
    let all = files.concat();
    let lines = all
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    let expected = lines
        .filter_map(|line| joiner.feed(line))
        .any(|line| regex.is_match(&String::from_utf8_lossy(&line.text)));
    assert_eq!(found.expect("it can be read"), expected, "{pattern:?}");
}

fn write(u: &mut Unstructured<'_>, files: &mut [Vec<u8>; 2]) -> Result<()> {
    for _ in 0..RECORDS_MAX {
        let file = &mut files[usize::from(u.arbitrary::<bool>()?)];
        let stream = u.choose(&["stdout", "stderr"])?;
        let tag = u.choose(&["F", "P"])?;
        let text: &str = u.arbitrary()?;
        let text = text.replace('\n', " ");
        let line = format!("2026-11-23T14:02:11.000000001Z {stream} {tag} {text}\n");
        file.extend_from_slice(line.as_bytes());
    }
    Ok(())
}
