//! A run's page, in a browser and with hostile folders.
#![allow(clippy::unwrap_used, missing_docs)]

mod browser;
mod hostile;
mod watched;
