//! The table of keys: every key of the fleet file, its type, meaning and default.
//!
//! Purpose: the parser ([`crate::check`]), the JSON Schema ([`crate::schema`]) and the reference
//! for people ([`crate::reference`]) are all driven by it, so that they cannot disagree.
//! Invariants: `default` and `example` are TOML that the parser accepts (tested).

/// Type of a value.
#[derive(Debug)]
pub(crate) enum Type {
    /// Any text; `${VAR}` is expanded.
    Text,
    /// Text of one line, for people.
    Line,
    /// A text without expansion: a shell expands by itself.
    Script,
    /// The name of a daemon.
    DaemonName,
    /// The name of a gauge.
    GaugeName,
    /// The name of a gate.
    GateName,
    /// The name of a pool.
    PoolName,
    /// The name of a profile.
    ProfileName,
    /// A term of a profile.
    Selector,
    Bool,
    /// Only `false`: switches an inherited table off.
    False,
    /// Only `true`.
    True,
    Int {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    /// In milliseconds.
    Duration {
        min: u64,
        max: u64,
    },
    /// In bytes.
    Size {
        min: u64,
        max: u64,
    },
    Choice(&'static [&'static str]),
    /// A cron expression, or `@reboot`.
    Cron,
    /// A cron expression, `@reboot` or `once`.
    Moment,
    /// A calendar expression.
    Calendar,
    /// A time zone's name.
    Zone,
    /// A time as in RFC 3339; the offset may be absent.
    Instant,
    /// A number, or a text that stands for one: `2GB`, `30m`, `90%`.
    Threshold,
    /// Percent of one core: `150%` or a number.
    Percent,
    /// A JSON pointer.
    Pointer,
    /// A glob of paths, relative to the folder of the file.
    Glob,
    /// A pattern as in gitignore(5).
    Ignored,
    /// An extension of file names, with or without the dot.
    Extension,
    Signal,
    Regex,
    HttpUrl,
    /// `http://` or `https://`.
    WebUrl,
    /// The name of a rule.
    RuleName,
    /// The name of a channel.
    ChannelName,
    /// A selector of daemons, or a template over `event` and `rule` that gives one.
    RuleSelector,
    /// A table that is taken as JSON; its texts are templates over `event` and `rule`.
    RuleData,
    /// A type of events that a fleet may publish.
    Published,
    /// `HH:MM`, in minutes after midnight.
    TimeOfDay,
    /// The name or the address of a host.
    Host,
    /// An address of mail.
    MailAddress,
    /// A pattern of types of events.
    EventPattern,
    /// A CEL expression over `event`.
    Cel,
    /// A template over `event`; within a rule, over `rule` too.
    EventText,
    /// A template over `event`, in a rule too.
    MessageText,
    /// A template over `task`; an integer or a boolean is taken as its text.
    TaskText,
    /// As `Path`, a template over `task`.
    TaskPath,
    /// As `Command`, each word a template over `task`.
    TaskCommand,
    /// A table that is taken as JSON.
    Json,
    HostPort,
    Resource,
    Umask,
    /// User or group: a name or a number.
    Account,
    /// A path, relative to the folder of the file.
    Path,
    /// A path that may begin with `?`.
    EnvFile,
    /// Paths of files to include.
    Include,
    /// An array of words, or a string that is split into words.
    Command,
    /// One resource limit.
    Limit,
    /// A value of an environment variable: text, integer or boolean.
    EnvText,
    /// One or an array of them.
    Many(&'static Type),
    Table(&'static TableSpec),
    /// A table whose keys are free.
    Map(&'static MapSpec),
    Either(&'static [Type]),
}

/// A table with known keys.
#[derive(Debug)]
pub(crate) struct TableSpec {
    /// How messages call it: `[fleet]`, `restart`.
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    /// Each of these keys must be given.
    pub(crate) required: &'static [&'static str],
    /// Exactly one of these keys must be given.
    pub(crate) one_of: &'static [&'static str],
    /// Keys that people bring from elsewhere, and what to say then.
    pub(crate) hints: &'static [(&'static str, &'static str)],
}

/// A table with free keys.
#[derive(Debug)]
pub(crate) struct MapSpec {
    pub(crate) keys: KeyRule,
    pub(crate) value: Type,
    /// What one key is called.
    pub(crate) noun: &'static str,
}

/// Which keys a [`MapSpec`] allows.
#[derive(Debug, Clone, Copy)]
pub(crate) enum KeyRule {
    /// Names of daemons and profiles.
    Name,
    /// Names of pools and subscriptions.
    OutletName,
    /// Types of events that a fleet may declare.
    EventType,
    /// Names of HTTP headers.
    Header,
    /// Names of environment variables.
    Variable,
    /// Names of resource limits.
    Limit,
}

/// One key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) ty: Type,
    /// One or two sentences.
    pub(crate) doc: &'static str,
    /// TOML of the default; empty when there is none.
    pub(crate) default: &'static str,
    /// TOML of a value that differs from the default.
    pub(crate) example: &'static str,
    /// Whether `[defaults]` may hold it.
    pub(crate) inherited: bool,
}

impl Key {
    /// A key that belongs to one daemon only.
    pub(crate) const fn own(mut self) -> Self {
        self.inherited = false;
        self
    }

    pub(crate) const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }
}

pub(crate) const fn key(
    name: &'static str,
    ty: Type,
    example: &'static str,
    doc: &'static str,
) -> Key {
    Key {
        name,
        ty,
        doc,
        default: "",
        example,
        inherited: true,
    }
}

impl TableSpec {
    pub(crate) fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
