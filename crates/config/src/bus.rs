//! What subscriptions and pools say about daemons, gates and each other.
//!
//! Purpose: jobs, pools and gates that do not exist, statements that cannot both hold.
//! Invariants: names are only looked up when all files could be read.

use std::collections::{BTreeMap, BTreeSet};

use eud_core::fleet::{EnvValue, EventType, Fleet, Kind, Pool, PromptVia, Subscription};
use eud_core::template::Template;

use crate::checked::Checked;
use crate::diagnostic::Code;
use crate::gauges::Gates;
use crate::model_bus;
use crate::relations::Declarations;
use crate::source::{At, Draft, Report, quoted};

/// Most subscriptions, pools, and types of events, of each.
const EACH_MAX: usize = 1_000;

/// A type of events as declared.
pub(crate) struct DeclaredType {
    pub(crate) at: At,
    pub(crate) event_type: EventType,
}

/// A subscription as declared.
pub(crate) struct DeclaredSubscription {
    pub(crate) at: At,
    pub(crate) table: Checked,
    /// `None` when it was wrong.
    pub(crate) subscription: Option<Subscription>,
    /// Made for it when its handler is a command.
    pub(crate) pool: Option<Pool>,
}

/// A pool as declared.
pub(crate) struct DeclaredPool {
    pub(crate) at: At,
    pub(crate) table: Checked,
    pub(crate) pool: Pool,
}

pub(crate) type EventTypes = BTreeMap<String, DeclaredType>;
pub(crate) type Subscriptions = BTreeMap<String, DeclaredSubscription>;
pub(crate) type Pools = BTreeMap<String, DeclaredPool>;

/// Puts what was declared into the fleet.
pub(crate) fn declare(
    types: &EventTypes,
    subscriptions: &Subscriptions,
    pools: &Pools,
    fleet: &mut Fleet,
) {
    for (name, declared) in types {
        let event_type = declared.event_type.clone();
        fleet.events.types.insert(name.clone(), event_type);
    }
    let implicit = subscriptions.values().filter_map(|s| s.pool.as_ref());
    for pool in pools
        .values()
        .map(|declared| &declared.pool)
        .chain(implicit)
    {
        fleet.pools.insert(pool.name.clone(), pool.clone());
    }
    for subscription in subscriptions
        .values()
        .filter_map(|s| s.subscription.as_ref())
    {
        let name = subscription.name.clone();
        fleet.subscriptions.insert(name, subscription.clone());
    }
}

/// Checks that need no other file. Answers whether there are few enough to look further.
pub(crate) fn check_alone(
    types: &EventTypes,
    subscriptions: &Subscriptions,
    pools: &Pools,
    report: &mut Report,
) -> bool {
    for declared in subscriptions.values() {
        subscription_alone(declared, report);
    }
    for declared in pools.values() {
        pool_alone(declared, report);
    }
    let mut bounded = true;
    let mut few = |count: usize, what: &str, last: Option<At>| {
        if let (Some(at), true) = (last, count > EACH_MAX) {
            let message = format!("there are more than {EACH_MAX} {what}");
            report.push(Draft::error(Code::TooMany, at, message));
            bounded = false;
        }
    };
    let last = types.values().map(|declared| declared.at).max();
    few(types.len(), "types of events", last);
    let last = subscriptions.values().map(|declared| declared.at).max();
    few(subscriptions.len(), "subscriptions", last);
    few(pools.len(), "pools", pools.values().map(|d| d.at).max());
    bounded
}

fn subscription_alone(declared: &DeclaredSubscription, report: &mut Report) {
    let Some(subscription) = &declared.subscription else {
        return;
    };
    let table = &declared.table;
    if let (true, Some(at)) = (subscription.on.is_empty(), table.at("on"))
        && !report.refuses_within(at)
    {
        let draft = Draft::error(Code::Missing, at, "no type of events is meant");
        report.push(draft.label("name one; \"*\" means all"));
    }
    if let Some(task) = table.table("task") {
        once_alone(task, report);
    }
    let retry = &subscription.retry;
    let delays = (retry.backoff_initial_ms, retry.backoff_max_ms);
    backoff(table, delays, report);
}

/// `once` without a key.
pub(crate) fn once_alone(task: &Checked, report: &mut Report) {
    if task.bool("once") == Some(true)
        && let (Some(at), None) = (task.at("once"), task.get("key"))
    {
        let message = "`once` is about tasks of the same key, and there is no `key`";
        let draft = Draft::error(Code::Missing, at, message);
        report.push(draft.label("give `key`, a text if all are the same"));
    }
}

/// The same as [`backoff`], of what is tried as often as the deliveries of a subscription.
pub(crate) fn backoff_of_tries(table: &Checked, report: &mut Report) {
    let retry = model_bus::retry(table, Subscription::default().retry);
    let delays = (retry.backoff_initial_ms, retry.backoff_max_ms);
    backoff(table, delays, report);
}

