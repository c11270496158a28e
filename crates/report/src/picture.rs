//! A run as one SVG file that stands alone: throughput with intervals and ranks, an operation below another. Its style is
//! within it and follows light and dark, so that it can be put into a README.

use dyno_analyse::Analysis;
use dyno_model::{
    Operation,
    output::{Estimate, Metric},
    record::Run,
};
use maud::{Markup, PreEscaped, html};

use crate::{
    axis::{Axis, Unit},
    figures::{rank, spread, value},
    text::sorted,
};

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#1b1f23}.t{font-weight:600;font-size:15px}.a{fill:#565f69;font-size:12px}\
.g{stroke:#dde1e5}.i{stroke:#0072b2;stroke-width:6;opacity:.45}.d{fill:#0072b2}.h{fill:#fff;stroke:#0072b2;stroke-width:2}.p{fill:#fff}\
@media(prefers-color-scheme:dark){text{fill:#e7eaed}.a{fill:#a3adb7}.g{stroke:#30363c}.i{stroke:#56b4e9}.d{fill:#56b4e9}.h{fill:#131619;stroke:#56b4e9}.p{fill:#131619}}";
const WIDTH: f64 = 820.0;
const ROW: f64 = 24.0;
/// Width of a letter, somewhat generous.
const LETTER: f64 = 7.4;

/// The picture.
pub fn svg(run: &Run, analysis: &Analysis) -> String {
    let mut y = 30.0;
    let mut parts = Vec::new();
    for &operation in &run.plan.operations {
        let rates = sorted(analysis, operation, Metric::Throughput);
        if !rates.is_empty() {
            parts.push(operation_part(operation, &rates, y));
            y += 66.0 + ROW * rates.len() as f64;
        }
    }
    let nothing = parts.is_empty();
    html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (WIDTH) " " (y.max(60.0)) } role="img" {
            title { (run.plan.title) }
            style { (PreEscaped(STYLE)) }
            rect.p width="100%" height="100%" {}
            @if nothing { text x="12" y="24" { "– nothing was measured in a complete block" } }
            @for part in parts { (part) }
        }
    }
    .into_string()
        + "\n"
}

fn operation_part(operation: Operation, rates: &[&Estimate], top: f64) -> Markup {
    let longest = rates.iter().map(|one| one.stack.to_string().chars().count()).max().unwrap_or(0);
    let (left, right) = ((60.0 + longest as f64 * LETTER).min(420.0), WIDTH - 150.0);
    let axis =
        Axis::from_zero("requests/s", Unit::Number, rates.iter().map(|one| one.high.unwrap_or(one.estimate)));
    let x = |value: f64| format!("{:.1}", left + axis.share(value) * (right - left));
    let bottom = top + 14.0 + ROW * rates.len() as f64;
    html! {
        text.t x="12" y=(top) { (operation) ": right answers per second, saturated, 95 % intervals" }
        @for tick in axis.ticks() {
            line.g x1=(x(tick)) x2=(x(tick)) y1=(top + 10.0) y2=(bottom) {}
            text.a x=(x(tick)) y=(bottom + 15.0) text-anchor="middle" { (axis.words(tick)) }
        }
        @for (index, one) in rates.iter().enumerate() {
            @let y = top + 14.0 + ROW * (index as f64 + 0.5);
            text.a x="12" y=(y + 4.0) { (rank(one.rank)) }
            text x="56" y=(y + 4.0) { (one.stack) }
            @if let Some((low, high)) = one.low.zip(one.high) { line.i x1=(x(low)) x2=(x(high)) y1=(y) y2=(y) {} }
            circle.d[one.rank.is_some()].h[one.rank.is_none()] cx=(x(one.estimate)) cy=(y) r="5" {}
            text x=(right + 14.0) y=(y + 4.0) { (value(one.metric, one.estimate)) " " (spread(one)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use dyno_analyse::{analyse, synthetic};

    use super::*;

    #[test]
    fn it_stands_alone_and_names_are_escaped() {
        let mut run = synthetic::run(&[("flask/gunicorn", 1000.0), ("go-bun/go", 2000.0)]);
        run.plan.title = "<script>".to_owned();
        let picture = svg(&run, &analyse(&run, &synthetic::blocks(&run, &[1000.0, 2000.0], 8, 0.01)));
        assert!(
            picture.starts_with("<svg xmlns")
                && picture.contains("&lt;script&gt;")
                && !picture.contains("<script")
        );
        assert_eq!(picture.matches("<circle").count(), 4, "two stacks, two operations");
        let empty = svg(&run, &analyse(&run, &[]));
        assert!(empty.contains("nothing was measured") && !empty.contains("NaN"));
    }
}
