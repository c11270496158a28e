//! A mix: a TOML file of requests with weights, as written -> as sent. Unknown keys are refused.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use dyno_model::traffic::{Kind, Take, TakeFrom, Traffic};
use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};
use serde_json::Value;
use toml::de::{DeTable, DeValue};

use super::{
    Names,
    address::{self, Base},
    data::Rows,
    draft::{self, Draft, DraftAnswer, DraftBody, Fail},
};
use crate::error::PlanError;

/// A mix of requests as written by a person.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficFile {
    /// Where the requests go, for instance `http://127.0.0.1:8000`; its path goes before theirs. A URL that is given as
    /// an argument goes before it.
    #[serde(default)]
    pub base: Option<String>,
    /// Headers of every request; a request's own go before.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: Pairs,
    /// Whether each connection sends the requests in their order, again and again, instead of drawing them by weight.
    #[serde(default)]
    pub sequence: bool,
    /// The requests, at least one.
    #[schemars(length(min = 1))]
    pub request: Vec<RequestFile>,
}

/// `[[request]]`. Placeholders `{{column}}` take a data row's cell in `path`, `headers`, the body and `expect`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestFile {
    /// What reports and replays call it; method and path when left out.
    #[serde(default)]
    pub name: Option<String>,
    /// Its share of all requests is its weight over the sum of weights. Above zero.
    #[serde(default = "one")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub weight: f64,
    /// `GET` when left out, `POST` when there is a body.
    #[serde(default)]
    pub method: Option<String>,
    /// Path and query, from `/`.
    pub path: String,
    /// A CSV file whose first row names columns, relative to this file; one request is prepared for each other row.
    #[serde(default)]
    pub data: Option<PathBuf>,
    /// Its headers.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub headers: Pairs,
    /// In a sequence: values of the answer by name, for `{{name}}` in the requests after this one: a JSON pointer into the
    /// body (`/access_token`) or `header:NAME`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    pub take: Pairs,
    /// Body as a text; cells are put in as they are.
    #[serde(default)]
    pub body: Option<String>,
    /// Body as JSON; cells become whole strings, or with `{{column:number}}` and `{{column:json}}` values.
    #[serde(default, deserialize_with = "json")]
    #[schemars(with = "Option<Value>")]
    pub json: Option<Value>,
    /// Body as the fields of a form.
    #[serde(default)]
    #[schemars(with = "Option<BTreeMap<String, String>>")]
    pub form: Option<Pairs>,
    /// Body from a file, relative to this one; placeholders are replaced when there is `data` and it is UTF-8.
    #[serde(default)]
    pub body_file: Option<PathBuf>,
    /// Whether the body is sent in chunks (`Transfer-Encoding: chunked`).
    #[serde(default)]
    pub chunked: bool,
    /// The right answer; any status from 200 to 399 when left out.
    #[serde(default)]
    pub expect: ExpectFile,
}

/// `expect`: what the answer must be. One of `body`, `json` and `size` at most.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpectFile {
    /// This status; any from 200 to 399 when left out.
    pub status: Option<u16>,
    /// This body, byte for byte.
    pub body: Option<String>,
    /// A JSON value with at least this: objects may have more members.
    #[serde(deserialize_with = "json")]
    #[schemars(with = "Option<Value>")]
    pub json: Option<Value>,
    /// A body of so many bytes.
    pub size: Option<u64>,
}

const fn one() -> f64 {
    1.0
}

/// A table of texts, in its order.
#[derive(Debug, Default)]
pub struct Pairs(pub Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Table;

        impl<'de> Visitor<'de> for Table {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Table)
    }
}

/// A TOML value as JSON. Dates become texts; JSON has no infinity.
fn json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    fn convert(value: toml::Value) -> Result<Value, String> {
        Ok(match value {
            toml::Value::String(text) => text.into(),
            toml::Value::Integer(number) => number.into(),
            toml::Value::Float(number) => serde_json::Number::from_f64(number)
                .map(Value::Number)
                .ok_or_else(|| format!("JSON has no number `{number}`"))?,
            toml::Value::Boolean(flag) => flag.into(),
            toml::Value::Datetime(date) => date.to_string().into(),
            toml::Value::Array(values) => {
                values.into_iter().map(convert).collect::<Result<Vec<_>, _>>()?.into()
            }
            toml::Value::Table(table) => Value::Object(
                table
                    .into_iter()
                    .map(|(key, value)| Ok((key, convert(value)?)))
                    .collect::<Result<_, String>>()?,
            ),
        })
    }
    convert(toml::Value::deserialize(deserializer)?).map(Some).map_err(D::Error::custom)
}

