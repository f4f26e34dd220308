//! What was told, on disk: the file `known` beside the batches.
//!
//! Purpose: changes made while no manager ran are found, and what was told is not told again.
//! Invariants: what follows the last `b` record does not count, so an addition is taken whole or
//! not at all; an addition that was lost with the manager is made up from the batch file it belongs
//! to; the file is written anew when what was added outgrows what was there.
//! Deliberately absent: waiting for the disk. After a power cut it may be behind; more is told
//! then, never less.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::PathBuf;

use super::folder::private_file;
use super::records::{Record, Records};

const HEAD: &str = "eud-known 1 ";

/// Bytes that may be added to a small file before it is written anew.
const ADDED_BYTES_MIN: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Known {
    path: PathBuf,
    /// For additions; `None`: it must be written anew first.
    file: Option<BufWriter<File>>,
    base_bytes: u64,
    added_bytes: u64,
    buffer: Vec<u8>,
}

/// What was found at the start.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Loaded {
    /// Nothing: it is the first time.
    Nothing,
    /// What was told, up to this batch.
    UpTo(String),
    /// It was about other paths or patterns than now.
    OfAnother,
    /// It cannot be read; why.
    Damaged(String),
}

impl Known {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            base_bytes: 0,
            added_bytes: 0,
            buffer: Vec::new(),
        }
    }

    /// Reads what is known and hands over its records. `what` says what it must be about.
    pub(crate) fn load(&mut self, what: &str, take: impl FnMut(Record)) -> Loaded {
        match self.try_load(what, take) {
            Ok(loaded) => loaded,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Loaded::Nothing,
            Err(e) => Loaded::Damaged(e.to_string()),
        }
    }

    fn try_load(&mut self, what: &str, mut take: impl FnMut(Record)) -> io::Result<Loaded> {
        let open = || File::open(&self.path).map(|file| Records::new(BufReader::new(file)));
        let mut records = open()?;
        if records.head(HEAD)? != what {
            return Ok(Loaded::OfAnother);
        }
        let Some((end, last)) = counts_up_to(&mut records) else {
            return Ok(Loaded::Damaged("it is not complete".to_owned()));
        };
        let mut records = open()?;
        records.head(HEAD)?;
        while records.offset < end {
            // Read once already.
            let Some(record) = records.next()? else {
                break;
            };
            take(record);
        }
        let file = File::options().append(true).open(&self.path)?;
        file.set_len(end)?;
        self.file = Some(BufWriter::new(file));
        (self.base_bytes, self.added_bytes) = (end, 0);
        Ok(Loaded::UpTo(last))
    }

    /// Writes it anew: all that `each` hands over, told up to `batch`.
    pub(crate) fn write(
        &mut self,
        what: &str,
        batch: &str,
        each: impl FnOnce(&mut dyn FnMut(&Record)),
    ) -> io::Result<()> {
        self.file = None;
        let temporary = self.path.with_extension("tmp");
        let mut file = BufWriter::new(private_file(&temporary)?);
        file.write_all(format!("{HEAD}{what}\0").as_bytes())?;
        let mut buffer = Vec::new();
        let mut written = Ok(());
        let mut bytes = 0;
        let mut put = |record: &Record| {
            buffer.clear();
            record.write(&mut buffer);
            bytes += buffer.len() as u64;
            if written.is_ok() {
                written = file.write_all(&buffer);
            }
        };
        each(&mut put);
        put(&Record::Told(batch.to_owned()));
        written?;
        file.flush()?;
        fs::rename(&temporary, &self.path)?;
        self.file = Some(file);
        (self.base_bytes, self.added_bytes) = (bytes, 0);
        Ok(())
    }

    /// Adds a record. It does not count before [`Known::commit`].
    pub(crate) fn add(&mut self, record: &Record) {
        self.buffer.clear();
        record.write(&mut self.buffer);
        self.added_bytes += self.buffer.len() as u64;
        if let Some(file) = &mut self.file
            && file.write_all(&self.buffer).is_err()
        {
            self.file = None;
        }
    }

    /// What was added counts from now on: it was told, in this batch at the latest.
    pub(crate) fn commit(&mut self, batch: &str) {
        self.add(&Record::Told(batch.to_owned()));
        if self.file.as_mut().is_some_and(|file| file.flush().is_err()) {
            self.file = None;
        }
    }

    /// What was added since [`Known::commit`] shall never count. It is written anew next time.
    pub(crate) fn give_up(&mut self) {
        self.file = None;
    }

    /// Whether it should be written anew: it could not be added to, or it would grow for ever.
    pub(crate) fn is_stale(&self) -> bool {
        self.file.is_none() || self.added_bytes > self.base_bytes.max(ADDED_BYTES_MIN)
    }
}

/// Where the last `b` record ends, and the batch in it. What comes after may be torn.
fn counts_up_to<R: io::BufRead>(records: &mut Records<R>) -> Option<(u64, String)> {
    let mut found = None;
    while let Ok(Some(record)) = records.next() {
        if let Record::Told(batch) = record {
            found = Some((records.offset, batch));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gone(path: &str) -> Record {
        Record::Gone(path.as_bytes().into())
    }

    fn load(known: &mut Known, what: &str) -> (Loaded, Vec<Record>) {
        let mut all = Vec::new();
        let loaded = known.load(what, |record| all.push(record));
        all.retain(|record| !matches!(record, Record::Told(_)));
        (loaded, all)
    }

    #[test]
    fn what_was_committed_is_known_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known");
        let mut known = Known::new(path.clone());
        assert_eq!(load(&mut known, "x").0, Loaded::Nothing);
        known.write("x", "1", |put| put(&gone("/a"))).unwrap();
        known.add(&gone("/b"));
        known.commit("2");
        known.add(&gone("/c"));
        drop(known);
        let mut again = Known::new(path.clone());
        let (loaded, all) = load(&mut again, "x");
        assert_eq!(loaded, Loaded::UpTo("2".into()));
        assert_eq!(all, [gone("/a"), gone("/b")]);
        // What was torn is no longer in the way.
        again.add(&gone("/d"));
        again.commit("3");
        let (loaded, all) = load(&mut Known::new(path.clone()), "x");
        assert_eq!(loaded, Loaded::UpTo("3".into()));
        assert_eq!(all, [gone("/a"), gone("/b"), gone("/d")]);
        assert_eq!(load(&mut Known::new(path), "y").0, Loaded::OfAnother);
    }

    #[test]
    fn cut_off_anywhere_it_is_read_up_to_there_or_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known");
        let mut known = Known::new(path.clone());
        known.write("x", "1", |put| put(&gone("/a"))).unwrap();
        known.add(&gone("/b"));
        known.commit("2");
        let whole = fs::read(&path).unwrap();
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (loaded, all) = load(&mut Known::new(path.clone()), "x");
            match loaded {
                Loaded::UpTo(batch) => assert_eq!((batch.as_str(), all.len()), ("1", 1)),
                Loaded::Damaged(_) => assert!(all.is_empty()),
                other => panic!("{other:?}"),
            }
        }
    }
}
