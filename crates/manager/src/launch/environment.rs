//! The environment and identity of a command, resolved at the moment of launch.
//!
//! Purpose: env files, secrets, user and group, from references to values.
//! Invariants: a value of a secret exists only here, in the launch spec and in the command;
//! messages name variables, files and commands, never values; everything that is read is bounded,
//! and a command that gives a secret has a time limit.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use eud_core::fleet::{Daemon, EnvValue};
use eud_sys::reap::Ending;
use eud_sys::user;
use tokio::sync::oneshot::error::TryRecvError;

use crate::layout::Layout;
use crate::reaper::Reaper;

/// How long a command may take to give a secret.
pub const SECRET_COMMAND_LIMIT: Duration = Duration::from_secs(10);

/// How often it is looked after meanwhile.
const POLL: Duration = Duration::from_millis(2);

/// Largest secret, in bytes.
pub const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Largest env file, in bytes.
pub const ENV_FILE_BYTES_MAX: u64 = 1 << 20;

/// Who the command is and what it finds.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Surroundings {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) groups: Vec<u32>,
}

impl std::fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings")
            .field("env", &format_args!("{} variables", self.env.len()))
            .field("uid", &self.uid)
            .field("gid", &self.gid)
            .finish_non_exhaustive()
    }
}

/// What a launch is told about itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) fleet: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) run: &'a str,
    pub(crate) replica: u32,
}

/// Whether resolving may take long enough to be kept away from other launches.
pub(crate) fn is_slow(daemon: &Daemon) -> bool {
    let exec = &daemon.exec;
    exec.user.is_some()
        || exec.group.is_some()
        || !exec.env_files.is_empty()
        || exec
            .env
            .values()
            .any(|v| matches!(v, EnvValue::File(_) | EnvValue::Command(_)))
}

/// Resolves everything. Blocks.
///
/// # Errors
/// In words: which variable, file, user or command, and what to do.
pub(crate) fn resolve(
    daemon: &Daemon,
    identity: Identity<'_>,
    layout: &Layout,
    reaper: &Reaper,
) -> Result<Surroundings, String> {
    let exec = &daemon.exec;
    let env = if exec.clear_env {
        BTreeMap::new()
    } else {
        inherited()
    };
    let mut found = Surroundings {
        env,
        uid: None,
        gid: None,
        groups: Vec::new(),
    };
    become_user(daemon, &mut found)?;
    for path in &exec.env_files {
        found.env.extend(env_file(path)?);
    }
    for (name, value) in &exec.env {
        let value = value_of(name, value, reaper)?;
        if value.contains('\0') {
            return Err(format!("the value of {name} contains a NUL byte"));
        }
        found.env.insert(name.clone(), value);
    }
    for (name, value) in [
        ("EUD_RUN_ID", identity.run),
        ("EUD_DAEMON", daemon.name.as_str()),
        ("EUD_UNIT", identity.unit),
        ("EUD_REPLICA", &identity.replica.to_string()),
        ("EUD_FLEET", identity.fleet),
        ("EUD_STATE", &layout.root().to_string_lossy()),
        ("EUD_SOCKET", &layout.socket().to_string_lossy()),
    ] {
        found.env.insert(name.to_owned(), value.to_owned());
    }
    Ok(found)
}

/// The manager's environment, but for what is its own.
fn inherited() -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    // These were set by whoever started it as a service.
    for name in [
        "NOTIFY_SOCKET",
        "WATCHDOG_PID",
        "WATCHDOG_USEC",
        "LISTEN_FDS",
        "LISTEN_PID",
    ] {
        env.remove(name);
    }
    env
}

/// The environment of a command that belongs to no daemon. Blocks.
///
/// # Errors
/// In words, naming the variable.
pub(crate) fn plain_environment(
    declared: &BTreeMap<String, EnvValue>,
    reaper: &Reaper,
) -> Result<BTreeMap<String, String>, String> {
    let mut env = inherited();
    for (name, value) in declared {
        env.insert(name.clone(), value_of(name, value, reaper)?);
    }
    Ok(env)
}

