//! Standard output: what other programs read.

use std::io::{IsTerminal, Write};

use dyno_report::{COLUMNS, Screen};

use crate::exit::Error;

/// What standard output can show: a file or a pipe gets no colour and 80 columns.
pub fn screen() -> Screen {
    let terminal = std::io::stdout().is_terminal();
    let size = console::Term::stdout().size_checked().filter(|_| terminal);
    Screen {
        color: terminal && std::env::var_os("NO_COLOR").is_none(),
        columns: size.map_or(COLUMNS, |(_, columns)| usize::from(columns)),
    }
}

/// Writes text. A reader that closes the pipe, as `head` does, has seen enough: that is no error, and no panic as of `print!`.
///
/// # Errors
/// The output can't be written for another reason, a full disk for instance.
pub fn print(text: &str) -> Result<(), Error> {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
