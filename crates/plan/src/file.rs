//! Plan files: as written (TOML, unknown keys refused) -> as resolved.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use dyno_model::{
    Operation, Rate, Span, StackName, StackPattern,
    plan::{Capacity, Data, Design, Latency, Plan, Pooler, Throughput, most_together},
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{catalogue::Catalogue, error::PlanError};

/// Fewest blocks that an interval may rest on (METHOD, section 4).
const FEWEST_BLOCKS: u32 = 8;
/// Fewest blocks of a run that means to give verdicts, and therefore has a canary.
const VERDICT_BLOCKS: u32 = 5;
/// Blocks of the last look, and some that a disturbance may take.
const MOST_BLOCKS: u32 = 60;

/// A plan as written by a person. Everything but `title`, `stacks` and `operations` has a default.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanFile {
    /// One sentence for people.
    pub title: String,
    /// Stacks, `app/server[/front][@interpreter]`; `*` stands for any letters, as in `flask/*` or `*/*`.
    pub stacks: Vec<StackPattern>,
    /// Operations of the contract to measure.
    pub operations: Vec<Operation>,
    /// The stack that ratios are given against; the first one when left out.
    #[serde(default)]
    pub baseline: Option<StackName>,
    /// Interpreter for stacks that name none, for instance `"3.13"`.
    #[serde(default)]
    pub interpreter: Option<String>,
    /// What each stack may use.
    #[serde(default)]
    pub capacity: CapacityFile,
    /// What is in the database.
    #[serde(default)]
    pub data: DataFile,
    /// How stacks reach the database.
    #[serde(default)]
    pub database: DatabaseFile,
    /// Blocks and budget.
    #[serde(default)]
    pub design: DesignFile,
    /// Saturated slices.
    #[serde(default)]
    pub throughput: ThroughputFile,
    /// Slices at a fixed rate.
    #[serde(default)]
    pub latency: Option<LatencyFile>,
}

/// `[capacity]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityFile {
    /// Worker processes.
    pub workers: u32,
    /// Threads of each worker of a threaded server.
    pub threads: u32,
    /// Database connections of the whole stack.
    pub connections: u32,
    /// Whether the workers of tasks are up while a stack is measured; no operation on tasks is timed.
    pub task_workers: bool,
}

impl Default for CapacityFile {
    fn default() -> Self {
        Self { workers: 2, threads: 4, connections: 8, task_workers: true }
    }
}

/// `[data]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DataFile {
    /// Number of contacts.
    pub contacts: u32,
    /// Seed of the rows.
    pub seed: u64,
}

impl Default for DataFile {
    fn default() -> Self {
        Self { contacts: 10_000, seed: 1 }
    }
}

/// `[database]`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseFile {
    /// What stands between the stacks and the database, for instance `"pgbouncer"`; nothing when left out.
    pub pooler: Option<Pooler>,
}

/// `[design]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DesignFile {
    /// Fewest blocks.
    pub blocks: u32,
    /// Most blocks.
    pub most_blocks: Option<u32>,
    /// Time for the whole run.
    pub budget: Span,
    /// Warm-up of each stack in each block.
    pub warm_up: Span,
    /// Beginning of each slice that isn't counted.
    pub guard: Span,
    /// Seed of every random choice.
    pub seed: Option<u64>,
    /// Whether the numbers decide when the run ends, at looks after 8, 12, 16, 24, 32 and 48 blocks.
    pub looks: bool,
    /// Whether the baseline runs twice, and the run allows no verdict when the two differ; from 5 blocks on.
    pub canary: bool,
    /// Most stacks that are up at once; more are measured in groups, the baseline in each of them.
    pub together: u32,
}

impl Default for DesignFile {
    fn default() -> Self {
        Self {
            blocks: FEWEST_BLOCKS,
            most_blocks: None,
            budget: Span::seconds(540),
            warm_up: Span::seconds(2),
            guard: Span::milliseconds(30),
            seed: None,
            looks: false,
            canary: true,
            together: most_together(),
        }
    }
}

