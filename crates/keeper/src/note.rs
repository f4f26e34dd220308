//! What a keeper notes for whoever has to clear up after it: the file `live` in the run's folder.
//!
//! ```text
//! boot 5c1d…
//! keeper 412 88112
//! cgroup /sys/fs/cgroup/eud-…
//! born 1
//! command 413 88113
//! ```
//!
//! Processes by id and start time in clock ticks since that boot; a number alone proves nothing.
//! Invariants: the control group is noted before anything is born in it; a line that is not whole
//! is not believed. It is one file because a file system looks long for a free place where many
//! files were deleted lately, and every run pays that for each file.
//! Deliberately absent: fsync. It means nothing after a power cut.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use eud_sys::cgroup;
use eud_sys::process::{self, Identity};

/// Name of the file in the run's folder.
pub(crate) const LIVE: &str = "live";

/// What is noted of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// Boot of the machine in which the rest means something: [`eud_sys::process::boot_id`].
    pub boot_id: String,
    /// The keeper.
    pub keeper: Option<Identity>,
    /// The run's own control group, if it has one.
    pub cgroup: Option<PathBuf>,
    /// The command was about to execute, whoever it was.
    pub is_born: bool,
    /// The command.
    pub command: Option<Identity>,
}

/// Reads what is noted of a run. `Ok(None)` when there is nothing, or nothing that can be
/// understood.
///
/// # Errors
/// When the file is there but cannot be read.
pub fn noted(run_dir: &Path) -> io::Result<Option<Noted>> {
    match fs::read_to_string(run_dir.join(LIVE)) {
        Ok(text) => Ok(parse(&text)),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::InvalidData
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn parse(text: &str) -> Option<Noted> {
    let mut noted = Noted::default();
    for line in text.split_inclusive('\n') {
        let Some((name, value)) = line.strip_suffix('\n').and_then(|l| l.split_once(' ')) else {
            continue;
        };
        match name {
            "boot" => value.clone_into(&mut noted.boot_id),
            "keeper" => noted.keeper = identity(value),
            "cgroup" => noted.cgroup = Some(value.into()),
            "born" => noted.is_born = value == "1",
            "command" => noted.command = identity(value),
            _ => {}
        }
    }
    (!noted.boot_id.is_empty()).then_some(noted)
}

fn identity(text: &str) -> Option<Identity> {
    let (pid, start_ticks) = text.split_once(' ')?;
    Some(Identity {
        pid: pid.parse().ok()?,
        start_ticks: start_ticks.parse().ok()?,
    })
}

/// What a keeper knows of itself before it has a run.
#[derive(Debug)]
pub(crate) struct Standing {
    boot_id: String,
    me: Identity,
    /// The control group it is in.
    pub(crate) group: Option<PathBuf>,
}

impl Standing {
    pub(crate) fn find() -> io::Result<Self> {
        Ok(Self {
            boot_id: process::boot_id()?,
            me: process::identity(std::process::id())?,
            group: cgroup::own(),
        })
    }
}

/// The open file of a run that begins. In the current folder.
#[derive(Debug)]
pub(crate) struct Note {
    file: File,
    /// Where it is said whether the command was born.
    born_at: u64,
}

impl Note {
    /// Notes this process and its group.
    pub(crate) fn create(standing: &Standing, cgroup: Option<&Path>) -> io::Result<Self> {
        let Standing { boot_id, me, .. } = standing;
        let mut text = format!("boot {boot_id}\nkeeper {} {}\n", me.pid, me.start_ticks);
        if let Some(path) = cgroup {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "cgroup {}", path.display());
        }
        text.push_str("born ");
        let born_at = text.len() as u64;
        text.push_str("0\n");
        let mut file = File::create(LIVE)?;
        file.write_all(text.as_bytes())?;
        Ok(Self { file, born_at })
    }

    /// Notes that the command is about to execute. In the child.
    pub(crate) fn born(&self) {
        // In its own place, for the keeper may be writing at the end. Without it the keeper's own
        // note has to do.
        let _ = self.file.write_all_at(b"1", self.born_at);
    }

    /// Notes the command. Nothing more comes after from the keeper.
    pub(crate) fn finish(mut self, command: Identity) -> io::Result<()> {
        let text = format!("command {} {}\n", command.pid, command.start_ticks);
        self.file.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_believed() {
        let who = |pid, start_ticks| Some(Identity { pid, start_ticks });
        let whole = "boot b\nkeeper 1 2\ncgroup /sys/fs/cgroup/x y\nborn 1\ncommand 3 4\n";
        let expected = Noted {
            boot_id: "b".to_owned(),
            keeper: who(1, 2),
            cgroup: Some("/sys/fs/cgroup/x y".into()),
            is_born: true,
            command: who(3, 4),
        };
        assert_eq!(parse(whole), Some(expected.clone()));
        let torn = parse(&whole[..whole.len() - 1]).unwrap();
        assert_eq!(
            torn,
            Noted {
                command: None,
                ..expected
            }
        );
        assert!(!parse("boot b\nborn 0\n").unwrap().is_born);
        assert_eq!(parse("boot b"), None);
        assert_eq!(parse("keeper 1 2\n"), None);
        let odd = parse("boot b\nkeeper 1\ncommand x 4\nother\n").unwrap();
        assert_eq!((odd.keeper, odd.command), (None, None));
    }
}
