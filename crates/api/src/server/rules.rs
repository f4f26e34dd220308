//! Methods of rules and approvals.
//!
//! Invariants: an event for a dry run is read like one that is published; whether a rule or an
//! approval exists is for the core to say.

use eud_core::event::{Event, NewEvent};
use eud_core::io::RuleCommand;
use eud_manager::{Handle, Request};
use serde_json::Value;

use super::methods::{Asked, Outcome, encode, failed, none, read};
use crate::protocol::{DecideParams, EnableParams, RpcError, RuleParams, TestParams, code};
use crate::server::rpc;

/// Longest name of who decides, in bytes.
const BY_BYTES_MAX: usize = 512;

/// Reads method and parameters; `None` when the method is none of these.
///
/// # Errors
/// As they are to be told.
pub(super) fn understand(method: &str, params: Value) -> Option<Result<Asked, RpcError>> {
    Some(match method {
        "rule.list" => none(params, Asked::Rules),
        "rule.enable" => read(params)
            .map(|EnableParams { name, enabled }| command(RuleCommand::Enable { name, enabled })),
        "rule.reset" => read(params).map(|RuleParams { name }| command(RuleCommand::Reset(name))),
        "rule.test" => read(params).and_then(test),
        "approval.list" => none(params, Asked::Approvals),
        "approval.decide" => read(params).and_then(decide).map(command),
        _ => return None,
    })
}

fn command(command: RuleCommand) -> Asked {
    Asked::Command(Request::Rule(command))
}

fn decide(params: DecideParams) -> Result<RuleCommand, RpcError> {
    let DecideParams { id, grant, by } = params;
    let by = by.unwrap_or_else(|| "a client".to_owned());
    if by.len() > BY_BYTES_MAX {
        let bytes = by.len();
        let why = format!("`by` has {bytes} bytes, and at most {BY_BYTES_MAX} are allowed");
        return Err(rpc::error(code::INVALID_PARAMS, &why));
    }
    Ok(RuleCommand::Approve { id, grant, by })
}

/// What is not said of the event is as if it were published now by nobody in particular.
fn test(params: TestParams) -> Result<Asked, RpcError> {
    let TestParams { name, mut event } = params;
    if let Value::Object(fields) = &mut event {
        // An event that was read from the journal may be tried too.
        for own in ["sequence", "eudstored"] {
            fields.remove(own);
        }
        let source = fields.entry("source").or_insert(Value::Null);
        if source.is_null() {
            *source = Value::from("test");
        }
    }
    let new = NewEvent::from_cloudevent(event).map_err(|why| {
        let why = format!("`event`: {why}");
        rpc::error(code::INVALID_PARAMS, &why)
    })?;
    let now_ms = eud_sys::clock::wall_ms();
    let event = Event {
        seq: 0,
        id: new.id.unwrap_or_else(|| "test".to_owned()),
        source: new.source,
        kind: new.kind,
        subject: new.subject,
        time_ms: new.time_ms.unwrap_or(now_ms),
        stored_ms: now_ms,
        data: new.data,
        dataschema: new.dataschema,
        extensions: new.extensions,
    };
    Ok(Asked::TryRule(name, Box::new(event)))
}

/// `rule.list`
pub(super) async fn list(handle: &Handle) -> Outcome {
    encode(&handle.rules().await.map_err(failed)?)
}

/// `rule.test`
pub(super) async fn try_out(handle: &Handle, name: &str, event: Event) -> Outcome {
    encode(&handle.try_rule(name, event).await.map_err(failed)?)
}

/// `approval.list`
pub(super) async fn approvals(handle: &Handle) -> Outcome {
    encode(&handle.approvals().await.map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_checked() {
        let asked = |method, params| understand(method, params).unwrap();
        assert!(matches!(asked("rule.list", Value::Null), Ok(Asked::Rules)));
        let bad = [
            ("rule.enable", json!({ "name": "r" })),
            ("rule.reset", json!({ "name": "r", "all": true })),
            ("rule.test", json!({ "name": "r", "event": {} })),
            ("rule.test", json!({ "name": "r", "event": [] })),
            ("approval.decide", json!({ "id": -1, "grant": true })),
            (
                "approval.decide",
                json!({ "id": 1, "grant": true, "by": "x".repeat(513) }),
            ),
        ];
        for (method, params) in bad {
            let refused = asked(method, params.clone()).unwrap_err();
            assert_eq!(refused.code, code::INVALID_PARAMS, "{method} {params}");
        }
        assert!(understand("rule.forget", Value::Null).is_none());
    }

    #[test]
    fn an_event_that_was_followed_may_be_tried() {
        let event = Event {
            seq: 7,
            kind: "t.go".into(),
            id: "a".into(),
            source: "eud/x".into(),
            ..Event::default()
        };
        let params = json!({ "name": "r", "event": event.to_cloudevent() });
        let Some(Ok(Asked::TryRule(name, read))) = understand("rule.test", params) else {
            panic!("not understood")
        };
        assert_eq!((name.as_str(), read.source.as_str()), ("r", "eud/x"));
        assert!(read.extensions.is_empty());
    }
}
