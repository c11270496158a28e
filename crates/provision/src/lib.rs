//! Room `provision`.
