//! Objectives for a load, as people write them (`p99=50ms`, `errors=0.1%`, `rate>500/s`), and whether figures meet them.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Rate, Span, histogram::LatencyHistogram, load::SliceOutcome};

/// One objective: a figure and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Slo {
    /// The figure and its limit.
    pub limit: Limit,
    /// Whether the limit itself misses it: `<` and `>` are strict, `=`, `<=` and `>=` aren't.
    pub strict: bool,
}

/// A figure with its limit. Latencies and errors have an upper limit, the rate a lower one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// A percentile of the latency, above 0 and below 100.
    Percentile(f64, Span),
    /// The mean latency.
    Mean(Span),
    /// The longest latency.
    Max(Span),
    /// Requests of the plan without a right answer, as a share from 0 to 1.
    Errors(f64),
    /// Right answers per second.
    Rate(Rate),
}

/// Several objectives, separated by commas; at least one.
#[derive(Clone, Debug, PartialEq)]
pub struct Slos(pub Vec<Slo>);

/// What objectives are judged by.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// Latencies; service times in a closed loop.
    pub latency: &'a LatencyHistogram,
    /// Requests without a right answer, as a share from 0 to 1; `None` when there were no requests.
    pub errors: Option<f64>,
    /// Right answers per second; `None` when nothing was measured.
    pub rate_per_s: Option<f64>,
}

/// How a figure stands to its objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Judgement {
    /// It is met.
    Met,
    /// It is missed.
    Missed,
    /// There is no such figure, for nothing was measured. That is no success.
    Unknown,
}

/// A text that isn't an objective.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` isn't an objective: {why}; write for instance `p99=50ms`, `mean<20ms`, `errors=0.1%` or `rate=500/s`, \
     several separated by commas"
)]
pub struct SloError {
    text: String,
    why: String,
}

impl<'a> Figures<'a> {
    /// The figures of a load. Requests that were planned and never sent count as errors: a load that the server
    /// couldn't take isn't a success.
    pub fn of(outcome: &'a SliceOutcome) -> Self {
        let counts = &outcome.counts;
        let wrong = counts.planned.saturating_sub(counts.completed);
        Self {
            latency: &outcome.latency,
            errors: (counts.planned > 0).then(|| wrong as f64 / counts.planned as f64),
            rate_per_s: (outcome.window_ns > 0)
                .then(|| outcome.window_completed as f64 * 1e9 / outcome.window_ns as f64),
        }
    }
}

impl Slo {
    /// Whether the figures meet it. Latencies have the histogram's resolution: three digits.
    pub fn judge(&self, figures: &Figures<'_>) -> Judgement {
        let below = |figure: f64, limit: f64| figure < limit || (!self.strict && figure == limit);
        let ns = |span: Span| span.0.as_nanos() as f64;
        let met = match self.limit {
            Limit::Percentile(percent, limit) => {
                figures.latency.quantile_ns(percent / 100.0).map(|figure| below(figure as f64, ns(limit)))
            }
            Limit::Mean(limit) => figures.latency.mean_ns().map(|figure| below(figure, ns(limit))),
            Limit::Max(limit) => figures.latency.max_ns().map(|figure| below(figure as f64, ns(limit))),
            Limit::Errors(limit) => figures.errors.map(|figure| below(figure, limit)),
            Limit::Rate(limit) => figures.rate_per_s.map(|figure| below(-figure, -limit.per_s())),
        };
        match met {
            None => Judgement::Unknown,
            Some(true) => Judgement::Met,
            Some(false) => Judgement::Missed,
        }
    }
}

impl Slo {
    /// What was measured, in words; `–` where nothing was.
    pub fn measured(&self, figures: &Figures<'_>) -> String {
        let ms = |ns: Option<f64>| ns.map_or_else(|| "–".to_owned(), |ns| format!("{:.3} ms", ns / 1e6));
        match self.limit {
            Limit::Percentile(percent, _) => {
                ms(figures.latency.quantile_ns(percent / 100.0).map(|ns| ns as f64))
            }
            Limit::Mean(_) => ms(figures.latency.mean_ns()),
            Limit::Max(_) => ms(figures.latency.max_ns().map(|ns| ns as f64)),
            Limit::Errors(_) => {
                figures.errors.map_or_else(|| "–".to_owned(), |share| format!("{:.3} %", share * 100.0))
            }
            Limit::Rate(_) => {
                figures.rate_per_s.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}/s"))
            }
        }
    }
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let error = |why: String| SloError { text: text.to_owned(), why };
        let at = text.find(['=', '<', '>']).ok_or_else(|| error("it has no `=`".to_owned()))?;
        let (name, rest) = (text[..at].trim(), &text[at..]);
        let relation =
            ["<=", ">=", "=", "<", ">"].into_iter().find(|sign| rest.starts_with(sign)).unwrap_or("=");
        let value = rest[relation.len()..].trim();
        let limit = limit(name, value).map_err(error)?;
        let (wrong, bound) = match limit {
            Limit::Rate(_) => ('<', "a lower"),
            _ => ('>', "an upper"),
        };
        if relation.starts_with(wrong) {
            return Err(error(format!("`{name}` has {bound} limit")));
        }
        Ok(Self { limit, strict: matches!(relation, "<" | ">") })
    }
}