fn become_user(daemon: &Daemon, found: &mut Surroundings) -> Result<(), String> {
    if let Some(name) = &daemon.exec.user {
        let user = user::user(name).map_err(|e| format!("user `{name}`: {e}"))?;
        found.uid = Some(user.uid);
        found.gid = Some(user.gid);
        found.groups = user.groups;
        let words = [
            ("USER", Some(user.name.clone())),
            ("LOGNAME", Some(user.name)),
        ];
        let rest = [("HOME", user.home), ("SHELL", user.shell)];
        for (key, value) in words.into_iter().chain(rest) {
            if let Some(value) = value {
                found.env.insert(key.to_owned(), value);
            }
        }
    }
    if let Some(name) = &daemon.exec.group {
        let gid = user::group(name).map_err(|e| format!("group `{name}`: {e}"))?;
        found.gid = Some(gid);
        if !found.groups.contains(&gid) {
            found.groups.push(gid);
        }
    }
    Ok(())
}

/// What a variable or header is to be. Blocks.
///
/// # Errors
/// In words, naming it, never its value.
pub(crate) fn value_of(name: &str, value: &EnvValue, reaper: &Reaper) -> Result<String, String> {
    match value {
        EnvValue::Plain(text) => Ok(text.clone()),
        EnvValue::Env(from) => std::env::var(from).map_err(|_| {
            format!("{name}: variable {from} is not set where the manager was started")
        }),
        EnvValue::File(path) => {
            let text =
                read_text(path, SECRET_BYTES_MAX).map_err(|e| format!("{name}: {path}: {e}"))?;
            Ok(without_newline(text))
        }
        EnvValue::Command(argv) => {
            let program = argv.first().map_or("", String::as_str);
            secret_of(argv, reaper).map_err(|e| format!("{name}: `{program}` {e}"))
        }
    }
}

fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

fn read_text(path: &str, bytes_max: u64) -> Result<String, String> {
    let file = File::open(path).map_err(|e| e.to_string())?;
    if !file.metadata().map_err(|e| e.to_string())?.is_file() {
        return Err("is not a regular file".to_owned());
    }
    read_bounded(file, bytes_max)
}

fn read_bounded(from: impl Read, bytes_max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    from.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| e.to_string())?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("is larger than {bytes_max} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

/// Runs a command for its output. Its whole process group is killed when time is up, and what it
/// leaves behind when it ends.
fn secret_of(argv: &[String], reaper: &Reaper) -> Result<String, String> {
    let Some((program, args)) = argv.split_first() else {
        return Err("names no program".to_owned());
    };
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::piped());
    let (mut child, mut told) = reaper
        .start(&mut command)
        .map_err(|e| format!("cannot be started: {e}"))?;
    let output = child.stdout.take();
    let reading = std::thread::Builder::new()
        .name("secret".into())
        .spawn(move || {
            output.map_or(Ok(String::new()), |pipe| {
                read_bounded(pipe, SECRET_BYTES_MAX)
            })
        })
        .map_err(|e| format!("cannot be read: {e}"))?;
    let deadline = Instant::now() + SECRET_COMMAND_LIMIT;
    let ending = loop {
        match told.try_recv() {
            Ok(ending) => break Some(ending),
            Err(TryRecvError::Closed) => break None,
            Err(TryRecvError::Empty) if Instant::now() >= deadline => {
                reaper.kill(child.id());
                let limit = SECRET_COMMAND_LIMIT.as_secs();
                return Err(format!("gave no answer within {limit} s and was killed"));
            }
            Err(TryRecvError::Empty) => std::thread::sleep(POLL),
        }
    };
    let text = reading
        .join()
        .unwrap_or_else(|_| Err("could not be read".to_owned()))?;
    match ending {
        Some(Ending::Exited(0)) => Ok(without_newline(text)),
        Some(Ending::Exited(code)) => Err(format!("exited with code {code}")),
        Some(Ending::Killed { signal, .. }) => Err(format!("was killed by signal {signal}")),
        None => Err("ended with an unknown code".to_owned()),
    }
}