/// `[throughput]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ThroughputFile {
    /// Connections, each with one request in flight.
    pub connections: u32,
    /// More connections that are open through all slices and never send.
    pub idle: u32,
    /// Length of a slice.
    pub slice: Span,
    /// Slices of each stack and operation in a block.
    pub slices: u32,
}

impl Default for ThroughputFile {
    fn default() -> Self {
        Self { connections: 64, idle: 0, slice: Span::milliseconds(250), slices: 2 }
    }
}

/// `[latency]`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LatencyFile {
    /// Connections that may be in use at once.
    #[serde(default = "latency_connections")]
    pub connections: u32,
    /// Length of a slice.
    #[serde(default = "latency_slice")]
    pub slice: Span,
    /// Slices of each stack and operation in a block.
    #[serde(default = "latency_slices")]
    pub slices: u32,
    /// Offered rate of each operation, the same for every stack: `"200/s"`, or `"50%"` of what the slowest stack answers.
    pub rates: BTreeMap<Operation, OfferedRate>,
}

/// A rate as a plan offers it.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub enum OfferedRate {
    /// So many requests per second.
    Absolute(Rate),
    /// A share of what the slowest stack answers when it is saturated, within 0..1.
    Share(f64),
}

impl TryFrom<String> for OfferedRate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some(percent) = text.strip_suffix('%') else {
            return text
                .parse()
                .map(Self::Absolute)
                .map_err(|error| format!("{error}, or a share of what the slowest stack answers: \"50%\""));
        };
        let share = percent.trim().parse::<f64>().ok().map(|percent| percent / 100.0);
        share.filter(|share| *share >= 0.01 && *share <= 0.9).map(Self::Share).ok_or_else(|| {
            format!("`{text}` is no share of what the slowest stack answers: from \"1%\" to \"90%\", for instance \"50%\"")
        })
    }
}

impl LatencyFile {
    fn rates(&self) -> BTreeMap<Operation, Rate> {
        let rate = |(operation, offered): (&Operation, &OfferedRate)| match offered {
            OfferedRate::Absolute(rate) => Some((*operation, *rate)),
            OfferedRate::Share(_) => None,
        };
        self.rates.iter().filter_map(rate).collect()
    }

    fn shares(&self) -> BTreeMap<Operation, f64> {
        let share = |(operation, offered): (&Operation, &OfferedRate)| match offered {
            OfferedRate::Absolute(_) => None,
            OfferedRate::Share(share) => Some((*operation, *share)),
        };
        self.rates.iter().filter_map(share).collect()
    }
}

const fn latency_connections() -> u32 {
    64
}

const fn latency_slice() -> Span {
    Span::milliseconds(500)
}

const fn latency_slices() -> u32 {
    1
}

/// One row of `dyno list` for plans.
#[derive(Clone, Debug)]
pub struct PlanSummary {
    /// Name to give to `dyno run`.
    pub name: String,
    /// Its title, or what is wrong with the file.
    pub title: String,
}

/// A line that would be right, for the key that was stumbled over.
fn example_of(key: &str) -> &'static str {
    match key {
        "stacks" | "baseline" => "stacks = [\"flask/gunicorn\", \"fastapi-asyncpg/uvicorn\"]",
        "operations" => "operations = [\"hello\", \"types\", \"contacts_fetch\"]",
        "budget" | "warm_up" | "guard" | "slice" => "budget = \"9m\"   warm_up = \"2s\"   slice = \"250ms\"",
        "interpreter" => "interpreter = \"3.13\"",
        "pooler" => "pooler = \"pgbouncer\"",
        "blocks" | "most_blocks" => "blocks = 8",
        "looks" | "canary" => "canary = true",
        "connections" | "idle" | "workers" | "threads" | "slices" | "contacts" | "together" => {
            "connections = 8"
        }
        key if key.parse::<Operation>().is_ok() => "types = \"200/s\"   types = \"50%\"",
        _ => {
            "keys are title, stacks, operations, baseline, interpreter, [capacity], [data], [database], [design], [throughput], [latency]; see plans/default.toml"
        }
    }
}

