//! Estimates -> text for a terminal, one HTML page with SVG plots. Pure: shows what `analyse` knows, decides nothing.

mod figures;
mod html;
mod plot;
mod text;

pub use html::html;
pub use text::{check_table, table};
