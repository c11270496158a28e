//! URLs -> origin, credentials and target. The origin is read as browsers read it (the `url` crate); the target is kept
//! as it was written, dots and all, for a load tool asks what it was told to ask.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_STANDARD};
use dyno_model::traffic::{Origin, Scheme};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use super::template::encode_target;

/// A URL that a load can be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Scheme, host and port.
    pub origin: Origin,
    /// The value of an `Authorization` header, from `user:password@`.
    pub authorization: Option<String>,
    /// Path and query as written, at least `/`, without the fragment, which is never sent.
    pub target: String,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` isn't a URL that can be loaded: {why}")]
pub struct AddressError {
    url: String,
    why: String,
}

/// A URL that requests with paths of their own are sent to.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub origin: Origin,
    pub authorization: Option<String>,
    /// Goes before every path, encoded; empty or `/api`.
    pub prefix: String,
}

impl FromStr for Base {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |why: String| AddressError { url: text.escape_debug().to_string(), why };
        let Address { origin, authorization, target } = text.parse()?;
        if target.contains('?') {
            return Err(error("it has a query, and the requests have their own".to_owned()));
        }
        if target.contains("{{") {
            return Err(error("placeholders stand in the requests' paths".to_owned()));
        }
        let prefix = encode_target(target.trim_end_matches('/')).map_err(error)?;
        Ok(Self { origin, authorization, prefix })
    }
}

/// A URL that is right, for messages.
pub(super) const EXAMPLE: &str = "http://127.0.0.1:8000/contacts?limit=20";

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|why| AddressError { url: text.escape_debug().to_string(), why })
    }
}

fn parse(text: &str) -> Result<Address, String> {
    // The `url` crate would drop tabs and line breaks in silence.
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Err(format!("it holds the control character `{}`", bad.escape_debug()));
    }
    let (scheme, rest) = split_scheme(text)?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.contains("{{") {
        return Err("a placeholder can't stand before the path: a load has one origin".to_owned());
    }
    if authority.is_empty() || authority.contains('\\') {
        return Err("it has no host".to_owned());
    }
    let (without_zone, zone) = split_zone(authority)?;
    let url = Url::parse(&format!("{scheme}://{without_zone}/")).map_err(|error| error.to_string())?;
    let host = match url.host().ok_or("it has no host")? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => match zone {
            Some(zone) => format!("{address}%{zone}"),
            None => address.to_string(),
        },
    };
    let port = url.port().unwrap_or(scheme.default_port());
    if port == 0 {
        return Err("port 0 is no port: ports go from 1 to 65535".to_owned());
    }
    let target = target.split('#').next().unwrap_or("");
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok(Address {
        origin: Origin { scheme, host, port },
        authorization: authorization(&url),
        target: format!("{slash}{target}"),
    })
}

/// `[fe80::1%25eth0]:80` -> `[fe80::1]:80` and `eth0` (RFC 6874; a bare `%` is taken too): which of this machine's networks
/// the address is of.
fn split_zone(authority: &str) -> Result<(String, Option<String>), String> {
    let cut = || {
        let (before, rest) = authority.split_once('[')?;
        let (address, after) = rest.split_once(']')?;
        let (address, zone) = address.split_once('%')?;
        Some((format!("{before}[{address}]{after}"), zone.strip_prefix("25").unwrap_or(zone)))
    };
    let Some((without, zone)) = cut() else { return Ok((authority.to_owned(), None)) };
    let zone = percent_decode_str(zone).decode_utf8_lossy().into_owned();
    if zone.is_empty() || zone.contains(|c: char| c.is_whitespace() || c == '%') {
        return Err(
            "the zone after `%25` is empty or no name; write for instance `[fe80::1%25eth0]`".to_owned()
        );
    }
    Ok((without, Some(zone)))
}

fn split_scheme(text: &str) -> Result<(Scheme, &str), String> {
    let missing = || {
        let rest = text.trim_start_matches('/').trim_start_matches("http:").trim_start_matches("https:");
        format!("it has no scheme; write `http://{}`", rest.trim_start_matches('/'))
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(missing)?;
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    {
        return Err(missing());
    }
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Ok((Scheme::Http, rest)),
        "https" => Ok((Scheme::Https, rest)),
        "unix" | "http+unix" => {
            Err("a unix socket is given by `--unix-socket PATH`, the URL is `http://localhost/path`"
                .to_owned())
        }
        _ => Err(format!("`{scheme}` isn't spoken here: the schemes are http and https")),
    }
}

