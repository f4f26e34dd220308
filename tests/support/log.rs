//! Log files, read as any log collector would.

use std::fs;
use std::path::Path;

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) at: String,
    pub(crate) stream: String,
    pub(crate) text: Vec<u8>,
}

/// Every line of a unit, oldest first, from its folder. Parts of long lines are joined.
#[track_caller]
pub(crate) fn read(unit_folder: &Path) -> Vec<LogLine> {
    let folder = unit_folder.join("log");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "current")
        .collect();
    names.sort();
    names.push("current".to_owned());
    let mut lines: Vec<LogLine> = Vec::new();
    let mut open: [Option<LogLine>; 2] = [None, None];
    for name in names {
        let Ok(bytes) = fs::read(folder.join(&name)) else {
            continue;
        };
        for raw in bytes.split_inclusive(|byte| *byte == b'\n') {
            let raw = raw
                .strip_suffix(b"\n")
                .unwrap_or_else(|| panic!("{name}: half a line"));
            let (line, is_full) = parse(raw);
            let part = &mut open[usize::from(line.stream == "stderr")];
            match part {
                Some(part) => part.text.extend(line.text),
                None => *part = Some(line),
            }
            if is_full {
                lines.extend(part.take());
            }
        }
    }
    lines
}

fn parse(raw: &[u8]) -> (LogLine, bool) {
    let shown = || String::from_utf8_lossy(raw).into_owned();
    let mut words = raw.splitn(4, |byte| *byte == b' ');
    let mut word = || {
        let word = words
            .next()
            .unwrap_or_else(|| panic!("no log line: {}", shown()));
        word.to_vec()
    };
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (at, stream, tag) = (text(word()), text(word()), text(word()));
    assert!(
        matches!(stream.as_str(), "stdout" | "stderr"),
        "{}",
        shown()
    );
    assert!(matches!(tag.as_str(), "F" | "P"), "{}", shown());
    let line = LogLine {
        at,
        stream,
        text: word(),
    };
    (line, tag == "F")
}

/// The same as text, with the stream in front.
pub(crate) fn texts(unit_folder: &Path) -> Vec<String> {
    let text = |line: LogLine| String::from_utf8_lossy(&line.text).into_owned();
    read(unit_folder).into_iter().map(text).collect()
}
