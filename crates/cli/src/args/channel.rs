//! The command line of channels.

use clap::{Args, Subcommand};
use eud_core::record::MessageId;

/// `eud channels`
#[derive(Debug, Clone, Args)]
pub(crate) struct ChannelsArgs {
    /// What to do; default: list them.
    #[command(subcommand)]
    pub(crate) command: Option<ChannelsCommand>,
}

/// What to do with channels.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ChannelsCommand {
    /// Show channels, and what waits for them
    #[command(after_help = "Example: eud channels list --json")]
    List,
    /// Send a message now, whatever the hour
    #[command(after_help = "\
It is on its way when this returns: `eud channels` shows whether it was sent.

Example: eud channels test ops")]
    Test {
        /// The channel.
        #[arg(value_name = "CHANNEL")]
        name: String,
    },
    /// List messages that are not sent, oldest first
    #[command(after_help = "Example: eud channels messages")]
    Messages,
    /// Send messages again that were given up
    #[command(after_help = "\
Examples: eud channels retry 3
          eud channels retry --all")]
    Retry(MessagesArgs),
    /// Forget messages that were given up
    #[command(after_help = "Example: eud channels drop 3")]
    Drop(MessagesArgs),
}

/// `eud channels retry|drop`
#[derive(Debug, Clone, Args)]
pub(crate) struct MessagesArgs {
    /// Ids of messages.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<MessageId>,
    /// All that were given up.
    #[arg(long)]
    pub(crate) all: bool,
}
