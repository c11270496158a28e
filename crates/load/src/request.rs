//! Requests to bytes, once, before the load begins: nothing is formatted while it runs.

use bytes::Bytes;
use dyno_model::{
    load::{ExpectBody, Request},
    traffic::TakeFrom,
};

use crate::{
    answer::{Asked, CHECKED_BODY, SHOWN_BODY},
    options::{EngineOptions, LoadError, Protocol},
};

/// Requests with their bytes. Kept for as long as the engine lives: the kernel may still read from them.
#[derive(Debug)]
pub struct Prepared {
    pub requests: Vec<Request>,
    pub bytes: Vec<Vec<u8>>,
    pub asked: Vec<Asked>,
    /// Bytes that go first where the server is asked for its consent (`Expect: 100-continue`), else all.
    pub first: Vec<usize>,
    pub keep_alive: bool,
    /// Requests that ask for the end of their connection (`Connection: close`; RFC 9112, 9.6): it is not used again,
    /// whatever the server says.
    pub closes: Vec<bool>,
    /// Of the origin, for requests that are made while the load runs.
    pub scheme: &'static str,
    pub host: String,
    pub protocol: Protocol,
    /// The same for HTTP/2; empty for HTTP/1.1.
    pub framed: Vec<(http::Request<()>, Bytes)>,
}

impl Prepared {
    /// # Errors
    /// A method, a target or a header that HTTP/2 can't carry.
    pub fn new(requests: &[Request], host: &str, options: &EngineOptions) -> Result<Self, LoadError> {
        let keep_alive = options.keep_alive;
        let encoded = requests.iter().map(|request| encode(request, host, keep_alive));
        let (bytes, heads): (Vec<Vec<u8>>, Vec<usize>) = encoded.unzip();
        let mut asked: Vec<Asked> = requests.iter().map(asked).collect();
        for step in options.sequence.iter().flat_map(|sequence| &sequence.steps) {
            let of_body = step.takes.iter().any(|take| matches!(take.from, TakeFrom::Pointer(_)));
            for one in asked.iter_mut().skip(step.first).take(if of_body { step.count } else { 0 }) {
                (one.body, one.most) = (true, one.most.max(CHECKED_BODY));
            }
        }
        let scheme = if options.tls.is_some() { "https" } else { "http" };
        let framed = match options.protocol {
            Protocol::Http1 => Vec::new(),
            Protocol::Http2 => {
                requests.iter().map(|request| framed(request, scheme, host)).collect::<Result<_, _>>()?
            }
        };
        let first = requests
            .iter()
            .zip(bytes.iter().zip(heads))
            .map(|(request, (bytes, head))| {
                let waits = framed.is_empty() && has(request, "expect") && !request.body.is_empty();
                if waits { head } else { bytes.len() }
            })
            .collect();
        let closes = requests.iter().map(|request| framed.is_empty() && closes(request)).collect();
        let (requests, host, protocol) = (requests.to_vec(), host.to_owned(), options.protocol);
        Ok(Self { requests, bytes, asked, first, keep_alive, closes, scheme, host, protocol, framed })
    }
}

/// Headers that belong to a connection of HTTP/1.1 and that HTTP/2 forbids (RFC 9113, 8.2.2), and `Host`, which is
/// `:authority` there.
const NOT_FRAMED: [&str; 6] =
    ["host", "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// A request as the h2 library takes it.
pub fn framed(request: &Request, scheme: &str, host: &str) -> Result<(http::Request<()>, Bytes), LoadError> {
    let named = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = named.map_or(host, |(_, value)| value);
    let mut builder = http::Request::builder()
        .version(http::Version::HTTP_2)
        .method(request.method.as_str())
        .uri(format!("{scheme}://{authority}{}", request.target));
    for (name, value) in &request.headers {
        if !NOT_FRAMED.contains(&name.to_ascii_lowercase().as_str()) {
            builder = builder.header(name, value);
        }
    }
    if !has(request, "content-length") && !has(request, "transfer-encoding") && !request.body.is_empty() {
        builder = builder.header("content-length", request.body.len());
    }
    let whole = builder.body(()).map_err(|error| LoadError::Request {
        method: request.method.clone(),
        path: request.target.clone(),
        what: error.to_string(),
    })?;
    Ok((whole, Bytes::copy_from_slice(&request.body)))
}

fn asked(request: &Request) -> Asked {
    let (body, most) = match &request.expect.body {
        // A size needs no bytes.
        ExpectBody::Any | ExpectBody::Size(_) => (false, 0),
        // A wrong body is shown. No body is expected where the answer is only asked for ([`crate::Engine::ask`]).
        ExpectBody::Equal(body) if !body.is_empty() => (true, SHOWN_BODY.max(body.len() + 1)),
        ExpectBody::Equal(_) | ExpectBody::Json(_) => (true, CHECKED_BODY),
    };
    Asked { head: request.method == "HEAD", body, most }
}

fn closes(request: &Request) -> bool {
    let named = request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("connection"));
    named.flat_map(|(_, value)| value.split(',')).any(|option| option.trim().eq_ignore_ascii_case("close"))
}

fn has(request: &Request, header: &str) -> bool {
    request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header))
}

/// Bytes of a chunk of a body that is sent in chunks.
const CHUNK: usize = 16 * 1024;

/// The bytes of a request, and how many of them are its head. With `Transfer-Encoding: chunked` its body is sent in chunks
/// (RFC 9112, 7.1).
pub fn encode(request: &Request, host: &str, keep_alive: bool) -> (Vec<u8>, usize) {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method, request.target).into_bytes();
    let mut header = |name: &str, value: &str| {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    };
    if !has(request, "host") {
        header("Host", host);
    }
    for (name, value) in &request.headers {
        header(name, value);
    }
    if !keep_alive && !has(request, "connection") {
        header("Connection", "close");
    }
    let has_length = has(request, "content-length") || has(request, "transfer-encoding");
    if !has_length
        && (!request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH"))
    {
        header("Content-Length", &request.body.len().to_string());
    }
    bytes.extend_from_slice(b"\r\n");
    let head = bytes.len();
    if has(request, "transfer-encoding") {
        for chunk in request.body.chunks(CHUNK) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(&request.body);
    }
    (bytes, head)
}

#[cfg(test)]
mod tests {
    use dyno_model::load::Expect;

    use super::*;

    #[test]
    fn a_body_is_sent_in_chunks_where_it_is_asked_for() {
        let request = |body: &[u8]| Request {
            method: "POST".to_owned(),
            target: "/".to_owned(),
            headers: vec![("Transfer-Encoding".to_owned(), "chunked".to_owned())],
            body: body.to_vec(),
            expect: Expect::status(200),
        };
        let (bytes, head) = encode(&request(&[b'x'; CHUNK + 2]), "h", true);
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        assert!(!text.to_lowercase().contains("content-length"), "{text}");
        let expected = [b"4000\r\n", [b'x'; CHUNK].as_slice(), b"\r\n2\r\nxx\r\n0\r\n\r\n"].concat();
        assert_eq!(bytes[head..], expected);
        assert_eq!(encode(&request(b""), "h", true).0[head..], *b"0\r\n\r\n");
    }
}
