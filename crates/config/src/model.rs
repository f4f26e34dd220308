//! From a checked table to a [`Daemon`].
//!
//! Purpose: give every field its value or its default.
//! Invariants: every key of the table of keys is read here (tested: each changes the model).

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{
    Daemon, Deprecated, EnvValue, Exec, Kind, LimitAction, Live, Log, OnNeedLost, Origin, Probe,
    Ready, Restart, RestartMode, Stop,
};

use crate::checked::{Checked, Item, Val, ints};
use crate::diagnostic::Code;
use crate::source::{At, Draft, Report};
use crate::zone::MachineZone;
use crate::{model_gauge, model_job};

/// Where the fleet is.
pub(crate) struct Place<'a> {
    /// Folder of the main file.
    pub(crate) folder: &'a str,
    /// Zone of schedules that name none.
    pub(crate) zone: &'a MachineZone<'a>,
}

/// Builds a daemon. What its table lacks because it was wrong gets the default; the fleet is
/// refused anyway.
pub(crate) fn daemon(
    name: &str,
    kind: Kind,
    table: &Checked,
    place: &Place<'_>,
    origin: Origin,
) -> Daemon {
    let is_job = kind == Kind::Job;
    let owned = |key| table.text(key).map(str::to_owned);
    Daemon {
        name: name.to_owned(),
        description: owned("description"),
        kind,
        category: owned("category"),
        tags: list(table, "tags").into_iter().collect(),
        deprecated: deprecated(table),
        enabled: table.bool("enabled").unwrap_or(true),
        replicas: match kind {
            Kind::Service | Kind::Task => table.count("replicas").unwrap_or(1),
            Kind::Job => model_job::replicas(table),
        },
        exec: exec(table, place.folder),
        restart: Restart {
            // What follows an end of a job is its triggers' affair.
            mode: match kind {
                Kind::Service => mode(table.table("restart")),
                Kind::Job | Kind::Task => RestartMode::Never,
            },
            ..table.table("restart").map(restart).unwrap_or_default()
        },
        stop: table.table("stop").map(stop).unwrap_or_default(),
        ready: table.table("ready").and_then(ready),
        live: table.table("live").and_then(live),
        needs: list(table, "needs"),
        wants: list(table, "wants"),
        after: list(table, "after"),
        conflicts: list(table, "conflicts"),
        on_need_lost: match table.text("on_need_lost") {
            Some("restart") => OnNeedLost::Restart,
            _ => OnNeedLost::Keep,
        },
        ports: ports(table),
        reads: list(table, "reads"),
        writes: list(table, "writes"),
        timeout_ms: table.amount("timeout"),
        log: table.table("log").map(log).unwrap_or_default(),
        job: is_job.then(|| model_job::job(table, place.zone)),
        watch: table
            .get("watch")
            .and_then(|item| model_job::watch(kind, item)),
        guards: table
            .table("guards")
            .map(model_gauge::guards)
            .unwrap_or_default(),
        origin,
    }
}

/// A list without repetitions, in order.
fn list(table: &Checked, key: &str) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let texts = table.texts(key).into_iter().map(|(text, _)| text);
    texts.filter(|text| seen.insert(text.clone())).collect()
}

fn ports(table: &Checked) -> Vec<u16> {
    let mut seen = BTreeSet::new();
    let ports = ints(table.list("ports").unwrap_or_default());
    let ports = ports.filter_map(|(port, _)| u16::try_from(port).ok());
    ports.filter(|port| seen.insert(*port)).collect()
}

fn deprecated(table: &Checked) -> Option<Deprecated> {
    match &table.get("deprecated")?.val {
        Val::Bool(true) => Some(Deprecated::default()),
        Val::Table(inner) => Some(Deprecated {
            use_instead: inner.text("use").map(str::to_owned),
        }),
        _ => None,
    }
}

