//! Lines of 100 bytes, one write each, through each supervisor's log.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::field::Field;
use super::table::{Cells, Metric};
use crate::bench::Setting;
use crate::bench::peers::{Peer, Service};
use crate::bench::rig::{Rig, ms};
use crate::{Failure, processes};

/// Those whose logs rotate, so that a gigabyte is worth writing.
const LARGE: [&str; 5] = ["eud", "s6", "runit", "daemontools", "supervisor"];
/// When the writer begins, the supervisor has come to rest.
const AT_REST: Duration = Duration::from_millis(1_500);

/// 30 MB.
pub(super) fn run(_: &Setting, peer: &dyn Peer, cells: &mut Cells) -> Result<(), Failure> {
    let metrics = [Metric::LogWriter, Metric::LogCpu, Metric::LogLost];
    measure(peer, cells, 300_000, metrics)
}

/// 1 GB.
pub(super) fn run_large(_: &Setting, peer: &dyn Peer, cells: &mut Cells) -> Result<(), Failure> {
    if !LARGE.contains(&peer.name()) {
        return Ok(());
    }
    let metrics = [
        Metric::LargeLogWriter,
        Metric::LargeLogCpu,
        Metric::LargeLogLost,
    ];
    measure(peer, cells, 10_000_000, metrics)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn measure(
    peer: &dyn Peer,
    cells: &mut Cells,
    lines: u64,
    [writer, cpu, lost]: [Metric; 3],
) -> Result<(), Failure> {
    let rig = Rig::new(&format!("beside-logs-{}", peer.name()), 0)?;
    let services = [Service {
        name: "writer".into(),
        words: rig.command(&["write-later", "writer", &lines.to_string()]),
    }];
    let mut field = Field::new(peer, &rig, &services, true)?;
    field.start()?;
    std::thread::sleep(AT_REST);
    let before = field.cpu_ms();
    let stamps = field.stamps(2)?;
    let logs = peer.logs(&field.job, "writer");
    // What is not there some time after the last line was written will not come.
    let mut logged = 0;
    let _ = processes::wait_for(
        "all lines",
        Duration::from_secs(10),
        Duration::from_millis(50),
        || {
            logged = lines_below(&logs);
            (logged >= lines).then_some(())
        },
    );
    cells.add(peer.name(), cpu, (field.cpu_ms() - before) / 1e3);
    if let [begin, end, ..] = stamps.as_slice() {
        let seconds = ms(end.at_ns.saturating_sub(begin.at_ns)) / 1e3;
        cells.add(peer.name(), writer, seconds);
    }
    cells.add(peer.name(), lost, lines.saturating_sub(logged) as f64);
    Ok(())
}

/// Lines of every log file in a folder.
pub(super) fn lines_below(dir: &Path) -> u64 {
    texts_below(dir)
        .iter()
        .map(|bytes| bytes.iter().filter(|byte| **byte == b'\n').count() as u64)
        .sum()
}

/// Every log file in a folder, without what loggers keep beside them.
pub(super) fn texts_below(dir: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let is_log = |name: &str| !["config", "lock", "state", "status"].contains(&name);
    entries
        .filter(|entry| is_log(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| fs::read(entry.path()).ok())
        .collect()
}
