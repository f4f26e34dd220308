//! Compressing rotated logs.
//!
//! Purpose: `log.compress`, one file at a time, away from everything that must be quick.
//! Invariants: a log is removed only after its compressed form is complete and on disk under its
//! final name; a file that cannot be compressed stays as it is.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};

use crate::diary::Diary;
use crate::problems::{Problems, Subject};

/// Files that may wait. More are found again at the next start.
const QUEUE_MAX: usize = 1_024;

/// Level of zstd: fast, and about a tenth of the size for logs.
const LEVEL: i32 = 3;

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Compressor(SyncSender<PathBuf>);

impl Compressor {
    /// Starts the thread that does it. It ends with the last clone.
    pub(crate) fn start(diary: Arc<Diary>, problems: Problems) -> io::Result<Self> {
        let (sender, receiver) = mpsc::sync_channel::<PathBuf>(QUEUE_MAX);
        std::thread::Builder::new()
            .name("compress".into())
            .spawn(move || {
                while let Ok(path) = receiver.recv() {
                    match compress(&path) {
                        Ok(()) => {
                            problems.clear(Subject::Compression);
                        }
                        Err(e) => {
                            let text = format!("cannot compress {}: {e}", path.display());
                            if problems.set(Subject::Compression, text.clone()) {
                                diary.error(&text);
                            }
                        }
                    }
                }
            })?;
        Ok(Self(sender))
    }

    /// Compresses a rotated log some time soon.
    pub(crate) fn compress(&self, path: PathBuf) {
        // A full queue means that the disk does not keep up; the file is found at the next start.
        let _ = self.0.try_send(path);
    }

    /// Compresses every rotated log of a folder.
    pub(crate) fn compress_all(&self, folder: &Path) {
        let Ok(entries) = fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().ends_with(".log") {
                self.compress(entry.path());
            }
        }
    }
}

fn compress(path: &Path) -> io::Result<()> {
    let mut from = match File::open(path) {
        Ok(file) => file,
        // The keeper has removed it as one too many.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let target = with_suffix(path, ".zst");
    let temporary = with_suffix(path, ".zst.tmp");
    let done =
        write_compressed(&mut from, &temporary).and_then(|()| fs::rename(&temporary, &target));
    if let Err(e) = done {
        // Half a file is of no use to anybody.
        let _ = fs::remove_file(&temporary);
        return Err(e);
    }
    eud_sys::durable::sync_folder_of(&target)?;
    match fs::remove_file(path) {
        // The keeper has removed it meanwhile as one too many: then its compressed form is one too
        // many.
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::remove_file(&target),
        removed => removed,
    }
}

fn write_compressed(from: &mut File, to: &Path) -> io::Result<()> {
    let file = File::create(to)?;
    file.set_permissions(from.metadata()?.permissions())?;
    let mut encoder = zstd::Encoder::new(file, LEVEL)?;
    io::copy(from, &mut encoder)?;
    encoder.finish()?.sync_all()
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_replaced_by_its_compressed_form() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("2026.log");
        let text = "the same line again and again\n".repeat(10_000);
        fs::write(&path, &text).unwrap();
        compress(&path).unwrap();
        let names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["2026.log.zst"]);
        let packed = fs::read(dir.path().join("2026.log.zst")).unwrap();
        assert!(packed.len() < text.len() / 10);
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), text.as_bytes());
    }

    #[test]
    fn a_log_that_is_gone_is_no_error_and_one_that_cannot_be_packed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("2026.log");
        compress(&path).unwrap();
        fs::write(&path, "x").unwrap();
        fs::create_dir(dir.path().join("2026.log.zst")).unwrap();
        assert!(compress(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "x");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
    }
}
