//! From the command's output to lines in a file.
//!
//! Purpose: reads what the command writes, makes lines of it, stamps them, writes them, rotates the
//! file. Form: that of the Kubernetes CRI, one record per line: `<RFC 3339 time> <stream> <F|P>
//! <text>`. A line of more than [`LINE_MAX`] bytes comes in parts, all but the last marked `P`.
//! Invariants: every byte the command wrote is in the log once, in the order of its stream; a line
//! of one stream is never broken by the other; bytes are copied as they are, so a character cut in
//! two by a read is whole again; when the file cannot be written, nothing more is read until it
//! can, so nothing is lost and nothing grows. Memory is used only while there is output, and handed
//! back a second after.
//! Deliberately absent: compression (the manager does that to rotated files), levels, parsing,
//! fsync.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;

use eud_sys::clock;
use eud_sys::fd::{each_name, read_now};
use eud_sys::memory::{Region, find_byte};

use crate::stamp::{self, Stamper};

/// Longest text of one record, in bytes.
pub(crate) const LINE_MAX: usize = 16 * 1024;
/// Most bytes taken by one read: what a pipe holds.
const INPUT_BYTES: usize = 64 * 1024;
/// Most bytes of formatted records held before they are written.
const OUTPUT_BYTES: usize = 128 * 1024;
/// A stamp, `" stdout F "`.
const PREFIX_BYTES: usize = stamp::LEN + 10;
const RETRY_FIRST_MS: u64 = 10;
const RETRY_MAX_MS: u64 = 1_000;
/// How long after the last output memory is handed back.
const REST_MS: u64 = 1_000;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Got {
    /// This many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// Nothing ever again.
    End,
}

/// What happened that others may want to know.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// A line was written.
    pub(crate) written: bool,
    /// Names of files that were rotated out.
    pub(crate) rotated: Vec<String>,
    /// The log became blocked (why) or unblocked (`None`).
    pub(crate) blocked: Option<Option<String>>,
}

/// Bytes that were read and not yet made into records.
#[derive(Debug)]
struct Pending {
    stream: Stream,
    at: usize,
    end: usize,
}

/// The log of one run.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    size_max: u64,
    keep: usize,
    file: Option<File>,
    size: u64,
    input: Region,
    pending: Option<Pending>,
    prefix: [u8; PREFIX_BYTES],
    stamper: Stamper,
    output: Region,
    unwritten: std::ops::Range<usize>,
    partial: [Partial; 2],
    rotation_due: bool,
    blocked: Option<String>,
    retry: Option<Retry>,
    rest: Rest,
    news: News,
}

/// The beginning of a line whose end has not come.
#[derive(Debug)]
struct Partial {
    bytes: Region,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    at_ms: u64,
    pause_ms: u64,
}

/// When memory is handed back.
#[derive(Debug, Clone, Copy)]
enum Rest {
    /// Hardly any is in use.
    Resting,
    /// At this time, if nothing more is read before.
    At { ms: u64, busy_since: bool },
}

impl Log {
    /// A log in `folder`, which is created with the file at the first line.
    pub(crate) fn new(folder: PathBuf, size_max: u64, keep: u32) -> io::Result<Self> {
        let partial = || {
            io::Result::Ok(Partial {
                bytes: Region::new(LINE_MAX)?,
                len: 0,
            })
        };
        Ok(Self {
            folder,
            size_max: size_max.max(1),
            keep: usize::try_from(keep).unwrap_or(usize::MAX),
            file: None,
            size: 0,
            input: Region::new(INPUT_BYTES)?,
            pending: None,
            prefix: [b' '; PREFIX_BYTES],
            stamper: Stamper::new(),
            output: Region::new(OUTPUT_BYTES)?,
            unwritten: 0..0,
            partial: [partial()?, partial()?],
            rotation_due: false,
            blocked: None,
            retry: None,
            rest: Rest::Resting,
            news: News::default(),
        })
    }

    /// Why it cannot be written, if so. Nothing may be read then.
    pub(crate) fn blocked(&self) -> Option<&str> {
        self.blocked.as_deref()
    }

