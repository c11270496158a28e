//! Where a figure is claimed to lie: `(1,1.5)`, `[3.2,inf)`, `(0,20ms)`.

use std::{fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An interval with open `(` `)` or closed `[` `]` ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct Region {
    /// Lower end.
    pub low: End,
    /// Whether the lower end itself belongs to it.
    pub low_closed: bool,
    /// Upper end.
    pub high: End,
    /// Whether the upper end itself belongs to it.
    pub high_closed: bool,
}

/// An end as written: a number, perhaps with a unit; `inf` and `-inf` have none. Never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// The number.
    pub number: f64,
    /// Its unit.
    pub unit: Option<Unit>,
}

/// Units of ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `%`: hundredths, of ratios.
    Percent,
    /// `us`: microseconds.
    Us,
    /// `ms`: milliseconds.
    Ms,
    /// `rps`: requests per second.
    Rps,
    /// `MiB`.
    MiB,
}

/// A text that is no end of a region, or no region.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EndError {
    /// Not an end.
    #[error(
        "`{0}` isn't an end of a region: write a number, perhaps with a unit (%, us, ms, rps, MiB), or inf"
    )]
    End(String),
    /// Not a region.
    #[error("`{0}` isn't a region: write two ends in brackets, for instance `(1,1.5)` or `[3.2,inf)`")]
    Region(String),
}

impl Unit {
    /// Every unit.
    pub const ALL: [Self; 5] = [Self::Percent, Self::Us, Self::Ms, Self::Rps, Self::MiB];

    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Us => "us",
            Self::Ms => "ms",
            Self::Rps => "rps",
            Self::MiB => "MiB",
        }
    }

    /// What a number is multiplied by, to come to the unit of estimates: 1, us, requests/s or MiB.
    const fn factor(self) -> f64 {
        match self {
            Self::Percent => 0.01,
            Self::Ms => 1000.0,
            Self::Us | Self::Rps | Self::MiB => 1.0,
        }
    }
}

impl End {
    /// In the unit of estimates: of 1 for ratios, else us, requests/s or MiB.
    pub fn value(self) -> f64 {
        self.number * self.unit.map_or(1.0, Unit::factor)
    }
}

impl Region {
    /// Lower end in the unit of estimates.
    pub fn low(&self) -> f64 {
        self.low.value()
    }

    /// Upper end in the unit of estimates.
    pub fn high(&self) -> f64 {
        self.high.value()
    }

    /// Whether nothing lies in it.
    pub fn is_empty(&self) -> bool {
        self.low() > self.high() || (self.low() == self.high() && !(self.low_closed && self.high_closed))
    }
}

impl FromStr for End {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || EndError::End(text.to_owned());
        let text = text.trim();
        let (number, unit) = Unit::ALL
            .into_iter()
            .find_map(|unit| text.strip_suffix(unit.name()).map(|number| (number, Some(unit))))
            .unwrap_or((text, None));
        let infinite = matches!(number, "inf" | "-inf");
        // Rust reads `infinity` and `NaN` too, which aren't in the grammar.
        let plain = number.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '-' | '+' | 'e' | 'E'));
        if !(infinite && unit.is_none() || plain) {
            return Err(error());
        }
        let number: f64 = number.parse().map_err(|_| error())?;
        if number.is_finite() == infinite {
            return Err(error());
        }
        Ok(Self { number, unit })
    }
}

impl FromStr for Region {
    type Err = EndError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || EndError::Region(text.to_owned());
        let text = text.trim();
        let low_closed = text.starts_with('[');
        let high_closed = text.ends_with(']');
        let inner = text.strip_prefix(['(', '[']).and_then(|rest| rest.strip_suffix([')', ']']));
        let (low, high) = inner.and_then(|inner| inner.split_once(',')).ok_or_else(error)?;
        Ok(Self { low: low.parse()?, low_closed, high: high.parse()?, high_closed })
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.number, self.unit.map_or("", Unit::name))
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (open, close) =
            (if self.low_closed { '[' } else { '(' }, if self.high_closed { ']' } else { ')' });
        write!(f, "{open}{},{}{close}", self.low, self.high)
    }
}

impl TryFrom<String> for Region {
    type Error = EndError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> Self {
        region.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ends_have_the_unit_of_estimates() {
        let region: Region = "[97.5%, inf)".parse().unwrap();
        assert_eq!((region.low(), region.high()), (0.975, f64::INFINITY));
        assert!(region.low_closed && !region.high_closed);
        assert_eq!("(0,20ms)".parse::<Region>().unwrap().high(), 20_000.0);
        assert_eq!("(-inf,5MiB]".parse::<Region>().unwrap().low(), f64::NEG_INFINITY);
    }

    #[test]
    fn empty_ones() {
        for (text, empty) in
            [("(2,1)", true), ("(1,1)", true), ("[1,1)", true), ("[1,1]", false), ("(1ms,2us)", true)]
        {
            assert_eq!(text.parse::<Region>().unwrap().is_empty(), empty, "{text}");
        }
    }

    #[test]
    fn what_is_no_region() {
        for text in
            ["", "1,2", "(1)", "(1,2", "(a,2)", "(1,NaN)", "(1,infms)", "(1,2x)", "(1,infinity)", "(1,1e999)"]
        {
            assert!(text.parse::<Region>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn region_text_and_back(low in -1e6..1e6f64, high in -1e6..1e6f64, unit in 0usize..6, closed: (bool, bool)) {
            let unit = Unit::ALL.get(unit).copied();
            let end = |number| End { number, unit };
            let region =
                Region { low: end(low), low_closed: closed.0, high: end(high), high_closed: closed.1 };
            prop_assert_eq!(region.to_string().parse(), Ok(region));
        }
    }
}
