//! HTTP/1.1 as far as a client needs it: requests to bytes, bytes to answers. No sockets here.

use dyno_model::load::Request;

/// Most headers in an answer.
const HEADERS: usize = 64;
/// Largest head of an answer; a longer one isn't an API's.
const LARGEST_HEAD: usize = 64 * 1024;

/// The bytes of a request.
pub fn encode(request: &Request, host: &str) -> Vec<u8> {
    let mut bytes =
        format!("{} {} HTTP/1.1\r\nHost: {host}\r\n", request.method, request.target).into_bytes();
    for (name, value) in &request.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if !request.body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH") {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", request.body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&request.body);
    bytes
}

/// Why bytes aren't an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Reads one answer from bytes that come in any pieces.
#[derive(Debug, Default)]
pub struct AnswerReader {
    buffer: Vec<u8>,
    head: Option<Head>,
    chunk_position: usize,
    chunked_body: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    length: usize,
    body: BodyLength,
    keep_alive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyLength {
    Sized(usize),
    Chunked,
    UntilClose,
}

/// A whole answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole<'a> {
    pub status: u16,
    pub body: &'a [u8],
    pub keep_alive: bool,
    pub head: &'a [u8],
}

impl AnswerReader {
    /// Ready for the next answer.
    pub fn clear(&mut self) {
        self.buffer.clear();
        self.head = None;
        self.chunk_position = 0;
        self.chunked_body.clear();
    }

    /// What has come so far, for showing a wrong answer.
    pub fn received(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes more bytes. `Ok(true)` when the answer is whole.
    pub fn push(&mut self, bytes: &[u8]) -> Result<bool, Malformed> {
        self.buffer.extend_from_slice(bytes);
        if self.head.is_none() {
            self.head = self.parse_head()?;
        }
        let Some(head) = self.head else { return Ok(false) };
        match head.body {
            BodyLength::Sized(size) => match self.buffer.len().cmp(&(head.length + size)) {
                std::cmp::Ordering::Less => Ok(false),
                std::cmp::Ordering::Equal => Ok(true),
                // Bytes that belong to no request.
                std::cmp::Ordering::Greater => Err(Malformed),
            },
            BodyLength::Chunked => self.read_chunks(),
            BodyLength::UntilClose => Ok(false),
        }
    }

    /// The connection ended: whole only if the end of the connection is the end of the answer.
    pub fn end(&self) -> bool {
        self.head.is_some_and(|head| head.body == BodyLength::UntilClose)
    }

    /// The answer, once it is whole.
    pub fn whole(&self) -> Option<Whole<'_>> {
        let head = self.head?;
        let body = match head.body {
            BodyLength::Sized(size) => self.buffer.get(head.length..head.length + size)?,
            BodyLength::Chunked => &self.chunked_body,
            BodyLength::UntilClose => &self.buffer[head.length..],
        };
        let keep_alive = head.keep_alive && head.body != BodyLength::UntilClose;
        Some(Whole { status: head.status, body, keep_alive, head: &self.buffer[..head.length] })
    }

    fn parse_head(&mut self) -> Result<Option<Head>, Malformed> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS];
            let mut response = httparse::Response::new(&mut headers);
            let length = match response.parse(&self.buffer).map_err(|_| Malformed)? {
                httparse::Status::Complete(length) => length,
                httparse::Status::Partial if self.buffer.len() > LARGEST_HEAD => return Err(Malformed),
                httparse::Status::Partial => return Ok(None),
            };
            let status = response.code.ok_or(Malformed)?;
            let head = describe(status, response.version == Some(1), length, response.headers)?;
            if (100..200).contains(&status) {
                self.buffer.drain(..length);
                continue;
            }
            self.chunk_position = length;
            return Ok(Some(head));
        }
    }

    /// Reads chunks from `chunk_position` on as far as they are whole.
    fn read_chunks(&mut self) -> Result<bool, Malformed> {
        loop {
            let rest = &self.buffer[self.chunk_position..];
            let (line, size) = match httparse::parse_chunk_size(rest).map_err(|_| Malformed)? {
                httparse::Status::Partial => return Ok(false),
                httparse::Status::Complete((line, size)) => {
                    (line, usize::try_from(size).map_err(|_| Malformed)?)
                }
            };
            if size == 0 {
                return trailers_end(&rest[line..]);
            }
            let end = line.checked_add(size).and_then(|end| end.checked_add(2)).ok_or(Malformed)?;
            if rest.len() < end {
                return Ok(false);
            }
            if &rest[end - 2..end] != b"\r\n" {
                return Err(Malformed);
            }
            self.chunked_body.extend_from_slice(&rest[line..line + size]);
            self.chunk_position += end;
        }
    }
}