    /// What happened since the last call.
    pub(crate) fn take_news(&mut self) -> News {
        std::mem::take(&mut self.news)
    }

    /// Reads once and writes what can be written. Must not be called while blocked.
    pub(crate) fn read_from(
        &mut self,
        fd: BorrowedFd<'_>,
        stream: Stream,
        now_ms: u64,
    ) -> io::Result<Got> {
        debug_assert!(self.pending.is_none() && self.blocked.is_none());
        let count = match read_now(fd, &mut self.input)? {
            None => return Ok(Got::Nothing),
            Some(0) => return Ok(Got::End),
            Some(count) => count,
        };
        if count > Region::PAGE {
            self.rest = match self.rest {
                Rest::Resting => Rest::At {
                    ms: now_ms.saturating_add(REST_MS),
                    busy_since: false,
                },
                Rest::At { ms, .. } => Rest::At {
                    ms,
                    busy_since: true,
                },
            };
        }
        self.set_prefix(stream);
        self.pending = Some(Pending {
            stream,
            at: 0,
            end: count,
        });
        self.advance(now_ms);
        Ok(Got::Bytes(count))
    }

    /// The stream has ended: a line without an end is a line now. Must not be called while blocked;
    /// when the log is not clear afterwards, it is to be called again later.
    pub(crate) fn end(&mut self, stream: Stream, now_ms: u64) {
        debug_assert!(self.pending.is_none() && self.blocked.is_none());
        self.set_prefix(stream);
        while self.blocked.is_none() && self.partial_of(stream).len > 0 {
            // What does not fit does after a flush or a rotation, which `advance` does.
            self.push_record(stream, 0..0, b'F');
            self.advance(now_ms);
        }
    }

    /// Whether all that was read is in the file.
    pub(crate) fn is_clear(&self) -> bool {
        self.pending.is_none()
            && self.unwritten.is_empty()
            && self.partial.iter().all(|p| p.len == 0)
    }

    /// Gives up what could not be written. Returns the number of bytes that are lost.
    pub(crate) fn abandon(&mut self) -> usize {
        let pending = self.pending.take().map_or(0, |p| p.end - p.at);
        let partial: usize = self
            .partial
            .iter_mut()
            .map(|p| std::mem::take(&mut p.len))
            .sum();
        let unwritten = std::mem::replace(&mut self.unwritten, 0..0).len();
        self.blocked = None;
        self.retry = None;
        pending + partial + unwritten
    }

