//! The load engine: schedule in, counts and histograms out. Threads that own their connections, io_uring or epoll,
//! no lock. It knows nothing of Python, stacks or plans.
//!
//! Four times of a request are kept apart: *due* (by the schedule), *sent* (the first byte was handed to
//! the kernel), *first byte* and *done* (the kernel received the first and the last of the answer).
//! Latency counts from due. What the server makes wait (*blocked*) and what this program is late with
//! (*late*) are two histograms.

mod answer;
pub mod checks;
mod clock;
mod closed;
mod dialogue;
mod drive;
mod engine;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod intake;
mod open;
mod options;
mod pacing;
mod ready;
mod recorder;
mod request;
mod schedule;
mod trial;
mod wire;

pub use closed::ClosedSlice;
pub use dialogue::{Sequence, SequenceStep};
pub use drive::{Drive, DriveModel, Driven, News, drive};
pub use engine::{Answer, Engine, OnStop, Watcher};
pub use open::OpenSlice;
pub use options::{ClientCertificate, EngineOptions, LoadError, Protocol, TlsOptions, Trust};
pub use pacing::{Pacing, wake_up_cost};
pub use recorder::Interval;
pub use schedule::{Arrivals, Choice, Due, ENDLESS, Schedule, Stage};
pub use trial::Mark;
pub use wire::WireKind;
