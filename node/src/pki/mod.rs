//! The cluster's own certificates: `rookeryd pki`.
//!
//! ```text
//!   DIR/ca.pem  ca.key                 the authority; the key may be kept off line
//!   DIR/node-7.pem   node-7.key        server and client of node 7, with the names of its host
//!   DIR/admin-NAME.pem   .key          an operator
//!   DIR/lmtp-NAME.pem    .key          an MTA
//! ```
//!
//! All keys are ECDSA on P-256 and readable by their owner alone (0600). Nothing that exists is
//! overwritten unless told so, and a file appears whole or not at all. The names in the
//! certificates, which are what nodes go by, stand in [`mod@crate::tls::identity`].
//!
//! What this does not do: it keeps no list of what it has signed and revokes nothing. A node is
//! shut out by removing it from the cluster; an operator, by replacing the authority with overlap:
//! make a new one in another folder, append its `ca.pem` to that of every node, replace the
//! certificates, then take the old one out. Running nodes notice by themselves.
//!
//! Read on: [`Authority`], which is all of it, and [`command`] for the command line.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::tls::identity::{ADMIN, ANY_NODE, LMTP_CLIENT, is_common_name, is_reserved, node_name};

pub mod command;

#[cfg(test)]
mod tests;

pub use command::{Command, run};

/// How long an authority is valid unless told otherwise, days.
pub const AUTHORITY_DAYS: u32 = 3650;

/// How long any other certificate is valid unless told otherwise, days.
pub const CERTIFICATE_DAYS: u32 = 730;

/// A certificate is valid from this long ago, for hosts whose clocks differ.
const CLOCK_SLACK: Duration = Duration::from_secs(600);

const DAY: Duration = Duration::from_secs(86_400);

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// It exists, and was not to be replaced.
    #[error("{} exists; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// A file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The authority's files do not hold an authority.
    #[error("{}: {why}", path.display())]
    NoAuthority {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A name cannot stand in a certificate.
    #[error("`{name}` {why}")]
    Name {
        /// The name.
        name: String,
        /// Why.
        why: &'static str,
    },
    /// The certificate cannot be made.
    #[error("cannot make the certificate: {0}")]
    Make(#[from] rcgen::Error),
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM, mode 0600.
    pub key: PathBuf,
}

/// Two lines, for people.
impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "made {}", self.certificate.display())?;
        writeln!(f, "made {} (keep it secret)", self.key.display())
    }
}

/// How certificates are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Making {
    /// For how many days they are valid.
    pub days: u32,
    /// Whether files that exist are replaced.
    pub force: bool,
}

impl Making {
    /// Valid that long, and replacing nothing.
    #[must_use]
    pub fn valid_for(days: u32) -> Self {
        Self { days, force: false }
    }
}

impl Default for Making {
    fn default() -> Self {
        Self::valid_for(CERTIFICATE_DAYS)
    }
}

