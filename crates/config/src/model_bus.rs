//! From checked tables to events, subscriptions and pools.
//!
//! Invariants: as in [`crate::model`].

use std::collections::BTreeSet;

use eud_core::fleet::{
    Breaker, Delivery, EventType, Events, From, Handler, Keep, Kind, Origin, Pool, ProgressFrom,
    PromptVia, Rate, Retry, Subscription, TaskTemplate, Webhook, WorkDir,
};

use crate::checked::{Checked, Item, Val, ints};
use crate::model::{self, Place};
use crate::model_channel;

/// Fills in what `[events]` says of keeping.
pub(crate) fn events(table: &Checked, events: &mut Events) {
    let count = |key: &str| table.int(key).and_then(|count| u64::try_from(count).ok());
    events.keep_ms = table.amount("keep").unwrap_or(events.keep_ms);
    events.keep_max = count("keep_max").unwrap_or(events.keep_max);
    events.behind_max = count("behind_max").unwrap_or(events.behind_max);
    events.same_content_ms = table.amount("same_content");
}

pub(crate) fn event_type(table: &Checked, origin: Origin) -> EventType {
    EventType {
        description: table.text("description").map(str::to_owned),
        schema: match table.get("schema").map(|item| &item.val) {
            Some(Val::Json(schema)) => Some(schema.clone()),
            _ => None,
        },
        origin,
    }
}

/// A subscription; `None` when its handler is absent or wrong, which has been reported.
pub(crate) fn subscription(name: &str, table: &Checked, origin: Origin) -> Option<Subscription> {
    let default = Subscription::default();
    let text = |key: &str| table.text(key).map(str::to_owned);
    Some(Subscription {
        name: name.to_owned(),
        description: text("description"),
        on: table.texts("on").into_iter().map(|(on, _)| on).collect(),
        filter: text("filter"),
        handler: handler(name, table)?,
        ordered_by: text("ordered_by"),
        concurrency: table.count("concurrency").unwrap_or(default.concurrency),
        timeout_ms: table.amount("timeout").unwrap_or(default.timeout_ms),
        retry: retry(table, default.retry),
        dead_retries: table.count("dead_retries").unwrap_or(default.dead_retries),
        dead_retry_ms: table.amount("dead_retry").unwrap_or(default.dead_retry_ms),
        abandon_ms: table.amount("abandon").unwrap_or(default.abandon_ms),
        from: match table.text("from") {
            Some("start") => From::Start,
            _ => From::Now,
        },
        at_run_time: false,
        origin,
    })
}

/// Name of the pool of a subscription whose handler is a command.
pub(crate) fn implicit(subscription: &str) -> String {
    format!("subscription.{subscription}")
}

fn handler(name: &str, table: &Checked) -> Option<Handler> {
    if let Some(job) = table.text("job") {
        let job = job.to_owned();
        return Some(Handler::Job { job });
    }
    if let Some(table) = table.table("task") {
        return task(table).map(Handler::Task);
    }
    if table.words("exec").is_some() {
        let pool = implicit(name);
        return Some(Handler::Exec { pool });
    }
    if let Some(item) = table.get("notify") {
        return model_channel::notice(item).map(Handler::Notify);
    }
    webhook(table.get("webhook")?).map(Handler::Webhook)
}

/// A task to be submitted.
pub(crate) fn task(table: &Checked) -> Option<TaskTemplate> {
    let text = |key: &str| table.text(key).map(str::to_owned);
    let args = table.texts("args").into_iter();
    Some(TaskTemplate {
        pool: text("pool")?,
        args: args.map(|(arg, _)| arg).collect(),
        prompt: text("prompt"),
        key: text("key"),
        priority: table
            .int("priority")
            .and_then(|priority| i32::try_from(priority).ok())
            .unwrap_or_default(),
        once: table.bool("once").unwrap_or(false),
    })
}

/// An HTTP request: its URL, or a table.
pub(crate) fn webhook(item: &Item) -> Option<Webhook> {
    let none = Checked::default();
    let (url, more) = match &item.val {
        Val::Text(url) => (url.as_str(), &none),
        Val::Table(webhook) => (webhook.text("url")?, webhook),
        _ => return None,
    };
    let value = |(name, item): &(String, Item)| Some((name.clone(), model::env_value(item)?));
    Some(Webhook {
        url: url.to_owned(),
        headers: more.map("headers").iter().filter_map(value).collect(),
        secret: more.table("secret").and_then(model::secret_value),
    })
}

