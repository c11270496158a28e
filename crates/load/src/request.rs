//! Requests to bytes, once, before the load begins: nothing is formatted while it runs.

use dyno_model::load::{ExpectBody, Request};

use crate::answer::Asked;

/// Requests with their bytes. Kept for as long as the engine lives: the kernel may still read from them.
#[derive(Debug, PartialEq)]
pub struct Prepared {
    pub requests: Vec<Request>,
    pub bytes: Vec<Vec<u8>>,
    pub asked: Vec<Asked>,
    /// Bytes that go first where the server is asked for its consent (`Expect: 100-continue`), else all.
    pub first: Vec<usize>,
    pub keep_alive: bool,
}

impl Prepared {
    pub fn new(requests: &[Request], host: &str, keep_alive: bool) -> Self {
        let bytes: Vec<Vec<u8>> = requests.iter().map(|request| encode(request, host, keep_alive)).collect();
        let asked = requests.iter().map(asked).collect();
        let first = requests
            .iter()
            .zip(&bytes)
            .map(|(request, bytes)| {
                let waits = has(request, "expect") && !request.body.is_empty();
                if waits { bytes.len() - request.body.len() } else { bytes.len() }
            })
            .collect();
        Self { requests: requests.to_vec(), bytes, asked, first, keep_alive }
    }
}

fn asked(request: &Request) -> Asked {
    // A size needs no bytes.
    let body = matches!(request.expect.body, ExpectBody::Equal(_) | ExpectBody::Json(_));
    Asked { head: request.method == "HEAD", body }
}

fn has(request: &Request, header: &str) -> bool {
    request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(header))
}

/// The bytes of a request.
pub fn encode(request: &Request, host: &str, keep_alive: bool) -> Vec<u8> {
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
    bytes.extend_from_slice(&request.body);
    bytes
}
