//! Watched paths.
//!
//! Purpose: from what changes on disk to batches of changes for the core.
//! How: for each daemon that watches, a thread keeps what was told of every file. What the system
//! says of changes only makes it look again; what is told is the difference between what was told
//! and what is there. So a change is told once however it was noticed: by inotify, by a look every
//! few seconds where inotify cannot be had, by a look at everything after the system's queue
//! overflowed, after a root came back, or after a time without a manager.
//! Invariants: a batch is on disk before it is told; everything is bounded; the engine is never
//! waited for by anything but its own queue, and never waits; a thread that hangs in a file system
//! that does not answer is in nobody's way but its own daemon's; while nothing changes, nothing
//! wakes.
//! Deliberately absent: following links below a root; watching what the system cannot tell of
//! changes made elsewhere (network file systems, other containers' overlays): look every few
//! seconds is not forced on anybody who did not run into it.

mod events;
mod filter;
pub(crate) mod folder;
mod known;
mod pending;
pub(crate) mod records;
mod registry;
mod root;
mod roots;
mod scan;
mod tell;
#[cfg(test)]
mod tests;
mod tree;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as sync_mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eud_core::fleet::Watch;
use eud_core::io::Input;
use eud_core::record::Book;
use tokio::sync::mpsc;

use self::folder::Folder;
use self::watcher::{Ending, Order, Setup};
use crate::diary::Diary;
use crate::layout::Layout;

pub use self::pending::PENDING_MAX as WATCH_BATCH_PATHS_MAX;
pub use self::scan::PATHS_MAX as WATCH_PATHS_MAX;
pub use self::tell::{BATCH_BYTES_MAX as WATCH_BATCH_BYTES_MAX, BATCHES_MAX as WATCH_BATCHES_MAX};

/// How long the end of the manager waits for batches to be written.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How long it sleeps between two looks meanwhile.
const END_LOOK: Duration = Duration::from_millis(2);

/// For the fuzzer: reads a batch and writes its records again.
pub(crate) fn records_again(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let (_, mut records) = folder::read_batch("", bytes)?;
    let mut again = Vec::new();
    while let Some(record) = records.next()? {
        record.write(&mut again);
    }
    Ok(again)
}

/// For the fuzzer: loads what is known and writes its records again.
pub(crate) fn known_again(file: &std::path::Path, what: &str) -> Option<Vec<u8>> {
    let mut again = Vec::new();
    let mut known = known::Known::new(file.to_owned());
    let loaded = known.load(what, |record| record.write(&mut again));
    matches!(loaded, known::Loaded::UpTo(_)).then_some(again)
}

/// The watches of all daemons.
#[derive(Debug)]
pub(crate) struct Watches {
    layout: Layout,
    inputs: mpsc::Sender<Input>,
    diary: Arc<Diary>,
    running: BTreeMap<String, Running>,
    /// Threads of daemons that watch nothing any more.
    leaving: BTreeMap<String, JoinHandle<()>>,
    /// Batches that the core is known to have made durable.
    taken: BTreeMap<String, BTreeSet<String>>,
    /// The manager is ending: what is still told is for the next one.
    is_ending: bool,
}

