//! What every part of the shell shares.

use std::path::PathBuf;
use std::sync::Arc;

use eud_core::io::Input;
use eud_sys::rlimit::Limit;
use tokio::sync::mpsc;

use crate::compressor::Compressor;
use crate::deliver::Post;
use crate::diary::Diary;
use crate::launch::{KnownSurroundings, Spares};
use crate::layout::Layout;
use crate::reaper::Reaper;

/// See the module.
pub(crate) struct Context {
    pub(crate) layout: Layout,
    pub(crate) diary: Arc<Diary>,
    /// To the engine. Bounded: whoever sends waits, and the keepers' sockets fill up meanwhile.
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) reaper: Reaper,
    pub(crate) compressor: Compressor,
    /// Path of `eud-keeper`.
    pub(crate) keeper: PathBuf,
    /// Keepers that wait for a run.
    pub(crate) spares: Spares,
    /// Environments of live runs that are tested by commands.
    pub(crate) surroundings: KnownSurroundings,
    /// Sends what goes out by HTTP.
    pub(crate) post: Arc<Post>,
    /// Names this boot of the machine.
    pub(crate) boot_id: String,
    /// Limit of open files as it was before the manager raised its own.
    pub(crate) nofile: Option<Limit>,
    /// File mode creation mask that commands get by default.
    pub(crate) umask: Option<u32>,
}
