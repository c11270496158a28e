//! Stages of an open loop as people write them: `10s:100/s,30s:100/s..500/s`.
//!
//! A stage without dots holds its rate, as the steps of vegeta's and wrk2's users are; a ramp says both ends. k6 reads
//! `10s:100` as a ramp *to* 100, so a rate without a unit is refused rather than guessed at.

use std::{fmt, str::FromStr};

use crate::{Rate, Span, units::UnitError};

/// A part of the load whose rate is constant or changes evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StageSpec {
    /// How long it is; above zero.
    pub length: Span,
    /// Requests per second at its beginning; 0 or more.
    pub from_per_s: f64,
    /// Requests per second at its end; 0 or more.
    pub to_per_s: f64,
}

/// Stages one after the other; at least one, and at least one with a rate above zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Stages(pub Vec<StageSpec>);

/// What is wrong with a text of stages.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StageError {
    /// Not `LENGTH:RATE`.
    #[error(
        "`{0}` isn't a stage: write `LENGTH:RATE`, or `LENGTH:RATE..RATE` for a ramp, for instance \
         `10s:100/s,30s:100/s..500/s`"
    )]
    Stage(String),
    /// A length that isn't a span, or has none.
    #[error("the stage `{stage}` has no length: {why}")]
    Length {
        /// The stage.
        stage: String,
        /// What is wrong.
        why: String,
    },
    /// A rate that isn't one.
    #[error(
        "`{rate}` in the stage `{stage}` isn't a rate: write a number up to 1e9 in a second and a unit (/s, /m, /h), for instance `500/s`{hint}"
    )]
    Rate {
        /// What stands for the rate.
        rate: String,
        /// The stage.
        stage: String,
        /// How ramps are written, where that could be meant.
        hint: &'static str,
    },
    /// Every rate is zero.
    #[error("no stage of `{0}` has a rate above zero: nothing would be sent")]
    Nothing(String),
}

impl FromStr for Stages {
    type Err = StageError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut stages = Vec::new();
        let mut before_per_s = 0.0;
        for part in text.split(',') {
            let stage = stage(part.trim(), before_per_s)?;
            before_per_s = stage.to_per_s;
            stages.push(stage);
        }
        if stages.iter().all(|stage| stage.from_per_s == 0.0 && stage.to_per_s == 0.0) {
            return Err(StageError::Nothing(text.to_owned()));
        }
        Ok(Self(stages))
    }
}

/// `10s:100/s`, `10s:100/s..500/s`, or `10s:..500/s`, which begins at the rate before it.
fn stage(text: &str, before_per_s: f64) -> Result<StageSpec, StageError> {
    let (length, rates) = text.split_once(':').ok_or_else(|| StageError::Stage(text.to_owned()))?;
    let no_length = |why: String| StageError::Length { stage: text.to_owned(), why };
    let length: Span = length.trim().parse().map_err(|error: UnitError| no_length(error.to_string()))?;
    if length == Span::default() {
        return Err(no_length("it must be above zero, for instance `10s`".to_owned()));
    }
    let rate = |written: &str| rate_per_s(written.trim(), text);
    let (from_per_s, to_per_s) = match rates.split_once("..") {
        None => (rate(rates)?, rate(rates)?),
        Some((from, to)) if from.trim().is_empty() => (before_per_s, rate(to)?),
        Some((from, to)) => (rate(from)?, rate(to)?),
    };
    Ok(StageSpec { length, from_per_s, to_per_s })
}

/// A rate that may be zero: a stage of silence, or the foot of a ramp.
fn rate_per_s(written: &str, stage: &str) -> Result<f64, StageError> {
    if matches!(written, "0/s" | "0/m" | "0/h") {
        return Ok(0.0);
    }
    let hint = if written.contains("/s-") || written.contains("/m-") || written.contains("->") {
        "; a ramp is written `100/s..500/s`"
    } else {
        ""
    };
    let error = || StageError::Rate { rate: written.to_owned(), stage: stage.to_owned(), hint };
    written.parse::<Rate>().map(Rate::per_s).map_err(|_| error())
}

impl fmt::Display for StageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/s", self.length, self.from_per_s)?;
        if self.from_per_s != self.to_per_s { write!(f, "..{}/s", self.to_per_s) } else { Ok(()) }
    }
}

impl fmt::Display for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<String> = self.0.iter().map(StageSpec::to_string).collect();
        f.write_str(&stages.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stages(text: &str) -> Vec<(u64, f64, f64)> {
        let Stages(stages) = text.parse().unwrap();
        stages.iter().map(|stage| (stage.length.0.as_secs(), stage.from_per_s, stage.to_per_s)).collect()
    }

    #[test]
    fn steps_ramps_and_silence() {
        assert_eq!(stages("10s:100/s,30s:500/s"), [(10, 100.0, 100.0), (30, 500.0, 500.0)]);
        assert_eq!(stages("10s:100/s..500/s"), [(10, 100.0, 500.0)]);
        assert_eq!(
            stages("10s:..500/s, 1m:500/s, 5s:0/s, 10s:..60/m"),
            [(10, 0.0, 500.0), (60, 500.0, 500.0), (5, 0.0, 0.0), (10, 0.0, 1.0)]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| text.parse::<Stages>().unwrap_err().to_string();
        for (text, said) in [
            ("", "`` isn't a stage"),
            ("10s", "`10s` isn't a stage: write `LENGTH:RATE`"),
            ("10s:100/s,", "`` isn't a stage"),
            ("10:100/s", "the stage `10:100/s` has no length: `10` isn't a span"),
            ("0s:100/s", "it must be above zero"),
            ("10s:100", "`100` in the stage `10s:100` isn't a rate: write a number up to 1e9"),
            ("10s:-5/s", "`-5/s` in the stage"),
            ("10s:100/s-500/s", "a ramp is written `100/s..500/s`"),
            ("10s:100/s..", "`` in the stage `10s:100/s..` isn't a rate"),
            ("10s:NaN/s", "`NaN/s` in the stage"),
            ("10s:0/s,5s:0/s", "nothing would be sent"),
        ] {
            assert!(error(text).contains(said), "{text}: {}", error(text));
        }
    }

    proptest! {
        #[test]
        fn stages_text_and_back(parts in prop::collection::vec((1u64..100_000, 0u32..10_000, 1u32..10_000), 1..5)) {
            let stages = Stages(parts.iter().map(|&(ms, from, to)| StageSpec {
                length: Span::milliseconds(ms),
                from_per_s: f64::from(from) / 4.0,
                to_per_s: f64::from(to) / 4.0,
            }).collect());
            prop_assert_eq!(stages.to_string().parse(), Ok(stages));
        }
    }
}
