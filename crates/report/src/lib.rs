//! Estimates -> text for a terminal, one HTML page with SVG plots. Pure: shows what `analyse` knows, decides nothing.

mod figures;
mod html;
mod load;
mod plot;
mod text;
mod verdict;

pub use html::html;
pub use load::{LOAD_CSV_HEAD, load_csv_line, load_prometheus, load_summary};
pub use text::{check_table, differences_table, recovery_table, table};
pub use verdict::{verdict_html, verdict_table};
