//! What follows from an answer: a redirect's next request, a sequence's values. Requests that are made while a load runs.

use std::sync::Arc;

use bytes::Bytes;
use dyno_model::{
    load::Request,
    traffic::{Take, TakeFrom},
};
use serde_json::Value;

use crate::{
    answer::Whole,
    options::{LoadError, Protocol},
    request::{Prepared, encode, framed},
};

/// A fixed sequence of requests: each connection sends its steps in their order, again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// At least one.
    pub steps: Vec<SequenceStep>,
}

/// A step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceStep {
    /// Index of its first request; those of several data rows follow.
    pub first: usize,
    /// How many requests it has, in turn; 1 or more.
    pub count: usize,
    /// What is taken from its answers.
    pub takes: Vec<Take>,
}

/// How far a connection is in its sequence, and what it has taken.
#[derive(Debug, Default)]
pub struct User {
    step: usize,
    /// Turns that it has done, for the data rows.
    turns: usize,
    values: Vec<(String, String)>,
}

impl User {
    /// Index of the next request of the connection of this number.
    pub fn next(&self, sequence: &Sequence, number: usize) -> usize {
        let step = &sequence.steps[self.step % sequence.steps.len()];
        step.first + (self.turns + number) % step.count.max(1)
    }

    /// The request with what was taken in the place of the marks; `None` where it has none.
    pub fn fill(&self, request: &Request) -> Option<Request> {
        let mut filled = request.clone();
        let mut found = false;
        let body_type = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        let body_type = body_type.map_or("", |(_, value)| value.as_str());
        for (mark, value) in &self.values {
            if filled.target.contains(mark) {
                filled.target = filled.target.replace(mark, &percent_encoded(value));
                found = true;
            }
            for (_, header) in &mut filled.headers {
                if header.contains(mark) {
                    // A value may not end the header and begin another.
                    *header = header.replace(mark, &value.replace(|c: char| c.is_control(), ""));
                    found = true;
                }
            }
            let encoded = match body_type {
                kind if kind.contains("json") => {
                    let text = Value::from(value.as_str()).to_string();
                    text[1..text.len() - 1].to_owned()
                }
                kind if kind.starts_with("application/x-www-form-urlencoded") => percent_encoded(value),
                _ => value.clone(),
            };
            if let Some(body) = replaced(&filled.body, mark.as_bytes(), encoded.as_bytes()) {
                filled.body = body;
                found = true;
            }
        }
        found.then_some(filled)
    }

    /// A right answer to its step: takes its values and goes on; `false` when one isn't there.
    pub fn goes_on(&mut self, sequence: &Sequence, answer: &Whole<'_>) -> bool {
        let step = &sequence.steps[self.step % sequence.steps.len()];
        for take in &step.takes {
            let Some(value) = taken(&take.from, answer) else { return false };
            self.values.retain(|(mark, _)| *mark != take.mark);
            self.values.push((take.mark.clone(), value));
        }
        self.step += 1;
        if self.step >= sequence.steps.len() {
            self.begins_again();
        }
        true
    }

    /// After a failure, or the last step: begins with the first, and knows nothing.
    pub fn begins_again(&mut self) {
        self.step = 0;
        self.turns += 1;
        self.values.clear();
    }
}

fn taken(from: &TakeFrom, answer: &Whole<'_>) -> Option<String> {
    match from {
        TakeFrom::Header(name) => header(answer.head, name).map(str::to_owned),
        TakeFrom::Pointer(pointer) => {
            let body: Value = serde_json::from_slice(answer.body).ok()?;
            match body.pointer(pointer)? {
                Value::String(text) => Some(text.clone()),
                Value::Null => None,
                other => Some(other.to_string()),
            }
        }
    }
}

/// The value of a header in a head as text.
fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(head).ok()?;
    text.lines().skip(1).find_map(|line| {
        let (own, value) = line.split_once(':')?;
        own.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn replaced(body: &[u8], mark: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let mut found = false;
    let (mut rest, mut whole) = (body, Vec::new());
    while let Some(at) = rest.windows(mark.len()).position(|window| window == mark) {
        found = true;
        whole.extend_from_slice(&rest[..at]);
        whole.extend_from_slice(value);
        rest = &rest[at + mark.len()..];
    }
    whole.extend_from_slice(rest);
    found.then_some(whole)
}

fn percent_encoded(value: &str) -> String {
    let mut text = String::new();
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text += &format!("%{byte:02X}");
        }
    }
    text
}

/// A request that was made while the load runs.
#[derive(Debug)]
pub struct Made {
    pub request: Request,
    pub bytes: Vec<u8>,
    pub framed: Option<(http::Request<()>, Bytes)>,
}

