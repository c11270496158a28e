//! What must hold of the answer's reader, whatever bytes a server sends: no panic, bounded memory, the same result
//! however the bytes are cut, and the status that `httparse` reads. For the fuzzer and for tests; not in the product.

use crate::answer::{
    AnswerReader, Asked, CHUNK_LINE, LARGEST_HEAD, MOST_HEADERS, Malformed, Progress, SHOWN_BODY, Template,
};

/// What a reader made of bytes, after which the connection is silent.
#[derive(Debug, PartialEq, Eq)]
enum Read {
    /// A whole answer: status, what was kept of the body, its size, whether the connection stays.
    Whole(u16, Vec<u8>, u64, bool),
    /// An answer that isn't whole: its status, if that was read, its size so far, and whether the end of the
    /// connection would end it.
    Part(Option<u16>, u64, bool),
    /// No answer.
    Bad(Malformed),
}

/// Requests whose answers are read otherwise.
const ASKED: [Asked; 3] = [
    Asked { head: false, body: true, most: 1000 },
    Asked { head: false, body: false, most: 0 },
    Asked { head: true, body: false, most: 0 },
];

/// An answer that was read before.
const OTHER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes";

/// Checks everything that must hold of these bytes.
///
/// # Panics
/// Something doesn't hold.
pub fn answer(bytes: &[u8]) {
    for asked in ASKED {
        let once = read(&[bytes], asked, false, &mut Template::default());
        // Heads are compared with those that were read before: that must not change a result.
        let mut template = Template::default();
        read(&[OTHER], asked, false, &mut template);
        for pieces in cuts(bytes) {
            assert_eq!(read(&pieces, asked, false, &mut template), once, "{asked:?}, other pieces");
            let skipped = read(&pieces, asked, true, &mut template);
            assert_eq!(skipped, once, "{asked:?}, with what nobody looks at thrown away");
        }
        let mut fresh = Template::default();
        for template in [&mut fresh, &mut template] {
            if let Some(whole) = template.whole(bytes, asked) {
                let kept = if asked.body || whole.status >= 400 { whole.body } else { b"" };
                let kept = &kept[..kept.len().min(if asked.body { asked.most } else { SHOWN_BODY })];
                let quick = Read::Whole(whole.status, kept.to_vec(), whole.size, whole.keep_alive);
                assert_eq!(quick, once, "{asked:?}, without a copy");
            }
        }
        agrees_with_httparse(bytes, &once);
    }
}

/// Reads bytes in pieces. With `skips`, those that the reader doesn't want to see are only counted.
fn read(pieces: &[&[u8]], asked: Asked, skips: bool, template: &mut Template) -> Read {
    let mut reader = AnswerReader::default();
    let mut progress = Progress::More { skip: 0 };
    for &piece in pieces {
        let mut rest = piece;
        while !rest.is_empty() {
            progress = match progress {
                // The next answer's, and nobody asked for that.
                Progress::Whole => return Read::Bad(Malformed::Excess),
                Progress::More { skip } if skip > 0 && skips => {
                    let length = usize::try_from(skip).map_or(rest.len(), |skip| skip.min(rest.len()));
                    rest = &rest[length..];
                    reader.skipped(length as u64)
                }
                _ => match reader.push(std::mem::take(&mut rest), asked, template) {
                    Ok(progress) => progress,
                    Err(malformed) => return Read::Bad(malformed),
                },
            };
            let kept = LARGEST_HEAD + 1 + CHUNK_LINE + if asked.body { asked.most } else { SHOWN_BODY };
            assert!(reader.capacity() <= 2 * kept, "{} bytes of memory", reader.capacity());
        }
    }
    match reader.whole() {
        Some(whole) if progress == Progress::Whole => {
            Read::Whole(whole.status, whole.body.to_vec(), whole.size, whole.keep_alive)
        }
        whole => Read::Part(reader.status(), whole.map_or(0, |whole| whole.size), reader.end()),
    }
}

