//! What a load is made of: where it goes and which requests, by kind and weight. Plain data; files are read elsewhere.

use std::fmt;

use crate::load::Request;

/// How a target is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// The port where none is written.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Scheme, host and port of a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name, as DNS takes it, or an IP address without brackets; an IPv6 address may have a zone: `fe80::1%eth0`.
    pub host: String,
    /// From 1.
    pub port: u16,
}

impl Origin {
    /// The host without a zone, which means something on this machine only (RFC 6874).
    pub fn host_for_server(&self) -> &str {
        match self.host.split_once('%') {
            Some((address, _)) if address.contains(':') => address,
            _ => &self.host,
        }
    }

    /// What the `Host` header says: the host, an IPv6 address in brackets, and the port unless it is the scheme's own.
    pub fn authority(&self) -> String {
        let host = self.host_for_server();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if self.port == self.scheme.default_port() { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())
    }
}

/// One kind of request. Its share of all requests is its weight over the sum of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// What reports call it; no two kinds of a load have the same.
    pub name: String,
    /// Finite and above zero.
    pub weight: f64,
    /// At least one: one for each data row, sent in turn.
    pub requests: Vec<Request>,
}

/// A value that is taken from a right answer, for the requests that follow it on the same connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Take {
    /// What stands for it in the requests: a word of letters and digits that nothing else has, so that it is the same in a
    /// path, a header, JSON or a form.
    pub mark: String,
    /// Where it is in the answer.
    pub from: TakeFrom,
}

/// Where a value is in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeFrom {
    /// A JSON pointer into the body (RFC 6901), for instance `/access_token`. Texts are taken without their quotes.
    Pointer(String),
    /// A header's value.
    Header(String),
}

/// Everything that a load may send.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// Where it goes; `None` when what was read doesn't say.
    pub origin: Option<Origin>,
    /// At least one.
    pub kinds: Vec<Kind>,
    /// For a fixed sequence: what each kind takes from its answer; each connection sends the kinds in their order, again
    /// and again. `None`: kinds are drawn by weight.
    pub sequence: Option<Vec<Vec<Take>>>,
}

impl Traffic {
    /// All requests in one list, kind after kind, and the number of requests and the weight of each kind.
    pub fn flatten(&self) -> (Vec<Request>, Vec<(usize, f64)>) {
        let requests = self.kinds.iter().flat_map(|kind| kind.requests.iter().cloned()).collect();
        (requests, self.kinds.iter().map(|kind| (kind.requests.len(), kind.weight)).collect())
    }

    /// The kind of each request of the flattened list, as an index into `kinds`.
    pub fn kind_of_requests(&self) -> Vec<usize> {
        let kinds = self.kinds.iter().enumerate();
        kinds.flat_map(|(index, kind)| std::iter::repeat_n(index, kind.requests.len())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Expect;

    fn request(target: &str) -> Request {
        Request {
            method: "GET".to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            expect: Expect::status(200),
        }
    }

    #[test]
    fn flat_requests_follow_their_kinds() {
        let kind = |name: &str, weight, targets: &[&str]| Kind {
            name: name.to_owned(),
            weight,
            requests: targets.iter().map(|target| request(target)).collect(),
        };
        let traffic = Traffic {
            origin: None,
            kinds: vec![kind("a", 3.0, &["/1", "/2"]), kind("b", 1.0, &["/3"])],
            sequence: None,
        };
        let (requests, weights) = traffic.flatten();
        let targets: Vec<&str> = requests.iter().map(|request| request.target.as_str()).collect();
        assert_eq!(targets, ["/1", "/2", "/3"]);
        assert_eq!(weights, [(2, 3.0), (1, 1.0)]);
        assert_eq!(traffic.kind_of_requests(), [0, 0, 1]);
    }

    #[test]
    fn the_host_header_has_brackets_and_only_ports_that_differ() {
        let origin = |scheme, host: &str, port| Origin { scheme, host: host.to_owned(), port }.authority();
        assert_eq!(origin(Scheme::Http, "example.org", 80), "example.org");
        assert_eq!(origin(Scheme::Https, "example.org", 80), "example.org:80");
        assert_eq!(origin(Scheme::Https, "::1", 443), "[::1]");
        assert_eq!(origin(Scheme::Http, "::1", 8000), "[::1]:8000");
    }
}
