//! Answers dyno's contract with axum and tokio-postgres: the control app in Rust.

mod about;
mod app;
mod fibonacci;
mod hello;
mod parameters;
mod pool;
mod refusal;
mod settings;
mod store;

use std::{process::ExitCode, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::{
    net::TcpListener,
    runtime,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    time::sleep,
};

use crate::settings::Settings;

/// How long requests that are running may take after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(3);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", about::APP);
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        // As many for fibonacci, which would hold up those that serve.
        .max_blocking_threads(settings.workers)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let pool = pool::open(&settings).await?;
        let address = (settings.host.as_str(), settings.port);
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("{}:{}: {error}", settings.host, settings.port))?;
        serve(listener, app::routes(pool)).await.map_err(|error| error.to_string())
    })
}

/// Answers until SIGTERM or SIGINT, then ends the requests that are running.
async fn serve(listener: TcpListener, routes: Router) -> std::io::Result<()> {
    let (mut term, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (tell, told) = oneshot::channel();
    let asked = async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = interrupt.recv() => {}
        }
        let _ = tell.send(());
    };
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let served = axum::serve(listener, routes).with_graceful_shutdown(asked);
    let overdue = async {
        let _ = told.await;
        sleep(SHUTDOWN).await;
    };
    tokio::select! {
        result = served => result,
        () = overdue => {
            eprintln!("requests still running after {} s are dropped", SHUTDOWN.as_secs());
            Ok(())
        }
    }
}
