//! Options of `dyno load`, under the names that wrk, oha, vegeta and curl gave them.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

use clap::{Args, ValueEnum};
use dyno_model::{Rate, Slos, Span, Stages};

use super::some_time;

const USAGE: &str = "\
dyno load [OPTIONS] URL
       for instance: dyno load http://127.0.0.1:8000/contacts -c 64 -d 10s
                     dyno load http://127.0.0.1:8000/contacts --rate 500/s --slo p99=50ms";

const EXAMPLES: &str = "\
Examples:
  dyno load http://127.0.0.1:8000/ -c 64 -d 10s           closed loop: how much does it take?
  dyno load http://127.0.0.1:8000/ --rate 500/s -d 30s    open loop: how long do people wait?
  dyno load http://127.0.0.1:8000/ --stages 10s:100/s,30s:100/s..500/s
  dyno load http://127.0.0.1:8000/pay --json '{\"sum\": 5}' --expect-status 201 -n 1000
  dyno load 'http://127.0.0.1:8000/contacts/{{id}}' --data rows.csv --rate 200/s
  dyno load --mix shop.toml --rate 200/s --slo p99=50ms,errors=0.1%

Exit codes:
  0  done, and every goal of --slo was met      4    nothing could be measured: no name,
  1  a goal was missed                               no connection, not one right answer
  2  wrong usage                                6    a file can't be written or read
                                                130  stopped by Ctrl-C; what was measured is printed";

/// Options of `dyno load`.
#[derive(Args, Debug)]
#[command(override_usage = USAGE, after_help = EXAMPLES)]
pub struct LoadOptions {
    /// Where to: `http://` or `https://`; with --mix the base of its paths
    #[arg(value_name = "URL", required_unless_present_any = ["mix", "replay"])]
    pub url: Option<String>,
    /// When requests are sent.
    #[command(flatten)]
    pub model: ModelOptions,
    /// What is sent.
    #[command(flatten)]
    pub request: RequestOptions,
    /// Which answers are right.
    #[command(flatten)]
    pub answer: AnswerOptions,
    /// How the server is spoken to.
    #[command(flatten)]
    pub connection: ConnectionOptions,
    /// What is made of it.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// When requests are sent.
#[derive(Args, Debug)]
#[command(next_help_heading = "When")]
pub struct ModelOptions {
    /// Connections over all threads
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections: u32,
    /// Threads, at most one for each CPU; with one, a core of this machine is the most it uses
    #[arg(long, short, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub threads: u32,
    /// How long, without the warm-up [default: 10s, or until --requests are done]
    #[arg(long, short, value_name = "SPAN", conflicts_with_all = ["stages", "replay"], value_parser = some_time)]
    pub duration: Option<Span>,
    /// Stops after so many requests
    #[arg(long, short = 'n', value_name = "N", conflicts_with_all = ["stages", "replay", "warm_up"],
          value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Load before that isn't measured
    #[arg(long, value_name = "SPAN", default_value = "0s", conflicts_with = "replay")]
    pub warm_up: Span,
    /// Closed loop: time from an answer to the next request on its connection
    #[arg(long, value_name = "SPAN", conflicts_with_all = ["rate", "stages", "replay"])]
    pub think: Option<Span>,
    /// Open loop: requests are due at this rate, whatever the server does
    #[arg(long, short, value_name = "RATE", conflicts_with_all = ["stages", "replay"])]
    pub rate: Option<Rate>,
    /// How requests of --rate and --stages are spread [default: poisson]
    #[arg(long, value_enum, value_name = "LAW", conflicts_with_all = ["replay", "think"])]
    pub arrivals: Option<ArrivalsOption>,
    /// Open loop: when requests go out: each at its time (exact), gathered into ticks (tick=250us), or as it pays where
    /// wake-ups are dear (auto)
    #[arg(long, value_name = "exact|tick=SPAN|auto", default_value = "auto")]
    pub pacing: PacingOption,
    /// Open loop in stages: 10s:100/s,30s:100/s..500/s
    #[arg(long, value_name = "STAGES", conflicts_with = "replay")]
    pub stages: Option<Stages>,
    /// Open loop by a file of times (CSV: at,request), or a HAR recording with its own times
    #[arg(long, value_name = "FILE")]
    pub replay: Option<PathBuf>,
    /// Seed of arrivals and of the mix: the same seed sends the same schedule
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}

/// What is sent.
#[derive(Args, Debug)]
#[command(next_help_heading = "What")]
pub struct RequestOptions {
    /// Method [default: GET, or POST with a body]
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub method: Option<String>,
    /// A header, as often as needed: 'Accept: text/html'
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    pub headers: Vec<String>,
    /// A body: a text, or @FILE
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with_all = ["json", "form"])]
    pub body: Option<String>,
    /// A JSON body: a text, or @FILE
    #[arg(long, value_name = "JSON|@FILE", conflicts_with = "form")]
    pub json: Option<String>,
    /// A field of a form, as often as needed: name=value
    #[arg(long, value_name = "NAME=VALUE")]
    pub form: Vec<String>,
    /// Sends the body in chunks, without saying its length (HTTP/1.1)
    #[arg(long)]
    pub chunked: bool,
    /// CSV rows for {{column}} in URL, headers, body and expected answer; one request for each row, in turn
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Requests by weight from a TOML file, or those of a HAR recording
    #[arg(long, value_name = "FILE", conflicts_with_all = ["method", "headers", "body", "json", "form", "chunked", "data"])]
    pub mix: Option<PathBuf>,
}

