//! A server whose latency is known, what load generators report of it, and how far that is from the truth.
//!
//! The server answers by a script and records of every request when the kernel received it and when its answer was
//! written. With the schedule of due times that is the true latency of each request, whatever the machine did
//! meanwhile. This crate knows no load engine: whoever compares one brings its figures.

pub mod child;
mod http;
pub mod ideal;
pub mod pacing;
pub mod record;
pub mod rivals;
pub mod scenario;
pub mod server;
mod stamps;
pub mod table;
pub mod truth;
