//! `eud approvals`: what rules ask a person for.

use eud_core::record::ApprovalRow;
use serde_json::json;

use super::pool::change;
use crate::args::{ApprovalArgs, ApprovalsCommand};
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::rules;

/// `eud approvals`
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, command: Option<&ApprovalsCommand>) -> Result<u8, Error> {
    match command {
        None => list(context, false),
        Some(ApprovalsCommand::List { all }) => list(context, *all),
        Some(ApprovalsCommand::Grant(ApprovalArgs { id })) => decide(context, *id, true),
        Some(ApprovalsCommand::Deny(ApprovalArgs { id })) => decide(context, *id, false),
    }
}

fn list(context: &Context, all: bool) -> Result<u8, Error> {
    let mut rows: Vec<ApprovalRow> = context.client()?.call("approval.list", &json!({}))?;
    rows.retain(|row| all || row.outcome.is_none());
    if context.common.json {
        context::print_json(&rows)?;
    } else if rows.is_empty() {
        context::print("nothing waits for you\n")?;
    } else {
        context::print(&rules::approvals(&rows, &context.screen()))?;
    }
    Ok(code::OK)
}

fn decide(context: &Context, id: u64, grant: bool) -> Result<u8, Error> {
    let by = std::env::var("USER").ok().filter(|user| !user.is_empty());
    let by = by.unwrap_or_else(|| "hand".to_owned());
    let params = json!({ "id": id, "grant": grant, "by": by });
    let said = match grant {
        true => format!("granted approval {id}\n"),
        false => format!("denied approval {id}\n"),
    };
    change(context, "approval.decide", &params, &said)
}
