//! Everybody is killed at any time, while people give orders.

mod faults;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::fleet::{Fleet, diarist};
use crate::support::processes::Process;
use crate::support::wire::Wire;
use crate::support::{Dice, PATIENCE, alone};

use faults::SmallDisk;

/// Steps of a test; `EUD_CHAOS` changes it, `EUD_SEED` the seed.
const STEPS: usize = 120;
/// Units of each nature; `EUD_UNITS` changes how many there are in all.
const EACH: u64 = 2;
/// Natures of units: see [`nature`].
const NATURES: u64 = 8;

/// What a unit shall be by what was acknowledged last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Up,
    Down,
    Held,
}

/// What a unit does: it has children that ignore TERM, ignores it itself, crashes at random, writes
/// to both outputs, says five lines and rests, says many at once, has many children, or listens.
fn nature(n: u64, ports: &[u16]) -> String {
    match n % NATURES {
        0 => "--family".to_owned(),
        1 => "--ignore-term".to_owned(),
        2 => "--odds 40 --code 3,4,5".to_owned(),
        3 => "--every 2 --stderr-each 3".to_owned(),
        4 => "--lines 5".to_owned(),
        5 => "--every 0 --lines 300 --width 100".to_owned(),
        6 => "--swarm 8".to_owned(),
        _ => format!("--listen {}", port_of(n, ports)),
    }
}

fn port_of(n: u64, ports: &[u16]) -> u16 {
    ports[usize::try_from(n / NATURES).unwrap()]
}

fn free_ports(count: u64) -> Vec<u16> {
    let bind = |_| std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    // All at once, so that they differ.
    let listeners: Vec<_> = (0..count).map(bind).collect();
    let port = |one: &std::net::TcpListener| one.local_addr().unwrap().port();
    listeners.iter().map(port).collect()
}

fn fleet_text(units: u64, ports: &[u16]) -> String {
    let rest = "restart = { limit = 0, backoff = { initial = \"1ms\", max = \"40ms\" } }\n\
                stop = { grace = \"150ms\" }\nlog = { max_size = \"16KiB\", keep = 1000 }";
    let unit = |n: u64| {
        // Those given last come last: a nature may want another pace.
        let args = format!("--every 15 --seed {n} {}", nature(n, ports));
        let listens = n % NATURES == NATURES - 1;
        let port = port_of(n, ports);
        let rest = if listens {
            format!("{rest}\nports = [{port}]")
        } else {
            rest.to_owned()
        };
        diarist(&format!("d{n}"), &args, &rest)
    };
    (0..units).map(unit).collect()
}

struct Chaos {
    fleet: Fleet,
    dice: Dice,
    wanted: BTreeMap<String, Wanted>,
    done: Vec<String>,
    /// How many units there are.
    units: u64,
    /// Ports that some of them listen on.
    ports: Vec<u16>,
    /// What was done how often.
    counts: BTreeMap<&'static str, u64>,
    /// Where the state is, if it can be filled. Dropped after the fleet.
    disk: Option<SmallDisk>,
}

impl Chaos {
    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn step(&mut self) {
        let name = format!("d{}", self.dice.below(self.units));
        let what = self.dice.below(100);
        self.done.push(format!("{what} {name}"));
        match what {
            0..15 => self.kill_manager(),
            15..30 => {
                if let Some(keeper) = self.keeper(&name) {
                    keeper.signal(Signal::KILL);
                    self.count("keeper");
                }
            }
            30..38 => {
                if let Some(command) = self.live(&name) {
                    command.signal(Signal::KILL);
                    self.count("command");
                }
            }
            38 => self.two_managers(),
            39 => self.broken_file(),
            40 => self.few_descriptors(&name),
            41 => self.full_disk(&name),
            42 => self.suspend(self.manager()),
            43 => self.suspend(self.keeper(&name)),
            44 => self.suspend(self.live(&name)),
            45 => self.steal_port(),
            46..60 => self.order("daemon.stop", &name, Some(Wanted::Down)),
            60..80 => self.order("daemon.start", &name, Some(Wanted::Up)),
            80..85 => self.order("daemon.restart", &name, Some(Wanted::Up)),
            85..90 => self.order("daemon.hold", &name, Some(Wanted::Held)),
            90..96 => self.order("daemon.release", &name, None),
            96..98 => {
                Process::of(self.wire().peer()).map(|manager| manager.signal(Signal::HUP));
            }
            _ => std::thread::sleep(Duration::from_millis(self.dice.below(100))),
        }
        if self.dice.below(3) == 0 {
            std::thread::sleep(Duration::from_millis(self.dice.below(60)));
        }
    }

    /// The command of a unit, by its own diary.
    fn live(&self, name: &str) -> Option<Process> {
        let diary = self.fleet.diary(name);
        diary
            .starts
            .last()
            .map(|start| start.process)
            .filter(|process| process.is_alive())
    }

