//! eud beside other supervisors.
//!
//! Purpose: the same work for each of them, in turns, so that a change of the machine's mood meets
//! all alike.
//! Invariants: a cell that could not be measured says why; nothing of anybody is left running.

mod codes_lost;
mod field;
mod logs;
mod losses;
mod page;
mod plot;
mod session;
mod supervisor_killed;
mod table;
mod tree;

use std::path::Path;

use super::Setting;
use super::peers::{self, Peer};
use crate::{Failure, cmd};
use table::{Cells, Metric};

/// One thing to measure with one supervisor.
type Scenario = fn(&Setting, &dyn Peer, &mut Cells) -> Result<(), Failure>;

/// What is done, and how often: whole and quick.
const SCENARIOS: [(&str, Scenario, usize, usize); 7] = [
    ("session", session::run, 3, 1),
    ("start-many", session::start_many, 1, 0),
    ("logs", logs::run, 3, 1),
    ("logs-large", logs::run_large, 1, 0),
    ("tree", tree::run, 1, 1),
    ("supervisor-killed", supervisor_killed::run, 1, 1),
    ("codes-lost", codes_lost::run, 1, 1),
];

/// Who takes part in a quick run.
const QUICK: [&str; 4] = ["eud", "s6", "runit", "daemontools"];

/// Measures, shows, and writes the page when asked to.
///
/// # Errors
/// When an option is not understood or the page cannot be written.
pub(super) fn run(setting: &Setting, args: &[String]) -> Result<(), Failure> {
    let (only, who) = (cmd::option(args, "--only")?, cmd::option(args, "--peer")?);
    let mut cells = Cells::default();
    let all = peers::all(setting);
    let chosen: Vec<&dyn Peer> = all
        .iter()
        .map(AsRef::as_ref)
        .filter(|peer| peer.name() == "eud" || who.is_none_or(|who| who == peer.name()))
        .filter(|peer| !setting.quick || QUICK.contains(&peer.name()))
        .filter(|peer| {
            let version = peers::version(*peer);
            cells.version(peer.name(), version.clone(), peer.note());
            version.is_some()
        })
        .collect();
    for (name, scenario, whole, quick) in SCENARIOS {
        let rounds = if setting.quick { quick } else { whole };
        if only.is_some_and(|only| only != name) {
            continue;
        }
        for round in 1..=rounds {
            for peer in &chosen {
                cmd::say(&format!("── {name} {round}/{rounds}  {}", peer.name()));
                if let Err(failure) = scenario(setting, *peer, &mut cells) {
                    cmd::say(&format!("   {failure}"));
                    cells.failed(peer.name(), name, &failure);
                }
            }
        }
    }
    if only.is_none() {
        session::floor(&mut cells, if setting.quick { 1 } else { 5 })?;
    }
    cmd::say(&cells.text());
    if cmd::flag(args, "--write") {
        let docs = cmd::root().join("docs");
        page::write(&docs.join("benchmarks.md"), &cells)?;
        plots(&docs.join("benchmarks"), &cells)?;
    }
    Ok(())
}

fn plots(dir: &Path, cells: &Cells) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(dir)
        .and_then(|()| std::fs::write(dir.join("latest.json"), cells.json()));
    written.map_err(|e| format!("{}: {e}", dir.display()))?;
    for metric in [Metric::Start100, Metric::Restart, Metric::Pss, Metric::Stop] {
        let path = dir.join(format!("{}.svg", metric.key()));
        std::fs::write(&path, plot::bars(metric, cells))
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}
