//! The terminal's side: asks the dyno that is up over its unix socket.

use std::{io, path::Path, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;

use crate::server::short_path;

/// Time for a socket to accept.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the dyno that is up can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no dyno is up with the cache {home}; bring one up: dyno up flask/gunicorn")]
    NotUp {
        /// The cache.
        home: String,
    },
    /// It answers and refuses, in its own words.
    #[error("{words}")]
    Refused {
        /// The answer's status.
        status: u16,
        /// What it said.
        words: String,
    },
    /// The conversation broke.
    #[error("the dyno that is up doesn't answer: {0}")]
    Broken(String),
}

/// Asks `method target`, and gives each piece of the answer to `take` as it comes.
///
/// # Errors
/// Nobody is up, or it refuses.
pub fn ask(
    home: &Path,
    folder: &Path,
    method: &str,
    target: &str,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), ClientError> {
    let broken = |error: io::Error| ClientError::Broken(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(broken)?;
    runtime.block_on(conversation(home, folder, method, target, take))
}

/// As [`ask`], with the whole answer read as JSON.
///
/// # Errors
/// As [`ask`]; or the answer is something else.
pub fn ask_json<T: DeserializeOwned>(
    home: &Path,
    folder: &Path,
    method: &str,
    target: &str,
) -> Result<T, ClientError> {
    let mut bytes = Vec::new();
    ask(home, folder, method, target, &mut |piece| bytes.extend_from_slice(piece))?;
    serde_json::from_slice(&bytes).map_err(|error| ClientError::Broken(error.to_string()))
}

async fn conversation(
    home: &Path,
    folder: &Path,
    method: &str,
    target: &str,
    take: &mut dyn FnMut(&[u8]),
) -> Result<(), ClientError> {
    let not_up = || ClientError::NotUp { home: home.display().to_string() };
    let broken = |error: &dyn std::error::Error| ClientError::Broken(error.to_string());
    let (_open, path) = short_path(folder).map_err(|_| not_up())?;
    let connect = tokio::time::timeout(PATIENCE, tokio::net::UnixStream::connect(path));
    let stream = connect.await.map_err(|error| broken(&error))?.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => not_up(),
        _ => broken(&error),
    })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    let request = Request::builder().method(method).uri(target).header("host", "dyno").body(Body::empty());
    let request = request.map_err(|error| broken(&error))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut words = Vec::new();
    while let Some(frame) = body.frame().await {
        let piece: Bytes = frame.map_err(|error| broken(&error))?.into_data().unwrap_or_default();
        if status == StatusCode::OK { take(&piece) } else { words.extend_from_slice(&piece) }
    }
    if status == StatusCode::OK {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&words).trim().to_owned();
    Err(ClientError::Refused { status: status.as_u16(), words })
}
