//! TLS over a wire, by rustls: plain bytes above, records below. No sockets here: what is to be sent is kept until
//! the link hands it to the wire.

use std::{
    io::{self, Read, Write},
    path::Path,
    sync::Arc,
};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};

use crate::options::{ClientCertificate, Protocol, TlsOptions, Trust};

/// The protocol's name in ALPN (RFC 7301).
const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";
/// Plain bytes that are handed on at once.
const PLAIN: usize = 64 * 1024;

/// The TLS side of every connection.
pub struct TlsLayer {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    trust: Trust,
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
    /// The other side has said that it sends no more (`close_notify`, RFC 8446, 6.1). Whether it also closes TCP is up
    /// to it: servers on asyncio wait for ours first.
    Ended,
}

/// What a server without HTTP/2 means, whether it sends an alert or is silent about it.
const NO_HTTP_2: &str = "the server doesn't agree to the protocol (ALPN): does it speak HTTP/2?";

fn invalid(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("TLS: {error}"))
}

impl TlsLayer {
    /// # Errors
    /// The name is neither a DNS name nor an address; no authority, certificate or key can be read. In words, with the
    /// file and what to do.
    pub fn new(options: &TlsOptions, protocol: Protocol) -> Result<Self, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let builder = match &options.trust {
            Trust::Anybody => {
                let verifier = Arc::new(Anybody(provider));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            Trust::System => builder.with_root_certificates(system()?),
            Trust::Authorities(path) => {
                let verifier = Arc::new(Listed::new(path, provider)?);
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = match &options.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let (chain, key) = client_certificate(client)?;
                builder.with_client_auth_cert(chain, key).map_err(|error| {
                    let (certificate, key) = (client.certificate.display(), client.key.display());
                    format!(
                        "{key} isn't the key of {certificate}: {error}; give both of one pair (--cert, --key)"
                    )
                })?
            }
        };
        config.alpn_protocols = vec![match protocol {
            Protocol::Http1 => HTTP_1_1.to_vec(),
            Protocol::Http2 => HTTP_2.to_vec(),
        }];
        let name = ServerName::try_from(options.server_name.clone()).map_err(|error| {
            format!("`{}` can't be in a certificate: {error}; name the server (--host)", options.server_name)
        })?;
        let trust = options.trust.clone();
        let plain = vec![0; PLAIN];
        Ok(Self { config: Arc::new(config), name, trust, protocol, sessions: Vec::new(), plain })
    }

    /// Why a server isn't believed, and what can be done.
    fn refused(trust: &Trust, error: rustls::Error) -> io::Error {
        let who = match trust {
            Trust::Authorities(path) => path.display().to_string(),
            Trust::System | Trust::Anybody => "this system".to_owned(),
        };
        match error {
            rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => invalid(NO_HTTP_2),
            rustls::Error::AlertReceived(
                alert @ (AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::CertificateUnknown),
            ) => invalid(format!(
                "the server wants a certificate of the client that it believes ({alert:?}): give one with --cert and --key"
            )),
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => invalid(format!(
                "the server's certificate is signed by nobody that {who} knows: give the certificate of its authority, or its \
                 own if it is signed by itself, with --ca FILE; --insecure believes any"
            )),
            rustls::Error::InvalidCertificate(error) if is_authority(&error) => invalid(format!(
                "the server's certificate is an authority's (CA:TRUE) that {who} doesn't have: give it with --ca FILE; \
                 --insecure believes any"
            )),
            rustls::Error::InvalidCertificate(
                error @ (CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }),
            ) => invalid(format!(
                "the server's certificate is for others: {error}; --host gives the name that it must have"
            )),
            rustls::Error::InvalidCertificate(error) => {
                invalid(format!("the server's certificate isn't valid: {error}; --insecure believes any"))
            }
            error => invalid(error),
        }
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
            let trust = &self.trust;
            let processed = session.tls.process_new_packets().map_err(|error| Self::refused(trust, error));
            let ended = matches!(&processed, Ok(state) if state.peer_has_closed());
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
            if ended {
                // Whatever follows is to be ignored.
                tell(Plain::Ended);
                break;
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

/// The certificates of a PEM file; at least one.
fn certificates(path: &Path, option: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let failed = |why: &dyn std::fmt::Display| {
        format!("{}: {why}; {option} takes certificates in PEM (-----BEGIN CERTIFICATE-----)", path.display())
    };
    let found = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
    let found = found.collect::<Result<Vec<_>, _>>().map_err(|error| failed(&error))?;
    if found.is_empty() { Err(failed(&"there is no certificate in it")) } else { Ok(found) }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn client_certificate(client: &ClientCertificate) -> Result<Identity, String> {
    let chain = certificates(&client.certificate, "--cert")?;
    let key = PrivateKeyDer::from_pem_file(&client.key).map_err(|error| {
        let path = client.key.display();
        format!("{path}: {error}; --key takes a private key in PEM, without a password (-----BEGIN PRIVATE KEY-----)")
    })?;
    Ok((chain, key))
}

fn system() -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(format!(
            "this system has no certificate authorities{why}; install them (ca-certificates), or give some with --ca FILE"
        ));
    }
    Ok(store)
}

fn is_authority(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else { return false };
    matches!(other.0.downcast_ref::<webpki::Error>(), Some(webpki::Error::CaUsedAsEndEntity))
}

/// Believes servers whose certificate is signed by one of a file, or is in the file itself: `openssl req -x509` makes
/// authorities (`CA:TRUE`) that sign themselves, which other programs accept as the certificate of the server that is named
/// in it.
#[derive(Debug)]
struct Listed {
    signed: Arc<WebPkiServerVerifier>,
    own: Vec<CertificateDer<'static>>,
}

impl Listed {
    fn new(path: &Path, provider: Arc<CryptoProvider>) -> Result<Self, String> {
        let own = certificates(path, "--ca")?;
        let mut store = RootCertStore::empty();
        for certificate in &own {
            let failed =
                |error| format!("{}: {error}; --ca takes X.509 certificates of version 3", path.display());
            store.add(certificate.clone()).map_err(failed)?;
        }
        let signed = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
            .build()
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self { signed, own })
    }
}

impl ServerCertVerifier for Listed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.signed.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // Its dates are looked at before these two errors are found.
            Err(rustls::Error::InvalidCertificate(error))
                if (is_authority(&error) || error == CertificateError::UnknownIssuer)
                    && self.own.iter().any(|own| own == end_entity) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signed.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
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
