//! Texts with placeholders: `{{column}}`, and two forms of it, `{{column:raw}}` in a path and `{{column:number}}` or
//! `{{column:json}}` as a whole JSON string. `{{{{` is two braces. A cell is encoded for the place it goes to, by whoever
//! fills the template.

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};
use serde_json::Value;

use super::data::{Row, Rows};

/// A text that was cut at its placeholders.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Cell(Cell),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Cell {
    column: usize,
    form: Form,
}

/// How a cell is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// As a text, encoded for its place.
    Text,
    /// As a piece of a path or query that is already encoded.
    Raw,
    /// As a JSON number.
    Number,
    /// As any JSON value.
    Json,
}

/// What is wrong with a cell, and one that would be right.
pub struct BadCell {
    pub message: String,
    pub example: &'static str,
}

impl Template {
    fn parse_any(text: &str, rows: &Rows) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("{{") {
            literal += &rest[..at];
            rest = &rest[at + 2..];
            if let Some(after) = rest.strip_prefix("{{") {
                literal += "{{";
                rest = after;
                continue;
            }
            let end = rest.find("}}").ok_or_else(|| {
                "`{{` begins a placeholder that `}}` doesn't end (two braces that mean themselves are written `{{{{`)"
                    .to_owned()
            })?;
            let cell = cell(&rest[..end], rows)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Cell(cell));
            rest = &rest[end + 2..];
        }
        literal += rest;
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// A text without placeholders, whatever stands in it.
    pub fn literal(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned())] }
    }

    /// A header, a body, a form's field: cells are texts.
    pub fn parse(text: &str, rows: &Rows) -> Result<Self, String> {
        let template = Self::parse_any(text, rows)?;
        template.refuse(
            &[Form::Number, Form::Json],
            "stands as a whole string in `json`, for instance \
                                                      `{ id = \"{{id:number}}\" }`",
        )?;
        template.refuse(&[Form::Raw], "stands in a path")?;
        Ok(template)
    }

    /// A path and query: what must be encoded is, in the text at once.
    pub fn parse_target(text: &str, rows: &Rows) -> Result<Self, String> {
        let mut template = Self::parse_any(text, rows)?;
        template.refuse(&[Form::Number, Form::Json], "stands in `json`; a path takes the text as it is")?;
        for part in &mut template.parts {
            if let Part::Text(text) = part {
                *text = encode_target(text)?;
            }
        }
        Ok(template)
    }

    fn refuse(&self, forms: &[Form], where_it_stands: &str) -> Result<(), String> {
        let wrong = self.parts.iter().find_map(|part| match part {
            Part::Cell(cell) if forms.contains(&cell.form) => Some(cell.form.name()),
            _ => None,
        });
        wrong.map_or(Ok(()), |name| Err(format!("`:{name}` {where_it_stands}")))
    }

    /// Whether it has a placeholder.
    pub fn has_cells(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Cell(_)))
    }

    /// Whether it begins with a placeholder, whose first character isn't known yet.
    pub fn begins_with_cell(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Cell(_)))
    }

    /// With the cells of a row, each as it is.
    pub fn fill(&self, row: &Row) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Cell(cell) => row.cell(cell.column).to_owned(),
        };
        self.parts.iter().map(part).collect()
    }

    /// A target with the cells of a row: percent-encoded, so that no cell ends the segment or the value that it stands
    /// in; raw ones only as far as they must be.
    pub fn fill_target(&self, row: &Row) -> Result<String, BadCell> {
        let mut target = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => target += text,
                Part::Cell(Cell { column, form: Form::Raw }) => target += &raw(row.cell(*column))?,
                Part::Cell(cell) => {
                    target.extend(utf8_percent_encode(row.cell(cell.column), BUT_UNRESERVED));
                }
            }
        }
        Ok(target)
    }
}

impl Form {
    const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Raw => "raw",
            Self::Number => "number",
            Self::Json => "json",
        }
    }
}

/// What stands between the braces.
fn cell(text: &str, rows: &Rows) -> Result<Cell, String> {
    let (name, form) = match text.split_once(':') {
        None => (text, Form::Text),
        Some((name, form)) => {
            let known = [Form::Raw, Form::Number, Form::Json];
            let found = known.into_iter().find(|known| known.name() == form.trim());
            let unknown = || format!("`{{{{{text}}}}}`: after the colon stands raw, number or json");
            (name, found.ok_or_else(unknown)?)
        }
    };
    Ok(Cell { column: rows.column(name.trim())?, form })
}

