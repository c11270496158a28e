//! What a calibration asked, did and found: sessions of a stack against itself and against itself slowed by a known share.
//!
//! `calibration.json` of a calibration's folder is a [`Calibration`]; the runs of its sessions lie in `sessions/`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Operation, Span, StackName, fingerprint::Fingerprint, output::Verdict};

/// Version of `calibration.json` that this code writes.
pub const CALIBRATION_FORMAT: u32 = 2;

/// The record of a calibration, written again after each session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Version of the format.
    pub format: u32,
    /// Name: the folder's name.
    pub calibration: String,
    /// What was asked for.
    pub setting: CalibrationSetting,
    /// Seed of the order and of all sessions.
    pub seed: u64,
    /// Begin, UTC, RFC 3339.
    pub started: String,
    /// The command that repeats it.
    pub command: Vec<String>,
    /// Sessions in the order in which they are done.
    pub order: Vec<SessionKind>,
    /// How large the slowdown is; `null` until it was measured.
    pub burn: Option<BurnSize>,
    /// Machine and software of the first session; `null` until then.
    pub fingerprint: Option<Fingerprint>,
    /// Sessions that are done: the first of `order`.
    pub sessions: Vec<Session>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationSetting {
    /// The stack.
    pub stack: StackName,
    /// The operation that is timed.
    pub operation: Operation,
    /// CPU time of a request that is added to it, as a share: 0.03 for 3 %.
    pub slowdown: f64,
    /// Sessions of the stack against itself.
    pub aa: u32,
    /// Sessions of the slowed stack against the stack.
    pub ab: u32,
    /// Time for each session, preparation included.
    pub budget: Span,
    /// Connections of the saturated closed loop; `null` for as many as saturate.
    pub connections: Option<u32>,
    /// Length of a slice.
    pub slice: Span,
    /// Slices of each stack in a block.
    pub slices: u32,
    /// Whether a placebo chooses length, number and guard of slices, before the first session.
    #[serde(default)]
    pub placebo: bool,
    /// Beginning of each slice that isn't counted; `None` for the plan's own.
    #[serde(default)]
    pub guard: Option<Span>,
    /// Warm-up of each stack in each block.
    pub warm_up: Span,
    /// Blocks that each measurement of the size of the slowdown has.
    pub burn_blocks: u32,
}

/// Which comparison a session makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionKind {
    /// The stack against itself.
    Aa,
    /// The slowed stack against the stack.
    Ab,
}

impl SessionKind {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aa => "A/A",
            Self::Ab => "A/B",
        }
    }

    /// As it stands in a folder's name.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Aa => "aa",
            Self::Ab => "ab",
        }
    }
}

/// How large the injected slowdown is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BurnSize {
    /// Turns of an empty loop in the copy that was measured: many, so that the noise is small beside what they cost.
    pub pilot: u32,
    /// Blocks of that copy against the one with `base`.
    pub blocks: u32,
    /// Turns that each request of the slowed copy burns, more than `base`.
    pub loops: u32,
    /// Turns of the copy that it and the pilot are compared with, so that what comes with burning, a layer before the app, is on both
    /// sides and only the turns differ. 0: with the stack itself, as dyno did before 2026-11-29.
    #[serde(default)]
    pub base: u32,
    /// The share of a request's CPU time that the turns beyond `base` take, in proportion to the pilot's.
    pub share: f64,
    /// Lower end of its 95 % t interval.
    pub low: f64,
    /// Upper end of its 95 % t interval.
    pub high: f64,
}

