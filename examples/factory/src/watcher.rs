//! The watcher: queues files that appear or change in a folder.
//!
//! Invariants: a file counts as changed when its modification time or size does; it tells the
//! supervisor `READY=1` after the first look, `STATUS=` when the number changes, `WATCHDOG=1` after
//! each look.
//! Deliberately absent: inotify. Looking once a second is enough here and works on every file
//! system.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::args::Args;
use crate::notify::{self, Notifier};
use crate::{Failure, http, say};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Files beyond this many are ignored, and that is said.
const FILES_MAX: usize = 10_000;

type Seen = BTreeMap<String, (SystemTime, u64)>;

/// Runs `factory watcher`.
pub(crate) fn run(args: &Args) -> Result<Infallible, Failure> {
    let (inbox, queue) = (args.path("inbox")?, args.text("queue")?);
    std::fs::create_dir_all(&inbox).map_err(|e| format!("{}: {e}", inbox.display()))?;
    let notifier = Notifier::from_env()?;
    let pause = notify::watchdog_pause().map_or(LOOK_EVERY, |p| p.min(LOOK_EVERY));
    let mut seen = look(&inbox)?;
    say::news(&format!(
        "watching {} ({} files)",
        inbox.display(),
        seen.len()
    ));
    notifier.tell(&format!("READY=1\nSTATUS={} files seen", seen.len()));
    loop {
        thread::sleep(pause);
        let now = look(&inbox)?;
        let count_changed = now.len() != seen.len();
        for (name, stamp) in &now {
            if seen.get(name) != Some(stamp) {
                report(&queue, name);
            }
        }
        if count_changed {
            notifier.tell(&format!("STATUS={} files seen", now.len()));
        }
        seen = now;
        notifier.tell("WATCHDOG=1");
    }
}

fn look(inbox: &Path) -> Result<Seen, Failure> {
    let entries = std::fs::read_dir(inbox).map_err(|e| format!("{}: {e}", inbox.display()))?;
    let mut seen = Seen::new();
    for entry in entries.flatten() {
        if seen.len() == FILES_MAX {
            say::trouble(&format!("more than {FILES_MAX} files; the rest is ignored"));
            break;
        }
        // A file that vanishes between listing and looking is simply gone.
        if let Ok(meta) = entry.metadata()
            && let Ok(modified) = meta.modified()
            && meta.is_file()
        {
            let name = entry.file_name().to_string_lossy().into_owned();
            seen.insert(name, (modified, meta.len()));
        }
    }
    Ok(seen)
}

fn report(queue: &str, name: &str) {
    match http::call(
        "POST",
        queue,
        "/push",
        None,
        &format!("summarise the file {name}"),
    ) {
        Ok(reply) if reply.status == 200 => say::news(&format!("queued {name}")),
        Ok(reply) => say::trouble(&format!("queue refused {name}: {}", reply.body.trim())),
        Err(e) => say::trouble(&format!("cannot queue {name}: {e}")),
    }
}
