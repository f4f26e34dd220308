//! Arguments of the commands about events and those who get them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// Arguments of `eud emit`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EmitArgs {
    /// Type of the event, such as `model.promoted`.
    #[arg(value_name = "TYPE", required_unless_present = "lines")]
    pub(crate) kind: Option<String>,
    /// Payload: `key=value` is a text, `key:=value` is JSON.
    #[arg(value_name = "KEY=VALUE", conflicts_with = "data")]
    pub(crate) fields: Vec<String>,
    /// Payload as JSON; `-` reads it from standard input.
    #[arg(long, value_name = "JSON")]
    pub(crate) data: Option<String>,
    /// What it is about.
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// Who tells it; default: the daemon that calls, or your user name.
    #[arg(long, value_name = "SOURCE")]
    pub(crate) source: Option<String>,
    /// Unique with the source: published again, it is the same event.
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<String>,
    /// Publish CloudEvents, one a line, from a file or `-`, instead.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    #[arg(conflicts_with_all = ["kind", "fields", "data", "subject", "id"])]
    pub(crate) lines: Option<PathBuf>,
}

/// Arguments of `eud events`.
#[derive(Debug, Clone, Args)]
pub(crate) struct EventsArgs {
    /// Go on with events as they come.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Types to show, `*` stands for anything; may be given again.
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    pub(crate) kinds: Vec<String>,
    /// What they are about.
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) subject: Option<String>,
    /// From this time on: `10m`, `09:30`, `2026-11-25T09:30:00Z`.
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// From the one after this number on.
    #[arg(long, value_name = "NUMBER", conflicts_with = "since")]
    pub(crate) after: Option<u64>,
    /// Last events to show; default: 20, or all when it is said from where on.
    #[arg(short = 'n', long, value_name = "EVENTS")]
    pub(crate) limit: Option<usize>,
    /// Show every type and its payload instead.
    #[arg(long, conflicts_with_all = ["follow", "since", "after", "subject"])]
    pub(crate) types: bool,
}

/// `eud subscriptions`
#[derive(Debug, Clone, Args)]
pub(crate) struct SubscriptionsArgs {
    /// What to do; default: list.
    #[command(subcommand)]
    pub(crate) command: Option<SubscriptionsCommand>,
}

/// What to do with subscriptions.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SubscriptionsCommand {
    /// Show where events go, and who is behind
    #[command(after_help = "Example: eud subscriptions list")]
    List,
    /// Deliver nothing more to a subscription until it is resumed
    #[command(after_help = "Example: eud subscriptions pause index")]
    Pause(SubscriptionArgs),
    /// Go on with a subscription where it was
    #[command(after_help = "Example: eud subscriptions resume index")]
    Resume(SubscriptionArgs),
    /// Let a subscription see events again
    #[command(after_help = "Example: eud subscriptions replay index --after 1200")]
    Replay {
        /// The subscription.
        #[arg(value_name = "SUBSCRIPTION")]
        name: String,
        /// Begin with the event after this number; 0: with the oldest that is kept.
        #[arg(long, value_name = "NUMBER")]
        after: u64,
    },
}

/// One subscription.
#[derive(Debug, Clone, Args)]
pub(crate) struct SubscriptionArgs {
    /// The subscription.
    #[arg(value_name = "SUBSCRIPTION")]
    pub(crate) name: String,
}

/// `eud dlq`
#[derive(Debug, Clone, Args)]
pub(crate) struct DlqArgs {
    /// What to do; default: list.
    #[command(subcommand)]
    pub(crate) command: Option<DlqCommand>,
}

/// What to do with dead letters.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum DlqCommand {
    /// Show events that could not be delivered
    #[command(after_help = "Example: eud dlq list --subscription index")]
    List {
        /// Only of this subscription.
        #[arg(long, value_name = "SUBSCRIPTION")]
        subscription: Option<String>,
    },
    /// Show one with its whole story: tries, errors, the event
    #[command(after_help = "Example: eud dlq show 7")]
    Show {
        /// Number of the dead letter.
        #[arg(value_name = "NUMBER")]
        id: u64,
    },
    /// Try to deliver them again
    #[command(after_help = "Example: eud dlq retry --all")]
    Retry(DeadArgs),
    /// Forget them
    #[command(after_help = "Example: eud dlq drop 7 8")]
    Drop(DeadArgs),
}

/// Which dead letters.
#[derive(Debug, Clone, Args)]
pub(crate) struct DeadArgs {
    /// Numbers of dead letters.
    #[arg(
        value_name = "NUMBER",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub(crate) ids: Vec<u64>,
    /// All there are.
    #[arg(long)]
    pub(crate) all: bool,
}
