//! NOTIFY over real sockets: what happens through one node is told through another, unasked.

use client::Admin;

use super::cluster::{Cluster, DOMAIN, PASSWORD, cluster};
use super::wire::Wire;

fn done(wire: &mut Wire, command: &str) {
    let said = wire.ask("d", format!("d {command}\r\n"));
    assert!(
        said.last().unwrap().starts_with("d OK"),
        "{command}: {said:?}"
    );
}

/// Lines are told up to one that begins so.
fn hears(wire: &mut Wire, start: &str) {
    let heard = wire.until(start);
    let last = heard.last();
    assert!(
        last.is_some_and(|line| line.starts_with(start)),
        "{heard:?}"
    );
}

/// An account that no other test has.
fn account(cluster: &Cluster, user: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let admin = Admin::of_demo(&cluster.folder()).unwrap();
    let made = admin.create_account(format!("{user}@{DOMAIN}"), Some(PASSWORD.into()), 0);
    runtime.block_on(made).unwrap();
}

#[test]
fn one_node_tells_what_another_did() {
    let (cluster, _use) = cluster();
    account(cluster, "notified");
    let mut there = cluster.in_inbox(3, "notified");
    let mut here = cluster.in_inbox(1, "notified");
    done(&mut here, "CREATE Notified");
    done(
        &mut there,
        "NOTIFY SET (selected (MessageNew (UID) MessageExpunge FlagChange)) \
         (subtree Notified (MessageNew MessageExpunge MailboxName))",
    );
    for folder in ["notified+Notified", "notified"] {
        let said = cluster.deliver(1, &[folder], b"Subject: x\r\n\r\ntext");
        assert!(said.iter().all(|line| line.starts_with("250 ")), "{said:?}");
        let heard = there.until(if folder == "notified" {
            "* 1 FETCH"
        } else {
            "* STATUS"
        });
        let last = heard.last().unwrap();
        let told = [
            "* 1 FETCH (UID 1)",
            "* STATUS Notified (MESSAGES 1 UIDNEXT 2)",
        ];
        assert!(told.contains(&last.as_str()), "{heard:?}");
    }
    done(&mut here, "NOOP");
    done(&mut here, "STORE 1 +FLAGS.SILENT (\\Deleted)");
    there.until("* 1 FETCH (UID 1 FLAGS (\\Deleted");
    done(&mut here, "EXPUNGE");
    there.until("* 1 EXPUNGE");
    done(&mut here, "RENAME Notified Renamed");
    let heard = there.until("* LIST");
    let last = heard.last().unwrap();
    assert!(
        last.ends_with(" Renamed (\"OLDNAME\" (Notified))"),
        "{heard:?}"
    );
    // What the client says is answered in between.
    done(&mut there, "NOTIFY NONE");
    done(&mut here, "RENAME Renamed Notified");
    let said = there.ask("n", "n NOOP\r\n");
    assert_eq!(said, ["n OK NOOP completed"]);
}

/// The mailboxes of another, whose account may be in another partition, are told of from when he
/// lets the client look them up until he does so no more.
#[test]
fn mailboxes_of_others() {
    let (cluster, _use) = cluster();
    for user in ["sharer", "watcher"] {
        account(cluster, user);
    }
    let mut owner = cluster.in_inbox(1, "sharer");
    let mut guest = cluster.in_inbox(3, "watcher");
    done(&mut owner, "CREATE Common");
    done(
        &mut guest,
        "NOTIFY SET (subtree user (MessageNew MessageExpunge MailboxName))",
    );
    let name = format!("user/sharer@{DOMAIN}/Common");
    done(&mut owner, &format!("SETACL Common watcher@{DOMAIN} lr"));
    hears(
        &mut guest,
        &format!("* LIST (\\HasNoChildren) \"/\" {name}"),
    );
    let said = cluster.deliver(1, &["sharer+Common"], b"Subject: x\r\n\r\ntext");
    assert!(said.iter().all(|line| line.starts_with("250 ")), "{said:?}");
    hears(
        &mut guest,
        &format!("* STATUS {name} (MESSAGES 1 UIDNEXT 2)"),
    );
    done(&mut owner, &format!("DELETEACL Common watcher@{DOMAIN}"));
    let gone = format!("* LIST (\\NonExistent \\Noselect \\HasNoChildren) \"/\" {name}");
    hears(&mut guest, &gone);
}
