//! A request as it was written, in a file or as arguments -> one request for each data row.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dyno_model::{
    load::{Expect, ExpectBody, ExpectStatus, Request},
    traffic::Kind,
};
use serde_json::Value;
use url::form_urlencoded;

use super::{
    data::{Row, Rows},
    header::{check_method, check_name, check_value},
    template::{BadCell, JsonTemplate, Template},
};
use crate::error::PlanError;

/// A request as written.
#[derive(Debug)]
pub struct Draft {
    pub name: Option<String>,
    pub weight: f64,
    pub method: Option<String>,
    /// Put before `path`: the path of a base URL, encoded.
    pub prefix: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    /// Of `user:password@`; a written `Authorization` goes before.
    pub authorization: Option<String>,
    /// At most one.
    pub bodies: Vec<DraftBody>,
    /// Whether the body is sent in chunks.
    pub chunked: bool,
    pub status: Option<u16>,
    /// At most one.
    pub answers: Vec<DraftAnswer>,
    pub rows: Rows,
}

/// A body as written.
#[derive(Debug)]
pub enum DraftBody {
    Text(String),
    File(PathBuf),
    Json(Value),
    /// JSON that has no placeholder and is sent as it was written.
    JsonText(String),
    Form(Vec<(String, String)>),
}

/// A right answer as written.
#[derive(Debug)]
pub enum DraftAnswer {
    Body(String),
    BodyFile(PathBuf),
    Json(Value),
    Size(u64),
}

/// The error of a part of the request (`["headers", "X-Trace"]`), said where the request was written.
pub type Fail<'a> = dyn Fn(&[&str], String) -> PlanError + 'a;

impl DraftBody {
    const fn key(&self) -> &'static str {
        match self {
            Self::Text(_) => "body",
            Self::File(_) => "body_file",
            Self::Json(_) | Self::JsonText(_) => "json",
            Self::Form(_) => "form",
        }
    }
}

impl DraftAnswer {
    const fn key(&self) -> &'static str {
        match self {
            Self::Body(_) | Self::BodyFile(_) => "body",
            Self::Json(_) => "json",
            Self::Size(_) => "size",
        }
    }
}

/// A request with every text cut at its placeholders.
struct Form {
    method: String,
    prefix: String,
    target: Template,
    headers: Vec<(String, Template)>,
    body: Body,
    status: ExpectStatus,
    answer: Answer,
}

enum Body {
    Bytes(Vec<u8>),
    Text(Template),
    Json(JsonTemplate),
    Fields(Vec<(Template, Template)>),
}

enum Answer {
    Any,
    Bytes(Vec<u8>),
    Text(Template),
    Json(JsonTemplate),
    Size(u64),
}

/// The kind that a draft describes.
///
/// # Errors
/// Whatever can't be sent as written: by `fail` for what the draft says, with file and line for what a row says.
pub fn kind(draft: &Draft, fail: &Fail<'_>) -> Result<Kind, PlanError> {
    if !(draft.weight.is_finite() && draft.weight > 0.0) {
        let message = format!("the weight {} must be above zero, and finite", draft.weight);
        return Err(fail(&["weight"], message));
    }
    let form = form(draft, fail)?;
    if draft.rows.file.is_some() && !form.has_cells() {
        let columns: Vec<String> =
            draft.rows.columns.iter().map(|column| format!("{{{{{column}}}}}")).collect();
        let message = format!("no placeholder takes anything from the data: there is {}", columns.join(", "));
        return Err(fail(&["data"], message));
    }
    let name = match &draft.name {
        Some(name) if name.trim().is_empty() || name.chars().any(char::is_control) => {
            let message = format!("`{}` can't name a request: one line, not empty", name.escape_debug());
            return Err(fail(&["name"], message));
        }
        Some(name) => name.clone(),
        None => format!("{} {}{}", form.method, draft.prefix, draft.path),
    };
    let row = |row| form.fill(row).map_err(|bad| draft.rows.error(row, bad.message, bad.example));
    let requests = draft.rows.rows.iter().map(row).collect::<Result<_, _>>()?;
    Ok(Kind { name, weight: draft.weight, requests })
}

