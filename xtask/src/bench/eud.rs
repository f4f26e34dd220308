//! eud as the benchmarks use it: a generated fleet file, `up`, `down`.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::Duration;

use super::Setting;
use super::rig::Rig;
use crate::fleet::Fleet;
use crate::{Failure, cmd, processes};

/// A fleet of idle services.
pub(crate) struct Eud {
    pub(crate) fleet: Fleet,
}

impl Eud {
    /// Writes the fleet file of a rig's services.
    pub(crate) fn idle(setting: &Setting, rig: &Rig) -> Result<Self, Failure> {
        let mut text = String::from("[fleet]\nname = \"bench\"\n");
        for name in rig.names() {
            let command = rig.command(&["idle", name]);
            let _ = write!(text, "[daemons.{name}]\ncommand = {command:?}\n");
        }
        Self::with_file(setting, rig, &text)
    }

    /// A fleet with any file.
    pub(crate) fn with_file(setting: &Setting, rig: &Rig, text: &str) -> Result<Self, Failure> {
        let file = rig.dir().join("eud.toml");
        std::fs::write(&file, text).map_err(|e| format!("{}: {e}", file.display()))?;
        let eud = setting.bin.join("eud");
        let fleet = Fleet::new(eud, file, rig.dir().join("state"));
        Ok(Self { fleet })
    }

    /// `eud up`, waiting for everything.
    pub(crate) fn up(&self) -> Result<(), Failure> {
        self.quietly(&["up"])
    }

    /// `eud down`.
    pub(crate) fn down(&self) -> Result<(), Failure> {
        self.quietly(&["down"])
    }

    fn quietly(&self, args: &[&str]) -> Result<(), Failure> {
        let mut command = self.fleet.eud(args);
        cmd::output(command.stderr(Stdio::piped())).map(drop)
    }

    /// The manager, and the keepers: the parents of the commands.
    pub(crate) fn processes(&self) -> Result<(u32, Vec<u32>), Failure> {
        let (manager, commands) = self.fleet.pids()?;
        let mut keepers: Vec<u32> = commands
            .iter()
            .filter_map(|p| processes::parent(*p))
            .collect();
        keepers.sort_unstable();
        keepers.dedup();
        Ok((manager, keepers))
    }

    /// Lets what the start stirred up settle.
    pub(crate) fn settle(&self) {
        std::thread::sleep(Duration::from_secs(3));
    }
}
