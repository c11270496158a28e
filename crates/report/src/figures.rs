//! Numbers as people read them: no more digits than their interval supports.

use dyno_analyse::Analysis;
use dyno_model::output::{Comparison, Estimate, Metric, SelfCheckOutcome, Verdict};

/// The blocks that the numbers rest on: those in which a stack answered.
pub fn valid_blocks(analysis: &Analysis) -> String {
    match analysis.valid_blocks() {
        (fewest, most) if fewest == most => format!("{most} blocks"),
        (fewest, most) => format!("{fewest} to {most} blocks"),
    }
}

/// A number in about four significant digits, never in powers of ten; a dash where there is none.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    match value.abs() {
        0.0 => "0".to_owned(),
        size if size >= 1000.0 => grouped(value.round()),
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number of things: whole, with its thousands apart.
pub fn count(number: u64) -> String {
    grouped(number as f64)
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 { format!("-{text}") } else { text }
}

/// A latency or CPU time in microseconds, as `820 us`, `3.1 ms` or `10.0 s`.
pub fn time_us(us: f64) -> String {
    if !us.is_finite() {
        return "–".to_owned();
    }
    if us == 0.0 {
        return "0".to_owned();
    }
    if us >= 1e6 {
        return format!("{} s", number(us / 1e6));
    }
    if us >= 1000.0 { format!("{} ms", number(us / 1000.0)) } else { format!("{} us", number(us)) }
}

/// A value of a metric with its unit, where the table's head doesn't say it.
pub fn value(metric: Metric, value: f64) -> String {
    match metric {
        Metric::Throughput => format!("{}/s", number(value)),
        Metric::Memory => format!("{} MiB", number(value)),
        _ => time_us(value),
    }
}

/// Half the interval's length relative to the estimate, as `±3.1 %`; `±?` where there is no interval.
pub fn spread(one: &Estimate) -> String {
    match one.low.zip(one.high) {
        Some((low, high)) if one.estimate != 0.0 && ((high - low) / one.estimate).is_finite() => {
            format!("±{:.1}%", (high - low) / 2.0 / one.estimate * 100.0)
        }
        _ => "±?".to_owned(),
    }
}

/// `1,008 to 1,210/s`; a dash with the number of blocks where there is no interval.
pub fn interval_words(one: &Estimate) -> String {
    match one.low.zip(one.high) {
        Some((low, high)) => format!("{} to {}", value(one.metric, low), value(one.metric, high)),
        None => format!("– ({} blocks)", one.blocks),
    }
}

/// `1.52 [1.48, 1.57]`.
pub fn ratio(one: &Comparison) -> String {
    if !one.ratio.is_finite() {
        return "–".to_owned();
    }
    match one.low.zip(one.high).filter(|(low, high)| low.is_finite() && high.is_finite()) {
        Some((low, high)) => format!("{:.2} [{low:.2}, {high:.2}]", one.ratio),
        None => format!("{:.2} [?]", one.ratio),
    }
}

/// A verdict in a word.
pub const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Different => "different",
        Verdict::NoDifference => "tie",
        Verdict::Inconclusive => "inconclusive",
        Verdict::NoVerdict => "no verdict",
    }
}

/// A self-check's outcome in a word.
pub const fn outcome(outcome: SelfCheckOutcome) -> &'static str {
    match outcome {
        SelfCheckOutcome::Pass => "pass",
        SelfCheckOutcome::Flag => "flag",
        SelfCheckOutcome::Fail => "FAIL",
        SelfCheckOutcome::NotMade => "not made",
    }
}

/// `2` or `2–4`; a dash where no rank may be given.
pub fn rank(rank: Option<(u32, u32)>) -> String {
    match rank {
        Some((first, last)) if first == last => first.to_string(),
        Some((first, last)) => format!("{first}–{last}"),
        None => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_they_deserve() {
        let all = [0.1234, 9.876, 12.34, 123.4, 1234.4, 1_234_567.0, f64::NAN, f64::INFINITY].map(number);
        assert_eq!(all, ["0.12", "9.88", "12.3", "123", "1,234", "1,234,567", "–", "–"]);
        assert_eq!((time_us(820.0), time_us(3140.0)), ("820 us".to_owned(), "3.14 ms".to_owned()));
        assert_eq!(
            (rank(Some((2, 2))), rank(Some((2, 4))), rank(None)),
            ("2".to_owned(), "2–4".to_owned(), "–".to_owned())
        );
    }
}
