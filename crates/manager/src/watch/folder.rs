//! The batch files of one daemon: `daemons/NAME/watch/`.
//!
//! Purpose: changes written down before they are told, so that no death of the manager loses them.
//! Invariants: a file is whole or not there; its name sorts by time and is never used again; one
//! that the core is known to have made durable ends in `.taken`, so that a later manager tells the
//! others again, and only those.
//! Deliberately absent: waiting for the disk. A power cut may take the newest; what is then told
//! again is found by comparing with [`super::known`].

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use eud_core::io::Batch;
use eud_sys::clock::wall_ns;

use super::records::{Record, Records, bad};
use crate::layout::Layout;

const HEAD: &str = "eud-batch 1 ";
const TAKEN: &str = ".taken";
const KNOWN: &str = "known";
/// Digits of an identifier: microseconds since the epoch, in hexadecimal.
const ID_DIGITS: usize = 16;

/// Records of a batch that can be read.
pub(crate) type Reading = Records<BufReader<File>>;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// A batch file on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) is_taken: bool,
    pub(crate) bytes: u64,
}

/// A batch file that is being written.
#[derive(Debug)]
pub(crate) struct Writing {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Folder {
    pub(crate) fn new(layout: &Layout, daemon: &str) -> Self {
        Self {
            path: layout.watch(daemon),
        }
    }

    /// Where what is known is written.
    pub(crate) fn known(&self) -> PathBuf {
        self.path.join(KNOWN)
    }

    /// Creates the folder.
    pub(crate) fn create(&self) -> io::Result<()> {
        crate::files::create_private_dir(&self.path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a file. Nothing of it is to be seen until [`Writing::finish`].
    pub(crate) fn begin(&self, id: &str, batch: &Batch) -> io::Result<Writing> {
        self.create()?;
        let temporary = self.path.join(format!("{id}.tmp"));
        let file = private_file(&temporary)?;
        let mut writing = Writing {
            file: BufWriter::new(file),
            temporary,
            path: self.path.join(id),
            buffer: Vec::new(),
            bytes: 0,
        };
        let Batch {
            count,
            first_ms,
            last_ms,
            example,
            ..
        } = batch;
        // NUL ends the head.
        let example = example.replace('\0', "");
        let head = format!("{HEAD}{count} {first_ms} {last_ms} {example}\0");
        writing.write_bytes(head.as_bytes())?;
        Ok(writing)
    }

    /// What there is, oldest first.
    pub(crate) fn list(&self) -> Vec<Found> {
        let mut found: Vec<Found> = fs::read_dir(&self.path)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let (id, is_taken) = name
                    .strip_suffix(TAKEN)
                    .map_or((name.as_str(), false), |id| (id, true));
                is_id(id).then(|| Found {
                    id: id.to_owned(),
                    is_taken,
                    bytes: entry.metadata().map_or(0, |meta| meta.len()),
                })
            })
            .collect();
        found.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    /// The core has made it durable. One that is not there, or was taken before, is no matter.
    pub(crate) fn take(&self, id: &str) {
        if is_id(id) {
            let _ = fs::rename(self.path.join(id), self.path.join(format!("{id}{TAKEN}")));
        }
    }

    /// Nobody will ask for it again.
    pub(crate) fn remove(&self, id: &str) {
        if is_id(id) {
            // It has one of the two names, or neither.
            let _ = fs::remove_file(self.path.join(id));
            let _ = fs::remove_file(self.path.join(format!("{id}{TAKEN}")));
        }
    }

    /// Removes what a manager was writing when it died. Only for who alone writes here.
    pub(crate) fn clear_temporary(&self) {
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            if entry.file_name().as_encoded_bytes().ends_with(b".tmp") {
                // It will be tried again.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Forgets everything but these batches.
    pub(crate) fn forget(&self, keep: &BTreeSet<String>) {
        let _ = fs::remove_file(self.known());
        self.clear_temporary();
        for found in self.list() {
            if !keep.contains(&found.id) {
                self.remove(&found.id);
            }
        }
        // Not while something is in it.
        let _ = fs::remove_dir(&self.path);
    }

    /// Opens a batch: what is said of it, and its records.
    pub(crate) fn open(&self, id: &str) -> io::Result<(Batch, Reading)> {
        if !is_id(id) {
            return Err(bad("that is no name of a batch"));
        }
        let taken = self.path.join(format!("{id}{TAKEN}"));
        let opened = match File::open(self.path.join(id)) {
            // It may have been taken meanwhile.
            Err(e) if e.kind() == io::ErrorKind::NotFound => File::open(taken),
            opened => opened,
        };
        read_batch(id, BufReader::new(opened?))
    }
}

/// Reads the head of a batch.
pub(super) fn read_batch<R: io::BufRead>(id: &str, from: R) -> io::Result<(Batch, Records<R>)> {
    let mut records = Records::new(from);
    let head = records.head(HEAD)?;
    let mut words = head.splitn(4, ' ');
    let mut word = || words.next().ok_or_else(|| bad("a word is missing"));
    let batch = Batch {
        id: id.to_owned(),
        count: word()?.parse().map_err(|_| bad("no number"))?,
        first_ms: word()?.parse().map_err(|_| bad("no time"))?,
        last_ms: word()?.parse().map_err(|_| bad("no time"))?,
        example: word()?.to_owned(),
    };
    Ok((batch, records))
}

impl Writing {
    /// Adds a record.
    pub(crate) fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        record.write(&mut buffer);
        let written = self.write_bytes(&buffer);
        self.buffer = buffer;
        written
    }

    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Ends the file and gives it its name. Says how large it is.
    pub(crate) fn finish(mut self) -> io::Result<u64> {
        self.write(&Record::End)?;
        self.file.flush()?;
        fs::rename(&self.temporary, &self.path)?;
        Ok(self.bytes)
    }
}

/// Creates an empty file for ourselves alone.
pub(super) fn private_file(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)
}

/// An identifier that comes after `last`.
pub(crate) fn next_id(last: Option<&str>) -> String {
    let now = u64::try_from(wall_ns() / 1_000).unwrap_or(0);
    let last = last.and_then(|id| u64::from_str_radix(id, 16).ok());
    let next = last.map_or(now, |last| now.max(last.saturating_add(1)));
    format!("{next:0ID_DIGITS$x}")
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(&Layout::new(dir.path()), "a");
        (dir, folder)
    }