/// What follows the last chunk: trailers, if any, and an empty line.
fn trailers_end(rest: &[u8]) -> Result<bool, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    match httparse::parse_headers(rest, &mut headers).map_err(|_| Malformed)? {
        httparse::Status::Partial => Ok(false),
        httparse::Status::Complete((length, _)) if length == rest.len() => Ok(true),
        httparse::Status::Complete(_) => Err(Malformed),
    }
}

fn describe(
    status: u16,
    one_one: bool,
    length: usize,
    headers: &[httparse::Header<'_>],
) -> Result<Head, Malformed> {
    let mut body = BodyLength::UntilClose;
    let mut keep_alive = one_one;
    for header in headers {
        let value = std::str::from_utf8(header.value).map_err(|_| Malformed)?.trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let size = value.parse().map_err(|_| Malformed)?;
            if let BodyLength::Sized(other) = body
                && other != size
            {
                return Err(Malformed);
            }
            // RFC 9112, 6.3: Transfer-Encoding overrides Content-Length.
            if body != BodyLength::Chunked {
                body = BodyLength::Sized(size);
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !value.eq_ignore_ascii_case("chunked") {
                return Err(Malformed);
            }
            body = BodyLength::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            let has = |word: &str| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
            keep_alive = if one_one { !has("close") } else { has("keep-alive") };
        }
    }
    if matches!(status, 204 | 304) {
        body = BodyLength::Sized(0);
    }
    Ok(Head { status, length, body, keep_alive })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Result<Option<(u16, Vec<u8>, bool)>, Malformed> {
        let mut reader = AnswerReader::default();
        let mut whole = false;
        for piece in pieces {
            whole = reader.push(piece)?;
        }
        if !whole {
            return Ok(None);
        }
        Ok(reader.whole().map(|whole| (whole.status, whole.body.to_vec(), whole.keep_alive)))
    }

    const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n";

    proptest! {
        #[test]
        fn an_answer_is_the_same_in_any_pieces(cuts in proptest::collection::vec(0usize..90, 0..6), chunked: bool) {
            let bytes = if chunked { CHUNKED } else { SIZED };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let pieces: Vec<&[u8]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
            prop_assert_eq!(read(&pieces), Ok(Some((200, b"hello".to_vec(), true))));
        }

        #[test]
        fn nonsense_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut reader = AnswerReader::default();
            let _ = reader.push(&bytes);
        }
    }

    #[test]
    fn what_closes_and_what_is_malformed() {
        let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(&[close]), Ok(Some((200, vec![], false))));
        assert_eq!(read(&[b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"]), Ok(Some((200, vec![], false))));
        assert_eq!(
            read(&[b"HTTP/1.1 100 Continue\r\n\r\n", SIZED]),
            Ok(Some((200, b"hello".to_vec(), true)))
        );
        assert_eq!(read(&[b"HTTP/1.1 204 No Content\r\n\r\n"]), Ok(Some((204, vec![], true))));
        for bad in [
            &b"SSH-2.0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert_eq!(read(&[bad]), Err(Malformed), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_ends_it() {
        let mut reader = AnswerReader::default();
        assert_eq!(reader.push(b"HTTP/1.1 200 OK\r\n\r\nall of it"), Ok(false));
        assert!(reader.end());
        assert_eq!(reader.whole().unwrap().body, b"all of it");
    }
}