impl Made {
    /// # Errors
    /// HTTP/2 can't carry it.
    pub fn new(request: Request, prepared: &Arc<Prepared>) -> Result<Self, LoadError> {
        let (bytes, _) = encode(&request, &prepared.host, prepared.keep_alive);
        let framed = match prepared.protocol {
            Protocol::Http1 => None,
            Protocol::Http2 => Some(framed(&request, prepared.scheme, &prepared.host)?),
        };
        Ok(Self { request, bytes, framed })
    }
}

/// Whether a status asks to go elsewhere (RFC 9110, 15.4).
pub const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The request that a redirect asks for; `None` where it says no place, or one of another origin.
pub fn redirected(request: &Request, answer: &Whole<'_>, scheme: &str, host: &str) -> Option<Request> {
    let location = header(answer.head, "location")?;
    let mut next = request.clone();
    next.target = target(location, &request.target, scheme, host)?;
    let to_get = answer.status == 303 && request.method != "HEAD"
        || matches!(answer.status, 301 | 302) && request.method == "POST";
    if to_get {
        "GET".clone_into(&mut next.method);
        next.body.clear();
        let of_body = ["content-type", "content-length", "content-encoding", "transfer-encoding", "expect"];
        next.headers.retain(|(name, _)| !of_body.contains(&name.to_ascii_lowercase().as_str()));
    }
    Some(next)
}

/// Path and query of a location, against the one that was asked for (RFC 3986, 5.3).
fn target(location: &str, asked: &str, scheme: &str, host: &str) -> Option<String> {
    let location = location.split('#').next().unwrap_or("");
    if location.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    if let Some((written, rest)) = location.split_once("://") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let default = if scheme == "https" { ":443" } else { ":80" };
        let without_default = |host: &str| host.strip_suffix(default).unwrap_or(host).to_ascii_lowercase();
        let same =
            written.eq_ignore_ascii_case(scheme) && without_default(&rest[..end]) == without_default(host);
        let path = &rest[end..];
        return same.then(|| if path.starts_with('/') { path.to_owned() } else { format!("/{path}") });
    }
    let path = asked.split('?').next().unwrap_or("/");
    match location {
        location if location.starts_with("//") => {
            target(&format!("{scheme}:{location}"), asked, scheme, host)
        }
        location if location.starts_with('/') => Some(location.to_owned()),
        "" => Some(asked.to_owned()),
        location if location.starts_with('?') => Some(format!("{path}{location}")),
        location => Some(format!("{}/{location}", &path[..path.rfind('/').unwrap_or(0)])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_a_place_of_the_same_origin() {
        let to = |location: &str| target(location, "/a/b?c=d", "http", "h:8000");
        for (location, expected) in [
            ("/x?y=z", "/x?y=z"),
            ("x", "/a/x"),
            ("?q", "/a/b?q"),
            ("http://h:8000/x#f", "/x"),
            ("HTTP://H:8000", "/"),
            ("//h:8000/x", "/x"),
        ] {
            assert_eq!(to(location).as_deref(), Some(expected), "{location}");
        }
        for elsewhere in ["https://h:8000/x", "http://other/x", "//other/x", "http://h/x", "/a b"] {
            assert_eq!(to(elsewhere), None, "{elsewhere}");
        }
        assert_eq!(target("http://h:80/x", "/", "http", "h").as_deref(), Some("/x"));
    }

    #[test]
    fn values_are_encoded_for_their_place() {
        let user =
            User { values: vec![("MARK".to_owned(), "a \"b\"/c\r\nX: y".to_owned())], ..User::default() };
        let request = |kind: &str, body: &str| Request {
            method: "POST".to_owned(),
            target: "/MARK".to_owned(),
            headers: vec![
                ("Content-Type".to_owned(), kind.to_owned()),
                ("X".to_owned(), "t MARK".to_owned()),
            ],
            body: body.as_bytes().to_vec(),
            expect: dyno_model::load::Expect::status(200),
        };
        let filled = user.fill(&request("application/json", "{\"t\": \"MARK\"}")).unwrap();
        assert_eq!(filled.target, "/a%20%22b%22%2Fc%0D%0AX%3A%20y");
        assert_eq!(filled.headers[1].1, "t a \"b\"/cX: y", "it ends no header");
        let body: Value = serde_json::from_slice(&filled.body).unwrap();
        assert_eq!(body["t"], "a \"b\"/c\r\nX: y");
        let form = user.fill(&request("application/x-www-form-urlencoded", "t=MARK")).unwrap();
        assert_eq!(form.body, b"t=a%20%22b%22%2Fc%0D%0AX%3A%20y");
    }
}
