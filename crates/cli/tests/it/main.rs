//! The program `dyno` as people start it: every command, on servers of known behaviour and on real stacks.
//!
//! Tests run in order of name, two at a time on two CPUs. `contract` fetches the parts that all others need; `plain` and `real`
//! run beside each other; `timed` comes last, and each of its sessions has the machine alone.
#![allow(clippy::unwrap_used, missing_docs)]

mod bench;
mod catalogue;
mod choice;
mod contract;
mod evidence;
mod history;
mod load;
mod pages_of_help;
mod plain;
mod preparation;
mod real;
mod timed;
