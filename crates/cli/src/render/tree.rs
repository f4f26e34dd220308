//! What waits for what, while `eud up` and its like are at work.
//!
//! Purpose: a few lines that are drawn anew until everything is settled.
//! Invariants: at most as many lines as asked for, none wider than the screen; the settled are only
//! counted.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::view::{DaemonView, State};

use super::Screen;
use super::ink::{Ink, glyph_of, ink_of};
use super::layout::{cut_end, cut_middle, one_line, width};
use super::time::{self, parse};

/// Progress of some units.
#[derive(Debug)]
pub(crate) struct Progress<'a> {
    /// `bringing up ai-factory`
    pub(crate) title: &'a str,
    /// How the settled are counted: `ready`, `stopped`.
    pub(crate) counted: &'a str,
    /// How many are settled well, of all.
    pub(crate) settled: usize,
    /// How many there are.
    pub(crate) total: usize,
    /// Those that are not settled well.
    pub(crate) open: Vec<&'a DaemonView>,
    /// Since the command was given, in seconds.
    pub(crate) elapsed_s: f64,
}

/// The lines to draw, without newlines.
pub(crate) fn lines(progress: &Progress<'_>, screen: &Screen, rows_max: usize) -> Vec<String> {
    let head = format!(
        "{}   {} of {} {}   {}",
        progress.title,
        progress.settled,
        progress.total,
        progress.counted,
        time::took(progress.elapsed_s),
    );
    let mut lines = vec![format!(
        " {}",
        cut_end(&head, screen.width.saturating_sub(2))
    )];
    let open: BTreeMap<&str, &DaemonView> = progress
        .open
        .iter()
        .map(|d| (d.name.as_str(), *d))
        .collect();
    let parent_of = |d: &DaemonView| -> Option<&str> {
        let on = d
            .blocked_on
            .iter()
            .find_map(|on| open.get_key_value(on.as_str()));
        on.map(|(name, _)| *name).filter(|name| *name != d.name)
    };
    let mut children: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut roots = Vec::new();
    for (name, daemon) in &open {
        match parent_of(daemon) {
            Some(parent) => children.entry(parent).or_default().push(name),
            None => roots.push(*name),
        }
    }
    // What blocks most is most worth a line.
    roots.sort_by_key(|name| std::cmp::Reverse(children.get(name).map_or(0, Vec::len)));
    let mut walk = Walk {
        open: &open,
        children: &children,
        seen: BTreeSet::new(),
        rows: Vec::new(),
    };
    for root in &roots {
        walk.visit(root, "", "");
    }
    let room = rows_max.saturating_sub(1);
    let folded = walk.rows.len().saturating_sub(room);
    let shown = if folded > 0 {
        room.saturating_sub(1)
    } else {
        walk.rows.len()
    };
    let name_width = walk.rows[..shown]
        .iter()
        .map(|r| width(&r.0))
        .max()
        .unwrap_or(0);
    let name_width = name_width.min(screen.width / 2);
    for (name, daemon) in &walk.rows[..shown] {
        lines.push(line(name, daemon, name_width, screen));
    }
    if folded > 0 {
        let more = format!("   …{} more", walk.rows.len() - shown);
        lines.push(Ink::Dim.paint(screen.color, &more));
    }
    lines
}

struct Walk<'a> {
    open: &'a BTreeMap<&'a str, &'a DaemonView>,
    children: &'a BTreeMap<&'a str, Vec<&'a str>>,
    seen: BTreeSet<&'a str>,
    rows: Vec<(String, &'a DaemonView)>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, name: &'a str, lead: &str, branch: &str) {
        let Some(daemon) = self.open.get(name).filter(|_| self.seen.insert(name)) else {
            return;
        };
        self.rows.push((format!("{lead}{branch}{name}"), daemon));
        let lead = match branch {
            "" => String::new(),
            "└ " => format!("{lead}  "),
            _ => format!("{lead}│ "),
        };
        let children = self.children.get(name).map_or(&[][..], Vec::as_slice);
        for (at, child) in children.iter().enumerate() {
            let branch = if at + 1 == children.len() {
                "└ "
            } else {
                "├ "
            };
            self.visit(child, &lead, branch);
        }
    }
}

fn line(name: &str, daemon: &DaemonView, name_width: usize, screen: &Screen) -> String {
    let name = cut_middle(name, name_width);
    let pad = " ".repeat(name_width - width(&name));
    let age = daemon
        .since
        .as_deref()
        .and_then(parse)
        .map(|at| screen.clock.age(at));
    let state = format!("{:<9}", daemon.state.as_str());
    let lead = 3 + name_width + 2 + width(&state) + 1 + 4 + 2;
    let why = daemon.reason.as_deref().map(one_line).unwrap_or_default();
    // The tree itself says what a waiting unit waits for.
    let why = if daemon.state == State::Waiting && name.contains(['├', '└']) {
        ""
    } else {
        &why
    };
    let ink = ink_of(daemon.state);
    let text = format!(
        " {} {name}{pad}  {} {:>4}  {}",
        ink.paint(screen.color, &glyph_of(daemon.state).to_string()),
        ink.paint(screen.color, &state),
        age.unwrap_or_default(),
        cut_end(why, screen.width.saturating_sub(lead + 1)),
    );
    text.trim_end().to_owned()
}