fn form(draft: &Draft, fail: &Fail<'_>) -> Result<Form, PlanError> {
    let method = match &draft.method {
        Some(method) => method.clone(),
        None if draft.bodies.is_empty() => "GET".to_owned(),
        None => "POST".to_owned(),
    };
    check_method(&method).map_err(|message| fail(&["method"], message))?;
    let (status, answer) = expected(draft, &method, fail)?;
    Ok(Form {
        method,
        prefix: draft.prefix.clone(),
        target: target(draft, fail)?,
        headers: headers(draft, fail)?,
        body: body(draft, fail)?,
        status,
        answer,
    })
}

fn target(draft: &Draft, fail: &Fail<'_>) -> Result<Template, PlanError> {
    let fail = |message| fail(&["path"], message);
    // A fragment is never sent.
    let path = draft.path.split('#').next().unwrap_or("");
    let template = Template::parse_target(path, &draft.rows).map_err(fail)?;
    if !path.starts_with('/') && !template.begins_with_cell() {
        let hint = if path.contains("://") { ": scheme and host stand in `base`" } else { "" };
        return Err(fail(format!("the path `{path}` must begin with `/`{hint}")));
    }
    Ok(template)
}

fn headers(draft: &Draft, fail: &Fail<'_>) -> Result<Vec<(String, Template)>, PlanError> {
    let mut headers = Vec::new();
    for (name, value) in &draft.headers {
        let fail = |message| fail(&["headers", name], message);
        check_name(name).and_then(|()| check_value(value)).map_err(fail)?;
        headers.push((name.clone(), Template::parse(value, &draft.rows).map_err(fail)?));
    }
    let content_type = match draft.bodies.first() {
        Some(DraftBody::Json(_) | DraftBody::JsonText(_)) => Some("application/json"),
        Some(DraftBody::Form(_)) => Some("application/x-www-form-urlencoded"),
        _ => None,
    };
    if draft.chunked && draft.bodies.is_empty() {
        return Err(fail(&["chunked"], "there is no body to send in chunks".to_owned()));
    }
    let chunked = draft.chunked.then_some("chunked");
    let others = [
        ("Authorization", draft.authorization.as_deref()),
        ("Content-Type", content_type),
        ("Transfer-Encoding", chunked),
    ];
    for (name, value) in others {
        if let Some(value) = value
            && !headers.iter().any(|(written, _)| written.eq_ignore_ascii_case(name))
        {
            headers.push((name.to_owned(), Template::literal(value)));
        }
    }
    Ok(headers)
}

fn body(draft: &Draft, fail: &Fail<'_>) -> Result<Body, PlanError> {
    if let [first, second, ..] = &draft.bodies[..] {
        let message = format!("a request has one body: `{}` or `{}`", first.key(), second.key());
        return Err(fail(&[second.key()], message));
    }
    let Some(body) = draft.bodies.first() else { return Ok(Body::Bytes(Vec::new())) };
    let fail = |message| fail(&[body.key()], message);
    let rows = &draft.rows;
    match body {
        DraftBody::Text(text) => Template::parse(text, rows).map(Body::Text).map_err(fail),
        DraftBody::JsonText(text) => Ok(Body::Bytes(text.clone().into_bytes())),
        DraftBody::Json(value) => JsonTemplate::parse(value, rows).map(Body::Json).map_err(fail),
        DraftBody::Form(fields) => {
            let field = |(name, value): &(String, String)| {
                Ok((Template::parse(name, rows)?, Template::parse(value, rows)?))
            };
            fields.iter().map(field).collect::<Result<_, _>>().map(Body::Fields).map_err(fail)
        }
        DraftBody::File(path) => match text_or_bytes(path, rows).map_err(fail)? {
            Ok(text) => Template::parse(&text, rows)
                .map(Body::Text)
                .map_err(|message| fail(format!("{}: {message}", path.display()))),
            Err(bytes) => Ok(Body::Bytes(bytes)),
        },
    }
}

