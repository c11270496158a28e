//! A recording: HAR 1.2, as browsers and proxies write it -> the requests of one origin, equal ones merged, and when
//! they were sent.
//!
//! What is kept and what isn't: cookies, caching headers and `Accept-Encoding` are kept, for without them the server
//! would do other work than it did while it was recorded, and only the status is checked. Headers of one connection and
//! those that the engine writes itself are left out. Recorded texts are sent as they are: braces in them are no
//! placeholders.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, fs,
    path::Path,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use dyno_model::{
    load::{Expect, ExpectBody, ExpectStatus, Request},
    traffic::{Kind, Origin, Traffic},
};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;
use url::form_urlencoded;

use super::{
    Names, Replay, Requests,
    address::{Address, AddressError, Base},
    header::{check_method, check_name, check_value},
    template::encode_target,
};
use crate::error::PlanError;

/// Entries of a recording that aren't sent, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Why.
    pub why: Left,
    /// How many.
    pub count: usize,
    /// The URL of the first, at most 200 characters.
    pub example: String,
}

/// Why an entry isn't sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// It went to another origin: a load has one.
    OtherOrigin,
    /// It is a WebSocket.
    WebSocket,
    /// It isn't http or https: `data:`, `blob:`, an extension's page.
    NotHttp,
    /// The browser answered it from its cache.
    FromCache,
    /// Its body isn't in the file, or not whole: an upload, or a body that was too large to be kept.
    NoBody,
    /// A method, path or header that can't be sent.
    CantBeSent,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Left::OtherOrigin => "to other origins",
            Left::WebSocket => "WebSockets",
            Left::NotHttp => "not HTTP",
            Left::FromCache => "answered from the browser's cache",
            Left::NoBody => "with a body that isn't in the file, or not whole",
            Left::CantBeSent => "with a method, path or header that can't be sent",
        };
        write!(f, "{why}: {}, the first is {}", self.count, self.example)
    }
}

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    log: Log<'a>,
}

#[derive(Deserialize)]
struct Log<'a> {
    /// Left as text, so that each can be told by its line.
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    started_date_time: String,
    request: Recorded,
    response: Option<Response>,
    /// Chromium's: `websocket` among others.
    #[serde(rename = "_resourceType")]
    resource_type: Option<String>,
    /// Chromium's: `memory` or `disk`.
    #[serde(rename = "_fromCache")]
    from_cache: Option<String>,
    /// Chromium's.
    #[serde(rename = "_webSocketMessages")]
    messages: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recorded {
    method: String,
    url: String,
    #[serde(default, deserialize_with = "or_default")]
    headers: Vec<Pair>,
    post_data: Option<PostData>,
    /// -1 for unknown.
    body_size: Option<i64>,
}

#[derive(Deserialize)]
struct Pair {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PostData {
    #[serde(default, deserialize_with = "or_default")]
    mime_type: String,
    text: Option<String>,
    /// Not of the standard; proxies write `base64` as responses have it.
    encoding: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    params: Vec<Param>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Param {
    #[serde(default, deserialize_with = "or_default")]
    name: String,
    #[serde(default, deserialize_with = "or_default")]
    value: String,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default, deserialize_with = "or_default")]
    status: i64,
}

/// An entry that can be sent, if its origin is the one.
struct Sendable {
    at: Timestamp,
    origin: Origin,
    request: Request,
    url: String,
}

/// Reads a recording. Of its origins `url`'s is taken when it was recorded, else the one with the most requests, whose
/// requests then go to `url`. An equal request is one kind, its weight the number of times that it was sent.
///
/// # Errors
/// The file can't be read, isn't HAR, or holds nothing that can be sent; each with its line.
pub fn read_har(path: &Path, url: Option<&str>) -> Result<Requests, PlanError> {
    let bytes = fs::read(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    let text = String::from_utf8_lossy(&bytes);
    let base =
        url.map(str::parse::<Base>).transpose().map_err(|error: AddressError| PlanError::Argument {
            argument: "URL".to_owned(),
            message: error.to_string(),
            example: "http://127.0.0.1:8000".to_owned(),
        })?;
    let mut left = LeftOuts::default();
    let mut sendable = Vec::new();
    for (line, entry) in entries(path, &text)? {
        let at = entry.started_date_time.parse().map_err(|_| {
            let message = format!("`{}` isn't a date with a time", entry.started_date_time.escape_debug());
            invalid(path, line, message, "\"startedDateTime\": \"2026-11-25T14:30:00.123Z\"")
        })?;
        let url = entry.request.url.clone();
        match prepare(entry) {
            Ok((origin, request)) => sendable.push(Sendable { at, origin, request, url }),
            Err(why) => left.add(why, &url),
        }
    }
    let Some(origin) = choose(&sendable, base.as_ref()) else {
        let message = format!("it holds no request that can be sent{}", left.in_words());
        return Err(invalid(path, 1, message, EXAMPLE));
    };
    let (kept, others): (Vec<_>, Vec<_>) = sendable.into_iter().partition(|one| one.origin == origin);
    others.iter().for_each(|other| left.add(Left::OtherOrigin, &other.url));
    let (kinds, recorded) = merge(kept, base.as_ref());
    let origin = base.map_or(origin, |base| base.origin);
    Ok(Requests {
        traffic: Traffic { origin: Some(origin), kinds, sequence: None },
        recorded: Some(recorded),
        left_out: left.finish(),
    })
}

const EXAMPLE: &str = "the file that a browser's network tab saves with \"Save all as HAR\"";

fn invalid(path: &Path, line: usize, message: String, example: &str) -> PlanError {
    PlanError::Invalid { path: path.to_owned(), line, message, example: example.to_owned() }
}

/// What is wrong, without serde's line, which counts from the begin of the entry.
fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.clone(), |(what, _)| what.to_owned())
}

