//! The model server: slow to start, then answers prompts.
//!
//! Invariants: it listens from the start, but `/readyz` and `/generate` answer 503 until the
//! weights are loaded, so a port check alone would call it ready too early.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::args::Args;
use crate::http::{self, Reply, Request};
use crate::{Failure, say};

/// Parts the weights come in; each is reported.
const SHARDS: u32 = 4;
const THINKING: Duration = Duration::from_millis(150);

/// Runs `factory model`.
pub(crate) fn run(args: &Args) -> Result<Infallible, Failure> {
    let load = args.seconds("load")?;
    let loaded = Arc::new(AtomicU32::new(0));
    let progress = Arc::clone(&loaded);
    thread::spawn(move || {
        for shard in 1..=SHARDS {
            thread::sleep(load / SHARDS);
            progress.store(shard, Ordering::Release);
            say::news(&format!("loaded shard {shard} of {SHARDS}"));
        }
        say::news("model is loaded");
    });
    let state = move |request: &Request| answer(request, loaded.load(Ordering::Acquire));
    http::serve(&args.text("model")?, state)
}

fn answer(request: &Request, loaded: u32) -> Reply {
    let is_loaded = loaded == SHARDS;
    let loading = || Reply::status(503, format!("loading, shard {loaded} of {SHARDS}\n"));
    match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/livez") => Reply::ok("alive\n"),
        ("GET", "/readyz") if is_loaded => Reply::ok("ready\n"),
        ("POST", "/generate") if is_loaded => match &request.token {
            None => Reply::status(401, "a token is needed\n"),
            Some(_) => {
                thread::sleep(THINKING);
                let words = request.body.split_whitespace().count();
                let text = format!("a summary of {words} words");
                say::news(&format!("answered a prompt of {words} words"));
                Reply::ok(json!({ "text": text }).to_string())
            }
        },
        ("GET", "/readyz") | ("POST", "/generate") => loading(),
        _ => Reply::status(404, "no such path\n"),
    }
}
