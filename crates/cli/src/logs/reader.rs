//! Reading one unit's log forward, for ever if need be.
//!
//! Purpose: every line from a chosen start through rotated files into the growing one and beyond.
//! Invariants: `current` is opened before the rotated files are listed, and a file is known by its
//! inode, so that a rotation at any moment neither loses nor doubles a line; after a rotation the
//! old file is read to its end before the new one is begun.
//! Deliberately absent: waiting. `None` means nothing for now.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Line;
use super::cri::{Joiner, LINE_BYTES_MAX};
use super::files::{self, CURRENT, Rotated};
use super::tail;

/// Bytes read in one step.
const CHUNK_BYTES: usize = 16 << 10;

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// With the oldest line there is.
    Oldest,
    /// With the first line not older than this, or a few before.
    Since(i64),
    /// With the last so many lines, or a few more.
    Last(usize),
}

/// What is being read.
enum Source {
    /// Nothing yet.
    None,
    /// A rotated file.
    Rotated(Box<dyn Read>),
    /// The growing file.
    Current,
}

/// The growing file, once opened.
#[derive(Debug)]
struct Current {
    file: File,
    inode: u64,
}

/// Reads one unit's log.
pub(crate) struct UnitReader {
    folder: PathBuf,
    todo: VecDeque<Rotated>,
    /// Stems of rotated files that are older than `current`.
    known: BTreeSet<String>,
    current: Option<Current>,
    source: Source,
    /// `current` is no longer at its path; its rest is being read.
    replaced: bool,
    buffer: Vec<u8>,
    /// Bytes of `buffer` already given out, and already searched for a newline.
    taken: usize,
    searched: usize,
    joiner: Joiner,
}

impl UnitReader {
    /// Opens the log in `folder`, which need not exist yet.
    ///
    /// # Errors
    /// When the folder or a file can be seen but not read.
    pub(crate) fn open(folder: &Path, start: Start) -> io::Result<Self> {
        let mut reader = Self {
            folder: folder.to_owned(),
            todo: VecDeque::new(),
            known: BTreeSet::new(),
            current: None,
            source: Source::None,
            replaced: false,
            buffer: Vec::new(),
            taken: 0,
            searched: 0,
            joiner: Joiner::default(),
        };
        reader.current = reader.open_current()?;
        reader.todo = reader.older_than_current()?.into();
        reader.known = reader.todo.iter().map(|f| f.stem.clone()).collect();
        reader.skip_to(start)?;
        Ok(reader)
    }

