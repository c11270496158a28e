//! The server itself: loopback or a unix socket, in a thread of its own, gone when dropped.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use axum::{Router, middleware, serve::Listener};
use tokio::{net::TcpStream, sync::watch};
use tokio_io_timeout::TimeoutStream;

use crate::{
    admin::{self, Crew},
    guard::{self, Guard},
    run::{self, RunBoard},
};

/// A reader that takes nothing for so long is dropped.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);

/// What a server shows.
#[derive(Clone)]
pub enum Site {
    /// What `dyno up` has up.
    Admin(Arc<dyn Crew>),
    /// A run as it goes.
    Run(Arc<RunBoard>),
}

/// Where a server is met.
#[derive(Clone, Debug, Default)]
pub struct Door {
    /// Port on loopback; 0 takes a free one, `None` opens none.
    pub port: Option<u16>,
    /// Whether everybody on this machine may come in without the token.
    pub no_auth: bool,
    /// Folder for the unix socket of the terminal's commands; `None` opens none.
    pub socket: Option<PathBuf>,
    /// Whether the server's thread runs at the lowest priority, beside a measurement.
    pub low_priority: bool,
}

/// A server that can't be started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The port.
    #[error(
        "the page wants 127.0.0.1:{port} and can't have it: {source}; choose another port, or 0 for any free one"
    )]
    Port {
        /// Which.
        port: u16,
        /// What the system says.
        source: io::Error,
    },
    /// The socket, or the runtime.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
}

/// A server that runs until it is dropped.
pub struct Server {
    url: Option<String>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

impl Server {
    /// Opens the doors, and answers from a thread of its own.
    ///
    /// # Errors
    /// A door can't be opened.
    pub fn start(site: &Site, door: &Door) -> Result<Self, ServeError> {
        Self::start_with_patience(site, door, WRITE_PATIENCE)
    }

    fn start_with_patience(site: &Site, door: &Door, patience: Duration) -> Result<Self, ServeError> {
        let system = |what: String| |source| ServeError::System { what, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .build()
            .map_err(system("the page's runtime".to_owned()))?;
        // Listeners are registered with the runtime that they are made in.
        let handle = runtime.handle().clone();
        let _inside = handle.enter();
        let (mut url, mut public) = (None, None);
        if let Some(port) = door.port {
            let bound = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
                .and_then(tokio::net::TcpListener::from_std)
                .map_err(|source| ServeError::Port { port, source })?;
            let port = bound.local_addr().map_or(port, |address| address.port());
            let guard = Guard::new(port, !door.no_auth);
            url = Some(guard.url());
            let router = match site {
                Site::Admin(crew) => admin::router(Arc::clone(crew)),
                Site::Run(board) => run::router(Arc::clone(board)),
            };
            let router = router.layer(middleware::from_fn_with_state(Arc::new(guard), guard::check));
            public = Some((Patient { listener: bound, patience }, router));
        }
        let mut private = None;
        if let (Some(folder), Site::Admin(crew)) = (&door.socket, site) {
            let listener = bind_private(folder).map_err(system(folder.display().to_string()))?;
            private = Some((listener, admin::private_router(Arc::clone(crew), url.clone())));
        }
        let (stop, stopped) = watch::channel(false);
        let low = door.low_priority;
        let run = move || {
            if low {
                lowest_priority();
            }
            runtime.block_on(async {
                tokio::select! {
                    () = serve(public) => {}
                    () = serve(private) => {}
                    () = wait(stopped) => {}
                }
            });
            // Streams have no end of their own: their connections end with the runtime.
            runtime.shutdown_timeout(Duration::from_secs(1));
        };
        let thread = thread::Builder::new().name("page".to_owned()).spawn(run);
        let thread = Some(thread.map_err(system("the page's thread".to_owned()))?);
        let socket = door.socket.as_deref().map(socket_path);
        Ok(Self { url, stop, thread, socket })
    }

    /// The address to open, token included; `None` without a port.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if let Some(socket) = &self.socket {
            let _ = fs::remove_file(socket);
        }
    }
}

async fn wait(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Never ends by itself, nor without a door.
async fn serve<L: Listener<Addr: std::fmt::Debug>>(door: Option<(L, Router)>) {
    if let Some((listener, router)) = door {
        let _ = axum::serve(listener, router).await;
    }
    std::future::pending().await
}

/// Takes connections whose writes have an end: whoever asks for a stream and never reads isn't kept for ever.
struct Patient {
    listener: tokio::net::TcpListener,
    patience: Duration,
}

impl Listener for Patient {
    type Io = Pin<Box<TimeoutStream<TcpStream>>>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.patience));
        (Box::pin(stream), address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// The socket in its folder.
pub fn socket_path(folder: &Path) -> PathBuf {
    folder.join("dyno.sock")
}

/// A socket for this user only. The folder is closed to others before the socket is in it, so there is no moment at
/// which it is open.
fn bind_private(folder: &Path) -> io::Result<tokio::net::UnixListener> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        }
        other => other?,
    }
    let path = socket_path(folder);
    // One that a killed dyno left: the cache admits one dyno at a time, so nobody listens there.
    let _ = fs::remove_file(&path);
    let (_open, short) = short_path(folder)?;
    let listener = tokio::net::UnixListener::bind(short)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// A unix socket's path has at most 107 bytes, a cache's path may have more: a folder that is open has a short name.
pub fn short_path(folder: &Path) -> io::Result<(fs::File, PathBuf)> {
    use std::os::fd::AsRawFd;
    let open = fs::File::open(folder)?;
    let path = socket_path(&PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())));
    Ok((open, path))
}

/// CPU time of this process's page threads so far, in nanoseconds: what a page costs the machine that it sits on.
pub fn cpu_ns() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let read =
        |task: &fs::DirEntry, name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
    let ours = tasks.filter(|task| read(task, "comm").starts_with("page"));
    ours.filter_map(|task| read(&task, "schedstat").split_whitespace().next()?.parse::<u64>().ok()).sum()
}

/// Makes the calling thread give way to everything else.
pub fn lowest_priority() {
    // SAFETY: setpriority touches nothing but the priority of the thread whose number is given.
    unsafe {
        let thread = nix::libc::gettid().cast_unsigned();
        nix::libc::setpriority(nix::libc::PRIO_PROCESS, thread, 19);
    }
}

#[cfg(test)]
mod tests;