#[derive(Debug)]
struct Running {
    orders: sync_mpsc::Sender<Order>,
    wake: UnixStream,
    /// Set once it shall tell no more.
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watches {
    pub(crate) fn new(layout: Layout, inputs: mpsc::Sender<Input>, diary: Arc<Diary>) -> Self {
        Self {
            layout,
            inputs,
            diary,
            running: BTreeMap::new(),
            leaving: BTreeMap::new(),
            taken: BTreeMap::new(),
            is_ending: false,
        }
    }

    /// The manager is ending: nothing is told any more, and nothing is forgotten. The next one
    /// tells what was not taken.
    pub(crate) fn hush(&mut self) {
        self.is_ending = true;
        for running in self.running.values() {
            running.is_over.store(true, Ordering::Release);
        }
    }

    /// Watches these paths from now on, instead of what was watched for the daemon before; `None`:
    /// nothing, and what was known of them is forgotten.
    pub(crate) fn watch(&mut self, daemon: &str, watch: Option<Watch>, keep: Vec<String>) {
        if self.is_ending {
            return;
        }
        let keep: BTreeSet<String> = keep.into_iter().collect();
        let predecessor = self.running.remove(daemon);
        let Some(watch) = watch else {
            match predecessor {
                Some(running) => {
                    running.order(Order::End(Ending::Forget(keep)));
                    // Not waited for: it may hang.
                    self.leaving.insert(daemon.to_owned(), running.thread);
                }
                None => self.folder(daemon).forget(&keep),
            }
            self.taken.remove(daemon);
            return;
        };
        let leaving = self.leaving.remove(daemon);
        let predecessor = predecessor.map(|running| {
            running.order(Order::End(Ending::Flush));
            running.thread
        });
        let predecessor = predecessor.or(leaving);
        self.taken.insert(daemon.to_owned(), keep.clone());
        match self.start(daemon, watch, keep, predecessor) {
            Ok(running) => {
                self.running.insert(daemon.to_owned(), running);
            }
            Err(e) => {
                let problem = format!("nothing is watched: no thread could be started: {e}");
                self.diary.error(&format!("{daemon}: {problem}"));
                let daemon = daemon.to_owned();
                let problem = Some(problem);
                // Too many inputs wait: then it is in the log only.
                let _ = self.inputs.try_send(Input::Watching { daemon, problem });
            }
        }
    }

    fn start(
        &self,
        daemon: &str,
        watch: Watch,
        keep: BTreeSet<String>,
        predecessor: Option<JoinHandle<()>>,
    ) -> std::io::Result<Running> {
        let (orders, orders_out) = sync_mpsc::channel();
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let is_over = Arc::new(AtomicBool::new(false));
        let setup = Setup {
            daemon: daemon.to_owned(),
            watch,
            keep,
            folder: self.folder(daemon),
            state: self.layout.root().to_owned(),
            inputs: self.inputs.clone(),
            diary: Arc::clone(&self.diary),
            orders: orders_out,
            woken,
            is_over: Arc::clone(&is_over),
        };
        let thread = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || {
                // Two must not write in the same folder.
                if let Some(predecessor) = predecessor {
                    // That it panicked was told by itself.
                    let _ = predecessor.join();
                }
                watcher::run(setup);
            })?;
        Ok(Running {
            orders,
            wake,
            is_over,
            thread,
        })
    }

    /// The core made this durable: the batches it names need not be told again.
    pub(crate) fn taken(&mut self, book: &Book) {
        let fires = book.pending.iter().chain(book.active.values());
        for id in fires.flat_map(|fire| &fire.batches) {
            let known = self.taken.entry(book.job.clone()).or_default();
            if known.insert(id.clone()) {
                Folder::new(&self.layout, &book.job).take(id);
            }
        }
    }

    /// Nobody will ask for these again.
    pub(crate) fn drop_batches(&mut self, daemon: &str, mut batches: Vec<String>) {
        if self.is_ending {
            // What was given up for no better reason is told again.
            let taken = self.taken.get(daemon);
            batches.retain(|id| taken.is_some_and(|taken| taken.contains(id)));
        }
        if let Some(known) = self.taken.get_mut(daemon) {
            batches.iter().for_each(|id| {
                known.remove(id);
            });
        }
        match self.running.get(daemon) {
            Some(running) => running.order(Order::Drop(batches)),
            None => {
                let folder = self.folder(daemon);
                batches.iter().for_each(|id| folder.remove(id));
            }
        }
    }

    fn folder(&self, daemon: &str) -> Folder {
        Folder::new(&self.layout, daemon)
    }
}

impl Running {
    fn order(&self, order: Order) {
        if matches!(order, Order::End(_)) {
            self.is_over.store(true, Ordering::Release);
        }
        // It is gone only when it ended by itself, by a fault of ours that it told.
        let _ = self.orders.send(order);
        // Full: it is being woken.
        let _ = (&self.wake).write(&[1]);
    }
}

impl Drop for Watches {
    /// What was not told yet is written down, where that takes no time.
    fn drop(&mut self) {
        for running in self.running.values() {
            running.order(Order::End(Ending::Flush));
        }
        let deadline = Instant::now() + END_LIMIT;
        for running in self.running.values() {
            // A file system may not answer. What is lost then is found at the next start.
            while !running.thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(END_LOOK);
            }
        }
    }
}
