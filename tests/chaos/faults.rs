//! What is done to a fleet besides killing: suspension, broken files, want of descriptors, space
//! and ports.
//!
//! Invariant: every fault is over when its step is over, so that the next step finds a fleet that
//! can obey.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use serde_json::json;

use super::{Chaos, NATURES, parent};
use crate::support::processes::Process;

/// Room for the state of a fleet that is to run out of it.
const DISK: &str = "size=64m,mode=700";
/// Descriptors left to a manager that is short of them.
const DESCRIPTORS_LEFT: u64 = 2;
/// How long a want lasts, in milliseconds.
const WANT_MS: u64 = 60;

impl Chaos {
    /// Whoever it is stands still for a while.
    pub(super) fn suspend(&mut self, who: Option<Process>) {
        let Some(who) = who else { return };
        self.count("suspended");
        who.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(self.dice.below(WANT_MS)));
        who.signal(Signal::CONT);
    }

    /// The manager, as it is known to who is connected.
    pub(super) fn manager(&self) -> Option<Process> {
        Process::of(self.wire().peer())
    }

    /// The keeper of a unit.
    pub(super) fn keeper(&self, name: &str) -> Option<Process> {
        self.live(name).and_then(parent)
    }

    /// Two want to be the manager after the last one died.
    pub(super) fn two_managers(&mut self) {
        self.count("manager");
        self.count("rivals");
        self.fleet.kill_manager();
        let rival = || self.fleet.command("up --wait 0s").spawn().unwrap();
        let rivals = [rival(), rival()];
        for mut rival in rivals {
            let status = rival.wait().unwrap();
            assert!(status.success(), "{status}: {:?}", self.done);
        }
    }

    /// A fleet file that cannot be used changes nothing; neither does one that comes back.
    pub(super) fn broken_file(&mut self) {
        self.count("files");
        let file = self.fleet.path().join("eud.toml");
        let good = fs::read_to_string(&file).unwrap();
        match self.dice.below(3) {
            0 => fs::remove_file(&file).unwrap(),
            1 => fs::write(&file, format!("{good}\n[daemons.half]\ncommand = [")).unwrap(),
            _ => fs::write(&file, [0xff, 0x00, b'[']).unwrap(),
        }
        self.manager().map(|manager| manager.signal(Signal::HUP));
        let refused = self.wire().call("fleet.reload", &json!({}));
        assert!(refused.is_err(), "{refused:?}: {:?}", self.done);
        // At once: the manager may be reading it just now, because of the signal.
        let whole = self.fleet.path().join("eud.toml.new");
        fs::write(&whole, good).unwrap();
        fs::rename(&whole, &file).unwrap();
        let accepted = self.wire().call("fleet.reload", &json!({}));
        assert!(accepted.is_ok(), "{accepted:?}: {:?}", self.done);
    }

    /// One of those who care for a unit dies, or the unit itself.
    fn lose_one(&mut self, name: &str) {
        let (who, what) = match self.dice.below(2) {
            0 => (self.live(name), "command"),
            _ => (self.keeper(name), "keeper"),
        };
        if who.is_some_and(|who| who.signal(Signal::KILL)) {
            self.count(what);
        }
    }

    /// A unit dies while the manager can open next to nothing.
    pub(super) fn few_descriptors(&mut self, name: &str) {
        let Some(manager) = self.manager() else {
            return;
        };
        self.count("descriptors");
        let pid = i32::try_from(manager.pid).ok().and_then(Pid::from_raw);
        let open = fs::read_dir(format!("/proc/{}/fd", manager.pid)).map_or(0, Iterator::count);
        let few = |old: Rlimit| Rlimit {
            current: Some(open as u64 + DESCRIPTORS_LEFT),
            ..old
        };
        let old = rustix::process::getrlimit(Resource::Nofile);
        let Ok(before) = prlimit(pid, Resource::Nofile, few(old)) else {
            return;
        };
        self.lose_one(name);
        std::thread::sleep(Duration::from_millis(WANT_MS));
        let restored = prlimit(pid, Resource::Nofile, before);
        assert!(restored.is_ok() || !manager.is_alive(), "{restored:?}");
    }

    /// A stranger takes the port of a unit that dies.
    pub(super) fn steal_port(&mut self) {
        let place = self.dice.below(self.ports.len() as u64);
        let n = place * NATURES + NATURES - 1;
        if n >= self.units {
            return;
        }
        self.count("ports");
        self.live(&format!("d{n}"))
            .map(|command| command.signal(Signal::KILL));
        let port = self.ports[usize::try_from(place).unwrap()];
        let begun = Instant::now();
        let stolen = loop {
            match TcpListener::bind(("127.0.0.1", port)) {
                Ok(stolen) => break Some(stolen),
                // The unit may be back already, and keep it.
                Err(_) if begun.elapsed() > Duration::from_millis(WANT_MS) => break None,
                Err(_) => std::thread::yield_now(),
            }
        };
        if stolen.is_some() {
            std::thread::sleep(Duration::from_millis(WANT_MS));
        }
    }

    /// A unit dies while the disk is full, and now and then the manager.
    pub(super) fn full_disk(&mut self, name: &str) {
        if self.disk.is_none() {
            return;
        }
        self.count("disk");
        let filler = self.fleet.state().join("filler");
        if let Ok(mut file) = File::create(&filler) {
            // Ends when nothing more fits.
            while file.write_all(&[0; 65_536]).is_ok() {}
            while file.write_all(&[0]).is_ok() {}
        }
        self.lose_one(name);
        std::thread::sleep(Duration::from_millis(self.dice.below(WANT_MS)));
        let is_manager_lost = self.dice.below(3) == 0;
        if is_manager_lost {
            self.count("manager");
            self.fleet.kill_manager();
            // One that cannot begin leaves everything as it is.
            self.fleet.run("up --wait 0s");
        }
        fs::remove_file(&filler).unwrap();
        if is_manager_lost {
            let up = self.fleet.run("up --wait 0s");
            assert_eq!(up.code, 0, "{up}: {:?}", self.done);
        }
    }
}

/// A small file system in memory, unmounted in the end.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts it there. `None` where that is not allowed.
    pub(super) fn mount(at: &Path) -> Option<Self> {
        fs::create_dir_all(at).ok()?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "none"])
            .arg(at)
            .output();
        let is_mounted = mounted.is_ok_and(|output| output.status.success());
        if !is_mounted {
            eprintln!("no file system can be mounted here: the disk is never full");
        }
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Whoever still works in it keeps it until the end.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}
