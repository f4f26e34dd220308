//! `eud gauges`: every gauge and gate, with its limits and since when it is what it is.
//!
//! Invariants: limits are those of the fleet that the manager runs, which may be older than the
//! file.

use eud_core::fleet::{Fleet, Level};
use eud_core::view::{GateView, GaugeView};
use serde_json::json;

use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::gauges;
use crate::selection;

/// `eud gauges`
///
/// # Errors
/// [`Error::NoManager`], after what is declared; otherwise as the client's.
pub(crate) fn run(context: &Context) -> Result<u8, Error> {
    match context.client() {
        Ok(mut client) => {
            let status = context::status(&mut client)?;
            let fleet = selection::in_force(&context.layout()?);
            shown(context, &fleet, &status.gauges, &status.gates)?;
            Ok(code::OK)
        }
        Err(error @ Error::NoManager { .. }) => {
            let fleet = selection::declared(context, &context.layout()?);
            let (gauges, gates) = unknown(&fleet);
            if !gauges.is_empty() || context.common.json {
                shown(context, &fleet, &gauges, &gates)?;
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

fn shown(
    context: &Context,
    fleet: &Fleet,
    views: &[GaugeView],
    gates: &[GateView],
) -> Result<(), Error> {
    if context.common.json {
        let with_limits = views.iter().map(|view| {
            let mut value = json!(view);
            let gauge = fleet.gauges.get(&view.name);
            value["limits"] = gauge.map_or(serde_json::Value::Null, |gauge| {
                json!({
                    "warn": gauge.warn, "over": gauge.over, "under": gauge.under,
                    "frozen_ms": gauge.frozen_ms, "every_ms": gauge.every_ms,
                })
            });
            value
        });
        let gauges: Vec<_> = with_limits.collect();
        return context::print_json(&json!({ "gauges": gauges, "gates": gates }));
    }
    if views.is_empty() {
        return context::print("no gauges yet: declare one as `[gauges.<name>]`\n");
    }
    let declared = |name: &str| fleet.gauges.get(name).cloned();
    context::print(&gauges::tables(views, gates, declared, &context.screen()))
}

/// What is declared, while nobody samples it.
fn unknown(fleet: &Fleet) -> (Vec<GaugeView>, Vec<GateView>) {
    let gauges = fleet.gauges.keys().map(|name| GaugeView {
        name: name.clone(),
        value: None,
        level: Level::Unknown,
        reason: Some("no manager is running".to_owned()),
        since: None,
        sampled_at: None,
        changed_at: None,
    });
    let gates = fleet.gates.values().map(|gate| GateView {
        name: gate.name.clone(),
        gauge: gate.gauge.clone(),
        closed: false,
        since: None,
        reason: None,
        members: gate.members.iter().cloned().collect(),
    });
    (gauges.collect(), gates.collect())
}
