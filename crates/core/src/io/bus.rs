//! What core and shell say to one another about events and those who get them.

use std::sync::Arc;

use super::Numbers;
use crate::event::{Digest, Event, Seq};
use crate::fleet::{Subscription, Webhook};
use crate::record::{DeadLetterRow, DeliveryRow, Outlet, SubscriptionRow, WallMs};

/// What a person or a program wants of subscriptions and dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BusCommand {
    /// Make or change a subscription at run time.
    Subscribe(Box<Subscription>),
    /// End a subscription that was made at run time.
    Unsubscribe(String),
    /// Deliver nothing more to a subscription, or go on.
    Pause {
        /// Its name.
        name: String,
        /// Pause it; else go on.
        pause: bool,
    },
    /// Let a subscription begin anew after this event.
    Replay {
        /// Its name.
        name: String,
        /// 0: from the oldest that is kept.
        after: Seq,
    },
    /// Try dead letters again.
    RetryDead(Numbers),
    /// Forget dead letters.
    DropDead(Numbers),
}

/// News for the bus.
#[derive(Debug, Clone, PartialEq)]
pub enum BusNews {
    /// Answer to [`BusEffect::Fetch`].
    Fetched {
        /// As it was asked.
        after: Seq,
        /// The events that are kept, in order. Fewer than asked for: there are no more, or they are
        /// large.
        events: Vec<Arc<Event>>,
        /// There is nothing kept from `after` up to here but what is in `events`.
        upto: Seq,
    },
    /// Answer to [`BusEffect::Fetch`] when nothing could be read. Told a while later: it is asked
    /// again at once.
    Unread {
        /// As it was asked.
        after: Seq,
    },
    /// Answer to [`BusEffect::Deliver`].
    Delivered {
        /// As it was asked.
        delivery: DeliveryRef,
        /// `Err` says why in words.
        outcome: Result<(), String>,
    },
}

/// Names one try of a delivery.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeliveryRef {
    /// Where it goes.
    pub outlet: Outlet,
    /// The event.
    pub seq: Seq,
    /// See [`DeliveryRow::number`].
    pub number: u64,
    /// Which try, from 1.
    pub attempt: u32,
}

/// What the core wants done about deliveries.
#[derive(Debug, Clone, PartialEq)]
pub enum BusEffect {
    /// Read events that come after this one, and answer with [`BusNews::Fetched`] or
    /// [`BusNews::Unread`].
    Fetch {
        /// Events after this one.
        after: Seq,
        /// How many at most.
        max: u32,
    },
    /// Deliver an event once by HTTP, and answer with [`BusNews::Delivered`].
    Deliver {
        /// Names the try.
        delivery: DeliveryRef,
        /// Where to.
        webhook: Box<Webhook>,
        /// Time it may take.
        timeout_ms: u64,
    },
}

/// What is made durable about events and deliveries.
#[derive(Debug, Clone, PartialEq)]
pub enum BusPersist {
    /// An event.
    Event {
        /// The event.
        event: Arc<Event>,
        /// Digest of its content, if the fleet wants repetitions to be known.
        content: Option<Digest>,
    },
    /// Events that nobody needs any more may go: those stored before `before_ms`, or more than
    /// `keep_max` events old, but none after `upto`, and none that a dead letter or a delivery is
    /// about.
    Prune {
        /// Stored before.
        before_ms: WallMs,
        /// So many of the newest stay.
        keep_max: u64,
        /// None after this one.
        upto: Seq,
    },
    /// Memory of a subscription.
    Subscription(Box<SubscriptionRow>),
    /// The subscription is gone.
    ForgetSubscription(String),
    /// A delivery that is not over.
    Delivery(Box<DeliveryRow>),
    /// A delivery is over.
    DeliveryOver {
        /// Where it went.
        outlet: Outlet,
        /// The event.
        seq: Seq,
        /// See [`DeliveryRow::number`].
        number: u64,
    },
    /// A dead letter.
    DeadLetter(Box<DeadLetterRow>),
    /// The dead letter is gone.
    ForgetDeadLetter(u64),
}

/// What is known of events at the manager's start.
#[derive(Debug, Clone, Default)]
pub struct BusRecovery {
    /// The newest event ever; 0: there was none.
    pub last_seq: Seq,
    /// The last events of others, oldest first, at most [`crate::event::KNOWN_MAX`]: by these
    /// duplicates are known.
    pub known: Vec<Known>,
    /// Subscriptions.
    pub subscriptions: Vec<SubscriptionRow>,
    /// Deliveries that are not over.
    pub deliveries: Vec<DeliveryRow>,
    /// Dead letters.
    pub dead_letters: Vec<DeadLetterRow>,
    /// Number of the last dead letter ever; 0: there was none.
    pub last_dead: u64,
}

/// By what a duplicate of an event is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The event.
    pub seq: Seq,
    /// Digest of its source and id; see [`crate::event::identity`].
    pub identity: Digest,
    /// Digest of its content; see [`Event::content`].
    pub content: Option<Digest>,
    /// When it was stored.
    pub stored_ms: WallMs,
}