/// Some programs write `null` where the standard has an empty text or list.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Entries with the line that each begins on.
fn entries(path: &Path, text: &str) -> Result<Vec<(usize, Entry)>, PlanError> {
    // Some programs write a byte order mark, which JSON doesn't have.
    let text = text.trim_start_matches('\u{feff}');
    let not_har = |error: serde_json::Error| {
        invalid(
            path,
            error.line().max(1),
            format!("this isn't a HAR file: {}", without_place(&error)),
            EXAMPLE,
        )
    };
    let file: File<'_> = serde_json::from_str(text).map_err(not_har)?;
    let (mut line, mut counted) = (1, 0);
    let mut entries = Vec::new();
    for raw in file.log.entries {
        // A raw value is a piece of `text`: the distance of their addresses is where it begins.
        let begin = (raw.get().as_ptr() as usize - text.as_ptr() as usize).min(text.len());
        line += text.as_bytes()[counted..begin].iter().filter(|&&byte| byte == b'\n').count();
        counted = begin;
        let entry = serde_json::from_str(raw.get()).map_err(|error| {
            let message = format!("this isn't an entry of a HAR file: {}", without_place(&error));
            invalid(path, line + error.line().saturating_sub(1), message, EXAMPLE)
        })?;
        entries.push((line, entry));
    }
    Ok(entries)
}

/// The request of an entry, or why it isn't sent.
fn prepare(entry: Entry) -> Result<(Origin, Request), Left> {
    let Entry { request, response, resource_type, from_cache, messages, .. } = entry;
    let status = response.map_or(0, |response| response.status);
    let scheme = request.url.split(':').next().unwrap_or("").to_ascii_lowercase();
    let is_websocket = resource_type.as_deref() == Some("websocket") || messages.is_some() || status == 101;
    match scheme.as_str() {
        "ws" | "wss" => return Err(Left::WebSocket),
        "http" | "https" if is_websocket => return Err(Left::WebSocket),
        "http" | "https" => {}
        _ => return Err(Left::NotHttp),
    }
    if from_cache.is_some_and(|cache| !cache.is_empty()) {
        return Err(Left::FromCache);
    }
    let address: Address = request.url.parse().map_err(|_| Left::CantBeSent)?;
    check_method(&request.method).map_err(|_| Left::CantBeSent)?;
    let target = encode_target(&address.target).map_err(|_| Left::CantBeSent)?;
    let body = body(&request)?;
    let mut headers = headers(&request.headers)?;
    if let Some(authorization) = address.authorization
        && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization"))
    {
        headers.push(("Authorization".to_owned(), authorization));
    }
    let status = match u16::try_from(status) {
        Ok(status @ 200..=599) => ExpectStatus::Exactly(status),
        // 0 and -1: the recording ended before the answer did.
        _ => ExpectStatus::Success,
    };
    let expect = Expect { status, body: ExpectBody::Any };
    Ok((address.origin, Request { method: request.method, target, headers, body, expect }))
}

/// Headers that belong to a connection of the browser's, or that the engine writes itself.
const NOT_KEPT: [&str; 11] = [
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "te",
    "trailer",
];

fn headers(recorded: &[Pair]) -> Result<Vec<(String, String)>, Left> {
    let mut headers = Vec::new();
    for Pair { name, value } in recorded {
        // `:method` and its like are HTTP/2's request line.
        if name.starts_with(':') || NOT_KEPT.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        check_name(name).and_then(|()| check_value(value)).map_err(|_| Left::CantBeSent)?;
        headers.push((name.clone(), value.trim_matches([' ', '\t']).to_owned()));
    }
    Ok(headers)
}

