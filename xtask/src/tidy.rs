//! `cargo xtask tidy`: what a reader should not have to check.
//!
//! Invariants: limits are the ones of CONTRIBUTING.md; a listed exception in `xtask/tidy.ratchet`
//! may shrink, never grow, and is struck off when it fits.
//! Deliberately absent: what rustfmt and clippy check already.

mod functions;
mod promises;
mod ratchet;
mod wrap;

use std::fs;
use std::path::Path;

use crate::{Failure, cmd};
use ratchet::Ratchet;

const FILE_LINES_MAX: usize = 800;
const FUNCTION_LINES_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;
/// For lines that hold a text in quotes, which rustfmt does not break either.
const QUOTED_COLUMNS_MAX: usize = 120;

/// Checks every file of the repository; with `--wrap`, first breaks comments that are too wide.
pub(crate) fn run(args: &[String]) -> Result<(), Failure> {
    let mut ratchet = Ratchet::read(&cmd::root().join("xtask/tidy.ratchet"))?;
    let mut findings = Vec::new();
    let files = tracked()?;
    if cmd::flag(args, "--wrap") {
        wrap_comments(&files)?;
    }
    let mut sources = Vec::new();
    for path in &files {
        // A binary file has nothing to tidy.
        let Ok(text) = fs::read_to_string(cmd::root().join(path)) else {
            continue;
        };
        let mut found = Vec::new();
        check(path, &text, &mut ratchet, &mut found);
        findings.extend(found.into_iter().map(|finding| format!("{path}{finding}")));
        if path.ends_with(".rs") {
            sources.push(text);
        }
    }
    let specification = fs::read_to_string(cmd::root().join("SPECIFICATION.md"));
    findings.extend(promises::broken(
        &specification.unwrap_or_default(),
        &sources,
    ));
    findings.extend(ratchet.stale());
    for finding in &findings {
        cmd::say(finding);
    }
    match findings.len() {
        0 => {
            cmd::say(&format!("tidy: {} files", files.len()));
            Ok(())
        }
        n => Err(format!("{n} findings; CONTRIBUTING.md has the reasons")),
    }
}

fn wrap_comments(files: &[String]) -> Result<(), Failure> {
    for path in files.iter().filter(|path| path.ends_with(".rs")) {
        let place = cmd::root().join(path);
        let text = fs::read_to_string(&place).map_err(|e| format!("{path}: {e}"))?;
        let wrapped = wrap::wrap(&text, COLUMNS_MAX);
        if wrapped != text {
            fs::write(&place, wrapped).map_err(|e| format!("{path}: {e}"))?;
            cmd::say(&format!("wrapped {path}"));
        }
    }
    Ok(())
}

/// Files of the repository, also those not committed yet.
fn tracked() -> Result<Vec<String>, Failure> {
    // A checkout that belongs to somebody else, as in containers, is only listed here.
    let mut args = vec!["-c", "safe.directory=*", "ls-files"];
    args.extend(["--cached", "--others", "--exclude-standard"]);
    let text = cmd::output(&mut cmd::command("git", &args))?;
    Ok(text
        .lines()
        .map(str::to_owned)
        .filter(|p| cmd::root().join(p).is_file())
        .collect())
}

/// Findings of one file, each beginning with `:LINE: ` or `: `.
fn check(path: &str, text: &str, ratchet: &mut Ratchet, found: &mut Vec<String>) {
    let extension = Path::new(path)
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    let is_rust = extension == "rs";
    for (line, number) in text.lines().zip(1..) {
        let columns_max = if line.contains('"') {
            QUOTED_COLUMNS_MAX
        } else {
            COLUMNS_MAX
        };
        // A row of a table cannot be broken.
        let is_row = line.trim_start_matches([' ', '/', '!']).starts_with('|');
        if matches!(extension, "rs" | "sh") && !is_row && line.chars().count() > columns_max {
            found.push(format!(":{number}: longer than {columns_max} columns"));
        }
        if !path.starts_with("xtask/src/tidy") {
            leftovers(line, number, is_rust, found);
        }
    }
    if !is_rust {
        return;
    }
    if !text.starts_with("//!") {
        found.push(":1: no module header (`//!` purpose, invariants, what is absent)".to_owned());
    }
    let lines = text.lines().count();
    if lines > FILE_LINES_MAX && !ratchet.allows(path, lines) {
        found.push(format!(": {lines} lines, over {FILE_LINES_MAX}"));
    }
    for function in functions::longer_than(text, FUNCTION_LINES_MAX) {
        let name = format!("{path}::{}", function.name);
        if !ratchet.allows(&name, function.lines) {
            let (line, lines) = (function.line, function.lines);
            let words = format!(
                "`{}` has {lines} lines, over {FUNCTION_LINES_MAX}",
                function.name
            );
            found.push(format!(":{line}: {words}"));
        }
    }
}

/// Words that are for the author's desk, not for a reader.
fn leftovers(line: &str, number: usize, is_rust: bool, found: &mut Vec<String>) {
    for word in ["FIXME", "XXX:", " todo!(", "TODO:"] {
        if line.contains(word) {
            found.push(format!(":{number}: `{word}` left behind"));
        }
    }
    for place in ["/root/", "/home/", "/Users/", "/work/"] {
        // `/home/…` in a shell's `~` sense is fine in prose; a path to somebody's checkout is not.
        let is_path = line.split(place).nth(1).is_some_and(|rest| {
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
            !name.is_empty()
                && !matches!(
                    name.as_str(),
                    "me" | "you" | "user" | "ada" | "alice" | "app"
                )
        });
        if is_path {
            found.push(format!(":{number}: a path of one machine, under `{place}`"));
        }
    }
    if is_rust && line.contains("#[allow(") {
        found.push(format!(
            ":{number}: `#[allow]`; use `#[expect]` with a reason"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::{Ratchet, check};

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(path, text, &mut Ratchet::default(), &mut found);
        found
    }

    #[test]
    fn a_tidy_file_has_no_findings() {
        assert_eq!(
            findings("a.rs", "//! Purpose.\nfn a() {}\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_rule_can_fail() {
        let long = format!("//! {}\n", "x".repeat(100));
        assert_eq!(findings("a.rs", &long), [":1: longer than 100 columns"]);
        assert!(findings("a.rs", "fn a() {}\n")[0].contains("no module header"));
        let left = findings("a.md", "FIXME\n");
        assert_eq!(left, [":1: `FIXME` left behind"]);
        let path = findings("a.md", "see /home/somebody/notes\n");
        assert_eq!(path, [":1: a path of one machine, under `/home/`"]);
        let body = "    x();\n".repeat(80);
        let function = findings("a.rs", &format!("//! P\nfn long() {{\n{body}}}\n"));
        assert_eq!(function, [":2: `long` has 82 lines, over 70"]);
        let file = findings(
            "a.rs",
            &format!("//! P\n{}", "const A: u8 = 1;\n".repeat(800)),
        );
        assert_eq!(file, [": 801 lines, over 800"]);
    }
}
