//! The launch spec: everything a keeper is told about the run it is to keep.
//!
//! Purpose: one encoding, used by the manager to write and by the keeper to read. It travels in a
//! file without a name on the keeper's standard input, never on the disk: it holds the environment,
//! with secrets. Form: `key=value` items, each followed by a NUL byte; a key may come several times
//! where a list is meant.
//! Invariants: `decode(encode(spec)) == spec`; unknown keys are ignored, so that an older keeper
//! can be told more than it understands; values may hold anything but NUL.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use eud_sys::rlimit::Limit;
use eud_sys::signal::Signal;

/// Everything a keeper is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchSpec {
    /// The unit.
    pub unit: String,
    /// The run.
    pub run: String,
    /// Generation of the start.
    pub generation: u64,
    /// Lock file, relative to the run's folder. Default `../../lock`.
    pub lock: PathBuf,
    /// Folder of the log, relative to the run's folder. Default `../../log`.
    pub log: PathBuf,
    /// Program and arguments.
    pub args: Vec<OsString>,
    /// The command's whole environment. `EUD_RUN_ID` must be in it for [`crate::sweep`].
    pub env: Vec<(OsString, OsString)>,
    /// Working directory, absolute. Default `/`.
    pub cwd: PathBuf,
    /// File that the command reads as standard input, relative to the run's folder. Default: there
    /// is nothing to read.
    pub stdin: Option<PathBuf>,
    /// User; the keeper's own when absent.
    pub uid: Option<u32>,
    /// Group; the keeper's own when absent.
    pub gid: Option<u32>,
    /// Supplementary groups; count only together with a user or group.
    pub groups: Vec<u32>,
    /// File mode creation mask; the keeper's inherited one when absent.
    pub umask: Option<u32>,
    /// Scheduling priority, -20 to 19.
    pub nice: Option<i32>,
    /// Resource limits by name.
    pub rlimits: Vec<(String, Limit)>,
    /// Signal that asks it to stop. Default `TERM`.
    pub stop_signal: Signal,
    /// Milliseconds between that and `KILL`. Default 10,000.
    pub grace_ms: u64,
    /// Command to run instead of sending the signal. Empty: none.
    pub stop_args: Vec<OsString>,
    /// Longest time the run may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// The log is rotated before it would grow past this many bytes. Default 50 MB.
    pub log_max_size: u64,
    /// Rotated log files kept. Default 5.
    pub log_keep: u32,
    /// Offer a `NOTIFY_SOCKET`.
    pub notify: bool,
    /// Longest time between two `WATCHDOG=1`, told to the command as `WATCHDOG_USEC`.
    pub watchdog_ms: Option<u64>,
    /// Use a control group of its own where one can be had. Default true.
    pub cgroup: bool,
}

impl Default for LaunchSpec {
    fn default() -> Self {
        Self {
            unit: String::new(),
            run: String::new(),
            generation: 0,
            lock: "../../lock".into(),
            log: "../../log".into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: "/".into(),
            stdin: None,
            uid: None,
            gid: None,
            groups: Vec::new(),
            umask: None,
            nice: None,
            rlimits: Vec::new(),
            stop_signal: Signal::TERM,
            grace_ms: 10_000,
            stop_args: Vec::new(),
            timeout_ms: None,
            log_max_size: 50_000_000,
            log_keep: 5,
            notify: false,
            watchdog_ms: None,
            cgroup: true,
        }
    }
}

impl LaunchSpec {
    /// As bytes for the keeper's standard input.
    ///
    /// # Errors
    /// `InvalidInput`, naming the key, when a value holds a NUL byte or a variable's name holds
    /// `=`.
    pub fn encode(&self) -> io::Result<Vec<u8>> {
        let mut out = Encoder(Vec::with_capacity(4096));
        out.text("unit", &self.unit)?;
        out.text("run", &self.run)?;
        out.text("generation", &self.generation.to_string())?;
        out.item("lock", self.lock.as_os_str())?;
        out.item("log", self.log.as_os_str())?;
        for arg in &self.args {
            out.item("arg", arg)?;
        }
        for (name, value) in &self.env {
            out.variable(name, value)?;
        }
        out.item("cwd", self.cwd.as_os_str())?;
        if let Some(stdin) = &self.stdin {
            out.item("stdin", stdin.as_os_str())?;
        }
        out.number("uid", self.uid)?;
        out.number("gid", self.gid)?;
        for group in &self.groups {
            out.number("group", Some(group))?;
        }
        out.number("umask", self.umask.map(|mask| format!("{mask:o}")))?;
        out.number("nice", self.nice)?;
        for (name, limit) in &self.rlimits {
            let bound = |b: Option<u64>| b.map_or("unlimited".to_owned(), |b| b.to_string());
            out.text(
                "rlimit",
                &format!("{name}:{}:{}", bound(limit.soft), bound(limit.hard)),
            )?;
        }
        out.number("stop_signal", Some(self.stop_signal.number()))?;
        out.number("grace_ms", Some(self.grace_ms))?;
        for arg in &self.stop_args {
            out.item("stop_arg", arg)?;
        }
        out.number("timeout_ms", self.timeout_ms)?;
        out.number("log_max_size", Some(self.log_max_size))?;
        out.number("log_keep", Some(self.log_keep))?;
        out.number("notify", self.notify.then_some(1))?;
        out.number("watchdog_ms", self.watchdog_ms)?;
        out.text("cgroup", if self.cgroup { "auto" } else { "off" })?;
        Ok(out.0)
    }

