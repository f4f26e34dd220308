//! JSON-RPC 2.0: from lines to calls, from results to lines.
//!
//! Invariants: any bytes give calls or error answers, never a panic; an id is echoed byte for byte;
//! a call without an id gets no answer, whatever becomes of it.
//! Deliberately absent: methods.

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::protocol::{RpcError, code};
use crate::server::BATCH_MAX;

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    /// `None`: a notification, which is not answered.
    pub(super) id: Option<Box<RawValue>>,
    pub(super) method: String,
    /// `Null` when absent.
    pub(super) params: Value,
}

/// What a line holds.
#[derive(Debug)]
pub(super) enum Incoming {
    /// A call, or the answer to what is none.
    One(Result<Call, String>),
    /// Several, to be answered by an array.
    Batch(Vec<Result<Call, String>>),
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
}

/// Tells `null` from absent.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(from).map(Some)
}

#[derive(Serialize)]
struct Response<'a, T: Serialize> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
    id: &'a RawValue,
}

#[derive(Serialize)]
struct Notification<'a, T: Serialize> {
    jsonrpc: &'static str,
    method: &'a str,
    params: T,
}

/// Reads one line.
pub(super) fn read(line: &[u8]) -> Incoming {
    let parsed = std::str::from_utf8(line)
        .map_err(|_| "the line is not UTF-8".to_owned())
        .and_then(|text| {
            serde_json::from_str::<&RawValue>(text)
                .map_err(|e| format!("the line is not JSON: {e}"))
        });
    let raw = match parsed {
        Ok(raw) => raw,
        Err(why) => return Incoming::One(Err(failure(None, &error(code::PARSE, &why)))),
    };
    if !raw.get().starts_with('[') {
        return Incoming::One(call(raw));
    }
    match serde_json::from_str::<Vec<&RawValue>>(raw.get()) {
        Ok(calls) if calls.is_empty() => invalid("a batch must not be empty"),
        Ok(calls) if calls.len() > BATCH_MAX => {
            invalid(&format!("a batch has at most {BATCH_MAX} calls"))
        }
        Ok(calls) => Incoming::Batch(calls.into_iter().map(call).collect()),
        Err(e) => invalid(&e.to_string()),
    }
}

fn invalid(why: &str) -> Incoming {
    Incoming::One(Err(failure(None, &error(code::INVALID_REQUEST, why))))
}

fn call(raw: &RawValue) -> Result<Call, String> {
    let refuse = |id: Option<&RawValue>, why: &str| failure(id, &error(code::INVALID_REQUEST, why));
    if !raw.get().starts_with('{') {
        return Err(refuse(None, "a request is an object"));
    }
    let parsed: Raw<'_> =
        serde_json::from_str(raw.get()).map_err(|e| refuse(None, &e.to_string()))?;
    let id = parsed.id;
    if id.is_some_and(|id| !is_id(id)) {
        return Err(refuse(None, "an id is a string, a number or null"));
    }
    if parsed.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        return Err(refuse(id, "`jsonrpc` must be \"2.0\""));
    }
    let method: String = parsed
        .method
        .and_then(|method| serde_json::from_str(method.get()).ok())
        .ok_or_else(|| refuse(id, "`method` must be a string"))?;
    let params = match parsed.params {
        None => Value::Null,
        Some(params) if params.get().starts_with(['{', '[']) => {
            serde_json::from_str(params.get()).map_err(|e| refuse(id, &e.to_string()))?
        }
        Some(_) => return Err(refuse(id, "`params` must be an object")),
    };
    Ok(Call {
        id: id.map(ToOwned::to_owned),
        method,
        params,
    })
}

fn is_id(raw: &RawValue) -> bool {
    let text = raw.get();
    text == "null" || text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit())
}

/// The answer to a call: a line without its newline.
pub(super) fn answer(id: &RawValue, result: &Result<Value, RpcError>) -> String {
    match result {
        Ok(value) => line(&Response {
            jsonrpc: "2.0",
            result: Some(value),
            error: None,
            id,
        }),
        Err(error) => failure(Some(id), error),
    }
}

/// The answer to a call that cannot be understood, or failed.
pub(super) fn failure(id: Option<&RawValue>, error: &RpcError) -> String {
    line(&Response::<()> {
        jsonrpc: "2.0",
        result: None,
        error: Some(error),
        id: id.unwrap_or(RawValue::NULL),
    })
}

/// Something that was not asked for one by one.
pub(super) fn notification(method: &str, params: impl Serialize) -> String {
    line(&Notification {
        jsonrpc: "2.0",
        method,
        params,
    })
}

