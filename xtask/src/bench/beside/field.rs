//! A supervisor at work: started, looked at, and cleared away.
//!
//! Invariants: a process is a supervisor's when it began after this did and has one of its names;
//! whatever happens, everything that began here is gone in the end.

use std::collections::BTreeSet;
use std::fs;
use std::process::Child;
use std::time::Duration;

use rustix::process::Signal;

use crate::bench::peers::{self, Job, Peer, Service, Stop};
use crate::bench::rig::{Rig, Stamp, ms};
use crate::{Failure, processes};

/// How long anything is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(40);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A supervisor and its services.
pub(super) struct Field<'a> {
    peer: &'a dyn Peer,
    /// What it was given.
    pub(super) job: Job<'a>,
    rig: &'a Rig,
    before: BTreeSet<u32>,
    child: Option<Child>,
}

impl<'a> Field<'a> {
    /// Prepared, not started.
    pub(super) fn new(
        peer: &'a dyn Peer,
        rig: &'a Rig,
        services: &'a [Service],
        logs: bool,
    ) -> Result<Self, Failure> {
        let dir = rig.dir().join(format!("work-{}", peer.name()));
        // One that is there is from an earlier try.
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let job = Job {
            dir,
            services,
            logs,
        };
        peer.configure(&job)?;
        Ok(Self {
            peer,
            job,
            rig,
            before: processes::all().into_iter().collect(),
            child: None,
        })
    }

    /// Starts the supervisor. Returns the moment before.
    pub(super) fn start(&mut self) -> Result<u64, Failure> {
        let command = self.peer.start(&self.job);
        let begun = processes::monotonic_ns();
        self.child = Some(peers::spawn(command)?);
        Ok(begun)
    }

    /// Waits until there are `count` stamps.
    pub(super) fn stamps(&self, count: usize) -> Result<Vec<Stamp>, Failure> {
        processes::wait_for(&format!("{count} starts"), PATIENCE, LOOK_EVERY, || {
            let stamps = self.rig.stamps();
            (stamps.len() >= count).then_some(stamps)
        })
    }

    /// Processes on the supervisor's side.
    pub(super) fn supervisors(&self) -> Vec<u32> {
        self.named(|name| self.peer.programs().iter().any(|p| name.starts_with(p)))
    }

    /// The one that is killed when the supervisor is.
    pub(super) fn chief(&self) -> Result<u32, Failure> {
        let chief = self.peer.chief();
        let found = self.named(|name| name == chief || name.starts_with(&format!("{chief} ")));
        found.first().copied().ok_or(format!("no process {chief}"))
    }

    fn named(&self, is: impl Fn(&str) -> bool) -> Vec<u32> {
        let name = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let mut found: Vec<u32> = processes::all()
            .into_iter()
            .filter(|pid| !self.before.contains(pid) && processes::is_alive(*pid))
            .filter(|pid| is(name(pid).trim_end_matches('\n')))
            .collect();
        found.sort_unstable();
        found
    }

    /// Ends all services the supervisor's way, and waits until these are gone. Milliseconds.
    pub(super) fn stop(&mut self, pids: &[u32], patience: Duration) -> Result<f64, Failure> {
        let stop = self.peer.stop(&self.job);
        let begun = processes::monotonic_ns();
        let mut command = match stop {
            Stop::Command(command) => Some(peers::spawn(command)?),
            Stop::Signal(signal) => {
                self.signal(signal)?;
                None
            }
            Stop::KillThen(command) => {
                self.signal(Signal::KILL)?;
                Some(peers::spawn(command)?)
            }
        };
        let gone = processes::wait_for("the end of all services", patience, LOOK_EVERY, || {
            (!pids.iter().any(|pid| processes::is_alive(*pid))).then(processes::monotonic_ns)
        });
        if let Some(command) = &mut command {
            // It may wait for what does not end.
            let _ = processes::wait_for(
                "the stop command",
                Duration::from_secs(5),
                LOOK_EVERY,
                || command.try_wait().ok().flatten(),
            );
            let _ = command.kill();
            let _ = command.wait();
        }
        Ok(ms(gone?.saturating_sub(begun)))
    }

    fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let child = self.child.as_ref().ok_or("not started")?;
        processes::signal(child.id(), signal)
    }

    /// CPU time of the supervisor's side, in milliseconds.
    pub(super) fn cpu_ms(&self) -> f64 {
        let sum: u64 = self
            .supervisors()
            .iter()
            .filter_map(|pid| processes::cpu_ns(*pid))
            .sum();
        ms(sum)
    }

    fn everything(&self) -> Vec<u32> {
        let dir = self.rig.dir().display().to_string();
        let mut all = self.supervisors();
        all.extend(
            processes::that_name(&dir)
                .into_iter()
                .filter(|pid| !self.before.contains(pid)),
        );
        all
    }
}

impl Drop for Field<'_> {
    fn drop(&mut self) {
        // Those that restart others first, then what they left.
        for _ in 0..200 {
            let left = self.everything();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = processes::signal(pid, Signal::KILL);
            }
            if let Some(child) = &mut self.child {
                let _ = child.try_wait();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.job.dir);
    }
}
