//! Plots with two axes, as SVG without any script. Colours come from the page's style sheet, so that they follow light and
//! dark; every colour has its own dash too. They are drawn for the width of a phone, and two stand side by side elsewhere.

use maud::{Markup, html};

use crate::axis::Axis;

/// Colours there are; more lines than this nobody can tell apart.
pub const COLOURS: usize = 8;
const WIDTH: f64 = 440.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 8.0;
const TOP: f64 = 10.0;

/// A line of a plot; several pieces where it is broken.
pub struct Line {
    /// The stack.
    pub label: String,
    /// x as a share of the axis, y as a value. A piece of one value is drawn as a dot.
    pub pieces: Vec<Vec<(f64, f64)>>,
    /// Its colour; `None` for one that only stands for the rest.
    pub colour: Option<u8>,
}

/// Lines over an x axis whose ticks are given by their places.
pub fn lines(title: &str, all: &[Line], ticks_x: &[(f64, String)], axis: &Axis, rule: Option<f64>) -> Markup {
    let bottom = 230.0;
    let y = |value: f64| bottom - axis.share(value) * (bottom - TOP);
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " 262" } role="img" aria-label=(title) {
            (frame(ticks_x, axis, bottom))
            @if let Some(rule) = rule { line.rule x1=(LEFT) x2=(RIGHT) y1=(at(y(rule))) y2=(at(y(rule))) {} }
            // Those that stand for the rest are drawn first, below the others.
            @for line in all.iter().filter(|line| line.colour.is_none()).chain(all.iter().filter(|line| line.colour.is_some())) {
                @let (dots, drawn): (Vec<_>, Vec<_>) = line.pieces.iter().partition(|piece| piece.len() == 1);
                @if !drawn.is_empty() { path.{ "l " (class(line.colour)) } data-s=(line.label) d=(pieces(&drawn, &y)) { title { (line.label) } } }
                @if !dots.is_empty() { path.{ "dots lone " (class(line.colour)) } data-s=(line.label) d=(pieces(&dots, &y)) { title { (line.label) } } }
            }
        }
        ul.legend {
            @for line in all.iter().filter(|line| line.colour.is_some()) { li data-s=(line.label) { (key(line.colour)) (line.label) } }
            @let rest = all.iter().filter(|line| line.colour.is_none()).count();
            @if rest > 0 { li { (key(None)) (rest) " more" } }
        }
    }
}

fn key(colour: Option<u8>) -> Markup {
    html! { svg.key viewBox="0 0 26 8" aria-hidden="true" { path.{ "l " (class(colour)) } d="M1 4H25" {} } }
}

fn class(colour: Option<u8>) -> String {
    colour.map_or_else(|| "rest".to_owned(), |colour| format!("s{colour}"))
}

fn at(value: f64) -> String {
    format!("{value:.1}")
}

fn x(share: f64) -> f64 {
    LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
}

fn pieces(pieces: &[&Vec<(f64, f64)>], y: &dyn Fn(f64) -> f64) -> String {
    let mut path = String::new();
    for piece in pieces {
        let mut pen = 'M';
        for (share, value) in piece.iter().filter(|point| point.1.is_finite()) {
            path += &format!("{pen}{} {}", at(x(*share)), at(y(*value)));
            pen = 'L';
        }
        // A dot is the round cap of a line without length.
        if piece.len() == 1 {
            path += "h0";
        }
    }
    path
}

fn frame(ticks_x: &[(f64, String)], axis: &Axis, bottom: f64) -> Markup {
    let y = |value: f64| at(bottom - axis.share(value) * (bottom - TOP));
    html! {
        @for (share, words) in ticks_x {
            line.g x1=(at(x(*share))) x2=(at(x(*share))) y1=(TOP) y2=(bottom) {}
            text.a x=(at(x(*share))) y=(bottom + 17.0) text-anchor=(anchor(*share)) { (words) }
        }
        @for tick in axis.ticks() {
            line.g x1=(LEFT) x2=(RIGHT) y1=(y(tick)) y2=(y(tick)) {}
            text.a x=(LEFT - 6.0) y=(y(tick)) dy="4" text-anchor="end" { (axis.words(tick)) }
        }
    }
}

fn anchor(share: f64) -> &'static str {
    if share > 0.97 {
        "end"
    } else if share < 0.03 {
        "start"
    } else {
        "middle"
    }
}

/// What a run was like over time.
pub struct Strip {
    /// Undisturbed slices: place and rate over the mean of their stack and operation.
    pub kept: Vec<(f64, f64)>,
    /// Slices that were disturbed.
    pub disturbed: Vec<(f64, f64)>,
    /// Blocks: begin, end, and speed of the fixed spin over its mean.
    pub blocks: Vec<(f64, f64, f64)>,
    /// Foreign CPU time: place and share of a core.
    pub foreign: Vec<(f64, f64)>,
    /// Share beyond which a slice is marked as disturbed.
    pub limit: f64,
}

