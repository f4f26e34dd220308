//! Clearing up after a keeper that was lost.
//!
//! Purpose: when a keeper is killed, its command dies with it, but the command's children live on
//! and are nobody's. This finds and kills them: by the run's control group if it had one, and by
//! the variable `EUD_RUN_ID` that every process of the run was born with.
//! Invariants: a process is killed only when it is proven to be of this run, through a handle that
//! was opened before the proof; the process that sweeps never kills itself; whom it cannot look at
//! for want of descriptors or memory it does not take for a stranger, but gives up.
//! Deliberately absent: what erased its environment and was in no control group. It cannot be
//! proven to be ours.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use eud_sys::cgroup::Cgroup;
use eud_sys::clock::boot_ms;
use eud_sys::process::{self, Handle};
use eud_sys::signal::Signal;

use crate::note;

/// Longest time a sweep takes, in milliseconds.
const SWEEP_MAX_MS: u64 = 5_000;
/// How long one killed process is waited for, in milliseconds.
const DEATH_MS: u64 = 500;

/// How long processes are waited for that cannot be judged yet, in milliseconds.
const UNSURE_MAX_MS: u64 = 500;

/// What a sweep did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SweepReport {
    /// Processes that were killed and are gone.
    pub killed: Vec<u32>,
    /// Processes of the run that could not be killed, or have not died yet. Sweep again later.
    pub survivors: Vec<u32>,
    /// The run's control group is gone, or there never was one.
    pub cgroup_gone: bool,
}

impl SweepReport {
    /// Nothing of the run is left.
    pub fn is_clean(&self) -> bool {
        self.survivors.is_empty() && self.cgroup_gone
    }
}

/// Kills every remaining process of a run whose keeper is gone. Must not be called while its keeper
/// lives. Blocks until two looks in a row find nothing, for at most 5 s.
///
/// # Errors
/// When the processes of this machine cannot be listed, or not be looked at for want of descriptors
/// or memory.
pub fn sweep(run_dir: &Path, run_id: &str) -> io::Result<SweepReport> {
    let until_ms = boot_ms().saturating_add(SWEEP_MAX_MS);
    let unsure_until_ms = boot_ms().saturating_add(UNSURE_MAX_MS);
    let group = cgroup_of(run_dir, run_id)?;
    let mut killed = BTreeSet::new();
    let mut survivors = BTreeSet::new();
    let mut clean_looks = 0;
    while clean_looks < 2 && boot_ms() < until_ms {
        if let Some(group) = &group {
            kill_group(group, &mut killed);
        }
        let Look { found, is_sure } = look(run_id)?;
        survivors = found.iter().map(|(pid, _)| *pid).collect();
        if !found.is_empty() {
            clean_looks = 0;
        } else if is_sure || boot_ms() >= unsure_until_ms {
            clean_looks += 1;
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
        for (pid, handle) in found {
            // One that may not be signalled stays in `survivors`.
            if handle.signal(Signal::KILL).is_ok() && handle.wait(DEATH_MS).unwrap_or(false) {
                survivors.remove(&pid);
                killed.insert(pid);
            }
        }
    }
    let cgroup_gone = group.is_none_or(|group| remove_group(group, until_ms));
    Ok(SweepReport {
        killed: killed.into_iter().collect(),
        survivors: survivors.into_iter().collect(),
        cgroup_gone,
    })
}

/// Name of the control group of a run.
pub(crate) fn cgroup_name(run_id: &str) -> String {
    format!("eud-{run_id}")
}

/// The run's control group, if it has one.
///
/// # Errors
/// When it cannot be told for want of descriptors or memory.
pub fn cgroup_of(run_dir: &Path, run_id: &str) -> io::Result<Option<Cgroup>> {
    let noted = unless_in_want(note::noted(run_dir))?.flatten();
    let path = noted.and_then(|noted| noted.cgroup);
    Ok(path.and_then(|path| Cgroup::at(&path, &cgroup_name(run_id))))
}

/// What is told of a process or file, if anything; but a want of descriptors or memory is an error.
fn unless_in_want<T>(told: io::Result<T>) -> io::Result<Option<T>> {
    match told {
        Err(error) if eud_sys::is_want(&error) => Err(error),
        told => Ok(told.ok()),
    }
}

fn kill_group(group: &Cgroup, killed: &mut BTreeSet<u32>) {
    let members = group.members().unwrap_or_default();
    let handles: Vec<_> = members
        .into_iter()
        .filter_map(|pid| Some((pid, Handle::of_whoever_is(pid).ok()?)))
        .collect();
    if handles.is_empty() || group.kill().is_err() {
        return;
    }
    for (pid, handle) in handles {
        if handle.wait(DEATH_MS).unwrap_or(false) {
            killed.insert(pid);
        }
    }
}

/// One look at all processes.
struct Look {
    /// Those born with the run's id, each with a handle opened before that was seen.
    found: Vec<(u32, Handle)>,
    /// None was in the middle of an exec, where its environment cannot be seen.
    is_sure: bool,
}

fn look(run_id: &str) -> io::Result<Look> {
    let item = format!("EUD_RUN_ID={run_id}");
    let mut found = Vec::new();
    let mut is_sure = true;
    for pid in process::all()?
        .into_iter()
        .filter(|pid| *pid != std::process::id())
    {
        // Asked first: what is not in an exec now shows the environment it was born with.
        if process::is_in_exec(pid) {
            is_sure = false;
            continue;
        }
        // A cheap look, then the proof: nearly all are strangers.
        let has_item = || unless_in_want(process::environment_has(pid, item.as_bytes()));
        if has_item()? != Some(true) {
            continue;
        }
        let Some(handle) = unless_in_want(Handle::of_whoever_is(pid))? else {
            continue;
        };
        let is_proven = has_item()? == Some(true);
        let stat = unless_in_want(process::stat(pid))?;
        if is_proven && stat.is_some_and(|stat| !stat.is_dead()) {
            found.push((pid, handle));
        }
    }
    Ok(Look { found, is_sure })
}

/// A group that was just emptied can be removed only when its last process is collected.
fn remove_group(group: Cgroup, until_ms: u64) -> bool {
    let path = group.path().to_owned();
    while group.is_populated().unwrap_or(false) && boot_ms() < until_ms {
        std::thread::sleep(Duration::from_millis(1));
    }
    group.remove().is_ok() || !path.exists()
}
