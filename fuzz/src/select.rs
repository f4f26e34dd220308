//! Selectors that users write.
//!
//! What is promised: any terms select units that exist, or are an error that names the term; a term
//! and its opposite leave nothing.

use std::collections::BTreeSet;

use eud_core::fleet::{Daemon, Deprecated, Fleet, daemon_of};
use eud_core::select::{expand, profile_units, units};

/// Lines of terms: those of two profiles, then those of a command.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let mut next = || -> Vec<String> {
        let words = lines.next().unwrap_or_default().split(' ').take(20);
        words
            .map(str::to_owned)
            .filter(|word| !word.is_empty())
            .collect()
    };
    let fleet = fleet([next(), next()]);
    let terms = next();
    let all: BTreeSet<String> = fleet.daemons.values().flat_map(Daemon::units).collect();
    match units(&fleet, &terms) {
        Ok(found) => {
            assert!(found.iter().all(|unit| all.contains(unit)));
            assert!(found.is_sorted() && found.windows(2).all(|w| w[0] != w[1]));
            let names: BTreeSet<String> = found.iter().map(|u| daemon_of(u).to_owned()).collect();
            assert_eq!(expand(&fleet, &terms), Ok(names));
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert_eq!(expand(&fleet, &terms), Err(error));
        }
    }
    for term in terms
        .iter()
        .filter(|t| !t.starts_with('!') && *t != "deprecated")
    {
        if let Ok(left) = units(&fleet, &[term.clone(), format!("!{term}")]) {
            assert_eq!(left, [""; 0], "{term} without {term}");
        }
    }
    for profile in [None, Some("p"), Some("q")] {
        if let Ok(found) = profile_units(&fleet, profile) {
            assert!(found.iter().all(|unit| all.contains(unit)));
        }
    }
}

fn fleet([p, q]: [Vec<String>; 2]) -> Fleet {
    let mut fleet = Fleet {
        name: "f".into(),
        ..Fleet::default()
    };
    for (name, category, replicas, needs) in [
        ("rag-a", "rag", 1, &["vault"][..]),
        ("rag-b", "rag", 3, &[]),
        ("vault", "core", 1, &[]),
        ("old", "rag", 1, &["rag-b"]),
        ("off", "core", 2, &[]),
    ] {
        let daemon = Daemon {
            name: name.into(),
            category: Some(category.into()),
            tags: BTreeSet::from([category.to_uppercase()]),
            replicas,
            enabled: name != "off",
            deprecated: (name == "old").then(Deprecated::default),
            needs: needs.iter().map(|need| (*need).to_owned()).collect(),
            ..Daemon::default()
        };
        fleet.daemons.insert(name.into(), daemon);
    }
    fleet.profiles.insert("p".into(), p);
    fleet.profiles.insert("q".into(), q);
    fleet
}
