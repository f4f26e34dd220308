//! A hundred services from their start to their end, with logs; and starts of many.

use std::time::Duration;

use rustix::process::Signal;

use super::field::Field;
use super::table::{Cells, Metric};
use crate::bench::Setting;
use crate::bench::peers::{Peer, Service, spawn};
use crate::bench::report::median;
use crate::bench::restart::pause;
use crate::bench::rig::{Rig, Stamp, ms};
use crate::{Failure, processes};

const SERVICES: usize = 100;
const STORM: usize = 50;
const KILLS: usize = 20;
/// Restarts are measured no longer than this.
const KILLS_MAX: Duration = Duration::from_secs(8);
/// Some restart what lived shorter than a second later than what lived longer.
const SETTLED: Duration = Duration::from_millis(1_500);
const IDLE: Duration = Duration::from_secs(4);
const STOP_MAX: Duration = Duration::from_secs(20);

fn services(rig: &Rig) -> Vec<Service> {
    let service = |name: &String| Service {
        name: name.clone(),
        words: rig.command(&["idle", name]),
    };
    rig.names().iter().map(service).collect()
}

fn last_ms(begun: u64, stamps: &[Stamp]) -> f64 {
    let last = stamps.iter().map(|s| s.at_ns).max().unwrap_or(begun);
    ms(last.saturating_sub(begun))
}

/// Start, status, restarts, memory, rest, storm, stop.
pub(super) fn run(_: &Setting, peer: &dyn Peer, cells: &mut Cells) -> Result<(), Failure> {
    let rig = Rig::new(&format!("beside-{}", peer.name()), SERVICES)?;
    let services = services(&rig);
    let mut field = Field::new(peer, &rig, &services, true)?;
    let begun = field.start()?;
    let stamps = field.stamps(SERVICES)?;
    let mut add = |metric, value| cells.add(peer.name(), metric, value);
    add(Metric::Start100, last_ms(begun, &stamps));
    std::thread::sleep(SETTLED);
    if let Some(times) = status_ms(&field, peer)? {
        add(Metric::Status, times);
    }
    rest(&field, &mut add);
    let mut live: Vec<Stamp> = stamps;
    for time in restarts_ms(&field, &mut live)? {
        add(Metric::Restart, time);
    }
    let (took, cpu) = storm(&field, &mut live)?;
    add(Metric::Storm, took);
    add(Metric::StormCpu, cpu);
    let pids: Vec<u32> = live.iter().map(|stamp| stamp.pid).collect();
    add(Metric::Stop, field.stop(&pids, STOP_MAX)?);
    Ok(())
}

fn status_ms(field: &Field<'_>, peer: &dyn Peer) -> Result<Option<f64>, Failure> {
    let mut times = Vec::new();
    for _ in 0..5 {
        let Some(command) = peer.status(&field.job) else {
            return Ok(None);
        };
        let begun = processes::monotonic_ns();
        // Some exit non-zero to say that not all is well.
        let _ = spawn(command)?.wait();
        times.push(ms(processes::monotonic_ns().saturating_sub(begun)));
    }
    Ok(Some(median(times)))
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn rest(field: &Field<'_>, add: &mut impl FnMut(Metric, f64)) {
    let pids = field.supervisors();
    let pss: u64 = pids.iter().filter_map(|p| processes::pss_kb(*p)).sum();
    add(Metric::Pss, pss as f64 / 1e3);
    add(Metric::Processes, pids.len() as f64);
    let wakeups = || -> u64 {
        let switches = |pid: &u32| processes::voluntary_switches(*pid);
        pids.iter().filter_map(switches).sum()
    };
    let (before, cpu) = (wakeups(), field.cpu_ms());
    std::thread::sleep(IDLE);
    let woken = wakeups().saturating_sub(before);
    add(Metric::Wakeups, woken as f64 / IDLE.as_secs_f64());
    let spent = (field.cpu_ms() - cpu).max(0.0);
    add(Metric::IdleCpu, spent / 10.0 / IDLE.as_secs_f64());
}

fn restarts_ms(field: &Field<'_>, live: &mut [Stamp]) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::new();
    let begun = std::time::Instant::now();
    let services = live.len();
    for (count, victim) in live.iter_mut().take(KILLS).enumerate() {
        if begun.elapsed() > KILLS_MAX {
            break;
        }
        pause(count);
        let killed = processes::monotonic_ns();
        processes::signal(victim.pid, Signal::KILL)?;
        let stamps = field.stamps(services + count + 1)?;
        let back = stamps.into_iter().next_back().ok_or("no stamp")?;
        times.push(ms(back.at_ns.saturating_sub(killed)));
        *victim = back;
    }
    std::thread::sleep(SETTLED);
    Ok(times)
}

/// Half of them die at once. Milliseconds until all are back, and of the supervisor's CPU.
fn storm(field: &Field<'_>, live: &mut Vec<Stamp>) -> Result<(f64, f64), Failure> {
    let so_far = field.stamps(0)?.len();
    let cpu = field.cpu_ms();
    // Those that have not been killed before: what dies again is restarted later.
    let mut kept = std::mem::take(live);
    *live = kept.split_off(kept.len().saturating_sub(STORM));
    let begun = processes::monotonic_ns();
    for victim in live.iter() {
        processes::signal(victim.pid, Signal::KILL)?;
    }
    let stamps = field.stamps(so_far + live.len())?;
    let back = stamps.get(so_far..).unwrap_or_default();
    let took = last_ms(begun, back);
    *live = kept.into_iter().chain(back.iter().cloned()).collect();
    Ok((took, (field.cpu_ms() - cpu).max(0.0)))
}

/// Starts of 500 and 1,000, without logs.
pub(super) fn start_many(_: &Setting, peer: &dyn Peer, cells: &mut Cells) -> Result<(), Failure> {
    for (count, metric) in [(500, Metric::Start500), (1_000, Metric::Start1000)] {
        let rig = Rig::new(&format!("many-{}", peer.name()), count)?;
        let services = services(&rig);
        let mut field = Field::new(peer, &rig, &services, false)?;
        let begun = field.start()?;
        let stamps = field.stamps(count)?;
        cells.add(peer.name(), metric, last_ms(begun, &stamps));
        let pids: Vec<u32> = stamps.iter().map(|stamp| stamp.pid).collect();
        // Only so that they end in good order; it is measured elsewhere.
        let _ = field.stop(&pids, STOP_MAX);
    }
    Ok(())
}

/// What the machine does at best.
pub(super) fn floor(cells: &mut Cells, rounds: usize) -> Result<(), Failure> {
    for _ in 0..rounds {
        let rig = Rig::new("beside-floor", SERVICES)?;
        cells.add("bare spawn", Metric::Start100, rig.bare_spawn_ms()?);
        cells.add(
            "bare spawn",
            Metric::Restart,
            median(rig.bare_respawn_ms(KILLS)?),
        );
    }
    Ok(())
}
