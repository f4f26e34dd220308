//! Methods of subscriptions and dead letters.
//!
//! Invariants: what could never be delivered is refused before anybody is asked, with the reason;
//! whether what it names exists is for the core to say; a secret is given as a reference.

use eud_core::fleet::{EnvValue, Handler, Retry, Subscription, TaskTemplate, Webhook};
use eud_core::io::BusCommand;
use eud_manager::{DeadFilter, Handle, Request, check_webhook};
use serde_json::Value;

use super::methods::{Asked, Outcome, encode, failed, none, read};
use crate::protocol::{
    AddParams, DEAD_LETTERS_MAX, DeadListParams, DeadNumbersParams, DeadParams, ReferenceParam,
    ReplayParams, RpcError, ShownDeadLetter, SubscriptionParams, TaskParams, ValueParam,
    WebhookParams, code,
};
use crate::server::{rpc, tasks};

/// Most deliveries at once of a subscription.
const CONCURRENCY_MAX: u32 = 1_000;

/// A delivery may take a day.
const TIMEOUT_MS_MAX: u64 = 86_400_000;

/// Most tries of a delivery, and of a dead letter by itself.
const RETRIES_MAX: u32 = 1_000;

/// Reads method and parameters; `None` when the method is none of these.
///
/// # Errors
/// As they are to be told.
pub(super) fn understand(method: &str, params: Value) -> Option<Result<Asked, RpcError>> {
    let pause = |params, pause| {
        read(params).map(|SubscriptionParams { name }| command(BusCommand::Pause { name, pause }))
    };
    Some(match method {
        "subscription.list" => none(params, Asked::Bus),
        "subscription.add" => read(params)
            .and_then(subscription)
            .map(|made| command(BusCommand::Subscribe(Box::new(made)))),
        "subscription.remove" => {
            read(params).map(|SubscriptionParams { name }| command(BusCommand::Unsubscribe(name)))
        }
        "subscription.pause" => pause(params, true),
        "subscription.resume" => pause(params, false),
        "subscription.replay" => read(params)
            .map(|ReplayParams { name, after }| command(BusCommand::Replay { name, after })),
        "dlq.list" => read(params).map(|params| Asked::DeadLetters(filter(params))),
        "dlq.show" => read(params).map(|DeadParams { id }| Asked::DeadLetter(id)),
        "dlq.retry" => read(params)
            .and_then(|DeadNumbersParams { ids, all }| tasks::numbers("dead letter", ids, all))
            .map(|which| command(BusCommand::RetryDead(which))),
        "dlq.drop" => read(params)
            .and_then(|DeadNumbersParams { ids, all }| tasks::numbers("dead letter", ids, all))
            .map(|which| command(BusCommand::DropDead(which))),
        _ => return None,
    })
}

fn command(command: BusCommand) -> Asked {
    Asked::Command(Request::Bus(command))
}

fn invalid(why: &str) -> RpcError {
    rpc::error(code::INVALID_PARAMS, why)
}

fn subscription(params: AddParams) -> Result<Subscription, RpcError> {
    let default = Subscription::default();
    let handler = handler(params.job, params.task, params.webhook)?;
    let concurrency = params.concurrency.unwrap_or(default.concurrency);
    if !(1..=CONCURRENCY_MAX).contains(&concurrency) {
        return Err(invalid(&format!(
            "`concurrency` must be from 1 to {CONCURRENCY_MAX}"
        )));
    }
    let timeout_ms = params.timeout_ms.unwrap_or(default.timeout_ms);
    if !(1..=TIMEOUT_MS_MAX).contains(&timeout_ms) {
        return Err(invalid(&format!(
            "`timeout_ms` must be from 1 to {TIMEOUT_MS_MAX}"
        )));
    }
    let limit = params.retries.unwrap_or(default.retry.limit);
    let dead_retries = params.dead_retries.unwrap_or(default.dead_retries);
    if limit.max(dead_retries) > RETRIES_MAX {
        return Err(invalid(&format!(
            "`retries` and `dead_retries` must be at most {RETRIES_MAX}"
        )));
    }
    Ok(Subscription {
        name: params.name,
        description: params.description,
        on: params.on,
        filter: params.filter,
        handler,
        ordered_by: params.ordered_by,
        concurrency,
        timeout_ms,
        retry: Retry {
            limit,
            ..default.retry
        },
        dead_retries,
        from: params.from,
        at_run_time: true,
        ..default
    })
}

