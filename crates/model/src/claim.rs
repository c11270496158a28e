//! Claims: hypotheses about stacks as people write them in `hypotheses/*.claims` (METHOD, section 7), and what was
//! decided about them. Every part prints itself in the grammar, and is read back by `dyno_plan::parse_claims`.

mod region;

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use region::{End, EndError, Region, Unit};

use crate::{Operation, Rate, Slo, Span, StackName};

/// One claim: predicates that must all hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// What people call it; no other claim of the file has this name.
    pub name: String,
    /// What it says; at least one. It holds if all of them do.
    pub predicates: Vec<Predicate>,
    /// By how much at least orderings must hold, in percent; 0 when left out. Regions say so themselves.
    pub delta_percent: Option<f64>,
    /// How sure a decision shall be, in percent; 95 when left out.
    pub level_percent: Option<f64>,
    /// Claims of one family are decided together (Holm).
    pub family: Option<String>,
    /// Line of the file that it begins in, from 1.
    pub line: usize,
}

/// What a claim says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Predicate {
    /// `p99(a/b, rate=500/s) in (0,20ms)`.
    Value {
        /// The quantity.
        of: Quantity,
        /// Where it lies.
        region: Region,
    },
    /// `throughput(a/b)/throughput(c/d) in (1,1.5)`.
    Ratio {
        /// The ratio.
        of: Ratio,
        /// Where it lies.
        region: Region,
    },
    /// `p99(a/b, rate=500/s) - p99(c/d, rate=500/s) in (-inf,5ms)`.
    Difference {
        /// What is left ...
        from: Quantity,
        /// ... less this.
        less: Quantity,
        /// Where the difference lies.
        region: Region,
    },
    /// `(throughput(a/b)/throughput(c/d)) / (throughput(e/f)/throughput(g/h)) in (0,1)`: an interaction.
    RatioOfRatios {
        /// Numerator.
        over: Box<Ratio>,
        /// Denominator.
        under: Box<Ratio>,
        /// Where the ratio of ratios lies.
        region: Region,
    },
    /// `throughput(a/b) > throughput(c/d) > throughput(e/f)`.
    Ordering {
        /// From the largest to the smallest; at least two.
        of: Vec<Quantity>,
    },
    /// `fastest throughput(a/b) of {c/d, e/f}`: better than with any other stack of the set.
    Fastest {
        /// The best one.
        of: Quantity,
        /// The others; `of`'s own stack may be among them.
        set: Vec<StackName>,
    },
}

/// A ratio of two quantities of one metric.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ratio {
    /// Numerator.
    pub over: Quantity,
    /// Denominator.
    pub under: Quantity,
}

/// What is measured, of which stack, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Quantity {
    /// What is measured.
    pub metric: ClaimMetric,
    /// Of which stack.
    pub stack: StackName,
    /// How.
    pub settings: Settings,
}

/// How a quantity is measured. What is left out is the runner's own choice, the same for every quantity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The operation that is asked.
    pub op: Operation,
    /// Worker processes.
    pub workers: Option<u32>,
    /// Threads of each worker.
    pub threads: Option<u32>,
    /// Database connections of the whole stack.
    pub connections: Option<u32>,
    /// Offered rate; percentiles have one, nothing else does.
    pub rate: Option<Rate>,
    /// What a capacity must keep; capacities have one, nothing else does.
    pub slo: Option<Slo>,
}

/// What claims can be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClaimMetric {
    /// Right answers per second in a saturated closed loop.
    Throughput,
    /// CPU time of server and front per right answer, in microseconds.
    Cpu,
    /// Median latency from the due time at an offered rate, in microseconds.
    P50,
    /// 90th percentile of the same.
    P90,
    /// 95th percentile of the same.
    P95,
    /// 99th percentile of the same.
    P99,
    /// 99.9th percentile of the same.
    P999,
    /// Highest rate that keeps an objective, in requests per second.
    Capacity,
    /// Memory of server and front under load, in MiB.
    Memory,
}

