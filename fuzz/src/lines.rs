//! Lines of a stream, as the server and the manager read them.
//!
//! What is promised: the same lines however the bytes arrive; none longer than the limit; nothing
//! lost before the first that is too long.

use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use eud_manager::lines::{Line, Lines};
use tokio::io::{AsyncRead, ReadBuf};

/// Bytes that arrive in pieces of these lengths, over and over.
struct Pieces<'a> {
    bytes: &'a [u8],
    lengths: Vec<usize>,
    turn: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let length = self.lengths[self.turn % self.lengths.len()];
        self.turn += 1;
        let length = length.min(self.bytes.len()).min(buffer.remaining());
        let (now, later) = self.bytes.split_at(length);
        buffer.put_slice(now);
        self.bytes = later;
        Poll::Ready(Ok(()))
    }
}

pub(crate) fn run(bytes: &[u8]) {
    let Some(([limit, a, b], bytes)) = bytes.split_first_chunk() else {
        return;
    };
    let limit = usize::from(*limit);
    let expected = by_hand(bytes, limit);
    for lengths in [
        vec![usize::MAX],
        vec![1],
        vec![usize::from(*a) + 1, usize::from(*b) + 1],
    ] {
        let stream = Pieces {
            bytes,
            lengths,
            turn: 0,
        };
        let mut lines = Lines::new(stream, limit);
        let mut found = Vec::new();
        loop {
            let mut context = Context::from_waker(Waker::noop());
            let Poll::Ready(line) = pin!(lines.next()).poll(&mut context) else {
                panic!("it waits for bytes that are there");
            };
            let line = line.expect("the stream has no errors");
            let is_last = !matches!(line, Line::Whole(_));
            found.push(line);
            if is_last {
                break;
            }
        }
        assert_eq!(found, expected);
    }
}

fn by_hand(bytes: &[u8], limit: usize) -> Vec<Line> {
    let mut found = Vec::new();
    let mut rest = bytes;
    loop {
        let newline = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..newline.unwrap_or(rest.len())];
        if line.len() > limit {
            found.push(Line::TooLong);
            return found;
        }
        let Some(newline) = newline else {
            found.push(Line::End(line.to_vec()));
            return found;
        };
        found.push(Line::Whole(line.to_vec()));
        rest = &rest[newline + 1..];
    }
}
