//! Measuring a run for its guards.
//!
//! Purpose: how much memory and CPU time the run's whole tree uses, how much it writes, for how
//! long it has written nothing, and how old its heartbeat file is.
//!
//! The tree is the run's control group where it has one, and else every descendant of its keeper,
//! which is a subreaper. *Memory*: of a group with the memory controller what the kernel counts for
//! it; else what the processes have resident, and, if that looks too much and there are several,
//! their proportional share, so that what they share counts once. *CPU time*: the group's, or that
//! of the processes and of all that they and the keeper have collected. *Output*: what the keeper
//! has read; it reads little else. *Silence*: since the log was written or the keeper has read
//! something, whichever is later, so that a line that is not ended yet is no silence.
//!
//! Invariants: what cannot be measured is an error in words, never zero; a measurement ends in
//! time; a file system that does not answer costs only the heartbeat of its run, and one thread.
//! Deliberately absent: what follows from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use eud_core::fleet::{Guard, GuardAction, Guarded};
use eud_core::io::Usage;
use eud_keeper::{cgroup_of, noted};
use eud_sys::cgroup::Cgroup;
use eud_sys::process::{self, Identity};
use eud_sys::usage;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::clock;
use crate::exit_file::RunKey;
use crate::layout::Layout;

/// Runs that are measured at the same time; others wait. As many heartbeat files beside.
pub const MEASURES_MAX: usize = 16;

/// How long a measurement may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Places of those who measure.
#[derive(Debug, Clone)]
pub(crate) struct Measurer {
    runs: Arc<Semaphore>,
    files: Arc<Semaphore>,
}

impl Default for Measurer {
    fn default() -> Self {
        let places = || Arc::new(Semaphore::new(MEASURES_MAX));
        Self {
            runs: places(),
            files: places(),
        }
    }
}

/// What is remembered of a run between two measurements.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    output: Mutex<Output>,
    is_looking: AtomicBool,
    is_waiting_for_file: AtomicBool,
}

/// Bytes that the keeper had read, and since when that is so.
#[derive(Debug, Default)]
struct Output {
    read: Option<u64>,
    changed_mono: Option<u64>,
}

/// A run to measure.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) layout: Layout,
    pub(crate) key: RunKey,
    pub(crate) boot_id: String,
    /// Time since its start.
    pub(crate) age_ms: u64,
    pub(crate) memory: Arc<Memory>,
}

/// One of the two marks of a run's memory.
type Mark = fn(&Memory) -> &AtomicBool;

/// Takes a mark away when the thread that made it comes back.
struct Marked(Arc<Memory>, Mark);

impl Drop for Marked {
    fn drop(&mut self) {
        (self.1)(&self.0).store(false, Ordering::Release);
    }
}

impl Measurer {
    /// Measures once what these guards are about.
    pub(crate) async fn measure(&self, subject: Subject, guards: Vec<Guard>) -> Usage {
        let memory = Arc::clone(&subject.memory);
        let age_ms = subject.age_ms;
        let path = guards.iter().find_map(|guard| match &guard.what {
            Guarded::Heartbeat { path, .. } => Some(PathBuf::from(path)),
            _ => None,
        });
        let file = async {
            let path = path?;
            let work = move || heartbeat_age(&path, age_ms);
            let mark: Mark = |memory| &memory.is_waiting_for_file;
            let waited = blocking(&self.files, Marked(Arc::clone(&memory), mark), work);
            Some(waited.await.and_then(|age| age))
        };
        let run = async {
            let wanted = guards.clone();
            let mark: Mark = |memory| &memory.is_looking;
            let work = move || look(&subject, &guards);
            let looked = blocking(&self.runs, Marked(Arc::clone(&memory), mark), work);
            looked
                .await
                .unwrap_or_else(|why| all_unknown(&wanted, &why))
        };
        let (heartbeat_age_ms, usage) = tokio::join!(file, run);
        Usage {
            heartbeat_age_ms,
            ..usage
        }
    }
}

