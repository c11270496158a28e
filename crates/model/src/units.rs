//! Spans of time and rates as people write them: `30s`, `250ms`, `500/s`.

use std::{fmt, str::FromStr, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A span of time, written `250ms`, `30s`, `8m`, `1h`. Never negative.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Span(pub Duration);

/// A rate of requests per second, written `500/s`, `30/m`, `1/h` or `2.5/s`. From one in a week to 1e9 in a second: beyond
/// that it is taken for a mistake.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Rate(f64);

/// A text that has no unit, an unknown one, or a value outside its range.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UnitError {
    /// Not a span of time.
    #[error(
        "`{0}` isn't a span of time up to a week: write a number and a unit (us, ms, s, m, h), for instance `30s` or `1m30s`"
    )]
    Span(String),
    /// Not a rate.
    #[error(
        "`{0}` isn't a rate: write a number above zero and a unit (/s, /m, /h), up to 1e9 in a second, for instance `500/s`"
    )]
    Rate(String),
}

/// The longest span that is accepted: a week. Longer ones are taken for a mistake in the unit.
const LONGEST_S: f64 = 7.0 * 24.0 * 3600.0;

/// The lowest and the highest rate that are accepted.
const LOWEST_PER_S: f64 = 1.0 / LONGEST_S;
const HIGHEST_PER_S: f64 = 1e9;

impl FromStr for Span {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UnitError::Span(text.to_owned());
        let (mut rest, mut span_s, mut before_s) = (text, 0.0, f64::INFINITY);
        // `1m30s`: each part has a smaller unit than the one before.
        while !rest.is_empty() || before_s.is_infinite() {
            let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(error)?;
            let (number, after) = rest.split_at(digits);
            let number: f64 = number.parse().map_err(|_| error())?;
            let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let unit_s = match &after[..end] {
                "us" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(error()),
            };
            if unit_s >= before_s {
                return Err(error());
            }
            (span_s, before_s, rest) = (span_s + number * unit_s, unit_s, &after[end..]);
        }
        if !(0.0..=LONGEST_S).contains(&span_s) {
            return Err(error());
        }
        Ok(Self(Duration::from_nanos((span_s * 1e9).round() as u64)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = self.0.as_micros();
        let (value, unit) = match us {
            0 => (0, "s"),
            us if us % 3_600_000_000 == 0 => (us / 3_600_000_000, "h"),
            us if us % 60_000_000 == 0 => (us / 60_000_000, "m"),
            us if us % 1_000_000 == 0 => (us / 1_000_000, "s"),
            us if us % 1000 == 0 => (us / 1000, "ms"),
            us => (us, "us"),
        };
        f.pad(&format!("{value}{unit}"))
    }
}

impl Span {
    /// A span of whole seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of whole milliseconds.
    pub const fn milliseconds(milliseconds: u64) -> Self {
        Self(Duration::from_millis(milliseconds))
    }
}

impl TryFrom<String> for Span {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl Rate {
    /// A rate from requests per second; `None` beyond one in a week and 1e9 in a second.
    pub fn new_per_s(per_s: f64) -> Option<Self> {
        (LOWEST_PER_S..=HIGHEST_PER_S).contains(&per_s).then_some(Self(per_s))
    }

    /// Requests per second.
    pub const fn per_s(self) -> f64 {
        self.0
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || UnitError::Rate(text.to_owned());
        let (number, unit) = text.split_once('/').ok_or_else(error)?;
        let number: f64 = number.parse().map_err(|_| error())?;
        let per_s = match unit {
            "s" => number,
            "m" => number / 60.0,
            "h" => number / 3600.0,
            _ => return Err(error()),
        };
        Self::new_per_s(per_s).ok_or_else(error)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", self.0))
    }
}

impl TryFrom<String> for Rate {
    type Error = UnitError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_spans() {
        assert_eq!("250ms".parse(), Ok(Span::milliseconds(250)));
        assert_eq!("1.5s".parse(), Ok(Span::milliseconds(1500)));
        assert_eq!("8m".parse(), Ok(Span::seconds(480)));
        assert_eq!("1m30s".parse(), Ok(Span::seconds(90)));
        assert_eq!("1h2m3.5s".parse(), Ok(Span::milliseconds(3_723_500)));
        assert_eq!("1/h".parse(), Ok(Rate(1.0 / 3600.0)));
    }

    #[test]
    fn refuses_units_it_does_not_know() {
        for text in [
            "30", "s", "30 s", "-1s", "1d", "1e3s", "", "1.2.3s", "99999h", "30s1m", "1m1m", "1m30",
            "1m 30s", "168h1us",
        ] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        for text in ["500", "0/s", "-1/s", "inf/s", "NaN/s", "5/d", "/s", "1e300/s", "1000000001/s", "1e-9/h"]
        {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn span_text_and_back(us in 0u64..600_000_000_000) {
            let span = Span(Duration::from_micros(us));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn rate_text_and_back(per_s in 0.001f64..1e6) {
            let rate = Rate::new_per_s(per_s).unwrap();
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
        }
    }
}
