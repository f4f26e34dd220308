//! Files of logs: rotated, packed, torn, growing.
//!
//! What is promised: every line once and in order, whether it is read at the end or followed, from
//! the beginning or from near the end; the lines of several units come by time without changing the
//! order within one; what a command wrote, to the byte, is what is read.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use arbitrary::{Result, Unstructured};

use crate::logs::cri::{Joiner, Stream, time_of};
use crate::logs::{Line, Merge, Start, UnitReader, last_lines, units_with_logs};
use crate::scratch;

const STEPS_MAX: usize = 40;
/// Enough for several blocks of a search from the end, and for lines of several parts.
const LOG_BYTES_MAX: usize = 150_000;
/// Longest text of one record, in bytes.
const RECORD_BYTES_MAX: usize = 16_384;

pub(crate) fn run(bytes: &[u8]) {
    let folder = scratch();
    let mut logs = [Log::new(folder.path(), "a"), Log::new(folder.path(), "b")];
    let count = usize::from(bytes.last().unwrap_or(&0) % 8);
    // Input that is used up ends the story, not the test.
    let _ = grow(&mut Unstructured::new(bytes), &mut logs);
    for log in &mut logs {
        log.look();
        log.followed.extend(log.reader.finish());
        let all = log.written();
        assert_eq!(log.followed, all, "as followed");
        assert_eq!(log.read(Start::Oldest), all, "as read at the end");
        near_the_end(log, &all, count);
    }
    merged(&logs);
    assert_eq!(units_with_logs(folder.path()), ["a", "b"]);
}

struct Log {
    folder: PathBuf,
    /// Contents of all files, oldest first. The last one is `current`.
    files: Vec<Vec<u8>>,
    reader: UnitReader,
    followed: Vec<Line>,
}

impl Log {
    fn new(daemons: &Path, unit: &str) -> Self {
        let folder = daemons.join(unit).join("log");
        fs::create_dir_all(&folder).expect("a folder can be made");
        let reader = UnitReader::open(&folder, Start::Oldest).expect("it can be read");
        Self {
            folder,
            files: vec![Vec::new()],
            reader,
            followed: Vec::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.files.iter().map(Vec::len).sum::<usize>() + bytes.len() > LOG_BYTES_MAX {
            return;
        }
        let path = self.folder.join("current");
        let file = File::options().create(true).append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(bytes));
        written.expect("a file can be written");
        self.files.last_mut().unwrap().extend_from_slice(bytes);
    }

    fn rotate(&mut self) {
        let name = format!("{:09}.log", self.files.len());
        if fs::rename(self.folder.join("current"), self.folder.join(name)).is_ok() {
            self.files.push(Vec::new());
        }
    }

    fn pack(&self) {
        for number in 1..self.files.len() {
            let plain = self.folder.join(format!("{number:09}.log"));
            if let Ok(bytes) = fs::read(&plain) {
                let packed = zstd::encode_all(bytes.as_slice(), 1).expect("it can be packed");
                fs::write(plain.with_extension("log.zst"), packed).expect("it can be written");
                fs::remove_file(plain).expect("it can be removed");
            }
        }
    }

    fn look(&mut self) {
        while let Some(line) = self.reader.next_line().expect("it can be read") {
            self.followed.push(line);
        }
    }

    /// The lines that were written: what a file ends with is one, with or without its newline.
    fn written(&self) -> Vec<Line> {
        let mut joiner = Joiner::default();
        let mut lines = Vec::new();
        for file in &self.files {
            let mut rest = file.as_slice();
            while !rest.is_empty() {
                let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                lines.extend(joiner.feed(&rest[..end]));
                rest = rest.get(end + 1..).unwrap_or_default();
            }
        }
        lines.extend(joiner.finish());
        lines
    }

    fn read(&self, start: Start) -> Vec<Line> {
        let mut reader = UnitReader::open(&self.folder, start).expect("it can be read");
        let mut lines = Vec::new();
        while let Some(line) = reader.next_line().expect("it can be read") {
            lines.push(line);
        }
        lines.extend(reader.finish());
        lines
    }
}