/// An error without data.
pub(super) fn error(code: i64, message: &str) -> RpcError {
    RpcError {
        code,
        message: message.to_owned(),
        data: None,
    }
}

fn line(message: &impl Serialize) -> String {
    // Plain structures with string keys: the only failure would be that of a map with other keys.
    serde_json::to_string(message).unwrap_or_else(|_| {
        r#"{"jsonrpc":"2.0","error":{"code":-32603,"message":"the answer cannot be encoded"},"id":null}"#
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Codes of the errors that a line leads to, `method` for each well-formed call.
    fn outcome(line: &str) -> String {
        let one = |call: Result<Call, String>| match call {
            Ok(call) => {
                let id = call.id.map_or("-".to_owned(), |id| id.get().to_owned());
                format!("{}({}) id {id}", call.method, call.params)
            }
            Err(answer) => {
                let answer: Value = serde_json::from_str(&answer).unwrap();
                assert_eq!(answer["jsonrpc"], "2.0");
                format!("{} id {}", answer["error"]["code"], answer["id"])
            }
        };
        match read(line.as_bytes()) {
            Incoming::One(call) => one(call),
            Incoming::Batch(calls) => {
                let all: Vec<_> = calls.into_iter().map(one).collect();
                format!("[{}]", all.join(", "))
            }
        }
    }

    #[test]
    fn lines_become_calls_or_errors() {
        for (line, expected) in [
            (
                r#"{"jsonrpc":"2.0","method":"ping","id":1}"#,
                "ping(null) id 1",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"ping","id":null}"#,
                "ping(null) id null",
            ),
            (r#"{"jsonrpc":"2.0","method":"ping"}"#, "ping(null) id -"),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":{"a":1},"id":"é"}"#,
                "x({\"a\":1}) id \"é\"",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":[1],"id":1.50}"#,
                "x([1]) id 1.50",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","id":123456789012345678901234567890}"#,
                "x(null) id 123456789012345678901234567890",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","extra":1,"id":1}"#,
                "x(null) id 1",
            ),
            ("null", "-32600 id null"),
            ("1", "-32600 id null"),
            ("\"x\"", "-32600 id null"),
            ("{}", "-32600 id null"),
            (r#"{"jsonrpc":"1.0","method":"x","id":7}"#, "-32600 id 7"),
            (r#"{"jsonrpc":"2.0","method":1,"id":7}"#, "-32600 id 7"),
            (
                r#"{"jsonrpc":"2.0","method":"x","params":"y","id":7}"#,
                "-32600 id 7",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","id":{}}"#,
                "-32600 id null",
            ),
            (
                r#"{"jsonrpc":"2.0","method":"x","id":true}"#,
                "-32600 id null",
            ),
            ("", "-32700 id null"),
            ("{", "-32700 id null"),
            ("{} {}", "-32700 id null"),
            ("[]", "-32600 id null"),
            ("[1]", "[-32600 id null]"),
            (
                r#"[{"jsonrpc":"2.0","method":"a","id":1},2,{"jsonrpc":"2.0","method":"b"}]"#,
                "[a(null) id 1, -32600 id null, b(null) id -]",
            ),
            ("[1", "-32700 id null"),
        ] {
            assert_eq!(outcome(line), expected, "{line}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_and_depths_that_overflow_are_errors() {
        assert!(matches!(read(b"\xff\xfe"), Incoming::One(Err(e)) if e.contains("-32700")));
        for open in ["[", "{\"a\":"] {
            let deep = open.repeat(100_000);
            assert!(matches!(read(deep.as_bytes()), Incoming::One(Err(_))));
        }
        let deep = format!("[{}{}]", "[".repeat(5_000), "]".repeat(5_000));
        let line = format!(r#"{{"jsonrpc":"2.0","method":"x","params":{deep},"id":3}}"#);
        assert_eq!(outcome(&line), "-32600 id 3");
        let many = format!("[{}1]", "1,".repeat(BATCH_MAX));
        assert_eq!(outcome(&many), "-32600 id null");
    }

    #[test]
    fn answers_echo_the_id() {
        let id: Box<RawValue> = serde_json::from_str("1.50").unwrap();
        let line = answer(&id, &Ok(serde_json::json!({"a": 1})));
        assert_eq!(line, r#"{"jsonrpc":"2.0","result":{"a":1},"id":1.50}"#);
        let line = answer(&id, &Err(error(-32601, "no")));
        assert_eq!(
            line,
            r#"{"jsonrpc":"2.0","error":{"code":-32601,"message":"no"},"id":1.50}"#
        );
        assert_eq!(
            answer(&id, &Ok(Value::Null)),
            r#"{"jsonrpc":"2.0","result":null,"id":1.50}"#
        );
    }
}