/// Carries out what may block on a thread that may take as long as it wants.
async fn blocking<T: Send + 'static>(
    places: &Arc<Semaphore>,
    marked: Marked,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    if (marked.1)(&marked.0).swap(true, Ordering::AcqRel) {
        // The mark is another's, to be taken away by that one.
        std::mem::forget(marked);
        return Err("the measurement before has not come back".to_owned());
    }
    let Ok(Ok(place)) = timeout(LIMIT, Arc::clone(places).acquire_owned()).await else {
        return Err(format!("{MEASURES_MAX} other measurements are under way"));
    };
    let thread = tokio::task::spawn_blocking(move || {
        let _kept = (marked, place);
        work()
    });
    match timeout(LIMIT, thread).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(fault)) => Err(fault.to_string()),
        Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

/// Which of the measures these guards are about.
struct Wanted {
    memory: Option<(u64, bool)>,
    cpu: bool,
    log_bytes: bool,
    silence: bool,
}

impl Wanted {
    fn of(guards: &[Guard]) -> Self {
        let is = |test: fn(&Guarded) -> bool| guards.iter().any(|guard| test(&guard.what));
        let limits = guards.iter().filter_map(|guard| match guard.what {
            // A limit that may be broken for a while, or is only to be told, is not for the kernel,
            // which kills at once.
            Guarded::Memory { max_bytes } => {
                let is_hard = guard.action == GuardAction::Restart && guard.for_ms == 0;
                Some((max_bytes, is_hard))
            }
            _ => None,
        });
        let memory = limits.min();
        Self {
            memory,
            cpu: is(|what| matches!(what, Guarded::Cpu { .. })),
            log_bytes: is(|what| matches!(what, Guarded::LogRate { .. })),
            silence: is(|what| matches!(what, Guarded::Silence { .. })),
        }
    }
}

fn all_unknown(guards: &[Guard], why: &str) -> Usage {
    let wanted = Wanted::of(guards);
    let unknown = |is_wanted: bool| is_wanted.then(|| Err(why.to_owned()));
    Usage {
        memory_bytes: unknown(wanted.memory.is_some()),
        cpu_ms: unknown(wanted.cpu),
        log_bytes: unknown(wanted.log_bytes),
        silent_ms: unknown(wanted.silence),
        heartbeat_age_ms: None,
        how: None,
    }
}

/// Everything but the heartbeat file. Blocks.
fn look(subject: &Subject, guards: &[Guard]) -> Usage {
    let key = &subject.key;
    let run_dir = subject.layout.run(&key.unit, &key.run);
    let keeper = match keeper_of(&run_dir, &subject.boot_id) {
        Ok(keeper) => keeper,
        Err(why) => return all_unknown(guards, &why),
    };
    let wanted = Wanted::of(guards);
    let mut usage = Usage::default();
    if wanted.memory.is_some() || wanted.cpu {
        // Without it every process is looked at.
        let group = cgroup_of(&run_dir, &key.run).ok().flatten();
        let mut tree = Tree::new(keeper);
        let mut is_group = false;
        if let Some((max_bytes, is_hard)) = wanted.memory {
            let counted = group.as_ref().and_then(|group| group.memory_bytes().ok());
            is_group = counted.is_some();
            if let Some(group) = group.as_ref().filter(|_| is_group) {
                limit_memory(group, is_hard.then_some(max_bytes));
            }
            let found = counted.map_or_else(|| tree.memory_bytes(max_bytes), Ok);
            usage.memory_bytes = Some(found);
        }
        if wanted.cpu {
            let counted = group.as_ref().and_then(|group| group.cpu_ms().ok());
            is_group |= counted.is_some() && wanted.memory.is_none();
            usage.cpu_ms = Some(counted.map_or_else(|| tree.cpu_ms(), Ok));
        }
        usage.how = Some(if is_group { "cgroup" } else { "polling" }.to_owned());
    }
    if wanted.log_bytes || wanted.silence {
        let read = usage::bytes_read(keeper.pid).map_err(|e| format!("its keeper's output: {e}"));
        usage.silent_ms = wanted.silence.then(|| silence(subject, read.as_ref().ok()));
        usage.log_bytes = wanted.log_bytes.then_some(read);
    }
    usage
}