fn exec(table: &Checked, folder: &str) -> Exec {
    let argv = match (table.words("command"), table.text("shell")) {
        (Some(words), _) => words.to_vec(),
        (None, Some(script)) => vec!["/bin/sh".to_owned(), "-c".to_owned(), script.to_owned()],
        (None, None) => Vec::new(),
    };
    let limit = |(name, item): &(String, Item)| match item.val {
        Val::Limit(limit) => Some((name.clone(), limit)),
        _ => None,
    };
    Exec {
        argv,
        cwd: table.text("cwd").unwrap_or(folder).to_owned(),
        env: env(table),
        env_files: table
            .texts("env_file")
            .into_iter()
            .map(|(path, _)| path)
            .collect(),
        clear_env: table.bool("clear_env").unwrap_or(false),
        user: table.text("user").map(str::to_owned),
        group: table.text("group").map(str::to_owned),
        umask: table.count("umask"),
        nice: table.int("nice").and_then(|nice| i32::try_from(nice).ok()),
        rlimits: table.map("rlimits").iter().filter_map(limit).collect(),
    }
}

pub(crate) fn env(table: &Checked) -> BTreeMap<String, EnvValue> {
    let entries = table.map("env").iter();
    entries
        .filter_map(|(name, item)| Some((name.clone(), env_value(item)?)))
        .collect()
}

/// A text, or a secret.
pub(crate) fn env_value(item: &Item) -> Option<EnvValue> {
    match &item.val {
        Val::Text(text) => Some(EnvValue::Plain(text.clone())),
        Val::Table(secret) => secret_value(secret),
        _ => None,
    }
}

pub(crate) fn secret_value(secret: &Checked) -> Option<EnvValue> {
    let env = secret
        .text("env")
        .map(|name| EnvValue::Env(name.to_owned()));
    let file = || {
        secret
            .text("file")
            .map(|path| EnvValue::File(path.to_owned()))
    };
    let command = || {
        secret
            .words("command")
            .map(|words| EnvValue::Command(words.to_vec()))
    };
    env.or_else(file).or_else(command)
}

fn exits(table: &Checked, key: &str) -> Option<BTreeSet<i32>> {
    let items = table.list(key)?;
    Some(
        ints(items)
            .filter_map(|(code, _)| i32::try_from(code).ok())
            .collect(),
    )
}

fn mode(restart: Option<&Checked>) -> RestartMode {
    match restart.and_then(|restart| restart.text("mode")) {
        Some("on-failure") => RestartMode::OnFailure,
        Some("never") => RestartMode::Never,
        _ => RestartMode::Always,
    }
}

fn restart(table: &Checked) -> Restart {
    let default = Restart::default();
    let none = Checked::default();
    let backoff = table.table("backoff").unwrap_or(&none);
    Restart {
        mode: mode(Some(table)),
        success_exits: exits(table, "success_exits").unwrap_or(default.success_exits),
        alarm_exits: exits(table, "alarm_exits").unwrap_or(default.alarm_exits),
        backoff_initial_ms: backoff
            .amount("initial")
            .unwrap_or(default.backoff_initial_ms),
        backoff_factor_percent: backoff
            .percent("factor")
            .unwrap_or(default.backoff_factor_percent),
        backoff_max_ms: backoff.amount("max").unwrap_or(default.backoff_max_ms),
        backoff_jitter_percent: backoff
            .percent("jitter")
            .unwrap_or(default.backoff_jitter_percent),
        reset_ms: table.amount("reset").unwrap_or(default.reset_ms),
        limit: table.count("limit").unwrap_or(default.limit),
        limit_window_ms: table.amount("within").unwrap_or(default.limit_window_ms),
        limit_action: match table.text("then") {
            Some("hold") => LimitAction::Hold,
            _ => LimitAction::CoolDown,
        },
        cool_down_ms: table.amount("cool_down").unwrap_or(default.cool_down_ms),
    }
}

fn stop(table: &Checked) -> Stop {
    let default = Stop::default();
    Stop {
        signal: table.text("signal").map_or(default.signal, str::to_owned),
        grace_ms: table.amount("grace").unwrap_or(default.grace_ms),
        command: table.words("command").map(<[String]>::to_vec),
    }
}

/// Time between two tests.
const EVERY_MS: u64 = 10_000;
/// Time one test may take.
const TEST_TIMEOUT_MS: u64 = 2_000;
/// Failures in a row that count.
const FAILURES: u32 = 3;

