//! Much at once: commands, recipients, and clients who wait for mail that comes all the time.

use client::Admin;

use super::super::cluster::{Cluster, DOMAIN, cluster_alone};
use super::super::wire::Wire;
use super::{is_whole, times};

const MIB: u64 = 1 << 20;

/// Bytes that a node has for each session that waits.
const IDLE_MAX: u64 = 64 << 10;

/// The term of every group, as one node knows it: it rises with every election. Only on a machine
/// that has nothing else to do do floods alone decide about that: nothing unless it is asked for.
fn terms(cluster: &Cluster) -> Vec<(u64, u64)> {
    if !is_whole() {
        return Vec::new();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let admin = Admin::of_demo(&cluster.folder()).unwrap();
    let status = runtime.block_on(admin.status()).unwrap();
    let groups = status.groups.iter();
    groups.map(|group| (group.group, group.term)).collect()
}

/// Sends `count` times `commands`, which are answered with `answer`, while reading what is said.
fn pipelined(mut wire: Wire, commands: &str, answer: &str, count: usize) {
    let send = commands.repeat(count.min(1_000));
    let mut said = 0;
    for _ in 0..count / count.min(1_000) {
        let lines = wire.ask("z", format!("{send}z NOOP\r\n"));
        said += lines.iter().filter(|line| *line == answer).count();
    }
    assert_eq!(said, count, "{commands:?}");
}

#[test]
fn commands() {
    let (cluster, _use) = cluster_alone();
    let before = terms(cluster);
    cluster.within(4 * MIB, "NOOP before login", || {
        pipelined(
            cluster.imap(1),
            "n NOOP\r\n",
            "n OK NOOP completed",
            times(50_000),
        );
    });
    cluster.within(4 * MIB, "NOOP after login", || {
        let mut wire = cluster.in_inbox(1, "user1");
        wire.ask("u", "u UNSELECT\r\n");
        pipelined(wire, "n NOOP\r\n", "n OK NOOP completed", times(50_000));
    });
    cluster.within(4 * MIB, "IDLE and DONE", || {
        let wire = cluster.in_inbox(1, "user1");
        let commands = "i IDLE\r\nDONE\r\n";
        pipelined(wire, commands, "i OK IDLE completed", times(500));
    });
    // In one go, read only afterwards, so that the server has to wait.
    cluster.within(4 * MIB, "NOOP in one go", || {
        let mut wire = cluster.imap(1);
        let took_all = wire.press("n NOOP\r\n".repeat(1_000_000).as_bytes());
        assert!(!took_all, "it stops reading when nobody reads its answers");
        cluster.serves(1, "NOOP in one go");
    });
    cluster.serves(1, "floods of commands");
    assert_eq!(terms(cluster), before, "no leader changed");
}

#[test]
fn recipients() {
    let (cluster, _use) = cluster_alone();
    let rcpt = format!("RCPT TO:<user1@{DOMAIN}>\r\n").repeat(1_000);
    cluster.within(8 * MIB, "recipients", || {
        let mut wire = cluster.lmtp(1);
        wire.send(b"MAIL FROM:<>\r\n");
        wire.until("250 ");
        for group in 0..times(10) {
            wire.send(rcpt.as_bytes());
            for _ in 0..1_000 {
                let said = wire.line().unwrap();
                let code = if group == 0 {
                    "250 2.1.5 "
                } else {
                    "452 4.5.3 "
                };
                assert!(said.starts_with(code), "{said}");
            }
        }
        wire.send(b"RSET\r\nQUIT\r\n");
        assert_eq!(wire.rest().len(), 2);
    });
    cluster.serves(1, "recipients");
}

#[test]
fn idle() {
    let (cluster, _use) = cluster_alone();
    let before = terms(cluster);
    let (count, mails) = (times(200), times(20));
    let mut waiting = Vec::new();
    let mut exists = 0;
    cluster.within(count as u64 * IDLE_MAX, "many who wait", || {
        for _ in 0..count {
            let mut wire = cluster.imap(1);
            let login = "l LOGIN user3 pass\r\ns SELECT INBOX\r\ni IDLE\r\n";
            wire.send(login.as_bytes());
            let said = wire.until("+ ");
            let told = said.iter().find_map(|line| line.strip_suffix(" EXISTS"));
            exists = told.unwrap()[2..].parse::<usize>().unwrap();
            waiting.push(wire);
        }
        // This one never reads, and says what is no DONE.
        let mut deaf = cluster.in_inbox(1, "user3");
        deaf.press("i IDLE\r\nDONE\r\n".repeat(10_000).as_bytes());
        for number in 0..mails {
            let mail = format!("Subject: flood {number}\r\n\r\nx");
            let said = cluster.deliver(1 + 2 * (number as u64 % 2), &["user3"], mail.as_bytes());
            assert!(said[0].starts_with("250 2.0.0 "), "{said:?}");
        }
        for wire in &mut waiting {
            let all = format!("* {} EXISTS", exists + mails);
            let said = wire.until(&all);
            assert_eq!(said.last(), Some(&all));
        }
    });
    for wire in &mut waiting {
        let said = wire.ask("i", "DONE\r\n");
        assert_eq!(said.last().unwrap(), "i OK IDLE completed");
    }
    cluster.serves(1, "many who wait");
    assert_eq!(terms(cluster), before, "no leader changed");
}
