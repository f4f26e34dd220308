//! The supervisor is killed and started again: copies, interruptions, lines lost.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use super::field::Field;
use super::logs::texts_below;
use super::table::{Cells, Metric};
use crate::bench::Setting;
use crate::bench::peers::{Peer, Service};
use crate::bench::rig::Rig;
use crate::{Failure, processes};

const SERVICES: usize = 5;
const PAUSE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(6);

/// Five services that count.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn run(_: &Setting, peer: &dyn Peer, cells: &mut Cells) -> Result<(), Failure> {
    let rig = Rig::new(&format!("beside-killed-{}", peer.name()), SERVICES)?;
    let diary = |name: &str| rig.dir().join(format!("{name}.diary"));
    let service = |name: &String| Service {
        name: name.clone(),
        words: rig.command(&["count", name, &diary(name).display().to_string()]),
    };
    let services: Vec<Service> = rig.names().iter().map(service).collect();
    let mut field = Field::new(peer, &rig, &services, true)?;
    field.start()?;
    field.stamps(SERVICES)?;
    std::thread::sleep(PAUSE);
    processes::signal(field.chief()?, Signal::KILL)?;
    std::thread::sleep(PAUSE);
    field.start()?;
    std::thread::sleep(AFTER);
    let stamps = field.stamps(SERVICES)?;
    let alive: Vec<u32> = stamps
        .iter()
        .map(|stamp| stamp.pid)
        .filter(|pid| processes::is_alive(*pid))
        .collect();
    let copies = alive.len().saturating_sub(SERVICES);
    cells.add(peer.name(), Metric::Copies, copies as f64);
    let again = stamps.len().saturating_sub(SERVICES);
    cells.add(peer.name(), Metric::Interrupted, again as f64);
    // All end at once, so that what they wrote is what is counted.
    // Some know nothing of them any more.
    let _ = field.stop(&alive, AFTER);
    for pid in alive {
        let _ = processes::signal(pid, Signal::KILL);
    }
    std::thread::sleep(PAUSE);
    let mut lost = 0;
    for name in rig.names() {
        let written = fs::read_to_string(diary(name)).unwrap_or_default();
        let written: usize = written.trim().parse().unwrap_or(0);
        let logged = numbers(&texts_below(&peer.logs(&field.job, name)));
        lost += (1..=written).filter(|n| !logged.contains(n)).count();
    }
    cells.add(peer.name(), Metric::LinesLost, lost as f64);
    Ok(())
}

fn numbers(texts: &[Vec<u8>]) -> BTreeSet<usize> {
    let number = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        text.rsplit_once("line ")?.1.trim().parse().ok()
    };
    let lines = texts.iter().flat_map(|text| text.split(|b| *b == b'\n'));
    lines.filter_map(number).collect()
}
