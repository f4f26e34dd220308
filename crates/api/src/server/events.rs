//! Publishing and following events.

use eud_core::event::{NewEvent, parse_glob};
use eud_core::io::Refusal;
use eud_manager::{EventFilter, Follower, Handle, Request};
use serde_json::Value;

use crate::protocol::{EmitParams, FollowParams, RpcError, code};
use crate::server::methods::{Failure, failed};
use crate::server::rpc;

/// Reads what is to be published.
///
/// # Errors
/// As they are to be told: which event is none, and why.
pub(super) fn read(params: EmitParams) -> Result<Vec<NewEvent>, RpcError> {
    if params.events.is_empty() {
        let why = "`events` must have at least one event";
        return Err(rpc::error(code::INVALID_PARAMS, why));
    }
    let read = |(index, event)| {
        NewEvent::from_cloudevent(event).map_err(|why| {
            let message = format!("event {index}: {why}");
            let data = serde_json::to_value(Refusal::BadEvent { index, why }).ok();
            RpcError {
                code: code::REFUSED,
                message,
                data,
            }
        })
    };
    params.events.into_iter().enumerate().map(read).collect()
}

/// Publishes. The answer comes when all are on the disk.
pub(super) async fn emit(handle: &Handle, events: Vec<NewEvent>) -> Result<Value, Failure> {
    let accepted = handle.command(Request::Emit(events)).await;
    let receipts = accepted.map_err(failed)?.events;
    let encoded = serde_json::to_value(receipts);
    encoded.map_err(|e| rpc::error(code::INTERNAL, &e.to_string()).into())
}

/// Checks what is to be followed.
///
/// # Errors
/// When a pattern is none.
pub(super) fn check(params: &FollowParams) -> Result<(), RpcError> {
    for pattern in &params.types {
        parse_glob(pattern).map_err(|why| rpc::error(code::INVALID_PARAMS, &why))?;
    }
    Ok(())
}

/// Begins to follow.
///
/// # Errors
/// When the journal cannot be read.
pub(super) fn follow(handle: &Handle, params: FollowParams) -> Result<Follower, Failure> {
    let filter = EventFilter {
        on: params.types,
        subject: params.subject,
        since_ms: None,
    };
    handle.follow(filter, params.after).map_err(failed)
}
