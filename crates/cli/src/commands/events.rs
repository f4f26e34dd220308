//! `eud events`: what happened, from the journal, with or without a manager.
//!
//! Invariants: followed, none is left out, also while the manager is replaced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use eud_api::client::{Client, Notice};
use eud_core::event::{Event, Seq, catalogue, parse_glob};
use eud_core::fleet::EventType;
use eud_store::{EventFilter, Reader, Store};
use serde_json::{Value, json};

use crate::args::EventsArgs;
use crate::context::{self, Context};
use crate::error::{Error, code};
use crate::render::{events, time};
use crate::selection;

/// Last events to show when it is not said from where on.
const LIMIT: usize = 20;
/// Events that are read at once.
const PAGE: usize = 1_000;
/// How long a manager that went is waited for before somebody is told.
const PAUSE: Duration = Duration::from_millis(500);

/// `eud events`
///
/// # Errors
/// When there is no journal yet, or a pattern is none; followed, when there is no manager.
pub(crate) fn run(context: &Context, args: &EventsArgs) -> Result<u8, Error> {
    if args.types {
        return types(context, &args.kinds);
    }
    let filter = filter(context, args)?;
    let reader = open(context)?;
    let bad = |e: eud_store::StoreError| Error::Internal(e.to_string());
    let mut after = reader.last_event().map_err(bad)?;
    match args.limit {
        // From a point on, and all.
        None if args.after.is_some() || args.since.is_some() => {
            let mut at = args.after.unwrap_or(0);
            loop {
                let page = reader.events(&filter, at, Seq::MAX, PAGE).map_err(bad)?;
                show(context, &page.events)?;
                (at, after) = (page.upto, page.upto);
                if page.is_last {
                    break;
                }
            }
        }
        limit => {
            let limit = limit.unwrap_or(LIMIT);
            let mut found = reader.latest_events(&filter, limit).map_err(bad)?;
            found.retain(|event| args.after.is_none_or(|after| event.seq > after));
            show(context, &found)?;
        }
    }
    if args.follow {
        drop(reader);
        follow(context, args, after)?;
    }
    Ok(code::OK)
}

fn filter(context: &Context, args: &EventsArgs) -> Result<EventFilter, Error> {
    for pattern in &args.kinds {
        parse_glob(pattern).map_err(|what| Error::Usage {
            what,
            help: "`daemon.*` means every type that begins so, `*.failed` every one that ends so"
                .into(),
        })?;
    }
    let since = args.since.as_deref();
    let since = since.map(|text| time::parse_moment(text, &context.screen().clock));
    let since = since.transpose().map_err(|what| Error::Usage {
        what,
        help: "`10m` means ten minutes ago, `09:30` the last time it was that".into(),
    })?;
    Ok(EventFilter {
        on: args.kinds.clone(),
        subject: args.subject.clone(),
        since_ms: since.map(jiff::Timestamp::as_millisecond),
    })
}

fn open(context: &Context) -> Result<Reader, Error> {
    let layout = context.layout()?;
    let path = layout.database();
    Store::open_read_only(&path).map_err(|error| match error {
        eud_store::StoreError::Missing { .. } => Error::NoManager {
            socket: layout.socket(),
            why: Some("there is no journal here yet".into()),
        },
        other => Error::Internal(other.to_string()),
    })
}

fn show(context: &Context, found: &[Arc<Event>]) -> Result<(), Error> {
    let mut text = String::new();
    let screen = context.screen();
    for event in found {
        if context.common.json {
            text.push_str(&event.to_cloudevent().to_string());
            text.push('\n');
        } else {
            text.push_str(&events::line(event, &screen));
        }
    }
    context::print(&text)
}

/// Goes on for ever, through ends of the manager.
fn follow(context: &Context, args: &EventsArgs, mut after: Seq) -> Result<(), Error> {
    let mut client = context.client()?;
    loop {
        match listen(context, args, &mut client, &mut after) {
            Ok(never) => match never {},
            Err(Error::NoManager { .. }) => {}
            Err(error) => return Err(error),
        }
        client = loop {
            match context.client() {
                Ok(client) => break client,
                Err(Error::NoManager { .. }) => std::thread::sleep(PAUSE),
                Err(error) => return Err(error),
            }
        };
    }
}

enum Never {}

fn listen(
    context: &Context,
    args: &EventsArgs,
    client: &mut Client,
    after: &mut Seq,
) -> Result<Never, Error> {
    let params = json!({ "after": *after, "types": args.kinds, "subject": args.subject });
    let _: Value = client.call("event.follow", &params)?;
    loop {
        if let Notice::Event(value) = client.notice(Duration::from_secs(3600))? {
            let event = Event::from_cloudevent(value);
            let event = event.map_err(|why| Error::Internal(format!("an event: {why}")))?;
            *after = event.seq;
            show(context, &[Arc::new(event)])?;
        }
    }
}

/// Every type that matches, and what its payload has.
fn types(context: &Context, patterns: &[String]) -> Result<u8, Error> {
    let wanted = EventFilter {
        on: patterns.to_vec(),
        ..EventFilter::default()
    };
    let layout = context.layout()?;
    let declared: BTreeMap<String, EventType> =
        selection::declared(context, &layout).events.types.clone();
    if context.common.json {
        let own = catalogue::TYPES.iter().map(|found| {
            json!({ "type": found.name, "description": found.doc, "schema": found.schema() })
        });
        let theirs = declared.iter().map(|(name, found)| {
            json!({ "type": name, "description": found.description, "schema": found.schema })
        });
        let all: Vec<Value> = own.chain(theirs).collect();
        context::print_json(&all)?;
    } else {
        let is_wanted = |name: &str| wanted.wants_type(name);
        context::print(&events::types(&declared, is_wanted, &context.screen()))?;
    }
    Ok(code::OK)
}
