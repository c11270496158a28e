//! Suspicion as a type, with advice.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something that makes a number less sure, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Warning {
    /// Stable short name, for instance `G4` or `overloaded`.
    pub id: String,
    /// What it is about: a stack and operation, or the run.
    pub subject: String,
    /// What was seen, with figures.
    pub text: String,
    /// What to do about it.
    pub advice: String,
}
