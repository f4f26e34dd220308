//! Finding a place near the end without reading from the beginning.
//!
//! Purpose: the offset of the last N lines, and of the first line since a time.
//! Invariants: an offset is always the start of a line; when in doubt, an earlier one.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::cri;

/// Bytes looked at in one step.
const BLOCK_BYTES: u64 = 64 << 10;

/// Offset at which the last `count` whole lines begin, and how many there really are.
pub(super) fn last_lines(file: &mut File, count: usize) -> io::Result<(u64, usize)> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut found = 0;
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
            start_of_next = offset;
            if is_part(line) {
                continue;
            }
            if found == count {
                // This whole line is not wanted, but the parts after it are.
                let after = offset + length as u64;
                return Ok((after, found));
            }
            found += 1;
        }
        follows = block[..block.len().min(64)].to_vec();
        end = begin;
    }
    Ok((0, found))
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
