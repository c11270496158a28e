//! Options of `dyno calibrate`, as written.

use std::{path::PathBuf, str::FromStr};

use clap::Args;
use dyno_model::{Operation, Span, StackName};

use super::some_time;

/// Options of `dyno calibrate`.
#[derive(Args, Debug)]
pub struct CalibrateOptions {
    /// The stack, behind WSGI or ASGI [default: the default plan's baseline]
    #[arg(value_name = "STACK")]
    pub stack: Option<StackName>,
    /// By how much of a request's CPU time the copy is slower
    #[arg(long, value_name = "SHARE", default_value = "3%")]
    pub slowdown: Share,
    /// Sessions of the stack against itself
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub aa: u32,
    /// Sessions of the slowed copy against the stack
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub ab: u32,
    /// The operation that is timed
    #[arg(long, value_name = "NAME", default_value = "types")]
    pub operation: Operation,
    /// Time for each session, preparation included
    #[arg(long, value_name = "SPAN", default_value = "6m", value_parser = some_time)]
    pub budget_per_session: Span,
    /// Connections of the saturated closed loop [default: for each worker process 8, or as many as it has threads]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: Option<u32>,
    /// Seed of the order and of every session
    #[arg(long)]
    pub seed: Option<u64>,
    /// Go on with a calibration that was stopped: its name or folder
    #[arg(long, value_name = "RUN", conflicts_with_all =
          ["stack", "slowdown", "aa", "ab", "operation", "budget_per_session", "connections", "seed"])]
    pub resume: Option<PathBuf>,
    /// Length of a slice: for tests
    #[arg(long, hide = true, value_parser = some_time)]
    pub slice: Option<Span>,
    /// Slices of each stack in a block: for tests
    #[arg(long, hide = true)]
    pub slices: Option<u32>,
    /// Warm-up of each stack in each block [default: 2s]
    #[arg(long, value_name = "SPAN")]
    pub warm_up: Option<Span>,
}

/// A share, written `3%` or `0.5%`; above zero, at most 1000 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

/// A text that is no share.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` isn't a share: write a number above zero, up to 1000, and `%`, for instance `3%`")]
pub struct ShareError(String);

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let percent: Option<f64> = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        let fits = percent.filter(|percent| *percent > 0.0 && *percent <= 1000.0);
        fits.map(|percent| Self(percent / 100.0)).ok_or_else(|| ShareError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_a_percent_sign() {
        assert_eq!("3%".parse::<Share>().unwrap(), Share(0.03));
        for wrong in ["3", "0%", "-1%", "x%", "inf%", "NaN%", "1001%", ""] {
            assert!(wrong.parse::<Share>().unwrap_err().to_string().contains("for instance `3%`"), "{wrong}");
        }
    }
}
