//! Starts, readies, stops and kills whole trees of processes, and samples what they use.
//!
//! Each child is started by a *keeper*, a small process between dyno and the child (see [`keeper`]), so
//! that nothing survives dyno, however dyno dies. This room never measures load and never decides what
//! to start.

mod cgroup;
mod child;
mod error;
pub mod keeper;
pub mod machine;
mod news;
mod processes;
mod ready;
mod rescue;
mod throttle;

pub use cgroup::Accounting;
pub use child::{Child, Stopped, Supervisor, SupervisorOptions};
pub use error::SuperviseError;
pub use news::Exit;
pub use ready::Readiness;
pub use throttle::throttled_ns;
