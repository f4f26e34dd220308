//! What a message looks like to those who get it.
//!
//! Purpose: several messages put together into one, and the JSON that commands and webhooks of
//! channels are given.
//! Deliberately absent: the shapes that certain services want.

use serde_json::{Value, json};

use crate::record::Message;
use crate::words;

/// Several messages as one, for people: as bad as the worst, as old as the first.
pub fn together(messages: &[Message]) -> Message {
    let (Some(first), rest) = (messages.first(), messages.len().saturating_sub(1)) else {
        return Message::default();
    };
    if rest == 0 {
        return first.clone();
    }
    let parts = messages.iter().map(|message| {
        let at = words::rfc3339(message.at_ms);
        let head = format!("{} {at} {}", message.severity.as_str(), message.title);
        match message.body.is_empty() {
            true => head,
            false => format!("{head}\n{}", message.body),
        }
    });
    let worst = messages.iter().map(|message| message.severity).max();
    Message {
        title: format!("{} and {rest} more", first.title),
        body: parts.collect::<Vec<_>>().join("\n\n"),
        severity: worst.unwrap_or_default(),
        ..first.clone()
    }
}

/// The JSON for programs. `messages` has each of them, `events` the numbers of the events that led
/// to them.
pub fn payload(channel: &str, messages: &[Message]) -> Value {
    let whole = together(messages);
    let one = |message: &Message| {
        json!({
            "title": message.title,
            "body": message.body,
            "severity": message.severity,
            "key": message.key,
            "at": words::rfc3339(message.at_ms),
        })
    };
    let events = messages.iter().map(|message| message.event);
    json!({
        "channel": channel,
        "title": whole.title,
        "body": whole.body,
        "severity": whole.severity,
        "at": words::rfc3339(whole.at_ms),
        "events": events.filter(|seq| *seq > 0).collect::<Vec<_>>(),
        "messages": messages.iter().map(one).collect::<Vec<_>>(),
    })
}