    fn batch(id: &str) -> Batch {
        Batch {
            id: id.into(),
            count: 1,
            example: "/a b\n\u{fffd}".into(),
            first_ms: 5,
            last_ms: 7,
        }
    }

    fn write(folder: &Folder, id: &str) {
        let mut writing = folder.begin(id, &batch(id)).unwrap();
        writing.write(&Record::Gone((*b"/a").into())).unwrap();
        assert!(folder.list().iter().all(|found| found.id != id));
        writing.finish().unwrap();
    }

    #[test]
    fn a_batch_is_read_as_it_was_written_taken_or_not() {
        let (_dir, folder) = place();
        let id = next_id(None);
        write(&folder, &id);
        for is_taken in [false, true] {
            assert_eq!(folder.list()[0].is_taken, is_taken);
            let (read, mut records) = folder.open(&id).unwrap();
            assert_eq!(read, batch(&id));
            let gone = Record::Gone((*b"/a").into());
            assert_eq!(records.next().unwrap(), Some(gone));
            assert_eq!(records.next().unwrap(), Some(Record::End));
            folder.take(&id);
            folder.take(&id);
        }
        folder.remove(&id);
        assert!(folder.open(&id).is_err());
        assert_eq!(folder.list(), []);
    }

    #[test]
    fn identifiers_grow_also_when_the_clock_is_set_back() {
        let first = next_id(None);
        let second = next_id(Some(&first));
        assert!(first < second);
        let future = "00ffffffffffffff";
        assert_eq!(next_id(Some(future)), "0100000000000000");
    }

    #[test]
    fn forgetting_spares_what_is_to_be_kept_and_nothing_else() {
        let (_dir, folder) = place();
        let (a, b) = (next_id(None), next_id(Some(&next_id(None))));
        write(&folder, &a);
        write(&folder, &b);
        folder.take(&a);
        fs::write(folder.known(), b"x").unwrap();
        fs::write(folder.path().join("x.tmp"), b"x").unwrap();
        folder.forget(&BTreeSet::from([a.clone()]));
        assert_eq!(folder.list().len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        folder.forget(&BTreeSet::new());
        assert!(!folder.path().exists());
    }

    #[test]
    fn names_that_are_none_lead_nowhere() {
        let (_dir, folder) = place();
        folder.create().unwrap();
        for id in [
            "",
            "..",
            "../../../etc/passwd",
            "known",
            "0000000000000000/x",
        ] {
            assert!(folder.open(id).is_err());
            folder.take(id);
            folder.remove(id);
        }
        assert!(folder.path().exists());
    }
}
