//! Wakeups while nothing happens: none but the heartbeat.

use std::time::Duration;

use super::Setting;
use super::eud::Eud;
use super::report::Figure;
use super::rig::Rig;
use crate::{Failure, processes};

const SERVICES: usize = 100;
/// A heartbeat every few seconds, on a runtime that wakes a thread or two for it.
const MANAGER_PER_S_MAX: f64 = 1.0;

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let watched = Duration::from_secs(if setting.quick { 10 } else { 30 });
    let rig = Rig::new("idle", SERVICES)?;
    let eud = Eud::idle(setting, &rig)?;
    eud.up()?;
    eud.settle();
    let (manager, keepers) = eud.processes()?;
    let count = |pids: &[u32]| {
        pids.iter()
            .filter_map(|p| processes::voluntary_switches(*p))
            .sum()
    };
    let before: (u64, u64) = (count(&[manager]), count(&keepers));
    let cpu_before = processes::cpu_ns(manager).unwrap_or(0);
    std::thread::sleep(watched);
    let after: (u64, u64) = (count(&[manager]), count(&keepers));
    let cpu = processes::cpu_ns(manager)
        .unwrap_or(0)
        .saturating_sub(cpu_before);
    eud.down()?;
    let seconds = watched.as_secs_f64();
    let per_second = |before: u64, after: u64| {
        f64::from(u32::try_from(after.saturating_sub(before)).unwrap_or(u32::MAX)) / seconds
    };
    let note = format!("{SERVICES} idle services watched for {seconds:.0} s");
    let cpu_percent = super::rig::ms(cpu) / 10.0 / seconds;
    Ok(vec![
        Figure::promised("keepers, wakeups", per_second(before.1, after.1), "/s", 0.0).note(note),
        Figure::promised(
            "manager, wakeups",
            per_second(before.0, after.0),
            "/s",
            MANAGER_PER_S_MAX,
        )
        .note("the heartbeat"),
        Figure::plain("manager, CPU", cpu_percent, "%"),
    ])
}
