//! Which commands add what is kept.

use crate::command::{Command, NewMetadata};
use crate::types::{BodySource, NewBody};

impl Command {
    /// Whether it adds what is kept: mail and mailboxes. Such a command may be refused before it is
    /// replicated, when disks are nearly full, and others not. A message that was uploaded is not
    /// counted again: its bytes are there.
    #[must_use]
    pub fn adds(&self) -> bool {
        let is_new = |body: &NewBody| body.source == BodySource::Inline;
        let is_set = |entry: &NewMetadata| entry.value.is_some();
        match self {
            Self::Chunk { .. }
            | Self::Copy { .. }
            | Self::CreateMailbox { .. }
            | Self::Undelete { .. } => true,
            Self::Deliver(deliver) => is_new(&deliver.body),
            Self::Append { body, .. } => is_new(body),
            Self::SetMetadata { entries, .. } => entries.iter().any(is_set),
            Self::Annotate(annotate) => annotate.entries.iter().any(is_set),
            Self::AppendMany { messages, .. } => messages.iter().any(|new| is_new(&new.body)),
            Self::Import(import) => import.messages.iter().any(|new| is_new(&new.body)),
            Self::OnBehalf { command, .. } => command.adds(),
            Self::CreateAccount { .. }
            | Self::DeleteAccount { .. }
            | Self::DeleteMailbox { .. }
            | Self::RenameMailbox { .. }
            | Self::Subscribe { .. }
            | Self::DropUpload { .. }
            | Self::Store { .. }
            | Self::Move { .. }
            | Self::Expunge { .. }
            | Self::SetRetention { .. }
            | Self::SetDefaultRetention { .. }
            | Self::SetQuota { .. }
            | Self::SetGrant { .. }
            | Self::RestoreMailbox { .. }
            | Self::Remove { .. }
            | Self::BeginMove(_)
            | Self::EndMove(_)
            | Self::Purge { .. }
            | Self::Tick => false,
        }
    }
}