/// The cluster's authority, in a folder.
pub struct Authority {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority in a folder, which is made too (mode 0700).
    ///
    /// # Errors
    ///
    /// When there is one and it was not to be replaced, or files cannot be written.
    pub fn init(dir: &Path, making: Making) -> Result<(Self, Made), PkiError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| PkiError::Io {
                path: dir.to_owned(),
                source,
            })?;
        let mut params = params("Rookery cluster authority", making.days);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = new_key()?;
        let certificate = params.self_signed(&key)?;
        let made = write_pair(dir, "ca", &certificate, &key, making.force)?;
        Ok((
            Self {
                dir: dir.to_owned(),
                issuer: Issuer::new(params, key),
            },
            made,
        ))
    }

    /// Takes the authority from a folder.
    ///
    /// # Errors
    ///
    /// When it is not there, or its certificate (the first in `ca.pem`) and its key do not fit.
    pub fn open(dir: &Path) -> Result<Self, PkiError> {
        let (ca_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let unfit = |path: &Path, why: &dyn ToString| PkiError::NoAuthority {
            path: path.to_owned(),
            why: why.to_string(),
        };
        let ca = CertificateDer::from_pem_slice(read(&ca_path)?.as_bytes())
            .map_err(|error| unfit(&ca_path, &error))?;
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|error| unfit(&key_path, &error))?;
        let (_, parsed) =
            X509Certificate::from_der(&ca).map_err(|error| unfit(&ca_path, &error))?;
        if !parsed.is_ca() {
            return Err(unfit(&ca_path, &"is not the certificate of an authority"));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.public_key_raw() {
            return Err(unfit(
                &key_path,
                &"is not the key of the first certificate in ca.pem",
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&ca, key)?;
        Ok(Self {
            dir: dir.to_owned(),
            issuer,
        })
    }

    /// Makes the certificate of a node, as server and as client, for its host's names and
    /// addresses.
    ///
    /// # Errors
    ///
    /// When a host is neither name nor address or a name is reserved, or files cannot be written.
    pub fn node(&self, id: u64, hosts: &[String], making: Making) -> Result<Made, PkiError> {
        let params = node_params(id, hosts, making.days)?;
        self.sign(&format!("node-{id}"), params, making.force)
    }

    /// Makes the certificate of an operator.
    ///
    /// # Errors
    ///
    /// When the name is not of letters, digits and `-_.@+`, or files cannot be written.
    pub fn admin(&self, name: &str, making: Making) -> Result<Made, PkiError> {
        self.client("admin", name, ADMIN, making)
    }

    /// Makes the certificate of an MTA that delivers from outside the allowed networks.
    ///
    /// # Errors
    ///
    /// As for an operator.
    pub fn lmtp_client(&self, name: &str, making: Making) -> Result<Made, PkiError> {
        self.client("lmtp", name, LMTP_CLIENT, making)
    }

    fn client(
        &self,
        kind: &str,
        name: &str,
        reserved: &str,
        making: Making,
    ) -> Result<Made, PkiError> {
        if !is_common_name(name) {
            let why = "is no name of up to 64 letters, digits and -_.@+";
            return Err(PkiError::Name {
                name: name.to_owned(),
                why,
            });
        }
        let mut params = params(name, making.days);
        params.subject_alt_names =
            CertificateParams::new(vec![reserved.to_owned()])?.subject_alt_names;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&format!("{kind}-{name}"), params, making.force)
    }

    /// Signs what is asked for with a new key.
    pub(crate) fn sign(
        &self,
        file: &str,
        params: CertificateParams,
        force: bool,
    ) -> Result<Made, PkiError> {
        let key = new_key()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        write_pair(&self.dir, file, &certificate, &key, force)
    }
}

fn new_key() -> Result<KeyPair, PkiError> {
    Ok(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// What stands in a node's certificate.
pub(crate) fn node_params(
    id: u64,
    hosts: &[String],
    days: u32,
) -> Result<CertificateParams, PkiError> {
    let refuse = |name: &str, why| {
        Err(PkiError::Name {
            name: name.to_owned(),
            why,
        })
    };
    if id == 0 {
        return refuse("0", "is no node: numbers start at 1");
    }
    if let Some(name) = hosts.iter().find(|name| is_reserved(name)) {
        return refuse(name, "is reserved");
    }
    let mut names = vec![node_name(id), ANY_NODE.to_owned()];
    names.extend(hosts.iter().cloned());
    let mut params = params(&format!("node-{id}"), days);
    params.subject_alt_names = CertificateParams::new(names)?.subject_alt_names;
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

fn params(common_name: &str, days: u32) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let now = SystemTime::now();
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = (now - CLOCK_SLACK).into();
    params.not_after = (now + DAY * days).into();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Io {
        path: path.to_owned(),
        source,
    })
}

fn write_pair(
    dir: &Path,
    file: &str,
    certificate: &Certificate,
    key: &KeyPair,
    force: bool,
) -> Result<Made, PkiError> {
    let made = Made {
        certificate: dir.join(format!("{file}.pem")),
        key: dir.join(format!("{file}.key")),
    };
    let existing = [&made.certificate, &made.key]
        .into_iter()
        .find(|path| path.exists());
    if let Some(path) = existing.filter(|_| !force) {
        return Err(PkiError::Exists(path.clone()));
    }
    write_whole(&made.key, 0o600, &key.serialize_pem())?;
    write_whole(&made.certificate, 0o644, &certificate.pem())?;
    Ok(made)
}

/// Writes beside the file and renames, so that a reader sees the old file or the new one.
fn write_whole(path: &Path, mode: u32, text: &str) -> Result<(), PkiError> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let write = || {
        if beside.exists() {
            fs::remove_file(&beside)?;
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| PkiError::Io {
        path: path.to_owned(),
        source,
    })
}
