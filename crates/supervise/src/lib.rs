//! Room `supervise`.