fn grow(u: &mut Unstructured<'_>, logs: &mut [Log; 2]) -> Result<()> {
    let mut at_ms: i64 = 1_795_000_000_000;
    for _ in 0..STEPS_MAX {
        let log = &mut logs[usize::from(u.ratio(1, 4)?)];
        match u.int_in_range(0..=9)? {
            0..=3 => {
                // Clocks stand still, go on, and are set back.
                at_ms += i64::from(u.arbitrary::<i16>()?);
                log.write(&record(u, at_ms)?);
            }
            4 => log.write(u.arbitrary()?),
            5 => {
                let wide = u.ratio(1, 8)?;
                let length = u.arbitrary::<u16>()? >> if wide { 0 } else { 6 };
                let length = usize::from(length);
                log.write(&vec![u.arbitrary()?; length]);
            }
            6 => log.rotate(),
            7 => log.pack(),
            _ => log.look(),
        }
    }
    Ok(())
}

fn record(u: &mut Unstructured<'_>, at_ms: i64) -> Result<Vec<u8>> {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap();
    let stream = u.choose(&["stdout", "stderr"])?;
    let tag = u.choose(&["F", "F", "P"])?;
    let mut line = format!("{at:.9} {stream} {tag} ").into_bytes();
    line.extend_from_slice(u.arbitrary()?);
    if u.ratio(7, 8)? {
        line.push(b'\n');
    }
    Ok(line)
}

/// What is read from near the end is what the whole ends with, stream by stream.
fn near_the_end(log: &Log, all: &[Line], count: usize) {
    let some = log.read(Start::Last(count));
    assert!(
        some.len() >= count.min(all.len()),
        "{count} of {}",
        all.len()
    );
    is_end_of(&some, all, log.files.len() == 1);
    // Lines without an end are more than was asked for.
    assert!(last_lines(&log.folder, count).len() <= count + 3);
    if let Some(line) = all.get(count) {
        since(log, all, line.at_ns);
    }
}

/// Older lines may be left out. Whether any other may depends on the clock: where it was set back,
/// no search by time is sure.
fn since(log: &Log, all: &[Line], since_ns: i64) {
    let some = log.read(Start::Since(since_ns));
    let mut rest = all.iter();
    for line in &some {
        let is_it = |whole: &Line| whole.stream == line.stream && whole.text.ends_with(&line.text);
        assert!(rest.any(is_it), "{line:?} is made up or in another place");
    }
    let lines = log
        .files
        .iter()
        .flat_map(|file| file.split(|b| *b == b'\n'));
    if lines.filter_map(time_of).is_sorted() {
        let wanted = all.iter().filter(|line| line.at_ns >= since_ns).count();
        assert!(some.len() >= wanted, "{} of {wanted}", some.len());
    }
}

fn is_end_of(some: &[Line], all: &[Line], wholly: bool) {
    for stream in [Stream::Stdout, Stream::Stderr] {
        let [some, all] = [some, all].map(|lines| -> Vec<&[u8]> {
            let of_stream = lines.iter().filter(|line| line.stream == stream);
            of_stream.map(|line| line.text.as_slice()).collect()
        });
        // A line without an end may have begun before the place where reading did.
        let without_last = &all[..all.len().saturating_sub(1)];
        assert!(
            ends_with(&all, &some, wholly) || ends_with(without_last, &some, wholly),
            "{some:?} is not the end of {all:?}"
        );
    }
}

/// Unless it is to be so wholly, one line may lack its beginning: its first parts may be in an
/// earlier file, or be older than what is asked for.
fn ends_with(all: &[&[u8]], some: &[&[u8]], wholly: bool) -> bool {
    let Some(from) = all.len().checked_sub(some.len()) else {
        return false;
    };
    let pairs = || all[from..].iter().zip(some);
    pairs().all(|(whole, have)| whole.ends_with(have))
        && pairs().filter(|(whole, have)| whole != have).count() <= usize::from(!wholly)
}

