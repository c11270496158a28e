//! Judges what comes back while a slice runs. Sends nothing: what must be sent is noted.

use std::{cmp::Reverse, io};

use crate::{
    answer::{AnswerReader, Progress, Template, Whole},
    dialogue::{Made, is_redirect, redirected},
    engine::Answer,
    recorder::{Failure, judge},
    request::Prepared,
    trial::{Connection, Flight, Freed, State, Trial, failed, not_opened},
    wire::{Incoming, Next},
};

/// Bodies from here on that nobody checks are worth dropping in the kernel.
const LARGE_BODY: u64 = 32 * 1024;
/// First pause before a request that a server has refused again is sent once more; it doubles. A stream that crosses a
/// goodbye goes at once.
const FIRST_PAUSE_NS: u64 = 1_000_000;
const LONGEST_PAUSE_NS: u64 = 256_000_000;
/// A reader that has grown beyond this is not kept for the next answer.
const LARGE_READER: usize = 256 * 1024;

/// What a round of news is told to.
pub struct Intake<'e, 't, 'a> {
    pub connections: &'e mut [Connection],
    pub templates: &'e mut [Template],
    #[allow(clippy::vec_box, reason = "they move between here and connections without a copy")]
    pub readers: &'e mut Vec<Box<AnswerReader>>,
    pub resume: &'e mut Vec<u32>,
    pub trial: &'t mut Trial<'a>,
    pub seen_ns: u64,
    pub answers: u32,
    pub unstamped: u32,
    pub large_bodies: bool,
}

