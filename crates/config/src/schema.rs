//! The JSON Schema of the fleet file, for editors and `eud schema`.
//!
//! Invariants: generated from the table of keys; what the parser accepts in form, the schema
//! accepts.

use serde_json::{Map, Value, json};

use crate::keys::{KeyRule, MapSpec, TableSpec, Type};
use crate::tables::ROOT;
use crate::values::{IMPLICIT, NAME_BYTES_MAX, RESOURCES, RLIMIT_NAMES, SIGNALS};

/// Identity of the schema.
const ID: &str = "urn:eudaemon:fleet-file";

/// A JSON Schema (draft 2020-12) of `eud.toml`.
pub fn schema() -> Value {
    let mut root = table(&ROOT, false);
    if let Value::Object(root) = &mut root {
        root.insert(
            "$schema".into(),
            json!("https://json-schema.org/draft/2020-12/schema"),
        );
        root.insert("$id".into(), json!(ID));
        root.insert("title".into(), json!("eudaemon fleet file"));
        root.insert("$defs".into(), json!({ "command": command() }));
    }
    root
}

/// `defaults` is the table of defaults: only what can be inherited, and nothing required.
fn table(spec: &TableSpec, defaults: bool) -> Value {
    let mut properties = Map::new();
    for key in spec.keys.iter().filter(|key| key.inherited || !defaults) {
        let mut schema = ty(
            &key.ty,
            defaults || (spec.name == ROOT.name && key.name == "defaults"),
        );
        if let Value::Object(schema) = &mut schema {
            schema.insert("description".into(), json!(key.doc));
            if let Some(default) = default(key.default) {
                schema.insert("default".into(), default);
            }
        }
        properties.insert(key.name.to_owned(), schema);
    }
    let mut schema = json!({
        "type": "object",
        "description": spec.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if let (Value::Object(schema), false) = (&mut schema, spec.required.is_empty()) {
        schema.insert("required".into(), json!(spec.required));
    }
    let one_of: Vec<Value> = spec
        .one_of
        .iter()
        .map(|key| json!({ "required": [key] }))
        .collect();
    if let (Value::Object(schema), false) = (&mut schema, one_of.is_empty()) {
        if defaults && matches!(spec.name, "a daemon" | "a pool" | "ready" | "live") {
            return schema.clone().into();
        }
        schema.insert("oneOf".into(), one_of.into());
    }
    schema
}

/// The default as JSON. Defaults are TOML values of a kind that JSON writes alike.
fn default(toml: &str) -> Option<Value> {
    serde_json::from_str(toml).ok()
}

fn ty(ty_: &Type, defaults: bool) -> Value {
    match ty_ {
        Type::Bool => reference_or(json!({ "type": "boolean" })),
        Type::True => reference_or(json!({ "const": true })),
        Type::False => reference_or(json!({ "const": false })),
        Type::Int { min, max } => {
            reference_or(json!({ "type": "integer", "minimum": min, "maximum": max }))
        }
        Type::Number { min, max } => {
            reference_or(json!({ "type": "number", "minimum": min, "maximum": max }))
        }
        Type::Choice(words) => reference_or(json!({ "enum": words })),
        Type::Command | Type::TaskCommand => json!({ "$ref": "#/$defs/command" }),
        Type::Limit => limit(),
        Type::Json | Type::RuleData => json!({ "type": "object" }),
        Type::EnvText | Type::TaskText => json!({ "type": ["string", "integer", "boolean"] }),
        Type::Many(item) => {
            let item = ty(item, defaults);
            json!({ "anyOf": [{ "type": "array", "items": item }, item] })
        }
        Type::Table(spec) => table(spec, defaults),
        Type::Map(spec) => map(spec),
        Type::Either(options) => {
            let options: Vec<Value> = options.iter().map(|option| ty(option, defaults)).collect();
            json!({ "anyOf": options })
        }
        Type::Text
        | Type::Line
        | Type::Script
        | Type::DaemonName
        | Type::GaugeName
        | Type::GateName
        | Type::PoolName
        | Type::RuleName
        | Type::ChannelName
        | Type::RuleSelector
        | Type::Published
        | Type::Host
        | Type::EventText
        | Type::MessageText
        | Type::TaskPath
        | Type::Cron
        | Type::Moment
        | Type::Calendar
        | Type::Zone
        | Type::Instant
        | Type::Glob
        | Type::Ignored
        | Type::Extension
        | Type::ProfileName
        | Type::Selector
        | Type::Path
        | Type::EnvFile
        | Type::Include => text(),
        _ => written(ty_),
    }
}

/// Types with a grammar of their own.
fn written(ty_: &Type) -> Value {
    match ty_ {
        Type::Duration { .. } => pattern(
            r"^\s*([0-9]+(\.[0-9]+)?\s*(w|d|h|m|s|ms)\s*)+$",
            &["30s", "5m", "1h30m"],
        ),
        Type::Size { .. } => json!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            pattern(r"^\s*[0-9]+(\.[0-9]+)?\s*([kKMGT]?B|[KMGT]iB)\s*$", &["50MB", "64KiB"]),
        ]}),
        Type::Signal => {
            let names = SIGNALS.join("|");
            pattern(
                &format!("^\\s*([sS][iI][gG])?({names}|[a-zA-Z0-9]+)\\s*$"),
                &SIGNALS,
            )
        }
        Type::WebUrl => pattern("^https?://[^\\s]+$", &["https://example.org/hook"]),
        Type::TimeOfDay => pattern("^[0-9]{1,2}:[0-9]{2}$", &["22:00"]),
        Type::MailAddress => pattern("^[^@]+@[^@]+$", &["ada@example.org"]),
        Type::EventPattern => pattern(r"^[A-Za-z0-9._*-]+$", &["file.*"]),
        Type::Regex | Type::Cel => json!({ "type": "string", "minLength": 1 }),
        Type::HttpUrl => pattern("^http://[^\\s]+$", &["http://127.0.0.1:8080/health"]),
        Type::HostPort => pattern("^.+:[0-9]+$", &["127.0.0.1:6379"]),
        Type::Resource => pattern(
            &format!("^({}):.+$", RESOURCES.join("|")),
            &["queue:ingest"],
        ),
        Type::Umask => json!({ "anyOf": [
            { "type": "integer", "minimum": 0, "maximum": 0o777 },
            pattern("^(0o)?[0-7]+$", &["027"]),
        ]}),
        Type::Threshold => json!({ "anyOf": [
            { "type": "number" },
            pattern(
                r"^\s*-?[0-9.]+([eE][+-]?[0-9]+)?\s*%?\s*$|[0-9]\s*[a-zA-Z]+\s*$",
                &["2GB", "30m", "90%"],
            ),
        ]}),
        Type::Percent => json!({ "anyOf": [
            { "type": "number", "minimum": 1 },
            pattern(r"^\s*[0-9.]+\s*%?\s*$", &["150%"]),
        ]}),
        Type::Pointer => pattern("^$|^/", &["/depth"]),
        Type::Account => json!({ "anyOf": [{ "type": "integer", "minimum": 0 }, text()] }),
        _ => text(),
    }
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// A pattern, or any text with a reference to a variable.
fn pattern(pattern: &str, examples: &[&str]) -> Value {
    json!({ "type": "string", "pattern": format!(r"{pattern}|\$\{{"), "examples": examples })
}

