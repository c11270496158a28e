//! HTTP/1.1 answers from bytes that come in any pieces (RFC 9112). No sockets here, and no allocation once a
//! reader has been used: a small answer that comes in one piece isn't even copied.

use std::mem::MaybeUninit;

/// Headers of an answer that are parsed without an allocation, and at most.
const USUAL_HEADERS: usize = 96;
pub const MOST_HEADERS: usize = 4096;
/// Largest head of an answer; a longer one isn't an API's.
pub const LARGEST_HEAD: usize = 64 * 1024;
/// Most interim answers (1xx) before the answer.
const MOST_INTERIM: u32 = 20;
/// Longest line of a chunk's size with its extensions, and longest trailer section.
pub const CHUNK_LINE: usize = 8 * 1024;
/// Most bytes of a body kept only for showing it, when nobody checks it.
pub const SHOWN_BODY: usize = 64 * 1024;
/// Most bytes of a body kept for a check that doesn't say how long it must be: a body without end must not fill the
/// memory before it times out.
pub const CHECKED_BODY: usize = 64 * 1024 * 1024;

/// Why bytes aren't an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The head isn't HTTP/1.x, or its lengths contradict each other.
    Head,
    /// The head is longer than [`LARGEST_HEAD`].
    HeadTooLarge,
    /// A chunk's size or end isn't one.
    Chunk,
    /// Bytes after the answer's end, which belong to no request.
    Excess,
    /// More interim answers than anyone needs.
    Interim,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    Sized(u64),
    Chunked,
    UntilClose,
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub body: BodyLength,
    pub keep_alive: bool,
}

/// A whole answer. `body` is what was kept of it; `size` is how long it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Whole<'a> {
    pub status: u16,
    pub head: &'a [u8],
    pub body: &'a [u8],
    pub size: u64,
    pub keep_alive: bool,
}

/// What is known of the request whose answer is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `HEAD`: the answer has no body whatever its head says.
    pub head: bool,
    /// Somebody checks the body: it is kept. Else the beginning is kept if the status is no success.
    pub body: bool,
    /// Most bytes of a checked body that are kept: with more of them it is wrong already.
    pub most: usize,
}

/// Where a reader stands after some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More must come. `skip`: so many bytes of a body follow that nobody looks at.
    More { skip: u64 },
    /// `100 Continue`: the request's body may follow.
    Continue,
    /// The answer is whole.
    Whole,
}

/// A head that was parsed before: servers repeat theirs, and comparing is cheaper than parsing.
#[derive(Debug, Default)]
pub struct Template {
    bytes: Vec<u8>,
    head: Option<Head>,
}

impl Template {
    /// The head at the beginning of `bytes` and its length, if it is whole.
    fn head(&mut self, bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
        if let Some(head) = self.head
            && bytes.starts_with(&self.bytes)
        {
            return Ok(Some((head, self.bytes.len())));
        }
        let parsed = parse_head(bytes)?;
        if let Some((head, length)) = parsed
            && head.status >= 200
        {
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[..length]);
            self.head = Some(head);
        }
        Ok(parsed)
    }

    /// A sized answer that is whole in `bytes` and nothing else: the usual case, with nothing copied.
    pub fn whole<'a>(&mut self, bytes: &'a [u8], asked: Asked) -> Option<Whole<'a>> {
        let (head, length) = self.head(bytes).ok()??;
        let BodyLength::Sized(size) = body_length(head, asked) else { return None };
        let rest = bytes.len() - length;
        if head.status < 200 || size != rest as u64 {
            return None;
        }
        let (head_bytes, body) = bytes.split_at(length);
        Some(Whole { status: head.status, head: head_bytes, body, size, keep_alive: head.keep_alive })
    }
}

