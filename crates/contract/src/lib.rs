//! Room `contract`.
