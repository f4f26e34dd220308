//! The command line of rules and approvals.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// `eud rule`
#[derive(Debug, Clone, Args)]
pub(crate) struct RuleArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: RuleCommand,
}

/// What to do with rules.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum RuleCommand {
    /// Show rules, and how often they acted
    #[command(after_help = "Example: eud rule list")]
    List,
    /// Show everything known of one rule
    #[command(after_help = "Example: eud rule show missing-script")]
    Show(RuleNameArgs),
    /// Put a rule in force, whatever the fleet file says
    #[command(after_help = "Example: eud rule enable missing-script")]
    Enable(RuleNameArgs),
    /// Let a rule do nothing, until it is enabled
    #[command(after_help = "Example: eud rule disable missing-script")]
    Disable(RuleNameArgs),
    /// Forget counts, cooldowns and ladders of a rule
    #[command(after_help = "Example: eud rule reset missing-script")]
    Reset(RuleNameArgs),
    /// Show what a rule would do about an event; nothing is done
    #[command(after_help = "\
The event is a CloudEvent in JSON: a line of `eud events --json`, or
{\"type\": \"daemon.exited\", \"subject\": \"web\", \"data\": {\"code\": 127}}.
Exit codes: 0 when it would act, 1 when not.

Examples: eud rule test missing-script --event event.json
          eud events --json -n 1 | eud rule test missing-script --event -")]
    Test {
        /// The rule.
        #[arg(value_name = "RULE")]
        name: String,
        /// The event; `-` is standard input.
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        event: PathBuf,
    },
}

/// One rule.
#[derive(Debug, Clone, Args)]
pub(crate) struct RuleNameArgs {
    /// The rule.
    #[arg(value_name = "RULE")]
    pub(crate) name: String,
}

/// `eud approvals`
#[derive(Debug, Clone, Args)]
pub(crate) struct ApprovalsArgs {
    /// What to do; default: list those that wait.
    #[command(subcommand)]
    pub(crate) command: Option<ApprovalsCommand>,
}

/// What to do with approvals.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ApprovalsCommand {
    /// List what waits for a person
    #[command(after_help = "Example: eud approvals list --all")]
    List {
        /// Also what was decided.
        #[arg(long, short)]
        all: bool,
    },
    /// Do what the rule asks for
    #[command(after_help = "Example: eud approvals grant 7")]
    Grant(ApprovalArgs),
    /// Do not do it
    #[command(after_help = "Example: eud approvals deny 7")]
    Deny(ApprovalArgs),
}

/// One approval.
#[derive(Debug, Clone, Args)]
pub(crate) struct ApprovalArgs {
    /// Its id.
    #[arg(value_name = "ID")]
    pub(crate) id: u64,
}
