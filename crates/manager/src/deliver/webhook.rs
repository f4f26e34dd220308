//! An event as an HTTP request: CloudEvents HTTP binding, structured mode, signed as Standard
//! Webhooks are.
//!
//! Invariants: the event is the body, byte for byte what was signed; references to secrets are
//! resolved for each try; errors name headers, never their values.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eud_core::event::Event;
use eud_core::fleet::{EnvValue, Webhook};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use ureq::http::{HeaderName, Uri};

use super::post::Message;
use crate::launch::value_of;
use crate::reaper::Reaper;

/// A secret that begins like this is the key in base64; any other is the key as it is.
const ENCODED: &str = "whsec_";

/// Headers that are sent anyway.
const OWN_HEADERS: [&str; 5] = [
    "content-type",
    "content-length",
    "host",
    "connection",
    "transfer-encoding",
];

/// Whether a request can be made of it, as far as that is known without secrets and network.
///
/// # Errors
/// In words: what is wrong.
pub fn check_webhook(webhook: &Webhook) -> Result<(), String> {
    let Webhook {
        url,
        headers,
        secret,
    } = webhook;
    let parsed: Uri = url.parse().map_err(|e| format!("`url` `{url}`: {e}"))?;
    let is_web = matches!(parsed.scheme_str(), Some("http" | "https"));
    if !is_web || parsed.host().is_none_or(str::is_empty) {
        let how = "write it like `https://example.org/hook`";
        return Err(format!("`url` `{url}`: {how}"));
    }
    if parsed.authority().is_some_and(|a| a.as_str().contains('@')) {
        return Err("`url` contains a user name: put it into a header".to_owned());
    }
    for name in headers.keys() {
        let lower = name.to_ascii_lowercase();
        if HeaderName::from_bytes(lower.as_bytes()).is_err() {
            return Err(format!("`{name}` is no name of a header"));
        }
        if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("webhook-") {
            return Err(format!("eud sends the header `{name}` itself"));
        }
    }
    for value in headers.values().chain(secret) {
        match value {
            EnvValue::File(path) if !path.starts_with('/') => {
                return Err(format!("`{path}`: the path of a secret must be absolute"));
            }
            EnvValue::Command(argv) if argv.is_empty() => {
                return Err("the command of a secret names no program".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is sent of an event. Blocks.
///
/// # Errors
/// In words, when a secret cannot be resolved.
pub(super) fn message(
    webhook: &Webhook,
    event: &Event,
    reaper: &Reaper,
) -> Result<Message, String> {
    let body = event.to_cloudevent().to_string().into_bytes();
    let content = "application/cloudevents+json; charset=utf-8";
    request(webhook, &event.id, content, body, reaper)
}

/// What is sent, signed if the webhook has a secret. `id` is the same for each try. Blocks.
///
/// # Errors
/// As [`message`].
pub(crate) fn request(
    webhook: &Webhook,
    id: &str,
    content: &str,
    body: Vec<u8>,
    reaper: &Reaper,
) -> Result<Message, String> {
    let mut headers = vec![("content-type".to_owned(), content.to_owned())];
    let mut secrets = Vec::new();
    for (name, value) in &webhook.headers {
        let text = value_of(&format!("header {name}"), value, reaper)?;
        if text.chars().any(|c| c.is_control() && c != '\t') {
            return Err(format!("the value of header {name} is more than one line"));
        }
        if !matches!(value, EnvValue::Plain(_)) {
            secrets.push(text.clone());
        }
        headers.push((name.clone(), text));
    }
    if let Some(secret) = &webhook.secret {
        let secret = value_of("secret", secret, reaper)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let seconds = now.map_or(0, |since| since.as_secs());
        let signature = sign(&secret, id, seconds, &body)?;
        headers.push(("webhook-id".to_owned(), id.to_owned()));
        headers.push(("webhook-timestamp".to_owned(), seconds.to_string()));
        headers.push(("webhook-signature".to_owned(), signature));
        secrets.push(secret);
    }
    Ok(Message {
        url: webhook.url.clone(),
        headers,
        body,
        secrets,
    })
}

fn sign(secret: &str, id: &str, seconds: u64, body: &[u8]) -> Result<String, String> {
    let key = match secret.strip_prefix(ENCODED) {
        Some(encoded) => STANDARD
            .decode(encoded)
            .map_err(|_| format!("secret: what follows `{ENCODED}` is not base64"))?,
        None => secret.as_bytes().to_vec(),
    };
    if key.is_empty() {
        return Err("secret: it is empty".to_owned());
    }
    let signer = Hmac::<Sha256>::new_from_slice(&key);
    let mut signer = signer.map_err(|e| format!("secret: {e}"))?;
    signer.update(format!("{id}.{seconds}.").as_bytes());
    signer.update(body);
    let signature = STANDARD.encode(signer.finalize().into_bytes());
    Ok(format!("v1,{signature}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Standard Webhooks' specification.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = sign(secret, id, 1_614_265_330, br#"{"test": 2432232314}"#).unwrap();
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let plain = sign("hunter2", id, 1_614_265_330, b"{}").unwrap();
        assert_ne!(plain, sign("hunter3", id, 1_614_265_330, b"{}").unwrap());
        for bad in ["", "whsec_", "whsec_*hunter2*"] {
            let why = sign(bad, id, 1, b"").unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn an_event_is_sent_in_structured_mode() {
        let event = Event {
            seq: 7,
            id: "a1".into(),
            source: "test".into(),
            kind: "x.y".into(),
            data: serde_json::json!({"n": 1}),
            ..Event::default()
        };
        let mut webhook = Webhook {
            url: "http://localhost/".into(),
            headers: [("X-Key".to_owned(), EnvValue::Plain("v".into()))].into(),
            secret: None,
        };
        let sent = message(&webhook, &event, &Reaper::default()).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(body, event.to_cloudevent());
        let names: Vec<&str> = sent.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["content-type", "X-Key"]);
        assert!(
            sent.headers[0]
                .1
                .starts_with("application/cloudevents+json")
        );
        let injected = EnvValue::Plain("hunter2\r\nX-Other: 1".into());
        webhook.headers.insert("X-Key".into(), injected);
        let refused = message(&webhook, &event, &Reaper::default());
        let why = refused.err().unwrap();
        assert!(why.contains("X-Key") && !why.contains("hunter2"), "{why}");
    }
}
