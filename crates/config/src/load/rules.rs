//! `[[rules]]` and `[channels]` of one file.
//!
//! Invariants: a name is declared once in all files together, as a daemon is; rules stay in the
//! order of the files; what is a command has a pool of its own.

use eud_core::fleet::{Channel, Pool, Subscription};

use super::{Loader, Parts};
use crate::checked::Checked;
use crate::document::{Entry, Node, Table, Value};
use crate::keys::Type;
use crate::model::Place;
use crate::model_rule::{self, Maker};
use crate::rules::{DeclaredChannel, DeclaredRule};
use crate::source::{At, quoted};
use crate::tables::{CHANNEL, POOL, RULE};
use crate::{model_bus, model_channel};

impl Loader<'_> {
    pub(super) fn rules(
        &mut self,
        entry: &Entry,
        defaults: Option<&Table>,
        parts: &mut Parts,
        folder: &str,
    ) {
        let single = std::slice::from_ref(&entry.node);
        let nodes = match &entry.node.value {
            Value::Array(items) => items,
            _ => single,
        };
        let commands = nodes.iter().map(|node| mentions(node, "exec")).sum();
        let inherited = self.handlers_inherit(defaults, commands, entry.key_at);
        for node in nodes {
            let Value::Table(table) = &node.value else {
                let ty = Type::Table(&RULE);
                self.checker(false).wrong_type("rules", node, &ty);
                continue;
            };
            // A table from its first to its last line says less than the place of its name.
            let name = table.get("name").map(|name| &name.node);
            let at = name.map_or(node.at, |name| name.at);
            let owner = match name.map(|name| &name.value) {
                Some(Value::Text(name)) => format!("rule {}", quoted(name)),
                _ => "the rule".to_owned(),
            };
            let mut checker = self.checker(false);
            checker.rule = true;
            let table = checker.table(&owner, at, table, &RULE);
            self.rule(table, at, &inherited, parts, folder);
        }
    }

    fn rule(
        &mut self,
        table: Checked,
        at: At,
        inherited: &Checked,
        parts: &mut Parts,
        folder: &str,
    ) {
        let name = table.text("name").unwrap_or_default();
        let same = |declared: &&DeclaredRule| declared.table.text("name") == Some(name);
        if let Some(first) = parts.rules.iter().find(same) {
            let first = first.at;
            self.declared_twice("rule", name, at, first);
            return;
        }
        let place = Place {
            folder,
            zone: &self.zone,
        };
        let maker = Maker {
            inherited,
            place: &place,
        };
        let rule = model_rule::rule(&table, &maker, self.origin(at));
        parts.rules.push(DeclaredRule { at, table, rule });
    }

    pub(super) fn channels(
        &mut self,
        entry: &Entry,
        defaults: Option<&Table>,
        parts: &mut Parts,
        folder: &str,
    ) {
        let entries = self.named(entry, "channels");
        let commands = entries.iter().map(|e| mentions(&e.node, "exec")).sum();
        let inherited = self.handlers_inherit(defaults, commands, entry.key_at);
        for entry in entries {
            if let Some(first) = parts.channels.get(&entry.key) {
                let first = first.at;
                self.declared_twice("channel", &entry.key, entry.key_at, first);
                continue;
            }
            let (at, table) = self.one(&entry, "channel", &CHANNEL);
            let place = Place {
                folder,
                zone: &self.zone,
            };
            let channel = model_channel::channel(&entry.key, &table, &self.zone, self.origin(at));
            let made = channel.as_ref().zip(table.words("exec"));
            let pool = made.map(|(channel, argv)| pool(channel, argv, &inherited, &place));
            let declared = DeclaredChannel {
                at,
                table,
                channel,
                pool,
            };
            parts.channels.insert(entry.key, declared);
        }
    }

    /// What the pools of so many commands inherit.
    fn handlers_inherit(&mut self, defaults: Option<&Table>, commands: usize, at: At) -> Checked {
        if commands == 0 {
            return Checked::default();
        }
        let table = self.heritable(defaults, commands, at);
        let mut checker = self.checker(true);
        checker.table("`[defaults]`", at, &table, &POOL)
    }
}

/// The pool of a channel that is a command.
fn pool(channel: &Channel, argv: &[String], inherited: &Checked, place: &Place<'_>) -> Pool {
    let name = model_channel::implicit(&channel.name);
    let like = Subscription {
        timeout_ms: channel.timeout_ms,
        origin: channel.origin.clone(),
        ..Subscription::default()
    };
    model_bus::handler_pool(&name, &like, argv, inherited, place)
}

/// How often a key is given within a value.
fn mentions(node: &Node, key: &str) -> usize {
    match &node.value {
        Value::Array(items) => items.iter().map(|item| mentions(item, key)).sum(),
        Value::Table(table) => {
            let of = |entry: &Entry| usize::from(entry.key == key) + mentions(&entry.node, key);
            table.entries.iter().map(of).sum()
        }
        _ => 0,
    }
}
