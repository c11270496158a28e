//! The one stream of events that a run tells, for progress displays. It decides nothing.

use crate::{Operation, StackName, warning::Warning};

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// An outside command is about to run.
    Command {
        /// Program and arguments.
        argv: Vec<String>,
    },
    /// A step of the run begins.
    Step {
        /// Which.
        step: Step,
        /// What exactly, in a few words; may be empty.
        detail: String,
    },
    /// A stack is ready, or a part of the preparation has begun or ended.
    Preparing {
        /// Stacks that are ready, or can't be.
        ready: u64,
        /// Stacks in all.
        total: u64,
        /// What is being fetched, built or started: stacks, and parts that all share. May be empty.
        on_the_way: Vec<String>,
        /// Time since the preparation began, in seconds.
        elapsed_s: f64,
    },
    /// A part of a step was done.
    Progress {
        /// Parts done.
        done: u64,
        /// Parts in all.
        total: u64,
        /// Time left of the whole run, in seconds, when it is known.
        left_s: Option<f64>,
        /// The stack at work, if one is.
        stack: Option<StackName>,
        /// The operation at work, if one is.
        operation: Option<Operation>,
    },
    /// Something for a person to read that isn't a failure.
    Note(String),
    /// Something suspicious.
    Warning(Warning),
}

/// The steps of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Interpreters, packages, toolchains, database, fronts.
    Prepare,
    /// The contract's cases.
    Prove,
    /// Blocks.
    Measure,
    /// Estimates and report.
    Compare,
}

impl Step {
    /// Name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Prove => "prove",
            Self::Measure => "measure",
            Self::Compare => "compare",
        }
    }
}

/// Who listens to events.
pub type Listener<'a> = dyn Fn(Event) + Sync + 'a;
