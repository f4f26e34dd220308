//! Finding a place near the end without reading from the beginning.
//!
//! Purpose: the offset of the last N lines, and of the first line since a time.
//! Invariants: an offset is always the start of a line; when in doubt, an earlier one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::cri;

/// Bytes looked at in one step.
const BLOCK_BYTES: u64 = 64 << 10;

/// How far before a line its first parts are looked for, in bytes. Longer lines are given out in
/// pieces anyway.
const PARTS_BYTES_MAX: u64 = cri::LINE_BYTES_MAX as u64;

/// Offset at which the last `count` whole lines begin, and how many there really are. None of them
/// lacks its first parts, as far as those are in the file and within [`PARTS_BYTES_MAX`].
pub(super) fn last_lines(file: &mut File, count: usize) -> io::Result<(u64, usize)> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut search = Search::new(count);
    let mut start_of_next = end;
    let mut block = Vec::new();
    // What comes after the block just read: enough of the line to see whether it is a whole one.
    let mut follows: Vec<u8> = Vec::new();
    while end > 0 {
        let begin = end.saturating_sub(BLOCK_BYTES);
        file.seek(SeekFrom::Start(begin))?;
        block.resize(usize::try_from(end - begin).map_err(io::Error::other)?, 0);
        file.read_exact(&mut block)?;
        let own = block.len();
        block.extend_from_slice(&follows);
        // A line that starts right behind this block is seen here too, by the newline before it.
        let first = usize::from(begin > 0);
        for at in (first..=own).rev() {
            let offset = begin + at as u64;
            let starts_line = at == 0 || block[at - 1] == b'\n';
            if !starts_line || offset >= start_of_next {
                continue;
            }
            let length = usize::try_from(start_of_next - offset).unwrap_or(usize::MAX);
            let line = &block[at..block.len().min(at + length)];
            search.take(line, offset, start_of_next);
            if let Some(start) = search.over(offset) {
                return Ok((start, search.found));
            }
            start_of_next = offset;
        }
        follows = block[..block.len().min(64)].to_vec();
        end = begin;
    }
    Ok((search.start.unwrap_or(0), search.found))
}

/// What is known of a stream, looking backwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// None of its records is wanted.
    Nowhere,
    /// Its first wanted record may go on with a line.
    Unknown,
    /// Its first wanted record begins a line.
    Here,
}

/// The search for the place where the last lines begin, from line to line backwards.
#[derive(Debug)]
struct Search {
    count: usize,
    found: usize,
    /// Where the lines begin that are wanted, once there are enough.
    start: Option<u64>,
    streams: [Begins; 2],
    /// Records before `start` were seen.
    passed: [bool; 2],
}

impl Search {
    fn new(count: usize) -> Self {
        Self {
            count,
            found: 0,
            start: None,
            streams: [Begins::Nowhere; 2],
            passed: [false; 2],
        }
    }

    fn take(&mut self, line: &[u8], offset: u64, after: u64) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let record = cri::parse(line).map(|record| (record.stream as usize, record.partial));
        if self.start.is_none() {
            if is_part(line) || self.found < self.count {
                self.found += usize::from(!is_part(line));
                if let Some((stream, _)) = record {
                    self.streams[stream] = Begins::Unknown;
                }
                return;
            }
            // This whole line is not wanted, but the parts after it are.
            self.start = Some(after);
        }
        let Some((stream, is_partial)) = record else {
            return;
        };
        self.passed[stream] = true;
        if self.streams[stream] != Begins::Unknown {
            return;
        }
        if !is_partial {
            self.streams[stream] = Begins::Here;
            return;
        }
        // It begins a wanted line, so all from here on is wanted.
        self.start = Some(offset);
        for (begins, passed) in self.streams.iter_mut().zip(self.passed) {
            if passed {
                *begins = Begins::Unknown;
            }
        }
    }

    /// Where to begin, when nothing before `offset` can change that.
    fn over(&self, offset: u64) -> Option<u64> {
        let start = self.start?;
        let is_known = !self.streams.contains(&Begins::Unknown);
        (is_known || start - offset > PARTS_BYTES_MAX).then_some(start)
    }
}

/// Whether a line is a part with more to follow.
pub(super) fn is_part(line: &[u8]) -> bool {
    let mut fields = line.splitn(4, |b| *b == b' ');
    fields.nth(2) == Some(b"P")
}

