//! Regions, checked against what they are about.

use std::ops::Range;

use dyno_model::claim::{ClaimMetric, End, Region, Unit};

use super::text::{Cursor, Fail};

/// What lies in a region.
#[derive(Clone, Copy)]
pub enum About {
    /// A ratio, or a ratio of ratios.
    Ratio,
    /// A figure.
    Value(ClaimMetric),
    /// A difference of two figures.
    Difference(ClaimMetric),
}

impl About {
    fn example(self) -> String {
        match self {
            Self::Ratio => "in (1,1.5)".to_owned(),
            Self::Value(metric) => format!("in (0,20{})", metric.units()[0].name()),
            Self::Difference(metric) => format!("in (-inf,5{})", metric.units()[0].name()),
        }
    }

    fn units(self) -> &'static [Unit] {
        match self {
            Self::Ratio => &[Unit::Percent],
            Self::Value(metric) | Self::Difference(metric) => metric.units(),
        }
    }

    /// Why an end can't have its unit, or have none.
    fn unit_error(self, end: End) -> Option<String> {
        let list = || self.units().iter().map(|unit| unit.name()).collect::<Vec<_>>().join(" or ");
        match (self, end.unit) {
            (_, Some(unit)) if self.units().contains(&unit) => None,
            (Self::Ratio, Some(unit)) => {
                Some(format!("`{end}`: a ratio has no unit (or %), and `{}` is one", unit.name()))
            }
            (Self::Value(metric) | Self::Difference(metric), Some(unit)) => {
                Some(format!("`{end}`: {metric} is in {}, not in {}", list(), unit.name()))
            }
            (Self::Value(metric) | Self::Difference(metric), None)
                if end.number != 0.0 && end.number.is_finite() =>
            {
                Some(format!("`{end}` has no unit: {metric} is in {}", list()))
            }
            (_, None) => None,
        }
    }
}

/// `"in" ("("|"[") num "," num (")"|"]")`
pub fn region(cursor: &mut Cursor<'_>, about: About) -> Result<Region, Fail> {
    let example = about.example();
    if cursor.peek_word() != "in" {
        return Err(cursor.unexpected("`in` and a region", &example));
    }
    cursor.word();
    let start = cursor.here();
    let low_closed = cursor.take('[');
    if !low_closed && !cursor.take('(') {
        return Err(cursor.unexpected("`(` or `[` and two ends", &example));
    }
    let low = end(cursor, about)?;
    cursor.expect(',', "and the upper end", &example)?;
    let high = end(cursor, about)?;
    let high_closed = cursor.take(']');
    if !high_closed && !cursor.take(')') {
        return Err(cursor.unexpected("`)` or `]`", &example));
    }
    let region = Region { low, low_closed, high, high_closed };
    match reason_against(&region, about) {
        Some(message) => Err(Fail::new(start..cursor.behind(), message, example)),
        None => Ok(region),
    }
}

fn end(cursor: &mut Cursor<'_>, about: About) -> Result<End, Fail> {
    let (text, span): (&str, Range<usize>) =
        cursor.take_while(|c| !c.is_whitespace() && !matches!(c, ',' | ')' | ']' | '#'));
    if text.is_empty() {
        return Err(cursor.unexpected("a number", &about.example()));
    }
    let end: End =
        text.parse().map_err(|error| Fail::new(span.clone(), format!("{error}"), about.example()))?;
    match about.unit_error(end) {
        Some(message) => Err(Fail::new(span, message, about.example())),
        None => Ok(end),
    }
}

/// Why nothing could be claimed with it.
fn reason_against(region: &Region, about: About) -> Option<String> {
    let (low, high) = (region.low(), region.high());
    // Ratios and figures are above zero, and are worked with as logarithms.
    let positive = !matches!(about, About::Difference(_));
    let what = if matches!(about, About::Ratio) { "a ratio" } else { "a figure" };
    if region.is_empty() {
        return Some(format!("the region {region} is empty: nothing lies in it"));
    }
    if low == high {
        return Some(format!("{region} is one point, and equality can't be shown; write a region around it"));
    }
    if positive && high <= 0.0 {
        return Some(format!("{region}: {what} is above zero, so it can't lie there"));
    }
    if positive && low < 0.0 {
        return Some(format!("{region}: {what} is never below zero; write 0 for no lower end"));
    }
    if high == f64::INFINITY && (low == f64::NEG_INFINITY || (positive && low == 0.0)) {
        return Some(format!("{region} holds everything, so it claims nothing"));
    }
    None
}