fn merged(logs: &[Log; 2]) {
    let mut merge = Merge::default();
    for log in logs {
        merge.add(UnitReader::open(&log.folder, Start::Oldest).expect("it can be read"));
    }
    let mut found = Vec::new();
    merge.refill().expect("it can be read");
    while let Some(line) = merge.next_line().expect("it can be read") {
        found.push(line);
    }
    // Lines without an end come last, whatever their time.
    let [mut a, mut b]: [VecDeque<Line>; 2] = [0, 1].map(|unit| {
        let lines = found.iter().filter(|(of, _)| *of == unit);
        lines.map(|(_, line)| line.clone()).collect()
    });
    for (unit, line) in &found {
        let first = match (a.front(), b.front()) {
            (Some(a), Some(b)) => usize::from(b.at_ns < a.at_ns),
            (a, _) => usize::from(a.is_none()),
        };
        assert_eq!(*unit, first, "not the oldest");
        let next = if first == 0 {
            a.pop_front()
        } else {
            b.pop_front()
        };
        assert_eq!(next.as_ref(), Some(line));
    }
    found.extend(merge.finish());
    for (unit, log) in logs.iter().enumerate() {
        let own = found.iter().filter(|(of, _)| *of == unit);
        let own: Vec<Line> = own.map(|(_, line)| line.clone()).collect();
        assert_eq!(own, log.written(), "as merged");
    }
}

pub(crate) fn round_trip(bytes: &[u8]) {
    let mut u = Unstructured::new(bytes);
    let mut texts = [Vec::new(), Vec::new()];
    let mut pieces: Vec<(bool, Vec<u8>)> = Vec::new();
    let size_max = *u.choose(&[1, 60, 500, 20_000, 1 << 20]).unwrap_or(&500);
    while let Ok(piece) = piece(&mut u)
        && pieces.len() < STEPS_MAX
        && !u.is_empty()
    {
        texts[usize::from(piece.0)].extend_from_slice(&piece.1);
        if texts.iter().any(|text| text.len() > LOG_BYTES_MAX) {
            return;
        }
        pieces.push(piece);
    }
    let newlines = texts
        .iter()
        .flatten()
        .filter(|byte| **byte == b'\n')
        .count();
    // A file for each of very many lines would only make the file system work.
    if size_max < 20_000 && newlines > 30 {
        return;
    }
    let folder = scratch();
    let said: Vec<(bool, &[u8])> = pieces
        .iter()
        .map(|(e, text)| (*e, text.as_slice()))
        .collect();
    eud_keeper::fuzz::write_log(folder.path().to_owned(), size_max, &said).expect("written");
    let mut reader = UnitReader::open(folder.path(), Start::Oldest).expect("it can be read");
    let mut found: [Vec<Vec<u8>>; 2] = [Vec::new(), Vec::new()];
    while let Some(line) = reader.next_line().expect("it can be read") {
        found[usize::from(line.stream == Stream::Stderr)].push(line.text);
    }
    assert!(reader.finish().is_empty(), "every line has an end");
    for (text, found) in texts.iter().zip(found) {
        let mut lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        if lines.last().is_some_and(|last| last.is_empty()) {
            lines.pop();
        }
        assert!(found == lines, "what was read is not what was written");
    }
}

fn piece(u: &mut Unstructured<'_>) -> Result<(bool, Vec<u8>)> {
    let on_stderr = u.arbitrary()?;
    if u.arbitrary()? {
        return Ok((on_stderr, u.arbitrary()?));
    }
    let length = match u.int_in_range(0..=15)? {
        // Where a line becomes two parts, or three.
        0 => RECORD_BYTES_MAX * u.int_in_range(1..=2)? + u.int_in_range(0..=4)? - 2,
        1 => usize::from(u.arbitrary::<u16>()?),
        _ => u.int_in_range(0..=600)?,
    };
    let mut text = vec![u.arbitrary()?; length];
    text.extend_from_slice(u.arbitrary()?);
    Ok((on_stderr, text))
}
