//! A thousand services.

use std::fs;
use std::time::{Duration, Instant};

use crate::support::fleet::Fleet;
use crate::support::processes::Process;
use crate::support::{alone, eventually};

/// How many there are; `EUD_MANY` changes it.
const MANY: usize = 1_000;
/// Memory of the manager, resident, in kB. Programs that are not optimised are larger.
const MANAGER_KB_MAX: u64 = if cfg!(debug_assertions) {
    80_000
} else {
    40_000
};
/// How long all of it may take.
const LIMIT: Duration = Duration::from_secs(60);

fn resident_kb(process: Process) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", process.pid)).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn many_services_come_up_are_counted_are_taken_back_and_all_stop() {
    let many = std::env::var("EUD_MANY").map_or(MANY, |n| n.parse().unwrap());
    let _alone = alone();
    let text: String = (0..many)
        .map(|n| format!("[daemons.d{n}]\ncommand = [\"sleep\", \"100000\"]\n"))
        .collect();
    let fleet = Fleet::new(&text);
    let begun = Instant::now();
    fleet.eud("up", 0);
    let up = begun.elapsed();
    let status = fleet.status();
    assert_eq!(status["summary"]["total"], many);
    assert_eq!(status["summary"]["up"], many, "{}", status["summary"]);
    let rows = status["daemons"].as_array().unwrap();
    let commands: Vec<Process> = rows
        .iter()
        .map(|unit| Process::of(u32::try_from(unit["pid"].as_u64().unwrap()).unwrap()).unwrap())
        .collect();
    let memory = resident_kb(fleet.manager());
    let again = Instant::now();
    fleet.kill_manager();
    fleet.eud("up --wait 0s", 0);
    let back = again.elapsed();
    eventually("all taken back", || {
        (fleet.status()["summary"]["up"] == many).then_some(())
    });
    assert!(commands.iter().all(|one| one.is_alive()));
    let stopping = Instant::now();
    fleet.eud("down", 0);
    let down = stopping.elapsed();
    assert!(commands.iter().all(|one| !one.is_alive()));
    fleet.until_nobody_is_left();
    eprintln!(
        "{many} services: up in {up:?}, manager {memory} kB, control back in {back:?}, down in {down:?}"
    );
    assert!(memory <= MANAGER_KB_MAX, "the manager takes {memory} kB");
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
}
