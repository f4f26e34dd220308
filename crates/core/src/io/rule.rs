//! What core and shell say to one another about rules.

use crate::record::{ApprovalRow, RuleKey, RuleRow};

/// What a person or a program wants of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleCommand {
    /// Enable or disable a rule.
    Enable {
        /// Its name.
        name: String,
        /// In force.
        enabled: bool,
    },
    /// Let a rule forget what it remembers of its keys: counts, cooldowns, ladders.
    Reset(String),
    /// Decide about an approval.
    Approve {
        /// Its number.
        id: u64,
        /// Do it.
        grant: bool,
        /// Who decides, in words.
        by: String,
    },
}

/// What is made durable about rules.
#[derive(Debug, Clone, PartialEq)]
pub enum RulePersist {
    /// Memory of a rule, without its keys: these stay as they are.
    Put(Box<RuleRow>),
    /// What a rule remembers of one key.
    Key {
        /// Name of the rule.
        rule: String,
        /// The key.
        key: String,
        /// `None`: nothing any more.
        memory: Option<Box<RuleKey>>,
    },
    /// The rule is no longer declared; its keys are forgotten too.
    Forget(String),
    /// A request for approval; kept for a while when it is decided too.
    Approval(Box<ApprovalRow>),
    /// The request is not kept any longer.
    ForgetApproval(u64),
}

/// What is known of rules at the manager's start.
#[derive(Debug, Clone, Default)]
pub struct RuleRecovery {
    /// Rules.
    pub rules: Vec<RuleRow>,
    /// Approvals that are kept.
    pub approvals: Vec<ApprovalRow>,
    /// Number of the last approval ever; 0: there was none.
    pub last_approval: u64,
}
