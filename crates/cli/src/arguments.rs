//! Options as written.

mod calibrate;
pub mod capacity;
pub mod gate;
pub mod history;
mod load;
pub mod truth;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use dyno_model::{
    Operation, Rate, Span, StackPattern, UnitError,
    plan::{Plan, Pooler},
};
use dyno_provision::BrokerChoice;

pub use calibrate::CalibrateOptions;
pub use capacity::{CapacityOptions, ScaleOptions};
pub use history::HistoryOptions;
pub use load::{ArrivalsOption, ConnectionOptions, EngineOption, LoadOptions, ModelOptions, PacingOption};

/// A span of time above zero.
fn some_time(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error: UnitError| error.to_string())?;
    if span == Span::default() {
        return Err("it is no time at all: write one above zero, for instance `10s`".to_owned());
    }
    Ok(span)
}

const EXAMPLES: &str = "\
Examples:
  dyno run --setup             prepare everything, measure the default plan, write the report
  dyno run smoke               two stacks for a minute
  dyno compare flask/gunicorn flask/waitress    which is faster, and by how much?
  dyno verdict hypotheses/     which of these claims hold?
  dyno capacity flask/gunicorn --slo p99=50ms    how much can it carry?
  dyno scale flask/gunicorn --workers 1,2,4      what do more workers bring?
  dyno check flask/gunicorn    does this stack answer the contract?
  dyno up flask/uwsgi/nginx    bring one stack up and look around
  dyno ps, dyno logs -f        what is up, and what it logs; dyno down ends it
  dyno run --live              a page that shows the run as it goes
  dyno report runs/…           make a run's report again (--format md, csv, svg)
  dyno compare runs/… runs/…   two runs side by side
  dyno history flask/gunicorn  has it become slower over my runs?
  dyno load http://127.0.0.1:8000/ -c 64 -d 10s    load one URL
  dyno truth --quick           does the load engine report what is true?

Exit codes:
  0  done                          4  nothing could be measured, or the database refuses
  1  a stack fails the contract,   5  another dyno is at work with the same cache
     or a goal is missed
  2  wrong usage or plan           6  a file can't be written or read (a full disk)
  3  a part is missing             130  stopped by Ctrl-C; what was measured is kept";

/// A dynamometer for Python web APIs: which stack is faster, and how sure is that.
#[derive(Parser, Debug)]
#[command(name = "dyno", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Options of every command.
#[derive(Args, Debug)]
pub struct Common {
    /// Don't echo outside commands, nor show progress
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to print on standard output
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// May download what is missing into dyno's cache
    #[arg(long, global = true)]
    pub setup: bool,
    /// A PostgreSQL of your own instead of the embedded one: postgres://user:password@host/database
    #[arg(long, global = true, value_name = "URL")]
    pub database: Option<String>,
    /// The broker under the workers instead of dyno's Redis: one of your own, redis://… or amqp://…, or `rabbitmq`, which
    /// dyno starts
    #[arg(long, global = true, value_name = "URL")]
    pub broker: Option<BrokerChoice>,
    /// Where runs are kept
    #[arg(long, global = true, value_name = "FOLDER", default_value = "runs")]
    pub runs: PathBuf,
}

/// What to print on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For machines; see `schemas/`.
    Json,
    /// Markdown, of a run's report
    Md,
    /// Every estimate as CSV, of a run's report
    Csv,
    /// One picture, of a run's report
    Svg,
}

