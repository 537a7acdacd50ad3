//! From PEM files to what handshakes use, checked before anything takes it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::identity::{Identity, identity, node_name};
use super::{TlsError, provider};
use crate::config::TlsFiles;

/// Most bytes that a PEM file may have: a long chain and its comments are far below.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// All that handshakes use, from one reading of the files.
pub(super) struct Loaded {
    /// Of the files' contents: equal means that nothing has changed.
    pub digest: blake3::Hash,
    pub peer_server: Arc<ServerConfig>,
    pub mail_server: Arc<ServerConfig>,
    /// The hash of the certificate that mail clients see, as they bind channels with it.
    pub mail_end_point: Option<Bytes>,
    pub lmtp_server: Arc<ServerConfig>,
    pub peer_client: Arc<ClientConfig>,
    /// Of the node's certificate and the one for mail.
    pub expires: [Duration; 2],
}

/// The files as they are.
pub(super) struct Contents {
    ca: Vec<u8>,
    cert: Vec<u8>,
    key: Vec<u8>,
    mail_cert: Vec<u8>,
    mail_key: Vec<u8>,
    /// Empty if mail clients are not asked for certificates.
    mail_client_ca: Vec<u8>,
}

impl Contents {
    pub fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let (mail_cert, mail_key) = files.mail();
        Ok(Self {
            ca: read_file(&files.ca)?,
            cert: read_file(&files.cert)?,
            key: read_file(&files.key)?,
            mail_cert: read_file(mail_cert)?,
            mail_key: read_file(mail_key)?,
            mail_client_ca: match files.mail_client_ca.as_os_str().is_empty() {
                true => Vec::new(),
                false => read_file(&files.mail_client_ca)?,
            },
        })
    }

    pub fn digest(&self) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new();
        for file in [
            &self.ca,
            &self.cert,
            &self.key,
            &self.mail_cert,
            &self.mail_key,
            &self.mail_client_ca,
        ] {
            hasher.update(&(file.len() as u64).to_le_bytes());
            hasher.update(file);
        }
        hasher.finalize()
    }
}

impl Loaded {
    pub fn read(files: &TlsFiles, node: u64) -> Result<Self, TlsError> {
        Self::check(files, node, &Contents::read(files)?)
    }

    pub fn check(files: &TlsFiles, node: u64, contents: &Contents) -> Result<Self, TlsError> {
        let roots = Arc::new(authorities(&files.ca, &contents.ca)?);
        let own = certified((&files.cert, &contents.cert), (&files.key, &contents.key))?;
        prove_node(&files.cert, &own, &roots, node)?;
        let (mail_cert, mail_key) = files.mail();
        let mail = certified(
            (mail_cert, &contents.mail_cert),
            (mail_key, &contents.mail_key),
        )?;
        let expires = [expiry(&files.cert, &own)?, expiry(mail_cert, &mail)?];
        if expires[1].as_secs() < UnixTime::now().as_secs() {
            tracing::warn!(file = %mail_cert.display(), "the certificate for mail has expired");
        }
        let mail_end_point = mail.end_entity_cert().ok().and_then(end_point);
        let own = Arc::new(SingleCertAndKey::from(own));
        let mail = Arc::new(SingleCertAndKey::from(mail));
        Ok(Self {
            digest: contents.digest(),
            peer_server: peer_server(&files.ca, &roots, Arc::clone(&own))?,
            mail_server: mail_server(files, &contents.mail_client_ca, Arc::clone(&mail))?,
            mail_end_point,
            lmtp_server: lmtp_server(&files.ca, &roots, mail)?,
            peer_client: peer_client(roots, own),
            expires,
        })
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
            return Err(std::io::Error::other("larger than any certificate"));
        }
        std::fs::read(path)
    };
    read().map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn unfit(path: &Path, why: impl ToString) -> TlsError {
    TlsError::Unfit {
        path: path.to_owned(),
        why: why.to_string(),
    }
}

fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unfit(path, format!("not PEM: {error}")))?;
    if chain.is_empty() {
        return Err(unfit(path, "holds no certificate"));
    }
    Ok(chain)
}

fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path, pem)? {
        roots.add(certificate).map_err(|error| unfit(path, error))?;
    }
    Ok(roots)
}

