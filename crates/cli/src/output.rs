//! Standard output: what other programs read.

use std::io::Write;

use crate::exit::Error;

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
