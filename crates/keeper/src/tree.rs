//! The processes of a run, and signals to all of them.
//!
//! Invariants: the keeper is a subreaper, so its descendants are the run's processes, all of them,
//! also those that forked twice or left the session; each is proven before it is signalled (see
//! [`eud_sys::process`]). That nothing is left is known only when the kernel says there is no
//! child.

use std::collections::BTreeSet;

use eud_sys::cgroup::Cgroup;
use eud_sys::process::{self, Identity};
use eud_sys::signal::Signal;

/// Rounds of looking for processes that were forked while others were signalled.
const ROUNDS_MAX: usize = 4;

/// Sends a signal to every process of the tree, parents before their children, once to each. Says
/// how many there are.
pub(crate) fn signal_all(signal: Signal) -> usize {
    let mut reached: BTreeSet<Identity> = BTreeSet::new();
    for _ in 0..ROUNDS_MAX {
        let found = process::descendants(std::process::id()).unwrap_or_default();
        let new: Vec<Identity> = found.into_iter().filter(|id| reached.insert(*id)).collect();
        if new.is_empty() {
            break;
        }
        for identity in new {
            // One of another user, to which we have no right, stays; killing will meet it again.
            let _ = process::signal(identity, signal);
        }
    }
    reached.len()
}

/// Kills every process of the tree that can be found now.
pub(crate) fn kill_all(cgroup: Option<&Cgroup>) {
    if let Some(cgroup) = cgroup {
        // Kernels before 5.14 cannot; the walk does the same, less quickly.
        let _ = cgroup.kill();
    }
    // Also with a cgroup: a process may have been moved out of it.
    signal_all(Signal::KILL);
}
