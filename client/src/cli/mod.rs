//! The command line `rookery`.
//!
//! ```text
//!   words --args--> Cli --run--> calls of Admin --report--> a table, or JSON with --json
//!                     password: standard input, environment, or a prompt; never a word
//! ```
//!
//! Exit codes, for scripts: 0 done; 1 refused or failed; 2 the command line is wrong; 3 no node can
//! be reached; 4 `verify` found replicas that differ. Errors are one line on standard error.
//!
//! What comes from a server is shown with control characters escaped.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use proto::v1::{AdminInitRequest, AdminVerifyReply};

use crate::limits::SCRUB_LOOK;
use crate::{Admin, Credentials, Error};

pub mod args;
mod mail;
mod members;
mod moves;
pub mod password;
mod quota;
pub mod report;
mod time;
mod transfers;

#[cfg(test)]
mod tests;

use args::{Account, Cli, Cluster, Command, Days, Partition};
use report::Report;

/// What the process exits with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Refused, or failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No node can be reached.
    Unreachable = 3,
    /// Replicas differ.
    Different = 4,
}

/// Why a command failed: what to say, and what to exit with.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    words: String,
}

impl Failure {
    fn usage(words: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            words: words.into(),
        }
    }

    fn failed(words: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            words: words.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Unreachable(_) => Exit::Unreachable,
            _ => Exit::Failed,
        };
        Self {
            exit,
            words: error.to_string(),
        }
    }
}

/// Reads the command line, does what it says, and tells how it went.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Also how help and version are shown; who closed the pipe did not want them.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage as u8));
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("rookery: {error}");
            return ExitCode::from(Exit::Failed as u8);
        }
    };
    let exit = match runtime.block_on(run(&cli)) {
        Ok((report, exit)) => show(&report, cli.json).map_or(Exit::Failed, |()| exit),
        Err(failure) => {
            eprintln!("rookery: {}", report::printable(&failure.words));
            failure.exit
        }
    };
    ExitCode::from(exit as u8)
}

