//! The mailboxes of another, whose account is in another partition, through other nodes.

use client::Admin;

use super::cluster::{DOMAIN, PASSWORD, QUOTA_ADMIN, cluster};
use super::wire::Wire;

/// More than rides in one entry, so that it goes in chunks.
const LARGE: usize = 1_500_000;

/// A command and what it is answered; the tagged response last.
fn ask(wire: &mut Wire, command: &str) -> Vec<String> {
    wire.ask("x", format!("x {command}\r\n"))
}

fn done(wire: &mut Wire, command: &str) -> Vec<String> {
    let said = ask(wire, command);
    let last = said.last().unwrap();
    assert!(last.starts_with("x OK"), "{command}: {said:?}");
    said
}

fn refused(wire: &mut Wire, command: &str, why: &str) {
    let said = ask(wire, command);
    let last = said.last().unwrap();
    assert!(
        last.starts_with(&format!("x NO [{why}]")),
        "{command}: {said:?}"
    );
}

fn has(said: &[String], wanted: &str) -> bool {
    said.iter().any(|line| line.contains(wanted))
}

fn logged_in(node: u64, user: &str) -> Wire {
    let (cluster, _use) = cluster();
    let mut wire = cluster.imap(node);
    done(&mut wire, &format!("LOGIN {user} {PASSWORD}"));
    wire
}

/// Accounts go to the partition with the fewest, so the first ones are all in different ones.
#[test]
fn mailboxes_of_others_across_partitions() {
    let (cluster, _use) = cluster();
    let mut owner = logged_in(1, "user1");
    let mut guest = logged_in(3, "user2");
    let shared = format!("user/user1@{DOMAIN}/Shared");
    done(&mut owner, "CREATE Shared");
    let large = format!(
        "Subject: shared-and-large\r\n\r\n{}",
        "0123456789\r\n".repeat(LARGE / 12)
    );
    for text in ["Subject: small\r\n\r\nsmall", large.as_str()] {
        let append = format!("APPEND Shared {{{}+}}\r\n{text}", text.len());
        done(&mut owner, &append);
    }
    // Nobody else knows of it.
    refused(&mut guest, &format!("SELECT {shared}"), "NONEXISTENT");
    assert!(!has(&done(&mut guest, "LIST \"\" *"), "user/"));

    done(&mut owner, &format!("SETACL Shared user2@{DOMAIN} lr"));
    assert!(has(&done(&mut guest, "LIST \"\" *"), &shared));
    assert!(has(
        &done(&mut guest, &format!("SELECT {shared}")),
        "[READ-ONLY]"
    ));
    assert!(has(&done(&mut guest, "FETCH 1 BODY.PEEK[TEXT]"), "small"));
    refused(&mut guest, "STORE 1 +FLAGS (\\Flagged)", "READ-ONLY");

    done(&mut owner, &format!("SETACL Shared user2@{DOMAIN} +swite"));
    assert!(has(
        &done(&mut guest, &format!("SELECT {shared}")),
        "[READ-WRITE]"
    ));
    done(&mut guest, "STORE 1 +FLAGS (\\Flagged)");
    let said = done(&mut owner, "STATUS Shared (MESSAGES UNSEEN)");
    assert!(has(&said, "MESSAGES 2"), "{said:?}");

    // Mail that arrives wakes the one who waits there.
    guest.send(b"x IDLE\r\n");
    guest.until("+ ");
    cluster.deliver(3, &["user1+Shared"], b"Subject: third\r\n\r\nthird\r\n");
    guest.until("* 3 EXISTS");
    guest.send(b"DONE\r\n");
    guest.until("x OK");

    // Both ways, the large one in chunks.
    let said = done(&mut guest, "MOVE 1:2 INBOX");
    assert!(has(&said, "[COPYUID "), "{said:?}");
    assert!(has(
        &done(&mut owner, "STATUS Shared (MESSAGES)"),
        "MESSAGES 1"
    ));
    done(&mut guest, "SELECT INBOX");
    let found = done(&mut guest, "UID SEARCH SUBJECT shared-and-large");
    let uid = found[0].trim_start_matches("* SEARCH ").to_owned();
    let said = done(
        &mut guest,
        &format!("UID FETCH {uid} (RFC822.SIZE BODY.PEEK[])"),
    );
    assert!(
        said[0].contains(&format!("RFC822.SIZE {}", large.len())),
        "{}",
        said[0]
    );
    done(&mut guest, &format!("UID COPY {uid} {shared}"));
    done(&mut guest, &format!("UID MOVE {uid} {shared}"));
    assert!(has(
        &done(&mut owner, "STATUS Shared (MESSAGES)"),
        "MESSAGES 3"
    ));
    done(&mut owner, "SELECT Shared");
    let said = done(&mut owner, "SEARCH LARGER 1000000");
    assert_eq!(said[0], "* SEARCH 2 3");
    assert!(has(&done(&mut owner, "FETCH 2 FLAGS"), "FLAGS ("));

    // The machine decides, whatever a session knew.
    done(&mut guest, &format!("SELECT {shared}"));
    done(&mut owner, &format!("DELETEACL Shared user2@{DOMAIN}"));
    let said = ask(&mut guest, "FETCH 1 FLAGS");
    assert!(said.last().unwrap().starts_with("x NO"), "{said:?}");
    refused(&mut guest, &format!("SELECT {shared}"), "NONEXISTENT");
    assert!(!has(&done(&mut guest, "LIST \"\" *"), "user/"));
    cluster.is_well("mailboxes of others");
}

