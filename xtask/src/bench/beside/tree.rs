//! Who survives a stop: a leader that obeys, a child that does not, a grandchild in another
//! session.

use std::time::Duration;

use rustix::process::Signal;

use super::field::Field;
use super::table::{Cells, Metric};
use crate::bench::Setting;
use crate::bench::peers::{Peer, Service, shell_words};
use crate::bench::rig::Rig;
use crate::{Failure, processes};

const AFTER: Duration = Duration::from_secs(14);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// One service with such a family.
#[expect(clippy::cast_precision_loss, reason = "two at most")]
pub(super) fn run(_: &Setting, peer: &dyn Peer, cells: &mut Cells) -> Result<(), Failure> {
    let rig = Rig::new(&format!("beside-tree-{}", peer.name()), 0)?;
    // A duration that nobody else sleeps for, to know them by.
    let mark = format!("98765{}", std::process::id());
    let leader = shell_words(&rig.command(&["idle", "tree"]));
    let script =
        format!("trap '' TERM; sleep {mark} & trap - TERM; setsid sleep {mark} & exec {leader}");
    let services = [Service {
        name: "tree".into(),
        words: vec!["/bin/sh".into(), "-c".into(), script],
    }];
    let relatives = || -> Vec<u32> {
        let own = processes::that_name(&mark).into_iter();
        own.filter(|pid| processes::command_line(*pid).contains(" sleep "))
            .collect()
    };
    let mut field = Field::new(peer, &rig, &services, true)?;
    field.start()?;
    let stamps = field.stamps(1)?;
    processes::wait_for("the family", Duration::from_secs(5), LOOK_EVERY, || {
        (relatives().len() == 2).then_some(())
    })?;
    let pids: Vec<u32> = stamps.iter().map(|stamp| stamp.pid).collect();
    let stopped = field.stop(&pids, AFTER);
    let _ = processes::wait_for("the end of the family", AFTER, LOOK_EVERY, || {
        relatives().is_empty().then_some(())
    });
    let left = relatives();
    cells.add(peer.name(), Metric::Survivors, left.len() as f64);
    for pid in left {
        let _ = processes::signal(pid, Signal::KILL);
    }
    stopped.map(drop)
}
