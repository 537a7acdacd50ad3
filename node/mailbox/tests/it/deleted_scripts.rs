//! Commands of goldenscripts that concern what was deleted.
//!
//! ```text
//!   undelete ACCOUNT/NAME UIDS [to=NAME] [ago=1d]    restore ACCOUNT ID [NAME]
//!   purge ACCOUNT/NAME [FROM-UID]                    purge-mailbox ACCOUNT ID
//!   retention ACCOUNT|all 3d|default
//!   deleted ACCOUNT/NAME                             deleted-mailboxes ACCOUNT
//! ```

use std::fmt::Write as _;

use goldenscript::ArgumentConsumer;
use mailbox::{Answer, Command, MailboxId, Millis, Query, Reply, Uid};

use crate::machine::Machine;
use crate::scripts::{Result, Runner, span, text, uids};

impl Runner {
    pub fn change_deleted(&self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<Command> {
        let ago = args.take_key("ago").map(span).transpose()?;
        let to = args.take_key("to");
        let place = text(args)?;
        Ok(match name {
            "undelete" => {
                let (account, from) = self.mailbox(place)?;
                let to = to.map(|to| self.id(account, to)).transpose()?;
                Command::Undelete {
                    account,
                    from,
                    to: to.unwrap_or(from),
                    uids: uids(text(args)?)?,
                    since: ago.map(|ago| Millis(self.machine.now.0 - ago)),
                }
            }
            "restore" => Command::RestoreMailbox {
                account: self.account(place)?,
                mailbox: MailboxId(text(args)?.parse()?),
                name: args.next_pos().map(str::to_owned),
            },
            "purge" => {
                let (account, mailbox) = self.mailbox(place)?;
                let from = args.next_pos().map(str::parse).transpose()?;
                let from = Uid(from.unwrap_or(1));
                Command::Purge {
                    account,
                    mailbox,
                    from,
                }
            }
            "purge-mailbox" => Command::Purge {
                account: self.account(place)?,
                mailbox: MailboxId(text(args)?.parse()?),
                from: Uid(1),
            },
            _ => {
                let retention = match text(args)? {
                    "default" => None,
                    time => Some(Millis(span(time)?)),
                };
                match (place, retention) {
                    ("all", Some(retention)) => Command::SetDefaultRetention { retention },
                    ("all", None) => return Err("all need a number".into()),
                    (account, retention) => Command::SetRetention {
                        account: self.account(account)?,
                        retention,
                    },
                }
            }
        })
    }

    pub fn ask_deleted(&self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        let place = text(args)?;
        let mut output = String::new();
        let since_start = |time: Millis| hours(time.0 - crate::machine::START.0);
        if name == "deleted" {
            let (account, mailbox) = self.mailbox(place)?;
            for message in self.machine.deleted(account, mailbox) {
                let (expunged, deadline) = (message.expunged, message.deadline);
                writeln!(
                    output,
                    "uid={} size={} arrived={} expunged={} until={}",
                    message.uid,
                    message.size,
                    since_start(message.internal_date),
                    since_start(expunged),
                    since_start(deadline)
                )?;
            }
        } else {
            for folder in self.machine.deleted_folders(self.account(place)?) {
                writeln!(
                    output,
                    "{} id={} exists={} bytes={} deleted={} until={}",
                    folder.name,
                    folder.id,
                    folder.messages,
                    folder.bytes,
                    since_start(folder.deleted),
                    since_start(folder.deadline)
                )?;
            }
        }
        Ok(output)
    }
}

fn hours(ms: u64) -> String {
    let hours = ms / 3_600_000;
    format!("{}d{}h", hours / 24, hours % 24)
}

pub fn deleted_text(reply: &Reply) -> String {
    let (told, next) = match reply {
        Reply::Restored {
            from,
            to,
            modseq,
            next,
            ..
        } => (format!("restored {from} as {to} modseq={modseq}"), next),
        Reply::Purged {
            messages,
            bytes,
            next,
        } => (format!("purged {messages} messages, {bytes} bytes"), next),
        other => unreachable!("{other:?}"),
    };
    match next {
        Some(next) => format!("{told}, go on at {next}"),
        None => told,
    }
}

impl Machine {
    /// All expunged messages that can be restored, page by page.
    pub fn deleted(
        &self,
        account: mailbox::AccountId,
        mailbox: MailboxId,
    ) -> Vec<mailbox::DeletedMessage> {
        let (mut all, mut from) = (Vec::new(), Uid(1));
        loop {
            let page = match self.ask(&Query::Deleted {
                account,
                mailbox,
                from,
                limit: 2,
            }) {
                Answer::Deleted(page) => page,
                other => panic!("{other:?}"),
            };
            all.extend(page.messages);
            let Some(next) = page.next else { return all };
            from = next;
        }
    }

    /// All deleted mailboxes that can be restored.
    pub fn deleted_folders(&self, account: mailbox::AccountId) -> Vec<mailbox::DeletedFolder> {
        let from = MailboxId(0);
        match self.ask(&Query::DeletedFolders { account, from }) {
            Answer::DeletedFolders(page) => page.folders,
            other => panic!("{other:?}"),
        }
    }
}
