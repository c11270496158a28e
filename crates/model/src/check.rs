//! Results of the contract's cases.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, StackName};

/// How a stack stands to one operation of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckOutcome {
    /// Every case passed.
    Pass,
    /// At least one case failed: the stack isn't measured.
    Fail,
    /// The app's manifest says that it doesn't offer it, with the reason.
    NotOffered,
}

/// One stack and one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckRow {
    /// The stack.
    pub stack: StackName,
    /// The operation.
    pub operation: Operation,
    /// How it stands.
    pub outcome: CheckOutcome,
    /// Number of cases tried and what failed, or the reason why it isn't offered.
    pub detail: String,
}
