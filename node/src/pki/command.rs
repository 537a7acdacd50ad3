//! The command line of `rookeryd pki`.

use std::path::PathBuf;

use clap::{Args, Subcommand, value_parser};

use super::{AUTHORITY_DAYS, Authority, CERTIFICATE_DAYS, Made, Making, PkiError};

/// Makes certificates of the cluster's own authority.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make the authority: ca.pem and ca.key.
    Init {
        /// Where and how.
        #[command(flatten)]
        place: Place,
    },
    /// Make a node's certificate: node-ID.pem and node-ID.key.
    Node {
        /// Where and how.
        #[command(flatten)]
        place: Place,
        /// The node's number.
        #[arg(long, value_parser = value_parser!(u64).range(1..))]
        id: u64,
        /// Names and addresses of its host.
        #[arg(long = "host", num_args = 1.., required = true, value_name = "NAME_OR_IP")]
        hosts: Vec<String>,
    },
    /// Make an operator's certificate: admin-NAME.pem and admin-NAME.key.
    Admin {
        /// Where and how.
        #[command(flatten)]
        place: Place,
        /// Who it is for; shown in the log.
        #[arg(long)]
        name: String,
    },
    /// Make the certificate of an MTA that delivers: lmtp-NAME.pem and lmtp-NAME.key.
    LmtpClient {
        /// Where and how.
        #[command(flatten)]
        place: Place,
        /// Who it is for; shown in the log.
        #[arg(long, default_value = "mta")]
        name: String,
    },
}

/// Where certificates are made, and how.
#[derive(Debug, Args)]
pub struct Place {
    /// The folder that holds the authority.
    #[arg(long)]
    dir: PathBuf,
    /// Days that it is valid; 3650 for the authority and 730 for others unless given.
    #[arg(long, value_parser = value_parser!(u32).range(1..=36500))]
    days: Option<u32>,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

impl Place {
    fn making(&self, days: u32) -> Making {
        Making {
            days: self.days.unwrap_or(days),
            force: self.force,
        }
    }
}

/// Does what the command says and returns what was made.
///
/// # Errors
///
/// As the functions of [`Authority`].
pub fn run(command: &Command) -> Result<Made, PkiError> {
    match command {
        Command::Init { place } => {
            Authority::init(&place.dir, place.making(AUTHORITY_DAYS)).map(|(_, made)| made)
        }
        Command::Node { place, id, hosts } => {
            Authority::open(&place.dir)?.node(*id, hosts, place.making(CERTIFICATE_DAYS))
        }
        Command::Admin { place, name } => {
            Authority::open(&place.dir)?.admin(name, place.making(CERTIFICATE_DAYS))
        }
        Command::LmtpClient { place, name } => {
            Authority::open(&place.dir)?.lmtp_client(name, place.making(CERTIFICATE_DAYS))
        }
    }
}