/// Tries after the first one.
pub(crate) fn retry(table: &Checked, default: Retry) -> Retry {
    let none = Checked::default();
    let Some(retry) = table.table("retries") else {
        let limit = table.count("retries").unwrap_or(default.limit);
        return Retry { limit, ..default };
    };
    let backoff = retry.table("backoff").unwrap_or(&none);
    Retry {
        limit: retry.count("limit").unwrap_or(default.limit),
        backoff_initial_ms: backoff
            .amount("initial")
            .unwrap_or(default.backoff_initial_ms),
        backoff_factor_percent: backoff
            .percent("factor")
            .unwrap_or(default.backoff_factor_percent),
        backoff_max_ms: backoff.amount("max").unwrap_or(default.backoff_max_ms),
    }
}

/// A pool.
pub(crate) fn pool(name: &str, table: &Checked, place: &Place<'_>, origin: Origin) -> Pool {
    let default = Pool::default();
    let count = |key: &str| table.int(key).and_then(|count| u64::try_from(count).ok());
    let mut template = model::daemon(name, Kind::Task, table, place, origin.clone());
    template.description = None;
    if let Some(exits) = exits(table, "success_exits") {
        template.restart.success_exits = exits;
    }
    let work_dir = work_dir(table);
    if table.get("cwd").is_none() && work_dir != WorkDir::Shared {
        template.exec.cwd = "{{ task.dir }}".to_owned();
    }
    Pool {
        name: name.to_owned(),
        description: table.text("description").map(str::to_owned),
        template,
        concurrency: table.count("concurrency").unwrap_or(default.concurrency),
        ageing_ms: table.amount("ageing").unwrap_or(default.ageing_ms),
        rate: table.table("rate").and_then(rate),
        retry: retry(table, default.retry),
        retry_exits: exits(table, "retry_exits"),
        delivery: match table.text("delivery") {
            Some("at-most-once") => Delivery::AtMostOnce,
            _ => Delivery::AtLeastOnce,
        },
        work_dir,
        prompt: match table.text("prompt") {
            Some("stdin") => PromptVia::Stdin,
            Some("file") => PromptVia::File,
            _ => PromptVia::Argv,
        },
        progress: match table.text("progress") {
            Some("json") => ProgressFrom::Json,
            _ => ProgressFrom::Output,
        },
        stall_ms: table.amount("stall"),
        breaker: table.table("breaker").and_then(breaker),
        gates: table.texts("gates").into_iter().map(|(g, _)| g).collect(),
        interactive: table.get("interactive").is_some(),
        queue_max: count("queue_max").unwrap_or(default.queue_max),
        keep_ms: table.amount("keep").unwrap_or(default.keep_ms),
        keep_max: count("keep_max").unwrap_or(default.keep_max),
        implicit: false,
        origin,
    }
}

/// The pool of a subscription or channel that is a command. `table` is what it inherits.
pub(crate) fn handler_pool(
    name: &str,
    subscription: &Subscription,
    argv: &[String],
    table: &Checked,
    place: &Place<'_>,
) -> Pool {
    let mut pool = pool(name, table, place, subscription.origin.clone());
    pool.description.clone_from(&subscription.description);
    pool.template.exec.argv = argv.to_vec();
    pool.template.timeout_ms = Some(subscription.timeout_ms);
    pool.concurrency = subscription.concurrency;
    pool.implicit = true;
    pool
}

fn exits(table: &Checked, key: &str) -> Option<BTreeSet<i32>> {
    let codes = ints(table.list(key)?);
    Some(
        codes
            .filter_map(|(code, _)| i32::try_from(code).ok())
            .collect(),
    )
}

/// So many in a time.
pub(crate) fn rate(table: &Checked) -> Option<Rate> {
    Some(Rate {
        count: table.count("count")?,
        per_ms: table.amount("per")?,
    })
}

fn breaker(table: &Checked) -> Option<Breaker> {
    Some(Breaker {
        failures: table.count("failures")?,
        rest_ms: table.amount("rest")?,
    })
}

fn work_dir(table: &Checked) -> WorkDir {
    let keep = match table.get("work_dir").map(|item| &item.val) {
        Some(Val::Text(word)) if word == "own" => Keep::Failed,
        Some(Val::Table(own)) => match own.text("keep") {
            Some("always") => Keep::Always,
            Some("never") => Keep::Never,
            _ => Keep::Failed,
        },
        _ => return WorkDir::Shared,
    };
    WorkDir::Own { keep }
}
