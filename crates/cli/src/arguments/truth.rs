//! Options of `dyno truth`, as written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `dyno truth`.
#[derive(Args, Debug)]
pub struct TruthOptions {
    /// Short runs: freezes of 200 ms every 2 s
    #[arg(long)]
    pub quick: bool,
    /// Only these scenarios
    #[arg(long, value_enum, value_name = "SCENARIO", value_delimiter = ',')]
    pub only: Vec<Scenario>,
    /// Numbers of connections, each a run of its own
    #[arg(long, value_delimiter = ',', default_values_t = [10, 300],
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: Vec<u32>,
    /// Run no other load generator; else every one of wrk, wrk2, oha, hey and k6 that is on PATH or in the folder
    /// DYNO_RIVALS
    #[arg(long)]
    pub no_rivals: bool,
    /// Seed of Poisson arrivals
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Write FILE.json and FILE.md
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Which scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// Freezes.
    Stall,
    /// One of a hundred answers is slow.
    Slow,
    /// A fast and a slow phase in turn.
    OnOff,
    /// A queue with one server.
    Mm1,
}
