//! What people read: tables, pages in a real browser, histories.
#![allow(clippy::unwrap_used, missing_docs)]

mod browser;
mod history;
mod report;