fn env_file(path: &str) -> Result<Vec<(String, String)>, String> {
    let (path, optional) = path
        .strip_prefix('?')
        .map_or((path, false), |path| (path, true));
    if optional && !std::path::Path::new(path).exists() {
        return Ok(Vec::new());
    }
    let text = read_text(path, ENV_FILE_BYTES_MAX).map_err(|e| format!("env file {path}: {e}"))?;
    parse_env_file(&text).map_err(|(line, why)| format!("env file {path}, line {line}: {why}"))
}

/// Lines of `KEY=value`, blank lines and `#` comments. `export ` before a key is skipped. A value
/// may be in single quotes (as it is) or double quotes (`\\`, `\"`, `\n`, `\t`, `\$` are
/// understood); otherwise it ends with the line, without spaces around it. Nothing is expanded.
pub(crate) fn parse_env_file(text: &str) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut found = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let line = raw.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let at = |why: &str| (index + 1, why.to_owned());
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (key, value) = line.split_once('=').ok_or_else(|| at("has no `=`"))?;
        let key = key.trim();
        let well_formed = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if key.is_empty() || !well_formed || key.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(at("the part before `=` is no name of a variable"));
        }
        found.push((
            key.to_owned(),
            unquote(value.trim()).ok_or_else(|| at("a quote is not closed"))?,
        ));
    }
    Ok(found)
}

fn unquote(value: &str) -> Option<String> {
    if let Some(rest) = value.strip_prefix('\'') {
        return rest.strip_suffix('\'').map(str::to_owned);
    }
    let Some(rest) = value.strip_prefix('"') else {
        return Some(value.to_owned());
    };
    let mut out = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return chars.as_str().trim_start().is_empty().then_some(out),
            '\\' => match chars.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                other => out.push(other),
            },
            c => out.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_are_read_as_written() {
        let text = "# a comment\n\nA=1\nexport B = two words \nC='$A \"x\"'\nD=\"a\\n\\\"b\\\" \\$A\"\nE=\nF=a=b#c\n";
        let found = parse_env_file(text).unwrap();
        let expected = [
            ("A", "1"),
            ("B", "two words"),
            ("C", "$A \"x\""),
            ("D", "a\n\"b\" $A"),
            ("E", ""),
            ("F", "a=b#c"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn errors_name_the_line_and_not_the_value() {
        for (text, line) in [
            ("A=1\nhunter2\n", 2),
            ("1A=hunter2", 1),
            ("A='hunter2", 1),
            ("A=\"hunter2", 1),
        ] {
            let (at, why) = parse_env_file(text).unwrap_err();
            assert_eq!(at, line, "{text}");
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn debug_output_shows_no_values() {
        let env = BTreeMap::from([("TOKEN".to_owned(), "hunter2".to_owned())]);
        let shown = format!(
            "{:?}",
            Surroundings {
                env,
                uid: None,
                gid: None,
                groups: vec![]
            }
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn secrets_from_files_lose_one_newline() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "hunter2\n\n").unwrap();
        let value = EnvValue::File(path.to_string_lossy().into_owned());
        assert_eq!(
            value_of("T", &value, &Reaper::default()).unwrap(),
            "hunter2\n"
        );
        let gone = EnvValue::File(dir.path().join("no").to_string_lossy().into_owned());
        assert!(
            value_of("T", &gone, &Reaper::default())
                .unwrap_err()
                .starts_with("T: ")
        );
        let folder = EnvValue::File(dir.path().to_string_lossy().into_owned());
        assert!(
            value_of("T", &folder, &Reaper::default())
                .unwrap_err()
                .contains("regular file")
        );
    }
}
