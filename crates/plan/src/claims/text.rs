//! Where in the text one is, and errors that point at it.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// What is wrong with a file of claims, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ClaimError {
    /// The file.
    pub path: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself.
    pub text: String,
    /// Characters that are meant, at least 1.
    pub length: usize,
    /// What is wrong, with the value, and what was expected.
    pub message: String,
    /// What would be right.
    pub example: String,
}

impl fmt::Display for ClaimError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, line, column, text, length, message, example } = self;
        // A tab stays one, so that the caret stands right whatever the tab's width.
        let before: String =
            text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        writeln!(f, "{}:{line}:{column}: {message}", path.display())?;
        writeln!(f, "  {number} | {text}")?;
        writeln!(f, "  {margin} | {before}{}", "^".repeat(*length))?;
        write!(f, "  example: {example}")
    }
}

/// The same before file and line are known.
#[derive(Clone, Debug)]
pub struct Fail {
    /// Bytes of the text that are meant.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub example: String,
}

impl Fail {
    /// An error about a piece of the text.
    pub fn new(span: Range<usize>, message: impl Into<String>, example: impl Into<String>) -> Self {
        Self { span, message: message.into(), example: example.into() }
    }

    /// With the file, the line and the column.
    pub fn at(self, path: &Path, text: &str) -> ClaimError {
        let start = self.span.start.min(text.len());
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[line_start..].lines().next().unwrap_or("");
        let line_end = line_start + line_text.len();
        let end = self.span.end.clamp(start, line_end.max(start));
        ClaimError {
            path: path.to_owned(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            text: line_text.to_owned(),
            length: text[start..end].chars().count().max(1),
            message: self.message,
            example: self.example,
        }
    }
}

/// A place in the text.
pub struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning.
    pub const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// What comes after blanks and comments.
    pub fn rest(&mut self) -> &'a str {
        loop {
            let rest = &self.text[self.at..];
            let trimmed = rest.trim_start();
            self.at += rest.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return trimmed;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    /// What is left of this line, blanks and all.
    pub fn rest_of_line(&self) -> &'a str {
        self.text[self.at..].lines().next().unwrap_or("")
    }

    /// Goes on by so many bytes, which end at a character's end.
    pub fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Byte of the next thing.
    pub fn here(&mut self) -> usize {
        self.rest();
        self.at
    }

    /// Byte behind the last thing.
    pub const fn behind(&self) -> usize {
        self.at
    }

    /// Line of a byte, from 1.
    pub fn line(&self, byte: usize) -> usize {
        self.text[..byte].matches('\n').count() + 1
    }

    /// Takes a mark if it is next.
    pub fn take(&mut self, mark: char) -> bool {
        let is_next = self.rest().starts_with(mark);
        if is_next {
            self.at += mark.len_utf8();
        }
        is_next
    }

    /// The next characters that fit, perhaps none, and where they stand.
    pub fn take_while(&mut self, fits: impl Fn(char) -> bool) -> (&'a str, Range<usize>) {
        let rest = self.rest();
        let length = rest.find(|c| !fits(c)).unwrap_or(rest.len());
        let start = self.at;
        self.at += length;
        (&rest[..length], start..self.at)
    }

    /// The next word: letters, digits, `_`, `-` and `.`, beginning with a letter.
    pub fn word(&mut self) -> (&'a str, Range<usize>) {
        if self.rest().starts_with(|c: char| c.is_alphabetic()) {
            return self.take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        }
        ("", self.at..self.at)
    }

    /// The next word without taking it.
    pub fn peek_word(&mut self) -> &'a str {
        let start = self.here();
        let (word, _) = self.word();
        self.at = start;
        word
    }

    /// The next thing as errors call it: a word, a mark, or the end of the file; with its place.
    pub fn found(&mut self) -> (String, Range<usize>) {
        let rest = self.rest();
        let start = self.at;
        let word = self.peek_word();
        match (word, rest.chars().next()) {
            ("", None) => ("the end of the file".to_owned(), start..start),
            ("", Some(mark)) => (format!("`{mark}`"), start..start + mark.len_utf8()),
            (word, _) => (format!("`{word}`"), start..start + word.len()),
        }
    }

    /// `expected …, found …`.
    pub fn unexpected(&mut self, expected: &str, example: &str) -> Fail {
        let (found, span) = self.found();
        Fail::new(span, format!("expected {expected}, found {found}"), example)
    }

    /// Takes a mark that must be next.
    pub fn expect(&mut self, mark: char, what: &str, example: &str) -> Result<(), Fail> {
        if self.take(mark) { Ok(()) } else { Err(self.unexpected(&format!("`{mark}` {what}"), example)) }
    }
}