/// Ways to cut bytes: one by one, in pieces of seven, and by chance, the same for the same bytes.
fn cuts(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    /// A head is parsed again with each piece: beyond this, single bytes take too long.
    const FINE: usize = 2000;
    let fine = bytes.len().min(FINE);
    let (first, rest) = bytes.split_at(fine);
    let mut ways: Vec<Vec<&[u8]>> =
        [1, 7].map(|size| first.chunks(size).chain(rest.chunks(1000)).collect()).into();
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    for _ in 0..3 {
        let (mut pieces, mut left) = (Vec::new(), bytes);
        while !left.is_empty() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (piece, after) = left.split_at(left.len().min(1 + (state >> 33) as usize % 100));
            pieces.push(piece);
            left = after;
        }
        ways.push(pieces);
    }
    ways
}

/// The status is that of the first head that isn't an interim one; where `httparse` finds no head, there is none.
fn agrees_with_httparse(mut bytes: &[u8], read: &Read) {
    loop {
        let mut headers = vec![httparse::EMPTY_HEADER; MOST_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        match (response.parse(bytes), response.code, read) {
            (Ok(httparse::Status::Complete(length)), Some(100..200), _) => bytes = &bytes[length..],
            (Ok(httparse::Status::Complete(_)), Some(code), Read::Whole(status, ..)) => {
                return assert_eq!(*status, code);
            }
            (Ok(httparse::Status::Complete(_)), Some(code), Read::Part(status, ..)) => {
                return assert_eq!(*status, Some(code));
            }
            (Ok(httparse::Status::Partial), _, Read::Part(None, ..)) | (_, _, Read::Bad(_)) => return,
            (parsed, code, read) => panic!("httparse says {parsed:?} {code:?}, and the reader {read:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::{prelude::*, sample::Index};

    use super::*;

    /// The corpus: name and bytes, in the order of the names.
    fn corpus() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/answer");
        let mut corpus: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap())
            .map(|file| (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap()))
            .collect();
        corpus.sort();
        corpus
    }

    #[test]
    fn every_answer_of_the_corpus_is_read_as_its_name_says() {
        let corpus = corpus();
        assert!(corpus.len() >= 30, "{} files", corpus.len());
        for (name, bytes) in corpus {
            answer(&bytes);
            let read = read(&[&bytes], ASKED[0], false, &mut Template::default());
            let is_whole = matches!(&read, Read::Whole(..) | Read::Part(.., true));
            match name.split_once('-').unwrap().0 {
                "right" | "wrong" => assert!(is_whole, "{name}: {read:?}"),
                "bad" => assert!(!is_whole, "{name}: {read:?}"),
                // What the fuzzer found has no name that says more.
                "found" => {}
                other => panic!("{name}: {other} isn't right, wrong, bad or found"),
            }
        }
    }

    /// A change that brings bytes near to another file, or makes them larger, smaller or other.
    fn mutate(bytes: &mut Vec<u8>, other: &[u8], (kind, at, byte): (u8, Index, u8)) {
        if bytes.is_empty() {
            bytes.push(byte);
        }
        let at = at.index(bytes.len());
        match kind {
            0 => bytes[at] = byte,
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, byte),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at.., other.iter().skip(at).copied())),
            5 => drop(bytes.splice(at..at, other.iter().copied())),
            6 => bytes.extend_from_within(at..),
            _ => bytes[at] = b"\r\n0:;, \t"[usize::from(byte) % 8],
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn mutations_of_the_corpus_hold(
            one: Index, other: Index,
            changes in proptest::collection::vec((0u8..8, any::<Index>(), any::<u8>()), 1..6),
        ) {
            static CORPUS: std::sync::OnceLock<Vec<(String, Vec<u8>)>> = std::sync::OnceLock::new();
            let corpus = CORPUS.get_or_init(corpus);
            let mut bytes = one.get(corpus).1.clone();
            for change in changes {
                mutate(&mut bytes, &other.get(corpus).1, change);
            }
            answer(&bytes);
        }
    }
}
