//! A run as it goes: blocks are taken from its folder as they are written, the rest from its events, if they can be had.
//!
//! The folder is looked at here and not told of by the lab, so that a run pays for its page only by the thread that makes it.

use std::{
    collections::{BTreeMap, VecDeque},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use axum::{Json, Router, extract::State, http::StatusCode, response::Response, routing::get};
use dyno_model::{
    event::{Event, Step},
    output::{Estimate, Metric},
    record::{Block, NotRun, Run},
    warning::Warning,
};
use dyno_record::RunFolder;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::{metrics, pages, stream};

/// Between two looks at the folder.
const LOOK: Duration = Duration::from_secs(1);
/// Most lines of notes and most wrong answers that are shown.
const MOST_LINES: usize = 40;
const MOST_ANSWERS: usize = 10;

/// All that the page shows.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RunView {
    /// The run's name.
    pub run: String,
    /// The plan's title.
    pub title: String,
    /// The step at work, or what is known of the end.
    pub step: String,
    /// What of the step is at work.
    pub detail: String,
    /// Parts done and parts in all.
    pub progress: Option<(u64, u64)>,
    /// Seconds left, where they are known.
    pub left_s: Option<f64>,
    /// Complete blocks.
    pub blocks: u32,
    /// Blocks that the plan wants at least.
    pub blocks_wanted: u32,
    /// Estimates as of now.
    pub results: Vec<Estimate>,
    /// After each block: half of the intervals' widths of throughput, as a share of the estimates, the median of all.
    pub half_widths: Vec<(u32, f64)>,
    /// What each stack used in the last block.
    pub processes: Vec<StackUse>,
    /// The first wrong answers.
    pub wrong_answers: Vec<Wrong>,
    /// What is suspicious.
    pub warnings: Vec<Warning>,
    /// What can't run.
    pub not_run: Vec<NotRun>,
    /// The last notes and commands.
    pub notes: VecDeque<String>,
    /// Why the folder can't be shown, if it can't.
    pub trouble: Option<String>,
}

/// What one stack used in its slices of the last block.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StackUse {
    /// The stack.
    pub stack: String,
    /// CPU of each role within the windows, in cores.
    pub cpu_cores: BTreeMap<String, f64>,
    /// Largest memory of server and front, in bytes.
    pub memory_bytes: u64,
    /// Requests sent, in all blocks.
    pub sent: u64,
    /// Of these, without a right answer.
    pub failed: u64,
    /// Why it failed in the last block, if it did.
    pub failure: Option<String>,
}

/// A wrong answer with its stack.
#[derive(Clone, Debug, Serialize)]
pub struct Wrong {
    /// The stack.
    pub stack: String,
    /// The request.
    pub request: String,
    /// The kind of failure.
    pub kind: String,
    /// The answer's status, if it had one.
    pub status: Option<u16>,
    /// The beginning of its body.
    pub body: String,
}

/// Where events and blocks meet those who look.
#[derive(Debug, Default)]
pub struct RunBoard {
    view: Mutex<RunView>,
    text: Mutex<Option<Arc<str>>>,
    followed: AtomicBool,
}

impl RunBoard {
    fn lock(&self) -> MutexGuard<'_, RunView> {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an event of the run. Called by the measuring thread: it only notes.
    pub fn take(&self, event: &Event) {
        self.followed.store(true, Ordering::Relaxed);
        let mut view = self.lock();
        match event {
            Event::Step { step, detail } => {
                (view.step, view.detail) = (step.name().to_owned(), detail.clone());
                view.progress = None;
                if *step == Step::Compare {
                    view.left_s = None;
                }
            }
            Event::Progress { done, total, left_s, stack, operation } => {
                view.progress = Some((*done, *total));
                view.left_s = *left_s;
                let words = [stack.as_ref().map(ToString::to_string), operation.map(|one| one.to_string())];
                view.detail = words.into_iter().flatten().collect::<Vec<_>>().join("  ");
            }
            Event::Preparing { ready, total, on_the_way, .. } => {
                view.progress = Some((*ready, *total));
                view.detail = on_the_way.join(", ");
            }
            Event::Command { argv } => note(&mut view, format!("$ {}", argv.join(" "))),
            Event::Note(text) => note(&mut view, text.clone()),
            Event::Warning(warning) => {
                note(&mut view, format!("warning: {}: {}", warning.subject, warning.text));
            }
        }
    }