fn limit(name: &str, value: &str) -> Result<Limit, String> {
    let span = || value.parse::<Span>().map_err(|error| error.to_string());
    match name {
        "mean" => Ok(Limit::Mean(span()?)),
        "max" => Ok(Limit::Max(span()?)),
        "rate" => value.parse().map(Limit::Rate).map_err(|error: crate::units::UnitError| error.to_string()),
        "errors" => {
            let percent =
                value.strip_suffix('%').map(str::trim_end).and_then(|number| number.parse::<f64>().ok());
            match percent {
                Some(percent) if (0.0..=100.0).contains(&percent) => Ok(Limit::Errors(percent / 100.0)),
                _ => Err(format!("`{value}` isn't a share from 0% to 100%")),
            }
        }
        _ => {
            let percent = name.strip_prefix('p').and_then(|digits| digits.parse::<f64>().ok());
            match percent {
                Some(percent) if percent > 0.0 && percent < 100.0 => Ok(Limit::Percentile(percent, span()?)),
                Some(_) => {
                    Err(format!("`{name}`: percentiles lie above p0 and below p100 (`max` is the longest)"))
                }
                None => Err(format!(
                    "there is no figure `{name}`: there are p50 to p99.99, mean, max, errors and rate"
                )),
            }
        }
    }
}

impl TryFrom<String> for Slo {
    type Error = SloError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Slo> for String {
    fn from(slo: Slo) -> Self {
        slo.to_string()
    }
}

impl FromStr for Slos {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upper = if self.strict { "<" } else { "=" };
        match self.limit {
            Limit::Percentile(percent, limit) => write!(f, "p{percent}{upper}{limit}"),
            Limit::Mean(limit) => write!(f, "mean{upper}{limit}"),
            Limit::Max(limit) => write!(f, "max{upper}{limit}"),
            // Twelve digits: enough for any share, and a tenth of a percent stays 0.1.
            Limit::Errors(share) => write!(f, "errors{upper}{}%", (share * 1e14).round() / 1e12),
            Limit::Rate(limit) => write!(f, "rate{}{limit}", if self.strict { ">" } else { "=" }),
        }
    }
}

impl fmt::Display for Slos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slos: Vec<String> = self.0.iter().map(Slo::to_string).collect();
        f.write_str(&slos.join(","))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::load::Counts;

    fn judge(text: &str, figures: &Figures<'_>) -> Judgement {
        text.parse::<Slo>().unwrap().judge(figures)
    }

    #[test]
    fn figures_are_judged() {
        let mut latency = LatencyHistogram::default();
        // 90 at 10 ms, 10 at 100 ms.
        (0..100).for_each(|number| latency.record_ns(if number < 90 { 10_000_000 } else { 100_000_000 }));
        let figures = Figures { latency: &latency, errors: Some(0.001), rate_per_s: Some(500.0) };
        for (text, right) in [
            ("p50=11ms", Judgement::Met),
            ("p99=99ms", Judgement::Missed),
            ("p99<110ms", Judgement::Met),
            ("mean=18ms", Judgement::Missed),
            ("mean<20ms", Judgement::Met),
            ("max=101ms", Judgement::Met),
            ("errors=0.1%", Judgement::Met),
            ("errors<=0.1%", Judgement::Met),
            ("errors<0.1%", Judgement::Missed),
            ("rate=500/s", Judgement::Met),
            ("rate>=500/s", Judgement::Met),
            ("rate>500/s", Judgement::Missed),
        ] {
            assert_eq!(judge(text, &figures), right, "{text}");
        }
    }

    #[test]
    fn where_nothing_was_measured_nothing_is_met() {
        let outcome = SliceOutcome::default();
        for text in ["p99=50ms", "mean=1s", "max=1s", "errors=100%", "rate=1/s"] {
            assert_eq!(judge(text, &Figures::of(&outcome)), Judgement::Unknown, "{text}");
        }
    }

    #[test]
    fn what_was_never_sent_is_an_error() {
        let counts = Counts { planned: 10, sent: 8, not_sent: 2, completed: 7, ..Counts::default() };
        let outcome =
            SliceOutcome { counts, window_ns: 2_000_000_000, window_completed: 7, ..SliceOutcome::default() };
        let figures = Figures::of(&outcome);
        assert_eq!((figures.errors, figures.rate_per_s), (Some(0.3), Some(3.5)));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("", "it has no `=`"),
            ("p99", "it has no `=`"),
            ("p99=50", "`50` isn't a span of time"),
            ("p99>50ms", "`p99` has an upper limit"),
            ("rate<500/s", "`rate` has a lower limit"),
            ("rate=500", "`500` isn't a rate"),
            ("p100=1s", "below p100"),
            ("p0=1s", "below p100"),
            ("pNaN=1s", "below p100"),
            ("errors=1", "`1` isn't a share from 0% to 100%"),
            ("errors=101%", "isn't a share"),
            ("latency=5ms", "there is no figure `latency`"),
            ("p99==5ms", "`=5ms` isn't a span"),
        ] {
            let error = text.parse::<Slo>().unwrap_err().to_string();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!("p99=50ms,".parse::<Slos>().is_err());
    }

    #[test]
    fn several_are_separated_by_commas() {
        let text = "p99=50ms,p99.9<200ms,mean=10ms,max=1s,errors=0.1%,rate>500/s";
        assert_eq!(text.parse::<Slos>().unwrap().to_string(), text);
        assert_eq!(" p99 <= 50ms , rate >= 30/m".parse::<Slos>().unwrap().to_string(), "p99=50ms,rate=0.5/s");
    }

    proptest! {
        #[test]
        fn slo_text_and_back(percent in 1u32..9999, ms in 1u64..100_000, errors in 0u32..=100_000, strict: bool) {
            for limit in [
                Limit::Percentile(f64::from(percent) / 100.0, Span::milliseconds(ms)),
                Limit::Errors(f64::from(errors) / 1000.0 / 100.0),
            ] {
                let slo = Slo { limit, strict };
                prop_assert_eq!(slo.to_string().parse(), Ok(slo));
            }
        }
    }
}