/// One session that is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// What it compared.
    pub kind: SessionKind,
    /// Its run, a folder in `sessions/`.
    pub run: String,
    /// Begin, UTC, RFC 3339.
    pub started: String,
    /// Length of its blocks together: preparation isn't in it.
    pub seconds: f64,
    /// Complete blocks.
    pub blocks: u32,
    /// What `dyno compare` would have said of throughput.
    pub verdict: Verdict,
    /// The same in words.
    pub reason: String,
    /// Whether the interval excludes 1 and the sign-flip test agrees, a verdict being allowed: the sign is known, be the
    /// difference below 3 % or not.
    pub beyond_zero: bool,
    /// The verdict of the numbers alone, the refusals of the environment's checks set aside; `null` before the first look.
    pub by_numbers: Option<Verdict>,
    /// The same of the sign.
    pub beyond_zero_by_numbers: bool,
    /// Throughput over the baseline's; `null` without a paired block.
    pub ratio: Option<f64>,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// CPU per request over the baseline's; `null` where it wasn't read.
    pub cpu_ratio: Option<f64>,
    /// Parts of the fingerprint in which it differs from the calibration's, in words.
    pub differs: Vec<String>,
}

/// The object that `dyno calibrate --format json` prints.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationOutput {
    /// Version of the machine formats.
    pub version: u32,
    /// The calibration's folder.
    pub folder: String,
    /// Whether all sessions are done.
    pub complete: bool,
    /// What was asked and done.
    pub calibration: Calibration,
    /// What follows from it.
    pub summary: CalibrationSummary,
}

/// What follows from the sessions of a calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationSummary {
    /// A/A sessions that were called different: false alarms.
    pub different: Tally,
    /// A/B sessions whose slowdown was found: its sign known, and right.
    pub found: Tally,
    /// False alarms of the numbers alone, refusals set aside.
    pub different_by_numbers: Tally,
    /// Slowdowns found by the numbers alone, refusals set aside.
    pub found_by_numbers: Tally,
    /// A/B sessions in which the slowed stack was called faster.
    pub wrong_sign: u32,
    /// Sessions that gave no verdict: A/A and A/B.
    pub no_verdict: (u32, u32),
    /// Length of A/A sessions; `null` before the first.
    pub aa_length: Option<Length>,
    /// Length of A/B sessions; `null` before the first.
    pub ab_length: Option<Length>,
    /// By how much the stack seemed faster than itself in A/A sessions, as a share.
    pub aa_estimates: Option<Spread>,
    /// By how much the stack was faster than its slowed self in A/B sessions, as a share: 0.03 for 3 %.
    pub ab_estimates: Option<Spread>,
    /// By how much the slowed stack's CPU per request was larger in A/B sessions, as a share: the check of the size.
    pub ab_cpu: Option<Spread>,
    /// The instrument's floor: the share that 95 % of the last A/A estimates don't exceed; `null` for fewer than 40.
    pub floor: Option<f64>,
    /// METHOD's alarms, Part IV.
    pub alarms: Vec<Alarm>,
}

/// A count with the 95 % interval of the probability behind it (Wilson 1927).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tally {
    /// How many.
    pub count: u32,
    /// Of how many.
    pub of: u32,
    /// Lower end, 0 to 1.
    pub low: f64,
    /// Upper end, 0 to 1.
    pub high: f64,
}

/// How long sessions were.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Length {
    /// Median number of blocks.
    pub median_blocks: f64,
    /// Median of minutes in blocks: preparation isn't in it.
    pub median_minutes: f64,
}

/// How estimates are distributed over sessions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Spread {
    /// Sessions with an estimate.
    pub sessions: u32,
    /// Their mean (of logarithms), as a share.
    pub mean: f64,
    /// Lower end of the mean's 95 % t interval; `null` for one session.
    pub low: Option<f64>,
    /// Upper end of the mean's 95 % t interval; `null` for one session.
    pub high: Option<f64>,
    /// Standard deviation of one session's estimate (of logarithms); `null` for one session.
    pub sd: Option<f64>,
}

/// An acceptance test of METHOD, Part IV.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alarm {
    /// Which sessions it judges.
    pub kind: SessionKind,
    /// Whether it is raised.
    pub raised: bool,
    /// The rule and what it found, in words.
    pub words: String,
}
