//! SVG plots that take their colours from the page's style sheet, so that they follow light and dark. A plotting library
//! (plotters was tried for this) writes colours into the picture; these few shapes need none.

use std::fmt::Write;

use crate::html::escape;

/// Colours that the colour-blind can tell (Okabe and Ito), by index; further ones repeat with a dash.
pub const COLOURS: usize = 8;

/// One row of an interval plot.
pub struct Row {
    pub label: String,
    pub estimate: f64,
    pub interval: Option<(f64, f64)>,
    pub words: String,
    /// Drawn hollow: no rank may be given.
    pub hollow: bool,
}

const WIDTH: f64 = 720.0;
/// Fewest pixels for labels; longer ones push the axis to the right.
const LABELS: f64 = 210.0;
/// Width of a letter of a label, in pixels, somewhat generous.
const LETTER: f64 = 7.4;
const WORDS: f64 = 150.0;
const ROW: f64 = 26.0;

/// Dots with intervals, one row each, from zero.
pub fn intervals(title: &str, rows: &[Row], axis: &dyn Fn(f64) -> String) -> String {
    let most = rows.iter().map(|row| row.interval.map_or(row.estimate, |(_, high)| high)).fold(0.0, f64::max);
    if rows.is_empty() || most <= 0.0 {
        return String::new();
    }
    let longest = rows.iter().map(|row| row.label.chars().count()).max().unwrap_or(0);
    let (left, right) = (LABELS.max(longest as f64 * LETTER), WIDTH - WORDS);
    let x = |value: f64| left + (value / most).clamp(0.0, 1.0) * (right - left);
    let height = ROW * rows.len() as f64 + 30.0;
    let mut svg = open(title, WIDTH, height);
    for tick in ticks(most) {
        let at = x(tick);
        let bottom = height - 22.0;
        let _ = write!(svg, "<line class=grid x1={at:.1} x2={at:.1} y1=0 y2={bottom:.1} />");
        let _ = write!(
            svg,
            "<text class=axis x={at:.1} y={:.1} text-anchor=middle>{}</text>",
            height - 6.0,
            axis(tick)
        );
    }
    for (index, row) in rows.iter().enumerate() {
        let y = ROW * (index as f64 + 0.5);
        let _ = write!(svg, "<text x=0 y={:.1} class=label>{}</text>", y + 4.0, escape(&row.label));
        if let Some((low, high)) = row.interval {
            let _ =
                write!(svg, "<line class=interval x1={:.1} x2={:.1} y1={y:.1} y2={y:.1} />", x(low), x(high));
        }
        let class = if row.hollow { "dot hollow" } else { "dot" };
        let _ = write!(svg, "<circle class='{class}' cx={:.1} cy={y:.1} r=5 />", x(row.estimate));
        let _ = write!(
            svg,
            "<text x={:.1} y={:.1} class=value>{}</text>",
            right + 12.0,
            y + 4.0,
            escape(&row.words)
        );
    }
    svg + "</svg>"
}

/// One line of a curve plot.
pub struct Line {
    pub label: String,
    /// x in 0..=1 along the axis, and a value above zero.
    pub points: Vec<(f64, f64)>,
}

