//! The drain worker: takes items from the queue to the model, with a token from the vault.
//!
//! Invariants: an item is claimed only with a valid token in hand, and given back when the model
//! does not answer. Without a token there is nothing to do: it says why and exits, and its restart
//! policy decides.

use std::convert::Infallible;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::args::Args;
use crate::{Failure, http, say};

/// Pause when the queue is empty.
const IDLE: Duration = Duration::from_millis(500);

struct Worker {
    name: String,
    vault: String,
    queue: String,
    model: String,
    token: Option<(String, Instant)>,
}

/// Runs `factory drain`.
pub(crate) fn run(args: &Args) -> Result<Infallible, Failure> {
    let mut worker = Worker {
        name: std::env::var("EUD_UNIT").unwrap_or_else(|_| "drain".to_owned()),
        vault: args.text("vault")?,
        queue: args.text("queue")?,
        model: args.text("model")?,
        token: None,
    };
    worker.token()?;
    say::news("token accepted, draining");
    let mut finished = 0_u64;
    loop {
        let token = worker.token()?;
        if !worker.drain_one(&token)? {
            thread::sleep(IDLE);
            continue;
        }
        finished += 1;
        if finished % 10 == 1 {
            say::news(&format!("finished {finished} items"));
        }
    }
}

impl Worker {
    /// A valid token, from the vault when the one in hand has run out.
    fn token(&mut self) -> Result<String, Failure> {
        if let Some((token, until)) = &self.token
            && Instant::now() < *until
        {
            return Ok(token.clone());
        }
        let reply = http::call("GET", &self.vault, "/token", None, "")
            .map_err(|e| format!("cannot reach the vault at {e}"))?;
        if reply.status != 200 {
            let words = reply.body.trim();
            return Err(format!(
                "the vault refused a token: {} {words}",
                reply.status
            ));
        }
        let json = parse(&reply.body)?;
        let token = json["token"]
            .as_str()
            .ok_or("the vault's answer has no token")?
            .to_owned();
        let life = Duration::from_secs(json["expires_in_s"].as_u64().unwrap_or(1));
        self.token = Some((token.clone(), Instant::now() + life));
        Ok(token)
    }

    /// Takes one item through; `false` when none waits.
    fn drain_one(&self, token: &str) -> Result<bool, Failure> {
        let claim = format!("/claim?by={}", self.name);
        let reply = http::call("POST", &self.queue, &claim, None, "")
            .map_err(|e| format!("cannot reach the queue at {e}"))?;
        if reply.status != 200 {
            return Ok(false);
        }
        let item = parse(&reply.body)?;
        let id = item["id"].as_i64().ok_or("the queue's answer has no id")?;
        let prompt = item["body"].as_str().unwrap_or_default();
        let outcome = http::call("POST", &self.model, "/generate", Some(token), prompt);
        let problem = match outcome {
            Ok(reply) if reply.status == 200 => None,
            Ok(reply) => Some(format!("{} {}", reply.status, reply.body.trim())),
            Err(e) => Some(e),
        };
        let settle = if problem.is_none() { "done" } else { "return" };
        http::call("POST", &self.queue, &format!("/{settle}?id={id}"), None, "")
            .map_err(|e| format!("cannot settle item {id}: {e}"))?;
        match problem {
            None => Ok(true),
            Some(words) => Err(format!("the model did not answer item {id}: {words}")),
        }
    }
}

fn parse(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|e| format!("not JSON: {e}"))
}
