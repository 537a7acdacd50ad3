//! The command line of a cluster's operators; all of it is in [`client::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    client::cli::main()
}