    /// The next whole line. `None`: there is none now; ask again later.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(crate) fn next_line(&mut self) -> io::Result<Option<Line>> {
        loop {
            while let Some(end) = self.newline() {
                let line = self.joiner.feed(&self.buffer[self.taken..end]);
                self.taken = end + 1;
                self.searched = self.taken;
                if line.is_some() {
                    return Ok(line);
                }
            }
            if self.fill()? {
                continue;
            }
            match self.source {
                Source::Current if !self.replaced => {
                    if !self.current_replaced()? {
                        return Ok(None);
                    }
                    // Something may have been written between the last read and the rotation.
                    self.replaced = true;
                    continue;
                }
                Source::Current => self.after_rotation()?,
                Source::Rotated(_) | Source::None => {}
            }
            // The file is complete, so what has no newline never will have one.
            let torn = self.torn();
            let more = self.advance()?;
            if torn.is_some() || !more {
                return Ok(torn);
            }
        }
    }

    /// What is left of a line whose end was never written. Call it when no more will be read.
    pub(crate) fn finish(&mut self) -> Vec<Line> {
        let torn = self.torn();
        torn.into_iter().chain(self.joiner.finish()).collect()
    }

    fn torn(&mut self) -> Option<Line> {
        let rest = self.buffer.split_off(self.taken);
        self.buffer.clear();
        (self.taken, self.searched) = (0, 0);
        if rest.is_empty() {
            None
        } else {
            self.joiner.feed(&rest)
        }
    }

    /// Position of the next newline in the buffer, or of a cut in a line without end.
    fn newline(&mut self) -> Option<usize> {
        let found = self.buffer[self.searched..]
            .iter()
            .position(|b| *b == b'\n');
        match found {
            Some(at) => Some(self.searched + at),
            None => {
                self.searched = self.buffer.len();
                None
            }
        }
    }

    /// Reads more. False at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        if self.taken > 0 {
            self.buffer.drain(..self.taken);
            self.searched -= self.taken;
            self.taken = 0;
        }
        if self.buffer.len() >= LINE_BYTES_MAX {
            self.buffer.push(b'\n');
            return Ok(true);
        }
        let before = self.buffer.len();
        self.buffer.resize(before + CHUNK_BYTES, 0);
        let room = &mut self.buffer[before..];
        let read = match (&mut self.source, &mut self.current) {
            (Source::Rotated(reader), _) => reader.read(room),
            (Source::Current, Some(current)) => current.file.read(room),
            _ => Ok(0),
        };
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        read.map(|n| n > 0)
    }

    /// Goes on to the next file. False when there is none.
    fn advance(&mut self) -> io::Result<bool> {
        self.source = Source::None;
        while let Some(next) = self.todo.pop_front() {
            if let Some(reader) = next.open()? {
                self.source = Source::Rotated(reader);
                return Ok(true);
            }
        }
        if self.current.is_none() {
            self.current = self.open_current()?;
            // Files may have come while there was no current one; there may be none yet: a keeper
            // begins it with the next line.
            let older = self.older_than_current()?;
            self.todo = older
                .into_iter()
                .filter(|f| !self.known.contains(&f.stem))
                .collect();
            self.known.extend(self.todo.iter().map(|f| f.stem.clone()));
            if !self.todo.is_empty() {
                return self.advance();
            }
        }
        if self.current.is_some() {
            self.source = Source::Current;
            return Ok(true);
        }
        Ok(false)
    }

    fn open_current(&self) -> io::Result<Option<Current>> {
        match File::open(self.folder.join(CURRENT)) {
            Ok(file) => {
                let inode = file.metadata()?.ino();
                Ok(Some(Current { file, inode }))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Rotated files, without `current` itself, should it have been rotated since it was opened.
    fn older_than_current(&self) -> io::Result<Vec<Rotated>> {
        let mut files = files::rotated(&self.folder)?;
        let current = self.current.as_ref().map(|c| c.inode);
        if let Some(at) = files.iter().position(|f| Some(f.inode) == current) {
            files.truncate(at);
        }
        Ok(files)
    }

    fn current_replaced(&self) -> io::Result<bool> {
        let Some(current) = &self.current else {
            return Ok(false);
        };
        match fs::metadata(self.folder.join(CURRENT)) {
            Ok(meta) => Ok(meta.ino() != current.inode),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(true),
            Err(e) => Err(e),
        }
    }

    /// `current` was read to its end after it had been replaced: line up what was written since.
    fn after_rotation(&mut self) -> io::Result<()> {
        let finished = self.current.take().map(|c| c.inode);
        self.replaced = false;
        self.current = self.open_current()?;
        let mut new: Vec<Rotated> = self.older_than_current()?;
        new.retain(|f| !self.known.contains(&f.stem));
        self.known.extend(new.iter().map(|f| f.stem.clone()));
        let own = new.iter().position(|f| Some(f.inode) == finished);
        // Compression gives it another inode; rotation keeps the order, so it is the first.
        let own = own.or_else(|| new.first().filter(|f| f.packed).map(|_| 0));
        self.todo = new.split_off(own.map_or(0, |at| at + 1)).into();
        Ok(())
    }

    fn skip_to(&mut self, start: Start) -> io::Result<()> {
        match start {
            Start::Oldest => {}
            Start::Since(since_ns) => {
                let since_s = since_ns.div_euclid(1_000_000_000);
                self.todo.retain(|f| f.modified_s >= since_s);
                if let Some(current) = &mut self.current {
                    let offset = tail::since(&mut current.file, since_ns)?;
                    current.file.seek(SeekFrom::Start(offset))?;
                    if offset > 0 {
                        // It begins before that time, so what is older does too. Where a clock was
                        // set back it may not; but half a line must not meet another half.
                        self.todo.clear();
                    }
                }
            }
            Start::Last(count) => self.skip_to_last(count)?,
        }
        self.advance().map(|_| ())
    }

    fn skip_to_last(&mut self, count: usize) -> io::Result<()> {
        let mut missing = count;
        if let Some(current) = &mut self.current {
            let (offset, found) = tail::last_lines(&mut current.file, count)?;
            current.file.seek(SeekFrom::Start(offset))?;
            missing -= found;
        }
        let mut keep = 0;
        for file in self.todo.iter().rev() {
            if missing == 0 {
                break;
            }
            keep += 1;
            let Some(reader) = file.open()? else { continue };
            missing = missing.saturating_sub(count_lines(reader)?);
        }
        self.todo.drain(..self.todo.len() - keep);
        Ok(())
    }
}

/// Whole lines of a file, so that long ones count once.
fn count_lines(reader: Box<dyn Read>) -> io::Result<usize> {
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    let (mut line, mut lines) = (Vec::new(), 0);
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(lines);
        }
        lines += usize::from(!tail::is_part(&line));
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn record(n: usize) -> String {
        let at = jiff::Timestamp::from_second(1_795_000_000 + n as i64).unwrap();
        format!("{at} stdout F line {n}\n")
    }

    /// A log folder and the number of lines ever written to it.
    struct Log {
        folder: tempfile::TempDir,
        written: usize,
    }

    impl Log {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
                written: 0,
            }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&mut self, count: usize) {
            let mut file = File::options()
                .create(true)
                .append(true)
                .open(self.path(CURRENT))
                .unwrap();
            for _ in 0..count {
                file.write_all(record(self.written).as_bytes()).unwrap();
                self.written += 1;
            }
        }

        fn rotate(&self) {
            fs::rename(
                self.path(CURRENT),
                self.path(&format!("{:09}.log", self.written)),
            )
            .unwrap();
        }

        fn pack(&self) {
            for file in files::rotated(self.folder.path()).unwrap() {
                if !file.packed {
                    let packed = zstd::encode_all(File::open(&file.path).unwrap(), 1).unwrap();
                    fs::write(file.path.with_extension("log.zst"), packed).unwrap();
                    fs::remove_file(file.path).unwrap();
                }
            }
        }

        fn reader(&self, start: Start) -> UnitReader {
            UnitReader::open(self.folder.path(), start).unwrap()
        }
    }

    /// Numbers of the lines that come now.
    fn numbers(reader: &mut UnitReader) -> Vec<usize> {
        let lines = std::iter::from_fn(|| reader.next_line().unwrap());
        let text = lines.map(|line| String::from_utf8(line.text).unwrap());
        text.map(|t| t.strip_prefix("line ").unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn rotated_and_packed_files_are_read_in_order() {
        let mut log = Log::new();
        log.write(10);
        log.rotate();
        log.write(10);
        log.rotate();
        log.pack();
        log.write(10);
        log.rotate();
        log.write(5);
        fs::write(log.path("000000010.log.zst.tmp"), "half").unwrap();
        assert_eq!(
            numbers(&mut log.reader(Start::Oldest)),
            (0..35).collect::<Vec<_>>()
        );
        for last in [0, 3, 5, 6, 30, 99] {
            let numbers = numbers(&mut log.reader(Start::Last(last)));
            assert!(numbers.len() >= last.min(35), "{last}: {numbers:?}");
            assert_eq!(numbers, (35 - numbers.len()..35).collect::<Vec<_>>());
        }
    }

    #[test]
    fn following_loses_and_doubles_nothing_across_rotations() {
        let mut log = Log::new();
        let mut reader = log.reader(Start::Oldest);
        let mut seen = numbers(&mut reader);
        // Between two looks: nothing, lines, a rotation, several, with packing, and no current
        // file.
        for step in 0..60 {
            match step % 6 {
                0 => log.write(3),
                1 => {
                    log.write(2);
                    log.rotate();
                    log.write(2);
                }
                2 => {
                    for _ in 0..3 {
                        log.write(2);
                        log.rotate();
                    }
                    log.write(1);
                }
                3 => {
                    log.write(1);
                    log.rotate();
                    log.pack();
                    log.write(1);
                }
                4 => {
                    log.write(1);
                    log.rotate();
                }
                _ => {}
            }
            seen.extend(numbers(&mut reader));
            assert_eq!(seen, (0..log.written).collect::<Vec<_>>(), "step {step}");
        }
    }

    #[test]
    fn a_rotation_between_reading_and_looking_costs_nothing() {
        let mut log = Log::new();
        log.write(3);
        let mut reader = log.reader(Start::Last(0));
        assert!(numbers(&mut reader).len() <= 3);
        // Written to the old file after its end was read, then rotated, before the next look.
        log.write(2);
        log.rotate();
        log.write(2);
        assert_eq!(numbers(&mut reader), [3, 4, 5, 6]);
    }

    #[test]
    fn what_was_rotated_before_the_first_look_is_read_although_nothing_follows() {
        let mut log = Log::new();
        let mut reader = log.reader(Start::Oldest);
        for _ in 0..2 {
            log.write(2);
            log.rotate();
            let expected: Vec<_> = (log.written - 2..log.written).collect();
            assert_eq!(numbers(&mut reader), expected);
        }
    }

    #[test]
    fn half_a_line_waits_for_its_other_half_or_for_the_end() {
        let log = Log::new();
        let mut file = File::create(log.path(CURRENT)).unwrap();
        let mut reader = log.reader(Start::Oldest);
        file.write_all(b"2026-11-23T14:02:11Z stdout F he").unwrap();
        assert_eq!(reader.next_line().unwrap(), None);
        file.write_all(b"llo\n2026-11-23T14:02:11Z std").unwrap();
        assert_eq!(reader.next_line().unwrap().unwrap().text, b"hello");
        assert_eq!(reader.next_line().unwrap(), None);
        fs::rename(log.path(CURRENT), log.path("1.log")).unwrap();
        assert_eq!(
            reader.next_line().unwrap().unwrap().text,
            b"2026-11-23T14:02:11Z std"
        );
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let log = Log::new();
        fs::write(log.path(CURRENT), vec![b'x'; 2 * LINE_BYTES_MAX + 10]).unwrap();
        let mut reader = log.reader(Start::Oldest);
        let first = reader.next_line().unwrap().unwrap();
        assert!(first.text.len() < LINE_BYTES_MAX + 2 * CHUNK_BYTES);
    }
}
