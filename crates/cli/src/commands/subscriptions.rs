//! `eud subscriptions`: where events go, and who is behind.

use eud_core::event::Seq;
use eud_core::view::BusView;
use eud_store::EventFilter;
use serde_json::json;

use super::pool::change;
use super::task::{journal, unreadable};
use crate::args::SubscriptionsCommand;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::{deliveries, time};

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
        SubscriptionsCommand::Replay { name, after, since } => {
            let after = match since {
                Some(since) => before(context, &since)?,
                None => after.unwrap_or_default(),
            };
            let said = format!("{name} begins anew after event {after}\n");
            let params = json!({ "name": name, "after": after });
            change(context, "subscription.replay", &params, &said)
        }
    }
}

/// The last event before a time, as a person gives it.
fn before(context: &Context, since: &str) -> Result<Seq, Error> {
    let clock = context.screen().clock;
    let since = time::parse_moment(since, &clock).map_err(|what| Error::Usage {
        what,
        help: "`10m` means ten minutes ago, `09:30` the last time it was that".into(),
    })?;
    let filter = EventFilter {
        since_ms: Some(since.as_millisecond()),
        ..EventFilter::default()
    };
    let journal = journal(&context.layout()?)?;
    let mut at = 0;
    loop {
        let page = journal
            .events(&filter, at, Seq::MAX, 1)
            .map_err(unreadable)?;
        match page.events.first() {
            Some(event) => return Ok(event.seq.saturating_sub(1)),
            // Nothing happened since then.
            None if page.is_last => return journal.last_event().map_err(unreadable),
            None => at = page.upto,
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
