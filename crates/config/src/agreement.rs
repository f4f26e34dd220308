//! Tests: the tables of keys, the parser, the model, the schema and the reference agree.

use std::cell::RefCell;
use std::collections::HashMap;
use std::path::Path;

use eud_core::fleet::{Fleet, Origin};
use regex::Regex;
use serde_json::Value;

use crate::keys::{Key, TableSpec};
use crate::schema::schema;
use crate::tables::{DAEMON, ROOT, TABLES};
use crate::{Code, Invalid, load};

/// Where a table stands in a file, and what else must be in it.
fn place(spec: &TableSpec) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match spec.name {
        "the top level" => ("", &[]),
        "[fleet]" => ("[fleet]", &[]),
        "a daemon" => ("[daemons.x]", &[("command", "\"base\"")]),
        "deprecated" => ("[daemons.x.deprecated]", &[]),
        "restart" => ("[daemons.x.restart]", &[]),
        "backoff" => ("[daemons.x.restart.backoff]", &[]),
        "stop" => ("[daemons.x.stop]", &[]),
        "ready" => ("[daemons.x.ready]", &[("tcp", "\"base:1\"")]),
        "live" => ("[daemons.x.live]", &[("tcp", "\"base:1\"")]),
        "file" => ("[daemons.x.ready.file]", &[("path", "\"base\"")]),
        "notify" => ("[daemons.x.ready.notify]", &[]),
        "log" => ("[daemons.x.log]", &[]),
        "a secret" => ("[daemons.x.env.S]", &[("env", "\"BASE\"")]),
        "schedule" => ("[daemons.x.schedule]", &[("cron", "\"0 1 * * *\"")]),
        "launchd" => ("[daemons.x.schedule.launchd]", &[]),
        "missed" => (
            "[daemons.x.schedule]\nevery = \"1h\"\n[daemons.x.schedule.missed]",
            &[("run_all", "5")],
        ),
        "overlap" => ("[daemons.j.overlap]", &[("allow", "2")]),
        "retry" => ("[daemons.j.retry]", &[("limit", "1")]),
        "retry.backoff" => (
            "[daemons.j.retry]\nlimit = 1\n[daemons.j.retry.backoff]",
            &[],
        ),
        "on_gauge" => ("[daemons.j.on_gauge]", &[("gauge", "\"g1\"")]),
        "only_when" => (
            "[daemons.j.only_when]",
            &[("gauge", "\"g1\""), ("below", "10")],
        ),
        "watch" => ("[daemons.x.watch]", &[("paths", "\"base\"")]),
        "guards" => ("[daemons.x.guards]", &[]),
        "memory" => ("[daemons.x.guards.memory]", &[("max", "\"2GB\"")]),
        "cpu" => ("[daemons.x.guards.cpu]", &[("max", "\"200%\"")]),
        "silent_for" => ("[daemons.x.guards.silent_for]", &[("max", "\"2h\"")]),
        "heartbeat" => ("[daemons.x.guards.heartbeat]", &[("file", "\"base\"")]),
        "log_rate" => ("[daemons.x.guards.log_rate]", &[("max", "\"3MB\"")]),
        "a gauge" => ("[gauges.x]", &[("files", "\"base\"")]),
        "files" => ("[gauges.x.files]", &[("glob", "\"base\"")]),
        "sqlite" => (
            "[gauges.x.sqlite]",
            &[("db", "\"base\""), ("query", "\"base\"")],
        ),
        "http" => ("[gauges.x.http]", &[("url", "\"http://base/\"")]),
        "machine" => ("[gauges.x.machine]", &[("disk", "\"base\"")]),
        "a limit" => (
            "[gauges.x]\nfiles = \"base\"\n[gauges.x.over]",
            &[("at", "500")],
        ),
        "a gate" => ("[gates.x]", &[("gauge", "\"g1\""), ("members", "[\"j\"]")]),
        _ => place_of_bus(spec),
    }
}

