//! Cycles in a graph of names.
//!
//! Invariants: no recursion, so that a long chain cannot exhaust the stack; the same graph gives
//! the same cycles.

use std::collections::{BTreeMap, BTreeSet};

/// Edges by name: what each one refers to, in order.
pub(crate) type Graph<'n> = BTreeMap<&'n str, Vec<&'n str>>;

/// Cycles that share no member, each beginning with the name that comes first in the alphabet.
pub(crate) fn cycles<'n>(graph: &Graph<'n>) -> Vec<Vec<&'n str>> {
    let mut left: BTreeSet<&str> = graph.keys().copied().collect();
    let mut found = Vec::new();
    loop {
        prune(graph, &mut left);
        let Some(start) = left.first().copied() else {
            return found;
        };
        let cycle = walk(graph, &left, start);
        for name in &cycle {
            left.remove(name);
        }
        found.push(cycle);
    }
}

/// Removes every name from which no cycle can be reached.
fn prune<'n>(graph: &Graph<'n>, left: &mut BTreeSet<&'n str>) {
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut open: BTreeMap<&str, usize> = BTreeMap::new();
    for name in left.iter().copied() {
        let targets = graph
            .get(name)
            .into_iter()
            .flatten()
            .filter(|target| left.contains(*target));
        let mut count = 0;
        for target in targets {
            users.entry(*target).or_default().push(name);
            count += 1;
        }
        open.insert(name, count);
    }
    let mut done: Vec<&str> = open
        .iter()
        .filter(|(_, n)| **n == 0)
        .map(|(name, _)| *name)
        .collect();
    while let Some(name) = done.pop() {
        left.remove(name);
        for user in users.get(name).into_iter().flatten() {
            if let Some(count) = open.get_mut(user) {
                *count -= 1;
                if *count == 0 {
                    done.push(user);
                }
            }
        }
    }
}

/// Follows edges until a name comes again. Every name left has an edge to another one left.
fn walk<'n>(graph: &Graph<'n>, left: &BTreeSet<&'n str>, start: &'n str) -> Vec<&'n str> {
    let mut path = vec![start];
    let mut index = BTreeMap::from([(start, 0)]);
    loop {
        let last = path.last().copied().unwrap_or(start);
        let mut targets = graph.get(last).into_iter().flatten().copied();
        let Some(next) = targets.find(|target| left.contains(target)) else {
            return path;
        };
        if let Some(from) = index.get(next) {
            let mut cycle = path.split_off(*from);
            let first = cycle.iter().enumerate().min_by_key(|(_, name)| **name);
            let first = first.map_or(0, |(i, _)| i);
            cycle.rotate_left(first);
            return cycle;
        }
        index.insert(next, path.len());
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(edges: &[(&'static str, &[&'static str])]) -> Vec<String> {
        let graph: Graph<'static> = edges.iter().map(|(n, to)| (*n, to.to_vec())).collect();
        cycles(&graph).iter().map(|cycle| cycle.join(" ")).collect()
    }

    #[test]
    fn cycles_are_found_once() {
        assert_eq!(of(&[("a", &["b"]), ("b", &[])]), Vec::<String>::new());
        assert_eq!(of(&[("a", &["a"])]), ["a"]);
        assert_eq!(of(&[("z", &["c"]), ("c", &["b"]), ("b", &["c"])]), ["b c"]);
        assert_eq!(
            of(&[
                ("a", &["b", "c"]),
                ("b", &["a"]),
                ("c", &["d"]),
                ("d", &["c"])
            ]),
            ["a b", "c d"]
        );
        assert_eq!(of(&[("a", &["unknown"])]), Vec::<String>::new());
    }

    #[test]
    fn a_long_chain_is_no_trouble() {
        let names: Vec<String> = (0..20_000).map(|i| format!("{i:05}")).collect();
        let mut graph: Graph<'_> = names
            .windows(2)
            .map(|w| (w[0].as_str(), vec![w[1].as_str()]))
            .collect();
        assert!(cycles(&graph).is_empty());
        graph.insert(&names[19_999], vec![&names[0]]);
        assert_eq!(cycles(&graph).len(), 1);
    }
}
