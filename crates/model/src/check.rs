//! Results of the contract's cases.

use std::collections::BTreeMap;

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

/// One place where an app's own OpenAPI document and the contract's say different things. Worth knowing, no failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchemaDifference {
    /// The stack.
    pub stack: StackName,
    /// Method and path.
    pub operation: String,
    /// Where in the operation, for instance `query limit maximum`.
    #[serde(rename = "where")]
    pub place: String,
    /// What the contract says there.
    pub contract: String,
    /// What the app says there.
    pub app: String,
}

/// What a stack does when its database goes away in mid-load and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RecoveryOutcome {
    /// It answers rightly again, by itself.
    Recovered,
    /// It doesn't within the time given.
    DoesNot,
    /// It wasn't tried, for the reason in `detail`.
    NotTried,
}

impl RecoveryOutcome {
    /// The word in tables.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Recovered => "recovers",
            Self::DoesNot => "DOESN'T",
            Self::NotTried => "not tried",
        }
    }
}

/// One stack through an outage of its database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Recovery {
    /// The stack.
    pub stack: StackName,
    /// How it stands.
    pub outcome: RecoveryOutcome,
    /// Seconds from the database's first accepted connection to the stack's first right answer.
    pub right_after_s: Option<f64>,
    /// Seconds from there until the last wrong answer, if any came after the first right one.
    pub wrong_until_s: Option<f64>,
    /// What it answered while the database was away, counted: a status, `hang` or what broke.
    pub away: BTreeMap<String, u64>,
    /// What it answered after the database was back, counted alike.
    pub back: BTreeMap<String, u64>,
    /// What was seen, in words, or why it wasn't tried.
    pub detail: String,
}
