//! What a user does in the account of another (RFC 4314 section 4): decided here, at its place in
//! the log, from the owner's grants as they are then.

use rows::Rows;

use super::state::Account;
use super::{Entry, Stop};
use crate::access::{self, Verdict};
use crate::command::{Annotate, Command, Rejection, Reply};
use crate::types::AccountId;

/// Does it if he may. That there is no such account is not told apart from there being no such
/// mailbox.
pub(super) fn run<R: Rows>(
    entry: &mut Entry<'_, '_, R>,
    actor: AccountId,
    command: &Command,
) -> Result<Reply, Stop> {
    if matches!(command, Command::OnBehalf { .. }) || actor == AccountId(0) {
        return Err(Rejection::Invalid.into());
    }
    let needs = access::of_command(command).ok_or(Rejection::NoRight)?;
    match Account::load(entry, needs.account) {
        Err(Stop::Rejected(Rejection::NoAccount)) => return Err(Rejection::NoMailbox.into()),
        loaded => loaded?,
    };
    for need in &needs.needs {
        match access::judge(entry.rows, needs.account, actor, need)? {
            Verdict::Yes => {}
            Verdict::NoRight => return Err(Rejection::NoRight.into()),
            Verdict::NoMailbox => return Err(Rejection::NoMailbox.into()),
        }
    }
    entry.actor = Some(actor);
    if let Some(mailbox) = needs.flags_of {
        entry.flags = access::flags_of(entry.rows, needs.account, mailbox, actor)?;
    }
    match command {
        // Private annotations are those of whoever sets them.
        Command::SetMetadata { user, .. } | Command::Annotate(Annotate { user, .. })
            if *user != actor =>
        {
            Err(Rejection::Invalid.into())
        }
        command => super::run(entry, command),
    }
}
