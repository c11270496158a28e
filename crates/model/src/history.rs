//! Where a history of runs may have changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A proposal, not a verdict: its p is of a place that was chosen because it looks like a change. A duet of the versions
/// before and after decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangePoint {
    /// First run after the change, counted from 0.
    pub index: usize,
    /// Geometric mean of the anchored ratios from the change before to this one.
    pub before: f64,
    /// Geometric mean of the anchored ratios from this change to the next.
    pub after: f64,
    /// `after / before`.
    pub ratio: f64,
    /// p of Student's t test of the two sides, after selection.
    pub p: f64,
    /// Runs before and after that it rests on.
    pub runs: (usize, usize),
}
