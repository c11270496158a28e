//! Pages, streams and metrics on loopback: what `dyno up` has up, and a run as it goes.
//!
//! Shows what it is told and changes nothing itself: what a person asks for goes to the [`Crew`]. It reads the event
//! stream or a run folder, never the engine. Who may ask is the matter of `guard` alone.

mod admin;
pub mod client;
mod guard;
mod metrics;
mod pages;
mod run;
mod server;
mod stream;
mod tail;

pub use admin::{Crew, Refusal};
pub use run::{RunBoard, RunView, watch};
pub use server::{Door, ServeError, Server, Site, cpu_ns};
