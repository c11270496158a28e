//! The admin page's addresses: state, stream, logs, orders. The same over TCP, behind the guard, and over the unix socket.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use dyno_model::up::{Action, UpState};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{metrics, pages, stream, tail::Tail};

/// Lines of a log that are shown before the new ones.
const LINES: usize = 200;

/// Those who keep processes up.
pub trait Crew: Send + Sync {
    /// What is up now.
    fn state(&self) -> UpState;
    /// Asks for a change of a process or of a stack's processes; returns their names when it has begun. May wait.
    ///
    /// # Errors
    /// [`Refusal`].
    fn order(&self, name: &str, action: Action) -> Result<Vec<String>, Refusal>;
    /// The processes that a name means.
    ///
    /// # Errors
    /// [`Refusal::Unknown`].
    fn named(&self, name: &str) -> Result<Vec<String>, Refusal>;
    /// Asks for the end of everything.
    fn go_down(&self);
}

/// Why an order isn't carried out, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing has this name.
    Unknown(String),
    /// It makes no sense now.
    Refused(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, words) = match self {
            Self::Unknown(words) => (StatusCode::NOT_FOUND, words),
            Self::Refused(words) => (StatusCode::CONFLICT, words),
        };
        (status, words + "\n").into_response()
    }
}

/// What the addresses share.
#[derive(Clone)]
pub struct Shared {
    crew: Arc<dyn Crew>,
    streams: Arc<Semaphore>,
    /// The state as text, made once for all streams.
    latest: Arc<Mutex<Option<Made>>>,
}

/// When a text was made, and the text.
type Made = (Instant, Arc<str>);

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Order {
    name: String,
    action: Action,
}

#[derive(Deserialize)]
struct LogOptions {
    name: Option<String>,
    #[serde(default)]
    follow: bool,
    lines: Option<usize>,
}

/// The addresses of the page.
pub fn router(crew: Arc<dyn Crew>) -> Router {
    let streams = Arc::new(Semaphore::new(stream::MOST_STREAMS));
    let shared = Shared { crew, streams, latest: Arc::default() };
    Router::new()
        .route("/", get(pages::admin))
        .route("/page.css", get(pages::css))
        .route("/page.js", get(pages::page_js))
        .route("/admin.js", get(pages::admin_js))
        .route("/api/state", get(state))
        .route("/api/stream", get(states))
        .route("/api/log", get(log))
        .route("/api/order", post(order))
        .route("/metrics", get(show_metrics))
        .with_state(shared)
}

/// What only the unix socket has: the page's address with its token, logs as text, and the end.
pub fn private_router(crew: Arc<dyn Crew>, url: Option<String>) -> Router {
    let down = Arc::clone(&crew);
    let end = async move || {
        down.go_down();
        "going down\n"
    };
    Router::new()
        .route("/api/address", get(async move || Json(url)))
        .route("/api/down", post(end))
        .route("/api/logs", get(logs))
        .with_state(Arc::clone(&crew))
        .merge(router(crew))
}

async fn state(State(shared): State<Shared>) -> Json<UpState> {
    Json(shared.crew.state())
}

async fn states(State(shared): State<Shared>) -> Result<Response, StatusCode> {
    let place = stream::place(&shared.streams)?;
    Ok(stream::states(place, Duration::from_secs(1), move || shared.text()))
}

impl Shared {
    fn text(&self) -> Arc<str> {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, text)) = latest.as_ref().filter(|(when, _)| when.elapsed() < stream::LOOK) {
            return Arc::clone(text);
        }
        let text: Arc<str> = serde_json::to_string(&self.crew.state()).unwrap_or_default().into();
        *latest = Some((Instant::now(), Arc::clone(&text)));
        text
    }
}

async fn log(
    State(shared): State<Shared>,
    Query(Named { name }): Query<Named>,
    headers: HeaderMap,
) -> Result<Response, Response> {
    // A name that is up, never a path: nothing else can be read.
    let path = log_of(&shared.crew.state(), &name)
        .ok_or_else(|| Refusal::Unknown(format!("no process is called `{name}`")).into_response())?;
    let place = stream::place(&shared.streams).map_err(IntoResponse::into_response)?;
    let tail = match stream::last_id(&headers) {
        Some(offset) => Tail::at(path, offset),
        None => Tail::last(path, LINES),
    };
    Ok(stream::log(place, tail))
}

fn log_of(state: &UpState, name: &str) -> Option<PathBuf> {
    state.processes.iter().find(|one| one.name == name).map(|one| one.log.clone())
}

async fn order(
    State(shared): State<Shared>,
    Query(Order { name, action }): Query<Order>,
) -> Result<Json<Vec<String>>, Refusal> {
    let ask = tokio::task::spawn_blocking(move || shared.crew.order(&name, action));
    let names = ask.await.map_err(|error| Refusal::Refused(error.to_string()))??;
    Ok(Json(names))
}

async fn show_metrics(State(shared): State<Shared>) -> Response {
    metrics::answer(metrics::of_up(&shared.crew.state()))
}

/// Lines with the process's name before each, as long as the reader stays if it asks to follow.
async fn logs(State(crew): State<Arc<dyn Crew>>, Query(options): Query<LogOptions>) -> Result<Body, Refusal> {
    let state = crew.state();
    let names = match &options.name {
        Some(name) => crew.named(name)?,
        None => state.processes.iter().map(|one| one.name.clone()).collect(),
    };
    let lines = options.lines.unwrap_or(LINES);
    let mut tails: Vec<(String, Tail)> = names
        .into_iter()
        .filter_map(|name| {
            let path = log_of(&state, &name)?;
            Some((name, Tail::last(path, lines)))
        })
        .collect();
    let stream = async_stream::stream! {
        loop {
            let mut more = false;
            for (name, tail) in &mut tails {
                if let Ok(Some(text)) = tail.read() {
                    more = true;
                    let text: String = text.lines().map(|line| format!("{name} | {line}\n")).collect();
                    yield Ok::<_, std::convert::Infallible>(text);
                }
            }
            if !more && !options.follow {
                break;
            }
            if !more {
                tokio::time::sleep(stream::LOOK).await;
            }
        }
    };
    Ok(Body::from_stream(stream))
}
