//! Values that have been checked against the table of keys.
//!
//! Purpose: what [`crate::check`] hands to [`crate::model`]: typed, expanded, and still with their
//! places.
//! Invariants: a value that was wrong is absent and has been reported.

use eud_core::fleet::Rlimit;

use crate::source::At;

/// A checked value and its place.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) at: At,
    pub(crate) val: Val,
}

/// A checked value.
#[derive(Debug, Clone)]
pub(crate) enum Val {
    /// Text of any kind, expanded; paths are absolute.
    Text(String),
    Bool(bool),
    Int(i64),
    Number(f64),
    /// Milliseconds or bytes.
    Amount(u64),
    Words(Vec<String>),
    Limit(Rlimit),
    List(Vec<Item>),
    Table(Checked),
    Map(Vec<(String, Item)>),
    Json(serde_json::Value),
}

/// A checked table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checked {
    pub(crate) entries: Vec<(&'static str, Item)>,
}

impl Checked {
    pub(crate) fn get(&self, key: &str) -> Option<&Item> {
        self.entries
            .iter()
            .find(|(name, _)| *name == key)
            .map(|(_, item)| item)
    }

    pub(crate) fn at(&self, key: &str) -> Option<At> {
        self.get(key).map(|item| item.at)
    }

    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        match &self.get(key)?.val {
            Val::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn bool(&self, key: &str) -> Option<bool> {
        match self.get(key)?.val {
            Val::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn int(&self, key: &str) -> Option<i64> {
        match self.get(key)?.val {
            Val::Int(value) => Some(value),
            _ => None,
        }
    }

    /// A number that the table of keys keeps within `u32`.
    pub(crate) fn count(&self, key: &str) -> Option<u32> {
        u32::try_from(self.int(key)?).ok()
    }

    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        match self.get(key)?.val {
            Val::Number(value) => Some(value),
            _ => None,
        }
    }

    /// A number in percent.
    pub(crate) fn percent(&self, key: &str) -> Option<u32> {
        match self.get(key)?.val {
            // The table of keys bounds these to 0..=100, so the product fits.
            Val::Number(value) => Some((value * 100.0).round() as u32),
            _ => None,
        }
    }

    pub(crate) fn amount(&self, key: &str) -> Option<u64> {
        match self.get(key)?.val {
            Val::Amount(value) => Some(value),
            _ => None,
        }
    }

    pub(crate) fn words(&self, key: &str) -> Option<&[String]> {
        match &self.get(key)?.val {
            Val::Words(words) => Some(words),
            _ => None,
        }
    }

    pub(crate) fn table(&self, key: &str) -> Option<&Self> {
        match &self.get(key)?.val {
            Val::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(crate) fn map(&self, key: &str) -> &[(String, Item)] {
        match self.get(key).map(|item| &item.val) {
            Some(Val::Map(entries)) => entries,
            _ => &[],
        }
    }

    pub(crate) fn list(&self, key: &str) -> Option<&[Item]> {
        match &self.get(key)?.val {
            Val::List(items) => Some(items),
            _ => None,
        }
    }

    /// Texts of a list, with their places.
    pub(crate) fn texts(&self, key: &str) -> Vec<(String, At)> {
        self.list(key).map(texts).unwrap_or_default()
    }
}

/// Texts of a list, with their places.
pub(crate) fn texts(items: &[Item]) -> Vec<(String, At)> {
    let text = |item: &Item| match &item.val {
        Val::Text(text) => Some((text.clone(), item.at)),
        _ => None,
    };
    items.iter().filter_map(text).collect()
}

/// Integers of a list.
pub(crate) fn ints(items: &[Item]) -> impl Iterator<Item = (i64, At)> {
    items.iter().filter_map(|item| match item.val {
        Val::Int(value) => Some((value, item.at)),
        _ => None,
    })
}
