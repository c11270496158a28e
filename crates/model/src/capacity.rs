//! The capacity of a stack under an SLO: the search's state, so that it can go on in another session, and its result.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One trial of a capacity search: a few seconds of load at one offered rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityTrial {
    /// Offered requests per second.
    pub rate_per_s: f64,
    /// Whether the SLO was missed, the server overloaded, or more than 0.1 % of answers were wrong.
    pub failed: bool,
}

/// All that a capacity search knows. The posterior follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityState {
    /// Throughput of a saturated closed loop, in requests per second: the scale of the search's grid.
    pub saturation_per_s: f64,
    /// Trials of the search, in order.
    pub trials: Vec<CapacityTrial>,
    /// Whether trials at the interval's lower end failed, once the search is over.
    #[serde(default)]
    pub confirmations: Vec<bool>,
}

/// How a capacity search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CapacityOutcome {
    /// More trials are needed, of the search or of the confirmation.
    Unfinished,
    /// Found within 2 % and confirmed.
    Found,
    /// All the trials that a search may take leave an interval that is wider than 2 % to either side; it is confirmed.
    Wide,
    /// Fewer than two of three trials at the interval's lower end passed: something isn't as the model says.
    NotConfirmed,
    /// Below the range, a fifth of the saturated throughput: no number, at most an upper end.
    BelowRange,
    /// Above the range, 1.08 times the saturated throughput: no number, at most a lower end. The saturated throughput was too low.
    AboveRange,
}

/// The highest rate at which a stack meets an SLO, with its central 95 % of probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CapacityResult {
    /// How the search ended.
    pub outcome: CapacityOutcome,
    /// Posterior median, in requests per second; `null` outside the range.
    pub capacity_per_s: Option<f64>,
    /// Lower end of the central 95 %, in requests per second; `null` where it isn't within the range.
    pub low_per_s: Option<f64>,
    /// Upper end of the central 95 %, in requests per second; `null` where it isn't within the range.
    pub high_per_s: Option<f64>,
    /// How soft the edge is, as a share of the capacity (posterior mean of σ): trials pass and fail at random from about two
    /// of it below the capacity to two above.
    pub edge: f64,
    /// Share of trials that fail well below the capacity (posterior mean of γ).
    pub chance: f64,
    /// Trials of the search.
    pub trials: u32,
    /// Trials at the lower end that passed, and all of them.
    pub confirmed: (u32, u32),
    /// The outcome in words.
    pub reason: String,
}
