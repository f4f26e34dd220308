//! Checks of `[profiles]`.
//!
//! Purpose: every profile selects daemons that exist and that can run together, with all they need.
//! Invariants: what a term means is decided by [`eud_core::select`] alone.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{Fleet, daemon_of};
use eud_core::select;

use crate::cycles::{Graph, cycles};
use crate::diagnostic::Code;
use crate::gauges::Gates;
use crate::relations::{Declarations, deprecated_use};
use crate::source::{At, Draft, Report, quoted};

/// Most terms of all profiles together.
const TERMS_MAX: usize = 10_000;
/// Most profiles.
const PROFILES_MAX: usize = 1_000;
/// Deepest chain of profiles that contain profiles.
const DEPTH_MAX: usize = 32;

/// A profile as declared.
pub(crate) struct Profile {
    /// Place of its name.
    pub(crate) at: At,
    pub(crate) terms: Vec<(String, At)>,
}

/// What the checks look at.
pub(crate) struct Profiles<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) daemons: &'a Declarations,
    pub(crate) profiles: &'a BTreeMap<String, Profile>,
    /// `[fleet] profile` and its place.
    pub(crate) default: Option<(&'a str, At)>,
}

impl Profiles<'_> {
    /// Checks all profiles; answers the members of each, with all they need and want.
    pub(crate) fn check(&self, report: &mut Report) -> BTreeMap<String, BTreeSet<String>> {
        self.default_exists(report);
        let mut members = BTreeMap::new();
        if !self.bounded(report) {
            return members;
        }
        for profile in self.profiles.values() {
            for (text, at) in &profile.terms {
                self.term(text, *at, report);
            }
        }
        self.cycles(report);
        for (name, profile) in self.profiles {
            // It fails only for a profile in which an error has been reported.
            let Ok(chosen) = select::expand(self.fleet, &[format!("profile:{name}")]) else {
                continue;
            };
            if chosen.is_empty() {
                let message = format!("profile `{name}` selects nothing");
                report.push(Draft::warning(Code::Empty, profile.at, message));
            }
            let all = select::closure(self.fleet, chosen.clone());
            self.excluded_but_needed(profile, &chosen, &all, report);
            for (a, b) in self.conflicts(&all) {
                let message =
                    format!("profile `{name}` brings both `{a}` and `{b}`, which conflict");
                let draft = Draft::error(Code::ProfileConflict, profile.at, message);
                let draft = match self.conflict_at(&a, &b) {
                    Some(at) => draft.also(at, "they conflict by this"),
                    None => draft,
                };
                report.push(draft.help("members bring what they need and want"));
            }
            members.insert(name.clone(), all);
        }
        if self.default.is_none() {
            self.everything(report);
        }
        members
    }

    /// Whether the profiles are few and shallow enough to look at each term. The terms of a
    /// contained profile count each time.
    fn bounded(&self, report: &mut Report) -> bool {
        let mut total = 0_usize;
        let mut costs = BTreeMap::new();
        for (count, (name, profile)) in self.profiles.iter().enumerate() {
            let refused = |message: String| Draft::error(Code::TooMany, profile.at, message);
            if count >= PROFILES_MAX {
                report.push(refused(format!(
                    "there are more than {PROFILES_MAX} profiles"
                )));
                return false;
            }
            let Some((cost, _)) = self.cost(name, &mut costs, 0) else {
                report.push(refused(format!(
                    "profile {} contains profiles more than {DEPTH_MAX} deep",
                    quoted(name)
                )));
                return false;
            };
            total = total.saturating_add(cost);
            if total > TERMS_MAX {
                let draft = refused(format!("the profiles have more than {TERMS_MAX} terms"));
                report.push(draft.help("a contained profile counts with all its terms"));
                return false;
            }
        }
        true
    }

    /// Whether looking up the members of all gates takes a bounded time.
    pub(crate) fn gates_are_affordable(&self, gates: &Gates, report: &mut Report) -> bool {
        let mut costs = BTreeMap::new();
        let mut total = 0_usize;
        for declared in gates.values() {
            for (term, _) in declared.table.texts("members") {
                let named = profile_of(&term).and_then(|name| self.profiles.get_key_value(name));
                let cost = match named {
                    // Too deep, which is reported where the profile is.
                    Some((name, _)) => match self.cost(name, &mut costs, 0) {
                        Some((cost, _)) => cost.max(1),
                        None => return false,
                    },
                    None => 1,
                };
                total = total.saturating_add(cost);
            }
            if total > TERMS_MAX {
                let message = format!("the gates have more than {TERMS_MAX} terms");
                let draft = Draft::error(Code::TooMany, declared.at, message);
                report.push(draft.help("a contained profile counts with all its terms"));
                return false;
            }
        }
        true
    }

    /// Terms that are looked at to expand a profile, and how deep it contains others; `None` when
    /// too deep. A cycle counts nothing: it is reported by itself.
    fn cost<'n>(
        &'n self,
        name: &'n str,
        costs: &mut BTreeMap<&'n str, (usize, usize)>,
        depth: usize,
    ) -> Option<(usize, usize)> {
        if let Some(known) = costs.get(name) {
            return Some(*known);
        }
        if depth > DEPTH_MAX {
            return None;
        }
        costs.insert(name, (0, 0));
        let Some(profile) = self.profiles.get(name) else {
            return Some((0, 0));
        };
        let (mut cost, mut height) = (profile.terms.len().saturating_add(1), 0);
        for inner in profile
            .terms
            .iter()
            .filter_map(|(term, _)| profile_of(term))
        {
            let (inner_cost, inner_height) = self.cost(inner, costs, depth + 1)?;
            cost = cost.saturating_add(inner_cost);
            height = height.max(inner_height + 1);
        }
        costs.insert(name, (cost, height));
        (height <= DEPTH_MAX).then_some((cost, height))
    }

    fn default_exists(&self, report: &mut Report) {
        let Some((name, at)) = self.default else {
            return;
        };
        if !self.profiles.contains_key(name) {
            self.unknown_profile(name, "", at, report);
        }
    }

    fn unknown_profile(&self, name: &str, prefix: &str, at: At, report: &mut Report) {
        let known = self.profiles.keys().map(String::as_str);
        let near = report
            .nearest(name, known.clone())
            .map(|near| format!("{prefix}{near}"));
        let message = format!("profile {} is not defined", quoted(name));
        let draft = Draft::error(Code::UnknownProfile, at, message);
        let some: Vec<&str> = known.take(8).collect();
        report.push(match (&near, some.is_empty()) {
            (Some(_), _) => draft.suggest(near),
            (None, true) => draft.label("there are no `[profiles]`"),
            (None, false) => draft.label(format!("known: {}", some.join(", "))),
        });
    }

    /// Checks one term by itself.
    fn term(&self, text: &str, at: At, report: &mut Report) {
        let (excluded, term) = match text.strip_prefix('!') {
            Some(term) => (true, term),
            None => (false, text),
        };
        if let Some(profile) = term.strip_prefix("profile:") {
            if !self.profiles.contains_key(profile) {
                self.unknown_profile(profile, "profile:", at, report);
            }
            return;
        }
        if let Err(error) = select::expand(self.fleet, &[text.to_owned()]) {
            let plain = !term.contains([':', '*', '?', '[', '{', '@']);
            let code = if plain {
                Code::UnknownDaemon
            } else {
                Code::BadSelector
            };
            let draft = Draft::error(code, at, printable(&error.message));
            report.push(draft.suggest(error.suggestion));
            return;
        }
        let Some(daemon) = self
            .fleet
            .daemons
            .get(daemon_of(term))
            .filter(|_| !excluded)
        else {
            return;
        };
        if daemon.deprecated.is_some() {
            report.push(deprecated_use(daemon, at, "a profile selects it"));
        }
        if !daemon.enabled {
            let message = format!(
                "daemon `{}` is disabled, but a profile selects it",
                daemon.name
            );
            let draft = Draft::warning(Code::DisabledUse, at, message).label("it will not start");
            let off = self
                .daemons
                .get(&daemon.name)
                .and_then(|d| d.table.at("enabled"));
            report.push(match off {
                Some(off) => draft.also(off, "disabled here"),
                None => draft,
            });
        }
    }

    fn cycles(&self, report: &mut Report) {
        let mut graph = Graph::new();
        for (name, profile) in self.profiles {
            let refs = profile
                .terms
                .iter()
                .filter_map(|(term, _)| profile_of(term));
            graph.insert(name, refs.collect());
        }
        for cycle in cycles(&graph) {
            let round: Vec<&str> = cycle.iter().chain(cycle.first()).copied().collect();
            let message = format!("profiles contain themselves: {}", round.join(" → "));
            let places: Vec<(At, &str)> = round
                .windows(2)
                .filter_map(|pair| self.reference(pair))
                .collect();
            let Some(((at, _), rest)) = places.split_first() else {
                continue;
            };
            let label = match round.get(1) {
                Some(next) => format!("contains `{next}`"),
                None => "contains itself".to_owned(),
            };
            let mut draft = Draft::error(Code::Cycle, *at, message).label(label);
            for (at, next) in rest.iter().take(9) {
                draft = draft.also(*at, format!("contains `{next}`"));
            }
            report.push(draft);
        }
    }

    fn reference<'n>(&self, pair: &[&'n str]) -> Option<(At, &'n str)> {
        let [from, to] = pair else { return None };
        let terms = &self.profiles.get(*from)?.terms;
        let (_, at) = terms
            .iter()
            .find(|(term, _)| profile_of(term) == Some(to))?;
        Some((*at, to))
    }

    /// `!x` in a profile whose members need `x` does not keep `x` out.
    fn excluded_but_needed(
        &self,
        profile: &Profile,
        chosen: &BTreeSet<String>,
        all: &BTreeSet<String>,
        report: &mut Report,
    ) {
        for (term, at) in &profile.terms {
            let Some(excluded) = term.strip_prefix('!') else {
                continue;
            };
            if excluded == "deprecated" {
                continue;
            }
            let terms = [excluded.to_owned()];
            let Ok(out) = select::expand(self.fleet, &terms) else {
                continue;
            };
            let Some(back) = out
                .iter()
                .find(|name| all.contains(*name) && !chosen.contains(*name))
            else {
                continue;
            };
            let user = all
                .iter()
                .filter_map(|name| self.fleet.daemons.get(name))
                .find(|daemon| {
                    daemon.enabled && (daemon.needs.contains(back) || daemon.wants.contains(back))
                });
            let Some(user) = user else { continue };
            let verb = if user.needs.contains(back) {
                "needs"
            } else {
                "wants"
            };
            let message = format!("`{back}` is not kept out: `{}` {verb} it", user.name);
            let draft = Draft::warning(Code::Contradiction, *at, message);
            report.push(draft.label(format!("exclude `{}` too", user.name)));
        }
    }

    /// Enabled members that conflict.
    fn conflicts(&self, members: &BTreeSet<String>) -> Vec<(String, String)> {
        let enabled = |name: &String| self.fleet.daemons.get(name).filter(|d| d.enabled);
        let mut pairs = BTreeSet::new();
        for daemon in members.iter().filter_map(enabled) {
            for other in daemon
                .conflicts
                .iter()
                .filter(|other| members.contains(*other))
            {
                if enabled(other).is_some() && *other != daemon.name {
                    let (a, b) = (daemon.name.clone(), other.clone());
                    pairs.insert(if a < b { (a, b) } else { (b, a) });
                }
            }
        }
        pairs.into_iter().collect()
    }

    fn conflict_at(&self, a: &str, b: &str) -> Option<At> {
        let says = |from: &str, to: &str| {
            let table = &self.daemons.get(from)?.table;
            table
                .texts("conflicts")
                .into_iter()
                .find(|(name, _)| name == to)
                .map(|(_, at)| at)
        };
        says(a, b).or_else(|| says(b, a))
    }

    /// Without a default profile, everything is started; daemons that conflict cannot be.
    fn everything(&self, report: &mut Report) {
        let Ok(chosen) = select::expand(self.fleet, &["*".to_owned()]) else {
            return;
        };
        let all = select::closure(self.fleet, chosen);
        for (a, b) in self.conflicts(&all) {
            let Some(at) = self.conflict_at(&a, &b) else {
                continue;
            };
            let message = format!("`{a}` and `{b}` conflict, and no profile chooses between them");
            let draft = Draft::warning(Code::ProfileConflict, at, message);
            report.push(
                draft.help("`eud up` starts every daemon unless `[fleet]` names a `profile`"),
            );
        }
    }
}

fn profile_of(term: &str) -> Option<&str> {
    term.strip_prefix('!')
        .unwrap_or(term)
        .strip_prefix("profile:")
}

/// A message that repeats text of the file.
fn printable(message: &str) -> String {
    message
        .chars()
        .map(crate::source::printable)
        .take(300)
        .collect()
}
