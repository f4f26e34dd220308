//! The producer: adds items to the queue at a steady rate.
//!
//! Invariants: `<data>/producer.beat` is touched after every item that the queue took, and only
//! then, so its age says how long nothing has got through.

use std::convert::Infallible;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::args::Args;
use crate::{Failure, http, say};

const TOPICS: [&str; 5] = [
    "minutes of the weekly meeting",
    "a paper on retrieval",
    "the release notes of the compiler",
    "three letters from the archive",
    "a log that nobody has read",
];
/// Items between two lines of log.
const REPORT_EVERY: usize = 10;

/// Runs `factory producer`.
pub(crate) fn run(args: &Args) -> Result<Infallible, Failure> {
    let (queue, data) = (args.text("queue")?, args.path("data")?);
    let rate = args.number("rate")?.clamp(0.01, 100.0);
    let pause = Duration::from_secs_f64(1.0 / rate);
    say::news(&format!("adding {rate} items a second"));
    let mut count = 0_usize;
    loop {
        let topic = TOPICS[count % TOPICS.len()];
        count += 1;
        match http::call("POST", &queue, "/push", None, &format!("summarise {topic}")) {
            Ok(reply) if reply.status == 200 => {
                beat(&data)?;
                if count == 1 || count.is_multiple_of(REPORT_EVERY) {
                    say::news(&format!("added {count} items, the last one: {topic}"));
                }
            }
            Ok(reply) => say::trouble(&format!("queue refused an item: {}", reply.body.trim())),
            Err(e) => return Err(format!("queue: {e}")),
        }
        thread::sleep(pause);
    }
}

fn beat(data: &Path) -> Result<(), Failure> {
    let path = data.join("producer.beat");
    std::fs::write(&path, "").map_err(|e| format!("{}: {e}", path.display()))
}
