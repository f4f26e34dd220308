//! `eud upgrade`: another manager, the same daemons.
//!
//! Invariant: it is not called done before the process ids of all daemons, before and after, were
//! compared.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use eud_api::client::Client;
use eud_api::protocol::Info;
use eud_core::view::Status;
use serde_json::json;

use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::launch;
use crate::render::status::plural;
use crate::render::time;

/// How often the new manager is asked whether it knows all daemons again.
const ASK_EVERY: Duration = Duration::from_millis(20);

/// `eud upgrade`
///
/// # Errors
/// When no manager runs, the old one does not end, or the new one cannot start.
pub(crate) fn run(context: &Context, limit: Duration) -> Result<u8, Error> {
    let began = Instant::now();
    let layout = context.layout()?;
    let mut old_client = context.client()?;
    let old: Info = old_client.call("manager.info", &json!({}))?;
    let before = processes(&context::status(&mut old_client)?);
    let fleet = PathBuf::from(&old.fleet_file);
    // A manager that cannot start with this file would leave the daemons unsupervised.
    super::check::load(context, &fleet)?;
    let _: serde_json::Value =
        old_client.call("fleet.shutdown", &json!({ "keep_daemons": true }))?;
    launch::until_gone(&layout, limit)?;
    let mut client = launch::manager(&layout, &fleet, None)?;
    let new: Info = client.call("manager.info", &json!({}))?;
    let after = settled(&mut client, &before, began + limit)?;
    let changed: Vec<&String> = before
        .iter()
        .filter(|(unit, pid)| after.get(*unit) != Some(pid))
        .map(|(unit, _)| unit)
        .collect();
    let exit = if changed.is_empty() {
        code::OK
    } else {
        code::NOT_AS_ASKED
    };
    let took = time::took(began.elapsed().as_secs_f64());
    if context.common.json {
        context::print_json(&json!({
            "ok": exit == code::OK, "before": old, "after": new,
            "kept": before.len() - changed.len(), "changed": changed,
        }))?;
        return Ok(exit);
    }
    let mut text = format!(
        "replaced manager {} (pid {}) by {} (pid {}) in {took}\n",
        old.version, old.pid, new.version, new.pid,
    );
    let total = before.len();
    let word = plural(total, "daemon", "daemons");
    if changed.is_empty() {
        text.push_str(&format!(
            "{total} running {word}: every process id is as before\n"
        ));
    } else {
        let names: Vec<&str> = changed.iter().map(|unit| unit.as_str()).collect();
        text.push_str(&format!(
            "{} of {total} running {word} have another process id: {}\n",
            changed.len(),
            names.join(", "),
        ));
    }
    context::print(&text)?;
    Ok(exit)
}

fn processes(status: &Status) -> BTreeMap<String, u32> {
    status
        .daemons
        .iter()
        .filter_map(|d| Some((d.name.clone(), d.pid?)))
        .collect()
}

/// Process ids after, once every daemon that had one has one again or time is up.
fn settled(
    client: &mut Client,
    before: &BTreeMap<String, u32>,
    deadline: Instant,
) -> Result<BTreeMap<String, u32>, Error> {
    loop {
        let after = processes(&context::status(client)?);
        let all = before.keys().all(|unit| after.contains_key(unit));
        if all || Instant::now() >= deadline {
            return Ok(after);
        }
        std::thread::sleep(ASK_EVERY);
    }
}
