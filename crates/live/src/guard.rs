//! Who may ask over TCP: loopback names only (no DNS rebinding), a token, and changes from the page itself only.

use std::{fmt::Write, sync::Arc};

use axum::{
    extract::{Query, Request, State},
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN,
            REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use subtle::ConstantTimeEq;

/// Nothing from elsewhere, no inline script, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What a request is held against.
#[derive(Clone, Debug)]
pub struct Guard {
    port: u16,
    token: Option<String>,
}

#[derive(Deserialize)]
struct Asked {
    token: Option<String>,
}

impl Guard {
    /// For a port, with a fresh token of 256 random bits, or none.
    pub fn new(port: u16, with_token: bool) -> Self {
        let token = with_token.then(|| {
            rand::random::<[u8; 32]>().iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        });
        Self { port, token }
    }

    /// The address to open, token included.
    pub fn url(&self) -> String {
        let query = self.token.as_ref().map_or_else(String::new, |token| format!("?token={token}"));
        format!("http://127.0.0.1:{}/{query}", self.port)
    }

    /// Cookies don't part ports from each other, so that the name does.
    fn cookie(&self) -> String {
        format!("dyno_{}", self.port)
    }

    /// A name that resolves to loopback today and to elsewhere tomorrow, or the other way round, isn't among these.
    fn is_own_host(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else { return false };
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| host == format!("{name}:{}", self.port))
    }

    /// A browser names the origin of whatever asks for a change; one that names none isn't let through either.
    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        let text = |value: Option<&HeaderValue>| value.and_then(|it| it.to_str().ok()).map(str::to_owned);
        let (host, origin) = (text(headers.get(HOST)), text(headers.get(ORIGIN)));
        let site = headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin");
        site && host.zip(origin).is_some_and(|(host, origin)| origin == format!("http://{host}"))
    }

    fn is_token(&self, given: &str) -> bool {
        // Lengths may be told apart: they are known.
        self.token.as_ref().is_none_or(|token| bool::from(token.as_bytes().ct_eq(given.as_bytes())))
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let bearer =
            headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let name = self.cookie();
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let cookie = cookies
            .flat_map(|value| value.split("; "))
            .filter_map(|one| one.split_once('='))
            .filter_map(|(key, value)| (key == name).then_some(value));
        self.token.is_none() || bearer.into_iter().chain(cookie).any(|given| self.is_token(given))
    }
}

fn refused(why: &'static str) -> Response {
    (StatusCode::FORBIDDEN, why).into_response()
}

/// Lets a request through, or answers 403 with the reason.
pub async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = answer(&guard, request, next).await;
    let headers = response.headers_mut();
    let fixed = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ];
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    response
}

async fn answer(guard: &Guard, request: Request, next: Next) -> Response {
    if !guard.is_own_host(request.headers()) {
        return refused("wrong Host: open the page as http://127.0.0.1 with its port\n");
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !guard.is_own_origin(request.headers()) {
        return refused("wrong Origin: only the page itself may change something\n");
    }
    let token = Query::<Asked>::try_from_uri(request.uri()).ok().and_then(|query| query.0.token);
    match token {
        Some(token) if guard.is_token(&token) && reads => to_cookie(guard, request.uri().path(), &token),
        Some(_) => refused("wrong token: take the address that this dyno printed, or `dyno ps`\n"),
        None if guard.knows(request.headers()) => next.run(request).await,
        None => refused("no token: take the address that this dyno printed, or `dyno ps`\n"),
    }
}

/// The token goes into a cookie, and out of the address: histories and screenshots don't keep it.
fn to_cookie(guard: &Guard, path: &str, token: &str) -> Response {
    // `//other.example/` would lead elsewhere.
    let path = format!("/{}", path.trim_start_matches('/'));
    let cookie = format!("{}={token}; Path=/; HttpOnly; SameSite=Strict", guard.cookie());
    (StatusCode::SEE_OTHER, [(LOCATION, path), (SET_COOKIE, cookie)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn only_loopback_names_with_the_port_are_own_hosts() {
        let guard = Guard::new(9001, true);
        for (host, own) in [
            ("127.0.0.1:9001", true),
            ("localhost:9001", true),
            ("[::1]:9001", true),
            ("127.0.0.1", false),
            ("127.0.0.1:9002", false),
            ("evil.example:9001", false),
            ("127.0.0.1.evil.example:9001", false),
        ] {
            assert_eq!(guard.is_own_host(&headers(&[("host", host)])), own, "{host}");
        }
        assert!(!guard.is_own_host(&HeaderMap::new()));
    }

    #[test]
    fn changes_come_from_the_page_itself() {
        let guard = Guard::new(9001, false);
        let host = ("host", "localhost:9001");
        let own = ("origin", "http://localhost:9001");
        assert!(guard.is_own_origin(&headers(&[host, own])));
        assert!(guard.is_own_origin(&headers(&[host, own, ("sec-fetch-site", "same-origin")])));
        assert!(!guard.is_own_origin(&headers(&[host, own, ("sec-fetch-site", "same-site")])));
        for origin in ["http://127.0.0.1:9001", "http://localhost:9099", "https://localhost:9001", "null"] {
            assert!(!guard.is_own_origin(&headers(&[host, ("origin", origin)])), "{origin}");
        }
        assert!(!guard.is_own_origin(&headers(&[host])), "who names no origin is refused too");
    }

    #[test]
    fn a_token_comes_as_a_cookie_of_this_port_or_as_a_bearer() {
        let guard = Guard::new(9001, true);
        let token = guard.token.clone().unwrap();
        assert_eq!(token.len(), 64);
        assert!(guard.knows(&headers(&[("cookie", &format!("a=b; dyno_9001={token}"))])));
        assert!(guard.knows(&headers(&[("authorization", &format!("Bearer {token}"))])));
        assert!(!guard.knows(&headers(&[("cookie", &format!("dyno_9002={token}"))])));
        assert!(!guard.knows(&headers(&[("cookie", &format!("dyno_9001={}", &token[1..]))])));
        assert!(!guard.knows(&HeaderMap::new()));
        assert!(Guard::new(9001, false).knows(&HeaderMap::new()));
    }
}
