//! The program `dyno`.
fn main() {}