impl Format {
    /// Whether only reports can be printed so.
    pub const fn of_reports(self) -> bool {
        matches!(self, Self::Md | Self::Csv | Self::Svg)
    }
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Prepare, prove, measure and compare the stacks of a plan
    Run(RunOptions),
    /// Which of two stacks is faster, and by how much: measures until that is known, or the budget is spent. Two kept runs
    /// are laid side by side
    Compare(Box<CompareOptions>),
    /// Decide claims: hypotheses as files, measured until they are supported, refuted, or the budget is spent
    Verdict(VerdictOptions),
    /// How often a stack is told from itself, and a known slowdown found: sessions that anybody can repeat
    Calibrate(Box<CalibrateOptions>),
    /// The highest rate at which a stack meets an objective, with its interval
    #[command(after_help = capacity::CAPACITY_CODES)]
    Capacity(Box<CapacityOptions>),
    /// How throughput grows with worker processes, and what was the limit
    #[command(after_help = capacity::SCALE_CODES)]
    Scale(Box<ScaleOptions>),
    /// For CI: is a stack slower than in another git revision? Exits 0 (no), 1 (yes) or 2 (no verdict)
    #[command(after_help = gate::CODES)]
    Gate(Box<gate::GateOptions>),
    /// The ratios of kept runs over time: where they may have changed, what differs there, and the duet that decides it
    #[command(after_help = history::CODES)]
    History(HistoryOptions),
    /// Prove that stacks answer the contract; time nothing
    Check(CheckOptions),
    /// Show stacks, operations and plans
    List(ListOptions),
    /// Show what this machine can and can't run, with the remedy
    Doctor,
    /// Make a run's report again from its folder, or lay two runs side by side
    Report(ReportOptions),
    /// Bring stacks up on their ports, to look around, until Ctrl-C or `dyno down`
    Up(UpOptions),
    /// Show the processes that `dyno up` has up
    Ps,
    /// Show what they log
    Logs(LogsOptions),
    /// Start processes that were stopped, or that back off after a crash
    Start(Names),
    /// Stop processes; they stay stopped
    Stop(Names),
    /// Stop processes and start them again
    Restart(Names),
    /// End what `dyno up` has up, and wait until nothing of it is left
    Down,
    /// Show a run's folder as a page that follows it
    Live(LiveOptions),
    /// Load one URL, or a mix of requests, and say what the numbers are worth
    Load(Box<LoadOptions>),
    /// Check load generators against servers whose latency is known: this one, and others that are installed
    Truth(truth::TruthOptions),
    /// Pin and hash what stacks are made of: `locks/` beside each `requirements.in`, one for each interpreter
    Lock(LockOptions),
    /// Write down what is really installed, a file for each interpreter, so that a change shows in a review
    Freeze(FreezeOptions),
    /// Print the JSON Schemas of the machine formats
    Schema,
    /// Print the completions of a shell, to be put where it looks for them
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages, one for each command
    Man {
        /// Where to
        folder: PathBuf,
    },
}

/// Options of `dyno run`.
#[derive(Args, Debug)]
pub struct RunOptions {
    /// A plan's name, or the path of a plan's file
    #[arg(default_value = "default", value_name = "PLAN")]
    pub plan: String,
    /// Go on with a run that was stopped: its name or folder
    #[arg(long, value_name = "RUN", conflicts_with_all = ["plan", "seed", "budget", "blocks"])]
    pub resume: Option<PathBuf>,
    /// Seed of every random choice, instead of the plan's
    #[arg(long)]
    pub seed: Option<u64>,
    /// Time for the whole run, instead of the plan's, for instance 20m
    #[arg(long, value_parser = some_time)]
    pub budget: Option<Span>,
    /// Fewest blocks, instead of the plan's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub blocks: Option<u32>,
    /// Show the run on a page as it goes; its port on loopback, 0 takes a free one
    #[arg(long, value_name = "PORT", num_args = 0..=1, default_missing_value = "9002", require_equals = true)]
    pub live: Option<u16>,
    /// Who may open the page.
    #[command(flatten)]
    pub page: PageOptions,
}

