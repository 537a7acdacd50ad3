//! The file by which a demo cluster is found: `demo.json` in its folder.
//!
//! `rookeryd demo` writes it; `rookery --demo DIR` and tests read it. Paths may be relative to the
//! folder.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Credentials, Error};

/// A cluster whose nodes all run on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demo {
    /// Its nodes.
    pub nodes: Vec<DemoNode>,
    /// The authority of its certificates.
    pub ca: PathBuf,
    /// An operator's certificate.
    pub admin_cert: PathBuf,
    /// Its key.
    pub admin_key: PathBuf,
}

/// One node of a demo cluster. Addresses are `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DemoNode {
    /// Its number.
    pub id: u64,
    /// Its process, when the file was written.
    pub pid: u32,
    /// IMAP with STARTTLS.
    pub imap: String,
    /// IMAP over TLS.
    pub imaps: String,
    /// LMTP.
    pub lmtp: String,
    /// The admin service.
    pub admin: String,
    /// Where its log and index live.
    pub data_dir: PathBuf,
}

impl Demo {
    /// Reads `demo.json` in a folder.
    ///
    /// # Errors
    ///
    /// [`Error::Demo`] when there is none or it is damaged.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        let path = dir.join("demo.json");
        let failed = |why: String| Error::Demo {
            path: path.clone(),
            why,
        };
        let text = fs::read_to_string(&path).map_err(|error| failed(error.to_string()))?;
        let mut demo: Self =
            serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        if demo.nodes.is_empty() {
            return Err(failed("names no node".to_owned()));
        }
        for path in [&mut demo.ca, &mut demo.admin_cert, &mut demo.admin_key] {
            *path = dir.join(&*path);
        }
        for node in &mut demo.nodes {
            node.data_dir = dir.join(&node.data_dir);
        }
        Ok(demo)
    }

    /// The admin addresses of all nodes.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.admin.clone()).collect()
    }

    /// The operator's credentials.
    #[must_use]
    pub fn credentials(&self) -> Credentials {
        Credentials {
            ca: self.ca.clone(),
            cert: self.admin_cert.clone(),
            key: self.admin_key.clone(),
        }
    }
}