/// The file of a plan: a path when it has a `/` or ends in `.toml`, else a name in `plans`.
///
/// # Errors
/// No such plan, with the names that there are.
pub fn find_plan(plans: &Path, name: &str) -> Result<PathBuf, PlanError> {
    if name.contains('/') || name.ends_with(".toml") {
        return Ok(PathBuf::from(name));
    }
    let path = plans.join(format!("{name}.toml"));
    if path.is_file() {
        return Ok(path);
    }
    let known = plan_names(plans).join(", ");
    Err(PlanError::UnknownPlan { name: name.to_owned(), known })
}

fn plan_names(plans: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(plans) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// The plans of a folder with their titles.
pub fn list_plans(plans: &Path, catalogue: &Catalogue) -> Vec<PlanSummary> {
    let title = |name: &String| match read_plan(&plans.join(format!("{name}.toml")), catalogue) {
        Ok(plan) => plan.title,
        Err(error) => format!("can't be used: {error}"),
    };
    plan_names(plans).into_iter().map(|name| PlanSummary { title: title(&name), name }).collect()
}

/// Reads and resolves a plan.
///
/// # Errors
/// The file can't be read; a key, unit, operation or stack is unknown; a figure is out of range. Each
/// with the line and an example.
pub fn read_plan(path: &Path, catalogue: &Catalogue) -> Result<Plan, PlanError> {
    let text =
        fs::read_to_string(path).map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
    let written: PlanFile =
        toml::from_str(&text).map_err(|error| PlanError::toml(path, &text, &error, example_of))?;
    let name = path.file_stem().map_or_else(|| "plan".to_owned(), |stem| stem.to_string_lossy().into_owned());
    let stacks = expand(path, &text, &written, catalogue)?;
    check(path, &text, &written, &stacks)?;
    Ok(resolve(name, written, stacks))
}

fn resolve(name: String, written: PlanFile, stacks: Vec<StackName>) -> Plan {
    let PlanFile {
        title,
        stacks: _,
        operations,
        baseline,
        interpreter,
        capacity,
        data,
        database,
        design,
        throughput,
        latency,
    } = written;
    let baseline = baseline.unwrap_or_else(|| stacks[0].clone());
    let canary = (design.canary && design.blocks >= VERDICT_BLOCKS).then(|| baseline.twin());
    let most_blocks = if design.looks { MOST_BLOCKS } else { design.blocks };
    Plan {
        name,
        title,
        baseline,
        stacks: stacks.into_iter().chain(canary.clone()).collect(),
        operations,
        interpreter,
        capacity: Capacity {
            workers: capacity.workers,
            threads: capacity.threads,
            connections: capacity.connections,
            task_workers: capacity.task_workers,
        },
        data: Data { contacts: data.contacts, seed: data.seed },
        pooler: database.pooler,
        design: Design {
            blocks: design.blocks,
            most_blocks: design.most_blocks.unwrap_or(most_blocks),
            budget: design.budget,
            warm_up: design.warm_up,
            guard: design.guard,
            seed: design.seed,
            looks: design.looks,
            canary,
            together: design.together,
            rehearsal: None,
        },
        throughput: Throughput {
            connections: throughput.connections,
            idle: throughput.idle,
            slice: throughput.slice,
            slices: throughput.slices,
        },
        latency: latency.map(|latency| Latency {
            connections: latency.connections,
            slice: latency.slice,
            slices: latency.slices,
            rates: latency.rates(),
            shares: latency.shares(),
        }),
    }
}

/// The stacks that the patterns mean, each once. A name written twice is a mistake; two patterns may overlap.
fn expand(
    path: &Path,
    text: &str,
    plan: &PlanFile,
    catalogue: &Catalogue,
) -> Result<Vec<StackName>, PlanError> {
    let mut stacks: Vec<StackName> = Vec::new();
    for (index, pattern) in plan.stacks.iter().enumerate() {
        let at =
            |message: String| PlanError::at(path, text, &pattern.to_string(), message, example_of("stacks"));
        if plan.stacks[..index].contains(pattern) {
            return Err(at(format!("`{pattern}` is there twice")));
        }
        for stack in catalogue.expand(pattern).map_err(|error| at(error.to_string()))? {
            if !stacks.contains(&stack) {
                stacks.push(stack);
            }
        }
    }
    Ok(stacks)
}

/// What the types alone can't refuse.
fn check(path: &Path, text: &str, plan: &PlanFile, stacks: &[StackName]) -> Result<(), PlanError> {
    let at = |needle: &str, message: String, key: &str| {
        Err(PlanError::at(path, text, needle, message, example_of(key)))
    };
    if plan.stacks.is_empty() {
        return at("stacks", "`stacks` is empty: a plan needs at least one".to_owned(), "stacks");
    }
    if plan.operations.is_empty() {
        return at("operations", "`operations` is empty: a plan needs at least one".to_owned(), "operations");
    }
    if let Some(twin) = stacks.iter().find(|stack| stack.variant.twin)
        && plan.design.canary
    {
        let message =
            format!("`{twin}` is the canary's name: write `canary = false` to have a twin of your own");
        return at("stacks", message, "stacks");
    }
    if let Some(baseline) = &plan.baseline
        && !stacks.contains(baseline)
    {
        return at(
            "baseline",
            format!("the baseline `{baseline}` isn't one of the plan's stacks"),
            "baseline",
        );
    }
    for (index, operation) in plan.operations.iter().enumerate() {
        if plan.operations[..index].contains(operation) {
            return at("operations", format!("`{operation}` is there twice"), "operations");
        }
        if !MEASURABLE.contains(operation) {
            let message = format!("`{operation}` is proven by the contract's cases, not timed");
            return at("operations", message, "operations");
        }
    }
    for (key, value, range) in ranges(plan) {
        if !range.contains(&value) {
            let message = format!("`{key} = {value}` is out of range: {} to {}", range.start(), range.end());
            return at(key, message, key);
        }
    }
    if plan.capacity.connections < plan.capacity.workers {
        let message = "fewer database `connections` than `workers`: each worker needs one".to_owned();
        return at("connections", message, "connections");
    }
    if plan.throughput.slice.0 < 2 * plan.design.guard.0 {
        return at("slice", "a `slice` must be at least twice the `guard`".to_owned(), "slice");
    }
    if let Some(latency) = &plan.latency
        && let Some(operation) = latency.rates.keys().find(|operation| !plan.operations.contains(operation))
    {
        let message = format!("a rate for `{operation}`, which isn't one of the plan's operations");
        return at(operation.name(), message, "types");
    }
    Ok(())
}

/// Refuses operations that are proven and not timed.
///
/// # Errors
/// One of them can't be timed; those that can are named.
pub fn timed(operations: &[Operation]) -> Result<(), PlanError> {
    match operations.iter().find(|operation| !MEASURABLE.contains(operation)) {
        None => Ok(()),
        Some(operation) => {
            let known = MEASURABLE.map(Operation::name).join(", ");
            Err(PlanError::Argument {
                argument: "--operation".to_owned(),
                message: format!("`{operation}` is proven by the contract's cases, not timed: {known} are"),
                example: "--operation contacts_fetch".to_owned(),
            })
        }
    }
}

/// Operations that can be timed: reading ones, for all stacks share one database whose rows must stay alike.
pub(crate) const MEASURABLE: [Operation; 9] = [
    Operation::Hello,
    Operation::HelloHtml,
    Operation::Heartbeat,
    Operation::Version,
    Operation::Types,
    Operation::ContactsFor,
    Operation::ContactsFetch,
    Operation::Contact,
    Operation::Fibonacci,
];

fn ranges(plan: &PlanFile) -> Vec<(&'static str, u32, std::ops::RangeInclusive<u32>)> {
    let mut ranges = vec![
        ("workers", plan.capacity.workers, 1..=64),
        ("threads", plan.capacity.threads, 1..=256),
        ("connections", plan.capacity.connections, 1..=1000),
        ("contacts", plan.data.contacts, 200..=10_000_000),
        ("blocks", plan.design.blocks, 1..=1000),
        ("most_blocks", plan.design.most_blocks.unwrap_or(plan.design.blocks), plan.design.blocks..=1000),
        ("together", plan.design.together, 2..=60),
        ("connections", plan.throughput.connections, 1..=10_000),
        ("idle", plan.throughput.idle, 0..=20_000),
        ("slices", plan.throughput.slices, 1..=100),
    ];
    if let Some(latency) = &plan.latency {
        ranges.push(("connections", latency.connections, 1..=10_000));
        ranges.push(("slices", latency.slices, 1..=100));
    }
    ranges
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plan of one stack with `rest` added, past the checks against a catalogue.
    pub(crate) fn plan_of(rest: &str) -> Plan {
        let text = format!("title = \"t\"\nstacks = [\"a/b\"]\n{rest}");
        resolve("t".to_owned(), toml::from_str(&text).unwrap(), vec!["a/b".parse().unwrap()])
    }

    fn repository() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn refused(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.toml");
        fs::write(&path, text).unwrap();
        let catalogue = Catalogue::read(&repository().join("stacks")).unwrap();
        let error = read_plan(&path, &catalogue).expect_err("the plan must be refused").to_string();
        error.replace(&format!("{}/", folder.path().display()), "")
    }

    const HEAD: &str = "title = \"mine\"\nstacks = [\"flask/gunicorn\"]\noperations = [\"types\"]\n";

    #[test]
    fn what_is_wrong_is_said_with_file_line_and_example() {
        let bad = |rest: &str| refused(&format!("{HEAD}{rest}"));
        insta::assert_snapshot!("unknown_key", bad("colour = 1\n"));
        insta::assert_snapshot!("unknown_key_in_a_table", bad("[design]\nblock = 8\n"));
        insta::assert_snapshot!("unknown_unit", bad("[design]\nbudget = \"9min\"\n"));
        insta::assert_snapshot!("no_unit", bad("[latency.rates]\ntypes = \"200\"\n"));
        insta::assert_snapshot!("out_of_range", bad("[capacity]\nworkers = 0\n"));
        insta::assert_snapshot!("baseline", bad("baseline = \"tornado/tornado\"\n"));
        insta::assert_snapshot!("unknown_stack", refused(&HEAD.replace("gunicorn", "gunicron")));
        insta::assert_snapshot!("unknown_operation", refused(&HEAD.replace("\"types\"", "\"type\"")));
        let error = bad("[database]\npooler = \"odyssey\"\n");
        assert!(
            error.contains("mine.toml:5: ") && error.contains("example: pooler = \"pgbouncer\""),
            "{error}"
        );
        insta::assert_snapshot!("not_TOML", refused("title = \n"));
    }

    #[test]
    fn the_committed_plans_and_catalogue_hold_together() {
        let catalogue = Catalogue::read(&repository().join("stacks")).unwrap();
        assert_eq!(catalogue.contradictions(), Vec::<String>::new());
        let plans = list_plans(&repository().join("plans"), &catalogue);
        let names: Vec<&str> = plans.iter().map(|plan| plan.name.as_str()).collect();
        assert!(names.contains(&"default") && names.contains(&"smoke"), "{names:?}");
        for name in names {
            read_plan(&repository().join(format!("plans/{name}.toml")), &catalogue).unwrap();
        }
    }
}