/// The same of events, subscriptions and pools.
fn place_of_bus(spec: &TableSpec) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match spec.name {
        "[events]" => ("[events]", &[]),
        "an event type" => ("[events.types.\"a.b\"]", &[]),
        "a subscription" => (
            "[subscriptions.x]",
            &[("on", "\"base\""), ("exec", "\"base\"")],
        ),
        "task" => (
            "[subscriptions.x]\non = \"base\"\n[subscriptions.x.task]",
            &[("pool", "\"p\"")],
        ),
        "webhook" => (
            "[subscriptions.x]\non = \"base\"\n[subscriptions.x.webhook]",
            &[("url", "\"http://base/\"")],
        ),
        "retries" => (
            "[subscriptions.x]\non = \"base\"\njob = \"j\"\n[subscriptions.x.retries]",
            &[],
        ),
        "retries.backoff" => (
            "[subscriptions.x]\non = \"base\"\njob = \"j\"\n[subscriptions.x.retries.backoff]",
            &[],
        ),
        "a pool" => ("[pools.x]", &[("command", "\"base\"")]),
        "rate" => (
            "[pools.x]\ncommand = \"base\"\n[pools.x.rate]",
            &[("count", "1"), ("per", "\"1s\"")],
        ),
        "work_dir" => ("[pools.x]\ncommand = \"base\"\n[pools.x.work_dir]", &[]),
        "breaker" => (
            "[pools.x]\ncommand = \"base\"\n[pools.x.breaker]",
            &[("failures", "9"), ("rest", "\"1s\"")],
        ),
        _ => place_of_rules(spec),
    }
}

/// The same of rules and channels.
fn place_of_rules(spec: &TableSpec) -> (&'static str, &'static [(&'static str, &'static str)]) {
    match spec.name {
        "a rule" => (
            "[[rules]]",
            &[
                ("name", "\"base\""),
                ("on", "\"base\""),
                ("then", "{ stop = \"web\" }"),
            ],
        ),
        "an action" => (
            "[[rules]]\nname = \"base\"\non = \"base\"\n[[rules.then]]",
            &[("stop", "\"web\"")],
        ),
        "ladder" => (
            "[[rules]]\nname = \"base\"\non = \"base\"\n[rules.ladder]",
            &[("rungs", "{ then = { stop = \"web\" } }")],
        ),
        "a rung" => (
            "[[rules]]\nname = \"base\"\non = \"base\"\n[[rules.ladder.rungs]]",
            &[("then", "{ stop = \"web\" }")],
        ),
        "approve" => (
            "[[rules]]\nname = \"base\"\non = \"base\"\nthen = { stop = \"web\" }\n\
             [rules.approve]",
            &[],
        ),
        "a channel" => ("[channels.x]", &[("exec", "\"base\"")]),
        "email" => (
            "[channels.x.email]",
            &[
                ("host", "\"base\""),
                ("from", "\"base@base\""),
                ("to", "\"base@base\""),
            ],
        ),
        "quiet" => (
            "[channels.x]\nvia = \"desktop\"\n[channels.x.quiet]",
            &[("from", "\"21:00\""), ("to", "\"06:00\"")],
        ),
        "a message" => (
            "[subscriptions.x]\non = \"base\"\n[subscriptions.x.notify]",
            &[("channel", "\"desk\"")],
        ),
        name => panic!("table {name} has no place in this test"),
    }
}

/// A gauge with these comes to every level.
const LEVELS: &str = "warn = 4\nover = 5\nunder = 1\nfrozen = \"1h\"\n";

/// A file with `key = value` in the table; `None` leaves only what must be there.
fn document(spec: &TableSpec, pair: Option<(&str, &str)>) -> String {
    let with = pair.map(|(key, _)| companion(spec, key));
    document_with(spec, pair, with.unwrap_or_default())
}

