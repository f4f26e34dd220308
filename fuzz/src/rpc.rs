//! Requests of clients.
//!
//! What is promised: any line is answered with one line of JSON, or with silence when it holds
//! nothing but notifications; a batch has one answer for each call that is none; ids come back byte
//! for byte.

use eud_api::protocol::RpcError;
use eud_api::server::BATCH_MAX;
use eud_api::server::fuzz::answer;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

type Members<'a> = BTreeMap<String, &'a RawValue>;

pub(crate) fn run(bytes: &[u8]) {
    // A line has no newline: that is what made it a line.
    for line in bytes.split(|byte| *byte == b'\n') {
        one(line);
    }
    if let Ok(error) = serde_json::from_slice::<RpcError>(bytes) {
        let again = serde_json::to_string(&error).expect("it can be written");
        assert_eq!(serde_json::from_str::<RpcError>(&again).ok(), Some(error));
    }
}

fn one(line: &[u8]) {
    let answered = answer(line);
    let parsed: Option<&RawValue> = serde_json::from_slice(line).ok();
    let calls: Option<Vec<&RawValue>> = parsed.and_then(|raw| serde_json::from_str(raw.get()).ok());
    match (parsed, calls) {
        (None, _) => assert_eq!(code(single(answered.as_deref())), -32700),
        (Some(_), Some(calls)) if calls.is_empty() || calls.len() > BATCH_MAX => {
            assert_eq!(code(single(answered.as_deref())), -32600);
        }
        (Some(_), Some(calls)) => batch(&calls, answered.as_deref()),
        (Some(call), None) => answers_call(call, answered.as_deref()),
    }
}

fn batch(calls: &[&RawValue], answered: Option<&str>) {
    let spoken: Vec<&RawValue> = calls
        .iter()
        .copied()
        .filter(|call| !is_notification(call))
        .collect();
    let Some(answered) = answered else {
        assert!(spoken.is_empty(), "{spoken:?} got no answer");
        return;
    };
    let answers: Vec<&RawValue> = serde_json::from_str(answered).expect("an array");
    assert_eq!(answers.len(), spoken.len());
    for (call, answer) in spoken.iter().zip(answers) {
        answers_call(call, Some(answer.get()));
    }
}

fn answers_call(call: &RawValue, answered: Option<&str>) {
    if is_notification(call) {
        assert_eq!(answered, None, "{call} is a notification");
        return;
    }
    let answer = single(answered);
    let id = answer.get("id").map(|id| id.get());
    let asked = members(call).and_then(|call| call.get("id").map(|id| id.get()));
    assert!(
        id == asked || (id == Some("null") && answer.contains_key("error")),
        "{call} was answered {answered:?}"
    );
}

/// A request that is right but for its id, which is absent.
fn is_notification(call: &RawValue) -> bool {
    let Some(call) = members(call) else {
        return false;
    };
    let method = call.get("method").map(|m| m.get());
    let params = call.get("params").map(|p| p.get());
    let is_string = |text: &str| serde_json::from_str::<String>(text).is_ok();
    let is_value = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    !call.contains_key("id")
        && call.get("jsonrpc").is_some_and(|v| v.get() == "\"2.0\"")
        && method.is_some_and(is_string)
        && params.is_none_or(|text| text.starts_with(['{', '[']) && is_value(text))
}

/// Members of an object in which none comes twice where it matters.
fn members(raw: &RawValue) -> Option<Members<'_>> {
    let known = ["jsonrpc", "id", "method", "params"];
    let members: Vec<(String, &RawValue)> = pairs(raw)?;
    for name in known {
        if members.iter().filter(|(key, _)| key == name).count() > 1 {
            return None;
        }
    }
    Some(members.into_iter().collect())
}

fn pairs(raw: &RawValue) -> Option<Vec<(String, &RawValue)>> {
    struct Pairs<'a>(Vec<(String, &'a RawValue)>);
    impl<'de> serde::Deserialize<'de> for Pairs<'de> {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Pairs<'de>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Self::Value, A::Error> {
                    let mut pairs = Vec::new();
                    while let Some(pair) = map.next_entry()? {
                        pairs.push(pair);
                    }
                    Ok(Pairs(pairs))
                }
            }
            from.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Pairs<'_>>(raw.get())
        .ok()
        .map(|pairs| pairs.0)
}

/// The one answer there must be: an object with a result or an error, on one line.
fn single(answered: Option<&str>) -> Members<'_> {
    let answered = answered.expect("an answer");
    assert!(!answered.contains('\n'), "{answered:?}");
    let answer: Members<'_> = serde_json::from_str(answered).expect("an object");
    assert_eq!(answer.get("jsonrpc").map(|v| v.get()), Some("\"2.0\""));
    assert_ne!(answer.contains_key("result"), answer.contains_key("error"));
    assert!(answer.contains_key("id"));
    answer
}

fn code(answer: Members<'_>) -> i64 {
    let error = answer.get("error").expect("an error");
    serde_json::from_str::<RpcError>(error.get())
        .expect("as documented")
        .code
}
