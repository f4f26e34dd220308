//! One connection to one keeper.
//!
//! Purpose: connect, read what it says, send what is asked.
//! Invariants: a connection counts only after a hello of the very run that is meant; lines are
//! bounded.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::{Instant, timeout, timeout_at};

use crate::exit_file::RunKey;
use crate::layout::{Layout, run_file};
use crate::lines::{Line, Lines};
use crate::wire::{self, Asked, Hello, Said};

/// How long a keeper may take to read one line.
const WRITE_LIMIT: Duration = Duration::from_secs(1);

/// What comes over the connection.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A message.
    Said(Said),
    /// A line that makes no sense, in words.
    Nonsense(String),
    /// The keeper is gone, or the connection is of no more use.
    Lost(String),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct KeeperLine {
    lines: Lines<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl KeeperLine {
    /// The other end of a socket pair that a keeper was started with. Must be called within the
    /// runtime.
    pub(crate) fn of_spawned(stream: StdStream) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let (reader, writer) = UnixStream::from_std(stream)?.into_split();
        Ok(Self {
            lines: Lines::new(reader, wire::LINE_BYTES_MAX),
            writer,
        })
    }

    /// Connects to the keeper of a run and hears its hello.
    ///
    /// # Errors
    /// When nobody listens, nobody answers before the deadline, or the answer is of another run.
    pub(crate) async fn connect(
        layout: &Layout,
        key: &RunKey,
        deadline: Instant,
    ) -> io::Result<(Self, Hello)> {
        let path = layout.run(&key.unit, &key.run).join(run_file::SOCKET);
        let mut line = Self::of_spawned(eud_sys::socket::connect(&path)?)?;
        let heard = timeout_at(deadline, line.hear())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "it does not say hello"))?;
        match heard {
            Heard::Said(Said::Hello(hello)) if hello.run == key.run && hello.unit == key.unit => {
                Ok((line, *hello))
            }
            Heard::Said(Said::Hello(hello)) => Err(io::Error::other(format!(
                "it keeps run {} of {}",
                hello.run, hello.unit
            ))),
            Heard::Said(_) => Err(io::Error::other("it did not begin with a hello")),
            Heard::Nonsense(why) | Heard::Lost(why) => Err(io::Error::other(why)),
        }
    }

    /// The next message. Safe to cancel.
    pub(crate) async fn hear(&mut self) -> Heard {
        match self.lines.next().await {
            Ok(Line::Whole(line)) => match wire::read(&line) {
                Ok(said) => Heard::Said(said),
                Err(why) => Heard::Nonsense(why),
            },
            Ok(Line::TooLong) => Heard::Lost("a line is too long".to_owned()),
            Ok(Line::End(_)) => Heard::Lost("it closed the connection".to_owned()),
            Err(e) => Heard::Lost(e.to_string()),
        }
    }

    /// Sends one line.
    ///
    /// # Errors
    /// When the keeper is gone or does not read.
    pub(crate) async fn ask(&mut self, asked: &Asked) -> io::Result<()> {
        let line = asked.line();
        match timeout(WRITE_LIMIT, self.writer.write_all(line.as_bytes())).await {
            Ok(written) => written,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "it does not read")),
        }
    }
}
