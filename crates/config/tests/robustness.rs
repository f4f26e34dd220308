//! Whatever is in the files: no panic, either a fleet or errors, and a fleet keeps its promises.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test may panic as the test may"
)]

use std::fs;
use std::path::Path;

use eud_config::{Loaded, Severity, load, render};
use eud_core::event;
use eud_core::expr::Program;
use eud_core::fleet::{Action, Fleet, Handler, Kind, Via, When};
use eud_core::schedule::Schedule;
use eud_core::select;
use eud_core::template::Template;
use jiff::tz::TimeZone;
use proptest::prelude::*;

const FULL: &str = include_str!("good/full.toml");
const DEFAULTS: &str = include_str!("good/defaults.toml");
const JOBS: &str = include_str!("good/jobs.toml");
const RULES: &str = include_str!("good/rules.toml");

fn env(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/ada".into()),
        "TZ" => Some("UTC".into()),
        "A" => Some("a b\u{1b}[31m".into()),
        _ => None,
    }
}

/// Loads bytes as a fleet file, checks what must hold for any, and answers whether it was accepted.
fn accepted(bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eud.toml");
    fs::write(&path, bytes).unwrap();
    match load(&path, &env) {
        Ok(loaded) => {
            promises(&loaded);
            assert!(
                loaded
                    .warnings
                    .iter()
                    .all(|w| w.severity == Severity::Warning)
            );
            for width in [0, 40, 80, usize::MAX] {
                printable(&render(&loaded.warnings, &loaded.sources, false, width));
            }
            true
        }
        Err(invalid) => {
            assert!(
                invalid
                    .diagnostics
                    .iter()
                    .any(|d| d.severity == Severity::Error)
            );
            for width in [0, 40, 80, usize::MAX] {
                printable(&render(
                    &invalid.diagnostics,
                    &invalid.sources,
                    false,
                    width,
                ));
            }
            printable(&invalid.to_string());
            for diagnostic in &invalid.diagnostics {
                assert!(!diagnostic.message.is_empty());
            }
            false
        }
    }
}

fn printable(text: &str) {
    assert!(
        !text.chars().any(|c| c.is_control() && c != '\n'),
        "{text:?}"
    );
}

/// What `eud_core::fleet` says of a fleet.
fn promises(loaded: &Loaded) {
    let fleet = &loaded.fleet;
    for (name, daemon) in &fleet.daemons {
        assert_eq!(name, &daemon.name);
        assert!(!name.is_empty() && name.len() <= 64 && !name.contains(['@', '/']));
        assert!(
            daemon
                .exec
                .argv
                .first()
                .is_some_and(|program| !program.is_empty())
        );
        assert!(Path::new(&daemon.exec.cwd).is_absolute());
        assert!((1..=256).contains(&daemon.replicas));
        assert!(daemon.restart.backoff_initial_ms <= daemon.restart.backoff_max_ms);
        assert!(daemon.restart.backoff_factor_percent >= 100);
        assert!(daemon.restart.backoff_jitter_percent <= 100);
        let named = [
            &daemon.needs,
            &daemon.wants,
            &daemon.after,
            &daemon.conflicts,
        ];
        for other in named.into_iter().flatten() {
            assert!(fleet.daemons.contains_key(other) && other != name);
        }
        for word in &daemon.exec.argv {
            assert!(!word.contains('\0'));
        }
    }
    let mut left: Vec<&str> = fleet.daemons.keys().map(String::as_str).collect();
    while let Some(i) = left.iter().position(|name| {
        let daemon = &fleet.daemons[*name];
        let waits = daemon
            .needs
            .iter()
            .chain(&daemon.wants)
            .chain(&daemon.after);
        waits
            .into_iter()
            .all(|other| !left.contains(&other.as_str()))
    }) {
        left.swap_remove(i);
    }
    assert!(left.is_empty(), "a cycle among {left:?}");
    assert!(select::profile_units(fleet, fleet.profile.as_deref()).is_ok());
    for name in fleet.profiles.keys() {
        assert!(select::profile_units(fleet, Some(name)).is_ok());
    }
    promises_of_triggers(fleet);
    promises_of_the_bus(fleet);
    promises_of_rules(fleet);
}

