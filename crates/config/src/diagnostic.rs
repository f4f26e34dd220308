//! Diagnostics: what is wrong with a fleet file, where, and what to do.
//!
//! Purpose: one plain-data description of each problem, for people (see [`crate::render`]) and for
//! `--json`.
//! Invariants: codes are stable once published; no message holds the value of a variable or a
//! secret, only the text of the file.
//! Deliberately absent: exit codes and colours.

use serde::{Deserialize, Serialize};

use crate::source::Sources;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The fleet file is refused.
    Error,
    /// The fleet file is accepted.
    Warning,
}

/// What sort of problem it is. In JSON, kebab-case: `unknown-key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Code {
    /// A file cannot be read, is a folder, is not UTF-8 or is too large.
    Unreadable,
    /// The text is not TOML.
    Syntax,
    /// A key is given twice in one file.
    DuplicateKey,
    /// A key that does not exist.
    UnknownKey,
    /// A key of a feature that this version does not have.
    Unsupported,
    /// A key that exists, in a table where it means nothing.
    Misplaced,
    /// A value of the wrong type.
    WrongType,
    /// A number or word outside what is allowed.
    BadValue,
    /// Not a duration.
    BadDuration,
    /// Not a size.
    BadSize,
    /// Not a signal that can stop a process.
    BadSignal,
    /// Not a regular expression.
    BadRegex,
    /// Not a URL that can be probed.
    BadUrl,
    /// Not `host:port`.
    BadAddress,
    /// Not a valid name.
    BadName,
    /// An empty command or one with unbalanced quotes.
    BadCommand,
    /// A path that cannot be resolved.
    BadPath,
    /// A schedule, calendar or time that cannot be understood or never comes true.
    BadSchedule,
    /// A time zone that is not known.
    UnknownZone,
    /// A pattern of paths that cannot be understood.
    BadGlob,
    /// A pattern of event types that cannot mean one.
    BadPattern,
    /// A CEL expression that cannot be understood, or names what is not there.
    BadExpression,
    /// A template that cannot be understood, or names what is not there.
    BadTemplate,
    /// A JSON Schema that is none.
    BadSchema,
    /// A `${VAR}` that is undefined or malformed.
    Variable,
    /// A required key is absent.
    Missing,
    /// Keys that exclude each other.
    Exclusive,
    /// A daemon or profile is declared twice, in one file or two.
    DuplicateName,
    /// A daemon that is not defined.
    UnknownDaemon,
    /// A gauge that is not defined.
    UnknownGauge,
    /// A gate that is not defined.
    UnknownGate,
    /// A pool that is not defined.
    UnknownPool,
    /// A channel that is not defined.
    UnknownChannel,
    /// A profile that is not defined.
    UnknownProfile,
    /// A selector in a profile that means nothing in this fleet.
    BadSelector,
    /// Daemons or profiles that wait for themselves.
    Cycle,
    /// A file that includes itself, an include that is not there, or too many.
    BadInclude,
    /// Two enabled daemons with one port.
    PortConflict,
    /// Two statements about a daemon that cannot both hold.
    Contradiction,
    /// Members of one profile that conflict.
    ProfileConflict,
    /// Too many daemons or replicas.
    TooMany,
    /// Warning: a deprecated daemon is selected or needed.
    DeprecatedUse,
    /// Warning: a disabled daemon is selected.
    DisabledUse,
    /// Warning: a profile, an include or a fleet selects nothing.
    Empty,
    /// Warning: shell syntax where there is no shell.
    ShellSyntax,
    /// Warning: a variable that looks like a secret becomes visible.
    SecretShown,
    /// Warning: a list names something twice.
    Repeated,
    /// Warning: two names differ in upper and lower case only.
    SimilarNames,
}

/// Bytes of the file that a diagnostic is about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset after the last byte.
    pub end: usize,
}

/// A place in a file, with a remark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Absolute path of the file.
    pub file: String,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// Column in characters, from 1; 0 when the whole file is meant.
    pub column: usize,
    /// Bytes meant.
    pub span: Span,
    /// Remark at the place.
    pub label: Option<String>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// Error or warning.
    pub severity: Severity,
    /// What sort of problem it is.
    pub code: Code,
    /// What is wrong, in a sentence.
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What to do, when the label does not say it.
    pub help: Option<String>,
    /// Other places that take part, such as the first of two declarations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Place>,
}

/// A fleet file that is refused, with all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.first_line())]
pub struct Invalid {
    /// Errors and warnings, by file and line.
    pub diagnostics: Vec<Diagnostic>,
    /// Texts of the files, for [`crate::render`].
    pub sources: Sources,
}

impl Invalid {
    fn first_line(&self) -> String {
        let first = self
            .diagnostics
            .iter()
            .find(|d| d.severity == Severity::Error);
        let Some(first) = first else {
            return summary(&self.diagnostics);
        };
        let file = self.sources.shown(&first.place.file);
        let place = match first.place.line {
            0 => file.to_owned(),
            line => format!("{file}:{line}:{}", first.place.column),
        };
        match self.diagnostics.len() {
            1 => format!("{place}: {}", first.message),
            n => format!("{place}: {} (and {} more)", first.message, n - 1),
        }
    }
}

/// How many there are: `2 errors, 1 warning`; `no problems` when there are none.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let words = |n: usize, word: &str| match n {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let parts: Vec<String> = [
        words(count(Severity::Error), "error"),
        words(count(Severity::Warning), "warning"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if parts.is_empty() {
        "no problems".to_owned()
    } else {
        parts.join(", ")
    }
}
