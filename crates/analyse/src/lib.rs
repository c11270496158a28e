//! Room `analyse`.
