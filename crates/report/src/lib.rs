//! Estimates -> text for a terminal, one HTML page with SVG plots, Markdown, CSV, SVG. Pure: shows what `analyse` knows,
//! decides nothing.

mod across;
mod axis;
mod calibration;
mod capacity;
mod csv;
mod doubts;
mod figures;
mod gate;
mod history;
mod load;
mod markdown;
mod page;
mod picture;
mod plot;
mod rows;
mod scale;
mod so_far;
mod spark;
mod text;
mod verdict;

pub use across::{csv_across, markdown_across, table_across};
pub use calibration::{burn_words, calibration_markdown, calibration_text, session_words};
pub use capacity::{capacity_csv, capacity_text};
pub use gate::{gate_markdown, gate_text};
pub use history::{history_csv, history_markdown, history_text};
pub use load::{
    LOAD_CSV_HEAD, LoadCsvLine, load_csv_line, load_prometheus, load_summary, size as load_size,
    statuses as load_statuses,
};
pub use markdown::markdown;
pub use page::{capacity_html, html, html_across};
pub use picture::svg;
pub use scale::scale_text;
pub use so_far::so_far;
pub use spark::spark;
pub use text::{COLUMNS, Screen, check_table, differences_table, recovery_table, table};
pub use verdict::{verdict_html, verdict_table};

use dyno_analyse::Analysis;

/// Every estimate as CSV, a row for each stack, operation and metric.
pub fn results_csv(analysis: &Analysis) -> String {
    let head = [
        "stack",
        "operation",
        "metric",
        "unit",
        "estimate",
        "low",
        "high",
        "blocks",
        "first_rank",
        "last_rank",
    ];
    let mut sheet = csv::Sheet::new(&head);
    for one in &analysis.results {
        let names = [
            one.stack.to_string(),
            one.operation.to_string(),
            one.metric.name().to_owned(),
            one.unit.clone(),
        ];
        let numbers = [Some(one.estimate), one.low, one.high].map(csv::maybe);
        let ranks = one
            .rank
            .map_or_else(<[String; 2]>::default, |(first, last)| [first.to_string(), last.to_string()]);
        sheet.push(names.into_iter().chain(numbers).chain([one.blocks.to_string()]).chain(ranks));
    }
    sheet.text()
}