/// Reads one answer from bytes that come in any pieces.
#[derive(Debug, Default)]
pub struct AnswerReader {
    head_bytes: Vec<u8>,
    head: Option<Head>,
    interim: u32,
    stage: Stage,
    line: Vec<u8>,
    trailers: usize,
    body: Vec<u8>,
    size: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    Sized {
        left: u64,
    },
    ChunkSize,
    ChunkData {
        left: u64,
    },
    /// Bytes of the line end after a chunk that are still to come: 2 or 1.
    ChunkEnd {
        left: u8,
    },
    Trailers,
    UntilClose,
    /// Something else says where it ends: HTTP/2's frames.
    Framed,
    Done,
}

impl AnswerReader {
    /// Ready for the next answer.
    pub fn clear(&mut self) {
        self.head_bytes.clear();
        self.head = None;
        self.interim = 0;
        self.stage = Stage::Head;
        self.line.clear();
        self.trailers = 0;
        self.body.clear();
        self.size = 0;
    }

    /// Memory this reader holds, in bytes.
    pub fn capacity(&self) -> usize {
        self.head_bytes.capacity() + self.line.capacity() + self.body.capacity()
    }

    /// What has come so far, for showing a wrong answer.
    pub fn received(&self) -> &[u8] {
        if self.body.is_empty() { &self.head_bytes } else { &self.body }
    }

    /// The status, once the head is read.
    pub fn status(&self) -> Option<u16> {
        self.head.map(|head| head.status)
    }

    /// Whether any byte of the answer has come.
    pub fn began(&self) -> bool {
        self.interim > 0 || self.head.is_some() || !self.head_bytes.is_empty()
    }

    /// Takes more bytes. `Progress::Whole` when the answer is whole and nothing follows it.
    pub fn push(
        &mut self,
        mut bytes: &[u8],
        asked: Asked,
        template: &mut Template,
    ) -> Result<Progress, Malformed> {
        let mut resume = false;
        loop {
            if self.stage == Stage::Head {
                match self.read_head(bytes, asked, template)? {
                    None if resume => return Ok(Progress::Continue),
                    None => return Ok(Progress::More { skip: 0 }),
                    Some((status, rest)) if status < 200 => {
                        resume |= status == 100;
                        bytes = rest;
                        continue;
                    }
                    Some((_, rest)) => bytes = rest,
                }
            }
            bytes = self.read_body(bytes, asked)?;
            return match self.stage {
                Stage::Done if bytes.is_empty() => Ok(Progress::Whole),
                Stage::Done => Err(Malformed::Excess),
                Stage::Sized { left } if !self.keeps(asked) => Ok(Progress::More { skip: left }),
                _ => Ok(Progress::More { skip: 0 }),
            };
        }
    }

    /// Begins an answer whose head something else has parsed; `head_bytes` is for showing it.
    pub fn begin_framed(&mut self, status: u16, head_bytes: &[u8]) {
        self.head_bytes.extend_from_slice(head_bytes);
        self.head = Some(Head { status, body: BodyLength::UntilClose, keep_alive: true });
        self.stage = Stage::Framed;
    }

    /// Takes a part of the body of such an answer.
    pub fn push_framed(&mut self, bytes: &[u8], asked: Asked) {
        self.take_body(bytes, u64::MAX, asked);
    }

    /// So many bytes of the body were thrown away by the kernel.
    pub fn skipped(&mut self, bytes: u64) -> Progress {
        self.size += bytes;
        if let Stage::Sized { left } = &mut self.stage {
            *left = left.saturating_sub(bytes);
            if *left > 0 {
                return Progress::More { skip: *left };
            }
            self.stage = Stage::Done;
            return Progress::Whole;
        }
        Progress::More { skip: 0 }
    }

    /// The connection ended: whole only if the end of the connection is the end of the answer.
    pub fn end(&self) -> bool {
        self.stage == Stage::UntilClose
    }

