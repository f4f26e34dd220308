//! Services end while the supervisor is dead: who knows with which code, once it is back.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;

use super::field::{Field, PATIENCE};
use super::table::{Cells, Metric};
use crate::bench::Setting;
use crate::bench::peers::{Peer, Service};
use crate::bench::rig::Rig;
use crate::{Failure, processes};

const SERVICES: usize = 5;
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// The supervisor comes back only after the ends, and has this long to find out.
const PAUSE: Duration = Duration::from_secs(1);
const AFTER: Duration = Duration::from_secs(4);
const CODE: u8 = 7;

/// Five services that end with a code of their own, once.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn run(_: &Setting, peer: &dyn Peer, cells: &mut Cells) -> Result<(), Failure> {
    let rig = Rig::new(&format!("beside-codes-{}", peer.name()), SERVICES)?;
    let sign = |name: &str, what: &str| rig.dir().join(format!("{name}.{what}"));
    let go = rig.dir().join("go");
    let service = |name: &String| {
        let (up, done) = (sign(name, "up"), sign(name, "done"));
        let script = format!(
            "if test -e {done}; then while sleep 1; do :; done; fi; touch {up}; \
             while ! test -e {go}; do sleep 0.05; done; touch {done}; exit {CODE}",
            done = done.display(),
            up = up.display(),
            go = go.display(),
        );
        Service {
            name: name.clone(),
            words: vec!["/bin/sh".into(), "-c".into(), script],
        }
    };
    let services: Vec<Service> = rig.names().iter().map(service).collect();
    let mut field = Field::new(peer, &rig, &services, true)?;
    field.start()?;
    let all = |what: &str| -> Vec<PathBuf> {
        let names = rig.names().iter();
        names.map(|name| sign(name, what)).collect()
    };
    there(&all("up"))?;
    processes::signal(field.chief()?, Signal::KILL)?;
    fs::write(&go, "").map_err(|e| format!("{}: {e}", go.display()))?;
    // Some take their services along; those do not even end as they would.
    let _ = there(&all("done"));
    std::thread::sleep(PAUSE);
    field.start()?;
    std::thread::sleep(AFTER);
    let knows = |name: &&String| {
        let Some((mut command, words)) = peer.last_exit(&field.job, name) else {
            return false;
        };
        let output = command.stdout(std::process::Stdio::piped()).output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&words))
    };
    let known = rig.names().iter().filter(knows).count();
    let lost = SERVICES.saturating_sub(known);
    cells.add(peer.name(), Metric::CodesLost, lost as f64);
    Ok(())
}

fn there(paths: &[PathBuf]) -> Result<(), Failure> {
    processes::wait_for("all services", PATIENCE / 4, LOOK_EVERY, || {
        paths.iter().all(|path| path.exists()).then_some(())
    })
}
