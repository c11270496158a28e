//! Estimates, intervals, verdicts and self-checks against answers that are known.
#![allow(clippy::unwrap_used, missing_docs)]

mod analysis;
mod calibration;
#[path = "../noise/mod.rs"]
mod noise;
mod numbers;
mod reference;
mod self_checks;
mod tables;