    /// The answer, once it is whole.
    pub fn whole(&self) -> Option<Whole<'_>> {
        let head = self.head?;
        Some(Whole {
            status: head.status,
            head: &self.head_bytes,
            body: &self.body,
            size: self.size,
            keep_alive: head.keep_alive && self.stage != Stage::UntilClose,
        })
    }

    /// Whether the body is looked at, so that it can't be thrown away.
    fn keeps(&self, asked: Asked) -> bool {
        asked.body || self.head.is_none_or(|head| head.status >= 400)
    }

    /// Status and what follows the head, once it is whole.
    fn read_head<'a>(
        &mut self,
        bytes: &'a [u8],
        asked: Asked,
        template: &mut Template,
    ) -> Result<Option<(u16, &'a [u8])>, Malformed> {
        let before = self.head_bytes.len();
        let room = LARGEST_HEAD.saturating_sub(before);
        self.head_bytes.extend_from_slice(&bytes[..bytes.len().min(room + 1)]);
        let Some((head, length)) = template.head(&self.head_bytes)? else {
            return if self.head_bytes.len() > LARGEST_HEAD {
                Err(Malformed::HeadTooLarge)
            } else {
                Ok(None)
            };
        };
        if length > LARGEST_HEAD {
            return Err(Malformed::HeadTooLarge);
        }
        self.head_bytes.truncate(length);
        // The bytes before these had no whole head: its end lies in these.
        let rest = &bytes[length - before..];
        if head.status < 200 {
            self.interim += 1;
            if self.interim > MOST_INTERIM || head.status == 101 {
                return Err(Malformed::Interim);
            }
            self.head_bytes.clear();
            return Ok(Some((head.status, rest)));
        }
        self.head = Some(head);
        self.stage = match body_length(head, asked) {
            BodyLength::Sized(0) => Stage::Done,
            BodyLength::Sized(left) => Stage::Sized { left },
            BodyLength::Chunked => Stage::ChunkSize,
            BodyLength::UntilClose => Stage::UntilClose,
        };
        Ok(Some((head.status, rest)))
    }

    /// Reads as much of the body as is there, and returns what follows it.
    fn read_body<'a>(&mut self, mut bytes: &'a [u8], asked: Asked) -> Result<&'a [u8], Malformed> {
        while !bytes.is_empty() {
            match self.stage {
                Stage::Head | Stage::Framed | Stage::Done => break,
                Stage::UntilClose => bytes = self.take_body(bytes, u64::MAX, asked).0,
                Stage::Sized { left } => {
                    let (rest, left) = self.take_body(bytes, left, asked);
                    self.stage = if left == 0 { Stage::Done } else { Stage::Sized { left } };
                    bytes = rest;
                }
                Stage::ChunkSize => {
                    let Some(rest) = self.take_line(bytes)? else { return Ok(&[]) };
                    bytes = rest;
                    let left = chunk_size(&self.line)?;
                    self.line.clear();
                    self.stage = if left == 0 { Stage::Trailers } else { Stage::ChunkData { left } };
                }
                Stage::ChunkData { left } => {
                    let (rest, left) = self.take_body(bytes, left, asked);
                    self.stage =
                        if left == 0 { Stage::ChunkEnd { left: 2 } } else { Stage::ChunkData { left } };
                    bytes = rest;
                }
                Stage::ChunkEnd { left } => {
                    let expected = if left == 2 { b'\r' } else { b'\n' };
                    if bytes[0] != expected {
                        return Err(Malformed::Chunk);
                    }
                    self.stage = if left == 2 { Stage::ChunkEnd { left: 1 } } else { Stage::ChunkSize };
                    bytes = &bytes[1..];
                }
                Stage::Trailers => {
                    let Some(rest) = self.take_line(bytes)? else { return Ok(&[]) };
                    bytes = rest;
                    self.trailers += self.line.len();
                    if self.trailers > CHUNK_LINE {
                        return Err(Malformed::Chunk);
                    }
                    // An empty line ends the trailers; a trailer is a field like any other.
                    if self.line == b"\r\n" {
                        self.stage = Stage::Done;
                    } else if !self.line.contains(&b':') {
                        return Err(Malformed::Chunk);
                    }
                    self.line.clear();
                }
            }
        }
        Ok(bytes)
    }

    /// Takes at most `left` bytes of the body: what follows, and how many are still to come.
    fn take_body<'a>(&mut self, bytes: &'a [u8], left: u64, asked: Asked) -> (&'a [u8], u64) {
        let length = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (taken, rest) = bytes.split_at(length);
        self.size += length as u64;
        if self.keeps(asked) {
            let most = if asked.body { asked.most } else { SHOWN_BODY };
            let room = most.saturating_sub(self.body.len());
            self.body.extend_from_slice(&taken[..length.min(room)]);
        }
        (rest, if left == u64::MAX { left } else { left - length as u64 })
    }

    /// Adds to `line` up to a line feed; what follows it, once it is there.
    fn take_line<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<&'a [u8]>, Malformed> {
        let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let length = end.unwrap_or(bytes.len());
        if self.line.len() + length > CHUNK_LINE {
            return Err(Malformed::Chunk);
        }
        self.line.extend_from_slice(&bytes[..length]);
        Ok(end.map(|end| &bytes[end..]))
    }
}

