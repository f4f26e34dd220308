//! Texts of the files and places in them.
//!
//! Purpose: turn byte offsets into lines and columns, and collect problems until all are known.
//! Invariants: a [`At`] lies within its file's text; problems come out sorted by file and place,
//! each once.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, Place, Severity, Span};

/// A range of bytes in one of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    /// Index into [`Sources::files`].
    pub(crate) file: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Most problems that are reported at once.
const DIAGNOSTICS_MAX: usize = 1_000;
/// After this many comparisons of names there are no more suggestions.
const COMPARISONS_MAX: usize = 1_000_000;

/// Texts of the files a fleet was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    base: PathBuf,
    files: Vec<File>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    path: String,
    text: String,
    /// Offsets at which lines start.
    lines: Vec<usize>,
}

impl Sources {
    /// Reads the files that diagnostics name, as far as they can be read: for diagnostics that came
    /// as JSON. `base` is the folder that paths are shown relative to.
    pub fn read(base: &Path, diagnostics: &[Diagnostic]) -> Self {
        let places = diagnostics
            .iter()
            .flat_map(|d| d.related.iter().chain([&d.place]));
        let names: BTreeSet<&str> = places.map(|place| place.file.as_str()).collect();
        let mut sources = Self::new(base);
        for name in names {
            if let Ok(text) = std::fs::read_to_string(name) {
                sources.add(name.to_owned(), text);
            }
        }
        sources
    }

    pub(crate) fn new(base: &Path) -> Self {
        Self {
            base: base.to_owned(),
            files: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, path: String, text: String) -> usize {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0)
            .chain(newlines.map(|(i, _)| i + 1))
            .collect();
        self.files.push(File { path, text, lines });
        self.files.len() - 1
    }

    /// Size of all texts.
    pub(crate) fn bytes(&self) -> usize {
        self.files.iter().map(|file| file.text.len()).sum()
    }

    /// The same sources, shown relative to another folder.
    #[must_use]
    pub fn relative_to(mut self, base: &Path) -> Self {
        base.clone_into(&mut self.base);
        self
    }

    /// A path as people want to see it: relative to the base where it lies below it.
    pub fn shown<'p>(&self, path: &'p str) -> &'p str {
        let relative = Path::new(path)
            .strip_prefix(&self.base)
            .ok()
            .and_then(Path::to_str);
        relative.filter(|p| !p.is_empty()).unwrap_or(path)
    }

    /// Text of a file, by its path as in [`Place::file`].
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files
            .iter()
            .find(|file| file.path == path)
            .map(|file| file.text.as_str())
    }

    pub(crate) fn path(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |file| &file.path)
    }

    /// Folder of a file.
    pub(crate) fn folder(&self, file: usize) -> &Path {
        Path::new(self.path(file))
            .parent()
            .unwrap_or(Path::new("/"))
    }

    fn text_of(&self, file: usize) -> &str {
        self.files.get(file).map_or("", |file| &file.text)
    }

    pub(crate) fn slice(&self, at: At) -> &str {
        self.text_of(at.file)
            .get(at.start..at.end)
            .unwrap_or_default()
    }

    /// Place of a part of a string's contents. The whole string when escapes make the two differ.
    pub(crate) fn within(&self, at: At, content: &str, part: Range<usize>) -> At {
        let raw = self.slice(at);
        for open in ["\"\"\"\n", "'''\n", "\"\"\"", "'''", "\"", "'"] {
            let inner = raw.strip_prefix(open);
            let Some(inner) = inner else { continue };
            if inner.starts_with(content) && content.get(part.clone()).is_some() {
                let start = at.start + open.len();
                return At {
                    start: start + part.start,
                    end: start + part.end,
                    ..at
                };
            }
        }
        at
    }

    /// Line of a place, from 1.
    pub(crate) fn line(&self, at: At) -> usize {
        let file = self.files.get(at.file);
        file.map_or(0, |file| {
            file.lines.partition_point(|start| *start <= at.start)
        })
    }

    /// Offset and text of a line, counted from 1.
    pub(crate) fn line_text(&self, path: &str, number: usize) -> Option<(usize, &str)> {
        let file = self.files.iter().find(|file| file.path == path)?;
        let start = *file.lines.get(number.checked_sub(1)?)?;
        let end = file.lines.get(number).copied().unwrap_or(file.text.len());
        Some((
            start,
            file.text.get(start..end)?.trim_end_matches(['\n', '\r']),
        ))
    }

    fn place(&self, at: At, label: Option<String>) -> Place {
        let span = Span {
            start: at.start,
            end: at.end,
        };
        let name = self.path(at.file).to_owned();
        let file = self.files.get(at.file).filter(|file| !file.text.is_empty());
        let Some(file) = file else {
            return Place {
                file: name,
                line: 0,
                column: 0,
                span,
                label,
            };
        };
        let line = self.line(at);
        let line_start = file.lines.get(line - 1).copied().unwrap_or_default();
        let before = file.text.get(line_start..at.start).unwrap_or_default();
        Place {
            file: name,
            line,
            column: before.chars().count() + 1,
            span,
            label,
        }
    }
}

