//! Methods of channels and messages.
//!
//! Invariant: whether what is named exists is for the core to say.

use eud_core::io::ChannelCommand;
use eud_manager::{Handle, Request};
use serde_json::Value;

use super::methods::{Asked, Outcome, encode, failed, none, read};
use crate::protocol::{ChannelParams, MessagesParams, RpcError};
use crate::server::tasks;

/// Reads method and parameters; `None` when the method is none of these.
///
/// # Errors
/// As they are to be told.
pub(super) fn understand(method: &str, params: Value) -> Option<Result<Asked, RpcError>> {
    let numbers = |MessagesParams { ids, all }| tasks::numbers("message", ids, all);
    Some(match method {
        "channel.list" => none(params, Asked::Channels),
        "channel.test" => {
            read(params).map(|ChannelParams { name }| command(ChannelCommand::Test(name)))
        }
        "message.list" => none(params, Asked::Messages),
        "message.retry" => read(params)
            .and_then(numbers)
            .map(|which| command(ChannelCommand::Retry(which))),
        "message.drop" => read(params)
            .and_then(numbers)
            .map(|which| command(ChannelCommand::Drop(which))),
        _ => return None,
    })
}

fn command(command: ChannelCommand) -> Asked {
    Asked::Command(Request::Channel(command))
}

pub(super) async fn list(handle: &Handle) -> Outcome {
    encode(&handle.channels().await.map_err(failed)?)
}

pub(super) async fn messages(handle: &Handle) -> Outcome {
    encode(&handle.messages().await.map_err(failed)?)
}

#[cfg(test)]
mod tests {
    use eud_core::io::Numbers;
    use serde_json::json;

    use super::*;

    fn understood(method: &str, params: Value) -> Result<Asked, RpcError> {
        understand(method, params).expect("a method of channels")
    }

    #[test]
    fn parameters_are_checked() {
        let Ok(Asked::Command(Request::Channel(ChannelCommand::Test(name)))) =
            understood("channel.test", json!({"name": "ops"}))
        else {
            panic!("refused")
        };
        assert_eq!(name, "ops");
        assert!(understood("channel.test", json!({})).is_err());
        assert!(understood("channel.list", json!({"name": "ops"})).is_err());
        assert!(understand("channel.tset", json!({})).is_none());
        for method in ["message.retry", "message.drop"] {
            for bad in [json!({}), json!({"ids": [1], "all": true})] {
                assert!(understood(method, bad).is_err());
            }
            assert!(understood(method, json!({"all": true})).is_ok());
        }
        let Ok(Asked::Command(Request::Channel(ChannelCommand::Drop(which)))) =
            understood("message.drop", json!({"ids": [3]}))
        else {
            panic!("refused")
        };
        assert_eq!(which, Numbers::These(vec![3]));
    }
}
