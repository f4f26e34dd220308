//! What core and shell say to one another about channels.

use super::Numbers;
use crate::fleet::Via;
use crate::record::{ChannelRow, Message, MessageId, MessageRow};

/// What a person or a program wants of channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelCommand {
    /// Send a test message on this channel, at once.
    Test(String),
    /// Try messages again that were given up; at once, even in quiet hours.
    Retry(Numbers),
    /// Forget messages: all that were given up, or these, given up or not yet being sent.
    Drop(Numbers),
}

/// Names one try to send.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SendRef {
    /// The channel.
    pub channel: String,
    /// Which of its deliveries; see [`MessageRow::delivery`].
    pub number: u64,
    /// Which try, from 1.
    pub attempt: u32,
}

/// News of channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelNews {
    /// Answer to [`ChannelEffect::Send`].
    Sent {
        /// As it was asked.
        send: SendRef,
        /// `Err` says why in words.
        outcome: Result<(), String>,
    },
}

/// What the core wants done about channels.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelEffect {
    /// Send once, and answer with [`ChannelNews::Sent`].
    Send {
        /// Names the try.
        send: SendRef,
        /// How. Never [`Via::Exec`]: that is a task.
        via: Box<Via>,
        /// At least one; more are sent as one.
        messages: Vec<Message>,
        /// Time it may take.
        timeout_ms: u64,
    },
}

/// What is made durable about channels.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelPersist {
    /// Memory of a channel.
    Channel(Box<ChannelRow>),
    /// The channel is no longer declared.
    ForgetChannel(String),
    /// A message that is not sent.
    Message(Box<MessageRow>),
    /// A message was sent or dropped.
    ForgetMessage(MessageId),
}

/// What is known of channels at the manager's start.
#[derive(Debug, Clone, Default)]
pub struct ChannelRecovery {
    /// Channels.
    pub channels: Vec<ChannelRow>,
    /// Messages that wait or were given up.
    pub messages: Vec<MessageRow>,
}
