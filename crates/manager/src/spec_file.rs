//! `spec.json` in a run's folder: what was started, for people and for the next manager.
//!
//! Invariant: it holds the definition as declared, in which secrets are references; never a
//! resolved value.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use eud_core::fleet::Daemon;
use eud_core::record::{Generation, RunId, WallMs};
use serde::{Deserialize, Serialize};

use crate::layout::run_file;

/// Longest file that is read, in bytes.
const BYTES_MAX: u64 = 4 << 20;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpecFile {
    pub(crate) unit: String,
    pub(crate) run: RunId,
    pub(crate) generation: Generation,
    pub(crate) replica: u32,
    pub(crate) created_at_ms: WallMs,
    pub(crate) daemon: Daemon,
}

impl SpecFile {
    /// Writes it, once, into a new folder. Not synced, and not replaced as a whole: the journal has
    /// the intent, and half a file reads as none.
    pub(crate) fn write(&self, run_dir: &Path) -> io::Result<()> {
        let bytes = serde_json::to_vec(self).map_err(io::Error::other)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(run_dir.join(run_file::SPEC))?;
        file.write_all(&bytes)
    }

    /// Reads it; `None` when it is missing or damaged.
    pub(crate) fn read(run_dir: &Path) -> Option<Self> {
        use std::io::Read;
        let file = std::fs::File::open(run_dir.join(run_file::SPEC)).ok()?;
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}
