//! `rookery mail`: what accounts deleted.

use proto::v1::{AdminDeleted, AdminUndeleteRequest};
use serde_json::{Value, json};

use super::args::Mail;
use super::report::{Report, bytes_text, printable, table};
use super::{Failure, time};
use crate::Admin;

/// Does what the command says.
pub(super) async fn run(admin: &Admin, command: &Mail) -> Result<Report, Failure> {
    match command {
        Mail::Deleted { account, mailbox } => {
            let mailbox = mailbox.as_deref().unwrap_or_default();
            let deleted = admin.deleted(account, mailbox).await?;
            Ok(Report::Deleted(deleted))
        }
        Mail::Undelete {
            account,
            mailbox,
            id,
            uids,
            since,
            into,
        } => {
            let wanted = AdminUndeleteRequest {
                account: account.clone(),
                mailbox: mailbox.clone(),
                deleted_mailbox: id.unwrap_or_default(),
                uids: uids.clone().unwrap_or_default(),
                since_ms: since.unwrap_or_default(),
                into: into.clone().unwrap_or_default(),
            };
            let back = admin.undelete(wanted).await?;
            Ok(Report::Undeleted(back))
        }
        Mail::Purge { yes: false, .. } => Err(Failure::usage(
            "what is purged cannot be brought back: say --yes if you mean it",
        )),
        Mail::Purge {
            account, mailbox, ..
        } => {
            let purged = admin
                .purge_deleted(account.clone(), mailbox.clone())
                .await?;
            Ok(Report::Purged(purged))
        }
    }
}

/// What an account deleted, for people.
pub(super) fn deleted_text(deleted: &AdminDeleted) -> String {
    let mut text = format!(
        "{} held by {} deleted messages, kept for {}{}\n",
        bytes_text(deleted.held_bytes),
        deleted.held_messages,
        time::span(deleted.retention_ms),
        if deleted.own_retention {
            ", the account's own retention"
        } else {
            ""
        },
    );
    if !deleted.mailboxes.is_empty() {
        let head = [
            "MAILBOX",
            "NUMBER",
            "MESSAGES",
            "SIZE",
            "DELETED",
            "KEPT UNTIL",
        ];
        let mut rows = table(&head);
        for mailbox in &deleted.mailboxes {
            rows.add_row([
                printable(&mailbox.name),
                mailbox.mailbox.to_string(),
                mailbox.messages.to_string(),
                bytes_text(mailbox.bytes),
                time::show(mailbox.deleted_ms),
                time::show(mailbox.deadline_ms),
            ]);
        }
        text.push_str(&format!("\n{rows}\n"));
    }
    if !deleted.messages.is_empty() {
        let head = ["IN", "UID", "SIZE", "RECEIVED", "EXPUNGED", "KEPT UNTIL"];
        let mut rows = table(&head);
        for message in &deleted.messages {
            rows.add_row([
                printable(&message.mailbox),
                message.uid.to_string(),
                bytes_text(message.size),
                time::show(message.internal_ms),
                time::show(message.expunged_ms),
                time::show(message.deadline_ms),
            ]);
        }
        text.push_str(&format!("\n{rows}\n"));
    }
    text
}

/// The same for programs.
pub(super) fn deleted_json(deleted: &AdminDeleted) -> Value {
    let mailboxes = deleted.mailboxes.iter().map(|mailbox| {
        json!({
            "mailbox": mailbox.mailbox,
            "name": mailbox.name,
            "messages": mailbox.messages,
            "bytes": mailbox.bytes,
            "deleted_ms": mailbox.deleted_ms,
            "deadline_ms": mailbox.deadline_ms,
        })
    });
    let messages = deleted.messages.iter().map(|message| {
        json!({
            "mailbox": message.mailbox,
            "uid": message.uid,
            "size": message.size,
            "internal_ms": message.internal_ms,
            "expunged_ms": message.expunged_ms,
            "deadline_ms": message.deadline_ms,
        })
    });
    json!({
        "held_messages": deleted.held_messages,
        "held_bytes": deleted.held_bytes,
        "retention_ms": deleted.retention_ms,
        "own_retention": deleted.own_retention,
        "mailboxes": mailboxes.collect::<Vec<_>>(),
        "messages": messages.collect::<Vec<_>>(),
    })
}
