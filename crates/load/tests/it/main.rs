//! The load engine against servers whose behaviour is known.

mod engine;
mod faults;
mod protocols;
