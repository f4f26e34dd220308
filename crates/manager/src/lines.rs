//! Lines of a stream, bounded.
//!
//! Purpose: read newline-delimited messages from anybody, without trusting their length.
//! Invariants: at most `limit` bytes of a line are ever held, plus one read; memory grows with what
//! comes, not with the limit, and is given back; a call that is cancelled loses nothing; the last
//! line counts only with its newline.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// How much is asked of the stream at once, in bytes.
const READ_BYTES: usize = 8 << 10;

/// A buffer that grew beyond this for a long line is given back after it, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line without its newline.
    Whole(Vec<u8>),
    /// A line longer than the limit. The stream cannot be read any further.
    TooLong,
    /// The other side is done. Bytes after the last newline, if any.
    End(Vec<u8>),
}

/// Reads lines from a stream.
#[derive(Debug)]
pub struct Lines<R> {
    stream: R,
    buffer: Vec<u8>,
    /// Bytes of `buffer` known to have no newline.
    scanned: usize,
    /// Bytes of `buffer` already handed out.
    taken: usize,
    limit: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Lines of `stream`, none longer than `limit` bytes.
    pub fn new(stream: R, limit: usize) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            scanned: 0,
            taken: 0,
            limit,
        }
    }

    /// The stream. What was read of it and not handed out is lost.
    pub fn into_inner(self) -> R {
        self.stream
    }

    /// The next line. Safe to cancel.
    ///
    /// # Errors
    /// Those of the stream.
    pub async fn next(&mut self) -> io::Result<Line> {
        loop {
            if let Some(line) = self.buffered() {
                return Ok(line);
            }
            if self.buffer.len() - self.taken > self.limit {
                return Ok(Line::TooLong);
            }
            self.buffer.drain(..self.taken);
            self.scanned -= self.taken;
            self.taken = 0;
            if self.buffer.len() < KEPT_BYTES && self.buffer.capacity() > 2 * KEPT_BYTES {
                self.buffer.shrink_to(KEPT_BYTES);
            }
            self.buffer.reserve(READ_BYTES);
            // `read_buf` is safe to cancel: bytes are in the buffer or were not read.
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(Line::End(std::mem::take(&mut self.buffer)));
            }
        }
    }

    fn buffered(&mut self) -> Option<Line> {
        let unseen = self.buffer.get(self.scanned..)?;
        let Some(at) = unseen.iter().position(|byte| *byte == b'\n') else {
            self.scanned = self.buffer.len();
            return None;
        };
        let line = self.buffer[self.taken..self.scanned + at].to_vec();
        self.scanned += at + 1;
        self.taken = self.scanned;
        Some(if line.len() > self.limit {
            Line::TooLong
        } else {
            Line::Whole(line)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(chunks: &[&[u8]], limit: usize) -> Vec<Line> {
        let (mut ours, theirs) = tokio::io::duplex(7);
        let chunks: Vec<Vec<u8>> = chunks.iter().map(|c| c.to_vec()).collect();
        tokio::spawn(async move {
            use tokio::io::AsyncWriteExt;
            for chunk in chunks {
                if ours.write_all(&chunk).await.is_err() {
                    return;
                }
            }
        });
        let mut lines = Lines::new(theirs, limit);
        let mut out = Vec::new();
        loop {
            let line = lines.next().await.unwrap();
            let last = !matches!(line, Line::Whole(_));
            out.push(line);
            if last {
                return out;
            }
        }
    }

    #[tokio::test]
    async fn lines_are_found_however_they_arrive() {
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        let expected = [
            whole("one"),
            whole(""),
            whole("three"),
            Line::End(b"rest".to_vec()),
        ];
        assert_eq!(all(&[b"one\n\nthree\nrest"], 100).await, expected);
        assert_eq!(
            all(&[b"o", b"ne", b"\n\nth", b"ree\nre", b"st"], 100).await,
            expected
        );
    }

    #[tokio::test]
    async fn the_memory_of_a_long_line_is_given_back() {
        use tokio::io::AsyncWriteExt;
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let mut lines = Lines::new(theirs, 8 << 20);
        assert_eq!(lines.buffer.capacity(), 0);
        let writing = tokio::spawn(async move {
            ours.write_all(&vec![b'x'; 4 << 20]).await.unwrap();
            ours.write_all(b"\nshort\n").await.unwrap();
            ours
        });
        let Line::Whole(long) = lines.next().await.unwrap() else {
            panic!("a whole line was sent")
        };
        assert_eq!(long.len(), 4 << 20);
        assert_eq!(lines.next().await.unwrap(), Line::Whole(b"short".to_vec()));
        let mut ours = writing.await.unwrap();
        ours.write_all(b"later\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap(), Line::Whole(b"later".to_vec()));
        assert!(lines.buffer.capacity() <= 2 * KEPT_BYTES);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
        assert_eq!(
            all(&[b"12345\n"], 5).await,
            [Line::Whole(b"12345".to_vec()), Line::End(Vec::new())]
        );
        assert_eq!(all(&[b"123456\n"], 5).await, [Line::TooLong]);
        assert_eq!(all(&[&[b'x'; 5_000]], 100).await, [Line::TooLong]);
    }
}
