//! A broker of dyno's own that can be started, whichever program it is: its folder, its password, and how it is asked
//! whether it is up.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use dyno_model::child::ChildSpec;
use rand::Rng;

use crate::{Context, embedded::remove_stale, error::ProvisionError};

/// A broker to start, with a folder of its own that is removed on drop.
#[derive(Debug)]
pub struct EmbeddedBroker {
    /// How to start it.
    pub child: ChildSpec,
    /// Its address, password included.
    pub url: String,
    pub(crate) address: SocketAddr,
    pub(crate) question: Vec<u8>,
    pub(crate) answer: &'static [u8],
    pub(crate) _folder: BrokerFolder,
}

/// Removed on drop; only dyno's user enters it.
#[derive(Debug)]
pub(crate) struct BrokerFolder(PathBuf);

impl Drop for BrokerFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(1);

impl BrokerFolder {
    /// A new one in the cache.
    pub fn new(context: Context<'_>) -> Result<Self, ProvisionError> {
        let brokers = context.home.folder("brokers")?;
        remove_stale(&brokers);
        let number: u32 = rand::rng().random();
        let path = brokers.join(format!("{}-{number:08x}", std::process::id()));
        fs::create_dir(&path).map_err(ProvisionError::io(&path))?;
        // From here on the folder goes when this value goes.
        let folder = Self(path);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))
            .map_err(ProvisionError::io(folder.path()))?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A file in it, of this mode: settings belong there, for arguments can be read by every user of the machine.
    pub fn write(&self, name: &str, mode: u32, text: &str) -> Result<PathBuf, ProvisionError> {
        let path = self.0.join(name);
        let mut options = fs::File::options();
        let created = options.write(true).create_new(true).mode(mode).open(&path);
        created.and_then(|mut file| file.write_all(text.as_bytes())).map_err(ProvisionError::io(&path))?;
        Ok(path)
    }
}

/// Letters and digits.
pub(crate) fn password() -> String {
    (0..24).map(|_| char::from(rand::rng().sample(rand::distr::Alphanumeric))).collect()
}

impl EmbeddedBroker {
    /// Whether it answers.
    ///
    /// # Errors
    /// What it says instead of what one that is up says.
    pub fn ping(&self) -> Result<(), String> {
        let words = |error: std::io::Error| error.to_string();
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE).map_err(words)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(words)?;
        stream.write_all(&self.question).map_err(words)?;
        let mut told = Vec::new();
        let mut buffer = [0; 512];
        while !told.windows(self.answer.len()).any(|window| window == self.answer) {
            let count = stream.read(&mut buffer).map_err(words)?;
            if count == 0 {
                return Err(String::from_utf8_lossy(&told).trim().to_owned());
            }
            told.extend_from_slice(&buffer[..count]);
        }
        Ok(())
    }
}