/// What `eud_core::fleet` says of events, subscriptions and pools.
fn promises_of_the_bus(fleet: &Fleet) {
    for subscription in fleet.subscriptions.values() {
        assert!(!subscription.on.is_empty() && subscription.concurrency > 0);
        assert!(
            subscription
                .on
                .iter()
                .all(|on| event::parse_glob(on).is_ok())
        );
        for source in subscription.filter.iter().chain(&subscription.ordered_by) {
            Program::compile(source, &["event"]).unwrap();
        }
        assert!(subscription.retry.backoff_initial_ms <= subscription.retry.backoff_max_ms);
        match &subscription.handler {
            Handler::Job { job } => assert_eq!(fleet.daemons[job].kind, Kind::Job),
            Handler::Task(task) => {
                let prompt = task.args.iter().chain(&task.prompt).chain(&task.key);
                prompt.for_each(|text| drop(Template::parse(text).unwrap()));
                assert!(!fleet.pools[&task.pool].implicit);
            }
            Handler::Exec { pool } => assert!(fleet.pools[pool].implicit),
            Handler::Webhook(hook) => assert!(hook.url.starts_with("http")),
            Handler::Notify(notice) => assert!(fleet.channels.contains_key(&notice.channel)),
        }
    }
    for (name, pool) in &fleet.pools {
        assert_eq!((name, name), (&pool.name, &pool.template.name));
        assert_eq!(pool.template.kind, Kind::Task);
        assert!(!pool.template.exec.argv.is_empty() && pool.concurrency > 0);
        assert!(!name.contains(['#', '@', '/']));
        assert!(pool.gates.iter().all(|gate| fleet.gates.contains_key(gate)));
    }
    for schema in fleet
        .events
        .types
        .values()
        .filter_map(|t| t.schema.as_ref())
    {
        assert!(jsonschema::validator_for(schema).is_ok());
    }
}

/// What `eud_core::fleet` says of rules and channels.
fn promises_of_rules(fleet: &Fleet) {
    let parses = |text: &String| drop(Template::parse(text).unwrap());
    for rule in &fleet.rules {
        assert!(rule.on.is_empty() != rule.sequence.is_empty());
        assert!(rule.count > 0 && rule.limit.count > 0);
        assert!((rule.count == 1 && rule.sequence.is_empty()) || rule.within_ms.is_some());
        let healthy = rule.ladder.iter().flat_map(|ladder| &ladder.healthy);
        let patterns = rule.on.iter().chain(&rule.sequence).chain(&rule.unless);
        assert!(
            patterns
                .chain(healthy)
                .all(|on| event::parse_glob(on).is_ok())
        );
        for source in rule.when.iter().chain(&rule.key) {
            Program::compile(source, &["event"]).unwrap();
        }
        let rungs = rule.ladder.iter().flat_map(|ladder| &ladder.rungs);
        let climbed = rungs.flat_map(|rung| &rung.then);
        let actions: Vec<&Action> = rule.then.iter().chain(climbed).collect();
        assert!(!actions.is_empty());
        for action in actions {
            match action {
                Action::Task(task) => {
                    let texts = task.args.iter().chain(&task.prompt).chain(&task.key);
                    texts.for_each(parses);
                    assert!(!fleet.pools[&task.pool].implicit);
                }
                Action::Emit { kind, .. } => assert!(event::check_type(kind).is_ok()),
                Action::Webhook { outlet } => assert!(fleet.outlets.contains_key(outlet)),
                Action::Exec { pool } => {
                    assert!(fleet.pools[pool].implicit && fleet.outlets.contains_key(pool));
                }
                Action::Notify(notice) => assert!(fleet.channels.contains_key(&notice.channel)),
                Action::CloseGate { gate, .. } | Action::OpenGate { gate } => {
                    assert!(fleet.gates.contains_key(gate));
                }
                Action::Start { names }
                | Action::Stop { names }
                | Action::Restart { names }
                | Action::Hold { names, .. }
                | Action::Release { names }
                | Action::Trigger { names } => {
                    assert!(!names.is_empty());
                    names.iter().for_each(parses);
                }
            }
        }
    }
    for (name, channel) in &fleet.channels {
        assert_eq!(name, &channel.name);
        assert!(channel.retry.backoff_initial_ms <= channel.retry.backoff_max_ms);
        let quiet = channel.quiet.iter();
        quiet.for_each(|quiet| assert!(quiet.from_min < 1_440 && quiet.to_min < 1_440));
        match &channel.via {
            Via::Exec { pool } => assert!(fleet.pools[pool].implicit),
            Via::Email(email) => assert!(!email.to.is_empty() && email.port > 0),
            Via::Desktop | Via::Webhook(_) => {}
        }
    }
}

