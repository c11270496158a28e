//! HTTPS servers that close as servers on asyncio and uvloop do: they send `close_notify` and leave TCP open until the
//! client closes it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};

/// A certificate for `localhost` with its key, both in PEM.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// The certificate.
    pub pem: String,
    /// Its private key.
    pub key_pem: String,
}

impl Certificate {
    /// Signed by itself and an authority (`CA:TRUE`), as `openssl req -x509` makes it.
    ///
    /// # Panics
    /// The library can't make a certificate.
    pub fn authority() -> Self {
        Self::made(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))
    }

    /// The same, and no longer valid.
    ///
    /// # Panics
    /// The library can't make a certificate.
    pub fn expired_authority() -> Self {
        Self::made(|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        })
    }

    /// Signed by itself and no authority.
    ///
    /// # Panics
    /// The library can't make a certificate.
    pub fn plain() -> Self {
        Self::made(|_| ())
    }

    fn made(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a DNS name");
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { pem, key_pem: key.serialize_pem() }
    }
}

/// What a server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsWay {
    /// Answers every request with `yes`.
    Answers,
    /// Answers, and ends a connection that was idle for so long.
    EndsIdle(Duration),
    /// Answers with a body whose end is the end of the connection.
    EndsBody,
    /// Reads a request and ends without an answer.
    EndsInstead,
    /// Agrees to HTTP/2 and ends after its own first frame.
    Http2Ends,
}

/// An HTTPS server on a free loopback port, one thread for each connection, gone when dropped.
pub struct TlsServer {
    address: SocketAddr,
    seen: Arc<AtomicU64>,
    ended: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl TlsServer {
    /// Starts a server. With `clients`, only a client with that certificate is served.
    ///
    /// # Panics
    /// No loopback port can be bound, or the certificates can't be used.
    pub fn start(way: TlsWay, own: &Certificate, clients: Option<&Certificate>) -> Self {
        let config = Arc::new(config(way, own, clients));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("a bound port has an address");
        let server = Self { address, seen: Arc::default(), ended: Arc::default(), stop: Arc::default() };
        let (seen, ended, stop) =
            (Arc::clone(&server.seen), Arc::clone(&server.ended), Arc::clone(&server.stop));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let (config, seen, ended) = (Arc::clone(&config), Arc::clone(&seen), Arc::clone(&ended));
                thread::spawn(move || serve(stream, config, way, &seen, &ended));
            }
        });
        server
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Requests that it has read.
    pub fn seen(&self) -> u64 {
        self.seen.load(Ordering::SeqCst)
    }

    /// Connections that it has ended by `close_notify`.
    pub fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, so that it sees the stop and frees the port.
        let _ = TcpStream::connect(self.address);
    }
}

fn config(way: TlsWay, own: &Certificate, clients: Option<&Certificate>) -> ServerConfig {
    let provider = Arc::new(ring::default_provider());
    let certificate = CertificateDer::from_pem_slice(own.pem.as_bytes()).expect("a certificate in PEM");
    let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).expect("a key in PEM");
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let mut roots = RootCertStore::empty();
            let der = CertificateDer::from_pem_slice(client.pem.as_bytes()).expect("a certificate in PEM");
            roots.add(der).expect("an authority");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    let mut config = builder.with_single_cert(vec![certificate], key).expect("a key for the certificate");
    let protocol: &[u8] = if way == TlsWay::Http2Ends { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![protocol.to_vec()];
    config
}

fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    way: TlsWay,
    seen: &AtomicU64,
    ended: &AtomicU64,
) -> io::Result<()> {
    let tls = ServerConnection::new(config).map_err(io::Error::other)?;
    let mut tls = StreamOwned::new(tls, stream);
    if let TlsWay::EndsIdle(idle) = way {
        tls.sock.set_read_timeout(Some(idle))?;
    }
    if way == TlsWay::Http2Ends {
        // Handshake, then an empty SETTINGS frame.
        let mut preface = [0; 24];
        tls.read_exact(&mut preface)?;
        tls.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0])?;
        return end(tls, ended);
    }
    loop {
        match read_head(&mut tls) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                return end(tls, ended);
            }
            Err(error) => return Err(error),
        }
        seen.fetch_add(1, Ordering::SeqCst);
        match way {
            TlsWay::EndsBody => {
                tls.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nyes")?;
                return end(tls, ended);
            }
            TlsWay::EndsInstead => return end(tls, ended),
            _ => tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes")?,
        }
    }
}

/// Reads up to an empty line. `false` when the client has ended.
fn read_head(stream: &mut impl Read) -> io::Result<bool> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(false);
        }
        head.push(byte[0]);
    }
    Ok(true)
}

/// Says that nothing more comes, and waits until the client closes TCP.
fn end(mut tls: StreamOwned<ServerConnection, TcpStream>, ended: &AtomicU64) -> io::Result<()> {
    tls.conn.send_close_notify();
    tls.flush()?;
    ended.fetch_add(1, Ordering::SeqCst);
    tls.sock.set_read_timeout(None)?;
    let mut rest = [0; 1024];
    while tls.sock.read(&mut rest)? > 0 {}
    Ok(())
}
