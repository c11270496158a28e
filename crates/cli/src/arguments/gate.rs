//! Options of `dyno gate` as written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use dyno_model::{Operation, Span, StackName, output::Metric};

use super::{Timing, some_time};

/// Shown under the options.
pub const CODES: &str = "\
The stack as it is in the work tree, uncommitted changes too, is measured against the same stack in the base revision:
manifests, locks and sources of stacks/. Contract, data and dyno itself are the work tree's on both sides.

Exit codes:
  0  not slower by more than delta, or nothing changed that the stack is made of
  1  slower by more than delta
  2  no verdict: inconclusive by the end of the budget, the numbers must not be believed, or there is
     nothing to compare with; also wrong usage, with a message and nothing measured
  3 to 6 and 130 as in `dyno --help`: nothing was decided";

/// Options of `dyno gate`.
#[derive(Args, Debug)]
pub struct GateOptions {
    /// The stack, for instance `flask/gunicorn`
    #[arg(value_name = "STACK")]
    pub stack: StackName,
    /// The revision to compare with, anything that git resolves: `origin/main`, `HEAD~1`, a tag, a hash
    #[arg(long, value_name = "REF")]
    pub base: String,
    /// From which difference on a stack is slower: more than 0, at most 50 %
    #[arg(long, default_value = "3%", value_parser = share)]
    pub delta: f64,
    /// Operations that must not be slower
    #[arg(long = "operation", value_name = "NAME", default_values = ["types", "contacts_fetch"])]
    pub operations: Vec<Operation>,
    /// What decides; CPU per request alone where something else than the server is the limit
    #[arg(long = "metric", value_enum, default_values = ["throughput", "cpu"])]
    pub metrics: Vec<GateMetric>,
    /// Time for the whole gate
    #[arg(long, default_value = "15m", value_parser = some_time)]
    pub budget: Span,
    /// Write a Markdown summary here; without, it is added to $GITHUB_STEP_SUMMARY where that is set
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// Measure even if nothing changed that the stack is made of
    #[arg(long)]
    pub always: bool,
    /// Connections of the saturated closed loop [default: for each worker process 8, or as many as it has threads]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: Option<u32>,
    /// Seed of every random choice
    #[arg(long)]
    pub seed: Option<u64>,
    /// Leave out the canary, a twin of the base that must not be told from it
    #[arg(long)]
    pub no_canary: bool,
    /// How slices and warm-up are chosen.
    #[command(flatten)]
    pub timing: Timing,
}

/// What may decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GateMetric {
    /// Right answers per second, saturated.
    Throughput,
    /// CPU time of server and front per request.
    Cpu,
}

impl GateMetric {
    /// The metric of the analysis.
    pub const fn metric(self) -> Metric {
        match self {
            Self::Throughput => Metric::Throughput,
            Self::Cpu => Metric::CpuPerRequest,
        }
    }
}

/// `3%` or `0.03`.
fn share(text: &str) -> Result<f64, String> {
    let number = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    let number = number.ok().filter(|share| *share > 0.0 && *share <= 0.5);
    number.ok_or_else(|| format!("`{text}` isn't a share of more than 0 and at most 50 %, for instance `3%`"))
}
