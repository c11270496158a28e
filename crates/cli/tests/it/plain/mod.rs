//! What dyno does whatever the stack is, on one that needs the standard library alone: run, resume, die, and what bad luck meets.

mod runs;
