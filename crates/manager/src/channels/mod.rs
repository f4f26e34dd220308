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
use crate::deliver::{self, Post};
use crate::reaper::Reaper;

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
            Via::Webhook(webhook) => {
                let by = (&context.post, &context.reaper);
                post(by, webhook, &send, &messages, limit).await
            }
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
    (post, reaper): (&Arc<Post>, &Reaper),
    webhook: Webhook,
    send: &SendRef,
    messages: &[Message],
    limit: Duration,
) -> Result<(), String> {
    let id = id_of(send, messages);
    let body = payload(&send.channel, messages).to_string().into_bytes();
    let reaper = reaper.clone();
    let make = move || {
        let content = "application/json; charset=utf-8";
        deliver::request(&webhook, &id, content, body, &reaper)
    };
    let who = format!("channel.{}", send.channel);
    post.send(&who, limit, make).await
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use std::sync::mpsc::channel;

    use eud_core::fleet::{EnvValue, Severity};
    use serde_json::Value;

    use super::*;

    /// Answers each request in turn with one of these; gives heads and bodies.
    fn answering(answers: [&'static str; 2]) -> (u16, std::sync::mpsc::Receiver<(String, Value)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(&stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
                let head = head.to_ascii_lowercase();
                let mut lines = head.lines();
                let length = lines.find_map(|line| line.strip_prefix("content-length: "));
                let mut body = vec![0; length.unwrap().parse().unwrap()];
                reader.read_exact(&mut body).unwrap();
                let end = "Connection: close\r\nContent-Length: 0\r\n\r\n";
                write!(stream, "HTTP/1.1 {answer}\r\n{end}").unwrap();
                let _ = tell.send((head, serde_json::from_slice(&body).unwrap()));
            }
        });
        (port, told)
    }

    #[tokio::test]
    async fn a_webhook_gets_all_messages_signed_and_with_one_id_for_each_try() {
        let (port, told) = answering(["503 Busy", "204 Fine"]);
        let webhook = Webhook {
            url: format!("http://127.0.0.1:{port}/hook"),
            headers: std::collections::BTreeMap::new(),
            secret: Some(EnvValue::Plain("hunter2".into())),
        };
        let message = |title: &str, severity, event| Message {
            title: title.into(),
            severity,
            event,
            ..Message::default()
        };
        let messages = [
            message("a", Severity::Error, 7),
            message("b", Severity::Info, 9),
        ];
        let send = SendRef {
            channel: "ops".into(),
            number: 3,
            attempt: 1,
        };
        let (poster, reaper) = (Arc::new(Post::default()), Reaper::default());
        let limit = Duration::from_secs(20);
        let by = (&poster, &reaper);
        let first = post(by, webhook.clone(), &send, &messages, limit).await;
        assert_eq!(first, Err("HTTP 503".to_owned()));
        let second = post(by, webhook, &send, &messages, limit).await;
        assert_eq!(second, Ok(()));
        let (head, body) = told.recv().unwrap();
        let id = |head: &str| {
            let line = head.lines().find(|line| line.starts_with("webhook-id: "));
            line.unwrap().to_owned()
        };
        assert!(head.contains("webhook-signature: v1,"), "{head}");
        assert_eq!(body["title"], "a and 1 more");
        assert_eq!(body["severity"], "error");
        assert_eq!(body["events"], serde_json::json!([7, 9]));
        assert_eq!(body["messages"][1]["title"], "b");
        assert_eq!(id(&told.recv().unwrap().0), id(&head));
    }
}
