//! `dyno load`: loads one URL, or a mix of requests. Needs no home, no catalogue, no cache.

mod error;
mod order;
mod place;

use std::process::ExitCode;

use dyno_load::drive;
use dyno_model::{
    load::{Expect, ExpectBody, ExpectStatus, Request},
    traffic::{Kind, Origin, Scheme, Traffic},
};

pub use error::LoadCommandError;

use crate::{
    arguments::{Common, Format, LoadOptions},
    exit::{self, Error},
    stop::STOP,
};

/// `dyno load`.
pub fn load(common: &Common, options: &LoadOptions) -> Result<ExitCode, Error> {
    let traffic = traffic(options)?;
    let origin = traffic.origin.clone().ok_or_else(|| LoadCommandError::Options("no URL".to_owned()))?;
    let place = place::find(&origin, &options.connection)?;
    let order = order::order(options, &traffic, &origin, place.target)?;
    let driven = drive(&order.drive, &STOP, &mut |_| {})?;
    let output = dyno_analyse::load::output(
        &dyno_analyse::load::Setting {
            url: options.url.clone().unwrap_or_default(),
            load: order.words,
            service_time: !matches!(order.drive.model, dyno_load::DriveModel::Open { .. }),
        },
        &driven.outcome,
    );
    if common.format == Format::Json {
        println!("{}", serde_json::to_string_pretty(&output)?);
    } else {
        println!("{output:#?}");
    }
    let stopped = STOP.load(std::sync::atomic::Ordering::Relaxed);
    Ok(ExitCode::from(match () {
        () if stopped => exit::STOPPED,
        () if output.completed == 0 => exit::NOTHING_MEASURED,
        () => 0,
    }))
}

fn traffic(options: &LoadOptions) -> Result<Traffic, LoadCommandError> {
    let url = options.url.clone().unwrap_or_default();
    let bad = || LoadCommandError::Options(format!("`{url}` isn't a URL\n  example: http://127.0.0.1:8000/"));
    let (scheme, rest) = url.split_once("://").ok_or_else(bad)?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let port = if port.is_empty() { scheme.default_port() } else { port.parse().map_err(|_| bad())? };
    let request = Request {
        method: "GET".to_owned(),
        target: if path.is_empty() { "/".to_owned() } else { path.to_owned() },
        headers: Vec::new(),
        body: Vec::new(),
        expect: Expect { status: ExpectStatus::Success, body: ExpectBody::Any },
    };
    Ok(Traffic {
        origin: Some(Origin { scheme, host: host.to_owned(), port }),
        kinds: vec![Kind { name: "GET".to_owned(), weight: 1.0, requests: vec![request] }],
    })
}
