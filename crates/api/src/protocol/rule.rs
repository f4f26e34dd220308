//! Parameters of the methods of rules and approvals.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Parameters of `rule.enable`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnableParams {
    /// Name of the rule.
    pub name: String,
    /// In force, or not. It stays so through reloads, whatever the fleet file says.
    pub enabled: bool,
}

/// Parameters of `rule.reset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleParams {
    /// Name of the rule.
    pub name: String,
}

/// Parameters of `rule.test`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestParams {
    /// Name of the rule.
    pub name: String,
    /// A CloudEvent in JSON; only its `type` must be there.
    pub event: Value,
}

/// Parameters of `approval.decide`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecideParams {
    /// Number of the approval.
    pub id: u64,
    /// Do it, or do not.
    pub grant: bool,
    /// Who decides, in words. Default `a client`.
    #[serde(default)]
    pub by: Option<String>,
}