/// A value, or a text with a reference to a variable that stands for it.
fn reference_or(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "string", "pattern": r"\$\{" }] })
}

fn command() -> Value {
    json!({ "anyOf": [
        { "type": "string", "minLength": 1 },
        { "type": "array", "items": text(), "minItems": 1 },
    ]})
}

fn limit() -> Value {
    let one = json!({ "type": ["integer", "string"], "minimum": 0 });
    json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 2, "maxItems": 2 }] })
}

fn map(spec: &MapSpec) -> Value {
    let names = match spec.keys {
        KeyRule::Name => json!({
            "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$",
            "maxLength": NAME_BYTES_MAX,
            "not": { "enum": ["all", "deprecated"] },
        }),
        KeyRule::OutletName => json!({
            "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$",
            "maxLength": NAME_BYTES_MAX,
            "not": { "anyOf": [
                { "enum": ["all", "deprecated"] },
                { "pattern": format!("^({})", IMPLICIT.join("|").replace('.', r"\.")) },
            ]},
        }),
        KeyRule::EventType => json!({
            "pattern": r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
            "maxLength": eud_core::event::NAME_BYTES_MAX,
        }),
        KeyRule::Header => json!({ "pattern": r"^[^\s:]+$" }),
        KeyRule::Variable => json!({ "pattern": r"^[^=\s]+$" }),
        KeyRule::Limit => {
            json!({ "enum": RLIMIT_NAMES.iter().map(|(name, _)| *name).collect::<Vec<_>>() })
        }
    };
    json!({
        "type": "object",
        "propertyNames": names,
        "additionalProperties": ty(&spec.value, false),
    })
}
