//! What measures time, and so has the machine alone.

mod capacity;
mod gate;
mod sessions;
mod truth;
