//! Checks values against the table of keys.
//!
//! Purpose: find everything that is wrong with a table, without looking at other tables; what is
//! right comes out typed and expanded.
//! Invariants: one pass over the table reports all its errors; nothing is coerced, except that a
//! text with `${VAR}` may stand for a number or a boolean.
//! Deliberately absent: whether the daemons, users or files that are named exist.

use crate::check_values::Words;
use crate::checked::{Checked, Item, Val};
use crate::diagnostic::Code;
use crate::document::{Node, Table, Value};
use crate::expand::{self, Env};
use crate::keys::{Key, KeyRule, MapSpec, TableSpec, Type};
use crate::source::{At, Draft, Report, Sources, quoted};
use crate::tables::{self, TABLES};
use crate::values::{self, Fault, Parsed, RLIMIT_NAMES};

/// What is needed to check a table.
pub(crate) struct Checker<'a> {
    pub(crate) sources: &'a Sources,
    pub(crate) env: Env<'a>,
    pub(crate) report: &'a mut Report,
    /// The table is `[defaults]`: it may lack what a daemon must have, and may not hold what is a
    /// daemon's own.
    pub(crate) defaults: bool,
    /// The table is a rule: its texts may name `rule`, too.
    pub(crate) rule: bool,
}

/// A text after expansion.
pub(crate) struct Text {
    pub(crate) text: String,
    /// It came from a variable in part, so it must not be shown.
    pub(crate) expanded: bool,
}

