//! SPECIFICATION.md names tests that exist.
//!
//! Invariants: every word in code marks in the last cell of a table row is the name of a function
//! in some Rust file; a flag such as `--dist` is none.

use std::collections::BTreeSet;

/// Names in the specification that no file defines. `sources` are the texts of all Rust files.
pub(super) fn broken(specification: &str, sources: &[String]) -> Vec<String> {
    let known: BTreeSet<&str> = sources.iter().flat_map(|text| functions(text)).collect();
    let mut findings = Vec::new();
    for (line, number) in specification.lines().zip(1..) {
        let Some(row) = line.strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            continue;
        };
        let cell = row.rsplit('|').next().unwrap_or_default();
        for name in cell.split('`').skip(1).step_by(2) {
            let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
            if is_name && !known.contains(name) {
                findings.push(format!(
                    "SPECIFICATION.md:{number}: there is no test `{name}`"
                ));
            }
        }
    }
    findings
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        Some(&rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::broken;

    #[test]
    fn a_name_without_a_test_is_found() {
        let sources = ["#[test]\nfn it_works() {}\n".to_owned()];
        let spec =
            "| promise `not here` | `it_works`, *bench x* with `--dist` |\n| b | `it_fails` |\n";
        assert_eq!(
            broken(spec, &sources),
            ["SPECIFICATION.md:2: there is no test `it_fails`"]
        );
    }
}
