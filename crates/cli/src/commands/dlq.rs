//! `eud dlq`: events that could not be delivered.
//!
//! Invariants: the list and the story come from the journal, with or without a manager.

use eud_core::record::DeadLetterRow;
use eud_store::Reader;
use serde_json::json;

use super::pool::change;
use super::task::journal;
use crate::args::{DeadArgs, DlqCommand};
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::deliveries;

/// `eud dlq`
///
/// # Errors
/// As the client's; without a journal, that there is none.
pub(crate) fn run(context: &Context, command: Option<DlqCommand>) -> Result<u8, Error> {
    match command.unwrap_or(DlqCommand::List { subscription: None }) {
        DlqCommand::List { subscription } => list(context, subscription.as_deref()),
        DlqCommand::Show { id } => show(context, id),
        DlqCommand::Retry(args) => change(
            context,
            "dlq.retry",
            &which(&args),
            &said("trying again", &args),
        ),
        DlqCommand::Drop(args) => {
            change(context, "dlq.drop", &which(&args), &said("dropped", &args))
        }
    }
}

fn which(args: &DeadArgs) -> serde_json::Value {
    match args.all {
        true => json!({ "all": true }),
        false => json!({ "ids": args.ids }),
    }
}

fn said(verb: &str, args: &DeadArgs) -> String {
    if args.all {
        return format!("{verb} all dead letters\n");
    }
    let ids: Vec<String> = args.ids.iter().map(ToString::to_string).collect();
    format!("{verb} {}\n", ids.join(", "))
}

fn read(journal: &Reader) -> Result<Vec<DeadLetterRow>, Error> {
    journal
        .dead_letters()
        .map_err(|error| Error::Internal(error.to_string()))
}

fn list(context: &Context, subscription: Option<&str>) -> Result<u8, Error> {
    let mut dead = read(&journal(&context.layout()?)?)?;
    dead.retain(|row| subscription.is_none_or(|name| deliveries::name_of(row) == name));
    if context.common.json {
        context::print_json(&dead)?;
    } else if dead.is_empty() {
        context::print("no dead letters\n")?;
    } else {
        context::print(&deliveries::dead_letters(&dead, &context.screen()))?;
    }
    Ok(code::OK)
}

fn show(context: &Context, id: u64) -> Result<u8, Error> {
    let journal = journal(&context.layout()?)?;
    let dead = read(&journal)?.into_iter().find(|row| row.id == id);
    let Some(dead) = dead else {
        return Err(Error::Unknown {
            name: format!("dead letter {id}"),
            suggestion: None,
        });
    };
    let event = journal.event(dead.delivery.seq);
    let event = event.map_err(|error| Error::Internal(error.to_string()))?;
    if context.common.json {
        let event = event.map(|event| event.to_cloudevent());
        context::print_json(&json!({ "dead_letter": dead, "event": event }))?;
    } else {
        context::print(&deliveries::story(
            &dead,
            event.as_deref(),
            &context.screen(),
        ))?;
    }
    Ok(code::OK)
}
