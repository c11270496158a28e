//! Data rows: a CSV file whose first row names the columns.

use std::{
    fs,
    path::{Path, PathBuf},
};

use csv::{ReaderBuilder, StringRecord};

use crate::error::PlanError;

/// The rows that a request is made for. Without a file: one row, and no column.
#[derive(Debug)]
pub struct Rows {
    /// The file.
    pub file: Option<PathBuf>,
    /// Names, each once.
    pub columns: Vec<String>,
    /// At least one; each has a cell for each column.
    pub rows: Vec<Row>,
}

#[derive(Debug)]
pub struct Row {
    /// Line that it begins on, from 1.
    line: usize,
    cells: StringRecord,
}

const EXAMPLE: &str = "id,name\n           1,Ada";

impl Rows {
    /// For a request without data.
    pub fn none() -> Self {
        let row = Row { line: 0, cells: StringRecord::new() };
        Self { file: None, columns: Vec::new(), rows: vec![row] }
    }

    /// Reads a file. `unreadable` says where the file was asked for.
    pub fn read(path: &Path, unreadable: impl FnOnce(String) -> PlanError) -> Result<Self, PlanError> {
        let text = fs::read(path).map_err(|error| unreadable(format!("{}: {error}", path.display())))?;
        let invalid = |line, message| invalid(path, line, message, EXAMPLE);
        // Lengths are compared here, to name the line and the columns.
        let mut reader = ReaderBuilder::new().flexible(true).has_headers(false).from_reader(text.as_slice());
        let mut columns: Option<Vec<String>> = None;
        let mut rows = Vec::new();
        let mut lines = Lines::new(&text);
        for record in reader.records() {
            let record = record
                .map_err(|error| invalid(lines.at(error.position()), "the row isn't UTF-8".to_owned()))?;
            let line = lines.at(record.position());
            let Some(columns) = &columns else {
                columns = Some(names(&record).map_err(|message| invalid(line, message))?);
                continue;
            };
            if record.len() != columns.len() {
                let message = format!(
                    "the row has {} cells, and there are {} columns ({})",
                    record.len(),
                    columns.len(),
                    columns.join(", ")
                );
                return Err(invalid(line, message));
            }
            rows.push(Row { line, cells: record });
        }
        let Some(columns) = columns else {
            return Err(invalid(1, "the file is empty: its first row names the columns".to_owned()));
        };
        if rows.is_empty() {
            return Err(invalid(1, "there are no rows after the names of the columns".to_owned()));
        }
        Ok(Self { file: Some(path.to_owned()), columns, rows })
    }

    /// Adds columns that have the same cell in each row.
    pub fn add(&mut self, values: &[(String, String)]) {
        for (name, cell) in values {
            self.columns.push(name.clone());
            for row in &mut self.rows {
                row.cells.push_field(cell);
            }
        }
    }

    /// What a placeholder's name is the name of.
    pub fn column(&self, name: &str) -> Result<usize, String> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| match &self.file {
            Some(file) => format!(
                "there is no column `{name}`: the columns of {} are {}",
                file.file_name().unwrap_or_default().display(),
                self.columns.join(", ")
            ),
            None => format!(
                "`{{{{{name}}}}}` is a placeholder, and there are no data rows to take it from (two braces that mean \
                 themselves are written `{{{{{{{{`)"
            ),
        })
    }

    /// An error of a row.
    pub fn error(&self, row: &Row, message: String, example: &str) -> PlanError {
        invalid(self.file.as_deref().unwrap_or(Path::new("")), row.line, message, example)
    }
}

impl Row {
    /// A cell by its column's index.
    pub fn cell(&self, column: usize) -> &str {
        self.cells.get(column).unwrap_or("")
    }
}

fn names(record: &StringRecord) -> Result<Vec<String>, String> {
    let names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
    for (index, name) in names.iter().enumerate() {
        // Spreadsheets leave columns without a name; no placeholder asks for them.
        if !name.is_empty() && names[..index].contains(name) {
            return Err(format!("two columns are called `{name}`"));
        }
    }
    Ok(names)
}

/// Counts lines up to where records begin. The library's own count is of the line where its search began, which may be
/// an empty one before.
pub struct Lines<'a> {
    text: &'a [u8],
    byte: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    /// From the first line on.
    pub const fn new(text: &'a [u8]) -> Self {
        Self { text, byte: 0, line: 1 }
    }

    /// The line of a place that isn't before the last one asked for.
    pub fn at(&mut self, position: Option<&csv::Position>) -> usize {
        let byte =
            position.map_or(self.byte, |position| usize::try_from(position.byte()).unwrap_or(usize::MAX));
        let is_break = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let begin = byte.saturating_add(self.text.iter().skip(byte).take_while(is_break).count());
        let begin = begin.clamp(self.byte, self.text.len());
        self.line += self.text[self.byte..begin].iter().filter(|&&byte| byte == b'\n').count();
        self.byte = begin;
        self.line
    }
}

fn invalid(path: &Path, line: usize, message: String, example: &str) -> PlanError {
    PlanError::Invalid { path: path.to_owned(), line, message, example: example.to_owned() }
}