/// RFC 9112, 7.1: hexadecimal digits, then perhaps extensions, then CR LF.
fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let line = line.strip_suffix(b"\r\n").ok_or(Malformed::Chunk)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let extension = line[digits..].iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    if digits == 0 || digits > 16 || extension.is_some_and(|&byte| byte != b';') {
        return Err(Malformed::Chunk);
    }
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| Malformed::Chunk)?;
    // A length near the end of the number range can't be a body's: it would overflow the count.
    u64::from_str_radix(text, 16).ok().filter(|&size| size < u64::MAX / 2).ok_or(Malformed::Chunk)
}

/// RFC 9112, 6.3: some answers have no body, whatever their head says.
fn body_length(head: Head, asked: Asked) -> BodyLength {
    if asked.head || matches!(head.status, 204 | 304) { BodyLength::Sized(0) } else { head.body }
}

fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let mut headers = [const { MaybeUninit::uninit() }; USUAL_HEADERS];
    match parse_with(bytes, &mut headers) {
        Err(httparse::Error::TooManyHeaders) => {
            let mut headers = vec![MaybeUninit::uninit(); MOST_HEADERS];
            parse_with(bytes, &mut headers).map_err(|_| Malformed::Head)?.transpose()
        }
        parsed => parsed.map_err(|_| Malformed::Head)?.transpose(),
    }
}

type Parsed = Option<Result<(Head, usize), Malformed>>;

fn parse_with<'a>(
    bytes: &'a [u8],
    headers: &mut [MaybeUninit<httparse::Header<'a>>],
) -> Result<Parsed, httparse::Error> {
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let length = match config.parse_response_with_uninit_headers(&mut response, bytes, headers)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    // Below 100 there is no class of status (RFC 9110, 15), and an interim answer least of all.
    let Some(status) = response.code.filter(|&status| status >= 100) else {
        return Ok(Some(Err(Malformed::Head)));
    };
    let head = describe(status, response.version == Some(1), response.headers);
    Ok(Some(head.map(|head| (head, length))))
}

