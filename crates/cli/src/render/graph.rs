//! `eud graph`: what needs what, as a tree, for Mermaid and for Graphviz.
//!
//! Invariants: the same fleet gives the same text; names are quoted, so that none can break the
//! format.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{Daemon, Fleet, daemon_of};
use eud_core::view::State;

use super::Screen;
use super::ink::{glyph_of, ink_of};

/// Which daemons, and what is known of their states.
#[derive(Debug)]
pub(crate) struct Graph<'a> {
    /// The fleet.
    pub(crate) fleet: &'a Fleet,
    /// Daemons to draw.
    pub(crate) chosen: BTreeSet<String>,
    /// States by daemon, of its worst replica; empty without a manager.
    pub(crate) states: BTreeMap<String, State>,
    /// Also draw what is read, written and listened on.
    pub(crate) wiring: bool,
}

/// How one daemon refers to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edge {
    Needs,
    Wants,
    After,
    Conflicts,
}

impl Edge {
    fn of(daemon: &Daemon) -> impl Iterator<Item = (Self, &String)> {
        let with = |edge: Self, names: &'_ [String]| -> Vec<(Self, usize)> {
            (0..names.len()).map(|at| (edge, at)).collect()
        };
        let all = [
            (Self::Needs, &daemon.needs),
            (Self::Wants, &daemon.wants),
            (Self::After, &daemon.after),
            (Self::Conflicts, &daemon.conflicts),
        ];
        all.into_iter().flat_map(move |(edge, names)| {
            with(edge, names)
                .into_iter()
                .map(move |(edge, at)| (edge, &names[at]))
        })
    }

    fn word(self) -> &'static str {
        match self {
            Self::Needs => "needs",
            Self::Wants => "wants",
            Self::After => "after",
            Self::Conflicts => "conflicts",
        }
    }
}

/// From state to state of the replicas of one daemon: the one a person should know of.
pub(crate) fn worst(states: impl Iterator<Item = (String, State)>) -> BTreeMap<String, State> {
    let rank = |state: State| (state.is_trouble(), state.in_motion(), state);
    let mut worst: BTreeMap<String, State> = BTreeMap::new();
    for (unit, state) in states {
        let entry = worst.entry(daemon_of(&unit).to_owned()).or_insert(state);
        if rank(state) > rank(*entry) {
            *entry = state;
        }
    }
    worst
}

