//! `[events]`, `[subscriptions]` and `[pools]` of one file.
//!
//! Invariants: a name is declared once in all files together, as a daemon is; a subscription whose
//! handler is a command has a pool of its own.

use std::path::Path;

use eud_core::fleet::{Events, Pool};

use super::{Loader, Parts};
use crate::bus::{DeclaredPool, DeclaredSubscription, DeclaredType};
use crate::check_texts::compile_schema;
use crate::checked::Checked;
use crate::diagnostic::Code;
use crate::document::{Entry, Table, Value};
use crate::include::{self, Contents};
use crate::keys::Type;
use crate::merge;
use crate::model::Place;
use crate::model_bus;
use crate::source::{At, Draft, quoted};
use crate::tables::{DAEMON, EVENT_TYPE, EVENT_TYPES, EVENTS, POOL, SUBSCRIPTION};

impl Loader<'_> {
    /// `main`: whether this is the main file.
    pub(super) fn events(
        &mut self,
        entry: &Entry,
        main: bool,
        events: &mut Events,
        parts: &mut Parts,
    ) {
        let Value::Table(table) = &entry.node.value else {
            let ty = Type::Table(&EVENTS);
            self.checker(false).wrong_type("events", &entry.node, &ty);
            return;
        };
        let mut rest = table.clone();
        if let Some(types) = rest.take("types") {
            self.event_types(&types, parts);
        }
        if !main && let Some(first) = rest.entries.first() {
            let message = "of `[events]`, only `types` is allowed outside the main file";
            let draft = Draft::error(Code::Misplaced, first.key_at, message);
            self.report.push(draft.label("this file is included"));
        }
        let checked = self
            .checker(false)
            .table("`[events]`", entry.key_at, &rest, &EVENTS);
        if main {
            model_bus::events(&checked, events);
        }
    }

    fn event_types(&mut self, entry: &Entry, parts: &mut Parts) {
        let Value::Table(table) = &entry.node.value else {
            let ty = Type::Map(&EVENT_TYPES);
            self.checker(false).wrong_type("types", &entry.node, &ty);
            return;
        };
        for entry in &table.entries {
            self.checker(false)
                .map_key(&entry.key, entry.key_at, &EVENT_TYPES);
            if let Some(first) = parts.event_types.get(&entry.key) {
                let first = first.at;
                self.declared_twice("event type", &entry.key, entry.key_at, first);
                continue;
            }
            let (at, table) = self.one(entry, "event type", &EVENT_TYPE);
            let mut event_type = model_bus::event_type(&table, self.origin(at));
            if let (Some(path), Some(file_at)) =
                (table.text("schema_file"), table.at("schema_file"))
            {
                match table.at("schema") {
                    Some(inline) => {
                        let message = format!(
                            "event type {} has both `schema` and `schema_file`",
                            quoted(&entry.key)
                        );
                        let draft = Draft::error(Code::Exclusive, file_at, message);
                        self.report
                            .push(draft.label("this").also(inline, "and this"));
                    }
                    None => event_type.schema = self.schema_file(path, file_at),
                }
            }
            let declared = DeclaredType { at, event_type };
            parts.event_types.insert(entry.key.clone(), declared);
        }
    }

    fn schema_file(&mut self, path: &str, at: At) -> Option<serde_json::Value> {
        let shown = quoted(self.sources.shown(path));
        let mut refuse = |code: Code, message: String, label: String| {
            self.report
                .push(Draft::error(code, at, message).label(label));
            None
        };
        let text = match include::read(Path::new(path)) {
            Contents::Text(text) => text,
            Contents::NotUtf8(..) => {
                let message = format!("schema file {shown} is not UTF-8");
                return refuse(Code::BadSchema, message, "named here".into());
            }
            Contents::Failed(why) => {
                let message = format!("schema file {shown} {why}");
                return refuse(Code::BadPath, message, "named here".into());
            }
        };
        let schema = match serde_json::from_str(&text) {
            Ok(schema) => schema,
            Err(error) => {
                let place = format!("line {}, column {}", error.line(), error.column());
                let message = format!("schema file {shown} is not JSON");
                return refuse(Code::BadSchema, message, format!("see {place} of it"));
            }
        };
        match compile_schema(&schema) {
            Ok(()) => Some(schema),
            Err(fault) => {
                let message = format!("schema file {shown} is not a valid JSON Schema");
                let place = match fault.pointer.as_str() {
                    "" => String::new(),
                    pointer => format!("at {pointer}: "),
                };
                let label = format!("{place}{}", fault.why);
                refuse(Code::BadSchema, message, label)
            }
        }
    }

    pub(super) fn subscriptions(
        &mut self,
        entry: &Entry,
        defaults: Option<&Table>,
        parts: &mut Parts,
        folder: &str,
    ) {
        let entries = self.named(entry, "subscriptions");
        let defaults = self.heritable(defaults, entries.len(), entry.key_at);
        for entry in entries {
            if let Some(first) = parts.subscriptions.get(&entry.key) {
                let first = first.at;
                self.declared_twice("subscription", &entry.key, entry.key_at, first);
                continue;
            }
            let (at, table) = self.one(&entry, "subscription", &SUBSCRIPTION);
            let origin = self.origin(at);
            let subscription = model_bus::subscription(&entry.key, &table, origin);
            let mut pool = None;
            if let (Some(argv), Some(subscription)) = (table.words("exec"), &subscription) {
                let inherited = self
                    .checker(true)
                    .table("`[defaults]`", at, &defaults, &POOL);
                let place = Place {
                    folder,
                    zone: &self.zone,
                };
                let name = model_bus::implicit(&entry.key);
                let made = model_bus::handler_pool(&name, subscription, argv, &inherited, &place);
                pool = Some(made);
            }
            let declared = DeclaredSubscription {
                at,
                table,
                subscription,
                pool,
            };
            parts.subscriptions.insert(entry.key, declared);
        }
    }

    pub(super) fn pools(
        &mut self,
        entry: &Entry,
        defaults: Option<&Table>,
        parts: &mut Parts,
        folder: &str,
    ) {
        let entries = self.named(entry, "pools");
        let defaults = self.heritable(defaults, entries.len(), entry.key_at);
        for entry in entries {
            if let Some(first) = parts.pools.get(&entry.key) {
                let first = first.at;
                self.declared_twice("pool", &entry.key, entry.key_at, first);
                continue;
            }
            let (table, pool) = self.pool(&entry, &defaults, folder);
            let at = entry.key_at;
            let declared = DeclaredPool { at, table, pool };
            parts.pools.insert(entry.key, declared);
        }
    }

    fn pool(&mut self, entry: &Entry, defaults: &Table, folder: &str) -> (Checked, Pool) {
        let mut entry = entry.clone();
        if let Value::Table(own) = &mut entry.node.value {
            *own = merge::merge(defaults, own, &POOL);
        }
        let (at, table) = self.one(&entry, "pool", &POOL);
        let place = Place {
            folder,
            zone: &self.zone,
        };
        let pool = model_bus::pool(&entry.key, &table, &place, self.origin(at));
        (table, pool)
    }

    /// What pools inherit of these defaults.
    pub(super) fn heritable(&mut self, defaults: Option<&Table>, count: usize, at: At) -> Table {
        let mut table = self.affordable(defaults, count, at).cloned();
        let table = table.get_or_insert_default();
        table.entries.retain(|entry| {
            let inherited = |key: &crate::keys::Key| key.inherited;
            POOL.key(&entry.key).is_some_and(inherited)
                && DAEMON.key(&entry.key).is_some_and(inherited)
        });
        std::mem::take(table)
    }
}