/// What `eud_core::fleet` says of jobs, gauges and gates.
fn promises_of_triggers(fleet: &Fleet) {
    let at_least_a_second = |ms: u64| assert!(ms >= 1_000);
    for daemon in fleet.daemons.values() {
        assert_eq!(daemon.job.is_some(), daemon.kind == Kind::Job);
        let job = daemon.job.iter();
        for when in job.clone().flat_map(|job| &job.schedules) {
            let zone = |name: &Option<String>| match name {
                Some(name) => TimeZone::get(name).unwrap(),
                None => TimeZone::UTC,
            };
            match when {
                When::Cron { expr, zone: name } => {
                    Schedule::cron(expr, zone(name)).unwrap();
                }
                When::Calendar { expr, zone: name } => {
                    Schedule::calendar(expr, zone(name)).unwrap();
                }
                When::Every { every_ms, .. } => at_least_a_second(*every_ms),
                When::At { .. } | When::AfterBoot { .. } | When::AfterUp { .. } => {}
            }
        }
        for job in job {
            let triggers = job.gauges.iter().map(|trigger| &trigger.gauge);
            let conditions = job.only_when.iter().map(|condition| &condition.gauge);
            for gauge in triggers.chain(conditions) {
                assert!(fleet.gauges.contains_key(gauge));
            }
        }
        if let Some(watch) = &daemon.watch {
            assert!(!watch.paths.is_empty() && !watch.events.is_empty());
            assert!(watch.debounce_ms <= watch.debounce_max_ms);
            for path in &watch.paths {
                assert!(Path::new(path).is_absolute() && path != "/");
            }
        }
    }
    for (name, gauge) in &fleet.gauges {
        assert_eq!(name, &gauge.name);
        for limit in [gauge.warn, gauge.over].iter().flatten() {
            assert!(limit.clear.0 <= limit.at.0);
        }
        assert!(gauge.under.is_none_or(|limit| limit.clear.0 >= limit.at.0));
    }
    for (name, gate) in &fleet.gates {
        assert_eq!(name, &gate.name);
        assert!(fleet.gauges.contains_key(&gate.gauge));
        assert!(!gate.members.is_empty() && !gate.closes_at.is_empty());
        let known = |member: &String| fleet.daemons.contains_key(member);
        assert!(gate.members.iter().all(known));
    }
}

