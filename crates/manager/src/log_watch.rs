//! Looking for a line in a daemon's log.
//!
//! Purpose: the `log` readiness probe.
//! Invariants: every line written since the run began is looked at once, in order, across
//! rotations; a line is held only up to [`LINE_BYTES_MAX`].
//! Deliberately absent: waiting. The keeper says when there is more.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use regex::Regex;

use crate::layout::Layout;

/// Longest piece of a line that is matched, in bytes.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Most bytes of one look, so that a daemon that writes without end does not hold its looker for
/// ever.
const LOOK_BYTES_MAX: usize = 4 << 20;

/// Largest compiled pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What a look showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// A line matches.
    Match,
    /// None of those that are there.
    AllSeen,
    /// None so far; there may be more.
    More,
}

/// Where a log ended when a run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    inode: u64,
    bytes: u64,
}

impl Mark {
    /// The end of the unit's log now.
    pub(crate) fn now(layout: &Layout, unit: &str) -> Self {
        fs::metadata(layout.log(unit)).map_or(Self { inode: 0, bytes: 0 }, |meta| Self {
            inode: meta.ino(),
            bytes: meta.len(),
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct LogWatch {
    pattern: Regex,
    folder: PathBuf,
    /// Lines with an earlier time are of an earlier run. RFC 3339 in UTC sorts as text.
    not_before: String,
    mark: Option<Mark>,
    open: Option<Open>,
    /// Files read to their end.
    done: Vec<u64>,
    /// Pieces of a line of each stream of which the end is not there yet.
    partial: [String; 2],
}

#[derive(Debug)]
struct Open {
    inode: u64,
    reader: BufReader<File>,
    /// Bytes after the last newline.
    tail: Vec<u8>,
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
        let not_before = if mark.is_some() {
            String::new()
        } else {
            crate::clock::rfc3339(since_ms)
        };
        Ok(Self {
            pattern,
            folder: layout.logs(unit),
            not_before: not_before.trim_end_matches('Z').to_owned(),
            mark,
            open: None,
            done: Vec::new(),
            partial: Default::default(),
        })
    }

    /// Looks at what is new, at most [`LOOK_BYTES_MAX`] of it.
    ///
    /// # Errors
    /// When the log cannot be read; it may be tried again.
    pub(crate) fn look(&mut self) -> io::Result<Looked> {
        let mut left = LOOK_BYTES_MAX;
        loop {
            if let Some(open) = &mut self.open {
                let (inode, current) = (open.inode, inode_of(&self.folder.join("current")));
                match self.read_open(&mut left)? {
                    Looked::AllSeen => {}
                    other => return Ok(other),
                }
                if current == Some(inode) {
                    return Ok(Looked::AllSeen);
                }
                // It was renamed before the last read, so nothing more will be written to it.
                self.done.push(inode);
                self.open = None;
            }
            match self.next_file()? {
                Some(open) => self.open = Some(open),
                None => return Ok(Looked::AllSeen),
            }
        }
    }

    /// The oldest file that is not read yet and may hold lines of this run.
    fn next_file(&self) -> io::Result<Option<Open>> {
        let mut files = Vec::new();
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let is_current = name == "current";
            let plain = is_current || name.to_string_lossy().ends_with(".log");
            let Ok(meta) = entry.metadata() else { continue };
            if plain && !self.done.contains(&meta.ino()) && self.may_hold(&meta) {
                // Rotated files are named by their time; the current one is the newest.
                files.push((is_current, name, entry.path()));
            }
        }
        files.sort();
        let Some((_, _, path)) = files.into_iter().next() else {
            return Ok(None);
        };
        let mut file = File::open(path)?;
        let inode = file.metadata()?.ino();
        if let Some(mark) = self.mark.filter(|mark| mark.inode == inode) {
            file.seek(SeekFrom::Start(mark.bytes))?;
        }
        Ok(Some(Open {
            inode,
            reader: BufReader::new(file),
            tail: Vec::new(),
        }))
    }

    /// Files last written before the run began are not its.
    fn may_hold(&self, meta: &fs::Metadata) -> bool {
        match self.mark {
            // Whatever is newer than the file that was current when the run began, or that file
            // itself.
            Some(mark) if mark.inode != 0 => {
                meta.ino() == mark.inode || self.done.contains(&mark.inode)
            }
            Some(_) => true,
            None => {
                let changed = crate::clock::rfc3339(meta.mtime() * 1_000 + 999);
                changed.trim_end_matches('Z') >= self.not_before.as_str()
            }
        }
    }

    fn read_open(&mut self, left: &mut usize) -> io::Result<Looked> {
        loop {
            let Some(open) = &mut self.open else {
                return Ok(Looked::AllSeen);
            };
            let room = LINE_BYTES_MAX.saturating_sub(open.tail.len());
            let mut limited = io::Read::take(&mut open.reader, room as u64 + 1);
            let read = limited.read_until(b'\n', &mut open.tail)?;
            let whole = open.tail.last() == Some(&b'\n');
            if read == 0 || (!whole && open.tail.len() <= LINE_BYTES_MAX) {
                return Ok(Looked::AllSeen);
            }
            let line = std::mem::take(&mut open.tail);
            if self.matches(&line) {
                return Ok(Looked::Match);
            }
            *left = left.saturating_sub(read);
            if *left == 0 {
                return Ok(Looked::More);
            }
        }
    }

    /// One line of the log: `<time> stdout|stderr F|P <text>`.
    fn matches(&mut self, line: &[u8]) -> bool {
        let line = String::from_utf8_lossy(line);
        let mut fields = line.trim_end_matches('\n').splitn(4, ' ');
        let (Some(time), Some(stream), Some(tag)) = (fields.next(), fields.next(), fields.next())
        else {
            return false;
        };
        if time.trim_end_matches('Z') < self.not_before.as_str() {
            return false;
        }
        let text = fields.next().unwrap_or_default();
        // One stream may write between two parts of a line of the other.
        let partial = &mut self.partial[usize::from(stream == "stderr")];
        if tag != "P" && partial.is_empty() {
            return self.pattern.is_match(text);
        }
        if partial.len() < LINE_BYTES_MAX {
            partial.push_str(text);
        }
        if tag == "P" {
            return false;
        }
        let whole = std::mem::take(partial);
        self.pattern.is_match(&whole)
    }
}

fn inode_of(path: &std::path::Path) -> Option<u64> {
    fs::metadata(path).ok().map(|meta| meta.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

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
        assert_eq!(watch.look().unwrap(), Looked::Match);
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
        assert_eq!(watch.look().unwrap(), Looked::Match);
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
        assert_eq!(watch.look().unwrap(), Looked::Match);
    }

    #[test]
    fn a_line_in_parts_is_not_mixed_with_the_other_stream() {
        let log = Log::new();
        let mut watch = log.watch(Some(Mark::now(&log.layout, "a")), 0);
        log.append("2026-06-01T00:00:00.000000001Z stdout P a very long line\n");
        log.append(HIT);
        assert_eq!(watch.look().unwrap(), Looked::Match);
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
        assert_eq!(watch.look().unwrap(), Looked::Match);
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
        assert_eq!(watch.look().unwrap(), Looked::Match);
    }
}
