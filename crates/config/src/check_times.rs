//! Checks of values that say when or how much: schedules, zones, times, thresholds; and of
//! patterns.
//!
//! Invariants: what is accepted here parses again in the core; a text that came from a variable is
//! not repeated in a message.

use std::path::Path;

use eud_core::schedule::{Refused, Schedule};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::check::Checker;
use crate::diagnostic::Code;
use crate::document::{Node, Value};
use crate::source::{Draft, printable, quoted};
use crate::values;

/// Largest threshold either way: below it every whole number has a value of its own.
const THRESHOLD_MAX: f64 = 1e15;
/// Largest share of CPU in percent of one core.
const PERCENT_MAX: f64 = 100_000.0;
/// Longest reason of a refusal that is repeated, in characters.
const REASON_CHARS_MAX: usize = 200;

impl Checker<'_> {
    /// A cron expression, `@reboot`, or, with `once_too`, `once`.
    pub(crate) fn cron(&mut self, key: &str, node: &Node, once_too: bool) -> Option<String> {
        let text = self.text(key, node)?;
        let word = text.text.trim();
        if word.eq_ignore_ascii_case("@reboot") || (once_too && word == "once") {
            return Some(word.to_ascii_lowercase());
        }
        let parsed = Schedule::cron(&text.text, TimeZone::UTC);
        let Err(refused) = parsed else {
            return Some(text.text);
        };
        let help = if once_too {
            "a schedule is a cron expression, \"once\", \"@reboot\", or a table; the forms are in \
             docs/schedules.md"
        } else {
            "the forms are in docs/schedules.md"
        };
        self.refused(key, node, "cron expression", &refused, text.expanded, help);
        None
    }

    /// A calendar expression.
    pub(crate) fn calendar(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let parsed = Schedule::calendar(&text.text, TimeZone::UTC);
        let Err(refused) = parsed else {
            return Some(text.text);
        };
        let help = "the forms are in docs/schedules.md";
        let what = "calendar expression";
        self.refused(key, node, what, &refused, text.expanded, help);
        None
    }

    fn refused(
        &mut self,
        key: &str,
        node: &Node,
        what: &str,
        refused: &Refused,
        expanded: bool,
        help: &str,
    ) {
        let message = format!("{} is not a valid {what}", quoted(key));
        let draft = match &node.value {
            Value::Text(raw) if !expanded => {
                let place = self.sources.within(node.at, raw, refused.part.clone());
                let why = refused.why.chars().map(printable);
                let why: String = why.take(REASON_CHARS_MAX).collect();
                Draft::error(Code::BadSchedule, place, message).label(why)
            }
            _ => Draft::error(Code::BadSchedule, node.at, message)
                .label("after its variables are filled in"),
        };
        self.report.push(draft.help(help));
    }

    /// Name of a zone, as the database of zones writes it.
    pub(crate) fn zone(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let found = TimeZone::get(&text.text).ok();
        if let Some(name) = found.as_ref().and_then(TimeZone::iana_name) {
            return Some(name.to_owned());
        }
        let draft = Draft::error(
            Code::UnknownZone,
            node.at,
            format!("{} is not the name of a time zone", quoted(key)),
        );
        let near = (!text.expanded).then(|| self.nearest_zone(&text.text));
        self.report.push(match near.flatten() {
            Some(near) => draft.suggest(Some(near)),
            None => draft.label("zones are called as in \"Europe/Oslo\", or \"UTC\""),
        });
        None
    }

    /// The zone of a city, or one that is written nearly so.
    fn nearest_zone(&mut self, wanted: &str) -> Option<String> {
        let mut names: Vec<String> = jiff::tz::db().available().map(|n| n.to_string()).collect();
        names.sort();
        let city = wanted.replace(' ', "_");
        let is_city = |name: &&String| {
            let last = name.rsplit('/').next().unwrap_or_default();
            last.eq_ignore_ascii_case(&city) && name.contains('/')
        };
        if let Some(name) = names.iter().find(is_city) {
            return Some(name.clone());
        }
        self.report
            .nearest(wanted, names.iter().map(String::as_str))
    }

    /// A time; checked, and still as it was written.
    pub(crate) fn instant(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        if instant_ms(&text.text, &TimeZone::UTC).is_some() {
            return Some(text.text);
        }
        let message = format!("{} is not a time", quoted(key));
        let label = "write it like \"2027-01-01T03:00:00+01:00\", or without the offset and `tz`";
        self.error(Code::BadSchedule, node.at, message, label);
        None
    }

    /// A number, or a text that stands for one.
    pub(crate) fn threshold(&mut self, key: &str, node: &Node) -> Option<f64> {
        let value = match &node.value {
            // Exact for every integer that the range allows.
            Value::Integer { value, .. } => value.map(|value| value as f64),
            Value::Float(value) => Some(*value),
            _ => values::threshold(&self.text(key, node)?.text),
        };
        let in_range = |value: &f64| (-THRESHOLD_MAX..=THRESHOLD_MAX).contains(value);
        let value = value.filter(in_range);
        if value.is_none() {
            let message = format!("{} is not a number", quoted(key));
            let label = "write a number, a size such as \"2GB\", a duration such as \"30m\", or \
                         \"90%\"";
            self.error(Code::BadValue, node.at, message, label);
        }
        value
    }

    /// Percent of one core.
    pub(crate) fn share(&mut self, key: &str, node: &Node) -> Option<i64> {
        let value = match &node.value {
            Value::Integer { value, .. } => value.map(|value| value as f64),
            Value::Float(value) => Some(*value),
            _ => {
                let text = self.text(key, node)?.text;
                let text = text.trim();
                text.strip_suffix('%').unwrap_or(text).trim().parse().ok()
            }
        };
        let value = value.filter(|value: &f64| (1.0..=PERCENT_MAX).contains(value));
        if value.is_none() {
            let message = format!("{} is not a share of CPU time", quoted(key));
            let label = "write percent of one core, from \"1%\" to \"100000%\"";
            self.error(Code::BadValue, node.at, message, label);
        }
        value.map(|value| value.round() as i64)
    }

    /// A glob of paths, absolute.
    pub(crate) fn glob(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let written = text.text.as_str();
        let why = if written.trim().is_empty() {
            Some("it is empty".to_owned())
        } else {
            glob_fault(written)
        };
        if let Some(why) = why {
            self.bad_glob(key, node, &why, text.expanded);
            return None;
        }
        if written.starts_with('/') {
            return Some(written.to_owned());
        }
        let (folder, rest) = match written.strip_prefix("~/") {
            Some(rest) => (self.home(node.at, "~/")?, rest),
            None => {
                let folder = self.sources.folder(node.at.file);
                (folder.to_string_lossy().into_owned(), written)
            }
        };
        // Only what was written is a pattern; a folder may be called anything.
        let folder = globset::escape(folder.trim_end_matches('/'));
        let rest = rest.strip_prefix("./").unwrap_or(rest);
        Some(format!("{folder}/{rest}"))
    }

    fn bad_glob(&mut self, key: &str, node: &Node, why: &str, expanded: bool) {
        let message = format!("{} is not a valid pattern", quoted(key));
        let label = match expanded {
            true => "after its variables are filled in".to_owned(),
            false => why.chars().map(printable).collect(),
        };
        self.error(Code::BadGlob, node.at, message, label);
    }

    /// A pattern as in gitignore(5), as it was written.
    pub(crate) fn ignored(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let written = text.text.as_str();
        let plain = written.strip_prefix('!').unwrap_or(written);
        let plain = plain.trim_matches('/');
        let why = if plain.trim().is_empty() {
            Some("it names nothing".to_owned())
        } else if written.starts_with('#') {
            Some("it is a comment: write \"\\\\#…\" for a name with `#`".to_owned())
        } else if written.contains('\n') {
            Some("it has more than one line: write an array".to_owned())
        } else {
            glob_fault(plain)
        };
        if let Some(why) = why {
            self.bad_glob(key, node, &why, text.expanded);
            return None;
        }
        Some(text.text)
    }

    /// An extension of file names, without the dot.
    pub(crate) fn extension(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let plain = text.text.strip_prefix('.').unwrap_or(&text.text);
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '~');
        if !plain.is_empty() && plain.chars().all(allowed) {
            return Some(plain.to_owned());
        }
        let message = format!("{} is not an extension of file names", quoted(key));
        let last = Path::new(plain).extension().and_then(|e| e.to_str());
        let label = match last.filter(|last| !text.expanded && last.chars().all(allowed)) {
            Some(last) => format!("write \"{last}\""),
            None => "write it like \"md\"".to_owned(),
        };
        self.error(Code::BadValue, node.at, message, label);
        None
    }

    /// A JSON pointer.
    pub(crate) fn pointer(&mut self, key: &str, node: &Node) -> Option<String> {
        let text = self.text(key, node)?;
        let is_escape = |rest: &str| rest.starts_with(['0', '1']);
        let escapes = text.text.split('~').skip(1).all(is_escape);
        if escapes && (text.text.is_empty() || text.text.starts_with('/')) {
            return Some(text.text);
        }
        let message = format!("{} is not a JSON pointer", quoted(key));
        let label = "write it like \"/queues/0/depth\"; `~1` is a `/` in a name, `~0` a `~`";
        self.error(Code::BadValue, node.at, message, label);
        None
    }
}

/// What is wrong with a glob.
fn glob_fault(pattern: &str) -> Option<String> {
    let built = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .build();
    built.err().map(|error| error.kind().to_string())
}

/// A time in milliseconds since the Unix epoch; in `zone` if it has no offset.
pub(crate) fn instant_ms(text: &str, zone: &TimeZone) -> Option<i64> {
    let text = text.trim();
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_millisecond());
    }
    // A zone in brackets is one way more than anybody needs.
    let plain = !text.contains('[') && !has_offset(text);
    let civil: DateTime = plain.then(|| text.parse().ok()).flatten()?;
    let at = civil.to_zoned(zone.clone()).ok()?;
    Some(at.timestamp().as_millisecond())
}

/// Whether there is something after the time that would be passed over in silence.
fn has_offset(text: &str) -> bool {
    let time = text.get(10..).unwrap_or_default();
    time.contains(['+', '-', 'Z', 'z'])
}