/// Reads a mix. `url` goes before the file's `base`.
///
/// # Errors
/// The file or one that it names can't be read; a key is unknown; a value can't be sent as written. Each with file,
/// line and an example.
pub fn read_mix(path: &Path, url: Option<&str>) -> Result<Traffic, PlanError> {
    let text =
        fs::read_to_string(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    let toml_error = |error: toml::de::Error| PlanError::toml(path, &text, &error, example_of);
    let written: TrafficFile = toml::from_str(&text).map_err(toml_error)?;
    let lines = Lines { path, text: &text, table: &DeTable::parse(&text).map_err(toml_error)?.into_inner() };
    let base = base(&written, url, &lines)?;
    if written.request.is_empty() {
        return Err(lines.error(None, &["request"], "`request` is empty: a mix has at least one".to_owned()));
    }
    let mut kinds: Vec<Kind> = Vec::new();
    let mut names = Names::default();
    let mut taken = Taken::default();
    for (index, request) in written.request.into_iter().enumerate() {
        let is_named = request.name.is_some();
        let fail = |keys: &[&str], message| lines.error(Some(index), keys, message);
        let takes = taken.add(&request, written.sequence, &fail)?;
        let mut draft = draft(request, &written.headers.0, base.as_ref(), path, &fail)?;
        draft.rows.add(&taken.known);
        let mut kind = draft::kind(&draft, &fail)?;
        taken.finish(takes);
        if is_named && names.has(&kind.name) {
            return Err(fail(&["name"], format!("two requests are called `{}`", kind.name)));
        }
        kind.name = names.take(kind.name);
        kinds.push(kind);
    }
    let sequence = written.sequence.then_some(taken.takes);
    Ok(Traffic { origin: base.map(|base| base.origin), kinds, sequence })
}

/// Values that the requests of a sequence take from their answers.
#[derive(Default)]
struct Taken {
    /// Names with what stands for them, of the requests before.
    known: Vec<(String, String)>,
    takes: Vec<Vec<Take>>,
}

impl Taken {
    /// What a request takes: known to those after it.
    fn add(
        &self,
        request: &RequestFile,
        sequence: bool,
        fail: &Fail<'_>,
    ) -> Result<Vec<(String, Take)>, PlanError> {
        if !sequence && !request.take.0.is_empty() {
            let message =
                "values are taken in a sequence only: write `sequence = true` at the top of the file";
            return Err(fail(&["take"], message.to_owned()));
        }
        if sequence && (request.weight - 1.0).abs() > f64::EPSILON {
            let message = "a sequence sends each request once a turn, whatever its weight: leave it out";
            return Err(fail(&["weight"], message.to_owned()));
        }
        let mut takes: Vec<(String, Take)> = Vec::new();
        for (name, from) in &request.take.0 {
            let from = match from.strip_prefix("header:") {
                Some(header) if !header.trim().is_empty() => TakeFrom::Header(header.trim().to_owned()),
                None if from.is_empty() || from.starts_with('/') => TakeFrom::Pointer(from.clone()),
                _ => {
                    let message = format!(
                        "`{from}` is no place in an answer: a JSON pointer (`/token`) or `header:NAME`"
                    );
                    return Err(fail(&["take", name], message));
                }
            };
            let number = self.takes.iter().map(Vec::len).sum::<usize>() + takes.len();
            takes.push((name.clone(), Take { mark: format!("TAKEN{number}N{MARK}"), from }));
        }
        Ok(takes)
    }

    fn finish(&mut self, takes: Vec<(String, Take)>) {
        for (name, take) in &takes {
            self.known.retain(|(known, _)| known != name);
            self.known.push((name.clone(), take.mark.clone()));
        }
        self.takes.push(takes.into_iter().map(|(_, take)| take).collect());
    }
}

/// Makes the words that stand for values unlike anything that people write.
const MARK: &str = "q7Zk0VdYw3";

fn base(written: &TrafficFile, url: Option<&str>, lines: &Lines<'_>) -> Result<Option<Base>, PlanError> {
    match (url, &written.base) {
        (Some(url), _) => url.parse().map(Some).map_err(|error: address::AddressError| PlanError::Argument {
            argument: "URL".to_owned(),
            message: error.to_string(),
            example: "http://127.0.0.1:8000".to_owned(),
        }),
        (None, Some(base)) => base
            .parse()
            .map(Some)
            .map_err(|error: address::AddressError| lines.error(None, &["base"], error.to_string())),
        (None, None) => Ok(None),
    }
}

fn draft(
    request: RequestFile,
    common: &[(String, String)],
    base: Option<&Base>,
    path: &Path,
    fail: &Fail<'_>,
) -> Result<Draft, PlanError> {
    let beside = |name: PathBuf| path.parent().unwrap_or(Path::new("")).join(name);
    let is_own = |name: &str| request.headers.0.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
    let common = common.iter().filter(|(name, _)| !is_own(name)).cloned();
    let RequestFile { body, json, form, body_file, expect, .. } = request;
    let bodies = [
        body.map(DraftBody::Text),
        json.map(DraftBody::Json),
        form.map(|Pairs(fields)| DraftBody::Form(fields)),
        body_file.map(|name| DraftBody::File(beside(name))),
    ];
    let answers = [
        expect.body.map(DraftAnswer::Body),
        expect.json.map(DraftAnswer::Json),
        expect.size.map(DraftAnswer::Size),
    ];
    Ok(Draft {
        name: request.name,
        weight: request.weight,
        method: request.method,
        prefix: base.map_or_else(String::new, |base| base.prefix.clone()),
        path: request.path,
        headers: common.chain(request.headers.0.iter().cloned()).collect(),
        authorization: base.and_then(|base| base.authorization.clone()),
        bodies: bodies.into_iter().flatten().collect(),
        chunked: request.chunked,
        status: expect.status,
        answers: answers.into_iter().flatten().collect(),
        rows: match request.data {
            None => Rows::none(),
            Some(name) => Rows::read(&beside(name), |message| fail(&["data"], message))?,
        },
    })
}

/// Where things stand in the file.
struct Lines<'a> {
    path: &'a Path,
    text: &'a str,
    table: &'a DeTable<'a>,
}