impl Checker<'_> {
    pub(crate) fn error(&mut self, code: Code, at: At, message: String, label: impl Into<String>) {
        self.report
            .push(Draft::error(code, at, message).label(label));
    }

    /// Checks a table with known keys. `owner` is how messages call it, `at` where to say what is
    /// missing.
    pub(crate) fn table(
        &mut self,
        owner: &str,
        at: At,
        table: &Table,
        spec: &'static TableSpec,
    ) -> Checked {
        let mut checked = Checked::default();
        let mut hinted = false;
        for entry in &table.entries {
            let Some(key) = spec.key(&entry.key) else {
                hinted |= self.unknown_key(&entry.key, entry.key_at, spec);
                continue;
            };
            if self.defaults && !key.inherited {
                let message = format!("`{}` cannot be a default", key.name);
                self.error(
                    Code::Misplaced,
                    entry.key_at,
                    message,
                    "give it to each daemon",
                );
                continue;
            }
            let value = self.value(key.name, &entry.node, &key.ty);
            if let Some(item) = value {
                checked.entries.push((key.name, item));
            }
        }
        self.required(owner, at, table, spec, hinted);
        self.exactly_one(owner, at, table, spec, hinted);
        checked
    }

    /// Reports an unknown key; answers whether it says which key was meant.
    pub(crate) fn unknown_key(&mut self, key: &str, at: At, spec: &'static TableSpec) -> bool {
        let hint = spec
            .hints
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, hint)| *hint);
        if hint == Some(tables::LATER) {
            let message = format!("`{key}` is not supported by this version");
            self.report
                .push(Draft::error(Code::Unsupported, at, message));
            return false;
        }
        let message = match spec.name {
            "the top level" => format!("there is no key {} at the top level", quoted(key)),
            name => format!("there is no key {} in {}", quoted(key), table_name(name)),
        };
        if let Some(hint) = hint {
            self.error(Code::UnknownKey, at, message, hint);
            return true;
        }
        let homes: Vec<String> = TABLES
            .iter()
            .filter(|table| table.key(key).is_some())
            .map(|table| table_name(table.name))
            .collect();
        if !homes.is_empty() {
            self.error(Code::Misplaced, at, message, belongs(key, &homes));
            return false;
        }
        let near = self
            .report
            .nearest(key, spec.keys.iter().map(|key| key.name));
        let foreign = self
            .report
            .nearest(key, spec.hints.iter().map(|(name, _)| *name));
        let hint = spec
            .hints
            .iter()
            .find(|(name, _)| Some(*name) == foreign.as_deref());
        if let (None, Some((_, hint))) = (&near, hint.filter(|(_, hint)| *hint != tables::LATER)) {
            self.error(Code::UnknownKey, at, message, *hint);
            return true;
        }
        let draft = Draft::error(Code::UnknownKey, at, message);
        let hinted = near.is_some();
        let names: Vec<&str> = spec.keys.iter().map(|key| key.name).collect();
        self.report.push(match near {
            Some(_) => draft.suggest(near),
            None => draft
                .label("unknown key")
                .help(format!("known keys: {}", names.join(", "))),
        });
        hinted
    }

    fn required(
        &mut self,
        owner: &str,
        at: At,
        table: &Table,
        spec: &'static TableSpec,
        hinted: bool,
    ) {
        let missing = |key: &&&str| table.get(key).is_none();
        let missing: Vec<&str> = spec.required.iter().filter(missing).copied().collect();
        if missing.is_empty() || hinted {
            return;
        }
        let list = alternatives(&missing).replace(" or ", " and ");
        let message = format!("{owner} has no {}", list.replace(" and ", " and no "));
        self.error(Code::Missing, at, message, format!("give {list}"));
    }

    fn exactly_one(
        &mut self,
        owner: &str,
        at: At,
        table: &Table,
        spec: &'static TableSpec,
        hinted: bool,
    ) {
        let mut given = table
            .entries
            .iter()
            .filter(|e| spec.one_of.contains(&e.key.as_str()));
        if spec.one_of.is_empty() {
            return;
        }
        let Some(first) = given.next() else {
            let inherits =
                self.defaults && matches!(spec.name, "a daemon" | "a pool" | "ready" | "live");
            if !inherits && !hinted {
                let list = alternatives(spec.one_of);
                let message = match spec.one_of.len() {
                    1 => format!("{owner} has no {list}"),
                    _ => format!("{owner} has none of {list}").replace(" or ", " and "),
                };
                let label = format!("give {}", alternatives(spec.one_of));
                self.error(Code::Missing, at, message, label);
            }
            return;
        };
        for other in given {
            let message = format!("{owner} has both `{}` and `{}`", first.key, other.key);
            let draft = Draft::error(Code::Exclusive, other.key_at, message);
            let help = format!("give exactly one of {}", alternatives(spec.one_of));
            self.report.push(
                draft
                    .label("this")
                    .also(first.key_at, "and this")
                    .help(help),
            );
        }
    }

    /// Checks a table with free keys.
    pub(crate) fn map(&mut self, table: &Table, spec: &'static MapSpec) -> Vec<(String, Item)> {
        let mut checked = Vec::new();
        for entry in &table.entries {
            let valid = self.map_key(&entry.key, entry.key_at, spec);
            let item = self.value(&entry.key, &entry.node, &spec.value);
            if let (true, Some(item)) = (valid, item) {
                checked.push((entry.key.clone(), item));
            }
        }
        checked
    }

    /// Checks a free key.
    pub(crate) fn map_key(&mut self, key: &str, at: At, spec: &'static MapSpec) -> bool {
        let parsed = match spec.keys {
            KeyRule::Name => values::name(key),
            KeyRule::OutletName => values::outlet_name(key),
            KeyRule::EventType => values::event_type(key),
            KeyRule::Header => values::header(key),
            KeyRule::Variable => values::variable(key),
            KeyRule::Limit => self.limit_name(key),
        };
        let Err(fault) = parsed else { return true };
        let message = format!(
            "{} is not a name for a {}: {}",
            quoted(key),
            spec.noun,
            fault.why
        );
        self.error(Code::BadName, at, message, fault.hint);
        false
    }

    fn limit_name(&mut self, key: &str) -> Parsed<String> {
        if RLIMIT_NAMES.iter().any(|(name, _)| *name == key) {
            return Ok(key.to_owned());
        }
        let names = RLIMIT_NAMES.iter().map(|(name, _)| *name);
        let hint = match self.report.nearest(key, names.clone()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("one of {}", names.collect::<Vec<_>>().join(", ")),
        };
        Err(Fault {
            why: "there is no such limit".into(),
            hint,
        })
    }

    /// Checks one value; `None` when it is wrong, which has then been reported.
    pub(crate) fn value(&mut self, key: &str, node: &Node, ty: &'static Type) -> Option<Item> {
        if !ty.takes(node) {
            self.wrong_type(key, node, ty);
            return None;
        }
        let val = match ty {
            Type::Either(options) => {
                let option = options.iter().find(|option| option.takes(node))?;
                return self.value(key, node, option);
            }
            Type::Many(item) => Val::List(self.many(key, node, item)),
            Type::Table(spec) => match &node.value {
                Value::Table(table) => {
                    Val::Table(self.table(&format!("`{key}`"), node.at, table, spec))
                }
                _ => return None,
            },
            Type::Map(spec) => match &node.value {
                Value::Table(table) => Val::Map(self.map(table, spec)),
                _ => return None,
            },
            Type::Command => Val::Words(self.command(key, node, Words::Plain)?),
            Type::TaskCommand => Val::Words(self.command(key, node, Words::Templates)?),
            Type::Json => Val::Json(self.json_schema(key, node)?),
            Type::RuleData => Val::Json(self.json_texts(key, node)?),
            Type::Limit => Val::Limit(self.limit(key, node)?),
            _ => self.scalar(key, node, ty)?,
        };
        Some(Item { at: node.at, val })
    }

    fn many(&mut self, key: &str, node: &Node, ty: &'static Type) -> Vec<Item> {
        let Value::Array(items) = &node.value else {
            return self.value(key, node, ty).into_iter().collect();
        };
        let mut checked = Vec::new();
        for item in items {
            if ty.takes(item) {
                checked.extend(self.value(key, item, ty));
                continue;
            }
            let message = format!("each of {} must be {}", quoted(key), ty.describe());
            let label = format!("this is {}", item.value.kind());
            self.error(Code::WrongType, item.at, message, label);
        }
        checked
    }

    fn scalar(&mut self, key: &str, node: &Node, ty: &'static Type) -> Option<Val> {
        use Code::{BadAddress, BadDuration, BadSignal, BadUrl, BadValue};
        match ty {
            Type::Bool | Type::True | Type::False => self.boolean(key, node, ty).map(Val::Bool),
            Type::Int { min, max } => self.int(key, node, *min, *max).map(Val::Int),
            Type::Number { min, max } => self.number(key, node, *min, *max).map(Val::Number),
            Type::Duration { min, max } => {
                let ms = self.parsed(key, node, BadDuration, "duration", values::duration)?;
                self.in_range(key, node, ms, (*min, *max), shown_ms)
                    .map(Val::Amount)
            }
            Type::Size { min, max } => {
                let bytes = self.size(key, node)?;
                self.in_range(key, node, bytes, (*min, *max), shown_bytes)
                    .map(Val::Amount)
            }
            Type::Choice(words) => self.choice(key, node, words).map(Val::Text),
            Type::Signal => self
                .parsed(key, node, BadSignal, "signal", values::signal)
                .map(Val::Text),
            Type::Regex => self.regex(key, node).map(Val::Text),
            Type::HttpUrl => self
                .parsed(key, node, BadUrl, "URL", values::http_url)
                .map(Val::Text),
            Type::HostPort => self
                .parsed(key, node, BadAddress, "address", values::host_port)
                .map(Val::Text),
            Type::Resource => self
                .parsed(key, node, BadValue, "resource", values::resource)
                .map(Val::Text),
            Type::Cron => self.cron(key, node, false).map(Val::Text),
            Type::Moment => self.cron(key, node, true).map(Val::Text),
            Type::Calendar => self.calendar(key, node).map(Val::Text),
            Type::Zone => self.zone(key, node).map(Val::Text),
            Type::Instant => self.instant(key, node).map(Val::Text),
            Type::Threshold => self.threshold(key, node).map(Val::Number),
            Type::Percent => self.share(key, node).map(Val::Int),
            Type::Pointer => self.pointer(key, node).map(Val::Text),
            Type::Glob => self.glob(key, node).map(Val::Text),
            Type::Ignored => self.ignored(key, node).map(Val::Text),
            Type::Extension => self.extension(key, node).map(Val::Text),
            Type::Umask => self.umask(key, node).map(|mask| Val::Int(mask.into())),
            Type::Account => self.account(key, node).map(Val::Text),
            Type::Path => self.path(key, node).map(Val::Text),
            Type::EnvFile => self.env_file(key, node).map(Val::Text),
            Type::EnvText => self.env_text(key, node).map(Val::Text),
            Type::Script => self.script(key, node).map(Val::Text),
            Type::DaemonName
            | Type::GaugeName
            | Type::GateName
            | Type::PoolName
            | Type::ChannelName
            | Type::ProfileName
            | Type::Selector
            | Type::Line => self.line(key, node).map(Val::Text),
            _ => self.scalar_of_bus(key, node, ty),
        }
    }

    /// The same of what events, rules and channels are made of.
    fn scalar_of_bus(&mut self, key: &str, node: &Node, ty: &'static Type) -> Option<Val> {
        use Code::{BadAddress, BadName, BadUrl, BadValue};
        match ty {
            Type::WebUrl => self
                .parsed(key, node, BadUrl, "URL", values::web_url)
                .map(Val::Text),
            Type::EventPattern => self.event_pattern(key, node).map(Val::Text),
            Type::Cel => self.cel(key, node).map(Val::Text),
            Type::EventText => self.event_text(key, node).map(Val::Text),
            Type::MessageText => self.message_text(key, node).map(Val::Text),
            Type::RuleName => self
                .parsed(key, node, BadName, "name of a rule", values::name)
                .map(Val::Text),
            Type::Published => self
                .parsed(key, node, BadValue, "type of events", values::event_type)
                .map(Val::Text),
            Type::TimeOfDay => self
                .parsed(key, node, BadValue, "time of day", values::time_of_day)
                .map(|minutes| Val::Int(minutes.into())),
            Type::Host => self
                .parsed(key, node, BadAddress, "host", values::host)
                .map(Val::Text),
            Type::MailAddress => self
                .parsed(
                    key,
                    node,
                    BadAddress,
                    "address of mail",
                    values::mail_address,
                )
                .map(Val::Text),
            Type::RuleSelector => self.named_text(key, node).map(Val::Text),
            Type::TaskText => self.task_text(key, node).map(Val::Text),
            Type::TaskPath => self.task_path(key, node).map(Val::Text),
            _ => self.text(key, node).map(|text| Val::Text(text.text)),
        }
    }

    pub(crate) fn wrong_type(&mut self, key: &str, node: &Node, ty: &Type) {
        let message = format!("{} must be {}", quoted(key), ty.describe());
        self.error(
            Code::WrongType,
            node.at,
            message,
            format!("this is {}", node.value.kind()),
        );
    }

    /// Text with its variables filled in.
    pub(crate) fn text(&mut self, key: &str, node: &Node) -> Option<Text> {
        let Value::Text(raw) = &node.value else {
            return None;
        };
        let at = node.at;
        let text = self.expanded(at, raw, 0..raw.len())?;
        if text.text.contains('\0') {
            let message = format!("{} contains a NUL character", quoted(key));
            self.error(Code::BadValue, at, message, "no program can receive it");
            return None;
        }
        Some(text)
    }

    /// Fills in the variables of a part of a string.
    pub(crate) fn expanded(
        &mut self,
        at: At,
        whole: &str,
        part: std::ops::Range<usize>,
    ) -> Option<Text> {
        let done = expand::expand(whole.get(part.clone())?, self.env);
        for trouble in &done.troubles {
            let range = part.start + trouble.range.start..part.start + trouble.range.end;
            let place = self.sources.within(at, whole, range);
            self.error(
                Code::Variable,
                place,
                trouble.why.clone(),
                trouble.hint.clone(),
            );
        }
        if let Some(name) = done
            .variables
            .iter()
            .find(|name| expand::looks_secret(name))
        {
            let message = format!("the value of `{name}` would be visible");
            let draft = Draft::warning(Code::SecretShown, at, message).help(format!(
                "variables in the fleet file are shown by `eud` and `ps`; as a secret it is not: \
                 in `env`, write {{ env = \"{name}\" }}"
            ));
            self.report.push(draft);
        }
        let ok = done.troubles.is_empty();
        ok.then_some(Text {
            text: done.text,
            expanded: !done.variables.is_empty(),
        })
    }

    /// Text that a grammar must accept.
    fn parsed<T>(
        &mut self,
        key: &str,
        node: &Node,
        code: Code,
        what: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let text = self.text(key, node)?;
        match parse(&text.text) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fault(key, node.at, code, what, fault, text.expanded);
                None
            }
        }
    }

    pub(crate) fn fault(
        &mut self,
        key: &str,
        at: At,
        code: Code,
        what: &str,
        fault: Fault,
        expanded: bool,
    ) {
        let message = format!("{} is not a valid {what}: {}", quoted(key), fault.why);
        // A hint may repeat a part of the text, which is not shown when it came from a variable.
        let label = if expanded {
            "after its variables are filled in".into()
        } else {
            fault.hint
        };
        self.error(code, at, message, label);
    }

    pub(crate) fn line(&mut self, key: &str, node: &Node) -> Option<String> {
        const CHARS_MAX: usize = 200;
        let text = self.text(key, node)?.text;
        let why = if text.trim().is_empty() {
            "is empty"
        } else if text.chars().any(char::is_control) {
            "has more than one line or control characters"
        } else if text.chars().count() > CHARS_MAX {
            "is longer than 200 characters"
        } else {
            return Some(text);
        };
        self.error(
            Code::BadValue,
            node.at,
            format!("{} {why}", quoted(key)),
            "one line, please",
        );
        None
    }

    fn script(&mut self, key: &str, node: &Node) -> Option<String> {
        let Value::Text(script) = &node.value else {
            return None;
        };
        if script.trim().is_empty() || script.contains('\0') {
            let message = format!("{} is empty", quoted(key));
            self.error(
                Code::BadCommand,
                node.at,
                message,
                "write what `/bin/sh -c` runs",
            );
            return None;
        }
        Some(script.clone())
    }

    fn choice(&mut self, key: &str, node: &Node, words: &[&str]) -> Option<String> {
        let text = self.text(key, node)?;
        if words.contains(&text.text.as_str()) {
            return Some(text.text);
        }
        let near = self.report.nearest(&text.text, words.iter().copied());
        let label = match near.filter(|_| !text.expanded) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("one of {}", words.join(", ")),
        };
        let message = format!("{} must be {}", quoted(key), alternatives(words));
        self.error(Code::BadValue, node.at, message, label);
        None
    }

    fn regex(&mut self, key: &str, node: &Node) -> Option<String> {
        let Value::Text(pattern) = &node.value else {
            return None;
        };
        let reason = match regex::Regex::new(pattern) {
            Ok(_) if !pattern.is_empty() => return Some(pattern.clone()),
            Ok(_) => "an empty one matches every line".to_owned(),
            Err(regex::Error::CompiledTooBig(_)) => "too large when compiled".to_owned(),
            Err(error) => {
                let text = error.to_string();
                let reason = text.lines().last().unwrap_or_default();
                reason.strip_prefix("error: ").unwrap_or(reason).to_owned()
            }
        };
        let message = format!("{} is not a valid regular expression", quoted(key));
        let draft = Draft::error(Code::BadRegex, node.at, message).label(reason);
        let raw = self.sources.slice(node.at);
        self.report
            .push(match raw.starts_with('"') && raw.contains('\\') {
                true => draft.help("in single quotes, TOML leaves backslashes alone"),
                false => draft,
            });
        None
    }
}

