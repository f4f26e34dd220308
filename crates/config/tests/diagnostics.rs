//! Golden diagnostics: each file `tests/bad/*.toml` and folder `tests/bad/*/` is a fleet with
//! something wrong, and `*.out` beside it what is said about it. `EUD_BLESS=1` rewrites the
//! expectations.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test may panic as the test may"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use eud_config::{Code, Diagnostic, Sources, load, render, summary};

fn env(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/ada".into()),
        "TZ" => Some("CET-1CEST".into()),
        "SHORT" => Some("1s".into()),
        "WRONG" => Some("hunter2".into()),
        "API_TOKEN" => Some("hunter2".into()),
        _ => None,
    }
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir() || path.extension().is_some_and(|ext| ext == "toml"))
        .collect();
    cases.sort();
    cases
}

fn diagnose(case: &Path) -> (Vec<Diagnostic>, Sources) {
    let path = if case.is_dir() {
        case.join("eud.toml")
    } else {
        case.to_owned()
    };
    match load(&path, &env) {
        Ok(loaded) => (loaded.warnings, loaded.sources),
        Err(invalid) => (invalid.diagnostics, invalid.sources),
    }
}

#[test]
fn every_bad_file_is_explained_as_expected() {
    let bless = std::env::var_os("EUD_BLESS").is_some();
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut failures = Vec::new();
    for case in &cases {
        let (diagnostics, sources) = diagnose(case);
        let text = render(&diagnostics, &sources, false, 80);
        let actual = format!("{text}\n{}\n", summary(&diagnostics));
        let path = case.with_extension("out");
        if bless {
            fs::write(&path, &actual).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if actual != expected {
            failures.push(format!(
                "--- {}\n{expected}--- actual\n{actual}",
                path.display()
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn every_code_has_a_case() {
    let seen: BTreeSet<Code> = cases()
        .iter()
        .flat_map(|case| diagnose(case).0)
        .map(|diagnostic| diagnostic.code)
        .collect();
    let missing: Vec<&Code> = ALL.iter().filter(|code| !seen.contains(*code)).collect();
    assert!(missing.is_empty(), "no case in tests/bad shows {missing:?}");
}

const ALL: &[Code] = &[
    Code::Unreadable,
    Code::Syntax,
    Code::DuplicateKey,
    Code::UnknownKey,
    Code::Unsupported,
    Code::Misplaced,
    Code::WrongType,
    Code::BadValue,
    Code::BadDuration,
    Code::BadSize,
    Code::BadSignal,
    Code::BadRegex,
    Code::BadUrl,
    Code::BadAddress,
    Code::BadName,
    Code::BadCommand,
    Code::BadPath,
    Code::BadPattern,
    Code::BadExpression,
    Code::BadTemplate,
    Code::BadSchema,
    Code::Variable,
    Code::Missing,
    Code::Exclusive,
    Code::DuplicateName,
    Code::UnknownDaemon,
    Code::UnknownGate,
    Code::UnknownPool,
    Code::UnknownChannel,
    Code::UnknownProfile,
    Code::BadSelector,
    Code::Cycle,
    Code::BadInclude,
    Code::PortConflict,
    Code::Contradiction,
    Code::ProfileConflict,
    Code::TooMany,
    Code::DeprecatedUse,
    Code::DisabledUse,
    Code::Empty,
    Code::ShellSyntax,
    Code::SecretShown,
    Code::Repeated,
    Code::SimilarNames,
];

#[test]
fn values_of_variables_are_never_shown() {
    for case in cases() {
        let (diagnostics, sources) = diagnose(&case);
        let text = render(&diagnostics, &sources, false, 80);
        let json = serde_json::to_string(&diagnostics).unwrap();
        assert!(
            !text.contains("hunter2") && !json.contains("hunter2"),
            "{}",
            case.display()
        );
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    for case in cases() {
        let (diagnostics, sources) = diagnose(&case);
        let plain = render(&diagnostics, &sources, false, 80);
        let mut rest = render(&diagnostics, &sources, true, 80);
        assert!(rest.contains("\u{1b}[1;3"), "{}", case.display());
        while let Some(start) = rest.find('\u{1b}') {
            let end = rest[start..].find('m').unwrap() + start;
            rest.replace_range(start..=end, "");
        }
        let trimmed = |text: &str| {
            text.lines()
                .map(|l| l.trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(trimmed(&plain), trimmed(&rest), "{}", case.display());
    }
}

#[test]
fn diagnostics_survive_json() {
    for case in cases() {
        let (diagnostics, sources) = diagnose(&case);
        let json = serde_json::to_string(&diagnostics).unwrap();
        let back: Vec<Diagnostic> = serde_json::from_str(&json).unwrap();
        assert_eq!(back, diagnostics);
        // A client that only has the JSON renders the same, reading the files itself.
        let base = if case.is_dir() {
            case.clone()
        } else {
            case.parent().unwrap().to_owned()
        };
        let text = render(&back, &Sources::read(&base, &back), false, 80);
        if !diagnostics.iter().any(|d| d.code == Code::Unreadable) {
            assert_eq!(text, render(&diagnostics, &sources, false, 80));
        }
    }
}

#[test]
fn lines_fit_the_width_and_hold_no_control_characters() {
    for case in cases() {
        let (diagnostics, sources) = diagnose(&case);
        for width in [60, 80, 120] {
            for line in render(&diagnostics, &sources, false, width).lines() {
                let long_word = line.split(' ').any(|word| word.chars().count() > 30);
                let width_of = unicode_width::UnicodeWidthStr::width(line);
                assert!(width_of <= width || long_word, "{}: {line}", case.display());
                assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}