const HEADERS: &[&str] = &[
    "[fleet]",
    "[defaults]",
    "[profiles]",
    "[daemons.a]",
    "[daemons.b]",
    "[daemons.a.env]",
    "[daemons.a.restart]",
    "[daemons.b.ready]",
    "[daemons.\"x y\"]",
    "[[daemons]]",
    "[daemons]",
    "[daemons.a.rlimits]",
    "[daemons.a.live.file]",
    "[defaults.restart.backoff]",
    "[rules]",
    "[daemons.a.schedule]",
    "[daemons.a.schedule.launchd]",
    "[daemons.b.watch]",
    "[daemons.a.guards]",
    "[gauges.a]",
    "[gauges.a.over]",
    "[gates.b]",
    "[events]",
    "[events.types.a]",
    "[subscriptions.a]",
    "[subscriptions.a.task]",
    "[subscriptions.b.retries]",
    "[pools.a]",
    "[pools.b.breaker]",
];
const KEYS: &[&str] = &[
    "command",
    "shell",
    "cwd",
    "env",
    "restart",
    "mode",
    "backoff",
    "initial",
    "max",
    "factor",
    "stop",
    "signal",
    "ready",
    "live",
    "http",
    "tcp",
    "log",
    "file",
    "notify",
    "needs",
    "wants",
    "after",
    "conflicts",
    "ports",
    "tags",
    "name",
    "profile",
    "nofile",
    "as",
    "include",
    "a",
    "b",
    "timeout",
    "replicas",
    "deprecated",
    "enabled",
    "umask",
    "success_exits",
    "alarm_exits",
    "kind",
    "cron",
    "calendar",
    "every",
    "at",
    "tz",
    "from",
    "overlap",
    "paths",
    "memory",
    "cpu",
    "files",
    "machine",
    "over",
    "gauge",
    "members",
    "closes_at",
    "on",
    "filter",
    "job",
    "exec",
    "webhook",
    "url",
    "pool",
    "prompt",
    "retries",
    "schema",
    "concurrency",
    "gates",
    "work_dir",
    "failures",
    "rest",
];
const VALUES: &[&str] = &[
    "\"{{ task.prompt }}\"",
    "\"{{ event.data\"",
    "\"event.data.size > 1\"",
    "\"event.\"",
    "\"a.*\"",
    "[\"*\"]",
    "{ type = \"object\" }",
    "1",
    "-1",
    "0o22",
    "1.5",
    "nan",
    "inf",
    "true",
    "false",
    "\"a\"",
    "[\"a\", \"b\"]",
    "[\"profile:a\"]",
    "[\"!b\", \"*\"]",
    "{}",
    "{ http = \"http://h/\" }",
    "\"1h\"",
    "\"${A}\"",
    "\"${A:-5}\"",
    "\"$${\"",
    "\"${\"",
    "\"~/x\"",
    "\"a 'b\"",
    "\"x | y\"",
    "{ mode = \"always\" }",
    "[[]]",
    "[{}]",
    "9999999999999999999",
    "2026-11-23",
    "{ env = \"A\" }",
    "\"0 3 * * *\"",
    "\"@daily\"",
    "\"5s\"",
    "\"job\"",
    "[\"2027-01-01T00:00\"]",
    "{ allow = 3 }",
    "{ at = 5, clear = 1 }",
    "\"[a\"",
    "\"over\"",
    "\"2GB\"",
    "\"\"",
    "[]",
    "'''\na\n'''",
    "\"\\u0000\"",
    "\"\\u001b[31m\"",
];

/// Pieces from which files are put together that are nearly right.
fn piece() -> impl Strategy<Value = String> {
    let header = prop::sample::select(HEADERS);
    let key = prop::sample::select(KEYS);
    let value = prop_oneof![
        prop::sample::select(VALUES).prop_map(str::to_owned),
        "\"[ -~]{0,12}\"",
    ];
    prop_oneof![
        1 => header.prop_map(str::to_owned),
        4 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        accepted(&bytes);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        accepted(text.as_bytes());
    }

    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(piece(), 0..25)) {
        accepted(pieces.join("\n").as_bytes());
    }

    #[test]
    fn a_good_file_with_some_bytes_changed(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        text in prop::sample::select(vec![FULL, JOBS, RULES]),
    ) {
        let mut bytes = text.as_bytes().to_vec();
        for (index, byte) in edits {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        accepted(&bytes);
    }

    #[test]
    fn a_good_file_with_lines_lost_or_moved(
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()),
            1..6,
        ),
        text in prop::sample::select(vec![DEFAULTS, JOBS, RULES]),
    ) {
        let mut lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("include")).collect();
        for (from, to, lost) in edits {
            let line = lines.remove(from.index(lines.len()));
            if !lost {
                lines.insert(to.index(lines.len()), line);
            }
        }
        accepted(lines.join("\n").as_bytes());
    }
}

#[test]
fn the_unchanged_files_are_accepted() {
    assert!(accepted(FULL.as_bytes()));
    assert!(accepted(JOBS.as_bytes()));
    assert!(accepted(RULES.as_bytes()));
    assert!(accepted(
        DEFAULTS
            .replace("include = \"conf.d/*.toml\"", "")
            .as_bytes()
    ));
}

