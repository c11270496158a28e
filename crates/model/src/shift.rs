//! Two whole latency distributions compared, percentile by percentile.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One percentile of a shift table: `a / b` with its 95 % t interval over blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShiftRow {
    /// The quantile, 0..1.
    pub quantile: f64,
    /// Geometric mean over blocks of the ratio; `null` where too few blocks have enough requests beyond the quantile.
    pub ratio: Option<f64>,
    /// Lower end of the interval of this row alone.
    pub low: Option<f64>,
    /// Upper end of the interval of this row alone.
    pub high: Option<f64>,
    /// Probability of such a ratio, or one further from 1, if there is no difference, for this row alone.
    pub p: Option<f64>,
    /// Whether it differs, all rows considered at once (Holm, 5 %).
    pub different: bool,
    /// Blocks that it rests on.
    pub blocks: u32,
}

/// How often a request to `a` takes longer than one to `b`, equal times counting half (Vargha and Delaney's Â₁₂).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Superiority {
    /// Mean over blocks, 0..1; 0.5 is no difference.
    pub estimate: f64,
    /// Lower end of the 95 % t interval over blocks.
    pub low: f64,
    /// Upper end of the 95 % t interval over blocks.
    pub high: f64,
    /// Probability of such a mean, or one further from 0.5, if there is no difference.
    pub p: f64,
    /// Blocks that it rests on.
    pub blocks: u32,
}

/// Two distributions compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shift {
    /// p10 to p90, p95 and p99.
    pub rows: Vec<ShiftRow>,
    /// Over all requests; `null` for fewer than eight blocks.
    pub superiority: Option<Superiority>,
}
