//! Server-sent events. A stream is asked for its next piece only when the last one was taken, so nothing piles up for
//! a slow reader; one that takes nothing for a while is dropped by the connection's write timeout (`server`).

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::tail::Tail;

/// Between two looks at what may have changed.
pub const LOOK: Duration = Duration::from_millis(250);
/// How soon a browser comes back after a dropped connection.
const RETRY: Duration = Duration::from_secs(1);
/// Streams at once: more than a person has windows, and few enough to bound what they cost.
pub const MOST_STREAMS: usize = 32;

/// A place among the streams, or an answer that there is none.
pub fn place(streams: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, StatusCode> {
    Arc::clone(streams).try_acquire_owned().map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}

/// A stream of whole states: the newest at once, then each newer one, `every` at most. Whoever comes back after a dropped
/// connection has missed nothing that still counts.
pub fn states(
    place: OwnedSemaphorePermit,
    every: Duration,
    mut look: impl FnMut() -> Arc<str> + Send + 'static,
) -> Response {
    let stream = async_stream::stream! {
        let _place = place;
        let mut last: Option<Arc<str>> = None;
        loop {
            let now = look();
            if last.as_ref() != Some(&now) {
                yield Ok::<_, Infallible>(Event::default().retry(RETRY).data(&*now));
                last = Some(now);
            }
            tokio::time::sleep(every).await;
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

/// A stream of a log's lines. The id of an event is the byte behind it, so that `Last-Event-ID` goes on exactly there.
pub fn log(place: OwnedSemaphorePermit, tail: Tail) -> Response {
    let stream = async_stream::stream! {
        let _place = place;
        let mut tail = tail;
        loop {
            match tail.read() {
                Ok(Some(text)) => {
                    let text = text.replace('\r', "");
                    let event = Event::default().retry(RETRY).id(tail.offset().to_string());
                    yield Ok::<_, Infallible>(event.data(text));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    };
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

/// Where a reader of a log stopped, if it comes back.
pub fn last_id(headers: &HeaderMap) -> Option<u64> {
    headers.get("last-event-id")?.to_str().ok()?.parse().ok()
}