/// A problem being described.
#[derive(Debug)]
pub(crate) struct Draft {
    severity: Severity,
    code: Code,
    message: String,
    at: At,
    label: Option<String>,
    help: Option<String>,
    related: Vec<(At, String)>,
}

impl Draft {
    pub(crate) fn error(code: Code, at: At, message: impl Into<String>) -> Self {
        let (message, label, help) = (message.into(), None, None);
        Self {
            severity: Severity::Error,
            code,
            message,
            at,
            label,
            help,
            related: Vec::new(),
        }
    }

    pub(crate) fn warning(code: Code, at: At, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, at, message)
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(crate) fn also(mut self, at: At, label: impl Into<String>) -> Self {
        self.related.push((at, label.into()));
        self
    }

    /// Label `did you mean …?` when there is a suggestion.
    pub(crate) fn suggest(self, suggestion: Option<String>) -> Self {
        match suggestion {
            Some(name) => self.label(format!("did you mean `{name}`?")),
            None => self,
        }
    }
}

/// Problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    drafts: Vec<Draft>,
    /// Names compared so far, for suggestions.
    compared: usize,
}

impl Report {
    pub(crate) fn push(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.drafts
            .iter()
            .any(|draft| draft.severity == Severity::Error)
    }

    /// Whether something is wrong within a place.
    pub(crate) fn refuses_within(&self, at: At) -> bool {
        self.drafts.iter().any(|draft| {
            draft.severity == Severity::Error
                && draft.at.file == at.file
                && (at.start..at.end).contains(&draft.at.start)
        })
    }

    /// The known name nearest to an unknown one. Bounded, because it compares with every name there
    /// is.
    pub(crate) fn nearest<'n>(
        &mut self,
        wanted: &str,
        known: impl Iterator<Item = &'n str>,
    ) -> Option<String> {
        if wanted.len() > 128 || self.compared > COMPARISONS_MAX {
            return None;
        }
        eud_core::select::nearest(wanted, known.inspect(|_| self.compared += 1))
    }

    /// Problems by file and place, each once: a bad default is found again in every daemon that
    /// inherits it.
    pub(crate) fn finish(mut self, sources: &Sources) -> Vec<Diagnostic> {
        self.drafts
            .sort_by_key(|draft| (draft.at, draft.severity, draft.code));
        self.drafts
            .dedup_by(|a, b| (a.at, a.code, &a.message) == (b.at, b.code, &b.message));
        let finish = |draft: Draft| Diagnostic {
            severity: draft.severity,
            code: draft.code,
            message: draft.message,
            place: sources.place(draft.at, draft.label),
            help: draft.help,
            related: draft
                .related
                .into_iter()
                .map(|(at, label)| sources.place(at, Some(label)))
                .collect(),
        };
        let more = self.drafts.len().saturating_sub(DIAGNOSTICS_MAX);
        if more > 0 {
            // Errors first, so that a file with very many warnings still says why it is refused.
            self.drafts.sort_by_key(|draft| draft.severity);
            self.drafts.truncate(DIAGNOSTICS_MAX);
            self.drafts.sort_by_key(|draft| draft.at);
            if let Some(last) = self.drafts.last_mut() {
                last.help = Some(format!("{more} more problems are not shown"));
            }
        }
        self.drafts.into_iter().map(finish).collect()
    }
}

/// Text of a file as it may be shown in a message: in backticks, without control characters, at
/// most 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).map(printable).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// A character that cannot move the cursor or change colours.
pub(crate) fn printable(c: char) -> char {
    let hidden = c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}');
    if hidden || matches!(c, '\u{2066}'..='\u{2069}' | '\u{feff}') {
        '\u{fffd}'
    } else {
        c
    }
}
