//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE (RFC 3501 sections 6.3.3 to 6.3.7, RFC 6154).

use mailbox::{Command, Reply};

use crate::backend::{Backend, BackendError, Transport};
use crate::cmd::list::machine_use;
use crate::grammar::Create;
use crate::names;
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn create(&mut self, create: &Create) -> Result<Done> {
        let name = names::decode_new(&create.mailbox, self.conn.out.is_utf8())?;
        self.enter_new(&name).await?;
        let special_use = match create.special_use.as_slice() {
            [] => None,
            [Some(one)] if one.is_virtual() => {
                return Err(Stop::no(Code::UseAttr, "There are no virtual mailboxes"));
            }
            [Some(one)] => Some(machine_use(*one)),
            _ => return Err(Stop::no(Code::UseAttr, "One known attribute at most")),
        };
        let account = self.backend.account();
        let create_mailbox = Command::CreateMailbox {
            account,
            name: name.clone(),
            special_use,
        };
        let created = self.change(create_mailbox).await.map_err(over_quota)?;
        let Reply::Created { mailbox, .. } = created else {
            return Err(BackendError::Broken.into());
        };
        self.tell_kept_name(&create.mailbox, &name).await?;
        Ok(Done {
            code: Some(Code::MailboxId(mailbox.object_id(account))),
            text: "CREATE completed",
        })
    }

    /// Deleting the mailbox that is selected closes it.
    pub(crate) async fn delete(&mut self, raw: &[u8]) -> Result<Done> {
        let name = self.existing_name(raw).await?;
        self.enter(&name).await?;
        let account = self.backend.account();
        let kept = name.clone();
        let is_same = self.opened.account() == account;
        let id = match self.selected.as_ref().filter(|_| is_same) {
            Some(_) => Some(self.folder(raw).await?.id),
            None => None,
        };
        self.change(Command::DeleteMailbox { account, name })
            .await?;
        self.tell_kept_name(raw, &kept).await?;
        if self
            .selected
            .as_ref()
            .is_some_and(|selected| Some(selected.mailbox) == id)
        {
            self.unselect()?;
            self.conn
                .out
                .untagged_ok(Some(&Code::Closed), "The selected mailbox is deleted");
        }
        Ok(Done::text("DELETE completed"))
    }

    pub(crate) async fn rename(&mut self, from_raw: &[u8], to_raw: &[u8]) -> Result<Done> {
        let from = self.existing_name(from_raw).await?;
        let to = names::decode_new(to_raw, self.conn.out.is_utf8())?;
        self.enter_new(&to).await?;
        let there = self.backend.guest().cloned();
        self.enter(&from).await?;
        if self.backend.guest() != there.as_ref() {
            let text = "A mailbox stays with its owner";
            return Err(Stop::no(Code::Cannot, text));
        }
        let account = self.backend.account();
        let name = to.clone();
        let rename = Command::RenameMailbox { account, from, to };
        self.change(rename).await.map_err(over_quota)?;
        self.tell_new_name(from_raw, to_raw, &name).await?;
        Ok(Done::text("RENAME completed"))
    }

    /// A name without a mailbox can be subscribed to: it may have had one, or get one.
    pub(crate) async fn subscribe(&mut self, raw: &[u8], on: bool) -> Result<Done> {
        let utf8 = self.conn.out.is_utf8();
        let (account, name) = (self.backend.account(), names::decode(raw, utf8)?);
        self.change(Command::Subscribe { account, name, on })
            .await?;
        Ok(Done::text(if on {
            "SUBSCRIBE completed"
        } else {
            "UNSUBSCRIBE completed"
        }))
    }
}

/// The number of mailboxes is a quota of its own (RFC 9208 section 5.3).
fn over_quota(stop: Stop) -> Stop {
    match stop {
        Stop::No(Some(Code::Limit), text) => Stop::No(Some(Code::OverQuota), text),
        stop => stop,
    }
}
