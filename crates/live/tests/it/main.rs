//! A run's page, in a browser and with hostile folders.

mod browser;
mod hostile;
mod watched;
