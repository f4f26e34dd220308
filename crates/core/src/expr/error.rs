//! Why an evaluation failed, in words.
//!
//! Invariants: the same failure has the same words, so no map is written out; a value of the event
//! is not repeated, for it may be long or secret.

use cel::{ExecutionError, Value};

/// In words.
pub(super) fn words(error: &ExecutionError) -> String {
    use ExecutionError as E;
    match error {
        E::NoSuchKey(key) => {
            let key = super::shortened(key);
            format!("there is no key `{key}`; `has(…)` tells whether there is one")
        }
        E::NoSuchOverload(overload) => super::shortened(&overload.to_string()),
        E::UndeclaredReference(name) => {
            format!("there is no `{}`", super::shortened(name))
        }
        E::UnsupportedBinaryOperator(operator, left, right) => {
            let (left, right) = (noun(left), noun(right));
            format!("{operator} is not possible with {left} and {right}")
        }
        E::ValuesNotComparable(left, right) => {
            format!("{} cannot be compared to {}", noun(left), noun(right))
        }
        E::UnsupportedIndex(index, of) => {
            format!("{} is no index of {}", noun(index), noun(of))
        }
        E::UnsupportedKeyType(key) => format!("{} is no key of a map", noun(key)),
        E::DuplicateKey(_) => "a map has a key twice".to_owned(),
        E::IndexOutOfBounds(Value::Int(index)) => format!("there is no element {index}"),
        E::IndexOutOfBounds(_) => "there is no such element".to_owned(),
        E::DivisionByZero(_) | E::RemainderByZero(_) => "division by zero".to_owned(),
        E::Overflow(operator, ..) => format!("{operator} gives a number that is too large"),
        E::UnsupportedTargetType { target } => format!("it is not possible with {}", noun(target)),
        E::NotSupportedAsMethod { method, target } => {
            let method = super::shortened(method);
            format!("`{method}` is not possible with {}", noun(target))
        }
        E::UnexpectedType { got, want } => format!("it is {got}, and {want} is wanted"),
        E::InvalidArgumentCount { expected, actual } => {
            format!("it takes {expected} arguments, not {actual}")
        }
        E::FunctionError { function, .. } => {
            format!("`{}` is not possible here", super::shortened(function))
        }
        _ => "it cannot be evaluated".to_owned(),
    }
}

fn noun(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Int(_) | Value::UInt(_) => "a whole number",
        Value::Float(_) => "a number with a fraction",
        Value::String(_) => "a text",
        Value::Bytes(_) => "bytes",
        Value::Bool(_) => "true or false",
        Value::Null => "null",
        _ => "a value of another type",
    }
}
