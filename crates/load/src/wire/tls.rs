//! TLS over a wire, by rustls: plain bytes above, records below. No sockets here: what is to be sent is kept until
//! the link hands it to the wire.

use std::{
    io::{self, Read, Write},
    sync::Arc,
};

use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::options::{Protocol, TlsOptions, Trust};

/// The protocol's name in ALPN (RFC 7301).
const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// Plain bytes that are handed on at once.
const PLAIN: usize = 64 * 1024;

/// The TLS side of every connection.
pub struct TlsLayer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    protocol: Protocol,
    sessions: Vec<Option<Box<Session>>>,
    plain: Vec<u8>,
}

struct Session {
    tls: ClientConnection,
    output: Vec<u8>,
    ready: bool,
}

/// What came out of records.
pub enum Plain<'a> {
    /// The handshake is done.
    Ready,
    /// Bytes for above.
    Bytes(&'a [u8]),
}

/// What a server without HTTP/2 means, whether it sends an alert or is silent about it.
const NO_HTTP_2: &str = "the server doesn't agree to the protocol (ALPN): does it speak HTTP/2?";

fn refused(error: rustls::Error) -> io::Error {
    match error {
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => invalid(NO_HTTP_2),
        error => invalid(error),
    }
}

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {error}"))
}

impl TlsLayer {
    /// # Errors
    /// The name is neither a DNS name nor an address; no authority can be read.
    pub fn new(options: &TlsOptions, protocol: Protocol) -> io::Result<Self> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?;
        let mut config = match &options.trust {
            Trust::Anybody => {
                let verifier = Arc::new(Anybody(provider));
                builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
            }
            trust => builder.with_root_certificates(authorities(trust)?).with_no_client_auth(),
        };
        config.alpn_protocols = vec![match protocol {
            Protocol::Http1 => HTTP_1_1.to_vec(),
            Protocol::Http2 => HTTP_2.to_vec(),
        }];
        let name = ServerName::try_from(options.server_name.clone()).map_err(invalid)?;
        Ok(Self { config: Arc::new(config), name, protocol, sessions: Vec::new(), plain: vec![0; PLAIN] })
    }

    /// Begins a handshake.
    pub fn begin(&mut self, index: usize) -> io::Result<()> {
        let mut tls = ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(invalid)?;
        let mut output = Vec::new();
        tls.write_tls(&mut output)?;
        if self.sessions.len() <= index {
            self.sessions.resize_with(index + 1, || None);
        }
        self.sessions[index] = Some(Box::new(Session { tls, output, ready: false }));
        Ok(())
    }

    /// Forgets a connection.
    pub fn end(&mut self, index: usize) {
        if let Some(session) = self.sessions.get_mut(index) {
            *session = None;
        }
    }

    /// Takes records, and tells what is in them.
    ///
    /// # Errors
    /// They aren't TLS, the certificate isn't believed, or the server speaks another protocol.
    pub fn receive(
        &mut self,
        index: usize,
        mut records: &[u8],
        tell: &mut dyn FnMut(Plain<'_>),
    ) -> io::Result<()> {
        let Some(Some(session)) = self.sessions.get_mut(index) else { return Ok(()) };
        while !records.is_empty() {
            if session.tls.read_tls(&mut records)? == 0 {
                break;
            }
            let processed = session.tls.process_new_packets().map_err(refused);
            // An alert for the other side, or the next step of the handshake.
            while session.tls.wants_write() {
                session.tls.write_tls(&mut session.output)?;
            }
            processed?;
            if !session.ready && !session.tls.is_handshaking() {
                session.ready = true;
                if self.protocol == Protocol::Http2 && session.tls.alpn_protocol() != Some(HTTP_2) {
                    return Err(invalid(NO_HTTP_2));
                }
                tell(Plain::Ready);
            }
            loop {
                match session.tls.reader().read(&mut self.plain) {
                    Ok(0) => break,
                    Ok(length) => tell(Plain::Bytes(&self.plain[..length])),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Whether the handshake of a connection is done.
    pub fn ready(&self, index: usize) -> bool {
        matches!(self.sessions.get(index), Some(Some(session)) if session.ready)
    }

    /// Puts plain bytes into records.
    pub fn send(&mut self, index: usize, mut bytes: &[u8]) -> io::Result<()> {
        let Some(Some(session)) = self.sessions.get_mut(index) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        while !bytes.is_empty() {
            let length = session.tls.writer().write(bytes)?;
            bytes = &bytes[length..];
            while session.tls.wants_write() {
                session.tls.write_tls(&mut session.output)?;
            }
        }
        Ok(())
    }

    /// Records that are to be sent; whoever sends them takes them out.
    pub fn output(&mut self, index: usize) -> Option<&mut Vec<u8>> {
        Some(&mut self.sessions.get_mut(index)?.as_mut()?.output)
    }
}

fn authorities(trust: &Trust) -> io::Result<RootCertStore> {
    let mut store = RootCertStore::empty();
    if let Trust::Authorities(path) = trust {
        let failed = |error: &dyn std::fmt::Display| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{}: no certificates in PEM: {error}", path.display()),
            )
        };
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))? {
            store.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
        }
        if store.is_empty() {
            return Err(failed(&"the file has none"));
        }
        return Ok(store);
    }
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("this system has no certificate authorities{why}"),
        ));
    }
    Ok(store)
}

/// Believes every certificate, and still checks that the server has its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