/// Offset of a line start before which every line is older than `since_ns`.
pub(super) fn since(file: &mut File, since_ns: i64) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.seek(SeekFrom::End(0))?);
    let mut block = vec![0; usize::try_from(BLOCK_BYTES).map_err(io::Error::other)?];
    while high - low > BLOCK_BYTES {
        let middle = low + (high - low) / 2;
        file.seek(SeekFrom::Start(middle))?;
        let read = read_up_to(file, &mut block)?;
        let line = block[..read]
            .iter()
            .position(|b| *b == b'\n')
            .map(|at| at + 1);
        let at = line.and_then(|at| Some((at, cri::time_of(&block[at..read])?)));
        match at {
            Some((at, time)) if time < since_ns => low = middle + at as u64,
            // No time to be seen here: only what is before is certain to be searched.
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

fn read_up_to(file: &mut File, block: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < block.len() {
        match file.read(&mut block[read..])? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn rest(file: &mut File, offset: u64) -> String {
        let mut text = String::new();
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn the_last_lines_begin_at_a_line() {
        let mut some = file("a x F 1\nb x F 2\nc x F 3\n");
        let (offset, found) = last_lines(&mut some, 2).unwrap();
        assert_eq!(
            (rest(&mut some, offset).as_str(), found),
            ("b x F 2\nc x F 3\n", 2)
        );
        assert_eq!(last_lines(&mut some, 9).unwrap(), (0, 3));
        assert_eq!(last_lines(&mut file(""), 9).unwrap(), (0, 0));
        let (offset, _) = last_lines(&mut some, 0).unwrap();
        assert_eq!(rest(&mut some, offset), "");
    }

    #[test]
    fn parts_belong_to_the_line_they_begin() {
        let mut some = file("a x F 1\nb x P 2\nb x F 2\nc x F 3\n");
        let (offset, found) = last_lines(&mut some, 2).unwrap();
        assert_eq!(
            (rest(&mut some, offset).as_str(), found),
            ("b x P 2\nb x F 2\nc x F 3\n", 2)
        );
    }

    #[test]
    fn parts_with_another_stream_between_belong_to_their_line() {
        let record = |text: &str| format!("2026-11-23T14:02:11Z {text}\n");
        let texts = [
            "stdout F 1",
            "stderr P a",
            "stdout P x",
            "stderr F b",
            "stdout F y",
        ];
        let mut some = file(&texts.map(record).concat());
        let (offset, found) = last_lines(&mut some, 1).unwrap();
        assert_eq!(found, 1);
        assert_eq!(
            rest(&mut some, offset),
            texts[1..].iter().map(|t| record(t)).collect::<String>()
        );
        let mut plain = file(
            &["stdout F 1", "stderr F a", "stdout F y"]
                .map(record)
                .concat(),
        );
        let (offset, _) = last_lines(&mut plain, 1).unwrap();
        assert_eq!(rest(&mut plain, offset), record("stdout F y"));
    }

    #[test]
    fn many_blocks_are_counted_right() {
        let line = |n: usize| {
            format!(
                "2026-11-23T14:02:11Z stdout F line {n} {}\n",
                "x".repeat(n % 97)
            )
        };
        let text: String = (0..20_000).map(line).collect();
        let mut some = file(&text);
        for count in [1, 7, 3_000, 19_999] {
            let (offset, found) = last_lines(&mut some, count).unwrap();
            let rest = rest(&mut some, offset);
            assert_eq!((rest.lines().count(), found), (count, count));
            assert!(rest.starts_with("2026"));
        }
    }

    #[test]
    fn a_line_that_begins_with_a_block_is_counted() {
        let block = usize::try_from(BLOCK_BYTES).unwrap();
        let text = format!(
            "a x F {}\nb x F {}\n",
            "x".repeat(100),
            "x".repeat(block - 7)
        );
        let mut some = file(&text);
        assert_eq!(last_lines(&mut some, 1).unwrap(), (107, 1));
        assert_eq!(last_lines(&mut some, 5).unwrap(), (0, 2));
    }

    #[test]
    fn nothing_since_a_time_is_skipped() {
        let time = |n: i64| jiff::Timestamp::from_second(1_795_000_000 + n).unwrap();
        let text: String = (0..20_000)
            .map(|n| format!("{} stdout F line {n}\n", time(n)))
            .collect();
        let mut some = file(&text);
        let offset = since(&mut some, (1_795_000_000 + 15_000) * 1_000_000_000).unwrap();
        let rest = rest(&mut some, offset);
        let first = rest.lines().next().unwrap().rsplit(' ').next().unwrap();
        let first: i64 = first.parse().unwrap();
        assert!(first <= 15_000 && first > 12_000, "{first}");
        assert!(rest.starts_with("2026"));
    }
}
