//! 100 idle services, all up: eud against a bare spawn of the same 200 processes.

use super::Setting;
use super::eud::Eud;
use super::report::{Figure, median};
use super::rig::{Rig, ms};
use crate::{Failure, processes};

const SERVICES: usize = 100;
/// All up takes at most this many times the bare spawn.
const RATIO_MAX: f64 = 1.5;

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let repeats = if setting.quick { 3 } else { 10 };
    let rig = Rig::new("start", SERVICES)?;
    let eud = Eud::idle(setting, &rig)?;
    let (mut bare, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // Interleaved, so that a change of the machine's mood meets both.
    for _ in 0..repeats {
        let floor = rig.bare_spawn_ms()?;
        let up = up_ms(&rig, &eud)?;
        ratios.push(up / floor);
        bare.push(floor);
        ours.push(up);
    }
    let note = format!("bare spawn {:.0} ms, median of {repeats}", median(bare));
    Ok(vec![
        Figure::plain(
            format!("{SERVICES} idle services, all up"),
            median(ours),
            "ms",
        ),
        Figure::promised("  against a bare spawn", median(ratios), "×", RATIO_MAX).note(note),
    ])
}

/// From the start of `eud up` to the last service's own stamp.
fn up_ms(rig: &Rig, eud: &Eud) -> Result<f64, Failure> {
    rig.clear();
    let begun = processes::monotonic_ns();
    eud.up()?;
    let stamps = rig.wait_for(SERVICES)?;
    let last = stamps
        .iter()
        .map(|stamp| stamp.at_ns)
        .max()
        .unwrap_or(begun);
    eud.down()?;
    Ok(ms(last.saturating_sub(begun)))
}
