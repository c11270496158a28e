//! Files that are there whole or not at all.

use std::{fs::File, io::Write, path::Path};

use crate::RecordError;

/// Writes a file so that a reader, or a crash at any moment, sees the old content or the new, never a part:
/// a temporary file in the same folder, flushed to the disk, then renamed over the name.
///
/// # Errors
/// The disk refuses (full, read-only, no such folder); the temporary file is removed.
pub fn write_atomically(path: &Path, content: &[u8]) -> Result<(), RecordError> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(folder)?;
        file.write_all(content)?;
        let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(readable)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|source| RecordError::Io { path: path.to_owned(), source })
}
