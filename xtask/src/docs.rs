//! `cargo xtask docs`: the documentation does what it shows.
//!
//! Purpose: run the fenced `console` blocks of README.md and `docs/*.md` with the built `eud`.
//! Invariants: each page is one session, in a folder of its own, brought down at its end; a block
//! that follows `<!-- file: NAME -->` is written to that file first; a page without `console`
//! blocks is not run.
//! Deliberately absent: checking `sh` blocks. They are for commands that need a person, root or a
//! network.

mod generated;
mod page;
mod session;

use std::path::PathBuf;

use crate::{Failure, cmd};
use session::Session;

/// Runs the pages named, or all of them. `--show` prints what each command prints, `--write`
/// replaces the generated pages.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    cmd::run(&mut cmd::cargo(&[
        "build", "-q", "-p", "eudaemon", "-p", "factory",
    ]))?;
    let stale = generated::check(cmd::flag(args, "--write")).err();
    let shown = cmd::flag(args, "--show");
    let named = args
        .iter()
        .filter(|arg| !arg.starts_with("--"))
        .map(PathBuf::from);
    let named: Vec<PathBuf> = named.collect();
    let pages = if named.is_empty() { all()? } else { named };
    let mut wrong = Vec::new();
    if let Some(stale) = stale {
        cmd::say(&format!("docs: {stale}"));
        wrong.push("generated pages".to_owned());
    }
    for path in &pages {
        let text = std::fs::read_to_string(cmd::root().join(path))
            .map_err(|e| format!("{}: {e}", path.display()))?;
        let steps = page::steps(&text);
        if !steps
            .iter()
            .any(|step| matches!(step, page::Step::Command(_)))
        {
            continue;
        }
        let outcome = Session::new(path, shown).and_then(|mut session| session.play(&steps));
        match outcome {
            Ok(commands) => cmd::say(&format!("docs: {}: {commands} commands", path.display())),
            Err(failure) => {
                cmd::say(&format!("docs: {}{failure}", path.display()));
                wrong.push(path.display().to_string());
            }
        }
    }
    match wrong.len() {
        0 => Ok(()),
        _ => Err(format!(
            "pages that do not do what they show: {}",
            wrong.join(", ")
        )),
    }
}

fn all() -> Result<Vec<PathBuf>, Failure> {
    let docs = cmd::root().join("docs");
    let entries = std::fs::read_dir(&docs).map_err(|e| format!("{}: {e}", docs.display()))?;
    let mut pages: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| PathBuf::from("docs").join(entry.file_name()))
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.push("README.md".into());
    pages.sort();
    Ok(pages)
}
