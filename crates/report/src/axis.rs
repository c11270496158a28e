//! Axes: where a value stands, and where the ticks are.

use crate::figures::{number, time_us};

/// What the numbers of an axis are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Plain numbers.
    Number,
    /// Microseconds, shown in the unit that reads best.
    Time,
    /// Shares as per cent.
    Percent,
}

/// From a value to its place.
#[derive(Clone, Debug)]
pub struct Axis {
    name: &'static str,
    unit: Unit,
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    /// From zero to the largest value; what isn't finite doesn't count.
    pub fn from_zero(name: &'static str, unit: Unit, values: impl IntoIterator<Item = f64>) -> Self {
        let most = values.into_iter().filter(|value| value.is_finite()).fold(0.0, f64::max);
        Self { name, unit, low: 0.0, high: if most > 0.0 { most } else { 1.0 }, logarithmic: false }
    }

    /// From `low` to `high`.
    pub const fn between(name: &'static str, unit: Unit, low: f64, high: f64) -> Self {
        Self { name, unit, low, high, logarithmic: false }
    }

    /// Logarithmic over the values above zero, with a little room at both ends; `None` where there are none.
    pub fn logarithmic(
        name: &'static str,
        unit: Unit,
        values: impl IntoIterator<Item = f64>,
    ) -> Option<Self> {
        let known = values.into_iter().filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) =
            known.fold((f64::INFINITY, 0.0f64), |(low, high), value| (low.min(value), high.max(value)));
        (high > 0.0).then(|| Self { name, unit, low: low / 1.15, high: high * 1.15, logarithmic: true })
    }

    /// What it measures.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Place of a value, 0..=1; values beyond an end stand at it, and what isn't a number at the beginning.
    pub fn share(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
    }

    /// A value in words.
    pub fn words(&self, value: f64) -> String {
        match self.unit {
            Unit::Number if value.fract() == 0.0 && value.abs() < 1000.0 => format!("{value}"),
            Unit::Number => plain(&number(value)),
            Unit::Time => short(&time_us(value)),
            Unit::Percent => format!("{:.0}%", value * 100.0),
        }
    }

    /// Round values on it, at most six.
    pub fn ticks(&self) -> Vec<f64> {
        let all = if self.logarithmic { self.log_ticks() } else { self.linear_ticks() };
        // Steps added up miss an end by a rounding error.
        let little = (self.high - self.low) * 1e-9;
        let within = |tick: &f64| *tick >= self.low - little && *tick <= self.high + little;
        let mut all: Vec<f64> = all.into_iter().filter(within).collect();
        // A rank's axis begins with 1, which no round step meets.
        if !self.logarithmic && self.low == 1.0 && all.first().is_some_and(|first| *first > 1.0) {
            all.insert(0, 1.0);
        }
        all
    }

    fn linear_ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 4.0;
        let power = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
        let step = steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(rough);
        let first = (self.low / step).ceil();
        (0..6).map(|k| (first + f64::from(k)) * step).collect()
    }

    fn log_ticks(&self) -> Vec<f64> {
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let of = |within: &[f64]| -> Vec<f64> {
            let all = decades.clone().flat_map(|decade| within.iter().map(move |m| m * 10f64.powi(decade)));
            all.filter(|tick| *tick >= self.low && *tick <= self.high).collect()
        };
        let choices = [&[1.0, 2.0, 3.0, 5.0, 7.0][..], &[1.0, 2.0, 5.0], &[1.0, 3.0], &[1.0]].map(of);
        let few = choices.iter().find(|ticks| ticks.len() <= 6);
        // Where all lies within a factor of two or so, one round power says nothing of the scale.
        if few.is_some_and(|ticks| ticks.len() < 3) && self.high < 10.0 * self.low {
            return self.linear_ticks();
        }
        few.cloned().unwrap_or_else(|| choices[3].iter().step_by(2).copied().collect())
    }
}

/// `2.00 ms` is `2 ms` on an axis.
fn short(words: &str) -> String {
    let Some((number, unit)) = words.split_once(' ') else { return words.to_owned() };
    format!("{} {unit}", plain(number))
}

/// `0.50` is `0.5` on an axis.
fn plain(number: &str) -> String {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(Axis::from_zero("", Unit::Number, [1234.0, f64::NAN]).ticks(), [0.0, 500.0, 1000.0]);
        let log = Axis::logarithmic("", Unit::Time, [1.0, 10.0, 0.0, f64::INFINITY]).unwrap();
        assert_eq!(log.ticks(), [1.0, 2.0, 3.0, 5.0, 7.0, 10.0]);
        let wide = Axis::logarithmic("", Unit::Time, [1e-3, 1e9]).unwrap().ticks();
        assert!(wide.len() >= 3 && wide.len() <= 7, "{wide:?}");
        assert_eq!(Axis::between("", Unit::Number, 0.8, 1.2).ticks().len(), 5);
        let narrow = Axis::logarithmic("", Unit::Number, [0.95, 1.05]).unwrap().ticks();
        assert!(narrow.len() >= 3 && narrow.contains(&1.0), "{narrow:?}");
    }

    #[test]
    fn no_value_has_a_place_off_the_axis() {
        for axis in [
            Axis::from_zero("", Unit::Number, []),
            Axis::logarithmic("", Unit::Time, [5.0]).unwrap(),
            Axis::between("", Unit::Percent, 1.0, 1.0),
        ] {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, 1e300] {
                assert!((0.0..=1.0).contains(&axis.share(value)), "{axis:?} {value}");
            }
        }
        assert!(Axis::logarithmic("", Unit::Time, [0.0, f64::NAN]).is_none());
        assert_eq!(Axis::between("", Unit::Time, 0.0, 1.0).words(2000.0), "2 ms");
        assert_eq!(
            [0.5, 1.0, 1.25, 2000.0].map(|one| Axis::between("", Unit::Number, 0.0, 1.0).words(one)),
            ["0.5", "1", "1.25", "2,000"]
        );
    }
}