fn handler(
    job: Option<String>,
    task: Option<TaskParams>,
    webhook: Option<WebhookParams>,
) -> Result<Handler, RpcError> {
    match (job, task, webhook) {
        (Some(job), None, None) => Ok(Handler::Job { job }),
        (None, Some(task), None) => Ok(Handler::Task(TaskTemplate {
            pool: task.pool,
            args: task.args,
            prompt: task.prompt,
            key: task.key,
            priority: task.priority,
            once: task.once,
        })),
        (None, None, Some(webhook)) => {
            let value = |value| match value {
                ValueParam::Plain(text) => EnvValue::Plain(text),
                ValueParam::Reference(from) => reference(from),
            };
            let headers = webhook.headers.into_iter();
            let webhook = Webhook {
                url: webhook.url,
                headers: headers.map(|(name, text)| (name, value(text))).collect(),
                secret: webhook.secret.map(reference),
            };
            check_webhook(&webhook).map_err(|why| invalid(&format!("`webhook`: {why}")))?;
            Ok(Handler::Webhook(webhook))
        }
        _ => Err(invalid(
            "give one of `job`, `task` and `webhook`: where events go",
        )),
    }
}

fn reference(from: ReferenceParam) -> EnvValue {
    match from {
        ReferenceParam::Env(name) => EnvValue::Env(name),
        ReferenceParam::File(path) => EnvValue::File(path),
        ReferenceParam::Command(argv) => EnvValue::Command(argv),
    }
}

fn filter(params: DeadListParams) -> DeadFilter {
    let limit = params.limit.unwrap_or(DEAD_LETTERS_MAX);
    DeadFilter {
        outlet: params
            .subscription
            .map(|name| format!("subscription.{name}")),
        before: params.before,
        limit: limit.min(DEAD_LETTERS_MAX) as usize,
    }
}

pub(super) async fn list(handle: &Handle) -> Outcome {
    encode(&handle.bus().await.map_err(failed)?)
}

pub(super) async fn dead_letters(handle: &Handle, filter: DeadFilter) -> Outcome {
    encode(&handle.dead_letters(filter).await.map_err(failed)?)
}

pub(super) async fn dead_letter(handle: &Handle, id: u64) -> Outcome {
    let (dead_letter, event) = handle.dead_letter(id).await.map_err(failed)?;
    encode(&ShownDeadLetter {
        dead_letter,
        event: event.map(|event| event.to_cloudevent()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn understood(method: &str, params: Value) -> Result<Asked, RpcError> {
        understand(method, params).expect("a method of the bus")
    }

    #[test]
    fn what_could_never_be_delivered_is_refused() {
        let hook = |webhook: Value| json!({"name": "x", "on": ["*"], "webhook": webhook});
        let good = json!({
            "url": "https://[::1]:8443/hook?a=b",
            "headers": {"X-Key": {"env": "KEY"}, "X-Name": "n"},
            "secret": {"file": "/run/secret"},
        });
        let Ok(Asked::Command(Request::Bus(BusCommand::Subscribe(made)))) =
            understood("subscription.add", hook(good))
        else {
            panic!("refused")
        };
        let Handler::Webhook(webhook) = made.handler else {
            panic!("another handler")
        };
        assert_eq!(webhook.headers["X-Key"], EnvValue::Env("KEY".into()));
        assert_eq!(webhook.secret, Some(EnvValue::File("/run/secret".into())));
        for (params, word) in [
            (json!({"name": "x", "on": ["*"]}), "one of"),
            (
                json!({"name": "x", "job": "a", "task": {"pool": "p"}}),
                "one of",
            ),
            (hook(json!({})), "`url`"),
            (hook(json!({"url": "ftp://h/"})), "`url`"),
            (hook(json!({"url": "/hook"})), "`url`"),
            (hook(json!({"url": "http://u:p@h/"})), "header"),
            (hook(json!({"url": "http://h/", "secret": "plain"})), ""),
            (
                hook(json!({"url": "http://h/", "secret": {"file": "x"}})),
                "absolute",
            ),
            (
                hook(json!({"url": "http://h/", "headers": {"A B": "x"}})),
                "A B",
            ),
            (
                hook(json!({"url": "http://h/", "headers": {"HOST": "x"}})),
                "HOST",
            ),
            (json!({"job": "a", "concurrency": 0}), "`concurrency`"),
            (json!({"job": "a", "timeout_ms": 0}), "`timeout_ms`"),
            (json!({"job": "a", "retries": 1_001}), "`retries`"),
            (json!({"job": "a", "form": "now"}), "form"),
        ] {
            let error = understood("subscription.add", params).unwrap_err();
            assert_eq!(error.code, code::INVALID_PARAMS);
            assert!(
                error.message.contains(word),
                "no `{word}`: {}",
                error.message
            );
        }
    }

    #[test]
    fn which_dead_letters_are_meant_is_said_in_one_way() {
        for method in ["dlq.retry", "dlq.drop"] {
            for bad in [json!({}), json!({"ids": [1], "all": true})] {
                let error = understood(method, bad).unwrap_err();
                assert!(error.message.contains("`ids`"), "{}", error.message);
            }
            assert!(understood(method, json!({"ids": [1]})).is_ok());
            assert!(understood(method, json!({"all": true})).is_ok());
        }
        let Ok(Asked::DeadLetters(filter)) =
            understood("dlq.list", json!({"limit": 4_000_000_000_u64}))
        else {
            panic!("refused")
        };
        assert_eq!(filter.limit, DEAD_LETTERS_MAX as usize);
    }
}