fn describe(status: u16, one_one: bool, headers: &[httparse::Header<'_>]) -> Result<Head, Malformed> {
    let mut body = BodyLength::UntilClose;
    let (mut close, mut keep_alive) = (false, one_one);
    for header in headers {
        let text = || std::str::from_utf8(header.value).map_err(|_| Malformed::Head).map(str::trim);
        if header.name.eq_ignore_ascii_case("content-length") {
            let digits = text()?;
            // `parse` would take a sign.
            if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(Malformed::Head);
            }
            let size = digits.parse().map_err(|_| Malformed::Head)?;
            if matches!(body, BodyLength::Sized(other) if other != size) {
                return Err(Malformed::Head);
            }
            // RFC 9112, 6.3: Transfer-Encoding overrides Content-Length.
            if body != BodyLength::Chunked {
                body = BodyLength::Sized(size);
            }
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if !text()?.eq_ignore_ascii_case("chunked") {
                return Err(Malformed::Head);
            }
            body = BodyLength::Chunked;
        } else if header.name.eq_ignore_ascii_case("connection") {
            let text = text()?;
            let has = |word: &str| text.split(',').any(|part| part.trim().eq_ignore_ascii_case(word));
            // Several such headers are one list (RFC 9110, 5.3), in which `close` wins (RFC 9112, 9.3).
            close |= has("close");
            keep_alive |= has("keep-alive");
        }
    }
    Ok(Head { status, body, keep_alive: keep_alive && !close })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BODY: Asked = Asked { head: false, body: true, most: 1000 };
    const ANY: Asked = Asked { head: false, body: false, most: 0 };

    /// Status, body kept, size, whether the connection stays.
    type Read = (u16, Vec<u8>, u64, bool);

    fn read(pieces: &[&[u8]], asked: Asked) -> Result<Option<Read>, Malformed> {
        let (mut reader, mut template) = (AnswerReader::default(), Template::default());
        let mut progress = Progress::More { skip: 0 };
        for piece in pieces {
            progress = reader.push(piece, asked, &mut template)?;
        }
        if progress != Progress::Whole {
            return Ok(None);
        }
        Ok(reader.whole().map(|whole| (whole.status, whole.body.to_vec(), whole.size, whole.keep_alive)))
    }

    const SIZED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: 1\r\n\r\n";

    proptest! {
        #[test]
        fn an_answer_is_the_same_in_any_pieces(
            cuts in proptest::collection::vec(0usize..130, 0..6), chunked: bool, body: bool,
        ) {
            let bytes = if chunked { CHUNKED } else { SIZED };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let pieces: Vec<&[u8]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
            let asked = Asked { body, ..BODY };
            let kept = if body { b"hello".to_vec() } else { Vec::new() };
            prop_assert_eq!(read(&pieces, asked), Ok(Some((200, kept, 5, true))));
        }

        #[test]
        fn nonsense_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let (mut reader, mut template) = (AnswerReader::default(), Template::default());
            let cut = cut.min(bytes.len());
            let _ = Template::default().whole(&bytes, ANY);
            if reader.push(&bytes[..cut], BODY, &mut template).is_ok() {
                let _ = reader.push(&bytes[cut..], BODY, &mut template);
            }
        }

        /// Real answers with bytes changed, cut and doubled: nearer to what a broken server sends than noise.
        #[test]
        fn broken_answers_never_panic(
            edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0u8..4), 1..6),
            chunked: bool, body: bool,
        ) {
            let mut bytes = if chunked { CHUNKED.to_vec() } else { SIZED.to_vec() };
            for (index, byte, kind) in edits {
                if bytes.is_empty() { break; }
                let at = index.index(bytes.len());
                match kind {
                    0 => bytes[at] = byte,
                    1 => { bytes.remove(at); }
                    2 => bytes.insert(at, byte),
                    _ => bytes.truncate(at),
                }
            }
            let (mut reader, mut template) = (AnswerReader::default(), Template::default());
            let quick = Template::default().whole(&bytes, ANY).map(|whole| (whole.status, whole.size));
            let slow = reader.push(&bytes, Asked { body, ..BODY }, &mut template);
            if let Some(quick) = quick {
                prop_assert_eq!(slow, Ok(Progress::Whole));
                prop_assert_eq!(reader.whole().map(|whole| (whole.status, whole.size)), Some(quick));
            }
        }
    }

    #[test]
    fn an_answer_may_have_many_headers() {
        for count in [95, 96, 97, 120, 1500, MOST_HEADERS - 1] {
            let cookies = "Set-Cookie: 1\r\n".repeat(count.min(3000));
            let text = format!("HTTP/1.1 200 OK\r\n{cookies}Content-Length: 5\r\n\r\nhello");
            let whole = Ok(Some((200, b"hello".to_vec(), 5, true)));
            assert_eq!(read(&[text.as_bytes()], BODY), whole, "{count}");
            let half = text.len() / 2;
            assert_eq!(
                read(&[&text.as_bytes()[..half], &text.as_bytes()[half..]], BODY),
                whole,
                "{count} in two"
            );
        }
    }

    #[test]
    fn what_closes_and_what_is_malformed() {
        let close = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(&[close], BODY), Ok(Some((200, vec![], 0, false))));
        let old = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(&[old], BODY), Ok(Some((200, vec![], 0, false))));
        let kept = b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(&[kept], BODY), Ok(Some((200, vec![], 0, true))));
        let twice =
            b"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: X-Other\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(read(&[twice], BODY), Ok(Some((200, vec![], 0, false))), "`close` in the first of two");
        assert_eq!(read(&[b"HTTP/1.1 204 No Content\r\n\r\n"], BODY), Ok(Some((204, vec![], 0, true))));
        let long = [b"HTTP/1.1 200 OK\r\nX: ", vec![b'x'; LARGEST_HEAD].as_slice()].concat();
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1000);
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
        let trailers = [chunked.as_slice(), &b"A: b\r\n".repeat(2000)].concat();
        for (bad, why) in [
            (&b"SSH-2.0\r\n\r\n"[..], Malformed::Head),
            (b"HTTP/1.1 099 X\r\n\r\n", Malformed::Head),
            (trailers.as_slice(), Malformed::Chunk),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello!", Malformed::Excess),
            (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Malformed::Head),
            (b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n", Malformed::Head),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", Malformed::Head),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Malformed::Chunk),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n", Malformed::Chunk),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", Malformed::Chunk),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nmore", Malformed::Excess),
            (long.as_slice(), Malformed::HeadTooLarge),
            (interim.as_slice(), Malformed::Interim),
        ] {
            let beginning = String::from_utf8_lossy(&bad[..bad.len().min(100)]).into_owned();
            assert_eq!(read(&[bad], BODY), Err(why), "{beginning}");
        }
    }

    #[test]
    fn without_a_length_the_end_of_the_connection_ends_it() {
        let (mut reader, mut template) = (AnswerReader::default(), Template::default());
        let bytes = b"HTTP/1.1 200 OK\r\n\r\nall of it";
        assert_eq!(reader.push(bytes, BODY, &mut template), Ok(Progress::More { skip: 0 }));
        assert!(reader.end());
        let whole = reader.whole().unwrap();
        assert_eq!((whole.body, whole.keep_alive), (&b"all of it"[..], false));
    }

    #[test]
    fn no_more_of_a_body_is_kept_than_the_check_needs() {
        let (mut reader, mut template) = (AnswerReader::default(), Template::default());
        reader.push(b"HTTP/1.1 200 OK\r\n\r\n", BODY, &mut template).unwrap();
        for _ in 0..1000 {
            reader.push(&[b'x'; 1000], BODY, &mut template).unwrap();
        }
        let whole = reader.whole().unwrap();
        assert_eq!((whole.body.len(), whole.size), (BODY.most, 1_000_000));
        assert!(reader.capacity() < 10_000);
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(read(&[bytes], Asked { head: true, ..BODY }), Ok(Some((200, vec![], 0, true))));
        assert_eq!(read(&[bytes], BODY), Ok(None));
    }

    #[test]
    fn what_nobody_checks_may_be_skipped_in_the_kernel() {
        let (mut reader, mut template) = (AnswerReader::default(), Template::default());
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc";
        assert_eq!(reader.push(head, ANY, &mut template), Ok(Progress::More { skip: 99_997 }));
        assert_eq!(reader.skipped(99_000), Progress::More { skip: 997 });
        assert_eq!(reader.skipped(997), Progress::Whole);
        assert_eq!(reader.whole().unwrap().size, 100_000);
    }

    #[test]
    fn the_answer_to_expect_continue_is_told() {
        let (mut reader, mut template) = (AnswerReader::default(), Template::default());
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(reader.push(interim, BODY, &mut template), Ok(Progress::Continue));
        assert_eq!(reader.push(SIZED, BODY, &mut template), Ok(Progress::Whole));
    }
}