/// A text that names no metric of claims.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("no metric is called `{0}`: the metrics are {list}", list = ClaimMetric::names().join(", "))]
pub struct UnknownMetric(pub String);

/// What was decided about a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimDecision {
    /// Every interval lies within its region.
    Supported,
    /// An interval has nothing in common with its region.
    Refuted,
    /// Neither; the interval says what is still possible.
    Inconclusive,
    /// It couldn't be measured, or what was measured mustn't be believed.
    NoVerdict,
}

impl ClaimDecision {
    /// As people read it.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Refuted => "refuted",
            Self::Inconclusive => "inconclusive",
            Self::NoVerdict => "no verdict",
        }
    }
}

/// One row of `dyno verdict --format json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimResult {
    /// The claim's name.
    pub claim: String,
    /// What was decided.
    pub decision: ClaimDecision,
    /// Estimate of the part that decided: a ratio, or a figure in its unit (requests/s, us, MiB).
    pub estimate: Option<f64>,
    /// Lower end of its interval, at the level that the decision was made with.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// Paired blocks that it rests on; of capacities the trials of their searches.
    pub blocks: u32,
    /// The most that the probability of this decision is if the claim is in truth otherwise, over all looks; `null` where
    /// nothing was decided.
    pub error_rate: Option<f64>,
    /// The decision in words.
    pub reason: String,
}

/// `verdict.json` in a verdict's folder: written after each session, so that it can go on where it was stopped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct VerdictRecord {
    /// Version of the format.
    pub format: u32,
    /// The files of claims, as they were named.
    pub files: Vec<PathBuf>,
    /// The claims as they were read, file by file.
    pub claims: Vec<Vec<Claim>>,
    /// Time for each session.
    pub budget: Span,
    /// Seed of every random choice.
    pub seed: u64,
    /// What is measured, in order.
    pub sessions: Vec<SessionRecord>,
    /// What was decided of each claim whose session is over, in the order of the claims.
    pub results: Vec<ClaimResult>,
    /// The command that repeats it.
    pub command: Vec<String>,
}

/// One session of a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SessionRecord {
    /// Names of the claims that it decides.
    pub claims: Vec<String>,
    /// Stacks, the last one the baseline.
    pub stacks: Vec<StackName>,
    /// Operations.
    pub operations: Vec<Operation>,
    /// Offered rates.
    pub rates: BTreeMap<Operation, Rate>,
    /// The objective, where capacities are searched instead of measuring blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slo: Option<Slo>,
    /// Its run's folder beside `verdict.json`, once it began.
    pub run: Option<String>,
    /// Whether it is over.
    pub done: bool,
    /// Why nothing was measured.
    pub failure: Option<String>,
}

impl ClaimMetric {
    /// Every metric.
    pub const ALL: [Self; 9] = [
        Self::Throughput,
        Self::Cpu,
        Self::P50,
        Self::P90,
        Self::P95,
        Self::P99,
        Self::P999,
        Self::Capacity,
        Self::Memory,
    ];

    /// Name in claims.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Throughput => "throughput",
            Self::Cpu => "cpu",
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P95 => "p95",
            Self::P99 => "p99",
            Self::P999 => "p999",
            Self::Capacity => "capacity",
            Self::Memory => "memory",
        }
    }

    /// All names.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|metric| metric.name()).collect()
    }

    /// Unit of its values.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Throughput | Self::Capacity => "requests/s",
            Self::Cpu | Self::P50 | Self::P90 | Self::P95 | Self::P99 | Self::P999 => "us",
            Self::Memory => "MiB",
        }
    }

    /// Units that ends of its regions may have, the usual one first.
    pub const fn units(self) -> &'static [Unit] {
        match self {
            Self::Throughput | Self::Capacity => &[Unit::Rps],
            Self::Cpu => &[Unit::Us, Unit::Ms],
            Self::P50 | Self::P90 | Self::P95 | Self::P99 | Self::P999 => &[Unit::Ms, Unit::Us],
            Self::Memory => &[Unit::MiB],
        }
    }

    /// The share of requests that it is the latency of, for a percentile.
    pub const fn quantile(self) -> Option<f64> {
        match self {
            Self::P50 => Some(0.5),
            Self::P90 => Some(0.9),
            Self::P95 => Some(0.95),
            Self::P99 => Some(0.99),
            Self::P999 => Some(0.999),
            Self::Throughput | Self::Cpu | Self::Capacity | Self::Memory => None,
        }
    }

    /// Whether more is better.
    pub const fn more_is_better(self) -> bool {
        matches!(self, Self::Throughput | Self::Capacity)
    }
}

