//! Data as CSV, by the csv library, and as a link that a page carries within itself.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// What a data: link can't hold as it is. Commas can stay, which keeps pages small.
const LINK: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'%').add(b'<').add(b'>').add(b'`').add(b'&').add(b'\'');

/// A table of data, its head first.
pub struct Sheet(Vec<Vec<String>>);

impl Sheet {
    /// A table with its head.
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|word| (*word).to_owned()).collect()])
    }

    /// Adds a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = String>) {
        self.0.push(row.into_iter().map(harmless).collect());
    }

    /// The text.
    pub fn text(&self) -> String {
        let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
        for row in &self.0 {
            writer.write_record(row).expect("writing to memory doesn't fail");
        }
        let bytes = writer.into_inner().expect("flushing to memory doesn't fail");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The same as a link to be saved, without any script.
    pub fn link(&self) -> String {
        format!("data:text/csv;charset=utf-8,{}", utf8_percent_encode(&self.text(), LINK))
    }
}

/// A spreadsheet takes a cell that begins so for a formula; names of stacks and plans may be anybody's.
fn harmless(cell: String) -> String {
    let formula = cell.starts_with(['=', '+', '@', '\t', '\r'])
        || (cell.starts_with('-') && cell.parse::<f64>().is_err());
    if formula { format!("'{cell}") } else { cell }
}

/// A number for machines; an empty cell where there is none.
pub fn cell(value: f64) -> String {
    if !value.is_finite() {
        return String::new();
    }
    // Six significant digits: more than any interval here deserves.
    let digits = if value == 0.0 { 0 } else { (5 - value.abs().log10().floor() as i32).clamp(0, 9) as usize };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// The same of a value that may be absent.
pub fn maybe(value: Option<f64>) -> String {
    value.map(cell).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_text() {
        let mut sheet = Sheet::new(&["a", "b"]);
        sheet.push(["=1+1".to_owned(), "x,\"y\"".to_owned()]);
        sheet.push([cell(f64::NAN), cell(-1234.5)]);
        assert_eq!(sheet.text(), "a,b\n'=1+1,\"x,\"\"y\"\"\"\n,-1234.5\n");
        assert!(sheet.link().starts_with("data:text/csv;charset=utf-8,a,b%0A%27=1+1,%22x"));
    }

    #[test]
    fn numbers_keep_six_digits() {
        let all = [0.0, 0.000123456789, 12.3456789, 1234567.8, f64::INFINITY].map(cell);
        assert_eq!(all, ["0", "0.000123457", "12.3457", "1234568", ""]);
    }
}
