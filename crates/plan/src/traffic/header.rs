//! Header fields and methods: what may stand in the head of a request. Nothing that breaks a line gets in.

/// A header that can't be sent as written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct HeaderError(pub(super) String);

/// A header as curl takes it: `Name: value`. `Name:` has an empty value.
///
/// # Errors
/// No colon, a name that is no token or that the engine writes itself, a value with a control character.
pub fn parse_header(text: &str) -> Result<(String, String), HeaderError> {
    let missing = || HeaderError(format!("`{}` isn't a header: write `Name: value`", text.escape_debug()));
    let (name, value) = text.split_once(':').ok_or_else(missing)?;
    check_name(name).and_then(|()| check_value(value)).map_err(HeaderError)?;
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

/// RFC 9110's `token`.
fn is_token(text: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_tchar)
}

pub(super) fn check_name(name: &str) -> Result<(), String> {
    if !is_token(name) {
        return Err(format!(
            "`{}` isn't a header's name: letters, digits and hyphens, no spaces",
            name.escape_debug()
        ));
    }
    // Two lengths in one request would let a server take one request for two.
    if ["content-length", "transfer-encoding"].contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!("`{name}` is written by dyno, from the body"));
    }
    Ok(())
}

pub(super) fn check_value(value: &str) -> Result<(), String> {
    match value.chars().find(|&c| c.is_ascii_control() && c != '\t') {
        None => Ok(()),
        Some(bad) => Err(format!(
            "`{}` isn't a header's value: it holds the control character `{}`",
            value.escape_debug(),
            bad.escape_debug()
        )),
    }
}

pub(super) fn check_method(method: &str) -> Result<(), String> {
    const KNOWN: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
    let upper = method.to_ascii_uppercase();
    if !is_token(method) {
        return Err(format!(
            "`{}` isn't a method: it is one word, for instance `GET`",
            method.escape_debug()
        ));
    }
    if upper == "CONNECT" {
        return Err("`CONNECT` opens a tunnel, which can't be loaded".to_owned());
    }
    if upper != method && KNOWN.contains(&upper.as_str()) {
        return Err(format!("`{method}`: methods are case-sensitive, write `{upper}`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_curl_takes_them() {
        let read = |text: &str| parse_header(text).map(|(name, value)| format!("{name}|{value}"));
        assert_eq!(read("Accept: text/html").as_deref(), Ok("Accept|text/html"));
        assert_eq!(read("X-Time:12:30\t").as_deref(), Ok("X-Time|12:30"));
        assert_eq!(read("X-Empty:").as_deref(), Ok("X-Empty|"));
        assert_eq!(read("X-Name: Zoë").as_deref(), Ok("X-Name|Zoë"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("Accept", "`Accept` isn't a header: write `Name: value`"),
            (": x", "`` isn't a header's name"),
            ("X Y: x", "`X Y` isn't a header's name"),
            ("X : x", "`X ` isn't a header's name"),
            ("X\r\nY: x", "`X\\r\\nY` isn't a header's name"),
            ("X: a\r\nY: b", "it holds the control character `\\r`"),
            ("X: a\nb", "it holds the control character `\\n`"),
            ("X: a\0", "it holds the control character `\\0`"),
            ("Content-Length: 3", "is written by dyno"),
            ("transfer-encoding: chunked", "is written by dyno"),
        ] {
            let error = parse_header(text).unwrap_err().to_string();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }

    #[test]
    fn methods_are_tokens_in_upper_case() {
        assert_eq!(check_method("GET"), Ok(()));
        assert_eq!(check_method("purge-all"), Ok(()), "one of the server's own");
        for (method, said) in [
            ("", "isn't a method"),
            ("GET /", "isn't a method"),
            ("get", "write `GET`"),
            ("connect", "opens a tunnel"),
        ] {
            assert!(check_method(method).unwrap_err().contains(said), "{method}");
        }
    }
}
