//! Where a password comes from: never from the command line, which everybody on the machine can
//! read, and which shells keep.

use std::env;
use std::io::{self, BufRead, IsTerminal};

use clap::Args;

use crate::limits::PASSWORD_BYTES_MAX;

/// The variable that may hold it.
const VARIABLE: &str = "ROOKERY_PASSWORD";

/// Where the password comes from: standard input if told so, else the variable
/// `ROOKERY_PASSWORD`, else a prompt.
#[derive(Debug, Args)]
pub struct PasswordArgs {
    /// Read the password from the first line of standard input; else from the environment variable
    /// ROOKERY_PASSWORD, or by a prompt.
    #[arg(long)]
    pub password_stdin: bool,
}

impl PasswordArgs {
    /// Gets the password for an account. The error is one line.
    pub(super) fn read(&self, account: &str) -> Result<String, String> {
        let password = if self.password_stdin {
            first_line(io::stdin().lock())?
        } else if let Some(password) = env::var_os(VARIABLE) {
            password
                .into_string()
                .map_err(|_| format!("{VARIABLE} is not UTF-8"))?
        } else if io::stdin().is_terminal() {
            prompt(account)?
        } else {
            return Err(format!(
                "there is no password: use --password-stdin, the variable {VARIABLE} or a terminal"
            ));
        };
        check(&password)?;
        Ok(password)
    }
}

/// The first line, without its end.
pub(super) fn first_line(input: impl BufRead) -> Result<String, String> {
    let mut line = Vec::new();
    // One more than is allowed, and the line's end, so that what is too long is seen to be.
    let bytes_max = PASSWORD_BYTES_MAX as u64 + 3;
    input
        .take(bytes_max)
        .read_until(b'\n', &mut line)
        .map_err(|error| format!("cannot read the password: {error}"))?;
    let line = String::from_utf8(line).map_err(|_| "the password is not UTF-8")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

fn prompt(account: &str) -> Result<String, String> {
    let ask = |words: String| {
        rpassword::prompt_password(words)
            .map_err(|error| format!("cannot read the password: {error}"))
    };
    let password = ask(format!(
        "Password for {}: ",
        super::report::printable(account)
    ))?;
    if ask("The same again: ".to_owned())? != password {
        return Err("the two passwords differ".to_owned());
    }
    Ok(password)
}

/// What no mail client could send, or no server would take.
pub(super) fn check(password: &str) -> Result<(), String> {
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(format!(
            "the password is longer than {PASSWORD_BYTES_MAX} bytes"
        ));
    }
    if password.contains(['\0', '\r', '\n']) {
        return Err("the password contains a line break or NUL".to_owned());
    }
    Ok(())
}