/// What a key means something together with.
fn companion(spec: &TableSpec, key: &str) -> &'static [(&'static str, &'static str)] {
    match (spec.name, key) {
        ("schedule", "from") => &[("every", "\"9h\"")],
        ("a gauge", "cwd" | "env") => &[("command", "\"base\"")],
        ("a pool", "retry_exits") => &[("retries", "1")],
        ("task", "once") => &[("key", "\"k\"")],
        ("a rule", "count" | "sequence") => &[("within", "\"9m\"")],
        ("a rule", "unless") => &[("for", "\"9m\"")],
        ("an action", "subject" | "data") => &[("emit", "\"model.other\"")],
        ("an action", "timeout" | "retries") => &[("exec", "\"base\"")],
        ("an action", "reason") => &[("hold", "\"web\"")],
        ("email", "password") => &[("user", "\"base\"")],
        ("a daemon", "only_when" | "overlap" | "retry") => &[("kind", "\"job\"")],
        _ => &[],
    }
}

/// The same with what else there must be.
fn document_with(spec: &TableSpec, pair: Option<(&str, &str)>, with: &[(&str, &str)]) -> String {
    let (header, base) = place(spec);
    let mut lines = vec![header.to_owned()];
    let given = pair.map(|(key, _)| key);
    let chosen = with.first().map(|(key, _)| *key);
    let given = given
        .into_iter()
        .chain(chosen)
        .find(|key| spec.one_of.contains(key))
        .or(given);
    lines.extend(with.iter().map(|(key, value)| format!("{key} = {value}")));
    for (key, value) in base {
        let chosen = given.is_some_and(|given| spec.one_of.contains(&given));
        let replaced =
            (chosen && spec.one_of.contains(key)) || (given == Some("sequence") && *key == "on");
        if given != Some(key) && !replaced {
            lines.push(format!("{key} = {value}"));
        }
    }
    if let Some((key, value)) = pair {
        lines.push(format!("{key} = {value}"));
    }
    let root = spec.name == ROOT.name;
    if header != "[daemons.x]" && !(root && given == Some("daemons")) {
        lines.push("[daemons.x]\ncommand = \"base\"".into());
    }
    if !(root && given == Some("daemons")) {
        lines.push("[daemons.web]\ncommand = \"web\"".into());
        lines.push("[daemons.j]\ncommand = \"job\"\nkind = \"job\"".into());
    }
    if !(root && given == Some("gauges")) {
        for name in ["g", "g1", "g2"] {
            lines.push(format!("[gauges.{name}]\nfiles = \"{name}\"\n{LEVELS}"));
        }
    }
    if !(root && given == Some("pools")) {
        for name in ["p", "p1"] {
            lines.push(format!("[pools.{name}]\ncommand = \"{name}\""));
        }
    }
    if !(root && matches!(given, Some("gates" | "gauges"))) {
        lines.push("[gates.gpu]\ngauge = \"g\"\nmembers = [\"web\"]".into());
    }
    if !(root && given == Some("channels")) {
        for name in ["desk", "ops"] {
            lines.push(format!("[channels.{name}]\nvia = \"desktop\""));
        }
    }
    if !root {
        lines.push("[profiles]\nsmall = [\"web\"]".into());
    }
    lines.join("\n")
}

fn load_text(folder: &Path, text: &str) -> Result<Fleet, Invalid> {
    let path = folder.join("eud.toml");
    // Some file systems write a truncated file to the disk at once; a new one costs nothing.
    let _ = std::fs::remove_file(&path);
    std::fs::write(&path, text).unwrap();
    let env = |name: &str| (name == "TZ").then(|| "UTC".to_owned());
    let mut fleet = load(&path, &env)?.fleet;
    for daemon in fleet.daemons.values_mut() {
        daemon.origin = Origin::default();
    }
    for gauge in fleet.gauges.values_mut() {
        gauge.origin = Origin::default();
    }
    for gate in fleet.gates.values_mut() {
        gate.origin = Origin::default();
    }
    for event_type in fleet.events.types.values_mut() {
        event_type.origin = Origin::default();
    }
    for subscription in fleet.subscriptions.values_mut() {
        subscription.origin = Origin::default();
    }
    for pool in fleet.pools.values_mut() {
        pool.origin = Origin::default();
        pool.template.origin = Origin::default();
    }
    for outlet in fleet.outlets.values_mut() {
        outlet.origin = Origin::default();
    }
    for rule in &mut fleet.rules {
        rule.origin = Origin::default();
    }
    for channel in fleet.channels.values_mut() {
        channel.origin = Origin::default();
    }
    Ok(fleet)
}