#[test]
fn hostile_shapes_are_refused() {
    let many = |piece: &str, n: usize| piece.repeat(n);
    for text in [
        format!("a = {}", many("[", 20_000)),
        format!("a = {}", many("{ a = ", 20_000)),
        format!("{}a = 1", many("a.", 20_000)),
        format!("[{}a]", many("a.", 20_000)),
        format!(
            "[daemons.a]\ncommand = \"{}\"\nzz = 1",
            many("${A:-", 20_000)
        ),
        format!("[daemons.a]\nready = {{ log = '{}' }}", many("(", 20_000)),
        format!(
            "[daemons.a]\nready = {{ log = '{}' }}",
            many("a{1000}", 1_000)
        ),
        format!("[profiles]\nx = [\"{}\"]", many("{a,", 10_000)),
        format!("[profiles]\nx = [\"{}\"]", many("*", 10_000)),
        format!("include = [\"{}\"]", many("../", 2_000)),
        format!("include = [\"{}\"]", many("[", 2_000)),
        format!("[daemons.a]\n{} = 1", many("x", 200_000)),
        laughs(),
        chain(2_000, |i| i + 1),
        chain(2_000, |i| i.wrapping_sub(1)),
        format!(
            "[defaults.env]\n{}\n{}",
            (0..20_000)
                .map(|i| format!("V{i} = \"{i}\"\n"))
                .collect::<String>(),
            (0..5_000)
                .map(|i| format!("[daemons.d{i}]\ncommand = \"x\"\n"))
                .collect::<String>(),
        ),
        (0..30_000)
            .map(|i| format!("[daemons.d{i}]\ncommand = \"x\"\nneeds = [\"zz\"]\n"))
            .collect(),
        format!("[daemons.a]\ncommand = \"{}\"", many("${A}", 200_000)),
        format!(
            "[daemons]\na = {{ command = \"a\", tags = [{}] }}",
            many("5, ", 50_000)
        ),
        many("[daemons.a]\n", 20_000),
        many("x = 1\n", 20_000),
        (0..20_000).map(|i| format!("k{i} = 1\n")).collect(),
    ] {
        assert!(!accepted(text.as_bytes()), "{}", text.get(..40).unwrap());
    }
}

/// Profiles that each contain the next one twice: 2³⁰ terms in a few lines.
fn laughs() -> String {
    let line = |i| {
        format!(
            "p{i:02} = [\"profile:p{:02}\", \"profile:p{:02}\"]\n",
            i + 1,
            i + 1
        )
    };
    let lines: String = (0..30).map(line).collect();
    format!("[daemons.a]\ncommand = \"a\"\n[profiles]\n{lines}p30 = [\"a\"]\n")
}

/// Profiles that each contain one other.
fn chain(length: usize, next: impl Fn(usize) -> usize) -> String {
    let line = |i| match next(i) {
        next if next < length => format!("p{i:04} = [\"profile:p{next:04}\"]\n"),
        _ => format!("p{i:04} = [\"a\"]\n"),
    };
    let lines: String = (0..length).map(line).collect();
    format!("[daemons.a]\ncommand = \"a\"\n[profiles]\n{lines}")
}

#[test]
fn deep_chains_of_profiles_are_refused_in_either_order() {
    for next in [|i: usize| i + 1, |i: usize| i.wrapping_sub(1)] {
        assert!(accepted(chain(33, next).as_bytes()));
        assert!(!accepted(chain(34, next).as_bytes()));
    }
}

#[test]
fn files_that_are_no_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let message = |path: &Path| load(path, &env).unwrap_err().to_string();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("dir.toml")).unwrap();
    fs::write(at("large.toml"), vec![b'#'; (4 << 20) + 1]).unwrap();
    std::os::unix::net::UnixListener::bind(at("socket.toml")).unwrap();
    std::os::unix::fs::symlink(at("loop.toml"), at("loop.toml")).unwrap();
    assert_eq!(
        message(&at("dir.toml")),
        "dir.toml: the fleet file is a folder"
    );
    assert_eq!(
        message(&at("large.toml")),
        "large.toml: the fleet file is larger than 4 MiB"
    );
    assert_eq!(
        message(&at("socket.toml")),
        "socket.toml: the fleet file is not a regular file"
    );
    assert_eq!(
        message(&at("none.toml")),
        "none.toml: the fleet file does not exist"
    );
    assert!(message(&at("loop.toml")).starts_with("loop.toml: the fleet file cannot be read"));
    assert_eq!(
        message(Path::new("/dev/zero")),
        "zero: the fleet file is not a regular file"
    );
    let not_utf8: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff.toml");
    assert!(
        message(&folder.path().join(not_utf8)).ends_with("the path of the fleet file is not UTF-8")
    );
}

#[test]
fn a_file_of_exactly_the_limit_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("eud.toml");
    let mut text = String::from("[daemons.a]\ncommand = \"a\"\n");
    text.push_str(&"#".repeat((4 << 20) - text.len()));
    fs::write(&path, text).unwrap();
    assert!(load(&path, &env).is_ok());
}