/// Which answers are right.
#[derive(Args, Debug)]
#[command(next_help_heading = "Right answers")]
pub struct AnswerOptions {
    /// The right status [default: any from 200 to 399]
    #[arg(long, value_name = "STATUS", conflicts_with = "mix", value_parser = clap::value_parser!(u16).range(200..=599))]
    pub expect_status: Option<u16>,
    /// The right body: a text, or @FILE
    #[arg(long, value_name = "TEXT|@FILE", conflicts_with_all = ["mix", "expect_json", "expect_size"])]
    pub expect_body: Option<String>,
    /// What a JSON answer must at least have: a text, or @FILE
    #[arg(long, value_name = "JSON|@FILE", conflicts_with_all = ["mix", "expect_size"])]
    pub expect_json: Option<String>,
    /// The right number of bytes
    #[arg(long, value_name = "BYTES", conflicts_with = "mix")]
    pub expect_size: Option<u64>,
}

/// How the server is spoken to.
#[derive(Args, Debug)]
#[command(next_help_heading = "How")]
pub struct ConnectionOptions {
    /// Longest wait for an answer; longer ones are failures
    #[arg(long, value_name = "SPAN", default_value = "10s", value_parser = some_time)]
    pub timeout: Span,
    /// Longest wait for a connection
    #[arg(long, value_name = "SPAN", default_value = "5s", value_parser = some_time)]
    pub connect_timeout: Span,
    /// Follows redirects within the origin, so many for a request at most; each is counted
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50))]
    pub redirects: u32,
    /// A new connection for each request
    #[arg(long, conflicts_with = "http2")]
    pub no_keep_alive: bool,
    /// HTTP/2: by ALPN with https, with prior knowledge (h2c) with http
    #[arg(long)]
    pub http2: bool,
    /// HTTP/2: requests in flight on each connection at once
    #[arg(long, value_name = "N", requires = "http2", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub streams: u32,
    /// Believe any certificate
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Believe the authorities of this PEM file instead of the system's
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// A certificate of the client in PEM, with those that lead to its authority
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// The private key of --cert in PEM [default: in the same file]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Connect elsewhere: HOST1:PORT1:HOST2:PORT2 goes to HOST2:PORT2 instead of HOST1:PORT1, an empty one stands for any;
    /// `Host` and certificate stay those of the URL. Several that fit are taken in turn
    #[arg(long, value_name = "FROM:TO", conflicts_with = "unix_socket")]
    pub connect_to: Vec<ConnectTo>,
    /// Open connections to all addresses of a name in turn, instead of the first that takes one
    #[arg(long, conflicts_with = "unix_socket")]
    pub all_addresses: bool,
    /// Connect to this unix socket; the URL says host and path
    #[arg(long, value_name = "PATH")]
    pub unix_socket: Option<PathBuf>,
    /// `Host` of the requests, and the name that a certificate must have, instead of the URL's
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// IPv4 addresses only
    #[arg(short = '4', long, conflicts_with_all = ["ipv6", "unix_socket"])]
    pub ipv4: bool,
    /// IPv6 addresses only
    #[arg(short = '6', long, conflicts_with = "unix_socket")]
    pub ipv6: bool,
    /// How to wait and move bytes
    #[arg(long, value_enum, default_value_t = EngineOption::Best)]
    pub engine: EngineOption,
}

/// What is made of it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Results")]
pub struct OutputOptions {
    /// Goals that set the exit code: p99=50ms,errors=0.1%,rate>500/s
    #[arg(long, value_name = "GOALS")]
    pub slo: Vec<Slos>,
    /// Writes latencies as an HdrHistogram interval log, interval by interval
    #[arg(long, value_name = "FILE")]
    pub hlog: Option<PathBuf>,
    /// Writes a line of CSV for each interval
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Serves Prometheus text while the load runs; on loopback unless an address is given
    #[arg(long, value_name = "[ADDRESS:]PORT")]
    pub prometheus: Option<ListenAddress>,
}

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArrivalsOption {
    /// Independent of each other, as those of many users are.
    Poisson,
    /// Evenly spaced: for tests of instruments, for it flatters servers.
    Uniform,
}

/// How to wait and move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineOption {
    /// io_uring where the kernel has what it needs, else epoll.
    Best,
    /// io_uring, or an error.
    #[value(name = "io_uring")]
    IoUring,
    /// epoll.
    Epoll,
}

/// Where to connect instead, as curl writes it: `HOST1:PORT1:HOST2:PORT2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectTo {
    /// Of these; `None` for any.
    from: (Option<String>, Option<u16>),
    /// To these; `None` for the same.
    to: (Option<String>, Option<u16>),
}