    /// When [`Log::due`] will have something to do.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let rest = match self.rest {
            Rest::At { ms, .. } => Some(ms),
            Rest::Resting => None,
        };
        [self.retry.map(|r| r.at_ms), rest]
            .into_iter()
            .flatten()
            .min()
    }

    /// Time has passed: tries again, or hands memory back.
    pub(crate) fn due(&mut self, now_ms: u64) {
        if self.retry.is_some_and(|r| r.at_ms <= now_ms) {
            self.advance(now_ms);
        }
        match self.rest {
            Rest::At {
                ms,
                busy_since: true,
            } if ms <= now_ms => {
                self.rest = Rest::At {
                    ms: now_ms.saturating_add(REST_MS),
                    busy_since: false,
                };
            }
            Rest::At {
                ms,
                busy_since: false,
            } if ms <= now_ms => self.hand_back(now_ms),
            _ => {}
        }
    }

    fn hand_back(&mut self, now_ms: u64) {
        if self.pending.is_some() || !self.unwritten.is_empty() {
            self.rest = Rest::At {
                ms: now_ms.saturating_add(REST_MS),
                busy_since: false,
            };
            return;
        }
        self.input.release();
        self.output.release();
        for partial in self.partial.iter_mut().filter(|p| p.len == 0) {
            partial.bytes.release();
        }
        self.rest = Rest::Resting;
    }

    /// One stamp for all lines of one read: they became known at the same time.
    fn set_prefix(&mut self, stream: Stream) {
        let stamp = self.stamper.stamp(clock::wall_ns());
        let (time, rest) = self.prefix.split_at_mut(stamp::LEN);
        time.copy_from_slice(stamp);
        rest.copy_from_slice(match stream {
            Stream::Stdout => b" stdout F ",
            Stream::Stderr => b" stderr F ",
        });
    }

    fn partial_of(&mut self, stream: Stream) -> &mut Partial {
        match stream {
            Stream::Stdout => &mut self.partial[0],
            Stream::Stderr => &mut self.partial[1],
        }
    }

    /// Makes records and writes them until all is done or the file refuses.
    fn advance(&mut self, now_ms: u64) {
        match self.write_all_there_is() {
            Ok(()) => {
                self.retry = None;
                if self.blocked.take().is_some() {
                    self.news.blocked = Some(None);
                }
            }
            Err(error) => self.block(&error, now_ms),
        }
    }

    fn write_all_there_is(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            // Before the first record is made: the size of what is there decides on rotation.
            self.open()?;
        }
        loop {
            while self.step() {}
            self.flush()?;
            if self.pending.is_none() {
                return Ok(());
            }
        }
    }

    fn block(&mut self, error: &io::Error, now_ms: u64) {
        let pause_ms = self
            .retry
            .map_or(RETRY_FIRST_MS, |r| (r.pause_ms * 2).min(RETRY_MAX_MS));
        self.retry = Some(Retry {
            at_ms: now_ms.saturating_add(pause_ms),
            pause_ms,
        });
        let why = format!("log/current: {error}");
        if self.blocked.as_ref() != Some(&why) {
            self.news.blocked = Some(Some(why.clone()));
            self.blocked = Some(why);
        }
    }

    /// Makes one record of what is pending. False when nothing is, or when there is no room.
    fn step(&mut self) -> bool {
        let Some(Pending { stream, at, end }) = self.pending else {
            return false;
        };
        let room = LINE_MAX - self.partial_of(stream).len;
        // One byte more than fits, so that a line of exactly the longest length is one record.
        let looked_at = self
            .input
            .get(at..end.min(at + room + 1))
            .unwrap_or_default();
        let used = match find_byte(looked_at, b'\n') {
            Some(newline) if !self.push_record(stream, at..at + newline, b'F') => return false,
            Some(newline) => newline + 1,
            None if end - at > room && !self.push_record(stream, at..at + room, b'P') => {
                return false;
            }
            None if end - at > room => room,
            None => {
                self.keep_partial(stream, at..end);
                end - at
            }
        };
        self.pending = (at + used < end).then_some(Pending {
            stream,
            at: at + used,
            end,
        });
        self.pending.is_some()
    }

    fn keep_partial(&mut self, stream: Stream, range: std::ops::Range<usize>) {
        let partial = match stream {
            Stream::Stdout => &mut self.partial[0],
            Stream::Stderr => &mut self.partial[1],
        };
        let len = partial.len + range.len();
        partial.bytes[partial.len..len].copy_from_slice(&self.input[range]);
        partial.len = len;
    }

    /// Appends a record: what is kept of the line, and `range` of the input. False when it must
    /// wait for a flush or a rotation.
    fn push_record(&mut self, stream: Stream, range: std::ops::Range<usize>, tag: u8) -> bool {
        let partial = match stream {
            Stream::Stdout => &mut self.partial[0],
            Stream::Stderr => &mut self.partial[1],
        };
        let record = PREFIX_BYTES + partial.len + range.len() + 1;
        let start = self.unwritten.end;
        let held = self.unwritten.len() as u64 + self.size;
        if held > 0 && held + record as u64 > self.size_max {
            self.rotation_due = true;
            return false;
        }
        let Some(place) = self.output.get_mut(start..start + record) else {
            return false;
        };
        let (prefix, rest) = place.split_at_mut(PREFIX_BYTES);
        prefix.copy_from_slice(&self.prefix);
        prefix[PREFIX_BYTES - 2] = tag;
        let (kept, rest) = rest.split_at_mut(partial.len);
        kept.copy_from_slice(&partial.bytes[..partial.len]);
        let (new, newline) = rest.split_at_mut(range.len());
        new.copy_from_slice(&self.input[range]);
        newline.copy_from_slice(b"\n");
        partial.len = 0;
        self.unwritten.end = start + record;
        true
    }

    /// Writes what is formatted, then rotates if that is due.
    fn flush(&mut self) -> io::Result<()> {
        while !self.unwritten.is_empty() {
            if self.file.is_none() {
                self.open()?;
            }
            let Some(file) = self.file.as_mut() else {
                continue;
            };
            let count = match file.write(&self.output[self.unwritten.clone()]) {
                Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                other => other,
            };
            let count = match count {
                Ok(count) => count,
                Err(error) => {
                    self.take_back_torn_line();
                    return Err(error);
                }
            };
            self.unwritten.start += count;
            self.size += count as u64;
            self.news.written = true;
        }
        self.unwritten = 0..0;
        if self.rotation_due {
            self.rotate()
        } else {
            Ok(())
        }
    }

    /// The disk took a part of a line and no more. That part goes, so that the file holds whole
    /// lines also if this process is killed while it waits for room.
    fn take_back_torn_line(&mut self) {
        let written = &self.output[..self.unwritten.start];
        let whole = written.iter().rposition(|byte| *byte == b'\n');
        let torn = written.len() - whole.map_or(0, |at| at + 1);
        let size = self.size.saturating_sub(torn as u64);
        if let Some(file) = self.file.as_ref().filter(|_| torn > 0)
            && file.set_len(size).is_ok()
        {
            self.unwritten.start -= torn;
            self.size = size;
        }
    }

    fn open(&mut self) -> io::Result<()> {
        let path = self.folder.join("current");
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        let mut file = match options.open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder)?;
                options.open(&path)?
            }
            other => other?,
        };
        self.size = mend(&mut file)?;
        self.file = Some(file);
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let mut wall_ns = clock::wall_ns();
        let mut name = stamp::file_name(wall_ns);
        while self.folder.join(&name).exists() {
            wall_ns += 1;
            name = stamp::file_name(wall_ns);
        }
        match fs::rename(self.folder.join("current"), self.folder.join(&name)) {
            Ok(()) => self.news.rotated.push(name),
            // Somebody took the file away. What they want with it is their business.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.file = None;
        self.size = 0;
        self.rotation_due = false;
        self.remove_old();
        Ok(())
    }

    /// Removes the oldest rotated files. That one cannot be removed is no reason to stop logging.
    #[inline(never)]
    fn remove_old(&self) {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let listed = each_name(&self.folder, |name| {
            if stamp::is_file_name(name) {
                names.push(name.to_vec());
            }
        });
        if listed.is_err() {
            return;
        }
        names.sort_unstable();
        // While the manager compresses a file, it is there twice; that is one file.
        let stem = |name: &[u8]| name.split(|b| *b == b'Z').next().map(<[u8]>::to_vec);
        let mut stems: Vec<_> = names.iter().map(|name| stem(name)).collect();
        stems.dedup();
        let old = stems.len().saturating_sub(self.keep);
        for name in names
            .iter()
            .filter(|name| stems[..old].contains(&stem(name)))
        {
            let _ = fs::remove_file(self.folder.join(OsStr::from_bytes(name)));
        }
    }
}

/// Whoever wrote last may have been torn away in mid-line. A record without any text goes; else
/// that line ends here, and ours begins on its own. Gives the size of the file.
fn mend(file: &mut File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut end = [0; PREFIX_BYTES + 1];
    let begin = size.saturating_sub(end.len() as u64);
    let len = usize::try_from(size - begin).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let end = end.get_mut(..len).unwrap_or_default();
    file.read_exact_at(end, begin)?;
    let whole = match end.iter().rposition(|byte| *byte == b'\n') {
        Some(newline) => begin + newline as u64 + 1,
        None => begin,
    };
    let torn = size - whole;
    if torn == 0 {
        return Ok(size);
    }
    if torn <= PREFIX_BYTES as u64 {
        file.set_len(whole)?;
        return Ok(whole);
    }
    file.write_all(b"\n")?;
    Ok(size + 1)
}

#[cfg(test)]
mod tests;
