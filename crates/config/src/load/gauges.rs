//! `[gauges]` and `[gates]` of one file.
//!
//! Invariants: a name is declared once in all files together, as a daemon is.

use eud_core::fleet::Origin;

use super::{Loader, Parts};
use crate::check::value_type;
use crate::checked::Checked;
use crate::document::{Entry, Table, Value};
use crate::gauges::{DeclaredGate, DeclaredGauge};
use crate::keys::{TableSpec, Type};
use crate::model_gauge;
use crate::source::{At, quoted};
use crate::tables::{GATE, GAUGE, ROOT};

impl Loader<'_> {
    pub(super) fn gauges(&mut self, entry: &Entry, parts: &mut Parts, folder: &str) {
        for entry in self.named(entry, "gauges") {
            if let Some(first) = parts.gauges.get(&entry.key) {
                let first = first.at;
                self.declared_twice("gauge", &entry.key, entry.key_at, first);
                continue;
            }
            let (at, table) = self.one(&entry, "gauge", &GAUGE);
            let gauge = model_gauge::gauge(&entry.key, &table, folder, self.origin(at));
            let declared = DeclaredGauge { at, table, gauge };
            parts.gauges.insert(entry.key, declared);
        }
    }

    pub(super) fn gates(&mut self, entry: &Entry, parts: &mut Parts) {
        for entry in self.named(entry, "gates") {
            if let Some(first) = parts.gates.get(&entry.key) {
                let first = first.at;
                self.declared_twice("gate", &entry.key, entry.key_at, first);
                continue;
            }
            let (at, table) = self.one(&entry, "gate", &GATE);
            let gate = model_gauge::gate(&entry.key, &table, self.origin(at));
            let declared = DeclaredGate { at, table, gate };
            parts.gates.insert(entry.key, declared);
        }
    }

    /// Entries of a table whose keys are names; the names are checked.
    pub(super) fn named(&mut self, entry: &Entry, section: &'static str) -> Vec<Entry> {
        let Some(Type::Map(spec)) = value_type(&ROOT, section) else {
            return Vec::new();
        };
        let Value::Table(table) = &entry.node.value else {
            self.checker(false)
                .wrong_type(section, &entry.node, &Type::Map(spec));
            return Vec::new();
        };
        for entry in &table.entries {
            self.checker(false).map_key(&entry.key, entry.key_at, spec);
        }
        table.entries.clone()
    }

    pub(super) fn one(
        &mut self,
        entry: &Entry,
        noun: &str,
        spec: &'static TableSpec,
    ) -> (At, Checked) {
        let at = entry.key_at;
        let Value::Table(table) = &entry.node.value else {
            let ty = Type::Table(spec);
            self.checker(false).wrong_type(&entry.key, &entry.node, &ty);
            return (at, Checked::default());
        };
        let table: &Table = table;
        let owner = format!("{noun} {}", quoted(&entry.key));
        (at, self.checker(false).table(&owner, at, table, spec))
    }

    pub(super) fn origin(&self, at: At) -> Origin {
        Origin {
            file: self.sources.path(at.file).to_owned(),
            line: u32::try_from(self.sources.line(at)).unwrap_or(u32::MAX),
        }
    }
}