fn ready(table: &Checked) -> Option<Ready> {
    Some(Ready {
        probe: probe(table)?,
        every_ms: table.amount("every").unwrap_or(EVERY_MS),
        timeout_ms: table.amount("timeout").unwrap_or(TEST_TIMEOUT_MS),
        failures: table.count("failures").unwrap_or(FAILURES),
        within_ms: table.amount("within"),
    })
}

fn live(table: &Checked) -> Option<Live> {
    Some(Live {
        probe: probe(table)?,
        every_ms: table.amount("every").unwrap_or(EVERY_MS),
        timeout_ms: table.amount("timeout").unwrap_or(TEST_TIMEOUT_MS),
        failures: table.count("failures").unwrap_or(FAILURES),
    })
}

fn probe(table: &Checked) -> Option<Probe> {
    let text = |key| table.text(key).map(str::to_owned);
    if let Some(url) = text("http") {
        return Some(Probe::Http(url));
    }
    if let Some(address) = text("tcp") {
        return Some(Probe::Tcp(address));
    }
    if let Some(words) = table.words("exec") {
        return Some(Probe::Exec(words.to_vec()));
    }
    if let Some(pattern) = text("log") {
        return Some(Probe::Log(pattern));
    }
    if let Some(path) = text("file") {
        return Some(Probe::File {
            path,
            max_age_ms: None,
        });
    }
    if let Some(file) = table.table("file") {
        let path = file.text("path")?.to_owned();
        return Some(Probe::File {
            path,
            max_age_ms: file.amount("max_age"),
        });
    }
    match &table.get("notify")?.val {
        Val::Table(notify) => Some(Probe::Notify {
            watchdog_ms: notify.amount("watchdog"),
        }),
        _ => Some(Probe::Notify { watchdog_ms: None }),
    }
}

fn log(table: &Checked) -> Log {
    let default = Log::default();
    Log {
        max_size: table.amount("max_size").unwrap_or(default.max_size),
        keep: table.count("keep").unwrap_or(default.keep),
        compress: table.bool("compress").unwrap_or(default.compress),
    }
}

/// Reports statements within one daemon that cannot all hold.
pub(crate) fn contradictions(daemon: &Daemon, table: &Checked, at: At, report: &mut Report) {
    let restart = &daemon.restart;
    let inner = table.table("restart");
    let both: Vec<String> = restart
        .success_exits
        .intersection(&restart.alarm_exits)
        .map(i32::to_string)
        .collect();
    if !both.is_empty() {
        let at = inner.and_then(|r| r.at("alarm_exits")).unwrap_or(at);
        let message = format!(
            "exit code {} is both a success and an alarm",
            both.join(", ")
        );
        report.push(Draft::error(Code::Contradiction, at, message).label("leave it out of one"));
    }
    let backoff = inner.and_then(|r| r.table("backoff"));
    if restart.backoff_initial_ms > restart.backoff_max_ms {
        let at = backoff
            .and_then(|b| b.at("initial").or(b.at("max")))
            .unwrap_or(at);
        let message = format!(
            "the first delay ({} ms) is above the longest ({} ms)",
            restart.backoff_initial_ms, restart.backoff_max_ms
        );
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("`initial` must not exceed `max`"));
    }
    let notifies = matches!(
        daemon.live,
        Some(Live {
            probe: Probe::Notify { .. },
            ..
        })
    );
    if notifies && daemon.watchdog_ms().is_none() {
        let at = table.at("live").unwrap_or(at);
        let message = format!("`live` of daemon `{}` has no watchdog time", daemon.name);
        let label = "write { notify = { watchdog = \"30s\" } }";
        report.push(Draft::error(Code::Missing, at, message).label(label));
    }
    if daemon.replicas > 1 && !daemon.ports.is_empty() {
        let at = table.at("ports").unwrap_or(at);
        let message = format!(
            "all {} replicas of `{}` listen on one port",
            daemon.replicas, daemon.name
        );
        let label = "right only when they share it (SO_REUSEPORT)";
        report.push(Draft::warning(Code::PortConflict, at, message).label(label));
    }
}
