//! `eud channels`: ways to people, and messages that did not get through.

use eud_api::protocol::{ChannelParams, MessagesParams};
use eud_core::io::Accepted;
use eud_core::view::{ChannelView, MessageView};
use serde_json::json;

use super::pool::change;
use crate::args::{ChannelsCommand, MessagesArgs};
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::{channels, reply};

/// `eud channels`
///
/// # Errors
/// As the client's.
pub(crate) fn run(context: &Context, command: Option<&ChannelsCommand>) -> Result<u8, Error> {
    match command {
        None | Some(ChannelsCommand::List) => list(context),
        Some(ChannelsCommand::Test { name }) => {
            let said = format!("a message is on its way to {name}; `eud channels` tells more\n");
            let params = json!(ChannelParams { name: name.clone() });
            change(context, "channel.test", &params, &said)
        }
        Some(ChannelsCommand::Messages) => messages(context),
        Some(ChannelsCommand::Retry(args)) => {
            again(context, "message.retry", args, "to be sent again")
        }
        Some(ChannelsCommand::Drop(args)) => again(context, "message.drop", args, "dropped"),
    }
}

fn list(context: &Context) -> Result<u8, Error> {
    let found: Vec<ChannelView> = context.client()?.call("channel.list", &json!({}))?;
    if context.common.json {
        context::print_json(&found)?;
    } else if found.is_empty() {
        context::print("no channels yet: declare one as `[channels.<name>]`\n")?;
    } else {
        context::print(&channels::list(&found, &context.screen()))?;
    }
    Ok(code::OK)
}

fn messages(context: &Context) -> Result<u8, Error> {
    let found: Vec<MessageView> = context.client()?.call("message.list", &json!({}))?;
    if context.common.json {
        context::print_json(&found)?;
    } else if found.is_empty() {
        context::print("every message was sent\n")?;
    } else {
        context::print(&channels::messages(&found, &context.screen()))?;
    }
    Ok(code::OK)
}

fn again(context: &Context, method: &str, args: &MessagesArgs, done: &str) -> Result<u8, Error> {
    let params = json!(MessagesParams {
        ids: args.ids.clone(),
        all: args.all,
    });
    let accepted: Accepted = context.client()?.call(method, &params)?;
    if context.common.json {
        context::print_json(&json!({ "accepted": accepted }))?;
    } else {
        let said = match accepted.count {
            0 => "no such messages\n".to_owned(),
            1 => format!("1 message {done}\n"),
            count => format!("{count} messages {done}\n"),
        };
        let asides = reply::asides(&accepted, &context.screen());
        context::print(&format!("{said}{asides}"))?;
    }
    // Nothing changed: that is not what was asked for, unless it was for all there are.
    let some = accepted.count > 0 || args.all;
    Ok(if some { code::OK } else { code::NOT_AS_ASKED })
}