fn example(key: &Key) -> &'static str {
    if key.name == "include" {
        "[\"more.toml\"]"
    } else {
        key.example
    }
}

fn each_key(mut check: impl FnMut(&Path, &Value, &'static TableSpec, &'static Key)) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("more.toml"),
        "[daemons.more]\ncommand = \"m\"\n",
    )
    .unwrap();
    std::fs::write(
        folder.path().join("promoted.json"),
        "{ \"type\": \"object\" }",
    )
    .unwrap();
    let whole = schema();
    for spec in TABLES {
        for key in spec.keys {
            check(folder.path(), &whole, spec, key);
        }
    }
}

fn json(text: &str) -> Value {
    /// JSON has no dates; the TOML parser gives them as objects, which they are not.
    fn without_dates(value: Value) -> Value {
        match value {
            Value::Object(object) if object.contains_key("$__toml_private_datetime") => Value::Null,
            Value::Object(object) => object
                .into_iter()
                .map(|(key, value)| (key, without_dates(value)))
                .collect(),
            Value::Array(items) => items.into_iter().map(without_dates).collect(),
            value => value,
        }
    }
    without_dates(toml::from_str(text).unwrap())
}

#[test]
fn every_key_is_accepted_and_changes_the_model() {
    each_key(|folder, whole, spec, key| {
        let with = companion(spec, key.name);
        let base = load_text(folder, &document_with(spec, None, with)).unwrap();
        let text = document(spec, Some((key.name, example(key))));
        match load_text(folder, &text) {
            Ok(fleet) => assert_ne!(fleet, base, "{}.{} changes nothing", spec.name, key.name),
            Err(invalid) => panic!("{text}\n{invalid}"),
        }
        assert_eq!(
            violations(whole, whole, &json(&text), "$"),
            Vec::<String>::new()
        );
    });
}

#[test]
fn every_default_is_the_default_of_the_model() {
    each_key(|folder, _, spec, key| {
        if !key.default.is_empty() {
            let with = companion(spec, key.name);
            let base = load_text(folder, &document_with(spec, None, with)).unwrap();
            let text = document(spec, Some((key.name, key.default)));
            assert_eq!(
                load_text(folder, &text).unwrap(),
                base,
                "{}.{}",
                spec.name,
                key.name
            );
        }
    });
}

#[test]
fn every_daemon_key_is_inherited_or_refused_as_a_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = |defaults: &str, own: &str| {
        let web = "[daemons.web]\ncommand = \"web\"\n";
        let gauge = format!("[gauges.g]\nfiles = \"g\"\n{LEVELS}");
        format!("[defaults]\n{defaults}\n[daemons.x]\n{own}\ncommand = \"x\"\n{web}{gauge}")
    };
    for key in DAEMON.keys {
        let pair = format!("{} = {}", key.name, key.example);
        let text = file(&pair, "");
        let valid = violations(&schema(), &schema(), &json(&text), "$").is_empty();
        let inherited = load_text(folder.path(), &text);
        if key.inherited {
            let own = load_text(folder.path(), &file("", &pair)).unwrap();
            assert_eq!(
                inherited.unwrap().daemons["x"],
                own.daemons["x"],
                "{}",
                key.name
            );
        } else {
            let codes: Vec<Code> = inherited
                .unwrap_err()
                .diagnostics
                .iter()
                .map(|d| d.code)
                .collect();
            assert_eq!(codes, [Code::Misplaced], "{}", key.name);
        }
        assert_eq!(valid, key.inherited, "schema on {} in [defaults]", key.name);
    }
}

