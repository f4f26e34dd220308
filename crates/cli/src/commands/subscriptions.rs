//! `eud subscriptions`: where events go, and who is behind.

use eud_core::view::BusView;
use serde_json::json;

use super::pool::change;
use crate::args::SubscriptionsCommand;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::deliveries;

/// `eud subscriptions`
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, command: Option<SubscriptionsCommand>) -> Result<u8, Error> {
    match command.unwrap_or(SubscriptionsCommand::List) {
        SubscriptionsCommand::List => list(context),
        SubscriptionsCommand::Pause(args) => {
            let said = format!("paused {}\n", args.name);
            let params = json!({ "name": args.name });
            change(context, "subscription.pause", &params, &said)
        }
        SubscriptionsCommand::Resume(args) => {
            let said = format!("resumed {}\n", args.name);
            let params = json!({ "name": args.name });
            change(context, "subscription.resume", &params, &said)
        }
        SubscriptionsCommand::Replay { name, after } => {
            let said = format!("{name} begins anew after event {after}\n");
            let params = json!({ "name": name, "after": after });
            change(context, "subscription.replay", &params, &said)
        }
    }
}

fn list(context: &Context) -> Result<u8, Error> {
    let bus: BusView = context.client()?.call("subscription.list", &json!({}))?;
    if context.common.json {
        context::print_json(&bus)?;
    } else if bus.subscriptions.is_empty() {
        context::print("no subscriptions yet: declare one as `[subscriptions.<name>]`\n")?;
    } else {
        context::print(&deliveries::subscriptions(&bus, &context.screen()))?;
    }
    Ok(code::OK)
}
