//! Following events.
//!
//! Purpose: give one reader the events it wants, in order, from any point on, as they reach the
//! disk.
//! Invariants: none is left out, however slowly it reads: it reads from the database, with a
//! connection of its own, so that it slows nobody; it sees nothing that a power cut could take.
//! Deliberately absent: any memory of readers. Whoever comes again says where to go on.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use eud_core::event::{Event, Seq};
use eud_store::{EventFilter, Page, Reader, Store};
use tokio::sync::watch;

use crate::error::CommandError;
use crate::layout::Layout;

/// Most events that are given at once.
pub const FOLLOW_PAGE_MAX: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct Follower {
    reader: Arc<Mutex<Reader>>,
    filter: Arc<EventFilter>,
    durable: watch::Receiver<Seq>,
    after: Seq,
}

impl Follower {
    pub(crate) fn new(
        layout: &Layout,
        durable: watch::Receiver<Seq>,
        filter: EventFilter,
        after: Option<Seq>,
    ) -> Result<Self, CommandError> {
        let reader = Store::open_read_only(&layout.database())
            .map_err(|error| CommandError::Storage(error.to_string()))?;
        let after = after.unwrap_or_else(|| *durable.borrow());
        Ok(Self {
            reader: Arc::new(Mutex::new(reader)),
            filter: Arc::new(filter),
            durable,
            after,
        })
    }

    /// Everything up to here was looked at.
    pub fn after(&self) -> Seq {
        self.after
    }

    /// The next events that are wanted, at least one. Nothing is lost when it is dropped before it
    /// ends.
    ///
    /// # Errors
    /// When the journal cannot be read, and [`io::ErrorKind::BrokenPipe`] when the manager has
    /// ended and there are no more.
    pub async fn next(&mut self) -> io::Result<Vec<Arc<Event>>> {
        loop {
            let upto = *self.durable.borrow_and_update();
            if upto <= self.after {
                let changed = self.durable.changed().await;
                changed.map_err(|_| io::ErrorKind::BrokenPipe)?;
                continue;
            }
            let page = self.read(upto).await?;
            self.after = page.upto;
            if !page.events.is_empty() {
                return Ok(page.events);
            }
        }
    }

    async fn read(&self, upto: Seq) -> io::Result<Page> {
        let (reader, filter) = (Arc::clone(&self.reader), Arc::clone(&self.filter));
        let after = self.after;
        let read = tokio::task::spawn_blocking(move || {
            let reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.events(&filter, after, upto, FOLLOW_PAGE_MAX)
        });
        read.await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)
    }
}
