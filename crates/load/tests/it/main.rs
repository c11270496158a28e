//! The load engine against servers whose behaviour is known.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;
mod faults;
mod protocols;