    /// The view as text, made once for all who look.
    fn text(&self) -> Arc<str> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(text) = text.as_ref() {
            return Arc::clone(text);
        }
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let made: Arc<str> = serde_json::to_string(&*view).unwrap_or_default().into();
        *text = Some(Arc::clone(&made));
        made
    }

    fn show(&self, run: &Run, blocks: &[Block]) {
        let analysis = dyno_analyse::analyse(run, blocks);
        let processes = uses(blocks);
        let wrong_answers = wrong_answers(blocks);
        let followed = self.followed.load(Ordering::Relaxed);
        let mut view = self.lock();
        view.run.clone_from(&run.run);
        view.title.clone_from(&run.plan.title);
        view.blocks = analysis.blocks;
        view.blocks_wanted = run.plan.design.blocks;
        if let Some(half_width) = half_width(&analysis.results)
            && view.half_widths.last().is_none_or(|(blocks, _)| *blocks < analysis.blocks)
        {
            view.half_widths.push((analysis.blocks, half_width));
        }
        view.results = analysis.results;
        (view.processes, view.wrong_answers) = (processes, wrong_answers);
        (view.warnings, view.not_run) = (analysis.warnings, analysis.not_run);
        view.trouble = None;
        if !followed {
            // Without events, the length of the blocks tells.
            let mean_s = blocks.iter().map(|block| block.length_ns as f64 / 1e9).sum::<f64>()
                / blocks.len().max(1) as f64;
            let missing = run.plan.design.blocks.saturating_sub(analysis.blocks);
            view.step = "measure".to_owned();
            view.left_s = (!blocks.is_empty()).then_some(mean_s * f64::from(missing));
        }
    }

    fn trouble(&self, words: String) {
        self.lock().trouble = Some(words);
    }

    /// The run is over, and its report written.
    pub fn ended(&self) {
        let mut view = self.lock();
        (view.step, view.left_s) = ("done".to_owned(), None);
        view.detail = "report.html is in the run's folder".to_owned();
    }
}

fn note(view: &mut RunView, line: String) {
    if view.notes.len() == MOST_LINES {
        view.notes.pop_front();
    }
    view.notes.push_back(line);
}

/// Watches a run's folder until the stop, at the lowest priority.
pub fn watch(board: &RunBoard, folder: &RunFolder, stop: &AtomicBool) {
    crate::server::lowest_priority();
    let mut seen = None;
    let mut blocks: Vec<Block> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let now = folder.state();
        if now.begun && seen != Some(now) {
            match (folder.read_run(), folder.read_blocks_from(blocks.len())) {
                (Ok(run), Ok(more)) => {
                    let first = if blocks.is_empty() { dyno_analyse::FIRST_BLOCKS } else { usize::MAX };
                    blocks.extend(more);
                    // Who comes late sees how it went, too.
                    let ends = (first..blocks.len()).chain([blocks.len()]);
                    let show = || ends.for_each(|end| board.show(&run, &blocks[..end]));
                    // A folder is somebody else's: figures that make no sense end the look at it, not the page.
                    if catch_unwind(AssertUnwindSafe(show)).is_err() {
                        board.trouble(
                            "the run's figures make no sense; was its folder changed by hand?".to_owned(),
                        );
                    }
                    if now.ended && !board.followed.load(Ordering::Relaxed) {
                        board.ended();
                    }
                    seen = Some(now);
                }
                (Err(error), _) | (_, Err(error)) => {
                    board.trouble(error.to_string());
                    // Records are written at once or not at all: the next look is worth it when there are more.
                    seen = Some(now);
                }
            }
        }
        // In short steps, so that the end isn't waited for.
        for _ in 0..10 {
            if !stop.load(Ordering::Relaxed) {
                thread::sleep(LOOK / 10);
            }
        }
    }
}

