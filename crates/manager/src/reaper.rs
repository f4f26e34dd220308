//! Collecting children.
//!
//! Purpose: no child of this process stays a zombie: keepers, tests, secret commands, and strangers
//! that a subreaper or process 1 inherits.
//! Invariants: a child started through [`Reaper::start`] is reported exactly once; a child that
//! nobody announced is left for a while to whoever started it, then collected.
//! Deliberately absent: any meaning of a keeper's exit. Its record says what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use eud_sys::reap::{self, Ending, Next};
use eud_sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// How long a child that nobody announced is left alone.
const STRANGER_GRACE: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reaper(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// Children whose end somebody awaits.
    awaited: BTreeMap<u32, oneshot::Sender<Ending>>,
    /// Children whose end is learned in another way.
    keepers: BTreeSet<u32>,
}

impl Reaper {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a command, as leader of a process group, whose end will be reported. What it leaves
    /// behind in its group is killed then.
    pub(crate) fn start(
        &self,
        command: &mut Command,
    ) -> io::Result<(Child, oneshot::Receiver<Ending>)> {
        let (tell, told) = oneshot::channel();
        // Held across the start, so that the end cannot be seen before the child is known.
        let mut known = self.known();
        let child = command.process_group(0).spawn()?;
        known.awaited.insert(child.id(), tell);
        Ok((child, told))
    }

    /// Kills the group of a child started here, unless it has been collected.
    pub(crate) fn kill(&self, pid: u32) {
        let known = self.known();
        if known.awaited.contains_key(&pid) {
            // Whoever awaits its end learns of the success; a failure leaves it to its own time.
            let _ = eud_sys::process::signal_child_group(pid, Signal::KILL);
        }
    }

    /// Announces a keeper.
    pub(crate) fn keeper(&self, pid: u32) {
        self.known().keepers.insert(pid);
    }

    /// Collects for ever.
    pub(crate) async fn run(self) -> io::Result<()> {
        let mut ended = signal(SignalKind::child())?;
        let mut strangers_wait = self.collect(false);
        loop {
            if strangers_wait {
                let woken = tokio::time::timeout(STRANGER_GRACE, ended.recv())
                    .await
                    .is_ok();
                strangers_wait = self.collect(!woken);
            } else {
                ended.recv().await;
                strangers_wait = self.collect(false);
            }
        }
    }

    /// Collects what has ended. True when strangers were left.
    fn collect(&self, strangers_too: bool) -> bool {
        let mut known = self.known();
        loop {
            let Ok(Some(pid)) = reap::peek() else {
                return false;
            };
            let ours = known.awaited.contains_key(&pid) || known.keepers.contains(&pid);
            if !ours && !strangers_too {
                // It hides others behind it: those are asked for one by one.
                let pids: Vec<u32> = known
                    .keepers
                    .iter()
                    .chain(known.awaited.keys())
                    .copied()
                    .collect();
                for pid in pids {
                    known.collect(pid);
                }
                return true;
            }
            if !known.collect(pid) {
                return false;
            }
        }
    }
}

impl Known {
    /// True when it was collected.
    fn collect(&mut self, pid: u32) -> bool {
        let dead = || eud_sys::process::stat(pid).is_ok_and(eud_sys::process::Stat::is_dead);
        if self.awaited.contains_key(&pid) && dead() {
            // Not collected yet, so the number still means this group. One that is empty is fine.
            let _ = eud_sys::process::signal_child_group(pid, Signal::KILL);
        }
        match reap::this(pid) {
            Ok(Next::Reaped(reaped)) => {
                self.keepers.remove(&pid);
                if let Some(tell) = self.awaited.remove(&pid) {
                    // Whoever asked may have given up waiting.
                    let _ = tell.send(reaped.ending);
                }
                true
            }
            Ok(Next::AllAlive) => false,
            Ok(Next::NoChildren) | Err(_) => {
                self.keepers.remove(&pid);
                self.awaited.remove(&pid);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test: children belong to the whole process, and tests of one process share them.
    #[tokio::test]
    async fn announced_children_are_reported_and_strangers_are_left_to_their_starter() {
        let reaper = Reaper::default();
        let mut stranger = Command::new("true").spawn().unwrap();
        let running = tokio::spawn(reaper.clone().run());
        let (_child, told) = reaper
            .start(Command::new("sh").args(["-c", "exit 3"]))
            .unwrap();
        assert_eq!(told.await.unwrap(), Ending::Exited(3));
        let (_child, told) = reaper
            .start(Command::new("sh").args(["-c", "kill -9 $$"]))
            .unwrap();
        assert_eq!(
            told.await.unwrap(),
            Ending::Killed {
                signal: 9,
                core: false
            }
        );
        assert!(
            stranger.wait().unwrap().success(),
            "its starter must get its status"
        );
        let orphan = Command::new("true").spawn().unwrap();
        let pid = orphan.id();
        drop(orphan);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while eud_sys::process::stat(pid).is_ok() {
            assert!(
                tokio::time::Instant::now() < deadline,
                "a stranger is collected in the end"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.abort();
    }
}
