//! Checks of values that are more than a word: commands, paths, numbers, limits.

use std::path::{Component, Path, PathBuf};

use eud_core::fleet::Rlimit;

use crate::check::{Checker, Text};
use crate::check_texts::begins_with_template;
use crate::diagnostic::Code;
use crate::document::{Node, Value};
use crate::keys::Type;
use crate::source::{At, Draft, quoted};
use crate::values::{self, Fault, RLIMIT_NAMES};
use crate::words::{self, Part, Unbalanced, Word};

/// What the words of a command are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Plain,
    /// Templates over `task`.
    Templates,
}

impl Checker<'_> {
    pub(crate) fn boolean(&mut self, key: &str, node: &Node, ty: &Type) -> Option<bool> {
        let value = match &node.value {
            Value::Bool(value) => Some(*value),
            _ => self.text(key, node)?.text.parse().ok(),
        };
        let wanted = match ty {
            Type::True => value.filter(|value| *value),
            Type::False => value.filter(|value| !*value),
            _ => value,
        };
        if wanted.is_none() {
            let message = match ty {
                Type::True => format!("{} must be true or a table", quoted(key)),
                Type::False => format!("{} must be a table or false", quoted(key)),
                _ => format!("{} must be true or false", quoted(key)),
            };
            self.error(Code::BadValue, node.at, message, "neither");
        }
        wanted
    }

    pub(crate) fn int(&mut self, key: &str, node: &Node, min: i64, max: i64) -> Option<i64> {
        let value = match &node.value {
            Value::Integer { value, .. } => *value,
            _ => self.text(key, node)?.text.trim().parse().ok(),
        };
        let value = value.filter(|value| (min..=max).contains(value));
        if value.is_none() {
            let message = format!("{} must be an integer from {min} to {max}", quoted(key));
            self.error(Code::BadValue, node.at, message, "out of range");
        }
        value
    }

    pub(crate) fn number(&mut self, key: &str, node: &Node, min: f64, max: f64) -> Option<f64> {
        let value = match &node.value {
            // Exact for every integer that the range allows.
            Value::Integer { value, .. } => value.map(|value| value as f64),
            Value::Float(value) => Some(*value),
            _ => self.text(key, node)?.text.trim().parse().ok(),
        };
        let value = value.filter(|value| (min..=max).contains(value));
        if value.is_none() {
            let message = format!("{} must be a number from {min} to {max}", quoted(key));
            self.error(Code::BadValue, node.at, message, "out of range");
        }
        value
    }

    pub(crate) fn in_range(
        &mut self,
        key: &str,
        node: &Node,
        value: u64,
        (min, max): (u64, u64),
        shown: fn(u64) -> String,
    ) -> Option<u64> {
        if (min..=max).contains(&value) {
            return Some(value);
        }
        let (word, bound) = if value < min {
            ("least", min)
        } else {
            ("most", max)
        };
        let message = format!("{} must be at {word} {}", quoted(key), shown(bound));
        self.error(Code::BadValue, node.at, message, "out of range");
        None
    }

    /// A size; an integer is a number of bytes.
    pub(crate) fn size(&mut self, key: &str, node: &Node) -> Option<u64> {
        let text = match &node.value {
            Value::Integer { value, .. } => {
                let bytes = value.and_then(|value| u64::try_from(value).ok());
                if bytes.is_none() {
                    let message = format!("{} cannot be negative", quoted(key));
                    self.error(Code::BadSize, node.at, message, "a number of bytes");
                }
                return bytes;
            }
            _ => self.text(key, node)?,
        };
        match values::size(&text.text) {
            Ok(bytes) => Some(bytes),
            Err(fault) => {
                self.fault(key, node.at, Code::BadSize, "size", fault, text.expanded);
                None
            }
        }
    }

    pub(crate) fn umask(&mut self, key: &str, node: &Node) -> Option<u32> {
        let (parsed, expanded) = match &node.value {
            Value::Integer {
                value: Some(value),
                radix: 8,
            } => (values::umask(&format!("{value:o}")), false),
            Value::Integer { .. } => {
                let why = "it is a decimal number".into();
                (
                    Err(Fault {
                        why,
                        hint: "write octal digits: \"027\" or 0o027".into(),
                    }),
                    false,
                )
            }
            _ => {
                let text = self.text(key, node)?;
                (values::umask(&text.text), text.expanded)
            }
        };
        match parsed {
            Ok(mask) => Some(mask),
            Err(fault) => {
                self.fault(key, node.at, Code::BadValue, "mask", fault, expanded);
                None
            }
        }
    }

    pub(crate) fn account(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = match &node.value {
            Value::Integer { value, .. } => {
                let text = value.map(|value| value.to_string()).unwrap_or_default();
                Text {
                    text,
                    expanded: false,
                }
            }
            _ => self.text(key, node)?,
        };
        match values::account(&text.text) {
            Ok(name) => Some(name),
            Err(fault) => {
                self.fault(key, node.at, Code::BadValue, key, fault, text.expanded);
                None
            }
        }
    }

    pub(crate) fn env_text(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Integer {
                value: Some(value),
                radix: 10,
            } => Some(value.to_string()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Text(raw) => {
                let text = self.text(key, node)?;
                if raw.starts_with("~/") {
                    self.not_expanded(node.at, "`~/`", "${HOME}/");
                }
                if let Some(name) = bare_variable(raw) {
                    self.not_expanded(
                        node.at,
                        &quoted(&format!("${name}")),
                        &format!("${{{name}}}"),
                    );
                }
                Some(text.text)
            }
            _ => {
                let message = format!("{} can be written in several ways", quoted(key));
                self.error(Code::WrongType, node.at, message, "write it in quotes");
                None
            }
        }
    }

    fn not_expanded(&mut self, at: At, what: &str, instead: &str) {
        let message = format!("{what} is not expanded here");
        let draft = Draft::warning(Code::ShellSyntax, at, message);
        self.report.push(draft.label(format!("write `{instead}`")));
    }

    /// A path, absolute.
    pub(crate) fn path(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        self.absolute(key, node.at, &text.text)
    }

    pub(crate) fn env_file(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        match text.text.strip_prefix('?') {
            Some(path) => Some(format!("?{}", self.absolute(key, node.at, path)?)),
            None => self.absolute(key, node.at, &text.text),
        }
    }

    fn absolute(&mut self, key: &str, at: At, path: &str) -> Option<String> {
        if path.is_empty() {
            self.error(
                Code::BadPath,
                at,
                format!("{} is empty", quoted(key)),
                "write a path",
            );
            return None;
        }
        let path = self.home(at, path)?;
        Some(join(self.sources.folder(at.file), &path))
    }

    /// Expands a leading `~/`.
    pub(crate) fn home(&mut self, at: At, path: &str) -> Option<String> {
        let Some(rest) = path.strip_prefix('~') else {
            return Some(path.to_owned());
        };
        if !rest.is_empty() && !rest.starts_with('/') {
            let message = "the home folder of another user cannot be looked up".to_owned();
            self.error(Code::BadPath, at, message, "write the whole path");
            return None;
        }
        match (self.env)("HOME").filter(|home| home.starts_with('/')) {
            Some(home) => Some(format!("{}{rest}", home.trim_end_matches('/'))),
            None => {
                let message = "`~` cannot be expanded: variable `HOME` is not set".to_owned();
                self.error(Code::BadPath, at, message, "write the whole path");
                None
            }
        }
    }

    /// Words of a command; its program resolved against the folder of the file.
    pub(crate) fn command(&mut self, key: &str, node: &Node, sort: Words) -> Option<Vec<String>> {
        let words = match &node.value {
            Value::Array(items) => self.listed_words(key, items, sort)?,
            Value::Text(text) => self.split_words(key, node.at, text, sort)?,
            _ => return None,
        };
        let program = words.first().filter(|program| !program.is_empty());
        let Some(program) = program else {
            let message = format!("{} is empty", quoted(key));
            self.error(Code::BadCommand, node.at, message, "name a program");
            return None;
        };
        let filled_in = sort == Words::Templates && begins_with_template(program);
        let program = match program.contains('/') && !filled_in {
            true => join(self.sources.folder(node.at.file), program),
            false => program.clone(),
        };
        Some(
            std::iter::once(program)
                .chain(words.into_iter().skip(1))
                .collect(),
        )
    }

    fn listed_words(&mut self, key: &str, items: &[Node], sort: Words) -> Option<Vec<String>> {
        let mut words = Vec::new();
        for item in items {
            let word = match &item.value {
                Value::Text(_) => self
                    .text(key, item)
                    .filter(|text| sort == Words::Plain || self.task_word(key, item.at, text))
                    .and_then(|t| self.home_word(item.at, t.text)),
                other => {
                    let message = format!("each word of {} must be a string", quoted(key));
                    let label = match other {
                        Value::Integer { .. } | Value::Float(_) | Value::Bool(_) => {
                            "write it in quotes".to_owned()
                        }
                        other => format!("this is {}", other.kind()),
                    };
                    self.error(Code::WrongType, item.at, message, label);
                    None
                }
            };
            words.push(word);
        }
        words.into_iter().collect()
    }

    /// A word that begins with `~/`, as a shell would take it.
    fn home_word(&mut self, at: At, word: String) -> Option<String> {
        if word == "~" || word.starts_with("~/") {
            self.home(at, &word)
        } else {
            Some(word)
        }
    }

    fn split_words(&mut self, key: &str, at: At, text: &str, sort: Words) -> Option<Vec<String>> {
        let split = match sort {
            Words::Plain => words::split(text),
            Words::Templates => words::split_templates(text),
        };
        let words = match split {
            Ok(words) => words,
            Err(Unbalanced(from)) => {
                let place = self.sources.within(at, text, from..from + 1);
                let message = format!("{} has a quote without its end", quoted(key));
                let label = "this quote is never closed".to_owned();
                self.error(Code::BadCommand, place, message, label);
                return None;
            }
        };
        self.shell_syntax(key, at, text, &words);
        let done: Vec<Option<String>> = words
            .iter()
            .map(|word| {
                let joined = self.joined(at, text, word)?;
                let good = sort == Words::Plain || self.joined_template(key, at, text, word);
                good.then_some(joined)
            })
            .collect();
        let words: Option<Vec<String>> = done.into_iter().collect();
        if words
            .as_ref()
            .is_some_and(|words| words.iter().any(|word| word.contains('\0')))
        {
            let message = format!("{} contains a NUL character", quoted(key));
            self.error(Code::BadCommand, at, message, "no program can receive it");
            return None;
        }
        words
    }

    /// Checks a word as a template. Its place is exact where nothing in it was filled in.
    fn joined_template(&mut self, key: &str, at: At, text: &str, word: &Word) -> bool {
        let place = self.sources.within(at, text, word.range.clone());
        let mut whole = Text {
            text: String::new(),
            expanded: false,
        };
        for part in &word.parts {
            let (Part::Literal(part) | Part::Open(part, _)) = part;
            whole.text.push_str(part);
        }
        self.task_word(key, place, &whole)
    }

    /// A word with its variables filled in.
    fn joined(&mut self, at: At, text: &str, word: &Word) -> Option<String> {
        let mut joined = String::new();
        let mut good = true;
        for part in &word.parts {
            match part {
                Part::Literal(literal) => joined.push_str(literal),
                Part::Open(open, from) => match self.expanded(at, text, *from..from + open.len()) {
                    Some(text) => joined.push_str(&text.text),
                    None => good = false,
                },
            }
        }
        let tilde = text
            .get(word.range.clone())
            .is_some_and(|raw| raw.starts_with('~'));
        match (good, tilde) {
            (false, _) => None,
            (true, true) => self.home_word(at, joined),
            (true, false) => Some(joined),
        }
    }

    /// Warns of what a shell would act upon.
    fn shell_syntax(&mut self, key: &str, at: At, text: &str, words: &[Word]) {
        let raw = |word: &Word| text.get(word.range.clone()).unwrap_or_default();
        let first = words.first().map(raw).unwrap_or_default();
        let assigns = |(name, _): (&str, &str)| {
            let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
            !name.is_empty() && name.chars().all(letter)
        };
        let warning = if first.split_once('=').is_some_and(assigns) {
            let message = format!("{} is taken as the program", quoted(first));
            Some((0, message, "set variables with `env`"))
        } else if let Some(index) = words.iter().position(|word| word.operator) {
            let word = words.get(index).map(raw).unwrap_or_default();
            let message = format!("{} is passed to the program as a word", quoted(word));
            Some((
                index,
                message,
                "for a shell, write `shell` instead of `command`",
            ))
        } else if first.ends_with("sh") {
            None
        } else {
            let open = |word: &Word| {
                word.parts.iter().any(|part| match part {
                    Part::Open(text, _) => bare_variable(text).is_some(),
                    Part::Literal(_) => false,
                })
            };
            let index = words.iter().position(open);
            index.map(|i| {
                (
                    i,
                    "a variable without braces is not expanded".into(),
                    "write `${…}`",
                )
            })
        };
        let Some((index, message, label)) = warning else {
            return;
        };
        let range = words
            .get(index)
            .map(|word| word.range.clone())
            .unwrap_or_default();
        let place = self.sources.within(at, text, range);
        let label = if key == "command" {
            label
        } else {
            "no shell is involved"
        };
        self.report
            .push(Draft::warning(Code::ShellSyntax, place, message).label(label));
    }

    pub(crate) fn limit(&mut self, key: &str, node: &Node) -> Option<Rlimit> {
        let Value::Array(items) = &node.value else {
            let one = self.limit_value(key, node)?;
            return Some(Rlimit {
                soft: one,
                hard: one,
            });
        };
        let [soft_node, hard_node] = items.as_slice() else {
            let message = format!("limit {} needs two values in an array", quoted(key));
            self.error(Code::WrongType, node.at, message, "write [soft, hard]");
            return None;
        };
        let (soft, hard) = (
            self.limit_value(key, soft_node),
            self.limit_value(key, hard_node),
        );
        let (soft, hard) = (soft?, hard?);
        if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
            let message = format!("the soft limit of {} is above the hard limit", quoted(key));
            self.error(Code::BadValue, node.at, message, "write [soft, hard]");
            return None;
        }
        Some(Rlimit { soft, hard })
    }

    /// One value of a limit; `Some(None)` is unlimited.
    fn limit_value(&mut self, key: &str, node: &Node) -> Option<Option<u64>> {
        let bytes = RLIMIT_NAMES
            .iter()
            .any(|(name, bytes)| *name == key && *bytes);
        let text = match &node.value {
            Value::Integer {
                value: Some(value @ 0..),
                ..
            } => return Some(Some(value.unsigned_abs())),
            Value::Text(_) => Some(self.text(key, node)?),
            _ => None,
        };
        if let Some(text) = text {
            let text = text.text.as_str();
            if matches!(text, "unlimited" | "infinity") {
                return Some(None);
            }
            let number = text
                .parse()
                .ok()
                .or_else(|| values::size(text).ok().filter(|_| bytes));
            if number.is_some() {
                return Some(number);
            }
        }
        let message = format!("limit {} is not valid", quoted(key));
        let label = if bytes {
            "write a size such as \"1GB\", or \"unlimited\""
        } else {
            "write a number of at least 0, or \"unlimited\""
        };
        self.error(Code::BadValue, node.at, message, label);
        None
    }
}

/// Name after a `$` that has no braces: `$HOME`.
fn bare_variable(text: &str) -> Option<&str> {
    text.match_indices('$').find_map(|(i, _)| {
        let rest = text.get(i + 1..)?;
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
        let name = rest.get(..end)?;
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            .then_some(name)
    })
}

/// `path` below `folder`, without `.`. `..` stays: what it means depends on symbolic links.
pub(crate) fn join(folder: &Path, path: &str) -> String {
    let joined: PathBuf = folder
        .join(path)
        .components()
        .filter(|component| !matches!(component, Component::CurDir))
        .collect();
    joined.to_string_lossy().into_owned()
}
