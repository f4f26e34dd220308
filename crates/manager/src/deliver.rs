//! Reading events for the core, and bringing them to those who want them.
//!
//! Invariants: every question and every try is answered; nothing here waits on the engine's thread
//! but for the database.

mod post;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use eud_core::event::Seq;
use eud_core::io::{BusEffect, BusNews, Input};
use eud_store::{EventFilter, Store};

use crate::context::Context;

pub(crate) use post::Post;
pub use post::{ANSWER_BYTES_MAX, POSTS_EACH_MAX, POSTS_MAX};
pub use webhook::check_webhook;

/// How long after a failure to read the core is told, since it asks again at once.
const UNREAD_PAUSE: Duration = Duration::from_secs(1);

/// Carries out one effect.
pub(crate) fn perform(
    context: &Arc<Context>,
    runtime: &tokio::runtime::Handle,
    store: &Store,
    effect: BusEffect,
) {
    match effect {
        BusEffect::Fetch { after, max } => {
            let page = store.events(&EventFilter::default(), after, Seq::MAX, max as usize);
            let (news, pause) = match page {
                Ok(page) => {
                    let news = BusNews::Fetched {
                        after,
                        events: page.events,
                        upto: page.upto,
                    };
                    (news, Duration::ZERO)
                }
                Err(error) => {
                    context.diary.error(&format!("cannot read events: {error}"));
                    (BusNews::Unread { after }, UNREAD_PAUSE)
                }
            };
            tell(context, runtime, news, pause);
        }
        BusEffect::Deliver {
            delivery,
            webhook: hook,
            timeout_ms,
        } => {
            let event = store.event(delivery.seq);
            let limit = Duration::from_millis(timeout_ms);
            let context = Arc::clone(context);
            runtime.spawn(async move {
                let outcome = match event {
                    Ok(Some(event)) => {
                        let reaper = context.reaper.clone();
                        let make = move || webhook::message(&hook, &event, &reaper);
                        context.post.send(&delivery.outlet, limit, make).await
                    }
                    Ok(None) => Err("its event is not kept any more".to_owned()),
                    Err(error) => Err(format!("its event cannot be read: {error}")),
                };
                let news = BusNews::Delivered { delivery, outcome };
                // The engine is gone only when the manager is ending.
                let _ = context.inputs.send(Input::Bus(news)).await;
            });
        }
    }
}

fn tell(context: &Arc<Context>, runtime: &tokio::runtime::Handle, news: BusNews, pause: Duration) {
    let context = Arc::clone(context);
    runtime.spawn(async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        // As above.
        let _ = context.inputs.send(Input::Bus(news)).await;
    });
}
