//! `cargo xtask demo`: a fleet is started, broken, watched as it recovers, and brought down.
//!
//! Invariants: state, data and ports are the demonstration's own, so it disturbs nothing and can
//! run twice; Ctrl-C at any point ends with `eud down` and the proof that no process is left.

mod tour;

use std::net::TcpListener;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use eud_sys::signal::{Signal, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::fleet::Fleet;
use crate::processes::{self, TempDir};
use crate::{Failure, cmd};

/// The fleet of the demonstration, and what it owns.
struct Demo {
    fleet: Fleet,
    factory: PathBuf,
    /// Folder of state and data; every process of this demonstration names it.
    place: String,
    /// Ctrl-C and TERM arrive here instead of ending this program.
    signals: SignalFd,
}

/// Runs the task.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let seconds = cmd::number(args, "--seconds")?;
    let profile = if cmd::flag(args, "--release") {
        "release"
    } else {
        "debug"
    };
    build(profile)?;
    let dir = TempDir::new("eud-demo")?;
    let signals = SignalFd::new(&[Signal::INT, Signal::TERM, Signal::HUP])
        .map_err(|e| format!("cannot receive signals: {e}"))?;
    let demo = Demo::new(&dir, profile, signals)?;
    let shown = demo.play(seconds);
    let down = demo.leave();
    shown.and(down)
}

fn build(profile: &str) -> Result<(), Failure> {
    cmd::say("building eud, eud-keeper and the factory");
    let mut build = cmd::cargo(&["build", "-p", "eudaemon", "-p", "factory"]);
    if profile == "release" {
        build.arg("--release");
    }
    cmd::run(&mut build)
}

impl Demo {
    fn new(dir: &TempDir, profile: &str, signals: SignalFd) -> Result<Self, Failure> {
        let bin = cmd::target(profile);
        let place = dir.path().display().to_string();
        let file = cmd::root().join("examples/factory/eud.toml");
        let mut fleet = Fleet::new(bin.join("eud"), file, dir.path().join("state"));
        fleet.unblock_signals();
        let factory = bin.join("factory");
        fleet.env("FACTORY_BIN", factory.display().to_string());
        fleet.env("FACTORY_DATA", format!("{place}/data"));
        // The gate closes within seconds.
        fleet.env("FACTORY_FULL", "8".to_owned());
        for (name, port) in ["VAULT", "QUEUE", "MODEL"].iter().zip(free_ports()?) {
            fleet.env(&format!("FACTORY_{name}_PORT"), port.to_string());
            // What `factory expire` and `factory depth` go by.
            fleet.env(&format!("FACTORY_{name}"), format!("127.0.0.1:{port}"));
        }
        Ok(Self {
            fleet,
            factory,
            place,
            signals,
        })
    }

    /// Where the factory keeps its data.
    fn data(&self) -> PathBuf {
        PathBuf::from(&self.place).join("data")
    }

    /// The tour, then the live status.
    fn play(&self, seconds: Option<u64>) -> Result<(), Failure> {
        tour::run(self)?;
        let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stdin());
        match seconds {
            Some(seconds) => self.watch(Some(Duration::from_secs(seconds))),
            None if is_terminal => self.watch(None),
            None => Ok(()),
        }
    }

    /// Live status until Ctrl-C or until the time is over.
    fn watch(&self, limit: Option<Duration>) -> Result<(), Failure> {
        if self.is_interrupted() {
            return Ok(());
        }
        self.title("the live status; Ctrl-C leaves");
        let mut command = self.fleet.eud(&["status", "--watch"]);
        let child = command
            .spawn()
            .map_err(|e| format!("eud status --watch: {e}"))?;
        self.attend(child, limit)
    }

    /// Waits for a child's end, a signal, or the end of the time.
    fn attend(&self, mut child: Child, limit: Option<Duration>) -> Result<(), Failure> {
        let deadline = limit.map(|limit| Instant::now() + limit);
        while child.try_wait().map_err(|e| e.to_string())?.is_none() {
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if self.pause(Duration::from_millis(100)) || is_over {
                // On a terminal Ctrl-C has reached it too; that makes this one no error.
                let _ = processes::signal(child.id(), rustix::process::Signal::INT);
                child.wait().map_err(|e| e.to_string())?;
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits; true when a signal has arrived. The signal stays for whoever asks next.
    fn pause(&self, time: Duration) -> bool {
        let time = Timespec::try_from(time).ok();
        let mut fds = [PollFd::from_borrowed_fd(
            self.signals.as_fd(),
            PollFlags::IN,
        )];
        matches!(poll(&mut fds, time.as_ref()), Ok(n) if n > 0)
    }

    fn is_interrupted(&self) -> bool {
        self.pause(Duration::ZERO)
    }

    fn title(&self, text: &str) {
        cmd::say(&format!("\n── {text}"));
    }

    /// `eud down`, and the proof that nothing is left.
    fn leave(&self) -> Result<(), Failure> {
        self.title("eud down");
        let mut down = self.fleet.eud(&["down"]);
        if cmd::run(&mut down).is_err() {
            // Whoever read the output may have gone on the same Ctrl-C; the fleet goes down all the
            // same.
            cmd::run(down.stdout(Stdio::null()).stderr(Stdio::null()))?;
        }
        // The manager has let go of everything when `eud down` returns, and is about to exit.
        let gone = || processes::that_name(&self.place).is_empty().then_some(());
        let patience = Duration::from_secs(2);
        if processes::wait_for("the end", patience, Duration::from_millis(10), gone).is_ok() {
            let (everyone, place) = (processes::all().len(), &self.place);
            cmd::say(&format!(
                "nothing is left: of {everyone} processes none names {place}"
            ));
            return Ok(());
        }
        let left = processes::that_name(&self.place);
        let left: Vec<String> = left.into_iter().map(processes::command_line).collect();
        Err(format!("processes left behind:\n{}", left.join("\n")))
    }
}

/// Three ports that nobody listens on now.
pub(crate) fn free_ports() -> Result<Vec<u16>, Failure> {
    let listeners: Result<Vec<_>, _> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let listeners = listeners.map_err(|e| format!("no free port: {e}"))?;
    let ports = listeners
        .iter()
        .map(|listener| Ok(listener.local_addr()?.port()));
    ports
        .collect::<std::io::Result<_>>()
        .map_err(|e| format!("no free port: {e}"))
}