/// A reader that has enough closes the pipe; that is no failure.
fn show(report: &Report, json: bool) -> io::Result<()> {
    let text = if json { report.json() } else { report.text() };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

async fn run(cli: &Cli) -> Result<(Report, Exit), Failure> {
    let admin = admin(cli)?;
    let timeout = cli.timeout.map(Duration::from_secs);
    let report = match &cli.command {
        Command::Status => Report::Status(admin.status().await?),
        Command::Storage => Report::Storage(admin.storage().await?),
        Command::Backup { dir } => Report::Saved(
            admin
                .backup(dir, |saved| eprintln!("group {} is saved", saved.group))
                .await?,
        ),
        Command::Cluster { command } => cluster(&admin, command).await?,
        Command::Node { command } => members::node(&admin, command, timeout).await?,
        Command::Replica { command } => members::replica(&admin, command, timeout).await?,
        Command::Account { command } => account(&admin, command).await?,
        Command::Mail { command } => mail::run(&admin, command).await?,
        Command::Partition { command } => partition(&admin, command).await?,
        Command::Scrub { wait } => scrub(&admin, *wait).await?,
        Command::Verify { groups, deep } => {
            let found = match deep {
                true => admin.verify_deep(groups).await?,
                false => admin.verify(groups).await?,
            };
            let exit = judge(&found);
            return Ok((Report::Verified(found), exit));
        }
    };
    Ok((report, Exit::Done))
}

fn admin(cli: &Cli) -> Result<Admin, Failure> {
    let admin = if let Some(dir) = &cli.demo {
        Admin::of_demo(dir)?
    } else {
        let (Some(ca), Some(cert), Some(key)) = (&cli.ca, &cli.cert, &cli.key) else {
            return Err(Failure::usage(
                "--ca, --cert and --key are needed, or --demo",
            ));
        };
        if cli.admin.is_empty() {
            return Err(Failure::usage("--admin is needed, or --demo"));
        }
        let credentials = Credentials {
            ca: ca.clone(),
            cert: cert.clone(),
            key: key.clone(),
        };
        Admin::new(cli.admin.clone(), &credentials)?
    };
    Ok(match cli.timeout {
        Some(seconds) => admin.with_deadline(Duration::from_secs(seconds)),
        None => admin,
    })
}

async fn cluster(admin: &Admin, command: &Cluster) -> Result<Report, Failure> {
    match command {
        Cluster::Init {
            replicas,
            partitions,
            default_domain,
        } => {
            let wanted = AdminInitRequest {
                replicas: *replicas,
                partitions: *partitions,
                default_domain: default_domain.clone(),
            };
            Ok(Report::Made(admin.init_cluster(wanted).await?))
        }
        Cluster::Retention { days } => {
            admin.set_cluster_retention(*days).await?;
            Ok(Report::done(format!(
                "what accounts delete is kept for {days} days"
            )))
        }
    }
}

async fn account(admin: &Admin, command: &Account) -> Result<Report, Failure> {
    Ok(match command {
        Account::Create {
            name,
            quota_bytes,
            no_password,
            password,
        } => {
            let password = match no_password {
                true => None,
                false => Some(password.read(name).map_err(Failure::usage)?),
            };
            Report::Account(
                admin
                    .create_account(name.clone(), password, *quota_bytes)
                    .await?,
            )
        }
        Account::Passwd { name, password } => {
            let password = password.read(name).map_err(Failure::usage)?;
            admin.set_password(name.clone(), password).await?;
            Report::done(format!("{name} has a new password"))
        }
        Account::Retention { name, days } => {
            let (own, words) = match days {
                Days::Default => (None, "as long as the cluster says".to_owned()),
                Days::Own(days) => (Some(*days), format!("for {days} days")),
            };
            admin.set_retention(name.clone(), own).await?;
            Report::done(format!("what {name} deletes is kept {words}"))
        }
        Account::Quota {
            name,
            bytes,
            messages,
        } => Report::Quota(admin.quota(name.clone(), *bytes, *messages).await?),
        Account::List => Report::Accounts(admin.accounts().await?),
        Account::Delete { name } => {
            admin.delete_account(name.clone()).await?;
            Report::done(format!("{name} is deleted"))
        }
    })
}

async fn partition(admin: &Admin, command: &Partition) -> Result<Report, Failure> {
    Ok(match command {
        Partition::List => Report::Groups(admin.status().await?.groups),
        Partition::Transfer { group, to } => {
            admin.transfer(*group, *to).await?;
            Report::done(format!("node {to} leads group {group}"))
        }
    })
}

async fn scrub(admin: &Admin, wait: bool) -> Result<Report, Failure> {
    let pass = admin.scrub().await?;
    if !wait {
        return Ok(Report::done("it reads its log".to_owned()));
    }
    loop {
        let storage = admin.storage().await?;
        let scrubbed = storage.scrubbed.unwrap_or_default();
        if scrubbed.passes >= pass {
            return Ok(Report::Scrubbed(scrubbed));
        }
        tokio::time::sleep(SCRUB_LOOK).await;
    }
}

/// Replicas that have no digest are no difference, but no proof either. A bad body is one.
fn judge(found: &AdminVerifyReply) -> Exit {
    // That nothing was compared proves nothing.
    if found.groups.is_empty() {
        return Exit::Failed;
    }
    let mut replicas = found.groups.iter().flat_map(|group| &group.replicas);
    if replicas.any(|replica| !replica.bad.is_empty()) {
        return Exit::Different;
    }
    let differs = |group: &proto::v1::AdminVerified| {
        let mut digests = group
            .replicas
            .iter()
            .filter(|replica| replica.error.is_empty());
        let first = digests.next();
        digests.any(|replica| {
            first.is_some_and(|first| {
                first.applied_index == replica.applied_index && first.digest != replica.digest
            })
        })
    };
    if found.groups.iter().any(differs) {
        Exit::Different
    } else if found.groups.iter().all(|group| group.equal) {
        Exit::Done
    } else {
        Exit::Failed
    }
}
