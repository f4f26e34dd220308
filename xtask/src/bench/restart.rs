//! First restart after `kill -9`: from the signal to the new process's own stamp.

use std::time::Duration;

use super::Setting;
use super::eud::Eud;
use super::report::{Figure, median, percentile};
use super::rig::{Rig, ms};
use crate::{Failure, processes};

const SERVICES: usize = 100;
const MEDIAN_MS_MAX: f64 = 5.0;

/// Before kill number `count`: a daemon dies out of the blue, in step with nobody's timers. Many at
/// once are the storm's.
pub(super) fn pause(count: usize) {
    std::thread::sleep(Duration::from_millis(80 + (count as u64 * 37) % 100));
}

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let kills = if setting.quick { 20 } else { SERVICES };
    let rig = Rig::new("restart", SERVICES)?;
    let bare = median(rig.bare_respawn_ms(kills)?);
    let durable = median(rig.fsync_ms(kills)?);
    let eud = Eud::idle(setting, &rig)?;
    eud.up()?;
    let first = rig.wait_for(SERVICES)?;
    let mut times = Vec::with_capacity(kills);
    // Each service once: a second restart would wait for its back-off, as it should.
    for (count, victim) in first.iter().take(kills).enumerate() {
        pause(count);
        let killed = processes::monotonic_ns();
        processes::signal(victim.pid, rustix::process::Signal::KILL)?;
        let stamps = rig.wait_for(SERVICES + count + 1)?;
        let last = stamps.last().filter(|stamp| stamp.name == victim.name);
        let last = last.ok_or(format!("{} did not come back first", victim.name))?;
        times.push(ms(last.at_ns.saturating_sub(killed)));
    }
    eud.down()?;
    let tail = percentile(times.clone(), 99);
    Ok(vec![
        Figure::promised("restart after kill -9", median(times), "ms", MEDIAN_MS_MAX).note(
            format!(
                "a bare parent takes {bare:.1} ms, an fsync {durable:.1} ms; medians of {kills}"
            ),
        ),
        Figure::plain("  99th percentile", tail, "ms"),
    ])
}