/// The partitions of others do not know that somebody has no account any more.
#[test]
fn who_is_deleted_has_no_mailboxes_of_others_either() {
    let (cluster, _use) = cluster();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let operator = Admin::of_demo(&cluster.folder()).unwrap();
    let make = |user: &str| {
        let made = operator.create_account(format!("{user}@{DOMAIN}"), Some(PASSWORD.into()), 0);
        runtime.block_on(made).unwrap();
    };
    let delete = |user: &str| {
        let deleted = operator.delete_account(format!("{user}@{DOMAIN}"));
        runtime.block_on(deleted).unwrap();
    };
    let is_sent_off = |wire: &mut Wire, command: &str| {
        wire.send(format!("x {command}\r\n").as_bytes());
        let said = wire.rest();
        assert!(said[0].starts_with("* BYE "), "{command}: {said:?}");
    };
    for user in ["lender", "reader", QUOTA_ADMIN] {
        make(user);
    }
    let mut owner = logged_in(1, "lender");
    done(&mut owner, "CREATE Lent");
    let text = "Subject: lent\r\n\r\nlent";
    done(
        &mut owner,
        &format!("APPEND Lent {{{}+}}\r\n{text}", text.len()),
    );
    done(&mut owner, &format!("SETACL Lent reader@{DOMAIN} lrswite"));
    let lent = format!("user/lender@{DOMAIN}/Lent");
    for command in [
        "FETCH 1 (FLAGS BODY.PEEK[])".to_owned(),
        "STORE 1 +FLAGS (\\Flagged)".to_owned(),
        "NOOP".to_owned(),
        format!("STATUS {lent} (MESSAGES)"),
        format!("APPEND {lent} {{{}+}}\r\n{text}", text.len()),
    ] {
        let mut guest = logged_in(3, "reader");
        done(&mut guest, &format!("SELECT {lent}"));
        done(&mut guest, "FETCH 1 (FLAGS BODY.PEEK[])");
        delete("reader");
        is_sent_off(&mut guest, &command);
        make("reader");
        done(&mut owner, &format!("SETACL Lent reader@{DOMAIN} lrswite"));
    }
    let said = done(&mut owner, "STATUS Lent (MESSAGES)");
    assert!(has(&said, "MESSAGES 1"), "{said:?}");

    let set = format!("SETQUOTA user/lender@{DOMAIN} (STORAGE 100)");
    let mut keeper = logged_in(3, QUOTA_ADMIN);
    done(&mut keeper, &set);
    delete(QUOTA_ADMIN);
    is_sent_off(&mut keeper, &set.replace("100", "1"));
    let said = done(&mut owner, "GETQUOTA \"\"");
    assert!(has(&said, "STORAGE 1 100 "), "{said:?}");
    cluster.is_well("users who are deleted");
}