impl Intake<'_, '_, '_> {
    pub fn take(&mut self, index: usize, incoming: Incoming<'_>) -> Next {
        let number = index as u32;
        let connection = &mut self.connections[index];
        match incoming {
            Incoming::Bytes(bytes, at_ns) => return self.bytes(number, bytes, at_ns),
            Incoming::Skipped(bytes, at_ns) => {
                let Some(reader) = &mut connection.reader else { return Next::Close };
                let progress = reader.skipped(bytes);
                return self.progress(number, progress, at_ns);
            }
            Incoming::Connected => {
                connection.state = State::Open;
                self.trial.recorder.connections.opened += 1;
                self.trial.recorder.reconnects += 1;
                self.resume.push(number);
            }
            Incoming::Joined => {
                connection.state = State::Open;
                self.resume.push(number);
            }
            Incoming::Left => connection.state = State::Closed,
            Incoming::Unprocessed => self.send_again(number),
            Incoming::Malformed => {
                connection.state = State::Closed;
                failed(connection, number, Failure::Protocol, self.seen_ns, self.trial);
            }
            Incoming::Head(head, at_ns) => self.head(number, head, at_ns),
            Incoming::Body(bytes) => {
                if let (Some(flight), Some(reader)) = (&connection.flight, &mut connection.reader) {
                    reader.push_framed(bytes, self.trial.prepared.asked[flight.request as usize]);
                }
            }
            Incoming::Whole(at_ns) => return self.whole(number, at_ns),
            Incoming::NotConnected(error) => {
                not_opened(connection, number, &error, self.seen_ns, self.trial);
                return Next::Close;
            }
            Incoming::Writable => self.resume.push(number),
            Incoming::Ended | Incoming::Broken => {
                connection.state = State::Closed;
                let Some(flight) = connection.flight else {
                    self.trial.recorder.connections.closed_idle += 1;
                    return Next::Close;
                };
                if flight.sent_ns == 0 {
                    not_opened(
                        connection,
                        number,
                        &io::ErrorKind::ConnectionReset.into(),
                        self.seen_ns,
                        self.trial,
                    );
                    return Next::Close;
                }
                let reader = connection.reader.as_ref();
                if matches!(incoming, Incoming::Ended) && reader.is_some_and(|reader| reader.end()) {
                    self.whole(number, None);
                    return Next::Close;
                }
                let failure = match incoming {
                    Incoming::Broken => Failure::Reset,
                    _ if reader.is_some_and(|reader| reader.began()) => Failure::Truncated,
                    _ => Failure::Closed,
                };
                failed(connection, number, failure, self.seen_ns, self.trial);
                return Next::Close;
            }
        }
        Next::More
    }

    /// The server hasn't processed the request: it is sent again (RFC 9113, 8.7), until its time is over.
    fn send_again(&mut self, number: u32) {
        let connection = &mut self.connections[number as usize];
        connection.state = State::Closed;
        connection.reader = None;
        let Some(flight) = &mut connection.flight else { return };
        let pause_ns = match flight.again {
            0 => 0,
            again => (FIRST_PAUSE_NS << again.min(16)).min(LONGEST_PAUSE_NS),
        };
        flight.again = flight.again.saturating_add(1);
        flight.again_ns = self.seen_ns + pause_ns;
        (flight.sent_ns, flight.first_ns, flight.written) = (0, 0, 0);
        flight.opened = true;
        self.trial.recorder.connections.sent_again += 1;
        self.trial.again.push(Reverse((flight.again_ns, number)));
    }

    /// The head of an answer by HTTP/2.
    fn head(&mut self, number: u32, head: &http::response::Parts, at_ns: Option<u64>) {
        let connection = &mut self.connections[number as usize];
        let Some(flight) = &mut connection.flight else { return };
        flight.first_ns = at_ns.unwrap_or(self.seen_ns);
        // Only a single question shows its head, and redirects and sequences look into it.
        let trial = &self.trial;
        let looked_at = trial.capture.is_some() || trial.redirects > 0 || trial.sequence.is_some();
        let shown = if looked_at { head_text(head) } else { String::new() };
        let mut reader = self.readers.pop().unwrap_or_default();
        reader.begin_framed(head.status.as_u16(), shown.as_bytes());
        connection.reader = Some(reader);
    }

    fn bytes(&mut self, number: u32, bytes: &[u8], at_ns: Option<u64>) -> Next {
        let connection = &mut self.connections[number as usize];
        let Some(flight) = &mut connection.flight else {
            connection.state = State::Closed;
            self.trial.recorder.connections.unasked += 1;
            return Next::Close;
        };
        if flight.sent_ns == 0 {
            let error = io::Error::new(io::ErrorKind::InvalidData, "it answers before it is asked");
            not_opened(connection, number, &error, self.seen_ns, self.trial);
            return Next::Close;
        }
        if flight.first_ns == 0 {
            flight.first_ns = at_ns.unwrap_or(self.seen_ns);
        }
        let request = flight.request as usize;
        let asked = self.trial.prepared.asked[request];
        let template = &mut self.templates[request];
        if connection.reader.is_none() {
            if let Some(whole) = template.whole(bytes, asked) {
                let flight = *flight;
                return self.judge(number, flight, &whole, at_ns);
            }
            connection.reader = Some(self.readers.pop().unwrap_or_default());
        }
        let Some(reader) = &mut connection.reader else { return Next::Close };
        match reader.push(bytes, asked, template) {
            Ok(progress) => self.progress(number, progress, at_ns),
            Err(malformed) => {
                connection.state = State::Closed;
                failed(connection, number, malformed.into(), self.seen_ns, self.trial);
                Next::Close
            }
        }
    }

    fn progress(&mut self, number: u32, progress: Progress, at_ns: Option<u64>) -> Next {
        match progress {
            Progress::Whole => self.whole(number, at_ns),
            Progress::More { skip } => {
                self.large_bodies |= skip >= LARGE_BODY;
                Next::Skip(skip)
            }
            Progress::Continue => {
                if let Some(flight) = &mut self.connections[number as usize].flight
                    && std::mem::take(&mut flight.waits)
                {
                    self.resume.push(number);
                }
                Next::More
            }
        }
    }

    /// Follows a redirect, if it is one that is followed: its next request goes out on the same connection.
    fn follow(&mut self, number: u32, flight: Flight, whole: &Whole<'_>, at_ns: Option<u64>) -> Option<Next> {
        let trial = &mut *self.trial;
        if u32::from(flight.redirects) >= trial.redirects
            || !is_redirect(whole.status)
            || trial.capture.is_some()
        {
            return None;
        }
        let connection = &mut self.connections[number as usize];
        let prepared = &trial.prepared;
        let asked = match &connection.made {
            Some(made) => &made.request,
            None => &prepared.requests[flight.request as usize],
        };
        let unsent = (flight.written as usize) < length_of(connection, prepared, flight);
        let closes =
            !whole.keep_alive || unsent || !prepared.keep_alive || prepared.closes[flight.request as usize];
        let next = redirected(asked, whole, prepared.scheme, &prepared.host)?;
        connection.made = Some(Box::new(Made::new(next, prepared).ok()?));
        trial.recorder.redirects += 1;
        trial.recorder.answered(whole.status);
        self.answers += 1;
        self.unstamped += u32::from(at_ns.is_none());
        let mut flight = Flight { redirects: flight.redirects + 1, opened: true, waits: false, ..flight };
        (flight.sent_ns, flight.first_ns, flight.written) = (0, 0, 0);
        if closes {
            connection.state = State::Closed;
            flight.again_ns = self.seen_ns;
            trial.again.push(Reverse((flight.again_ns, number)));
        } else {
            self.resume.push(number);
        }
        connection.flight = Some(flight);
        Some(if closes { Next::Close } else { Next::More })
    }

    /// An answer that came in pieces is whole.
    fn whole(&mut self, number: u32, at_ns: Option<u64>) -> Next {
        let connection = &mut self.connections[number as usize];
        let (Some(mut reader), Some(flight)) = (connection.reader.take(), connection.flight) else {
            return Next::Close;
        };
        let next = match reader.whole() {
            Some(whole) => self.judge(number, flight, &whole, at_ns),
            None => Next::Close,
        };
        if reader.capacity() <= LARGE_READER {
            reader.clear();
            self.readers.push(reader);
        }
        next
    }

    fn judge(&mut self, number: u32, flight: Flight, whole: &Whole<'_>, at_ns: Option<u64>) -> Next {
        // A stamp is read from another clock: never before the request went out.
        let done_ns = at_ns.unwrap_or(self.seen_ns).max(flight.sent_ns);
        let asked_ns = flight.asked_ns().unwrap_or(flight.begun_ns);
        if done_ns <= asked_ns.saturating_add(self.trial.timeout_ns)
            && let Some(next) = self.follow(number, flight, whole, at_ns)
        {
            return next;
        }
        let request = &self.trial.prepared.requests[flight.request as usize];
        let mut judged = if done_ns > asked_ns.saturating_add(self.trial.timeout_ns) {
            Err(Failure::TimedOut)
        } else {
            judge(&request.expect, whole)
        };
        if self.trial.redirects > 0 && judged.is_ok() && is_redirect(whole.status) {
            // Too many of them, or to another origin.
            judged = Err(Failure::WrongStatus);
        }
        let connection = &mut self.connections[number as usize];
        if let Some(sequence) = &self.trial.sequence {
            if judged.is_ok() && !connection.user.goes_on(sequence, whole) {
                judged = Err(Failure::WrongBody);
            }
            if judged.is_err() {
                connection.user.begins_again();
            }
        }
        let recorder = &mut self.trial.recorder;
        recorder.answered(whole.status);
        match (&mut self.trial.capture, judged) {
            (Some(capture), _) => {
                *capture = Some(Answer {
                    status: whole.status,
                    head: String::from_utf8_lossy(whole.head).into_owned(),
                    body: whole.body.to_vec(),
                });
            }
            (None, Ok(())) => recorder.counts.completed += 1,
            (None, Err(failure)) => recorder.failed(failure, request, Some(whole.status), whole.body),
        }
        self.answers += 1;
        if at_ns.is_none() {
            self.unstamped += 1;
            recorder.unstamped += 1;
        }
        let seen_ns = self.seen_ns.max(done_ns);
        self.trial.settle(flight, done_ns, seen_ns, judged.is_ok());
        let connection = &mut self.connections[number as usize];
        let unsent = (flight.written as usize) < length_of(connection, &self.trial.prepared, flight);
        connection.made = None;
        connection.flight = None;
        connection.free_ns = done_ns;
        self.trial.freed.push((number, Freed::Done));
        // An answer to half a request leaves the other half in the way of the next.
        let prepared = &self.trial.prepared;
        if !whole.keep_alive || unsent || !prepared.keep_alive || prepared.closes[flight.request as usize] {
            connection.state = State::Closed;
            return Next::Close;
        }
        Next::More
    }
}

/// Bytes of the request that a connection is asked.
fn length_of(connection: &Connection, prepared: &Prepared, flight: Flight) -> usize {
    match &connection.made {
        Some(made) if made.framed.is_none() => made.bytes.len(),
        Some(_) => 0,
        None => prepared.bytes[flight.request as usize].len(),
    }
}

/// A head by HTTP/2 as HTTP/1.1 would write it, for people.
fn head_text(head: &http::response::Parts) -> String {
    let mut text = format!("HTTP/2 {}\r\n", head.status);
    for (name, value) in &head.headers {
        text += &format!("{name}: {}\r\n", String::from_utf8_lossy(value.as_bytes()));
    }
    text
}
