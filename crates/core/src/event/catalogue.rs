//! The types of the manager's own events, and the shapes of their payloads.
//!
//! Purpose: one table from which `eud events --types`, its schemas and the documentation are made.
//! Invariants: a type's shape only grows; a change that breaks readers gets a new type.

/// What a field of a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A time: milliseconds since the Unix epoch.
    Time,
    /// An array of texts.
    Texts,
    /// Any JSON.
    Any,
}

/// One field of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// It is always there.
    pub required: bool,
    /// For people.
    pub doc: &'static str,
}

/// One type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    /// Its name.
    pub name: &'static str,
    /// What happened, for people.
    pub doc: &'static str,
    /// What the subject is.
    pub subject: &'static str,
    /// Its payload.
    pub fields: &'static [Field],
}
