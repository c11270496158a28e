//! The broker under the workers by the user's choice: the address of one of their own, or a program that dyno starts.

use std::{
    fmt,
    net::{TcpStream, ToSocketAddrs},
    str::FromStr,
    time::Duration,
};

use dyno_model::catalogue::BrokerKind;

use crate::{database::without_password, error::ProvisionError};

/// `redis://…`, `rediss://…`, `amqp://…` or `amqps://…`; shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    url: String,
    scheme: Scheme,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Scheme {
    name: &'static str,
    kind: BrokerKind,
    port: u16,
}

const SCHEMES: [Scheme; 4] = [
    Scheme { name: "redis", kind: BrokerKind::Redis, port: 6379 },
    Scheme { name: "rediss", kind: BrokerKind::Redis, port: 6379 },
    Scheme { name: "amqp", kind: BrokerKind::Amqp, port: 5672 },
    Scheme { name: "amqps", kind: BrokerKind::Amqp, port: 5671 },
];

/// Longest wait for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

impl BrokerUrl {
    /// With its password.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// For people and records.
    pub fn without_password(&self) -> String {
        without_password(&self.url)
    }

    /// What it is, as the manifests of workers have it.
    pub fn kind(&self) -> BrokerKind {
        self.scheme.kind
    }

    /// Whether it can keep results too: Redis can, a broker of messages alone can't.
    pub fn keeps_results(&self) -> bool {
        self.kind() == BrokerKind::Redis
    }

    fn host_and_port(&self) -> (&str, u16) {
        let rest = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next().unwrap_or("");
        let place = authority.rsplit_once('@').map_or(authority, |(_, place)| place);
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.starts_with('[') || host.ends_with(']') => (host, port.parse().ok()),
            _ => (place, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (if host.is_empty() { "127.0.0.1" } else { host }, port.unwrap_or(self.scheme.port))
    }

    /// Whether somebody listens there.
    ///
    /// # Errors
    /// What the system says, within five seconds.
    pub fn reach(&self) -> Result<(), ProvisionError> {
        let refused = |error: std::io::Error| ProvisionError::Broker {
            url: self.without_password(),
            reason: error.to_string(),
        };
        let mut last = std::io::Error::other("it has no address");
        for address in self.host_and_port().to_socket_addrs().map_err(refused)? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(refused(last))
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.without_password())
    }
}

/// What `--broker` may say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BrokerChoice {
    /// One that runs.
    Own(BrokerUrl),
    /// `rabbitmq`: dyno starts one.
    RabbitMq,
}

impl BrokerChoice {
    /// What it is, as the manifests of workers have it.
    pub fn kind(&self) -> BrokerKind {
        match self {
            Self::Own(url) => url.kind(),
            Self::RabbitMq => BrokerKind::Amqp,
        }
    }

    /// The one that runs.
    pub fn own(&self) -> Option<&BrokerUrl> {
        match self {
            Self::Own(url) => Some(url),
            Self::RabbitMq => None,
        }
    }
}

impl fmt::Display for BrokerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own(url) => f.write_str(&url.without_password()),
            Self::RabbitMq => f.write_str("rabbitmq"),
        }
    }
}

impl FromStr for BrokerChoice {
    type Err = NotABroker;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "rabbitmq" { Ok(Self::RabbitMq) } else { text.parse().map(Self::Own) }
    }
}

/// A text that is no broker's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{0}` isn't a broker's address: for instance redis://:password@127.0.0.1:6379/0 or amqp://user:password@127.0.0.1:5672//; \
    or rabbitmq, for one that dyno starts"
)]
pub struct NotABroker(String);

impl FromStr for BrokerUrl {
    type Err = NotABroker;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let scheme = text.split_once("://").and_then(|(scheme, rest)| {
            SCHEMES.into_iter().find(|known| known.name == scheme).filter(|_| !rest.is_empty())
        });
        match scheme {
            Some(scheme) => Ok(Self { url: text.to_owned(), scheme }),
            None => Err(NotABroker(without_password(text))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_brokers_are_understood_and_shown_without_password() {
        for (text, kind, host, port) in [
            ("redis://127.0.0.1", BrokerKind::Redis, "127.0.0.1", 6379),
            ("redis://:secret@cache.example:7000/2?x=1", BrokerKind::Redis, "cache.example", 7000),
            ("rediss://me:secret@[::1]:7000/0", BrokerKind::Redis, "::1", 7000),
            ("amqp://me:se@cret@[::1]//", BrokerKind::Amqp, "::1", 5672),
            ("amqps://broker/vhost", BrokerKind::Amqp, "broker", 5671),
            ("redis:///0", BrokerKind::Redis, "127.0.0.1", 6379),
        ] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!((url.kind(), url.host_and_port()), (kind, (host, port)), "{text}");
            assert!(!format!("{url:?}").contains("secret"), "{url:?}");
            assert_eq!(text.parse(), Ok(BrokerChoice::Own(url)));
        }
        assert_eq!("rabbitmq".parse::<BrokerChoice>().unwrap().kind(), BrokerKind::Amqp);
    }

    #[test]
    fn other_addresses_are_refused_with_an_example() {
        for text in ["", "redis", "redis://", "http://127.0.0.1", "postgres://me:secret@host/x"] {
            let told = text.parse::<BrokerUrl>().unwrap_err().to_string();
            assert!(
                told.contains("redis://:password@127.0.0.1:6379/0") && !told.contains("secret"),
                "{told}"
            );
        }
    }

    #[test]
    fn a_broker_that_nobody_serves_is_named_without_its_password() {
        let url: BrokerUrl = "redis://:secret@127.0.0.1:1/0".parse().unwrap();
        let told = url.reach().unwrap_err().to_string();
        assert!(told.contains("redis://@127.0.0.1:1/0: ") && told.contains("refused"), "{told}");
    }
}
