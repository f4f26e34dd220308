//! Events as others write them: CloudEvents 1.0 in JSON.

use serde_json::{Map, Value};

use super::{Event, NewEvent};
use crate::record::WallMs;

impl NewEvent {
    /// Reads an event in CloudEvents' JSON format. `specversion` may be absent; attributes that
    /// CloudEvents does not name are extensions; `data` is any JSON. Nothing is checked but the
    /// format; see [`NewEvent::check`].
    ///
    /// # Errors
    /// In words: which attribute is wrong, and why.
    pub fn from_cloudevent(event: Value) -> Result<Self, String> {
        let Value::Object(mut event) = event else {
            return Err("an event is a JSON object".to_owned());
        };
        let version = text(&mut event, "specversion")?;
        if let Some(version) = version.filter(|version| version != "1.0") {
            return Err(format!("specversion `{version}`: only 1.0 is known"));
        }
        if event.contains_key("data_base64") {
            return Err(
                "data_base64: binary data is not kept; put it in a file and tell its path".into(),
            );
        }
        let required = |name: &str, value: Option<String>| {
            value.ok_or_else(|| format!("{name} is missing: every event has one"))
        };
        let kind = required("type", text(&mut event, "type")?)?;
        let source = required("source", text(&mut event, "source")?)?;
        // The payload is JSON whatever is said of it: a text is a JSON string.
        text(&mut event, "datacontenttype")?;
        let time_ms = text(&mut event, "time")?.map(|time| read_time(&time));
        Ok(Self {
            id: text(&mut event, "id")?,
            source,
            kind,
            subject: text(&mut event, "subject")?,
            time_ms: time_ms.transpose()?,
            dataschema: text(&mut event, "dataschema")?,
            data: event.remove("data").unwrap_or(Value::Null),
            extensions: event
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| Ok((extension(&name, value)?, name)))
                .map(|pair: Result<_, String>| pair.map(|(value, name)| (name, value)))
                .collect::<Result<_, String>>()?,
        })
    }
}

impl Event {
    /// Reads what [`Event::to_cloudevent`] wrote.
    ///
    /// # Errors
    /// In words: which attribute is wrong, and why.
    pub fn from_cloudevent(mut event: Value) -> Result<Self, String> {
        let mut take = |name: &str| {
            let fields = event.as_object_mut();
            fields.map_or(Ok(None), |fields| text(fields, name))
        };
        let (sequence, stored) = (take("sequence")?, take("eudstored")?);
        let seq = sequence.and_then(|text| text.parse().ok());
        let read = NewEvent::from_cloudevent(event)?;
        Ok(Self {
            seq: seq.ok_or("sequence is missing, or no number")?,
            id: read.id.ok_or("id is missing")?,
            source: read.source,
            kind: read.kind,
            subject: read.subject,
            time_ms: read.time_ms.ok_or("time is missing")?,
            stored_ms: read_time(&stored.ok_or("eudstored is missing")?)?,
            data: read.data,
            dataschema: read.dataschema,
            extensions: read.extensions,
        })
    }
}

/// Takes an attribute that is a text; `null` is none.
fn text(event: &mut Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match event.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(format!("{name} is a text, not {other:.40}")),
    }
}

/// CloudEvents' types are all written as texts here.
fn extension(name: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(_) | Value::Number(_) => Ok(value.to_string()),
        _ => Err(format!(
            "extension attribute `{name}` is a text, a number or a flag; what is larger belongs in data"
        )),
    }
}

fn read_time(text: &str) -> Result<WallMs, String> {
    let time: Result<jiff::Timestamp, _> = text.parse();
    time.map(jiff::Timestamp::as_millisecond).map_err(|_| {
        format!("time `{text}`: write it as RFC 3339 does, such as 2026-01-31T12:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_event_is_read_as_it_is_written() {
        let written = json!({
            "specversion": "1.0", "id": "7", "source": "ci", "type": "build.done",
            "subject": "x", "time": "2026-01-31T12:00:00.5+01:00", "datacontenttype": "application/json",
            "data": {"ok": true}, "traceparent": "00-1", "retries": 3, "nothing": null,
        });
        let event = NewEvent::from_cloudevent(written).unwrap();
        assert_eq!(event.time_ms, Some(1_769_857_200_500));
        assert_eq!(event.data, json!({"ok": true}));
        let extensions: Vec<(&str, &str)> = event
            .extensions
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(extensions, [("retries", "3"), ("traceparent", "00-1")]);
    }

    #[test]
    fn what_is_no_event_is_refused_in_words() {
        let table = [
            (json!(null), "an event is a JSON object"),
            (json!([]), "an event is a JSON object"),
            (json!({"source": "a"}), "type is missing"),
            (json!({"type": "a"}), "source is missing"),
            (json!({"type": 1, "source": "a"}), "type is a text, not 1"),
            (
                json!({"type": "a", "source": "a", "specversion": "0.3"}),
                "only 1.0",
            ),
            (
                json!({"type": "a", "source": "a", "time": "noon"}),
                "time `noon`",
            ),
            (
                json!({"type": "a", "source": "a", "data_base64": "eA=="}),
                "binary data",
            ),
            (
                json!({"type": "a", "source": "a", "x": {}}),
                "extension attribute `x`",
            ),
        ];
        for (written, expected) in table {
            let why = NewEvent::from_cloudevent(written.clone()).unwrap_err();
            assert!(why.contains(expected), "{written}: {why}");
        }
    }
}
