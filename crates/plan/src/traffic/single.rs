//! One URL with its options, as arguments -> traffic of one kind.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dyno_model::traffic::Traffic;
use serde_json::Value;

use super::{
    address::{self, Address},
    data::Rows,
    draft::{self, Draft, DraftAnswer, DraftBody},
    header::parse_header,
};
use crate::error::PlanError;

/// A request as arguments give it. `{{column}}` in the URL after the host, headers, body and answer is replaced when
/// there are data rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SingleRequest {
    /// `http://` or `https://`.
    pub url: String,
    /// `GET` when left out, `POST` when there is a body.
    pub method: Option<String>,
    /// Each `Name: value`.
    pub headers: Vec<String>,
    /// A text, or `@FILE`.
    pub body: Option<String>,
    /// JSON, or `@FILE`.
    pub json: Option<String>,
    /// Each `name=value`.
    pub form: Vec<String>,
    /// Whether the body is sent in chunks.
    pub chunked: bool,
    /// A CSV file whose first row names columns.
    pub data: Option<PathBuf>,
    /// The right status, 200 to 599; any from 200 to 399 when left out.
    pub expect_status: Option<u16>,
    /// The right body, or `@FILE`.
    pub expect_body: Option<String>,
    /// What a JSON answer must at least have, or `@FILE`.
    pub expect_json: Option<String>,
    /// The right number of bytes.
    pub expect_size: Option<u64>,
}

/// The traffic that the arguments describe.
///
/// # Errors
/// What can't be sent as written: the argument with an example, or the data file with its line.
pub fn single(request: &SingleRequest) -> Result<Traffic, PlanError> {
    let address: Address =
        request.url.parse().map_err(|error: address::AddressError| argument(&["path"], error.to_string()))?;
    let header =
        |text: &String| parse_header(text).map_err(|error| argument(&["headers"], error.to_string()));
    let draft = Draft {
        name: None,
        weight: 1.0,
        method: request.method.clone(),
        prefix: String::new(),
        path: address.target,
        headers: request.headers.iter().map(header).collect::<Result<_, _>>()?,
        authorization: address.authorization,
        bodies: bodies(request)?,
        chunked: request.chunked,
        status: request.expect_status,
        answers: answers(request)?,
        rows: match &request.data {
            None => Rows::none(),
            Some(path) => Rows::read(path, |message| argument(&["data"], message))?,
        },
    };
    let kind = draft::kind(&draft, &argument)?;
    Ok(Traffic { origin: Some(address.origin), kinds: vec![kind], sequence: None })
}

fn bodies(request: &SingleRequest) -> Result<Vec<DraftBody>, PlanError> {
    let mut bodies = Vec::new();
    if let Some(body) = &request.body {
        bodies.push(match body.strip_prefix('@') {
            Some(path) => DraftBody::File(file(path).to_owned()),
            None => DraftBody::Text(body.clone()),
        });
    }
    if let Some(json) = &request.json {
        let (text, value) = json_argument(json, "json")?;
        // Through a value a text would lose its spaces and the digits of long numbers.
        let as_written = !text.contains("{{");
        bodies.push(if as_written { DraftBody::JsonText(text) } else { DraftBody::Json(value) });
    }
    if !request.form.is_empty() {
        bodies.push(DraftBody::Form(
            request.form.iter().map(|field| self::field(field)).collect::<Result<_, _>>()?,
        ));
    }
    Ok(bodies)
}

fn answers(request: &SingleRequest) -> Result<Vec<DraftAnswer>, PlanError> {
    let mut answers = Vec::new();
    if let Some(body) = &request.expect_body {
        answers.push(match body.strip_prefix('@') {
            Some(path) => DraftAnswer::BodyFile(path.into()),
            None => DraftAnswer::Body(body.clone()),
        });
    }
    if let Some(json) = &request.expect_json {
        answers.push(DraftAnswer::Json(json_argument(json, "expect json")?.1));
    }
    answers.extend(request.expect_size.map(DraftAnswer::Size));
    Ok(answers)
}

/// The file of `@FILE`; `-` is standard input, as in curl.
fn file(name: &str) -> &Path {
    Path::new(if name == "-" { "/dev/stdin" } else { name })
}

/// JSON or `@FILE`, as text and as value.
fn json_argument(written: &str, key: &str) -> Result<(String, Value), PlanError> {
    let path = written.strip_prefix('@').map(file);
    let text = match path {
        None => written.to_owned(),
        Some(path) => fs::read_to_string(path)
            .map_err(|error| argument(&[key], format!("{}: {error}", path.display())))?,
    };
    match (serde_json::from_str(&text), path) {
        (Ok(value), _) => Ok((text, value)),
        (Err(error), None) => Err(argument(&[key], format!("it isn't JSON: {error}"))),
        (Err(error), Some(path)) => Err(PlanError::Invalid {
            path: path.to_owned(),
            line: error.line().max(1),
            message: format!("it isn't JSON: {error}"),
            example: "{\"id\": \"{{id:number}}\", \"name\": \"{{name}}\"}".to_owned(),
        }),
    }
}

fn field(text: &str) -> Result<(String, String), PlanError> {
    let missing = || argument(&["form"], format!("`{text}` is no field: write `name=value`"));
    let (name, value) = text.split_once('=').ok_or_else(missing)?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The error of a part of the request, said with its argument.
fn argument(keys: &[&str], message: String) -> PlanError {
    let key = match keys {
        ["headers", ..] => "headers".to_owned(),
        keys => keys.join(" "),
    };
    let (argument, example) = name_and_example(&key);
    PlanError::Argument { argument: argument.to_owned(), message, example: example.to_owned() }
}

/// How an argument is typed.
fn name_and_example(key: &str) -> (&'static str, &'static str) {
    match key {
        "method" => ("--method", "--method PUT"),
        "headers" => ("--header", "--header 'Accept: text/html'"),
        "body" | "body_file" => ("--body", "--body 'a text'   or   --body @file"),
        "json" => ("--json", "--json '{\"id\": \"{{id:number}}\", \"name\": \"{{name}}\"}'"),
        "chunked" => ("--chunked", "--chunked --body @file"),
        "form" => ("--form", "--form name=Ada --form age=36"),
        "data" => ("--data", "--data rows.csv 'http://127.0.0.1:8000/contacts/{{id}}'"),
        "expect status" => ("--expect-status", "--expect-status 201"),
        "expect body" => ("--expect-body", "--expect-body 'Hello Ada!'"),
        "expect json" => ("--expect-json", "--expect-json '{\"ok\": true}'"),
        "expect size" => ("--expect-size", "--expect-size 123"),
        _ => ("URL", address::EXAMPLE),
    }
}