impl Graph<'_> {
    fn daemons(&self) -> impl Iterator<Item = &Daemon> {
        self.fleet
            .daemons
            .values()
            .filter(|d| self.chosen.contains(&d.name))
    }

    /// A tree from what nobody needs down to what needs nobody. A daemon is taken apart once.
    pub(crate) fn text(&self, screen: &Screen) -> String {
        let referred: BTreeSet<&str> = self
            .daemons()
            .flat_map(|d| Edge::of(d).filter(|(e, _)| *e != Edge::Conflicts))
            .map(|(_, name)| name.as_str())
            .collect();
        let mut text = String::new();
        let mut seen = BTreeSet::new();
        for daemon in self
            .daemons()
            .filter(|d| !referred.contains(d.name.as_str()))
        {
            self.branch(&mut text, &mut seen, screen, &daemon.name, None, "");
        }
        text
    }

    fn branch<'a>(
        &'a self,
        text: &mut String,
        seen: &mut BTreeSet<&'a str>,
        screen: &Screen,
        name: &'a str,
        edge: Option<Edge>,
        lead: &str,
    ) {
        let state = self.states.get(name);
        let glyph = state.map(|s| {
            format!(
                "{} ",
                ink_of(*s).paint(screen.color, &glyph_of(*s).to_string())
            )
        });
        let how = edge
            .filter(|e| *e != Edge::Needs)
            .map(|e| format!(" ({})", e.word()));
        let again = !seen.insert(name);
        let daemon = self.fleet.daemons.get(name);
        let edges: Vec<(Edge, &String)> = daemon.map(|d| Edge::of(d).collect()).unwrap_or_default();
        let more = if again && !edges.is_empty() {
            " …"
        } else {
            ""
        };
        text.push_str(&format!(
            "{}{name}{}{more}\n",
            glyph.unwrap_or_default(),
            how.unwrap_or_default()
        ));
        if again {
            return;
        }
        let mut children: Vec<(Option<Edge>, &str)> = edges
            .iter()
            .map(|(edge, name)| (Some(*edge), name.as_str()))
            .collect();
        let wires = if self.wiring {
            daemon.map(wires).unwrap_or_default()
        } else {
            Vec::new()
        };
        children.extend(wires.iter().map(|w| (None, w.as_str())));
        for (at, (edge, child)) in children.iter().enumerate() {
            let last = at + 1 == children.len();
            text.push_str(lead);
            text.push_str(if last { "└── " } else { "├── " });
            match edge {
                Some(Edge::Conflicts) => text.push_str(&format!("{child} (conflicts)\n")),
                Some(edge) => {
                    let lead = format!("{lead}{}", if last { "    " } else { "│   " });
                    let name = self
                        .fleet
                        .daemons
                        .get_key_value(*child)
                        .map(|(name, _)| name);
                    if let Some(name) = name {
                        self.branch(text, seen, screen, name, Some(*edge), &lead);
                    }
                }
                None => text.push_str(&format!("{child}\n")),
            }
        }
    }

    /// A Mermaid flowchart.
    pub(crate) fn mermaid(&self) -> String {
        let mut text = String::from("flowchart LR\n");
        let mut ids = Ids::default();
        for daemon in self.daemons() {
            let id = ids.of(&daemon.name);
            text.push_str(&format!("  {id}[\"{}\"]\n", mermaid_text(&daemon.name)));
        }
        for daemon in self.daemons() {
            let from = ids.of(&daemon.name);
            for (edge, to) in Edge::of(daemon).filter(|(_, to)| self.chosen.contains(*to)) {
                let to = ids.of(to);
                text.push_str(&match edge {
                    Edge::Needs => format!("  {from} --> {to}\n"),
                    Edge::Conflicts => format!("  {from} x--x {to}\n"),
                    soft => format!("  {from} -. {} .-> {to}\n", soft.word()),
                });
            }
            for wire in self.wires_of(daemon) {
                let resource = ids.of(&wire.resource);
                text.push_str(&format!(
                    "  {resource}([\"{}\"])\n",
                    mermaid_text(&wire.resource)
                ));
                text.push_str(&match wire.inwards {
                    true => format!("  {resource} ==> {from}\n"),
                    false => format!("  {from} ==> {resource}\n"),
                });
            }
        }
        text
    }

    /// A Graphviz digraph.
    pub(crate) fn dot(&self) -> String {
        let mut text = String::from("digraph fleet {\n  rankdir=LR;\n  node [shape=box];\n");
        for daemon in self.daemons() {
            let color = self.states.get(&daemon.name).map(|s| dot_color(*s));
            let color = color.map(|c| format!(" [color={c}]")).unwrap_or_default();
            text.push_str(&format!("  {}{color};\n", dot_text(&daemon.name)));
        }
        for daemon in self.daemons() {
            let from = dot_text(&daemon.name);
            for (edge, to) in Edge::of(daemon).filter(|(_, to)| self.chosen.contains(*to)) {
                let style = match edge {
                    Edge::Needs => "",
                    Edge::Wants => " [style=dashed, label=wants]",
                    Edge::After => " [style=dotted, label=after]",
                    Edge::Conflicts => " [color=red, dir=both, arrowhead=tee, arrowtail=tee]",
                };
                text.push_str(&format!("  {from} -> {}{style};\n", dot_text(to)));
            }
            for wire in self.wires_of(daemon) {
                let resource = dot_text(&wire.resource);
                text.push_str(&format!("  {resource} [shape=ellipse];\n"));
                text.push_str(&match wire.inwards {
                    true => format!("  {resource} -> {from} [style=bold];\n"),
                    false => format!("  {from} -> {resource} [style=bold];\n"),
                });
            }
        }
        text.push_str("}\n");
        text
    }

    fn wires_of(&self, daemon: &Daemon) -> Vec<Wire> {
        if !self.wiring {
            return Vec::new();
        }
        let reads = daemon.reads.iter().map(|r| Wire {
            resource: r.clone(),
            inwards: true,
        });
        let writes = daemon.writes.iter().map(|w| Wire {
            resource: w.clone(),
            inwards: false,
        });
        let ports = daemon.ports.iter();
        let ports = ports.map(|p| Wire {
            resource: format!("port:{p}"),
            inwards: true,
        });
        reads.chain(writes).chain(ports).collect()
    }
}

/// A daemon's use of a resource.
struct Wire {
    resource: String,
    /// The daemon takes from it.
    inwards: bool,
}

fn wires(daemon: &Daemon) -> Vec<String> {
    let reads = daemon.reads.iter().map(|r| format!("reads {r}"));
    let writes = daemon.writes.iter().map(|w| format!("writes {w}"));
    let ports = daemon.ports.iter().map(|p| format!("listens on port:{p}"));
    reads.chain(writes).chain(ports).collect()
}

/// Mermaid's identifiers allow less than our names.
#[derive(Default)]
struct Ids {
    known: BTreeMap<String, usize>,
}

impl Ids {
    fn of(&mut self, name: &str) -> String {
        let next = self.known.len() + 1;
        format!("n{}", self.known.entry(name.to_owned()).or_insert(next))
    }
}

fn mermaid_text(text: &str) -> String {
    text.replace('"', "#quot;")
}

fn dot_text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn dot_color(state: State) -> &'static str {
    match state {
        State::Ready => "green",
        State::Up | State::Starting => "cyan4",
        State::Failed | State::Unknown => "red",
        State::Held => "magenta",
        State::Done | State::Stopped => "grey",
        _ => "orange",
    }
}
