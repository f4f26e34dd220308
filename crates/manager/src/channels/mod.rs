//! Sending messages to people.
//!
//! Purpose: one try of one delivery, by the desktop, by HTTP, by mail.
//! Invariants: every try is answered, within its time or a little later; it counts as sent only
//! with proof: the command's exit code 0, an answer 2xx, the mail server's 250; nothing secret is
//! in a reason.
//! Deliberately absent: retries, grouping and quiet hours, which are the core's; commands, which
//! are tasks; Slack, Discord and Telegram, each of which is one more file here.

mod desktop;
mod email;

use std::sync::Arc;
use std::time::Duration;

use eud_core::fleet::{Via, Webhook};
use eud_core::io::{ChannelEffect, ChannelNews, Input, SendRef};
use eud_core::message::payload;
use eud_core::record::Message;

use crate::context::Context;
use crate::deliver;

/// Carries out one effect.
pub(crate) fn perform(
    context: &Arc<Context>,
    runtime: &tokio::runtime::Handle,
    effect: ChannelEffect,
) {
    let ChannelEffect::Send {
        send,
        via,
        messages,
        timeout_ms,
    } = effect;
    let context = Arc::clone(context);
    runtime.spawn(async move {
        let limit = Duration::from_millis(timeout_ms);
        let outcome = match *via {
            Via::Desktop => desktop::send(&context.reaper, &messages, limit).await,
            Via::Webhook(webhook) => post(&context, webhook, &send, &messages, limit).await,
            Via::Email(email) => {
                let id = id_of(&send, &messages);
                email::send(email, &id, &messages, &context.reaper, limit).await
            }
            Via::Exec { pool } => Err(format!("it is sent by a task of pool `{pool}`")),
        };
        let news = ChannelNews::Sent { send, outcome };
        // The engine is gone only when the manager is ending.
        let _ = context.inputs.send(Input::Channel(news)).await;
    });
}

/// The same for each try of a delivery, so that whoever gets it twice can tell.
fn id_of(send: &SendRef, messages: &[Message]) -> String {
    let at_ms = messages.first().map_or(0, |message| message.at_ms);
    format!("{}-{at_ms:x}-{}", send.channel, send.number)
}

async fn post(
    context: &Context,
    webhook: Webhook,
    send: &SendRef,
    messages: &[Message],
    limit: Duration,
) -> Result<(), String> {
    let id = id_of(send, messages);
    let body = payload(&send.channel, messages).to_string().into_bytes();
    let reaper = context.reaper.clone();
    let make = move || {
        let content = "application/json; charset=utf-8";
        deliver::request(&webhook, &id, content, body, &reaper)
    };
    let who = format!("channel.{}", send.channel);
    context.post.send(&who, limit, make).await
}
