//! Options of `dyno capacity` and `dyno scale`, as written.

use std::path::PathBuf;

use clap::Args;
use dyno_model::{Operation, Slos, Span, StackName};

use super::some_time;

/// Shown under the options of `dyno capacity`.
pub const CAPACITY_CODES: &str = "\
docs/capacity.md tells how it is decided and what the words mean.

Exit codes:
  0  every stack has a capacity with its interval
  1  a stack has none: NO VERDICT, outside the range, not confirmed, not finished within the budget,
     or it couldn't be measured
  2  wrong usage
  3 to 6 and 130 as in `dyno --help`";

/// Shown under the options of `dyno scale`.
pub const SCALE_CODES: &str = "\
docs/capacity.md tells how it is decided and what the words mean.

Exit codes:
  0  every number of workers has a throughput with its interval
  1  one has none: NO VERDICT, or it couldn't be measured
  2  wrong usage
  3 to 6 and 130 as in `dyno --help`";

/// Options of `dyno capacity`.
#[derive(Args, Debug)]
pub struct CapacityOptions {
    /// Stacks, for instance `flask/gunicorn`; several are searched side by side, trial by trial in random order
    #[arg(value_name = "STACK", required_unless_present = "resume")]
    pub stacks: Vec<StackName>,
    /// What a trial must meet to pass: `p99=50ms`, `mean<20ms`, `max=1s`, `errors=0.1%`; several are separated by commas
    #[arg(long, value_name = "SLO", required_unless_present = "resume")]
    pub slo: Option<Slos>,
    /// The operation that is loaded
    #[arg(long, value_name = "NAME", default_value = "types")]
    pub operation: Operation,
    /// Also measure the latency at seven shares of the saturated throughput
    #[arg(long)]
    pub curve: bool,
    /// Time for all stacks together, preparation included
    #[arg(long, value_name = "SPAN", default_value = "15m", value_parser = some_time)]
    pub budget: Span,
    /// Connections that may be in use at once
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Seed of every random choice
    #[arg(long)]
    pub seed: Option<u64>,
    /// Go on with a search that was stopped, or whose budget was spent: its name or folder
    #[arg(long, value_name = "RUN", conflicts_with_all = ["stacks", "slo", "operation", "curve", "connections", "seed"])]
    pub resume: Option<PathBuf>,
    /// Length of every trial: for tests
    #[arg(long, hide = true, value_parser = some_time)]
    pub trial: Option<Span>,
    /// Warm-up of each fresh start: for tests
    #[arg(long, hide = true)]
    pub warm_up: Option<Span>,
}

/// Options of `dyno scale`.
#[derive(Args, Debug)]
pub struct ScaleOptions {
    /// The stack, without a variant of its own for workers
    #[arg(value_name = "STACK", required_unless_present = "resume")]
    pub stack: Option<StackName>,
    /// Numbers of worker processes, 1 to 64 each; a law needs three of them
    #[arg(long, value_name = "N,N,…", value_delimiter = ',', default_value = "1,2,4",
          value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Vec<u32>,
    /// The operation that is timed
    #[arg(long, value_name = "NAME", default_value = "types")]
    pub operation: Operation,
    /// Time for all of it, preparation included; the fewest blocks are always done
    #[arg(long, value_name = "SPAN", default_value = "20m", value_parser = some_time)]
    pub budget: Span,
    /// Connections of the saturated closed loop
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: u32,
    /// Seed of every random choice
    #[arg(long)]
    pub seed: Option<u64>,
    /// Go on with a run that was stopped: its name or folder
    #[arg(long, value_name = "RUN", conflicts_with_all = ["stack", "workers", "operation", "budget", "connections", "seed"])]
    pub resume: Option<PathBuf>,
    /// Length of a slice: for tests
    #[arg(long, hide = true, value_parser = some_time)]
    pub slice: Option<Span>,
    /// Slices of each number of workers in a block: for tests
    #[arg(long, hide = true)]
    pub slices: Option<u32>,
    /// Warm-up of each fresh start: for tests
    #[arg(long, hide = true)]
    pub warm_up: Option<Span>,
}