/// A file's text when it may have placeholders, else its bytes: without data rows, or when it isn't UTF-8 (a picture),
/// it is sent as it is.
fn text_or_bytes(path: &Path, rows: &Rows) -> Result<Result<String, Vec<u8>>, String> {
    let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if rows.file.is_none() {
        return Ok(Err(bytes));
    }
    Ok(String::from_utf8(bytes).map_err(std::string::FromUtf8Error::into_bytes))
}

fn expected(draft: &Draft, method: &str, fail: &Fail<'_>) -> Result<(ExpectStatus, Answer), PlanError> {
    let status = match draft.status {
        None => ExpectStatus::Success,
        Some(status @ 200..=599) => ExpectStatus::Exactly(status),
        Some(status) => {
            let message = format!("{status} is no status that a request can end with: 200 to 599");
            return Err(fail(&["expect", "status"], message));
        }
    };
    if let [first, second, ..] = &draft.answers[..] {
        let message = format!("an answer has one body: `{}` or `{}`", first.key(), second.key());
        return Err(fail(&["expect", second.key()], message));
    }
    let Some(answer) = draft.answers.first() else { return Ok((status, Answer::Any)) };
    let fail = |message| fail(&["expect", answer.key()], message);
    if method == "HEAD" {
        return Err(fail("an answer to `HEAD` has no body".to_owned()));
    }
    let rows = &draft.rows;
    let answer = match answer {
        DraftAnswer::Size(size) => Answer::Size(*size),
        DraftAnswer::Body(text) => Template::parse(text, rows).map(Answer::Text).map_err(fail)?,
        DraftAnswer::Json(value) => JsonTemplate::parse(value, rows).map(Answer::Json).map_err(fail)?,
        DraftAnswer::BodyFile(path) => match text_or_bytes(path, rows).map_err(fail)? {
            Ok(text) => Template::parse(&text, rows).map(Answer::Text).map_err(fail)?,
            Err(bytes) => Answer::Bytes(bytes),
        },
    };
    Ok((status, answer))
}

impl Form {
    fn has_cells(&self) -> bool {
        let body = match &self.body {
            Body::Bytes(_) => false,
            Body::Text(template) => template.has_cells(),
            Body::Json(json) => json.has_cells(),
            Body::Fields(fields) => fields.iter().any(|(name, value)| name.has_cells() || value.has_cells()),
        };
        let answer = match &self.answer {
            Answer::Any | Answer::Bytes(_) | Answer::Size(_) => false,
            Answer::Text(template) => template.has_cells(),
            Answer::Json(json) => json.has_cells(),
        };
        body || answer || self.target.has_cells() || self.headers.iter().any(|(_, value)| value.has_cells())
    }

    /// The request of a row.
    fn fill(&self, row: &Row) -> Result<Request, BadCell> {
        let target = self.target.fill_target(row)?;
        if !target.starts_with('/') {
            let message =
                format!("the path `{target}` must begin with `/`; `:raw` takes a whole path from a cell");
            return Err(BadCell { message, example: "/contacts/1" });
        }
        let header = |(name, value): &(String, Template)| {
            let value = value.fill(row);
            let bad = |message| BadCell { message, example: "a text of one line" };
            check_value(&value).map_err(bad)?;
            Ok((name.clone(), value.trim_matches([' ', '\t']).to_owned()))
        };
        let headers = self.headers.iter().map(header).collect::<Result<_, _>>()?;
        let body = match &self.body {
            Body::Bytes(bytes) => bytes.clone(),
            Body::Text(template) => template.fill(row).into_bytes(),
            Body::Json(json) => json.fill(row)?.to_string().into_bytes(),
            Body::Fields(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.fill(row), value.fill(row)));
                form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes()
            }
        };
        let answer = match &self.answer {
            Answer::Any => ExpectBody::Any,
            Answer::Bytes(bytes) => ExpectBody::Equal(bytes.clone()),
            Answer::Text(template) => ExpectBody::Equal(template.fill(row).into_bytes()),
            Answer::Json(json) => ExpectBody::Json(json.fill(row)?),
            Answer::Size(size) => ExpectBody::Size(*size),
        };
        let expect = Expect { status: self.status, body: answer };
        let target = format!("{}{target}", self.prefix);
        Ok(Request { method: self.method.clone(), target, headers, body, expect })
    }
}
