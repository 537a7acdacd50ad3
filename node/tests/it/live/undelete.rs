//! An operator brings back what a user deleted: sessions on every node see it.

use std::time::{Duration, Instant};

use client::Admin;
use client::v1::AdminUndeleteRequest;

use super::cluster::{Cluster, DOMAIN, PASSWORD, cluster};
use super::wire::Wire;

/// So that a test ends.
const PATIENCE: Duration = Duration::from_secs(60);

const DAY_MS: u64 = 86_400_000;

/// The operator, and the account of a user that no other test has.
struct Desk {
    runtime: tokio::runtime::Runtime,
    admin: Admin,
    account: String,
}

impl Desk {
    fn open(cluster: &Cluster, user: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let admin = Admin::of_demo(&cluster.folder()).unwrap();
        let account = format!("{user}@{DOMAIN}");
        let made = admin.create_account(account.clone(), Some(PASSWORD.into()), 0);
        runtime.block_on(made).unwrap();
        Self {
            runtime,
            admin,
            account,
        }
    }

    fn deleted(&self) -> client::v1::AdminDeleted {
        let listed = self.admin.deleted(&self.account, "");
        self.runtime.block_on(listed).unwrap()
    }

    fn undelete(&self, mailbox: &str, into: &str) -> Result<u64, client::Error> {
        let wanted = AdminUndeleteRequest {
            account: self.account.clone(),
            mailbox: Some(mailbox.into()).filter(|name: &String| !name.is_empty()),
            into: into.into(),
            ..AdminUndeleteRequest::default()
        };
        let back = self.runtime.block_on(self.admin.undelete(wanted))?;
        Ok(back.messages)
    }

    fn purge(&self) -> u64 {
        let purged = self.admin.purge_deleted(self.account.clone(), None);
        self.runtime.block_on(purged).unwrap().messages
    }
}

/// Sends a command, which is done; what was said before.
fn done(wire: &mut Wire, command: &str) -> Vec<String> {
    let mut said = wire.ask("d", format!("d {command}\r\n"));
    let last = said.pop().unwrap();
    assert!(last.starts_with("d OK"), "{command}: {last}");
    said
}

fn uid_validity(said: &[String]) -> String {
    let code = said.iter().find(|line| line.contains("[UIDVALIDITY "));
    code.unwrap().clone()
}

#[test]
fn deleted_mail_comes_back_to_sessions_on_every_node() {
    let (cluster, _guard) = cluster();
    let desk = Desk::open(cluster, "ruth");
    for text in ["one", "two", "three"] {
        let message = format!("Subject: {text}\r\n\r\nbody {text}");
        let said = cluster.deliver(1, &["ruth"], message.as_bytes());
        assert!(said[0].starts_with("250 "), "{said:?}");
    }
    let mut here = cluster.in_inbox(1, "ruth");
    let mut there = cluster.in_inbox(3, "ruth");
    done(&mut here, "CREATE Kept");
    done(&mut here, "COPY 3 Kept");
    let validity = uid_validity(&done(&mut here, "SELECT Kept"));
    done(&mut here, "SELECT INBOX");
    done(&mut here, "STORE 1:2 +FLAGS (\\Deleted \\Flagged)");
    done(&mut here, "EXPUNGE");
    done(&mut here, "DELETE Kept");
    let said = done(&mut there, "NOOP");
    assert!(said.contains(&"* 1 EXPUNGE".to_owned()), "{said:?}");

    let deleted = desk.deleted();
    let uids: Vec<u32> = deleted.messages.iter().map(|message| message.uid).collect();
    assert_eq!(uids, [1, 2]);
    assert_eq!(deleted.mailboxes[0].name, "Kept");
    assert_eq!(
        (deleted.held_messages, deleted.mailboxes[0].messages),
        (3, 1)
    );
    let bytes: u64 = deleted.messages.iter().map(|message| message.size).sum();
    assert_eq!(deleted.held_bytes, bytes + deleted.mailboxes[0].bytes);
    assert_eq!(deleted.retention_ms % DAY_MS, 0);

    // Messages: a session that waits on another node hears of them.
    there.send(b"i IDLE\r\n");
    there.until("+ ");
    assert_eq!(desk.undelete("INBOX", "").unwrap(), 2);
    there.until("* 3 EXISTS");
    there.send(b"DONE\r\n");
    there.until("i OK");
    let said = done(&mut there, "UID FETCH 4:5 (FLAGS BODY[TEXT])").join("\n");
    for words in ["UID 4", "UID 5", "\\Flagged", "body one", "body two"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("\\Deleted"), "{said}");
    assert_eq!(desk.undelete("INBOX", "").unwrap(), 0, "nothing twice");

    // A mailbox comes back whole or not at all.
    for (uids, since_ms) in [("1", 0), ("", 1)] {
        let wanted = AdminUndeleteRequest {
            account: desk.account.clone(),
            mailbox: Some("Kept".into()),
            uids: uids.into(),
            since_ms,
            ..AdminUndeleteRequest::default()
        };
        let refused = desk.runtime.block_on(desk.admin.undelete(wanted));
        let why = refused.unwrap_err().to_string();
        assert!(why.contains("comes back with all messages"), "{why}");
    }
    assert_eq!(desk.deleted().mailboxes[0].name, "Kept");

    // A mailbox: as clients remember it.
    assert_eq!(desk.undelete("Kept", "").unwrap(), 1);
    let said = done(&mut there, "SELECT Kept");
    assert_eq!(uid_validity(&said), validity);
    assert!(said.contains(&"* 1 EXISTS".to_owned()), "{said:?}");
    let said = done(&mut there, "UID FETCH 1 BODY[TEXT]").join("\n");
    assert!(said.contains("body three"), "{said}");

    // A session that has it selected is ended when it is deleted; then it goes for good.
    done(&mut here, "DELETE Kept");
    done(&mut here, "STORE 1 +FLAGS (\\Deleted)");
    done(&mut here, "CREATE Kept");
    done(&mut here, "EXPUNGE");
    assert_eq!(desk.deleted().held_messages, 2);
    assert!(desk.undelete("Nowhere", "").is_err());
    assert_eq!(desk.purge(), 2);
    let deleted = desk.deleted();
    assert_eq!((deleted.held_messages, deleted.held_bytes), (0, 0));
    assert!(deleted.messages.is_empty() && deleted.mailboxes.is_empty());
    assert_eq!(desk.undelete("", "").unwrap(), 0);
    cluster.serves(3, "undelete");
}

#[test]
fn the_retention_is_of_the_cluster_or_of_the_account() {
    let (cluster, _guard) = cluster();
    let desk = Desk::open(cluster, "naomi");
    let set = |days| {
        let set = desk.admin.set_retention(desk.account.clone(), days);
        desk.runtime.block_on(set).unwrap();
    };
    set(Some(30));
    let deleted = desk.deleted();
    assert_eq!(
        (deleted.retention_ms, deleted.own_retention),
        (30 * DAY_MS, true)
    );
    let all = desk.admin.set_cluster_retention(14);
    desk.runtime.block_on(all).unwrap();
    set(None);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let deleted = desk.deleted();
        assert!(!deleted.own_retention);
        if deleted.retention_ms == 14 * DAY_MS {
            break;
        }
        assert!(Instant::now() < deadline, "the partition is not told");
        std::thread::sleep(Duration::from_millis(100));
    }
    let too_long = desk.admin.set_retention(desk.account.clone(), Some(4000));
    assert!(desk.runtime.block_on(too_long).is_err());
}
