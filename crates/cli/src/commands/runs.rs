//! `eud runs`

use eud_core::record::RunRow;
use serde_json::json;

use crate::args::RunsArgs;
use crate::context::{self, Context};
use crate::error::Error;
use crate::offline;
use crate::render::runs;
use crate::selection;

/// `eud runs`: from the manager, else from the journal as it was left.
///
/// # Errors
/// When the name is unknown or there is neither manager nor journal.
pub(crate) fn run(context: &Context, args: &RunsArgs) -> Result<(), Error> {
    let params = json!({ "name": args.name, "limit": args.limit });
    let rows: Vec<RunRow> = match context.client() {
        Ok(mut client) => client.call("daemon.runs", &params)?,
        Err(error @ Error::NoManager { .. }) => from_journal(context, args, error)?,
        Err(error) => return Err(error),
    };
    if context.common.json {
        return context::print_json(&rows);
    }
    if rows.is_empty() {
        return context::print(&format!("{} has not run yet\n", args.name));
    }
    context::print(&runs::render(&rows, &context.screen()))
}

fn from_journal(context: &Context, args: &RunsArgs, error: Error) -> Result<Vec<RunRow>, Error> {
    let layout = context.layout()?;
    let Ok(journal) = eud_store::Store::open_read_only(&layout.database()) else {
        return Err(error);
    };
    let known = offline::units(&layout);
    let units = selection::units(context, &layout, std::slice::from_ref(&args.name), &known)?;
    let mut rows = Vec::new();
    for unit in units {
        let of_unit = journal.runs(&unit, args.limit);
        rows.extend(of_unit.map_err(|e| Error::Internal(e.to_string()))?);
    }
    rows.sort_by_key(|row| std::cmp::Reverse(row.intent_at_ms));
    rows.truncate(usize::try_from(args.limit).unwrap_or(usize::MAX));
    Ok(rows)
}