/// Slices above, foreign CPU below, over the same time.
pub fn strip(title: &str, strip: &Strip, ticks_x: &[(f64, String)], rates: &Axis, shares: &Axis) -> Markup {
    let (middle, top, bottom) = (160.0, 176.0, 230.0);
    let y = |value: f64| middle - rates.share(value) * (middle - TOP);
    let low = |value: f64| bottom - shares.share(value) * (bottom - top);
    let dots = |points: &[(f64, f64)], mark: &str| -> String {
        points.iter().map(|(share, value)| format!("M{} {}{mark}", at(x(*share)), at(y(*value)))).collect()
    };
    let bars: String = strip
        .foreign
        .iter()
        .map(|(share, value)| format!("M{} {bottom}V{}", at(x(*share)), at(low(*value))))
        .collect();
    html! {
        svg.plot viewBox={ "0 0 " (WIDTH) " 262" } role="img" aria-label=(title) {
            @for (share, words) in ticks_x { text.a x=(at(x(*share))) y=(bottom + 17.0) text-anchor=(anchor(*share)) { (words) } }
            @for (begin, _, _) in &strip.blocks { line.g x1=(at(x(*begin))) x2=(at(x(*begin))) y1=(TOP) y2=(bottom) {} }
            @for tick in rates.ticks() {
                line.g x1=(LEFT) x2=(RIGHT) y1=(at(y(tick))) y2=(at(y(tick))) {}
                text.a x=(LEFT - 6.0) y=(at(y(tick))) dy="4" text-anchor="end" { (rates.words(tick)) }
            }
            @for tick in [0.0, strip.limit, shares.ticks().last().copied().unwrap_or(1.0)] {
                text.a x=(LEFT - 6.0) y=(at(low(tick))) dy="4" text-anchor="end" { (shares.words(tick)) }
            }
            path.dots.s0 d=(dots(&strip.kept, "h0")) {}
            path.cross.s1 d=(dots(&strip.disturbed, "m-3-3l6 6m0-6l-6 6")) {}
            @for (begin, end, spin) in &strip.blocks {
                line.l.s2 x1=(at(x(*begin))) x2=(at(x(*end))) y1=(at(y(*spin))) y2=(at(y(*spin))) {}
            }
            path.bars.s3 d=(bars) {}
            line.rule x1=(LEFT) x2=(RIGHT) y1=(at(low(strip.limit))) y2=(at(low(strip.limit))) {}
        }
        ul.legend {
            li { i.k.k0 {} "undisturbed slice" } li { (cross()) "disturbed slice, adjusted" }
            li { (key(Some(2))) "speed of a fixed spin, by block" } li { (key(Some(3))) "foreign CPU, share of a core" }
        }
    }
}

fn cross() -> Markup {
    html! { svg.key viewBox="0 0 26 8" aria-hidden="true" { path.cross.s1 d="M10 1l6 6m0-6l-6 6" {} } }
}

/// A small picture of what a stack did in each block, around its own mean.
pub fn spark(words: &str, values: &[Option<f64>]) -> Markup {
    let known: Vec<f64> = values.iter().flatten().copied().filter(|value| value.is_finite()).collect();
    let mean = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let mark = |(index, value): (usize, &Option<f64>)| {
        let value = value.filter(|value| value.is_finite())?;
        // ±20 % of the mean fill the height.
        let y = 10.0 - ((value / mean - 1.0) / 0.2).clamp(-1.0, 1.0) * 8.0;
        Some(format!("M{:.0} {y:.0}h0", (index as f64 + 0.5) / values.len() as f64 * 100.0))
    };
    let path: String = values.iter().enumerate().filter_map(mark).collect();
    html! {
        @if known.len() < 2 || mean <= 0.0 { "–" } @else {
            svg.spark viewBox="0 0 100 20" role="img" aria-label=(words) { line.g x1="0" x2="100" y1="10" y2="10" {} path.dots.s0 d=(path) {} }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axis::Unit;

    #[test]
    fn broken_lines_lone_points_and_what_is_no_number() {
        let y = |value: f64| value;
        let points = [vec![(0.0, 1.0), (0.5, f64::NAN), (1.0, 2.0)], vec![(2.0, 3.0)]];
        assert_eq!(pieces(&points.iter().collect::<Vec<_>>(), &y), "M56.0 1.0L432.0 2.0M432.0 3.0h0");
    }

    #[test]
    fn names_are_escaped_and_lines_for_the_rest_are_counted() {
        let line =
            |label: &str, colour| Line { label: label.to_owned(), pieces: vec![vec![(0.0, 1.0)]], colour };
        let all = [line("<b>", Some(0)), line("x", None), line("y", None)];
        let svg = lines("t", &all, &[], &Axis::from_zero("", Unit::Number, [1.0]), None).into_string();
        assert!(svg.contains("&lt;b&gt;") && !svg.contains("<b>") && svg.contains("2 more"), "{svg}");
    }

    #[test]
    fn a_spark_needs_two_values() {
        assert_eq!(spark("t", &[Some(1.0), None]).into_string(), "–");
        assert_eq!(spark("t", &[Some(0.0), Some(0.0)]).into_string(), "–");
        assert_eq!(spark("t", &[Some(1.0), Some(1.0)]).into_string().matches("h0").count(), 2);
    }
}