/// `keys` as alternatives: `a, b or c`.
pub(crate) fn alternatives(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A table as messages call it.
fn table_name(name: &str) -> String {
    match name.contains(' ') {
        true => name.to_owned(),
        false => format!("`{name}`"),
    }
}

fn belongs(key: &str, homes: &[String]) -> String {
    if homes.iter().any(|home| home == "the top level") {
        return format!("`{key}` belongs at the top of the file, before the first [table]");
    }
    format!("`{key}` belongs in {}", homes.join(" or "))
}

fn shown_ms(ms: u64) -> String {
    match ms {
        ms if ms % 86_400_000 == 0 && ms > 0 => format!("{}d", ms / 86_400_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

fn shown_bytes(bytes: u64) -> String {
    let unit = values::SIZE_UNITS
        .iter()
        .rev()
        .find(|(_, factor)| bytes.is_multiple_of(*factor));
    match unit {
        Some((unit, factor)) if bytes > 0 => format!("{}{unit}", bytes / factor),
        _ => format!("{bytes}B"),
    }
}

impl Type {
    /// Whether a value of this sort can be of this type at all.
    pub(crate) fn takes(&self, node: &Node) -> bool {
        // A text with a reference may turn out to be a number.
        let reference = matches!(&node.value, Value::Text(text) if text.contains("${"));
        match (self, &node.value) {
            (Self::Bool | Self::True | Self::False, value) => {
                matches!(value, Value::Bool(_)) || reference
            }
            (Self::Int { .. }, value) => matches!(value, Value::Integer { .. }) || reference,
            (Self::Number { .. }, value) => {
                matches!(value, Value::Integer { .. } | Value::Float(_)) || reference
            }
            (Self::Threshold | Self::Percent, value) => matches!(
                value,
                Value::Integer { .. } | Value::Float(_) | Value::Text(_)
            ),
            (Self::Size { .. } | Self::Umask | Self::Account, value) => {
                matches!(value, Value::Text(_) | Value::Integer { .. })
            }
            (Self::EnvText | Self::TaskText, value) => {
                matches!(
                    value,
                    Value::Text(_) | Value::Integer { .. } | Value::Bool(_)
                )
            }
            (Self::Command | Self::TaskCommand, value) => {
                matches!(value, Value::Text(_) | Value::Array(_))
            }
            (Self::Limit, value) => {
                matches!(
                    value,
                    Value::Text(_) | Value::Integer { .. } | Value::Array(_)
                )
            }
            (Self::Many(item), value) => matches!(value, Value::Array(_)) || item.takes(node),
            (Self::Table(_) | Self::Map(_) | Self::Json | Self::RuleData, value) => {
                matches!(value, Value::Table(_))
            }
            (Self::Either(options), _) => options.iter().any(|option| option.takes(node)),
            (_, value) => matches!(value, Value::Text(_)),
        }
    }

    /// What a value must be, for people: follows `must be`.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Bool => "true or false".into(),
            Self::False => "false".into(),
            Self::True => "true".into(),
            Self::Int { min, max } => format!("an integer from {min} to {max}"),
            Self::Number { min, max } => format!("a number from {min} to {max}"),
            Self::Duration { .. } => "a duration such as \"30s\"".into(),
            Self::Size { .. } => "a size such as \"50MB\"".into(),
            Self::Choice(words) => {
                let words: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                words.join(" or ")
            }
            Self::Signal => "a signal such as \"TERM\"".into(),
            Self::Regex => "a regular expression".into(),
            Self::HttpUrl => "a URL such as \"http://127.0.0.1:8080/health\"".into(),
            Self::HostPort => "an address such as \"127.0.0.1:6379\"".into(),
            Self::Resource => "a resource such as \"queue:ingest\"".into(),
            Self::Umask => "octal digits such as \"027\"".into(),
            Self::Account => "a name or a number".into(),
            Self::Path | Self::TaskPath | Self::EnvFile | Self::Include => "a path".into(),
            Self::Command | Self::TaskCommand => "a string or an array of strings".into(),
            Self::Limit => "a number, a size, \"unlimited\", or [soft, hard]".into(),
            Self::EnvText | Self::TaskText => "a string, an integer or a boolean".into(),
            Self::Many(item) => format!("{}, or an array of them", item.describe()),
            Self::Table(_) | Self::Map(_) | Self::Json | Self::RuleData => "a table".into(),
            Self::Either(options) => {
                let all: Vec<String> = options.iter().map(Self::describe).collect();
                all.join(" or ")
            }
            Self::Cron | Self::Moment => "a cron expression such as \"0 3 * * *\"".into(),
            Self::Calendar => "a calendar expression such as \"Mon..Fri 03:00\"".into(),
            Self::Zone => "a time zone such as \"Europe/Oslo\"".into(),
            Self::Instant => "a time such as \"2027-01-01T03:00:00Z\" in quotes".into(),
            Self::Threshold => "a number".into(),
            Self::Percent => "percent such as \"150%\"".into(),
            Self::Pointer => "a JSON pointer such as \"/depth\"".into(),
            Self::Glob => "a glob such as \"in/*.json\"".into(),
            Self::Ignored => "a pattern such as \"*.tmp\"".into(),
            Self::Extension => "an extension such as \"md\"".into(),
            Self::WebUrl => "a URL such as \"https://example.org/hook\"".into(),
            Self::EventPattern => "a pattern of event types such as \"file.*\"".into(),
            Self::Cel => "an expression such as \"event.data.size > 10\"".into(),
            Self::EventText | Self::MessageText => "a string".into(),
            Self::Published => "a type of events such as \"model.promoted\"".into(),
            Self::TimeOfDay => "a time of day such as \"22:00\"".into(),
            Self::Host => "a host such as \"mail.example.org\"".into(),
            Self::MailAddress => "an address such as \"ada@example.org\"".into(),
            Self::RuleName => "the name of a rule".into(),
            Self::ChannelName => "the name of a channel".into(),
            Self::GateName => "the name of a gate".into(),
            Self::PoolName => "the name of a pool".into(),
            Self::GaugeName => "the name of a gauge".into(),
            Self::DaemonName => "the name of a daemon".into(),
            Self::ProfileName => "the name of a profile".into(),
            Self::Selector | Self::RuleSelector => {
                "a selector such as \"web\", \"rag-*\" or \"category:x\"".into()
            }
            Self::Text | Self::Line | Self::Script => "a string".into(),
        }
    }
}

/// The key `name` of a table that is known to have it.
pub(crate) fn value_type(spec: &'static TableSpec, name: &str) -> Option<&'static Type> {
    spec.key(name).map(|key: &Key| &key.ty)
}
