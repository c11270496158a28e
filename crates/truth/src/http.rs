//! Requests out of a stream of bytes, one after the other as they may be pipelined. Only what a truth server needs:
//! bodies of a known length are skipped, everything else is refused.

/// A request that was read whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Path and query.
    pub target: String,
    /// Whether the connection stays open after the answer.
    pub keep_alive: bool,
    /// Whether the answer has a head only.
    pub head_only: bool,
}

/// What is at the beginning of a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A request of so many bytes.
    Whole(Asked, usize),
    /// The beginning of one.
    Partial,
    /// No request that this server understands.
    Bad,
}

const MOST_HEADERS: usize = 64;
/// Longest request, body included.
const LONGEST: usize = 16 << 20;

/// Reads the first request of `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let head = match request.parse(bytes) {
        Ok(httparse::Status::Complete(head)) => head,
        Ok(httparse::Status::Partial) if bytes.len() < LONGEST => return Parsed::Partial,
        _ => return Parsed::Bad,
    };
    let mut length = 0;
    let mut keep_alive = request.version == Some(1);
    for header in request.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            match value.parse() {
                Ok(number) if number < LONGEST => length = number,
                _ => return Parsed::Bad,
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Parsed::Bad;
        } else if header.name.eq_ignore_ascii_case("connection") {
            keep_alive = if keep_alive {
                !value.eq_ignore_ascii_case("close")
            } else {
                value.eq_ignore_ascii_case("keep-alive")
            };
        }
    }
    if bytes.len() < head + length {
        return Parsed::Partial;
    }
    let asked = Asked {
        target: request.path.unwrap_or_default().to_owned(),
        keep_alive,
        head_only: request.method == Some("HEAD"),
    };
    Parsed::Whole(asked, head + length)
}

/// The number that a query parameter has.
pub fn number<T: std::str::FromStr>(target: &str, name: &str) -> Option<T> {
    let (_, query) = target.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    value.parse().ok()
}

/// The bytes of an answer.
pub fn answer(status: &str, content_type: &str, body: &str, asked: &Asked) -> Vec<u8> {
    let connection = if asked.keep_alive { "keep-alive" } else { "close" };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: {connection}\r\n\r\n",
        body.len()
    );
    let body = if asked.head_only { "" } else { body };
    (head + body).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(bytes: &[u8]) -> (Asked, usize) {
        match parse(bytes) {
            Parsed::Whole(asked, length) => (asked, length),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn requests_are_told_apart_though_they_come_together() {
        let both = b"POST /?k=7 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b HTTP/1.1\r\n\r\n";
        let (first, length) = asked(both);
        assert_eq!((first.target.as_str(), number(&first.target, "k")), ("/?k=7", Some(7)));
        let (second, rest) = asked(&both[length..]);
        assert_eq!((second.target.as_str(), second.keep_alive, length + rest), ("/b", true, both.len()));
        for cut in 0..length {
            assert_eq!(parse(&both[..cut]), Parsed::Partial, "{cut}");
        }
    }

    #[test]
    fn connections_stay_open_or_not_as_asked() {
        let keeps = |text: &str| asked(text.as_bytes()).0.keep_alive;
        assert!(!keeps("GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(!keeps("GET / HTTP/1.0\r\n\r\n"));
        assert!(keeps("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
    }

    #[test]
    fn what_it_does_not_understand_is_bad() {
        for text in [
            "HELO x\r\n\r\n",
            "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: many\r\n\r\n",
        ] {
            assert_eq!(parse(text.as_bytes()), Parsed::Bad, "{text}");
        }
    }

    #[test]
    fn a_query_parameter_is_found_by_its_whole_name() {
        assert_eq!(number::<u64>("/?ak=1&k=2", "k"), Some(2));
        assert_eq!(number::<f64>("/x?rate=0.5", "rate"), Some(0.5));
        assert_eq!(number::<u64>("/k=3", "k"), None);
    }
}
