//! Memory of the manager and of the keepers, as proportional set size, at 100 and 1,000 daemons.

use super::Setting;
use super::eud::Eud;
use super::report::Figure;
use super::rig::Rig;
use crate::{Failure, processes};

/// Daemons, and megabytes promised for the manager.
const PROMISES: [(usize, f64); 2] = [(100, 20.0), (1_000, 40.0)];

pub(super) fn run(setting: &Setting) -> Result<Vec<Figure>, Failure> {
    let mut figures = Vec::new();
    for (services, manager_mb_max) in PROMISES {
        let rig = Rig::new(&format!("memory-{services}"), services)?;
        let eud = Eud::idle(setting, &rig)?;
        eud.up()?;
        eud.settle();
        let (manager, keepers) = eud.processes()?;
        let sizes: Vec<u64> = keepers
            .iter()
            .filter_map(|pid| processes::pss_kb(*pid))
            .collect();
        let manager_kb = processes::pss_kb(manager).ok_or("the manager's memory is unreadable")?;
        eud.down()?;
        if sizes.len() != services {
            return Err(format!("{} keepers for {services} services", sizes.len()));
        }
        let keeper_kb = as_f64(sizes.iter().sum()) / as_f64(services as u64);
        let name = format!("keeper PSS at {services}, average");
        figures.push(Figure::promised(
            name,
            keeper_kb,
            "kB",
            setting.keeper_kb_max,
        ));
        let (name, manager_mb) = (
            format!("manager PSS at {services}"),
            as_f64(manager_kb) / 1e3,
        );
        figures.push(Figure::promised(name, manager_mb, "MB", manager_mb_max));
    }
    Ok(figures)
}

#[expect(clippy::cast_precision_loss, reason = "kilobytes are far below 2^52")]
fn as_f64(value: u64) -> f64 {
    value as f64
}