#[test]
fn unknown_keys_are_refused_by_parser_and_schema() {
    let folder = tempfile::tempdir().unwrap();
    for spec in TABLES {
        let text = document(spec, Some(("zzzzzz", "1")));
        let codes: Vec<Code> = load_text(folder.path(), &text)
            .unwrap_err()
            .diagnostics
            .iter()
            .map(|d| d.code)
            .collect();
        assert_eq!(codes, [Code::UnknownKey], "{text}");
        assert!(
            !violations(&schema(), &schema(), &json(&text), "$").is_empty(),
            "{text}"
        );
    }
}

/// Values of all sorts, tried for every key.
const VALUES: [&str; 34] = [
    "true",
    "false",
    "0",
    "1",
    "-1",
    "70000",
    "0o27",
    "1.5",
    "\"\"",
    "\"x\"",
    "\"5s\"",
    "\"1h30m\"",
    "\"50MB\"",
    "\"1.5 GiB\"",
    "\"TERM\"",
    "\"sigint\"",
    "\"always\"",
    "\"restart\"",
    "\"hold\"",
    "\"http://h/\"",
    "\"h:80\"",
    "\"queue:a\"",
    "\"027\"",
    "\"unlimited\"",
    "\"${X:-5}\"",
    "\"${X:-true}\"",
    "[]",
    "[\"web\"]",
    "[1, 2]",
    "[\"queue:a\", 5]",
    "{}",
    "{ use = \"x\" }",
    "{ A = 1, B = { env = \"X\" } }",
    "2026-11-23",
];

/// The parser looks closer than the schema; it must not be more lenient.
#[test]
fn what_the_parser_accepts_the_schema_accepts() {
    let mut accepted = 0;
    each_key(|folder, whole, spec, key| {
        for value in VALUES {
            let text = document(spec, Some((key.name, value)));
            if load_text(folder, &text).is_ok() {
                accepted += 1;
                let found = violations(whole, whole, &json(&text), "$");
                assert!(found.is_empty(), "{text}\n{found:?}");
            }
        }
    });
    assert!(
        accepted > 200,
        "only {accepted} accepted: the test looks at nothing"
    );
}

/// The schema refuses wrong types, not only unknown keys.
#[test]
fn the_schema_refuses_wrong_types() {
    let mut refused_by_both = 0;
    let mut lenient: Vec<String> = Vec::new();
    each_key(|folder, whole, spec, key| {
        for value in VALUES {
            let text = document(spec, Some((key.name, value)));
            let Err(invalid) = load_text(folder, &text) else {
                continue;
            };
            if !invalid
                .diagnostics
                .iter()
                .any(|d| d.code == Code::WrongType)
            {
                continue;
            }
            match violations(whole, whole, &json(&text), "$").is_empty() {
                true => lenient.push(text),
                false => refused_by_both += 1,
            }
        }
    });
    assert!(refused_by_both > 500, "{refused_by_both}");
    assert_eq!(
        lenient,
        Vec::<String>::new(),
        "wrong types that the schema accepts"
    );
}

#[test]
fn the_reference_names_every_key() {
    let reference = crate::reference();
    for key in TABLES.iter().flat_map(|spec| spec.keys) {
        assert!(
            reference.contains(&format!("| `{}` |", key.name)),
            "{}",
            key.name
        );
        assert!(key.doc.ends_with('.'), "{}: {}", key.name, key.doc);
    }
}

#[test]
fn hints_are_about_keys_that_do_not_exist() {
    for spec in TABLES {
        for (name, hint) in spec.hints {
            assert!(
                spec.key(name).is_none(),
                "{}: {name} exists ({hint})",
                spec.name
            );
        }
    }
}

