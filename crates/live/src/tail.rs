//! The end of a log that grows. The file is the buffer: a reader that is slow costs no memory.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};

/// Most bytes that are read at once, and how far back the last lines are looked for.
const PIECE: u64 = 64 * 1024;

/// A place in a log.
#[derive(Clone, Debug)]
pub struct Tail {
    path: PathBuf,
    offset: u64,
}

impl Tail {
    /// At a byte of the file, for instance where an earlier reader stopped.
    pub const fn at(path: PathBuf, offset: u64) -> Self {
        Self { path, offset }
    }

    /// Before the last `lines` lines, as far as they are within the last 64 KiB.
    pub fn last(path: PathBuf, lines: usize) -> Self {
        let start = before_last(&path, lines).unwrap_or(0);
        Self { path, offset: start }
    }

    /// Where it is, in bytes.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The whole lines that were added, at most 64 KiB of them, lossily as UTF-8; `None` when there is nothing new.
    pub fn read(&mut self) -> io::Result<Option<String>> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.offset {
            // Somebody emptied it.
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(PIECE).read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map(|at| at + 1);
        // A line that is longer than the piece comes in pieces.
        let length = whole.or_else(|| (bytes.len() as u64 == PIECE).then_some(bytes.len()));
        let Some(length) = length else { return Ok(None) };
        bytes.truncate(length);
        self.offset += length as u64;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

fn before_last(path: &PathBuf, lines: usize) -> io::Result<u64> {
    let mut file = File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(PIECE);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(PIECE).read_to_end(&mut bytes)?;
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends.collect();
    let first = ends.len().checked_sub(lines + 1).map_or(0, |index| ends[index]);
    Ok(start + first as u64)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn lines_come_once_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "one\ntwo\nthree\nfo").unwrap();
        let mut tail = Tail::last(path.clone(), 2);
        assert_eq!(tail.read().unwrap().unwrap(), "two\nthree\n");
        assert_eq!(tail.read().unwrap(), None, "a line that isn't whole waits");
        writeln!(File::options().append(true).open(&path).unwrap(), "ur").unwrap();
        let mut again = Tail::at(path.clone(), tail.offset());
        assert_eq!(tail.read().unwrap().unwrap(), "four\n");
        assert_eq!(again.read().unwrap().unwrap(), "four\n", "whoever comes back goes on where it was");
        fs::write(&path, "new\n").unwrap();
        assert_eq!(tail.read().unwrap().unwrap(), "new\n", "an emptied file begins again");
        assert_eq!(Tail::last(path, 100).read().unwrap().unwrap(), "new\n");
    }

    #[test]
    fn a_line_without_end_comes_in_pieces() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        fs::write(&path, "x".repeat(PIECE as usize + 5)).unwrap();
        let mut tail = Tail::at(path, 0);
        assert_eq!(tail.read().unwrap().unwrap().len(), PIECE as usize);
        assert_eq!(tail.read().unwrap(), None);
    }
}