/// A first delay that is longer than the longest.
fn backoff(table: &Checked, (initial, max): (u64, u64), report: &mut Report) {
    let backoff = table
        .table("retries")
        .and_then(|retry| retry.table("backoff"));
    let at = backoff.and_then(|b| b.at("initial").or_else(|| b.at("max")));
    if let (Some(at), true) = (at, initial > max) {
        let message = format!("the first delay ({initial} ms) is above the longest ({max} ms)");
        let draft = Draft::error(Code::Contradiction, at, message);
        report.push(draft.label("`initial` must not exceed `max`"));
    }
}

fn pool_alone(declared: &DeclaredPool, report: &mut Report) {
    let (pool, table) = (&declared.pool, &declared.table);
    backoff(
        table,
        (pool.retry.backoff_initial_ms, pool.retry.backoff_max_ms),
        report,
    );
    if let (Some(at), 0) = (table.at("retry_exits"), pool.retry.limit) {
        let message =
            "`retry_exits` says after which exits there are further tries, and there are none";
        let draft = Draft::error(Code::Misplaced, at, message);
        report.push(draft.label("give `retries`, or leave it out"));
    }
    let named = variables(pool);
    let says = |name: &str| named.contains(name) || named.contains("task");
    if let (PromptVia::File, false, Some(at)) =
        (pool.prompt, says("task.prompt_file"), table.at("prompt"))
    {
        let message = "the command never learns of the prompt's file";
        let draft = Draft::warning(Code::Contradiction, at, message);
        report.push(draft.label("name `{{ task.prompt_file }}` in `command` or `env`"));
    }
    if let (PromptVia::Stdin, true, Some(at)) =
        (pool.prompt, says("task.prompt"), table.at("prompt"))
    {
        let message = "the prompt is given twice: on standard input, and as `{{ task.prompt }}`";
        let draft = Draft::warning(Code::Contradiction, at, message);
        report.push(draft.label("leave one out"));
    }
}

/// Variables of all templates of a pool.
fn variables(pool: &Pool) -> BTreeSet<String> {
    let exec = &pool.template.exec;
    let env = exec.env.values().filter_map(|value| match value {
        EnvValue::Plain(text) => Some(text),
        _ => None,
    });
    let texts = exec.argv.iter().chain(env).chain([&exec.cwd]);
    let parsed = texts.filter_map(|text| Template::parse(text).ok());
    parsed.flat_map(|template| template.variables()).collect()
}

/// Looks up all names.
pub(crate) fn references(
    daemons: &Declarations,
    gates: &Gates,
    subscriptions: &Subscriptions,
    pools: &Pools,
    report: &mut Report,
) {
    for declared in subscriptions.values() {
        let table = &declared.table;
        if let (Some(name), Some(at)) = (table.text("job"), table.at("job")) {
            job(daemons, name, at, report);
        }
        if let Some(task) = table.table("task") {
            pool_of_task(task, pools, report);
        }
    }
    for declared in pools.values() {
        for (name, at) in declared.table.texts("gates") {
            if !gates.contains_key(&name) {
                let known = gates.keys().map(String::as_str).collect();
                unknown("gate", Code::UnknownGate, &name, (at, known), report);
            }
        }
    }
}

/// Looks up the pool of a task.
pub(crate) fn pool_of_task(task: &Checked, pools: &Pools, report: &mut Report) {
    if let (Some(name), Some(at)) = (task.text("pool"), task.at("pool"))
        && !pools.contains_key(name)
    {
        let known = pools.keys().map(String::as_str).collect();
        unknown("pool", Code::UnknownPool, name, (at, known), report);
    }
}

fn job(daemons: &Declarations, name: &str, at: At, report: &mut Report) {
    let is_job = |declared: &crate::relations::Declared| declared.daemon.kind == Kind::Job;
    let Some(found) = daemons.get(name) else {
        let jobs = daemons.iter().filter(|(_, declared)| is_job(declared));
        let known = jobs.map(|(name, _)| name.as_str()).collect();
        unknown("job", Code::UnknownDaemon, name, (at, known), report);
        return;
    };
    if !is_job(found) {
        let message = format!("daemon `{name}` is a service, and only a job can fire");
        let draft = Draft::error(Code::Contradiction, at, message).label("named here");
        report.push(draft.also(found.at, "give it `kind = \"job\"`"));
    } else if !found.daemon.enabled {
        let message = format!("job `{name}` is disabled: no event would ever be delivered");
        let draft = Draft::error(Code::Contradiction, at, message).label("named here");
        report.push(draft.also(found.at, "enable it"));
    }
}

/// Reports a name that is not defined; `known` are those that are.
pub(crate) fn unknown(
    noun: &str,
    code: Code,
    name: &str,
    (at, known): (At, Vec<&str>),
    report: &mut Report,
) {
    let near = report.nearest(name, known.iter().copied());
    let message = format!("{noun} {} is not defined", quoted(name));
    let draft = Draft::error(code, at, message);
    let section = match noun {
        "job" => "daemons",
        "pool" => "pools",
        "channel" => "channels",
        _ => "gates",
    };
    let some = known
        .iter()
        .take(8)
        .copied()
        .collect::<Vec<&str>>()
        .join(", ");
    report.push(match (&near, some.is_empty()) {
        (Some(_), _) => draft.suggest(near),
        (None, true) => draft.label(format!("declare it as `[{section}.<name>]`")),
        (None, false) => draft.label(format!("known: {some}")),
    });
}