/// A text that says no other place.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` says no other place: write HOST1:PORT1:HOST2:PORT2, IPv6 addresses in brackets, for instance \
     `example.org:443:127.0.0.1:8443` or `::127.0.0.2:`"
)]
pub struct ConnectToError(String);

impl ConnectTo {
    /// The host and port to connect to, where this fits.
    pub fn place(&self, host: &str, port: u16) -> Option<(String, u16)> {
        let fits = self.from.0.as_deref().is_none_or(|from| from.eq_ignore_ascii_case(host))
            && self.from.1.is_none_or(|from| from == port);
        fits.then(|| (self.to.0.clone().unwrap_or_else(|| host.to_owned()), self.to.1.unwrap_or(port)))
    }
}

impl FromStr for ConnectTo {
    type Err = ConnectToError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ConnectToError(text.to_owned());
        let mut parts = Vec::new();
        let mut rest = Some(text);
        while let Some(text) = rest {
            let (part, after) = match text.strip_prefix('[') {
                Some(inner) => {
                    let (address, after) = inner.split_once(']').ok_or_else(error)?;
                    (address, after)
                }
                None => text.split_at(text.find(':').unwrap_or(text.len())),
            };
            parts.push(part);
            rest = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or_else(error)?),
            };
        }
        let [from_host, from_port, to_host, to_port] = parts[..] else { return Err(error()) };
        let host = |host: &str| (!host.is_empty()).then(|| host.to_owned());
        let port = |port: &str| match port {
            "" => Ok(None),
            port => port.parse().ok().filter(|&port| port > 0).map(Some).ok_or_else(error),
        };
        Ok(Self { from: (host(from_host), port(from_port)?), to: (host(to_host), port(to_port)?) })
    }
}

/// When requests of an open loop go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacingOption {
    /// Each at its time.
    Exact,
    /// Those of a tick together at its end.
    Tick(Span),
    /// As it pays on this machine at this rate.
    Auto,
}

/// A text that says no pacing.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no pacing: write `exact`, `auto`, or the length of a tick up to 100ms, for instance `tick=250us`"
)]
pub struct PacingError(String);

impl FromStr for PacingOption {
    type Err = PacingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "exact" => return Ok(Self::Exact),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        let tick = text.strip_prefix("tick=").and_then(|span| span.parse::<Span>().ok());
        let tick = tick.filter(|tick| *tick > Span::default() && *tick <= Span::milliseconds(100));
        tick.map(Self::Tick).ok_or_else(|| PacingError(text.to_owned()))
    }
}

/// Where to listen: a port on loopback, or an address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub SocketAddr);

/// A text that is no place to listen.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{0}` is no place to listen: write a port, for instance `9464`, or an address and a port, `0.0.0.0:9464`"
)]
pub struct ListenError(String);

impl FromStr for ListenAddress {
    type Err = ListenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(port) = text.parse() {
            return Ok(Self(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)));
        }
        text.parse().map(Self).map_err(|_| ListenError(text.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_place_is_for_the_hosts_and_ports_that_it_names() {
        let place = |text: &str| {
            text.parse::<ConnectTo>().unwrap().place("h", 80).map(|(host, port)| format!("{host} {port}"))
        };
        assert_eq!(place("h:80:127.0.0.1:8080").as_deref(), Some("127.0.0.1 8080"));
        assert_eq!(place("H:80:[::1]:8080").as_deref(), Some("::1 8080"));
        assert_eq!(place("::127.0.0.2:").as_deref(), Some("127.0.0.2 80"));
        assert_eq!(place("h:::81").as_deref(), Some("h 81"));
        assert_eq!((place("other:80:a:1"), place("h:81:a:1")), (None, None));
        for wrong in ["", "a", "a:1:b", "a:1:b:2:3", "a:x:b:1", "a:0:b:1", "[::1:1:b:1", "a:1:b:70000"] {
            assert!(
                wrong.parse::<ConnectTo>().unwrap_err().to_string().contains("127.0.0.1:8443"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_pacing_is_exact_a_tick_or_chosen() {
        assert_eq!(
            "tick=250us".parse::<PacingOption>().unwrap(),
            PacingOption::Tick("250us".parse().unwrap())
        );
        assert_eq!("auto".parse::<PacingOption>().unwrap(), PacingOption::Auto);
        for wrong in ["", "tick", "tick=", "tick=0s", "tick=1s", "Exact", "250us"] {
            assert!(wrong.parse::<PacingOption>().unwrap_err().to_string().contains("tick=250us"), "{wrong}");
        }
    }

    #[test]
    fn a_port_alone_is_on_loopback() {
        let listen = |text: &str| text.parse::<ListenAddress>().map(|one| one.to_string());
        assert_eq!(listen("9464").unwrap(), "127.0.0.1:9464");
        assert_eq!(listen("0.0.0.0:1").unwrap(), "0.0.0.0:1");
        assert_eq!(listen("[::1]:1").unwrap(), "[::1]:1");
        for wrong in ["", "x", "70000", "localhost:1"] {
            assert!(listen(wrong).unwrap_err().to_string().contains("for instance `9464`"), "{wrong}");
        }
    }
}
