//! `eud status`, the whole command, at 100 and 1,000 daemons.

use std::process::Stdio;

use super::Setting;
use super::eud::Eud;
use super::report::{Figure, median};
use super::rig::{Rig, ms};
use crate::{Failure, cmd, processes};

/// Daemons, and milliseconds promised.
const PROMISES: [(usize, f64); 2] = [(100, 10.0), (1_000, 30.0)];
const REPEATS: usize = 30;

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (services, limit) in PROMISES {
        let rig = Rig::new(&format!("status-{services}"), services)?;
        let eud = Eud::idle(setting, &rig)?;
        eud.up()?;
        let (mut human, mut json) = (Vec::new(), Vec::new());
        for _ in 0..REPEATS {
            human.push(once_ms(&eud, &["status"])?);
            json.push(once_ms(&eud, &["status", "--json"])?);
        }
        eud.down()?;
        let note = format!("--json {:.1} ms, medians of {REPEATS}", median(json));
        let name = format!("eud status at {services} daemons");
        figures.push(Figure::promised(name, median(human), "ms", limit).note(note));
    }
    Ok(figures)
}

fn once_ms(eud: &Eud, args: &[&str]) -> Result<f64, Failure> {
    let begun = processes::monotonic_ns();
    let mut command = eud.fleet.eud(args);
    cmd::run(command.stdout(Stdio::null()).stderr(Stdio::null()))?;
    Ok(ms(processes::monotonic_ns().saturating_sub(begun)))
}