/// `user:password@`, percent-decoded, as RFC 7617 sends it.
fn authorization(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut credentials: Vec<u8> = percent_decode_str(url.username()).collect();
    credentials.push(b':');
    credentials.extend(percent_decode_str(url.password().unwrap_or("")));
    Some(format!("Basic {}", BASE64_STANDARD.encode(credentials)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> (String, String) {
        let address: Address = text.parse().unwrap();
        (address.origin.to_string(), address.target)
    }

    #[test]
    fn origin_and_target_are_told_apart() {
        for (text, origin, target) in [
            ("http://127.0.0.1:8000/a?b=c#d", "http://127.0.0.1:8000", "/a?b=c"),
            ("HTTPS://Example.ORG", "https://example.org", "/"),
            ("http://example.org:80?b", "http://example.org", "/?b"),
            ("http://example.org#d", "http://example.org", "/"),
            ("https://[::1]:8443/a/../b", "https://[::1]:8443", "/a/../b"),
            ("http://[::1]", "http://[::1]", "/"),
            ("http://bücher.example/ü", "http://xn--bcher-kva.example", "/ü"),
            ("http://h/{{path}}?u=http://x", "http://h", "/{{path}}?u=http://x"),
        ] {
            assert_eq!(address(text), (origin.to_owned(), target.to_owned()), "{text}");
        }
        assert_eq!("http://[::1]/".parse::<Address>().unwrap().origin.host, "::1");
        for text in ["http://[fe80::1%25eth0]:8080/a", "http://[fe80::1%eth0]:8080/a"] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.origin.host.as_str(), address.origin.port), ("fe80::1%eth0", 8080), "{text}");
            assert_eq!(address.origin.authority(), "[fe80::1]:8080", "a zone is this machine's own: {text}");
        }
    }

    #[test]
    fn credentials_become_a_header() {
        let authorization = |text: &str| text.parse::<Address>().unwrap().authorization;
        assert_eq!(authorization("http://h/"), None);
        // RFC 7617's own example.
        assert_eq!(
            authorization("http://Aladdin:open%20sesame@h/").as_deref(),
            Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
        );
        assert_eq!(authorization("http://ada@h/").as_deref(), Some("Basic YWRhOg=="));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("localhost:8000/a", "it has no scheme; write `http://localhost:8000/a`"),
            ("h/a?u=http://x", "it has no scheme; write `http://h/a?u=http://x`"),
            ("http:/h/a", "it has no scheme; write `http://h/a`"),
            ("//h/a", "write `http://h/a`"),
            ("[::1]:80", "write `http://[::1]:80`"),
            ("ftp://h/", "`ftp` isn't spoken here: the schemes are http and https"),
            ("unix:///run/app.sock", "--unix-socket"),
            ("http:///a", "it has no host"),
            ("http://:80/", "empty host"),
            ("http://h:0/", "port 0 is no port"),
            ("http://h:65536/", "invalid port number"),
            ("http://h:x/", "invalid port number"),
            ("http://[::1/", "invalid IPv6 address"),
            ("http://a b/", "invalid international domain name"),
            ("http://h\\a", "it has no host"),
            ("http://[fe80::1%25]/", "[fe80::1%25eth0]"),
            ("http://{{host}}/", "a load has one origin"),
            ("http://h/a\r\nX: y", "it holds the control character `\\r`"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