/// Violations of the part of JSON Schema that [`schema`] uses; any other keyword is a violation
/// itself.
fn violations(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    let object = schema.as_object().unwrap();
    let bad = |what: &str| vec![format!("{path}: {what} ({value})")];
    for (keyword, rule) in object {
        let rules = || rule.as_array().unwrap().iter();
        let passes = |rule: &Value| violations(root, rule, value, path).is_empty();
        let text = value.as_str();
        found.extend(match keyword.as_str() {
            "$schema"
            | "$id"
            | "$defs"
            | "title"
            | "description"
            | "default"
            | "examples"
            | "additionalProperties" => Vec::new(),
            "type" if is_type(rule, value) => Vec::new(),
            "enum" if rules().any(|allowed| allowed == value) => Vec::new(),
            "const" if rule == value => Vec::new(),
            "anyOf" if rules().any(passes) => Vec::new(),
            "oneOf" if rules().filter(|rule| passes(rule)).count() == 1 => Vec::new(),
            "not" if !passes(rule) => Vec::new(),
            "pattern" => match text {
                Some(text) if !matches(rule.as_str().unwrap(), text) => bad("pattern"),
                _ => Vec::new(),
            },
            _ if within_bound(keyword, rule, value) => Vec::new(),
            "items" => value
                .as_array()
                .map(|items| {
                    items
                        .iter()
                        .flat_map(|item| violations(root, rule, item, path))
                        .collect()
                })
                .unwrap_or_default(),
            "required" => {
                let missing = |key: &&Value| value.get(key.as_str().unwrap()).is_none();
                rules()
                    .find(missing)
                    .map(|key| bad(&format!("lacks {key}")))
                    .unwrap_or_default()
            }
            "properties" => properties(root, schema, value, path),
            "propertyNames" => {
                let names = value
                    .as_object()
                    .into_iter()
                    .flat_map(|object| object.keys());
                names
                    .flat_map(|n| violations(root, rule, &Value::from(n.as_str()), path))
                    .collect()
            }
            "$ref" => {
                let target = rule.as_str().unwrap().strip_prefix('#').unwrap();
                violations(root, root.pointer(target).unwrap(), value, path)
            }
            keyword => bad(keyword),
        });
    }
    if object.contains_key("additionalProperties") && !object.contains_key("properties") {
        found.extend(properties(root, schema, value, path));
    }
    found
}

/// Whether the keyword is a bound, and the value keeps to it.
fn within_bound(keyword: &str, rule: &Value, value: &Value) -> bool {
    let bound = rule.as_f64().unwrap_or(f64::NAN);
    let length = value.as_str().map(|text| text.chars().count() as f64);
    let items = value.as_array().map(|items| items.len() as f64);
    match keyword {
        "minimum" => value.as_f64().is_none_or(|n| n >= bound),
        "maximum" => value.as_f64().is_none_or(|n| n <= bound),
        "minLength" => length.is_none_or(|n| n >= bound),
        "maxLength" => length.is_none_or(|n| n <= bound),
        "minItems" => items.is_none_or(|n| n >= bound),
        "maxItems" => items.is_none_or(|n| n <= bound),
        _ => false,
    }
}

fn properties(root: &Value, schema: &Value, value: &Value, path: &str) -> Vec<String> {
    let Some(object) = value.as_object() else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in object {
        let path = format!("{path}.{key}");
        let known = schema
            .get("properties")
            .and_then(|properties| properties.get(key));
        match (known, &schema["additionalProperties"]) {
            (Some(rule), _) => found.extend(violations(root, rule, value, &path)),
            (None, Value::Bool(false)) => found.push(format!("{path}: unknown key")),
            (None, rule) => found.extend(violations(root, rule, value, &path)),
        }
    }
    found
}

fn is_type(rule: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        name => panic!("type {name}"),
    };
    rule.as_array()
        .map_or_else(|| is(rule), |names| names.iter().any(is))
}

fn matches(pattern: &str, text: &str) -> bool {
    thread_local! {
        static COMPILED: RefCell<HashMap<String, Regex>> = RefCell::default();
    }
    COMPILED.with_borrow_mut(|compiled| {
        let regex = compiled.entry(pattern.to_owned());
        regex
            .or_insert_with(|| Regex::new(pattern).unwrap())
            .is_match(text)
    })
}