/// Options of `dyno compare`.
#[derive(Args, Debug)]
pub struct CompareOptions {
    /// The stack that is compared, for instance `flask/gunicorn:workers=4`; or a run's name or folder
    #[arg(value_name = "A")]
    pub a: String,
    /// The stack, or the run, that it is compared with
    #[arg(value_name = "B")]
    pub b: String,
    /// Operations, each with its own verdict
    #[arg(long = "operation", value_name = "NAME", default_values = ["types"])]
    pub operations: Vec<Operation>,
    /// Connections of the saturated closed loop [default: for each worker process 8, or as many as it has threads]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub connections: Option<u32>,
    /// Also compare latency at this offered rate, for instance 200/s
    #[arg(long)]
    pub rate: Option<Rate>,
    /// Time for the whole comparison
    #[arg(long, default_value = "20m", value_parser = some_time)]
    pub budget: Span,
    /// Seed of every random choice
    #[arg(long)]
    pub seed: Option<u64>,
    /// Leave out the canary, a twin of B that must not be told from it: a third less time, and less trust
    #[arg(long)]
    pub no_canary: bool,
    /// How slices and warm-up are chosen.
    #[command(flatten)]
    pub timing: Timing,
}

/// How long slices and warm-ups are.
#[derive(Args, Clone, Copy, Debug)]
pub struct Timing {
    /// Length of a slice, instead of the one that a placebo chooses: a minute of one stack against itself
    #[arg(long, value_name = "SPAN", value_parser = some_time)]
    pub slice: Option<Span>,
    /// Warm-up of each stack in each block, shared out over the operations [default: 2s]
    #[arg(long, value_name = "SPAN", conflicts_with = "measure_warm_up")]
    pub warm_up: Option<Span>,
    /// First measure how long each stack must be warmed up: five starts of 30 s each
    #[arg(long)]
    pub measure_warm_up: bool,
    /// Slices of each stack and operation in a block: for tests
    #[arg(long, hide = true)]
    pub slices: Option<u32>,
}

/// What is looked at before the first block.
#[derive(Clone, Copy, Debug)]
pub struct Rehearsed {
    /// The baseline against itself: it chooses the slices.
    pub placebo: bool,
    /// The warm-up of each stack.
    pub warm_up: bool,
    /// Sessions that it is done for, once: it may take its part of all their budgets.
    pub sessions: u32,
}

impl Timing {
    /// The plan with what was said.
    pub fn of(self, mut plan: Plan) -> Plan {
        plan.throughput.slice = self.slice.unwrap_or(plan.throughput.slice);
        plan.throughput.slices = self.slices.unwrap_or(plan.throughput.slices);
        plan.design.warm_up = self.warm_up.unwrap_or(plan.design.warm_up);
        plan
    }

    /// What is left to look at before the first block.
    pub const fn rehearsed(self) -> Rehearsed {
        Rehearsed { placebo: self.slice.is_none(), warm_up: self.measure_warm_up, sessions: 1 }
    }
}

/// Options of `dyno verdict`.
#[derive(Args, Debug)]
pub struct VerdictOptions {
    /// Files of claims, or folders of such; docs/claims.md tells how to write them
    #[arg(default_value = "hypotheses", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Go on with a verdict that was stopped: its name or folder
    #[arg(long, value_name = "VERDICT", conflicts_with = "files")]
    pub resume: Option<PathBuf>,
    /// Time for each session; claims about the same stacks share one
    #[arg(long, default_value = "15m", value_parser = some_time)]
    pub budget: Span,
    /// Seed of every random choice
    #[arg(long)]
    pub seed: Option<u64>,
    /// Only say which sessions would be measured
    #[arg(long)]
    pub dry_run: bool,
    /// How slices and warm-up are chosen.
    #[command(flatten)]
    pub timing: Timing,
}

