//! Pages that are made from the program itself.
//!
//! Invariants: what lies in `docs/` is what the program would print now; `--write` makes it so, and
//! without it a difference is a failure.

use std::fs;

use crate::{Failure, cmd};

/// What stands above the table of keys.
const FLEET_FILE_HEAD: &str = "\
# The fleet file

`eud.toml` is found by walking up from the working directory, or given with `-f`. It is read as a
whole: `eud check` lists every error at once, each with file, line, caret and a hint, and a file
with an error changes nothing. For completion in an editor, put `#:schema` and the path of
[eud.schema.json](eud.schema.json) on the first line, or print it with `eud schema`.

This page is made from the table that drives the parser (`cargo xtask docs --write`).

";

/// Compares, or with `write` replaces.
pub(super) fn check(write: bool) -> Result<(), Failure> {
    let run = ["run", "-q", "-p", "eud-config", "--example", "reference"];
    let reference = cmd::output(&mut cmd::cargo(&run))?;
    // The page has a heading of its own.
    let keys = reference.replacen("# Keys of the fleet file", "## Values", 1);
    let schema = cmd::output(&mut cmd::command(
        cmd::target("debug").join("eud"),
        &["schema"],
    ))?;
    let pages = [
        ("docs/fleet-file.md", FLEET_FILE_HEAD.to_owned() + &keys),
        ("docs/eud.schema.json", schema),
    ];
    let mut stale = Vec::new();
    for (path, text) in pages {
        let place = cmd::root().join(path);
        if fs::read_to_string(&place).unwrap_or_default() == text {
            continue;
        }
        if write {
            fs::write(&place, text).map_err(|e| format!("{path}: {e}"))?;
            cmd::say(&format!("docs: wrote {path}"));
        } else {
            stale.push(path);
        }
    }
    match stale.len() {
        0 => Ok(()),
        _ => Err(format!(
            "{} differ; run `cargo xtask docs --write`",
            stale.join(" and ")
        )),
    }
}
