//! The rig: a folder with services that do nothing but say when they began.
//!
//! Invariants: every supervisor is given the same commands; a stamp file is read whole lines only.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::processes::{self, TempDir};
use crate::{Failure, cmd};

const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// One start of one service, as the service saw it.
#[derive(Debug, Clone)]
pub(crate) struct Stamp {
    pub(crate) name: String,
    pub(crate) pid: u32,
    /// `CLOCK_MONOTONIC`.
    pub(crate) at_ns: u64,
}

/// Services to measure with.
pub(crate) struct Rig {
    dir: TempDir,
    probe: PathBuf,
    names: Vec<String>,
}

impl Rig {
    /// `count` idle services.
    pub(crate) fn new(label: &str, count: usize) -> Result<Self, Failure> {
        let dir = TempDir::new(&format!("eud-bench-{label}"))?;
        let names = (1..=count).map(|n| format!("idle-{n:04}")).collect();
        Ok(Self {
            dir,
            probe: cmd::target("release").join("bench-probe"),
            names,
        })
    }

    /// Folder of this rig.
    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Names of the services.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// Command of a service.
    pub(crate) fn command(&self, words: &[&str]) -> Vec<String> {
        let probe = self.probe.display().to_string();
        let (verb, rest) = words.split_first().unwrap_or((&"idle", &[]));
        let stamps = self.stamp_file().display().to_string();
        let mut command = vec![probe, (*verb).to_owned(), stamps];
        command.extend(rest.iter().map(|word| (*word).to_owned()));
        command
    }

    fn stamp_file(&self) -> PathBuf {
        self.dir.path().join("stamps")
    }

    /// Every stamp so far.
    pub(crate) fn stamps(&self) -> Vec<Stamp> {
        let text = fs::read_to_string(self.stamp_file()).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let stamp = |line: &str| {
            let mut words = line.split(' ');
            let name = words.next()?.to_owned();
            Some(Stamp {
                name,
                pid: words.next()?.parse().ok()?,
                at_ns: words.next()?.parse().ok()?,
            })
        };
        whole.lines().filter_map(stamp).collect()
    }

    /// Forgets the stamps.
    pub(crate) fn clear(&self) {
        // Absent is as good as removed.
        let _ = fs::remove_file(self.stamp_file());
    }

    /// Waits until there are `count` stamps, and returns them.
    pub(crate) fn wait_for(&self, count: usize) -> Result<Vec<Stamp>, Failure> {
        processes::wait_for(&format!("{count} stamps"), PATIENCE, LOOK_EVERY, || {
            let stamps = self.stamps();
            (stamps.len() >= count).then_some(stamps)
        })
    }

    /// Waits until none of these processes is left.
    pub(crate) fn wait_gone(&self, pids: &[u32]) -> Result<(), Failure> {
        processes::wait_for("the end of all services", PATIENCE, LOOK_EVERY, || {
            (!pids.iter().any(|pid| processes::is_alive(*pid))).then_some(())
        })
    }

    /// The floor: starts two processes per service, a shim and the command, and nothing else.
    /// Returns the milliseconds from the first spawn to the last stamp.
    pub(crate) fn bare_spawn_ms(&self) -> Result<f64, Failure> {
        self.clear();
        let begun = processes::monotonic_ns();
        let mut shims = Vec::with_capacity(self.names.len());
        for name in &self.names {
            let words = self.command(&["shim", name]);
            shims.push(spawn(&words)?);
        }
        let stamps = self.wait_for(self.names.len());
        let last = stamps
            .as_ref()
            .ok()
            .and_then(|s| s.iter().map(|s| s.at_ns).max());
        // The commands first: each shim ends when its command does.
        for stamp in self.stamps() {
            let _ = processes::signal(stamp.pid, rustix::process::Signal::KILL);
        }
        for shim in &mut shims {
            let _ = shim.wait();
        }
        stamps?;
        Ok(ms(last.unwrap_or(begun).saturating_sub(begun)))
    }
}

impl Rig {
    /// What this disk takes to make a small file durable, in milliseconds, one value per try. Every
    /// restart waits for two of these: the record of the end, and the intent to start again.
    pub(crate) fn fsync_ms(&self, tries: usize) -> Result<Vec<f64>, Failure> {
        let path = self.dir.path().join("durable");
        let once = || {
            let begun = processes::monotonic_ns();
            let mut file = fs::File::create(&path)?;
            file.write_all(&[b'x'; 300])?;
            file.sync_all()?;
            Ok(ms(processes::monotonic_ns().saturating_sub(begun)))
        };
        let times: std::io::Result<Vec<f64>> = (0..tries).map(|_| once()).collect();
        times.map_err(|e| format!("{}: {e}", path.display()))
    }

    /// The floor of a restart: a parent that waits for its child and starts it again, nothing else.
    /// Returns the milliseconds from each kill to the new process's stamp.
    pub(crate) fn bare_respawn_ms(&self, kills: usize) -> Result<Vec<f64>, Failure> {
        self.clear();
        let words = self.command(&["idle", "bare"]);
        let mut child = spawn(&words)?;
        let mut times = Vec::with_capacity(kills);
        for count in 1..=kills {
            self.wait_for(count)?;
            let killed = processes::monotonic_ns();
            child
                .kill()
                .and_then(|()| child.wait())
                .map_err(|e| format!("bare child: {e}"))?;
            child = spawn(&words)?;
            let stamps = self.wait_for(count + 1)?;
            let last = stamps.last().map_or(killed, |stamp| stamp.at_ns);
            times.push(ms(last.saturating_sub(killed)));
        }
        let _ = child.kill().and_then(|()| child.wait());
        self.clear();
        Ok(times)
    }
}

fn spawn(words: &[String]) -> Result<Child, Failure> {
    let (program, args) = words.split_first().ok_or("no command")?;
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().map_err(|e| format!("{program}: {e}"))
}

/// Nanoseconds as milliseconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "durations are far below 2^52 ns"
)]
pub(crate) fn ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}