/// The keeper of a run, proven to be that.
fn keeper_of(run_dir: &Path, boot_id: &str) -> Result<Identity, String> {
    let noted = noted(run_dir).map_err(|e| format!("its keeper's note: {e}"))?;
    let keeper = noted.filter(|noted| noted.boot_id == boot_id);
    let keeper = keeper.and_then(|noted| noted.keeper);
    let keeper = keeper.filter(|keeper| process::is_alive(*keeper));
    keeper.ok_or_else(|| "its keeper cannot be found".to_owned())
}

/// Has the kernel keep the limit, or nobody.
fn limit_memory(group: &Cgroup, max_bytes: Option<u64>) {
    if group.memory_max().is_ok_and(|now| now != max_bytes) {
        // One that may not be set is watched all the same.
        let _ = group.set_memory_max(max_bytes);
    }
}

/// The processes of a run, looked for when they are first asked for.
struct Tree {
    keeper: Identity,
    pids: Option<Result<Vec<u32>, String>>,
}

impl Tree {
    fn new(keeper: Identity) -> Self {
        Self { keeper, pids: None }
    }

    fn pids(&mut self) -> Result<Vec<u32>, String> {
        let find = || {
            let found = process::descendants(self.keeper.pid);
            let found = found.map_err(|e| format!("its processes: {e}"))?;
            Ok(found.into_iter().map(|identity| identity.pid).collect())
        };
        self.pids.get_or_insert_with(find).clone()
    }

    /// Memory; exact when it is about to be more than `max_bytes`.
    fn memory_bytes(&mut self, max_bytes: u64) -> Result<u64, String> {
        let pids = self.pids()?;
        let resident = sum(&pids, usage::resident_bytes)?;
        if resident <= max_bytes || pids.len() < 2 {
            return Ok(resident);
        }
        // Of another user's processes only the one figure is to be had.
        let share = |pid| usage::proportional_bytes(pid).or_else(|_| usage::resident_bytes(pid));
        sum(&pids, share)
    }

    /// CPU time of those that live and of those that were collected.
    fn cpu_ms(&mut self) -> Result<u64, String> {
        let pids = self.pids()?;
        let of = |pid| usage::cpu_time(pid).map(|time| time.own_ms + time.collected_ms);
        let living = sum(&pids, of)?;
        let keeper = usage::cpu_time(self.keeper.pid).map_err(|e| format!("its keeper: {e}"))?;
        Ok(living.saturating_add(keeper.collected_ms))
    }
}

/// Processes that end meanwhile count for nothing.
fn sum(pids: &[u32], of: impl Fn(u32) -> io::Result<u64>) -> Result<u64, String> {
    let mut total: u64 = 0;
    for pid in pids {
        match of(*pid) {
            Ok(number) => total = total.saturating_add(number),
            Err(_) if process::stat(*pid).is_err() => {}
            Err(e) => return Err(format!("process {pid}: {e}")),
        }
    }
    Ok(total)
}

fn silence(subject: &Subject, read: Option<&u64>) -> Result<u64, String> {
    let log = subject.layout.log(&subject.key.unit);
    let written = match fs::metadata(&log) {
        Ok(meta) => Some(age_of(&meta).map_err(|e| format!("{}: {e}", log.display()))?),
        // Nothing was written yet.
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(format!("{}: {e}", log.display())),
    };
    let now = clock::now().mono_ms;
    let mut output = subject
        .memory
        .output
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(read) = read {
        let before = output.read.replace(*read);
        if before.is_some_and(|before| before != *read) {
            output.changed_mono = Some(now);
        }
    }
    let heard = output
        .changed_mono
        .map(|changed| now.saturating_sub(changed));
    let ages = [Some(subject.age_ms), written, heard];
    Ok(ages.into_iter().flatten().min().unwrap_or(subject.age_ms))
}

/// A file that was not written since the start is as old as the run.
fn heartbeat_age(path: &Path, age_ms: u64) -> Result<u64, String> {
    match fs::metadata(path) {
        Ok(meta) => {
            let age = age_of(&meta).map_err(|e| format!("{}: {e}", path.display()))?;
            Ok(age.min(age_ms))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(age_ms),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

fn age_of(meta: &fs::Metadata) -> io::Result<u64> {
    // A time in the future is no older than anything.
    let age = SystemTime::now()
        .duration_since(meta.modified()?)
        .unwrap_or_default();
    Ok(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
