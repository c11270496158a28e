//! What people read: tables, pages in a real browser, histories.

mod browser;
mod history;
mod report;
