//! Reading a unit's log while it is written.
//!
//! Purpose: the lines of one run, for whoever looks for something in them.
//! Invariants: every line written since the run began is read once, in order, across rotations; the
//! parts of a long line are put together as bytes, so that no character is torn; a line is held
//! only up to the reader's limit, and what is beyond it is left out.
//! Deliberately absent: waiting. The keeper says when there is more.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::layout::Layout;

/// Longest line of the file, in bytes: a part with its time, stream and tag.
const PART_BYTES_MAX: usize = 64 << 10;

/// Most bytes of one look, so that a daemon that writes without end does not hold its reader for
/// ever.
const LOOK_BYTES_MAX: usize = 4 << 20;

/// What a look showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Looked {
    /// The reader wants no more.
    Enough,
    /// All there is was read.
    AllSeen,
    /// There may be more.
    More,
}

/// One line of a run's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutputLine<'a> {
    /// When its last part was written, RFC 3339.
    pub(crate) time: &'a str,
    /// Without its newline.
    pub(crate) text: &'a [u8],
    /// The beginning of a longer one.
    pub(crate) is_cut: bool,
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
pub(crate) struct LogFollow {
    folder: PathBuf,
    /// Lines with an earlier time are of an earlier run. RFC 3339 in UTC sorts as text.
    not_before: String,
    mark: Option<Mark>,
    open: Option<Open>,
    /// Files read to their end.
    done: Vec<u64>,
    /// Pieces of a line of each stream of which the end is not there yet.
    partial: [Partial; 2],
    line_bytes_max: usize,
}

#[derive(Debug, Default)]
struct Partial {
    text: Vec<u8>,
    is_cut: bool,
}

impl Partial {
    fn push(&mut self, text: &[u8], bytes_max: usize) {
        let room = bytes_max.saturating_sub(self.text.len());
        self.is_cut |= text.len() > room;
        self.text.extend(text.iter().take(room));
    }

    fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.is_cut
    }
}

#[derive(Debug)]
struct Open {
    inode: u64,
    reader: BufReader<File>,
    /// Bytes after the last newline.
    tail: Vec<u8>,
}

impl LogFollow {
    /// Reads from `mark` on, or, without one, lines no older than `since_ms`. Of a line at most
    /// `line_bytes_max` are held.
    pub(crate) fn new(
        layout: &Layout,
        unit: &str,
        mark: Option<Mark>,
        since_ms: i64,
        line_bytes_max: usize,
    ) -> Self {
        let not_before = if mark.is_some() {
            String::new()
        } else {
            crate::clock::rfc3339(since_ms)
        };
        Self {
            folder: layout.logs(unit),
            not_before: not_before.trim_end_matches('Z').to_owned(),
            mark,
            open: None,
            done: Vec::new(),
            partial: Default::default(),
            line_bytes_max,
        }
    }

    /// Reads what is new, at most [`LOOK_BYTES_MAX`] of it.
    ///
    /// # Errors
    /// When the log cannot be read; it may be tried again.
    pub(crate) fn look(
        &mut self,
        on_line: &mut dyn FnMut(OutputLine<'_>) -> ControlFlow<()>,
    ) -> io::Result<Looked> {
        let mut left = LOOK_BYTES_MAX;
        loop {
            if let Some(open) = &mut self.open {
                let (inode, current) = (open.inode, inode_of(&self.folder.join("current")));
                match self.read_open(&mut left, on_line)? {
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

    /// Gives the beginnings of lines that nobody will end any more.
    pub(crate) fn finish(&mut self, on_line: &mut dyn FnMut(OutputLine<'_>)) {
        for partial in std::mem::take(&mut self.partial) {
            if !partial.is_empty() {
                on_line(OutputLine {
                    time: "",
                    text: &partial.text,
                    is_cut: true,
                });
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

    fn read_open(
        &mut self,
        left: &mut usize,
        on_line: &mut dyn FnMut(OutputLine<'_>) -> ControlFlow<()>,
    ) -> io::Result<Looked> {
        loop {
            let Some(open) = &mut self.open else {
                return Ok(Looked::AllSeen);
            };
            let room = PART_BYTES_MAX.saturating_sub(open.tail.len());
            let mut limited = io::Read::take(&mut open.reader, room as u64 + 1);
            let read = limited.read_until(b'\n', &mut open.tail)?;
            let whole = open.tail.last() == Some(&b'\n');
            if read == 0 || (!whole && open.tail.len() <= PART_BYTES_MAX) {
                return Ok(Looked::AllSeen);
            }
            let line = std::mem::take(&mut open.tail);
            if self.take(&line, on_line).is_break() {
                return Ok(Looked::Enough);
            }
            *left = left.saturating_sub(read);
            if *left == 0 {
                return Ok(Looked::More);
            }
        }
    }

    /// One line of the file: `<time> stdout|stderr F|P <text>`.
    fn take(
        &mut self,
        line: &[u8],
        on_line: &mut dyn FnMut(OutputLine<'_>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields = line.splitn(4, |byte| *byte == b' ');
        let (Some(time), Some(stream), Some(tag)) = (fields.next(), fields.next(), fields.next())
        else {
            return ControlFlow::Continue(());
        };
        let time = std::str::from_utf8(time).unwrap_or_default();
        if time.trim_end_matches('Z') < self.not_before.as_str() {
            return ControlFlow::Continue(());
        }
        let text = fields.next().unwrap_or_default();
        // One stream may write between two parts of a line of the other.
        let partial = &mut self.partial[usize::from(stream == b"stderr")];
        if tag == b"P" {
            partial.push(text, self.line_bytes_max);
            return ControlFlow::Continue(());
        }
        if partial.is_empty() && text.len() <= self.line_bytes_max {
            return on_line(OutputLine {
                time,
                text,
                is_cut: false,
            });
        }
        partial.push(text, self.line_bytes_max);
        let Partial { text, is_cut } = std::mem::take(partial);
        on_line(OutputLine {
            time,
            text: &text,
            is_cut,
        })
    }
}

fn inode_of(path: &std::path::Path) -> Option<u64> {
    fs::metadata(path).ok().map(|meta| meta.ino())
}
