//! `eud emit`: publish events.
//!
//! Invariants: it says that an event is published only once it is on the disk; of many, those that
//! were published are counted also when a later one is refused.

use std::io::{BufRead, Read};
use std::path::Path;

use eud_api::client::Client;
use eud_core::event::{BATCH_MAX, Receipt};
use serde_json::{Map, Value, json};

use crate::args::EmitArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};

/// `eud emit`
///
/// # Errors
/// As the client's; usage, when the payload is none.
pub(crate) fn run(context: &Context, args: &EmitArgs) -> Result<u8, Error> {
    if let Some(path) = &args.lines {
        return lines(context, path, args);
    }
    let mut event = json!({
        "specversion": "1.0",
        "type": args.kind,
        "source": source(args),
    });
    let optional = [("subject", &args.subject), ("id", &args.id)];
    for (name, value) in optional {
        if let Some(value) = value {
            event[name] = json!(value);
        }
    }
    let data = payload(args)?;
    if !data.is_null() {
        event["data"] = data;
    }
    let receipts = publish(&mut context.client()?, vec![event])?;
    if context.common.json {
        context::print_json(&receipts)?;
        return Ok(code::OK);
    }
    let said = receipts.first().map(|receipt| match receipt.duplicate {
        true => format!("known already as event {}\n", receipt.seq),
        false => format!("event {}\n", receipt.seq),
    });
    context::print(&said.unwrap_or_default())?;
    Ok(code::OK)
}

/// The daemon that calls, or the user.
fn source(args: &EmitArgs) -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let daemon = || set("EUD_UNIT").map(|unit| format!("daemon/{unit}"));
    let user = || set("USER").map(|user| format!("user/{user}"));
    let given = args.source.clone().or_else(daemon).or_else(user);
    given.unwrap_or_else(|| format!("user/{}", eud_sys::socket::own_uid()))
}

fn payload(args: &EmitArgs) -> Result<Value, Error> {
    let bad = |what: String| Error::Usage {
        what,
        help: "`key=value` is a text, `key:=value` is JSON; --data takes all of it".into(),
    };
    match args.data.as_deref() {
        Some(text) => {
            let mut read = String::new();
            let text = match text {
                "-" => {
                    let stdin = std::io::stdin().lock().read_to_string(&mut read);
                    stdin.map_err(|e| Error::file("read", Path::new("standard input"), e))?;
                    &read
                }
                text => text,
            };
            serde_json::from_str(text).map_err(|e| bad(format!("the payload is no JSON: {e}")))
        }
        None if args.fields.is_empty() => Ok(Value::Null),
        None => {
            let mut data = Map::new();
            for field in &args.fields {
                let (name, value) = read_field(field).map_err(bad)?;
                if data.insert(name.clone(), value).is_some() {
                    return Err(bad(format!("`{name}` is given twice")));
                }
            }
            Ok(Value::Object(data))
        }
    }
}

fn read_field(field: &str) -> Result<(String, Value), String> {
    let Some((name, value)) = field.split_once('=') else {
        return Err(format!("`{field}` is no `key=value`"));
    };
    let (name, value) = match name.strip_suffix(':') {
        None => (name, Value::from(value)),
        Some(name) => {
            let value = serde_json::from_str(value);
            (name, value.map_err(|e| format!("`{field}`: {e}"))?)
        }
    };
    match name {
        "" => Err(format!("`{field}` has no key")),
        name => Ok((name.to_owned(), value)),
    }
}

/// Publishes what stands in a file, a line each, many at once.
fn lines(context: &Context, path: &Path, args: &EmitArgs) -> Result<u8, Error> {
    let unreadable = |e| Error::file("read", path, e);
    let input: Box<dyn BufRead> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(std::io::BufReader::new(
            std::fs::File::open(path).map_err(unreadable)?,
        )),
    };
    let mut client = context.client()?;
    let (mut batch, mut published, mut duplicates) = (Vec::new(), 0, 0);
    let mut flush = |batch: &mut Vec<Value>, upto: usize| {
        let events = std::mem::take(batch);
        let receipts = publish(&mut client, events).map_err(|error| Error::Usage {
            what: format!("{error}; events up to line {upto} were not published"),
            help: format!("{published} were published before; correct it and publish the rest"),
        })?;
        duplicates += receipts.iter().filter(|receipt| receipt.duplicate).count();
        published += receipts.len();
        Ok::<(), Error>(())
    };
    let mut number = 0;
    for line in input.lines() {
        let line = line.map_err(unreadable)?;
        number += 1;
        if line.trim().is_empty() {
            continue;
        }
        let mut event: Value = serde_json::from_str(&line).map_err(|e| Error::Usage {
            what: format!("{}:{number}: no JSON: {e}", path.display()),
            help: "each line is a CloudEvent in JSON".into(),
        })?;
        if event.is_object() && event.get("source").is_none() {
            event["source"] = json!(source(args));
        }
        batch.push(event);
        if batch.len() == BATCH_MAX {
            flush(&mut batch, number)?;
        }
    }
    if !batch.is_empty() {
        flush(&mut batch, number)?;
    }
    let stored = published - duplicates;
    if context.common.json {
        let told = json!({ "published": stored, "duplicates": duplicates });
        context::print_json(&told)?;
    } else {
        let known = match duplicates {
            0 => String::new(),
            n => format!(", {n} known already"),
        };
        context::print(&format!("published {stored} events{known}\n"))?;
    }
    Ok(code::OK)
}

fn publish(client: &mut Client, events: Vec<Value>) -> Result<Vec<Receipt>, Error> {
    Ok(client.call("event.emit", &json!({ "events": events }))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_text_unless_it_says_that_it_is_json() {
        let read = |field| read_field(field).map(|(name, value)| (name, value.to_string()));
        let pair = |name: &str, value: &str| Ok((name.to_owned(), value.to_owned()));
        assert_eq!(read("a=1"), pair("a", "\"1\""));
        assert_eq!(read("a:=1"), pair("a", "1"));
        assert_eq!(read("a=b=c"), pair("a", "\"b=c\""));
        assert_eq!(read("a:={\"x\":[1]}"), pair("a", "{\"x\":[1]}"));
        for bad in ["a", "=b", ":=1", "a:=x"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
