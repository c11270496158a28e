//! `dyno load`: loads one URL, or a mix of requests. Needs no home, no catalogue, no cache.

mod error;
mod logs;
mod order;
mod picture;
mod place;
mod prometheus;

use std::{
    io::Write,
    process::ExitCode,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use dyno_analyse::load::{Parts, Setting, percentiles};
use dyno_load::{Drive, DriveModel, News, checks, drive};
use dyno_model::{
    load::SliceOutcome,
    output::{LoadOutput, PacingOutput, SelfCheckOutcome, SloResult},
    slo::{Figures, Judgement},
    traffic::Traffic,
};
use dyno_plan::traffic::{Replay, SingleRequest, read_replay, read_requests, single};

pub use error::LoadCommandError;

use crate::{
    arguments::{Common, Format, LoadOptions},
    exit::{self, Error},
    output::screen,
    stop::{self, STOP},
};

/// Percentiles that lateness is told of, for they are the ones that are reported.
const REPORTED: [f64; 4] = [0.5, 0.9, 0.99, 0.999];

/// `dyno load`.
pub fn load(common: &Common, options: &LoadOptions) -> Result<ExitCode, Error> {
    let (traffic, replay) = traffic(options)?;
    let origin = traffic.origin.clone().ok_or_else(|| {
        let words = "the mix has no `base`, so a URL is needed\n  example: dyno load http://127.0.0.1:8000 --mix shop.toml";
        LoadCommandError::Options(words.to_owned())
    })?;
    let place = place::find(&origin, &options.connection)?;
    let order = order::order(options, &traffic, &origin, &place, replay.as_ref())?;
    let setting = Setting {
        url: options.url.as_deref().map_or_else(|| origin.to_string(), without_password),
        load: order.words,
        service_time: !matches!(order.drive.model, DriveModel::Open { .. }),
        steady: order.steady,
    };
    let metrics = options.output.prometheus.map(|listen| prometheus::Metrics::serve(listen.0)).transpose()?;
    let mut csv = options.output.csv.as_deref().map(logs::Csv::create).transpose()?;
    let mut picture = picture::Picture::new(common.quiet, order.length);
    let mut parts = Parts::default();
    let begin = Instant::now();
    stop::keep_second();
    let driven = logs::with_hlog(options.output.hlog.as_deref(), &setting, |hlog| {
        let mut failure = None;
        let driven = drive(&order.drive, &STOP, &mut |news: News<'_>| {
            let interval = match news {
                News::Interval(interval) => interval,
                News::Stopping { in_flight, patience } => return picture.stopping(in_flight, patience),
            };
            picture.show(interval);
            if interval.measured {
                parts.add(interval.length.as_secs_f64(), interval.counts.completed, &interval.latency);
            }
            if let Some(metrics) = &metrics {
                metrics.update(interval);
            }
            let written =
                hlog(interval).and_then(|()| csv.as_mut().map_or(Ok(()), |csv| csv.write(interval)));
            if let Err(error) = written {
                failure.get_or_insert(error);
            }
        });
        picture.finish();
        (driven, failure)
    })?;
    let (driven, failure) = driven;
    let driven = driven?;
    let length = begin.elapsed();
    let mut output = dyno_analyse::load::output(&setting, &driven.outcome, parts.all());
    output.pacing = pacing(&order.drive, order.wake_up, &driven.outcome);
    output.checks.extend(checks::examine(&driven, length, &REPORTED));
    let stopped = STOP.load(Ordering::Relaxed);
    if stopped {
        flag_what_was_stopped(&mut output);
    }
    output.checks.sort_by(|a, b| a.id.cmp(&b.id));
    output.slo = goals(options, &driven.outcome);
    if common.format == Format::Json {
        show(&(serde_json::to_string_pretty(&output)? + "\n"))?;
    } else {
        show(&dyno_report::load_summary(&output, &place.words, screen().color))?;
    }
    // What was measured is shown though a log could not be written.
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    Ok(ExitCode::from(code(&output)))
}

