//! Stop-all: from `eud down` to the end of the last service, when all obey TERM.

use super::Setting;
use super::eud::Eud;
use super::report::{Figure, median};
use super::rig::{Rig, ms};
use crate::{Failure, processes};

const SERVICES: usize = 100;
const STOP_MS_MAX: f64 = 100.0;

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let repeats = if setting.quick { 3 } else { 10 };
    let rig = Rig::new("stop", SERVICES)?;
    let eud = Eud::idle(setting, &rig)?;
    let mut times = Vec::with_capacity(repeats);
    for _ in 0..repeats {
        rig.clear();
        eud.up()?;
        let pids: Vec<u32> = rig
            .wait_for(SERVICES)?
            .iter()
            .map(|stamp| stamp.pid)
            .collect();
        let begun = processes::monotonic_ns();
        let gone = std::thread::scope(|scope| {
            let watch = scope.spawn(|| rig.wait_gone(&pids).map(|()| processes::monotonic_ns()));
            eud.down()?;
            watch
                .join()
                .map_err(|_| "the watcher panicked".to_owned())?
        })?;
        times.push(ms(gone.saturating_sub(begun)));
    }
    let name = format!("stop all {SERVICES}");
    Ok(vec![
        Figure::promised(name, median(times), "ms", STOP_MS_MAX)
            .note(format!("median of {repeats}, client's own start included")),
    ])
}