/// Everything but RFC 3986's unreserved characters.
const BUT_UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What may not stand in a path or a query as it is. `%` may: who writes it has encoded already. So may brackets,
/// which browsers leave in queries.
const NOT_IN_TARGET: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A path and query as a person writes it -> as it is sent.
pub(super) fn encode_target(text: &str) -> Result<String, String> {
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Err(format!("a path can't hold the control character `{}`", bad.escape_debug()));
    }
    Ok(percent_encode(text.as_bytes(), NOT_IN_TARGET).to_string())
}

fn raw(cell: &str) -> Result<String, BadCell> {
    let bad = |message: String| BadCell { message, example: "/contacts/1?full=yes" };
    if cell.contains('#') {
        return Err(bad(format!("`{}`: a fragment (`#`) is never sent", cell.escape_debug())));
    }
    encode_target(cell).map_err(|why| bad(format!("`{}`: {why}", cell.escape_debug())))
}

/// A JSON value with placeholders in its strings.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonTemplate {
    Fixed(Value),
    Text(Template),
    Typed { column: usize, number: bool },
    Array(Vec<JsonTemplate>),
    Object(Vec<(String, JsonTemplate)>),
}

impl JsonTemplate {
    /// Cuts every string of `value`.
    pub fn parse(value: &Value, rows: &Rows) -> Result<Self, String> {
        match value {
            Value::String(text) => Self::parse_string(text, rows),
            Value::Array(values) => {
                values.iter().map(|value| Self::parse(value, rows)).collect::<Result<_, _>>().map(Self::Array)
            }
            Value::Object(members) => members
                .iter()
                .map(|(key, value)| {
                    if key.contains("{{") {
                        return Err(format!("the key `{key}`: placeholders stand in values, not in keys"));
                    }
                    Ok((key.clone(), Self::parse(value, rows)?))
                })
                .collect::<Result<_, _>>()
                .map(Self::Object),
            fixed => Ok(Self::Fixed(fixed.clone())),
        }
    }

    fn parse_string(text: &str, rows: &Rows) -> Result<Self, String> {
        let template = Template::parse_any(text, rows)?;
        if let [Part::Cell(Cell { column, form })] = template.parts[..]
            && matches!(form, Form::Number | Form::Json)
        {
            return Ok(Self::Typed { column, number: form == Form::Number });
        }
        Template::parse(text, rows).map(Self::Text)
    }

    /// Whether it has a placeholder.
    pub fn has_cells(&self) -> bool {
        match self {
            Self::Fixed(_) => false,
            Self::Text(template) => template.has_cells(),
            Self::Typed { .. } => true,
            Self::Array(values) => values.iter().any(Self::has_cells),
            Self::Object(members) => members.iter().any(|(_, value)| value.has_cells()),
        }
    }

    /// With the cells of a row. Texts become whole strings of the value, so none can end its string.
    pub fn fill(&self, row: &Row) -> Result<Value, BadCell> {
        match self {
            Self::Fixed(value) => Ok(value.clone()),
            Self::Text(template) => Ok(Value::String(template.fill(row))),
            Self::Typed { column, number: true } => number(row.cell(*column)),
            Self::Typed { column, number: false } => any_json(row.cell(*column)),
            Self::Array(values) => {
                values.iter().map(|value| value.fill(row)).collect::<Result<_, _>>().map(Value::Array)
            }
            Self::Object(members) => {
                let member = |(key, value): &(String, Self)| Ok((key.clone(), value.fill(row)?));
                members.iter().map(member).collect::<Result<_, _>>().map(Value::Object)
            }
        }
    }
}

fn number(cell: &str) -> Result<Value, BadCell> {
    let bad = |why: &str| BadCell { message: format!("`{}` {why}", cell.escape_debug()), example: "12.5" };
    let number: serde_json::Number =
        serde_json::from_str(cell.trim()).map_err(|_| bad("isn't a JSON number"))?;
    // A whole number of more than 64 bits would lose digits without a word.
    if number.is_f64() && !cell.contains(['.', 'e', 'E']) {
        return Err(bad("is a whole number beyond 64 bits: send it as a string"));
    }
    Ok(Value::Number(number))
}

fn any_json(cell: &str) -> Result<Value, BadCell> {
    serde_json::from_str(cell).map_err(|error| BadCell {
        message: format!("`{}` isn't JSON: {error}", cell.escape_debug()),
        example: "true   or   12   or   \"\"\"a text\"\"\"   or   \"[1, 2]\"",
    })
}