/// A certificate with its key, which fits.
fn certified(cert: (&Path, &[u8]), key: (&Path, &[u8])) -> Result<CertifiedKey, TlsError> {
    let chain = chain(cert.0, cert.1)?;
    let secret = PrivateKeyDer::from_pem_slice(key.1)
        .map_err(|error| unfit(key.0, format!("holds no private key: {error}")))?;
    CertifiedKey::from_der(chain, secret, &provider())
        .map_err(|error| unfit(key.0, format!("does not fit {}: {error}", cert.0.display())))
}

/// The certificate must be what the other nodes will insist on.
fn prove_node(
    path: &Path,
    own: &CertifiedKey,
    roots: &Arc<RootCertStore>,
    node: u64,
) -> Result<(), TlsError> {
    let (leaf, intermediates) = own
        .cert
        .split_first()
        .ok_or_else(|| unfit(path, "holds no certificate"))?;
    if identity(leaf) != Identity::Node(node) {
        return Err(unfit(
            path,
            format!("is not the certificate of node {node}"),
        ));
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| unfit(path, error))?;
    let name = ServerName::try_from(node_name(node)).map_err(|error| unfit(path, error))?;
    verifier
        .verify_server_cert(leaf, intermediates, &name, &[], UnixTime::now())
        .map(drop)
        .map_err(|error| match error {
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => unfit(path, "is not signed by the cluster's authority (tls.ca)"),
            error => unfit(
                path,
                format!("would be refused by the other nodes: {error}"),
            ),
        })
}

fn expiry(path: &Path, certified: &CertifiedKey) -> Result<Duration, TlsError> {
    let leaf = certified
        .end_entity_cert()
        .map_err(|error| unfit(path, error))?;
    let (_, leaf) = X509Certificate::from_der(leaf).map_err(|error| unfit(path, error))?;
    let seconds = leaf.validity().not_after.timestamp();
    Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn peer_server(
    ca: &Path,
    roots: &Arc<RootCertStore>,
    own: Arc<SingleCertAndKey>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .build()
        .map_err(|error| unfit(ca, error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    never_resume(&mut config);
    Ok(Arc::new(config))
}

/// `ca` is who signs the certificates of mail clients, PEM; if it is empty they show none.
fn mail_server(
    files: &TlsFiles,
    ca: &[u8],
    mail: Arc<SingleCertAndKey>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let path = &files.mail_client_ca;
    let is_asked = !path.as_os_str().is_empty();
    let verifier = if is_asked {
        let roots = Arc::new(authorities(path, ca)?);
        WebPkiClientVerifier::builder_with_provider(roots, provider())
            .allow_unauthenticated()
            .build()
            .map_err(|error| unfit(path, error))?
    } else {
        WebPkiClientVerifier::no_client_auth()
    };
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites of both versions")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(mail);
    if is_asked {
        never_resume(&mut config);
    }
    // A client that came for another protocol is turned away (the ALPACA attack).
    config.alpn_protocols = vec![b"imap".to_vec()];
    Ok(Arc::new(config))
}

/// What `tls-server-end-point` binds a channel to (RFC 5929 section 4.1): the certificate's hash,
/// by the function that its signature uses, or a better one. None where that is not defined.
fn end_point(certificate: &CertificateDer<'_>) -> Option<Bytes> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = parsed.signature_algorithm.algorithm.to_id_string();
    Some(match algorithm.as_str() {
        // RSA with MD5, SHA-1 and SHA-256; ECDSA with SHA-1 and SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Bytes::copy_from_slice(&Sha256::digest(certificate)),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => {
            Bytes::copy_from_slice(&Sha384::digest(certificate))
        }
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => {
            Bytes::copy_from_slice(&Sha512::digest(certificate))
        }
        _ => return None,
    })
}

fn lmtp_server(
    ca: &Path,
    roots: &Arc<RootCertStore>,
    mail: Arc<SingleCertAndKey>,
) -> Result<Arc<ServerConfig>, TlsError> {
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| unfit(ca, error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the provider has suites of both versions")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(mail);
    never_resume(&mut config);
    Ok(Arc::new(config))
}

/// A resumed session would keep the identity of a certificate that is refused by now.
fn never_resume(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}

fn peer_client(roots: Arc<RootCertStore>, own: Arc<SingleCertAndKey>) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has suites of TLS 1.3")
        .with_root_certificates(roots)
        .with_client_cert_resolver(own);
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