/// Lines over a given x axis, the value axis logarithmic.
pub fn curves(
    title: &str,
    lines: &[Line],
    ticks_x: &[(f64, String)],
    axis: &dyn Fn(f64) -> String,
) -> String {
    let values =
        || lines.iter().flat_map(|line| &line.points).map(|point| point.1).filter(|value| *value > 0.0);
    let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
    if !least.is_finite() || most <= 0.0 {
        return String::new();
    }
    let (left, right, top, bottom) = (70.0, WIDTH - 10.0, 10.0, 260.0);
    let (low, high) = ((least.log10() - 0.05), (most.log10() + 0.05));
    let x = |share: f64| left + share * (right - left);
    let y = |value: f64| bottom - (value.log10() - low) / (high - low) * (bottom - top);
    let legend_rows = lines.len().div_ceil(3);
    let mut svg = open(title, WIDTH, bottom + 34.0 + legend_rows as f64 * 20.0);
    for (share, words) in ticks_x {
        let at = x(*share);
        let _ = write!(svg, "<line class=grid x1={at:.1} x2={at:.1} y1={top} y2={bottom} />");
        let _ = write!(
            svg,
            "<text class=axis x={at:.1} y={:.1} text-anchor=middle>{words}</text>",
            bottom + 16.0
        );
    }
    for tick in log_ticks(low, high) {
        let at = y(tick);
        let _ = write!(svg, "<line class=grid x1={left} x2={right} y1={at:.1} y2={at:.1} />");
        let _ = write!(
            svg,
            "<text class=axis x={:.1} y={:.1} text-anchor=end>{}</text>",
            left - 8.0,
            at + 4.0,
            axis(tick)
        );
    }
    for (index, line) in lines.iter().enumerate() {
        let points: Vec<String> =
            line.points.iter().map(|(share, value)| format!("{:.1},{:.1}", x(*share), y(*value))).collect();
        let class = class_of(index);
        let _ = write!(
            svg,
            "<polyline class='{class}' points='{}'><title>{}</title></polyline>",
            points.join(" "),
            escape(&line.label)
        );
        let (column, row) = ((index % 3) as f64, (index / 3) as f64);
        let (at_x, at_y) = (10.0 + column * 238.0, bottom + 40.0 + row * 20.0);
        let _ = write!(svg, "<line class='{class}' x1={at_x} x2={} y1={at_y} y2={at_y} />", at_x + 22.0);
        let _ =
            write!(svg, "<text class=axis x={} y={}>{}</text>", at_x + 28.0, at_y + 4.0, escape(&line.label));
    }
    svg + "</svg>"
}

/// A small line of what a stack did in each block, relative to its own mean.
pub fn spark(title: &str, values: &[Option<f64>]) -> String {
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    if known.len() < 2 {
        return String::new();
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let (width, height) = (160.0, 32.0);
    let mut svg =
        format!("<svg class=spark viewBox='0 0 {width} {height}' role=img><title>{}</title>", escape(title));
    let _ = write!(svg, "<line class=grid x1=0 x2={width} y1={} y2={} />", height / 2.0, height / 2.0);
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        let x = (index as f64 + 0.5) / values.len() as f64 * width;
        // ±20 % of the mean fill the height.
        let y = height / 2.0 - ((value / mean - 1.0) / 0.2).clamp(-1.0, 1.0) * (height / 2.0 - 3.0);
        let _ = write!(svg, "<circle class=dot cx={x:.1} cy={y:.1} r=2.5 />");
    }
    svg + "</svg>"
}

fn open(title: &str, width: f64, height: f64) -> String {
    format!("<svg viewBox='0 0 {width} {height}' role=img><title>{}</title>", escape(title))
}

fn class_of(index: usize) -> String {
    let dash = if index >= COLOURS { " dashed" } else { "" };
    format!("line c{}{dash}", index % COLOURS)
}

/// Four or so round values from zero.
fn ticks(most: f64) -> Vec<f64> {
    let rough = most / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(power);
    (0..=(most / step) as usize).map(|k| k as f64 * step).collect()
}

fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let decades = (low.floor() as i32..=high.ceil() as i32).map(|power| 10f64.powi(power));
    let all = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|m| m * decade));
    all.filter(|value| value.log10() >= low && value.log10() <= high).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(1234.0), [0.0, 500.0, 1000.0]);
        assert_eq!(log_ticks(0.0, 1.0), [1.0, 2.0, 5.0, 10.0]);
    }

    #[test]
    fn nothing_to_plot_is_no_picture() {
        assert_eq!(intervals("t", &[], &|_| String::new()), "");
        assert_eq!(curves("t", &[], &[], &|_| String::new()), "");
        assert_eq!(spark("t", &[Some(1.0)]), "");
    }
}
