//! Dot-and-interval and bar plots as rows of a table: names and numbers are text, only the marks are a picture, which
//! stretches to the room there is. So a phone, a printer and a screen reader get the same figure.

use maud::{Markup, PreEscaped, html};

use crate::{axis::Axis, csv::Sheet};

/// Units of a picture's width.
const WIDTH: f64 = 1000.0;

/// What is drawn in a row.
pub enum Glyph {
    /// An interval.
    Span(f64, f64, u8),
    /// An estimate: its colour's number chooses its shape too, so that colour isn't needed to read it.
    Dot(f64, u8),
    /// An estimate that has no rank or no interval.
    Hollow(f64, u8),
    /// A piece of a stacked bar.
    Bar(f64, f64, u8),
    /// A line across the row.
    Rule(f64),
    /// A hill: values and heights, 0..=1.
    Hill(Vec<(f64, f64)>, u8),
}

/// A row.
#[derive(Default)]
pub struct Row {
    /// The stack's name.
    pub name: String,
    /// Whether ratios are given against it.
    pub baseline: bool,
    /// What is drawn.
    pub glyphs: Vec<Glyph>,
    /// The same in words, one for each of the plot's columns after the picture.
    pub words: Vec<String>,
    /// Rank or another word before the name.
    pub rank: Option<String>,
    /// Set for the first row of a group, with the group's words.
    pub group: Option<String>,
    /// Why the row's figure carries no verdict: it is greyed, and the reason stands below its marks.
    pub refused: Option<String>,
    /// What makes a part of the row's figures less sure, below its marks.
    pub note: Option<String>,
    /// Whether it is one of those that can't be told from the best.
    pub tied: bool,
}

impl Row {
    /// Classes of the row in the style sheet.
    const fn class(&self) -> Option<&'static str> {
        match (self.refused.is_some(), self.tied) {
            (true, _) => Some("grey"),
            (false, true) => Some("tied"),
            (false, false) => None,
        }
    }
}

/// A whole plot.
pub struct Plot<'a> {
    /// For anchors.
    pub id: String,
    /// What it shows and how to read it.
    pub caption: String,
    /// The axis.
    pub axis: Axis,
    /// Heads of the columns after the picture.
    pub heads: &'a [&'a str],
    /// Rows in order.
    pub rows: Vec<Row>,
    /// Colours with their words, where there is more than one.
    pub legend: &'a [(u8, &'a str)],
    /// The data.
    pub sheet: Sheet,
}

impl Plot<'_> {
    /// The figure; nothing when there are no rows.
    pub fn render(&self) -> Markup {
        if self.rows.is_empty() {
            return html! {};
        }
        html! {
            figure id=(self.id) {
                (caption(&self.caption, &self.id, &self.sheet))
                (legend(self.legend))
                (table(&self.axis, self.heads, &self.rows))
            }
        }
    }
}

/// Rows over an axis. A column that no row has anything for isn't drawn.
pub fn table(axis: &Axis, heads: &[&str], rows: &[Row]) -> Markup {
    let ranked = rows.iter().any(|row| row.rank.is_some());
    let columns = 2 + heads.len() + usize::from(ranked);
    html! {
        table.rows.few[rows.len() <= 20] style=(PreEscaped(grid(axis))) {
            thead { tr {
                @if ranked { th scope="col" { "rank" } }
                th scope="col" { "stack" }
                th.plot scope="col" { span.hide { (axis.name()) } (ticks(axis)) }
                @for head in heads { th.n scope="col" { (head) } }
            } }
            tbody {
                @for row in rows {
                    @if let Some(group) = &row.group { tr.group { th colspan=(columns) scope="colgroup" { (group) } } }
                    tr class=[row.class()] data-s=(row.name) {
                        @if ranked { td.rank { (row.rank.as_deref().unwrap_or("–")) } }
                        th scope="row" { (row.name) @if row.baseline { " " small { "baseline" } } }
                        td.plot {
                            (picture(&row.glyphs, axis))
                            @if let Some(reason) = &row.refused { small.why { "no verdict: " (reason) } }
                            @if let Some(note) = &row.note { small.why { (note) } }
                        }
                        @for words in &row.words { td { (words) } }
                    }
                }
            }
        }
    }
}

/// A figure's words with a link that holds its data.
pub fn caption(words: &str, id: &str, sheet: &Sheet) -> Markup {
    // What it shows, then in brackets how to read it.
    let (what, how) =
        words.split_once(" (").map_or((words, None), |(what, how)| (what, Some(how.trim_end_matches(')'))));
    html! {
        figcaption {
            span { (what) } " " a.csv download={ (id) ".csv" } href=(sheet.link()) { "CSV" span.hide { " of " (id) } }
            @if let Some(how) = how { small { (how) } }
        }
    }
}

/// Colours and shapes with their words.
pub fn legend(entries: &[(u8, &str)]) -> Markup {
    html! {
        @if !entries.is_empty() {
            ul.legend { @for (colour, words) in entries { li { i.{ "k k" (colour) } {} (words) } } }
        }
    }
}

fn grid(axis: &Axis) -> String {
    let places: Vec<f64> = axis.ticks().iter().map(|tick| axis.share(*tick) * 100.0).collect();
    let lines = places
        .iter()
        .map(|at| format!("linear-gradient(var(--line),var(--line)) {at:.2}% 0/1px 100% no-repeat"));
    format!("--grid:{}", lines.collect::<Vec<_>>().join(","))
}

fn ticks(axis: &Axis) -> Markup {
    html! { span.ticks aria-hidden="true" {
        @for tick in axis.ticks() { i style={ "left:" (format!("{:.2}", axis.share(tick) * 100.0)) "%" } { (axis.words(tick)) } }
    } }
}

/// Strokes keep their width and round caps their shape however the picture is stretched.
fn picture(glyphs: &[Glyph], axis: &Axis) -> Markup {
    let x = |value: f64| format!("{:.0}", axis.share(value) * WIDTH);
    html! {
        svg viewBox="0 0 1000 16" preserveAspectRatio="none" aria-hidden="true" {
            @for glyph in glyphs {
                @match glyph {
                    Glyph::Span(low, high, colour) => path.{ "i s" (colour) } d={ "M" (x(*low)) " 8H" (x(*high)) } {},
                    Glyph::Dot(at, colour) => path.{ "d s" (colour) } d={ "M" (x(*at)) " 8h0" } {},
                    Glyph::Hollow(at, colour) => {
                        path.{ "d s" (colour) } d={ "M" (x(*at)) " 8h0" } {}
                        path.h d={ "M" (x(*at)) " 8h0" } {}
                    },
                    Glyph::Bar(from, to, colour) => rect.{ "f" (colour) } x=(x(*from)) y="1" height="14"
                        width=(format!("{:.0}", (axis.share(*to) - axis.share(*from)) * WIDTH)) {},
                    Glyph::Hill(points, colour) => path.{ "f" (colour) } d=(hill(points, axis)) {},
                    Glyph::Rule(at) => path.r d={ "M" (x(*at)) " 0V16" } {},
                }
            }
        }
    }
}

fn hill(points: &[(f64, f64)], axis: &Axis) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    let x = |value: f64| format!("{:.0}", axis.share(value) * WIDTH);
    let tops: Vec<String> = points
        .iter()
        .map(|(at, height)| format!("{},{:.1}", x(*at), 16.0 - 15.0 * height.clamp(0.0, 1.0)))
        .collect();
    format!("M{},16L{} {},16Z", x(first.0), tops.join(" "), x(last.0))
}