    /// From the bytes of [`LaunchSpec::encode`].
    ///
    /// # Errors
    /// `InvalidData`, naming the key, when a value cannot be understood.
    pub fn decode(bytes: &[u8]) -> io::Result<Self> {
        Self::decode_where(bytes, |_| true)
    }

    /// Without program, arguments and environment: what the keeper itself needs all its life.
    pub(crate) fn decode_settings(bytes: &[u8]) -> io::Result<Self> {
        Self::decode_where(bytes, |key| !matches!(key, b"arg" | b"env"))
    }

    fn decode_where(bytes: &[u8], wanted: impl Fn(&[u8]) -> bool) -> io::Result<Self> {
        let mut spec = Self::default();
        for item in bytes.split(|b| *b == 0).filter(|item| !item.is_empty()) {
            let Some((key, value)) = split_at_equals(item) else {
                return Err(invalid("an item has no `=`"));
            };
            if wanted(key) && spec.take(key, value).is_none() {
                // The value is not shown: it may be a secret.
                let key = String::from_utf8_lossy(key);
                return Err(invalid(&format!(
                    "`{key}` has a value that cannot be understood"
                )));
            }
        }
        Ok(spec)
    }

    /// Takes one item over; `None` when its value cannot be understood.
    fn take(&mut self, key: &[u8], value: &[u8]) -> Option<()> {
        match key {
            b"unit" => self.unit = text(value)?.to_owned(),
            b"run" => self.run = text(value)?.to_owned(),
            b"generation" => self.generation = parse(value)?,
            b"lock" => self.lock = owned(value).into(),
            b"log" => self.log = owned(value).into(),
            b"arg" => self.args.push(owned(value)),
            b"env" => {
                let (name, value) = split_at_equals(value).filter(|(name, _)| !name.is_empty())?;
                self.env.push((owned(name), owned(value)));
            }
            b"cwd" => self.cwd = owned(value).into(),
            b"stdin" => self.stdin = Some(owned(value).into()),
            b"uid" => self.uid = Some(parse(value)?),
            b"gid" => self.gid = Some(parse(value)?),
            b"group" => self.groups.push(parse(value)?),
            b"umask" => self.umask = Some(u32::from_str_radix(text(value)?, 8).ok()?),
            b"nice" => self.nice = Some(parse(value)?),
            b"rlimit" => self.rlimits.push(parse_rlimit(text(value)?)?),
            b"stop_signal" => self.stop_signal = Signal::parse(text(value)?)?,
            b"grace_ms" => self.grace_ms = parse(value)?,
            b"stop_arg" => self.stop_args.push(owned(value)),
            b"timeout_ms" => self.timeout_ms = Some(parse(value)?),
            b"log_max_size" => self.log_max_size = parse(value)?,
            b"log_keep" => self.log_keep = parse(value)?,
            b"notify" => self.notify = value == b"1",
            b"watchdog_ms" => self.watchdog_ms = Some(parse(value)?),
            b"cgroup" => self.cgroup = value != b"off",
            _ => {}
        }
        Some(())
    }
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn item(&mut self, key: &str, value: &OsStr) -> io::Result<()> {
        if value.as_bytes().contains(&0) {
            let why = format!("`{key}` holds a NUL byte, which no command can be given");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        for part in [key.as_bytes(), b"=", value.as_bytes(), b"\0"] {
            self.0.extend_from_slice(part);
        }
        Ok(())
    }

    fn variable(&mut self, name: &OsStr, value: &OsStr) -> io::Result<()> {
        if name.is_empty() || name.as_bytes().contains(&b'=') {
            let why = format!("`{}` is no name for a variable", name.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let joined = [name.as_bytes(), b"=", value.as_bytes()].concat();
        let named = |_| {
            let why = format!("variable `{}` holds a NUL byte", name.display());
            io::Error::new(io::ErrorKind::InvalidInput, why)
        };
        self.item("env", OsStr::from_bytes(&joined)).map_err(named)
    }

    fn text(&mut self, key: &str, value: &str) -> io::Result<()> {
        self.item(key, OsStr::new(value))
    }

    fn number(&mut self, key: &str, value: Option<impl ToString>) -> io::Result<()> {
        value.map_or(Ok(()), |value| self.text(key, &value.to_string()))
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("launch spec: {why}"))
}

fn split_at_equals(item: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = item.iter().position(|b| *b == b'=')?;
    Some((item.get(..at)?, item.get(at + 1..)?))
}

fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

fn parse<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    text(value)?.parse().ok()
}

fn owned(value: &[u8]) -> OsString {
    OsString::from_vec(value.to_vec())
}

fn parse_rlimit(value: &str) -> Option<(String, Limit)> {
    let bound = |text: &str| match text {
        "unlimited" => Some(None),
        number => number.parse().ok().map(Some),
    };
    let (name, bounds) = value.split_once(':')?;
    let (soft, hard) = bounds.split_once(':')?;
    Some((
        name.to_owned(),
        Limit {
            soft: bound(soft)?,
            hard: bound(hard)?,
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> LaunchSpec {
        LaunchSpec {
            unit: "web@2".into(),
            run: "0192".into(),
            generation: u64::MAX,
            lock: "l".into(),
            log: "g".into(),
            args: vec![
                "a b".into(),
                "".into(),
                OsString::from_vec(vec![0xff, b'\n', b'=']),
            ],
            env: vec![("A".into(), "x=y\nz".into()), ("B".into(), "".into())],
            cwd: "/x y".into(),
            stdin: Some("in put".into()),
            uid: Some(1),
            gid: Some(2),
            groups: vec![3, 4],
            umask: Some(0o27),
            nice: Some(-5),
            rlimits: vec![(
                "core".into(),
                Limit {
                    soft: Some(0),
                    hard: None,
                },
            )],
            stop_signal: Signal::INT,
            grace_ms: 1,
            stop_args: vec!["stop".into(), "it".into()],
            timeout_ms: Some(9),
            log_max_size: 10,
            log_keep: 0,
            notify: true,
            watchdog_ms: Some(8),
            cgroup: false,
        }
    }

    #[test]
    fn survives_the_way_to_the_keeper() {
        for spec in [full(), LaunchSpec::default()] {
            assert_eq!(LaunchSpec::decode(&spec.encode().unwrap()).unwrap(), spec);
        }
    }

    #[test]
    fn settings_are_all_but_the_command() {
        let settings = LaunchSpec::decode_settings(&full().encode().unwrap()).unwrap();
        assert_eq!(
            settings,
            LaunchSpec {
                args: vec![],
                env: vec![],
                ..full()
            }
        );
    }

    #[test]
    fn unknown_keys_are_ignored_and_bad_values_are_named_but_not_shown() {
        let spec = LaunchSpec::decode(b"run=r\0new_thing=\xff\0stop_signal=SIGHUP\0").unwrap();
        assert_eq!((spec.run.as_str(), spec.stop_signal), ("r", Signal::HUP));
        for (bytes, key) in [
            (&b"uid=s3cret\0"[..], "uid"),
            (b"umask=9", "umask"),
            (b"rlimit=core:1", "rlimit"),
            (b"env=s3cret", "env"),
            (b"env==s3cret", "env"),
            (b"unit=\xff", "unit"),
            (b"stop_signal=s3cret", "stop_signal"),
        ] {
            let error = LaunchSpec::decode(bytes).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("s3cret"), "{error}");
        }
        assert!(LaunchSpec::decode(b"nonsense\0").is_err());
    }

    #[test]
    fn what_no_command_can_be_given_is_refused() {
        let with = |name: &str, value: &str| LaunchSpec {
            env: vec![(name.into(), value.into())],
            ..LaunchSpec::default()
        };
        let error = with("TOKEN", "s3\0cret").encode().unwrap_err().to_string();
        assert!(error.contains("TOKEN") && !error.contains("s3"), "{error}");
        assert!(with("A=B", "x").encode().is_err());
        assert!(with("", "x").encode().is_err());
    }
}