    fn wire(&self) -> Wire {
        Wire::to(self.fleet.state()).unwrap_or_else(|e| panic!("{e}: {:?}", self.done))
    }

    fn kill_manager(&mut self) {
        self.count("manager");
        self.fleet.kill_manager();
        let up = self.fleet.run("up --wait 0s");
        assert_eq!(up.code, 0, "{up}: {:?}", self.done);
    }

    /// Gives an order; what is acknowledged is wanted from then on.
    fn order(&mut self, method: &str, name: &str, wanted: Option<Wanted>) {
        let held = self.wanted[name] == Wanted::Held;
        let answer = self.wire().call(method, &json!({"names": [name]}));
        let told = if answer.is_ok() { "done" } else { "refused" };
        self.done.push(format!("{method} {name}: {told}"));
        match (answer, wanted) {
            (Ok(_), Some(wanted)) if held && wanted != Wanted::Held => {
                assert_eq!(
                    method, "daemon.stop",
                    "{method} of {name}, which is held: {:?}",
                    self.done
                );
            }
            (Ok(_), Some(wanted)) => {
                self.wanted.insert(name.to_owned(), wanted);
            }
            // What was wanted before the hold is asked for anew.
            (Ok(_), None) => {
                if held {
                    self.order("daemon.stop", name, Some(Wanted::Down));
                    self.wanted.insert(name.to_owned(), Wanted::Down);
                }
            }
            (Err(refused), _) => assert_eq!(refused["code"], 1, "{method} {name}: {refused}"),
        }
    }

    /// Everything becomes what was acknowledged, and stays so.
    fn settles(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.fleet.status();
            let wrong: Vec<_> = status["daemons"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|unit| {
                    let name = unit["name"].as_str().unwrap();
                    let expected: &[&str] = match self.wanted[name] {
                        Wanted::Up => &["up", "backoff", "starting"],
                        Wanted::Down => &["stopped"],
                        Wanted::Held => &["held"],
                    };
                    let lives = self.live(name).is_some();
                    let is_state = expected.iter().any(|state| unit["state"] == *state);
                    !is_state || (lives && self.wanted[name] != Wanted::Up)
                })
                .collect();
            if wrong.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{wrong:?}\n{:?}\n{:?}",
                self.wanted,
                self.done
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn parent(of: Process) -> Option<Process> {
    let text = std::fs::read_to_string(format!("/proc/{}/status", of.pid)).ok()?;
    let parent = text
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))?
        .trim()
        .parse()
        .ok()?;
    let words = std::fs::read_to_string(format!("/proc/{parent}/cmdline")).ok()?;
    // Once the keeper is gone, the parent is somebody else.
    words
        .contains("eud-keeper")
        .then(|| Process::of(parent))
        .flatten()
}

/// Folders without an exit record.
fn unrecorded(runs: &Path) -> Vec<String> {
    let folders = std::fs::read_dir(runs).into_iter().flatten();
    let folders = folders.map(|entry| entry.unwrap().path());
    let without = folders.filter(|folder| !folder.join("exit.json").exists());
    without.map(|folder| folder.display().to_string()).collect()
}

#[test]
fn any_mixture_of_deaths_and_orders_ends_as_acknowledged() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (steps, seed) = (number("EUD_CHAOS", STEPS), number("EUD_SEED", 1));
    let units = number("EUD_UNITS", (EACH * NATURES) as usize) as u64;
    let _alone = alone();
    let ports = free_ports(units / NATURES + 1);
    let fleet = Fleet::new(&fleet_text(units, &ports));
    let disk = SmallDisk::mount(fleet.state());
    fleet.eud("up --wait 0s", 0);
    let wanted = (0..units).map(|n| (format!("d{n}"), Wanted::Up)).collect();
    let mut chaos = Chaos {
        fleet,
        dice: Dice(seed as u64),
        wanted,
        done: Vec::new(),
        units,
        ports,
        counts: BTreeMap::new(),
        disk,
    };
    for _ in 0..steps {
        chaos.step();
    }
    chaos.settles();
    let fleet = &chaos.fleet;
    fleet.down();
    let mut starts = 0;
    for name in (0..units).map(|n| format!("d{n}")) {
        let diary = fleet.diary(&name);
        diary.was_alone();
        let runs = fleet.runs(&name);
        diary.agrees_with_disturbed_log(&fleet.folder_of(&name), &runs);
        diary.agrees_with_disturbed_runs(&runs);
        let unrecorded = unrecorded(&fleet.folder_of(&name).join("runs"));
        assert_eq!(unrecorded, [""; 0], "runs of {name} without a record");
        for start in &diary.starts {
            assert!(!start.process.is_alive() && start.family.iter().all(|one| !one.is_alive()));
        }
        starts += diary.starts.len();
    }
    let counts: Vec<String> = chaos
        .counts
        .iter()
        .map(|(k, n)| format!("{k}={n}"))
        .collect();
    eprintln!("chaos: seed={seed} {} starts={starts}", counts.join(" "));
}
