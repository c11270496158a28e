//! The load engine: schedule in, counts and histograms out. One thread that owns its connections, epoll, no
//! lock. It knows nothing of Python, stacks or plans.
//!
//! Four times of a request are kept apart: *due* (by the schedule), *sent* (the first byte was handed to
//! the kernel), and *done* (the last byte of the answer was read); *first byte* comes with the next engine.
//! Latency counts from due. What the server makes wait (*blocked*) and what this program is late with
//! (*late*) are two histograms.

pub mod checks;
mod clock;
mod closed;
mod connection;
mod engine;
mod http;
mod open;
mod recorder;
mod schedule;

pub use closed::ClosedSlice;
pub use engine::{Answer, Engine, EngineOptions, LoadError, Mark};
pub use open::OpenSlice;
pub use schedule::Schedule;