/// The body as it was sent, as far as the file has it: its length is compared with what was sent.
fn body(request: &Recorded) -> Result<Vec<u8>, Left> {
    let length = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| header.value.trim().parse::<usize>().ok());
    let had_body = length.map_or(request.body_size.is_some_and(|size| size > 0), |length| length > 0);
    let Some(data) = &request.post_data else {
        return if had_body { Err(Left::NoBody) } else { Ok(Vec::new()) };
    };
    let text = data.text.as_deref().unwrap_or("");
    let encoded = data.encoding.as_deref().unwrap_or("");
    let is_form = data.mime_type.starts_with("application/x-www-form-urlencoded");
    let body = match (text, encoded) {
        (text, encoding) if encoding.eq_ignore_ascii_case("base64") => {
            BASE64_STANDARD.decode(text).map_err(|_| Left::NoBody)?
        }
        ("", _) if !data.params.is_empty() => {
            if !is_form {
                return Err(Left::NoBody);
            }
            // Encoded again, which may spell the same fields in another way: their length isn't compared.
            let fields = data.params.iter().map(|param| (param.name.as_str(), param.value.as_str()));
            return Ok(form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish()
                .into_bytes());
        }
        ("", _) if had_body => return Err(Left::NoBody),
        (text, _) => text.as_bytes().to_vec(),
    };
    if length.is_some_and(|length| length != body.len()) { Err(Left::NoBody) } else { Ok(body) }
}

/// The URL's origin when it was recorded, else the most frequent; of equally frequent ones the first.
fn choose(sendable: &[Sendable], base: Option<&Base>) -> Option<Origin> {
    if let Some(base) = base
        && sendable.iter().any(|one| one.origin == base.origin)
    {
        return Some(base.origin.clone());
    }
    let mut counts: HashMap<&Origin, usize> = HashMap::new();
    sendable.iter().for_each(|one| *counts.entry(&one.origin).or_default() += 1);
    let most = counts.values().max()?;
    sendable.iter().map(|one| &one.origin).find(|origin| counts.get(origin) == Some(most)).cloned()
}

/// What makes two requests equal: method, target, headers, body and the status that is right.
type Key = (String, String, Vec<(String, String)>, Vec<u8>, Option<u16>);

fn key(request: &Request) -> Key {
    let status = match request.expect.status {
        ExpectStatus::Exactly(status) => Some(status),
        ExpectStatus::Success => None,
    };
    (request.method.clone(), request.target.clone(), request.headers.clone(), request.body.clone(), status)
}

/// Kinds in the order in which they were first sent, and the times; each kind has one request.
fn merge(mut kept: Vec<Sendable>, base: Option<&Base>) -> (Vec<Kind>, Replay) {
    kept.sort_by_key(|one| one.at);
    let begin = kept.first().map_or(Timestamp::UNIX_EPOCH, |one| one.at);
    let mut kinds: Vec<Kind> = Vec::new();
    let mut names = Names::default();
    let mut known: HashMap<Key, usize> = HashMap::new();
    let mut recorded = Vec::new();
    for Sendable { at, mut request, .. } in kept {
        if let Some(base) = base {
            request.target.insert_str(0, &base.prefix);
            if let Some(authorization) = &base.authorization {
                request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
                request.headers.push(("Authorization".to_owned(), authorization.clone()));
            }
        }
        let kind = *known.entry(key(&request)).or_insert_with(|| {
            let name = names.take(format!("{} {}", request.method, request.target));
            kinds.push(Kind { name, weight: 0.0, requests: vec![request] });
            kinds.len() - 1
        });
        kinds[kind].weight += 1.0;
        recorded.push((Duration::try_from(at.duration_since(begin)).unwrap_or_default(), kind));
    }
    (kinds, recorded)
}

#[derive(Default)]
struct LeftOuts(BTreeMap<Left, LeftOut>);

impl LeftOuts {
    fn add(&mut self, why: Left, url: &str) {
        let example = || url.chars().take(200).collect();
        self.0.entry(why).or_insert_with(|| LeftOut { why, count: 0, example: example() }).count += 1;
    }

    fn finish(self) -> Vec<LeftOut> {
        self.0.into_values().collect()
    }

    fn in_words(&self) -> String {
        if self.0.is_empty() {
            return ": it has no entries".to_owned();
        }
        let reasons: Vec<String> = self.0.values().map(LeftOut::to_string).collect();
        format!(": {}", reasons.join("; "))
    }
}