/// Median over cells of half of throughput's interval, as a share of the estimate.
fn half_width(results: &[Estimate]) -> Option<f64> {
    let throughput = results.iter().filter(|one| one.metric == Metric::Throughput && one.estimate > 0.0);
    let mut widths: Vec<f64> =
        throughput.filter_map(|one| Some((one.high? - one.low?) / 2.0 / one.estimate)).collect();
    widths.sort_by(f64::total_cmp);
    widths.get(widths.len() / 2).copied()
}

fn uses(blocks: &[Block]) -> Vec<StackUse> {
    let mut uses: BTreeMap<String, StackUse> = BTreeMap::new();
    for block in blocks {
        for trial in &block.trials {
            let stack = trial.stack.to_string();
            let one = uses.entry(stack.clone()).or_insert_with(|| StackUse { stack, ..StackUse::default() });
            (one.memory_bytes, one.cpu_cores) = (0, BTreeMap::new());
            one.failure = trial.failure.as_ref().map(|failure| failure.reason.clone());
            let window_ns =
                trial.slices.iter().fold(0u64, |sum, slice| sum.saturating_add(slice.outcome.window_ns));
            for slice in &trial.slices {
                // A folder may say anything.
                one.sent = one.sent.saturating_add(slice.outcome.counts.sent);
                one.failed = one.failed.saturating_add(slice.outcome.counts.failed.total());
                one.memory_bytes = one.memory_bytes.max(slice.usage.memory_bytes);
                for (role, cpu_ns) in &slice.cpu_ns {
                    *one.cpu_cores.entry(role.clone()).or_default() +=
                        *cpu_ns as f64 / window_ns.max(1) as f64;
                }
            }
        }
    }
    uses.into_values().collect()
}

fn wrong_answers(blocks: &[Block]) -> Vec<Wrong> {
    let trials = blocks.iter().flat_map(|block| &block.trials);
    let answers = trials.flat_map(|trial| {
        let answers = trial.slices.iter().flat_map(|slice| &slice.outcome.wrong_answers);
        answers.map(|answer| (trial.stack.to_string(), answer))
    });
    let whole = answers.take(MOST_ANSWERS).map(|(stack, answer)| Wrong {
        stack,
        request: answer.request.clone(),
        kind: answer.kind.clone(),
        status: answer.status,
        body: answer.body.chars().take(400).collect(),
    });
    whole.collect()
}

#[derive(Clone)]
struct Shared {
    board: Arc<RunBoard>,
    streams: Arc<Semaphore>,
}

/// The addresses of a run's page.
pub fn router(board: Arc<RunBoard>) -> Router {
    Router::new()
        .route("/", get(pages::run))
        .route("/page.css", get(pages::css))
        .route("/page.js", get(pages::page_js))
        .route("/run.js", get(pages::run_js))
        .route("/api/state", get(state))
        .route("/api/stream", get(states))
        .route("/metrics", get(show_metrics))
        .with_state(Shared { board, streams: Arc::new(Semaphore::new(stream::MOST_STREAMS)) })
}

async fn state(State(shared): State<Shared>) -> Json<RunView> {
    Json(shared.board.view.lock().unwrap_or_else(PoisonError::into_inner).clone())
}

async fn states(State(shared): State<Shared>) -> Result<Response, StatusCode> {
    let place = stream::place(&shared.streams)?;
    Ok(stream::states(place, Duration::from_secs(1), move || shared.board.text()))
}

async fn show_metrics(State(shared): State<Shared>) -> Response {
    let view = shared.board.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
    metrics::answer(metrics::of_run(&view))
}