/// Options of `dyno check`.
#[derive(Args, Debug)]
pub struct CheckOptions {
    /// Which stacks.
    #[command(flatten)]
    pub stacks: Stacks,
    /// Every row of the field, or those that the patterns mean: `--all '*/*/*'` for all with a front, `--all '*/*@3.14'`
    /// for an interpreter's; what can't run is tried again, so that one that became possible is noticed
    #[arg(long)]
    pub all: bool,
    /// Also take the database away for five seconds in mid-load: does a stack recover? With --all
    /// this is done for the rows without an interpreter or a front of choice
    #[arg(long)]
    pub recovery: bool,
}

/// Which stacks `dyno up` and `dyno check` take.
#[derive(Args, Debug)]
pub struct Stacks {
    /// Stacks, written `app/server[/front][@interpreter]`, `*` for any letters; without any, those of the default plan
    #[arg(value_name = "STACK")]
    pub stacks: Vec<StackPattern>,
    /// What stands between the stacks and the database: pgbouncer
    #[arg(long, value_name = "NAME")]
    pub pooler: Option<Pooler>,
}

/// Who may open a page.
#[derive(Args, Debug)]
pub struct PageOptions {
    /// Let everybody on this machine open the page, without the token in its address
    #[arg(long)]
    pub no_auth: bool,
}

/// Options of `dyno up`.
#[derive(Args, Debug)]
pub struct UpOptions {
    /// Which stacks.
    #[command(flatten)]
    pub stacks: Stacks,
    /// Port of the admin page on loopback; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 9001)]
    pub admin: u16,
    /// No admin page; `dyno ps`, `logs`, `restart` and `down` work all the same
    #[arg(long, conflicts_with_all = ["admin", "no_auth"])]
    pub no_admin: bool,
    /// Who may open the page.
    #[command(flatten)]
    pub page: PageOptions,
}

/// Options of `dyno logs`.
#[derive(Args, Debug)]
pub struct LogsOptions {
    /// A stack or a process, as `dyno ps` shows them; without any, all
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Go on with what is added, until Ctrl-C
    #[arg(long, short)]
    pub follow: bool,
    /// Lines of each log to begin with
    #[arg(long, short = 'n', default_value_t = 20)]
    pub lines: usize,
}

/// Stacks or processes.
#[derive(Args, Debug)]
pub struct Names {
    /// Stacks or processes, as `dyno ps` shows them
    #[arg(value_name = "NAME", required = true)]
    pub names: Vec<String>,
}

/// Options of `dyno live`.
#[derive(Args, Debug)]
pub struct LiveOptions {
    /// A run's name or folder
    #[arg(value_name = "RUN")]
    pub run: PathBuf,
    /// Port of the page on loopback; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 9002)]
    pub port: u16,
    /// Who may open the page.
    #[command(flatten)]
    pub page: PageOptions,
}

/// Options of `dyno list`.
#[derive(Args, Debug)]
pub struct ListOptions {
    /// Every row of the field: all interpreters and fronts, and what can't run with the reason
    #[arg(long)]
    pub all: bool,
}

/// Options of `dyno lock`.
#[derive(Args, Debug)]
pub struct LockOptions {
    /// Folders with a `requirements.in`, by name; without any, all of them and the constraints that they share
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Interpreters; without any, those that have locks already
    #[arg(long = "interpreter", value_name = "NAME")]
    pub interpreters: Vec<String>,
    /// Take the newest versions instead of those locked before
    #[arg(long)]
    pub upgrade: bool,
}

/// Options of `dyno freeze`.
#[derive(Args, Debug)]
pub struct FreezeOptions {
    /// Stacks whose environments are written down; without any, every row of the field
    #[arg(value_name = "STACK")]
    pub stacks: Vec<StackPattern>,
    /// Compare with the files that are there instead of writing them; exit code 1 when they differ
    #[arg(long)]
    pub check: bool,
}

/// Options of `dyno report`.
#[derive(Args, Debug)]
pub struct ReportOptions {
    /// A run's name or folder; two of them are laid side by side
    #[arg(value_name = "RUN", required = true, num_args = 1..=2)]
    pub runs_shown: Vec<PathBuf>,
}