/// Prints; whoever reads may have seen enough (`dyno load … | head`).
fn show(text: &str) -> std::io::Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Requests that a stop left unsent are no fault of the engine's; that it was stopped is worth a word.
fn flag_what_was_stopped(output: &mut LoadOutput) {
    output.load += ", stopped";
    let whole = output.planned == output.sent + output.not_sent
        && output.sent == output.completed + output.failed.total();
    if let Some(check) = output.checks.iter_mut().find(|check| check.id == "G1" && whole) {
        check.outcome = SelfCheckOutcome::Flag;
        check.words = format!("stopped: {} of {} requests were not sent", output.not_sent, output.planned);
        if output.failed.stopped > 0 {
            check.words += &format!(", and {} had no answer yet", output.failed.stopped);
        }
    }
}

/// A URL without `user:password@`: it is shown, logged and sent to others.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{host}{}", &rest[end..]),
        None => url.to_owned(),
    }
}

fn code(output: &LoadOutput) -> u8 {
    match () {
        () if STOP.load(Ordering::Relaxed) => exit::STOPPED,
        () if output.completed == 0 => exit::NOTHING_MEASURED,
        () if output.slo.iter().any(|slo| !slo.met) => exit::FAILED,
        () => 0,
    }
}

/// What is sent, and when if that was written down or recorded.
fn traffic(options: &LoadOptions) -> Result<(Traffic, Option<Replay>), Error> {
    let url = options.url.as_deref();
    let replay = options.model.replay.as_deref();
    let recording =
        replay.filter(|path| path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("har")));
    if let Some(path) = recording {
        let request = &options.request;
        if request.mix.is_some()
            || request.method.is_some()
            || request.body.is_some()
            || !request.headers.is_empty()
        {
            let words = "a recording has its own requests: leave out --mix, --method, --header and --body\n  example: dyno load --replay shop.har";
            return Err(LoadCommandError::Options(words.to_owned()).into());
        }
        let requests = read_requests(path, url)?;
        left_out(&requests);
        return Ok((requests.traffic, requests.recorded));
    }
    let traffic = match &options.request.mix {
        Some(path) => {
            let requests = read_requests(path, url)?;
            left_out(&requests);
            requests.traffic
        }
        None => single(&single_request(options)?)?,
    };
    let replay = replay.map(|path| read_replay(path, &traffic)).transpose()?;
    Ok((traffic, replay))
}

fn left_out(requests: &dyno_plan::traffic::Requests) {
    for left in &requests.left_out {
        eprintln!("left out: {left}");
    }
}

fn single_request(options: &LoadOptions) -> Result<SingleRequest, LoadCommandError> {
    let url = options.url.clone().ok_or_else(|| {
        let words = "there is no URL\n  example: dyno load http://127.0.0.1:8000/ --replay times.csv";
        LoadCommandError::Options(words.to_owned())
    })?;
    let (request, answer) = (&options.request, &options.answer);
    Ok(SingleRequest {
        url,
        method: request.method.clone(),
        headers: request.headers.clone(),
        body: request.body.clone(),
        json: request.json.clone(),
        form: request.form.clone(),
        chunked: request.chunked,
        data: request.data.clone(),
        expect_status: answer.expect_status,
        expect_body: answer.expect_body.clone(),
        expect_json: answer.expect_json.clone(),
        expect_size: answer.expect_size,
    })
}

/// How requests were gathered, in an open loop.
fn pacing(drive: &Drive, wake_up: Option<Duration>, outcome: &SliceOutcome) -> Option<PacingOutput> {
    let us = |length: Duration| length.as_nanos() as f64 / 1e3;
    matches!(drive.model, DriveModel::Open { .. }).then(|| PacingOutput {
        bound_us: us(drive.options.pacing.bound()),
        wake_up_us: wake_up.map(us),
        gathered_us: percentiles(&outcome.gathered),
        from_schedule_us: percentiles(&outcome.latency_from_schedule),
    })
}

fn goals(options: &LoadOptions, outcome: &SliceOutcome) -> Vec<SloResult> {
    let figures = Figures::of(outcome);
    let all = options.output.slo.iter().flat_map(|slos| &slos.0);
    all.map(|slo| {
        let judgement = slo.judge(&figures);
        let measured = match judgement {
            Judgement::Unknown => "nothing was measured".to_owned(),
            Judgement::Met | Judgement::Missed => slo.measured(&figures),
        };
        SloResult { slo: slo.to_string(), met: judgement == Judgement::Met, measured }
    })
    .collect()
}
