//! The fleet file of eudaemon: `eud.toml` becomes a checked [`eud_core::fleet::Fleet`].
//!
//! Purpose: [`load`] reads the file and all it includes and reports every problem at once, each
//! with file, line, column and what to do; [`render()`] shows them; [`schema()`], [`reference()`]
//! and [`starter()`] are generated from the same table of keys that drives the parser.
//! Invariants: no input makes it panic; a fleet that is returned satisfies what [`eud_core::fleet`]
//! promises; values of secrets are never read.
//! Deliberately absent: anything that depends on the state of the machine, such as whether a user,
//! a program or a port exists, but for its time zone and the zones it knows; network; writing
//! files.

#[cfg(test)]
mod agreement;
mod bus;
mod check;
mod check_texts;
mod check_times;
mod check_values;
mod checked;
mod cycles;
mod diagnostic;
mod document;
mod expand;
#[doc(hidden)]
pub mod fuzz;
mod gauges;
mod include;
mod keys;
mod kinds;
mod load;
mod merge;
mod model;
mod model_bus;
mod model_channel;
mod model_gauge;
mod model_job;
mod model_rule;
mod profiles;
mod reference;
mod relations;
mod render;
mod rules;
mod schema;
mod source;
mod starter;
mod tables;
mod triggers;
mod values;
mod words;
mod zone;

pub use diagnostic::{Code, Diagnostic, Invalid, Place, Severity, Span, summary};
pub use load::{FILE_NAME, Loaded, find, load};
pub use reference::reference;
pub use render::render;
pub use schema::schema;
pub use source::Sources;
pub use starter::starter;