impl Claim {
    /// The probability of error that its decisions are made with, `1 - level`.
    pub fn alpha(&self) -> f64 {
        1.0 - self.level_percent.unwrap_or(95.0) / 100.0
    }

    /// Every quantity that must be measured, each once, in the order of the text.
    pub fn quantities(&self) -> Vec<Quantity> {
        let mut found: Vec<Quantity> = Vec::new();
        for quantity in self.predicates.iter().flat_map(Predicate::quantities) {
            if !found.contains(&quantity) {
                found.push(quantity);
            }
        }
        found
    }
}

impl Predicate {
    /// What must be measured for it, in the order of the text.
    pub fn quantities(&self) -> Vec<Quantity> {
        let both = |ratio: &Ratio| [ratio.over.clone(), ratio.under.clone()];
        match self {
            Self::Value { of, .. } => vec![of.clone()],
            Self::Ratio { of, .. } => both(of).to_vec(),
            Self::Difference { from, less, .. } => vec![from.clone(), less.clone()],
            Self::RatioOfRatios { over, under, .. } => [both(over), both(under)].concat(),
            Self::Ordering { of } => of.clone(),
            Self::Fastest { of, set } => {
                let others = set.iter().filter(|stack| **stack != of.stack);
                std::iter::once(of.clone())
                    .chain(others.map(|stack| Quantity { stack: stack.clone(), ..of.clone() }))
                    .collect()
            }
        }
    }
}

impl Settings {
    /// An operation, and everything else left out.
    pub const fn of(op: Operation) -> Self {
        Self { op, workers: None, threads: None, connections: None, rate: None, slo: None }
    }
}

impl FromStr for ClaimMetric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|metric| metric.name() == text);
        found.ok_or_else(|| UnknownMetric(text.to_owned()))
    }
}

impl fmt::Display for ClaimMetric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { op, workers, threads, connections, rate, slo } = &self.settings;
        write!(f, "{}({}, op={op}", self.metric, self.stack)?;
        for (key, value) in [("workers", workers), ("threads", threads), ("connections", connections)] {
            if let Some(value) = value {
                write!(f, ", {key}={value}")?;
            }
        }
        if let Some(rate) = rate {
            write!(f, ", rate={rate}")?;
        }
        if let Some(slo) = slo {
            write!(f, ", slo={slo}")?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} / {}", self.over, self.under)
    }
}

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |texts: Vec<String>, between: &str| texts.join(between);
        match self {
            Self::Value { of, region } => write!(f, "{of} in {region}"),
            Self::Ratio { of, region } => write!(f, "{of} in {region}"),
            Self::Difference { from, less, region } => write!(f, "{from} - {less} in {region}"),
            Self::RatioOfRatios { over, under, region } => write!(f, "({over}) / ({under}) in {region}"),
            Self::Ordering { of } => f.write_str(&list(of.iter().map(Quantity::to_string).collect(), " > ")),
            Self::Fastest { of, set } => {
                let set = list(set.iter().map(StackName::to_string).collect(), ", ");
                write!(f, "fastest {of} of {{{set}}}")
            }
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "claim \"{}\":", self.name)?;
        for (index, predicate) in self.predicates.iter().enumerate() {
            write!(f, "{}\n  {predicate}", if index > 0 { " and" } else { "" })?;
        }
        for (key, value) in [("delta", self.delta_percent), ("level", self.level_percent)] {
            if let Some(value) = value {
                write!(f, "\n  {key} {value}%")?;
            }
        }
        if let Some(family) = &self.family {
            write!(f, "\n  family {family}")?;
        }
        Ok(())
    }
}