impl Lines<'_> {
    /// An error at the deepest of `keys` that is written, in the request of that index or beside the requests.
    fn error(&self, request: Option<usize>, keys: &[&str], message: String) -> PlanError {
        let common = || find(self.table, keys);
        let offset = match request {
            None => common(),
            Some(index) => self.request(index).and_then(|(begin, table)| {
                let own = table.and_then(|table| find(table, keys));
                own.filter(|(_, depth)| *depth == keys.len())
                    .or_else(|| common().filter(|(_, depth)| *depth == keys.len()))
                    .or(own)
                    .or(Some((begin, 0)))
            }),
        };
        let offset = offset.map_or(0, |(offset, _)| offset.min(self.text.len()));
        PlanError::Invalid {
            path: self.path.to_owned(),
            line: self.text[..offset].matches('\n').count() + 1,
            message,
            example: example_of(keys.last().unwrap_or(&"")).to_owned(),
        }
    }

    fn request(&self, index: usize) -> Option<(usize, Option<&DeTable<'_>>)> {
        let (_, requests) = self.table.iter().find(|(key, _)| key.get_ref() == "request")?;
        let DeValue::Array(requests) = requests.get_ref() else { return None };
        let request = requests.get(index)?;
        Some((request.span().start, request.get_ref().as_table()))
    }
}

/// Where the deepest of `keys` that is there begins, and how many of them are there.
fn find(table: &DeTable<'_>, keys: &[&str]) -> Option<(usize, usize)> {
    let (first, rest) = keys.split_first()?;
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == first)?;
    let deeper = value.get_ref().as_table().and_then(|table| find(table, rest));
    Some(deeper.map_or((key.span().start, 1), |(offset, depth)| (offset, depth + 1)))
}

/// A line that is right, for the key that is wrong.
fn example_of(key: &str) -> &str {
    match key {
        "base" => "base = \"http://127.0.0.1:8000\"",
        "name" => "name = \"page of contacts\"",
        "weight" => "weight = 8",
        "method" => "method = \"GET\"",
        "path" => "path = \"/contacts/fetch?limit=20&offset={{offset}}\"",
        "data" => "data = \"offsets.csv\"   and   path = \"/contacts/fetch?offset={{offset}}\"",
        "body" => "body = \"a text\"",
        "json" => "json = { id = \"{{id:number}}\", name = \"{{name}}\" }",
        "form" => "form = { name = \"{{name}}\" }",
        "take" => "take = { token = \"/access_token\", etag = \"header:ETag\" }",
        "chunked" => "chunked = true   and   body_file = \"picture.png\"",
        "body_file" => "body_file = \"picture.png\"",
        "expect" | "status" | "size" => "expect = { status = 200, size = 123 }",
        "headers" => "headers = { X-Trace = \"{{trace}}\" }",
        "" | "[[request]]" | "request" => {
            "keys are base, [headers], sequence, [[request]], and in it name, weight, method, path, data, headers, body, \
             json, form, body_file, chunked, take, expect; see docs/load-traffic.md"
        }
        key if key.starts_with(|c: char| c.is_ascii_uppercase()) => "headers = { X-Trace = \"{{trace}}\" }",
        _ => example_of(""),
    }
}
