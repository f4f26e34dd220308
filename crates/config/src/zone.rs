//! The machine's time zone, for schedules that name none.
//!
//! Invariants: it is looked for once, and only if a schedule needs it; `TZ` of the given
//! environment goes before what the system says.
//! Deliberately absent: zones without a name. What a fleet means is the same on every machine that
//! reads it with the same name.

use std::cell::OnceCell;

use jiff::tz::TimeZone;

use crate::expand::Env;

/// The machine's zone.
pub(crate) struct MachineZone<'a> {
    env: Env<'a>,
    found: OnceCell<Option<TimeZone>>,
}

impl<'a> MachineZone<'a> {
    /// Nothing is looked for yet.
    pub(crate) fn new(env: Env<'a>) -> Self {
        Self {
            env,
            found: OnceCell::new(),
        }
    }

    fn find(&self) -> Option<&TimeZone> {
        let look = || {
            let set = (self.env)("TZ").filter(|name| !name.is_empty());
            let zone = match set {
                Some(name) => TimeZone::get(name.strip_prefix(':').unwrap_or(&name)).ok()?,
                None => TimeZone::system(),
            };
            // A system that says nothing of zones is in none.
            if zone.is_unknown() {
                return Some(TimeZone::UTC);
            }
            zone.iana_name().is_some().then_some(zone)
        };
        self.found.get_or_init(look).as_ref()
    }

    /// Its name; `None` when it has none.
    pub(crate) fn name(&self) -> Option<String> {
        Some(self.find()?.iana_name()?.to_owned())
    }

    /// The zone itself; UTC when it has no name.
    pub(crate) fn zone(&self) -> TimeZone {
        self.find().cloned().unwrap_or(TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_goes_before_the_system() {
        for (tz, name) in [
            ("Europe/Oslo", Some("Europe/Oslo")),
            (":Asia/Tokyo", Some("Asia/Tokyo")),
            ("UTC", Some("UTC")),
            ("CET-1CEST", None),
            ("nowhere", None),
        ] {
            let env = |key: &str| (key == "TZ").then(|| tz.to_owned());
            let zone = MachineZone::new(&env);
            assert_eq!(zone.name().as_deref(), name, "{tz}");
        }
    }
}
