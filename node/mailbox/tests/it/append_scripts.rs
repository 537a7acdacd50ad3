//! What scripts say of several messages that are appended at once.
//!
//! `append-many BOX PART.. [replaced=BOX:UID]`; a part is `SIZE` of a body in the entry, or
//! `UPLOAD:SIZE`.

use std::error::Error;

use goldenscript::ArgumentConsumer;
use mailbox::{AccountId, Command, Flags, MailboxId, NewMessage, Replaced, Uid, UploadId};

use crate::machine::{Machine, inline, uploaded};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

pub fn many(
    args: &mut ArgumentConsumer<'_>,
    machine: &Machine,
    length: &mut u64,
    find: impl Fn(&str) -> Result<(AccountId, MailboxId)>,
) -> Result<Command> {
    let (account, mailbox) = find(args.next_pos().ok_or("into which mailbox?")?)?;
    let replaced = match args.take_key("replaced") {
        Some(text) => {
            let (name, uid) = text.rsplit_once(':').ok_or("which message?")?;
            let (_, mailbox) = find(name)?;
            let uid = Uid(uid.parse()?);
            Some(Replaced { mailbox, uid })
        }
        None => None,
    };
    let mut messages = Vec::new();
    while let Some(part) = args.next_pos() {
        let body = match part.split_once(':') {
            Some((upload, size)) => uploaded(UploadId(upload.parse()?), size.parse()?),
            None => {
                *length = part.parse()?;
                inline(*length, *length)
            }
        };
        messages.push(NewMessage {
            flags: Flags::default(),
            date: machine.now,
            body,
        });
    }
    Ok(Command::AppendMany {
        account,
        mailbox,
        messages,
        replaced,
    })
}
