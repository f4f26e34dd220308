//! `eud pool`: queues, and who may begin.

use eud_api::protocol::{PauseParams, PoolParams};
use eud_core::io::Accepted;
use eud_core::record::TaskState;
use eud_core::view::PoolView;
use eud_manager::Layout;
use serde_json::json;

use super::task::journal;
use crate::args::PoolCommand;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::{reply, tasks};
use crate::selection;

/// `eud pool`
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, command: &PoolCommand) -> Result<u8, Error> {
    match command {
        PoolCommand::List { all } => list(context, *all),
        PoolCommand::Pause { name, reason } => {
            let params = json!(PauseParams {
                name: name.clone(),
                reason: reason.clone(),
            });
            let said = format!("paused pool {name}: {reason}\n");
            change(context, "pool.pause", &params, &said)
        }
        PoolCommand::Resume { name } => {
            let params = json!(PoolParams { name: name.clone() });
            change(
                context,
                "pool.resume",
                &params,
                &format!("resumed pool {name}\n"),
            )
        }
    }
}

/// Carries out a change and says it.
pub(super) fn change(
    context: &Context,
    method: &str,
    params: &serde_json::Value,
    said: &str,
) -> Result<u8, Error> {
    let accepted: Accepted = context.client()?.call(method, params)?;
    if context.common.json {
        context::print_json(&json!({ "accepted": accepted }))?;
    } else {
        let asides = reply::asides(&accepted, &context.screen());
        context::print(&format!("{said}{asides}"))?;
    }
    Ok(code::OK)
}

/// From the manager; without one, what is declared and in the journal, and then the error.
fn list(context: &Context, all: bool) -> Result<u8, Error> {
    let (pools, error) = match context.client() {
        Ok(mut client) => (client.call("pool.list", &json!({}))?, None),
        Err(error @ Error::NoManager { .. }) => {
            (remembered(context, &context.layout()?), Some(error))
        }
        Err(error) => return Err(error),
    };
    shown(context, pools, all, error.is_none())?;
    error.map_or(Ok(code::OK), Err)
}

fn shown(context: &Context, pools: Vec<PoolView>, all: bool, known: bool) -> Result<(), Error> {
    let pools: Vec<PoolView> = pools.into_iter().filter(|p| all || !p.implicit).collect();
    if context.common.json {
        return context::print_json(&pools);
    }
    match (pools.is_empty(), known) {
        (false, _) => context::print(&tasks::pools(&pools, &context.screen())),
        (true, true) => context::print("no pools yet: declare one as `[pools.<name>]`\n"),
        (true, false) => Ok(()),
    }
}

fn remembered(context: &Context, layout: &Layout) -> Vec<PoolView> {
    let fleet = selection::declared(context, layout);
    let counts = journal(layout)
        .ok()
        .and_then(|journal| journal.task_counts().ok());
    let counts = counts.unwrap_or_default();
    let view = |pool: &eud_core::fleet::Pool| {
        let tasks = counts.get(&pool.name).cloned().unwrap_or_default();
        let open = TaskState::ALL.into_iter().filter(|state| !state.is_over());
        let waits = open.filter_map(|state| tasks.get(&state)).sum::<u64>() > 0;
        PoolView {
            name: pool.name.clone(),
            description: pool.description.clone(),
            concurrency: pool.concurrency,
            total: tasks.values().sum(),
            tasks,
            waits: waits.then(|| "no manager is running".to_owned()),
            implicit: pool.implicit,
            ..PoolView::default()
        }
    };
    fleet.pools.values().map(view).collect()
}
