//! `rookeryd`: the server, its demo, and the tool that makes its certificates.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use node::{config, demo, pki, privileges, restore, server, telemetry};

// glibc's allocator gives large buffers back to the kernel and faults them in again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(
    name = "rookeryd",
    version,
    about = "A mail store that cannot lose mail"
)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    /// The configuration of this node.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/rookery/rookeryd.toml"
    )]
    config: PathBuf,
    /// Stop when standard input ends.
    #[arg(long, hide = true)]
    exit_with_stdin: bool,
    #[command(subcommand)]
    command: Option<Sub>,
}

#[derive(Subcommand)]
enum Sub {
    /// Run three nodes on this machine, to try out.
    Demo(demo::Args),
    /// Make a new cluster of one node from a backup.
    Restore(restore::Args),
    /// Make the certificates of a cluster.
    #[command(subcommand)]
    Pki(pki::Command),
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Several problems of a configuration are several lines.
            for line in explain(&error).lines() {
                eprintln!("rookeryd: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each told once: many errors tell their own cause already.
fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn run(args: Args) -> anyhow::Result<()> {
    match args.command {
        Some(Sub::Pki(command)) => {
            print!("{}", pki::run(&command)?);
            Ok(())
        }
        Some(Sub::Restore(args)) => {
            print!("{}", restore::run(&args)?);
            Ok(())
        }
        Some(Sub::Demo(args)) => runtime()?.block_on(demo::run(args)),
        None => {
            let config = config::Config::load(&args.config)?;
            telemetry::log_to_stderr(&config.log.level)?;
            // Threads inherit rights, so they are given up before there is a second one.
            let listeners = server::Listeners::bind(&config)?;
            // The allocator's regions would be backed by huge pages, most of each of them empty: an
            // idle node took 150 MiB instead of 53. A kernel without them refuses, which is fine.
            let _refused = rustix::thread::disable_transparent_huge_pages(true);
            privileges::drop_capabilities()?;
            privileges::forbid_core_dumps()?;
            privileges::keep_files_private();
            let options = server::Options {
                exit_with_stdin: args.exit_with_stdin,
            };
            let runtime = runtime()?;
            let result = runtime.block_on(server::run(config, listeners, options));
            // Threads that wait for the disk or for standard input do not hold the process.
            runtime.shutdown_background();
            result
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
