//! Entry for the fuzzer: requests without a manager.
//!
//! Invariant: reads and answers exactly as a connection does; only the results are left out.

use serde_json::Value;

use crate::server::methods;
use crate::server::rpc::{self, Call, Incoming};

/// What a line is answered when every call that is understood succeeds with `null`. `None` when it
/// holds nothing but notifications.
pub fn answer(line: &[u8]) -> Option<String> {
    match rpc::read(line) {
        Incoming::One(call) => one(call),
        Incoming::Batch(calls) => {
            let answers: Vec<String> = calls.into_iter().filter_map(one).collect();
            (!answers.is_empty()).then(|| format!("[{}]", answers.join(",")))
        }
    }
}

fn one(call: Result<Call, String>) -> Option<String> {
    let Call { id, method, params } = match call {
        Ok(call) => call,
        Err(answer) => return Some(answer),
    };
    let result = methods::understand(&method, params).map(|_| Value::Null);
    id.map(|id| rpc::answer(&id, &result))
}
