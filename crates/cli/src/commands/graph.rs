//! `eud graph`

use std::collections::BTreeMap;

use eud_core::select;

use super::check;
use crate::args::{GraphArgs, GraphFormat};
use crate::context::{self, Context};
use crate::error::Error;
use crate::render::graph::{Graph, worst};
use crate::selection;

/// `eud graph`: of the fleet file, with states when a manager runs.
///
/// # Errors
/// When the fleet file is invalid or a name is unknown.
pub(crate) fn run(context: &Context, args: &GraphArgs) -> Result<(), Error> {
    let fleet = check::load(context, &context.fleet_file()?)?;
    let chosen = if args.names.is_empty() {
        fleet.daemons.keys().cloned().collect()
    } else {
        let named = select::expand(&fleet, &args.names).map_err(selection::unknown)?;
        select::closure(&fleet, named)
    };
    let states = context
        .client()
        .and_then(|mut c| context::status(&mut c))
        .map_or_else(
            |_| BTreeMap::new(),
            |status| worst(status.daemons.into_iter().map(|d| (d.name, d.state))),
        );
    let graph = Graph {
        fleet: &fleet,
        chosen,
        states,
        wiring: args.wiring,
    };
    if context.common.json {
        let edges: Vec<_> = graph
            .fleet
            .daemons
            .values()
            .filter(|d| graph.chosen.contains(&d.name))
            .map(|d| {
                serde_json::json!({
                    "name": d.name, "state": graph.states.get(&d.name),
                    "needs": d.needs, "wants": d.wants, "after": d.after, "conflicts": d.conflicts,
                    "reads": d.reads, "writes": d.writes, "ports": d.ports,
                })
            })
            .collect();
        return context::print_json(&serde_json::json!({ "fleet": fleet.name, "daemons": edges }));
    }
    context::print(&match args.format {
        GraphFormat::Text => graph.text(&context.screen()),
        GraphFormat::Mermaid => graph.mermaid(),
        GraphFormat::Dot => graph.dot(),
    })
}
