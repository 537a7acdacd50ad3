//! Commands about mailboxes and messages that ask for too much, or for what is not one's own.

use super::super::cluster::{cluster, cluster_alone};
use super::super::wire::Wire;
use super::times;

const MIB: u64 = 1 << 20;

fn last(said: &[String]) -> &str {
    said.last().unwrap()
}

/// Whether somebody has a mailbox is nobody's business.
#[test]
fn of_others() {
    let (cluster, _use) = cluster();
    let mut owner = cluster.in_inbox(1, "bob");
    assert!(last(&owner.ask("a", "a CREATE Private\r\n")).starts_with("a OK "));
    let mut wire = cluster.in_inbox(1, "alice");
    for command in [
        "SELECT ?",
        "EXAMINE ?",
        "STATUS ? (MESSAGES)",
        "DELETE ?",
        "RENAME ? Mine",
        "APPEND ? {3+}\r\nabc",
        "COPY 1 ?",
        "UID COPY 1 ?",
        "MOVE 1 ?",
        "GETACL ?",
        "MYRIGHTS ?",
        "LISTRIGHTS ? alice",
        "SETACL ? alice lr",
        "DELETEACL ? bob",
        "GETMETADATA ? /private/comment",
        "SETMETADATA ? (/private/comment \"x\")",
    ] {
        let mut answer = |name: &str| {
            let send = format!("a {}\r\n", command.replace('?', name));
            let said = wire.ask("a", send);
            assert!(
                last(&said).starts_with("a NO "),
                "{command} {name}: {said:?}"
            );
            last(&said).replace(name, "?")
        };
        for prefix in ["user/bob/", "user/bob@demo.example/", "bob/"] {
            let there = answer(&format!("{prefix}Private"));
            let nowhere = answer(&format!("{prefix}Nowhere"));
            assert_eq!(there, nowhere, "{command}");
        }
        // Of a mailbox that cannot be selected nothing stays selected.
        wire.ask("s", "s SELECT INBOX\r\n");
    }
    for list in ["LIST \"\" *", "LIST \"\" user/*", "LSUB \"\" *"] {
        let said = wire.ask("a", format!("a {list}\r\n"));
        assert!(
            !said.iter().any(|line| line.contains("Private")),
            "{said:?}"
        );
    }
    assert!(last(&owner.ask("a", "a DELETE Private\r\n")).starts_with("a OK "));
    cluster.serves(1, "mailboxes of others");
}

/// Makes or removes so many mailboxes.
fn mailboxes(wire: &mut Wire, command: &str, count: usize) {
    let commands: String = (0..count)
        .map(|number| format!("a {command} pattern/aaaaaaaaaaaaaaaaaaaaaa{number}/x\r\n"))
        .collect();
    let said = wire.ask("z", format!("{commands}z NOOP\r\n"));
    let done = said.iter().filter(|line| line.starts_with("a OK ")).count();
    assert_eq!(done, count, "{said:?}");
}

#[test]
fn patterns() {
    let (cluster, _use) = cluster_alone();
    let mut wire = cluster.in_inbox(1, "user1");
    let count = times(60);
    mailboxes(&mut wire, "CREATE", count);
    cluster.within(4 * MIB, "patterns", || {
        for (pattern, matches) in [
            ("*%".repeat(1_000), true),
            ("%*".repeat(1_000) + "x", true),
            ("a*".repeat(1_000) + "b", false),
            ("*a%".repeat(300), false),
            ("*".repeat(4_096), true),
            ("*".repeat(100_000), false),
        ] {
            let list = format!("a LIST \"\" {{{}+}}\r\n{pattern}\r\n", pattern.len());
            let said = wire.ask("a", list);
            assert_eq!(last(&said), "a OK LIST completed");
            let found = said.iter().filter(|line| line.ends_with("/x")).count();
            assert_eq!(found, if matches { count } else { 0 }, "{}", &pattern[..9]);
        }
        let many = vec!["\"*%*%*%*%\""; 1_000].join(" ");
        let said = wire.ask("a", format!("a LIST \"\" ({many})\r\n"));
        assert!(last(&said).starts_with("a BAD [TOOBIG] "), "{said:?}");
    });
    mailboxes(&mut wire, "DELETE", count);
    cluster.serves(1, "patterns");
}

#[test]
fn keywords() {
    let (cluster, _use) = cluster_alone();
    let said = cluster.deliver(1, &["user1"], b"Subject: keywords\r\n\r\nx");
    assert!(said[0].starts_with("250 "), "{said:?}");
    let mut wire = cluster.in_inbox(1, "user1");
    let store = |wire: &mut Wire, names: std::ops::Range<usize>| {
        let names: Vec<String> = names.map(|number| format!("word{number}")).collect();
        let said = wire.ask(
            "a",
            format!("a STORE * FLAGS.SILENT ({})\r\n", names.join(" ")),
        );
        last(&said).to_owned()
    };
    let done = "a OK STORE completed";
    let full = "a NO [LIMIT] ";
    cluster.within(8 * MIB, "keywords", || {
        let mut answers = Vec::new();
        for from in (0..600).step_by(30) {
            answers.push(store(&mut wire, from..from + 30));
        }
        assert!(
            answers[..10].iter().all(|answer| answer == done),
            "{answers:?}"
        );
        assert!(last(&answers).starts_with(full), "{answers:?}");
        assert!(store(&mut wire, 0..33).starts_with(full), "of one message");
        assert!(store(&mut wire, 0..5_000).starts_with("a BAD [TOOBIG] "));
        let said = wire.ask("a", format!("a STORE * FLAGS ({})\r\n", "w".repeat(60_000)));
        assert!(last(&said).starts_with("a BAD [TOOBIG] "), "{said:?}");
        let mut search = |keys: usize| {
            let keys = " KEYWORD word1".repeat(keys);
            let said = wire.ask("a", format!("a SEARCH{keys}\r\n"));
            last(&said).to_owned()
        };
        assert_eq!(search(900), "a OK SEARCH completed");
        assert!(search(4_000).starts_with(full));
    });
    // What there is can be used.
    assert_eq!(store(&mut wire, 0..30), done);
    cluster.serves(1, "keywords");
}

/// What may stand there is answered, what may not is BAD, and nothing overflows.
#[test]
fn numbers() {
    let (cluster, _use) = cluster_alone();
    let said = cluster.deliver(1, &["user1"], b"Subject: numbers\r\n\r\nx");
    assert!(said[0].starts_with("250 "), "{said:?}");
    let good = [
        "FETCH 1 FLAGS (CHANGEDSINCE 0)",
        "FETCH 1 UID (CHANGEDSINCE 9223372036854775807)",
        "STORE 1 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)",
        "STORE 1 (UNCHANGEDSINCE 9223372036854775807) +FLAGS (\\Seen)",
        "SEARCH MODSEQ 9223372036854775807",
        "SEARCH LARGER 9223372036854775807",
        "SEARCH YOUNGER 4294967295",
        "UID FETCH 4294967295:1 UID",
        "UID SEARCH UID 4294967295:*",
        "FETCH 1 BODY.PEEK[]<9223372036854775807.9223372036854775807>",
        "FETCH 1 BODY.PEEK[4294967295.4294967295]",
        "UID FETCH 1:* UID (PARTIAL 4294967295:4294967295)",
        "UID FETCH 1:* UID (PARTIAL -4294967295:-1)",
        "SEARCH RETURN (PARTIAL 4294967295:1) ALL",
        "STATUS INBOX (UIDNEXT HIGHESTMODSEQ)",
        "SELECT INBOX (QRESYNC (4294967295 9223372036854775807 1:4294967295))",
    ];
    let bad = [
        "FETCH 1 UID (CHANGEDSINCE 9223372036854775808)",
        "FETCH 1 UID (CHANGEDSINCE 18446744073709551616)",
        "FETCH 1 UID (CHANGEDSINCE -1)",
        "STORE 1 (UNCHANGEDSINCE 18446744073709551615) +FLAGS (\\Seen)",
        "SEARCH MODSEQ 9223372036854775808",
        "SEARCH LARGER 18446744073709551616",
        "SEARCH YOUNGER 0",
        "UID FETCH 4294967296 UID",
        "UID FETCH 0 UID",
        "FETCH 4294967295:1 UID",
        "FETCH 1 BODY.PEEK[4294967296]",
        "FETCH 1 BODY.PEEK[0]",
        "FETCH 1 BODY.PEEK[]<18446744073709551616.1>",
        "FETCH 1 BODY.PEEK[]<0.0>",
        "UID FETCH 1:* UID (PARTIAL 1:4294967296)",
        "SELECT INBOX (QRESYNC (4294967296 1))",
        "SELECT INBOX (QRESYNC (0 1))",
        "SELECT INBOX (QRESYNC (1 9223372036854775808))",
    ];
    let again = || {
        let mut wire = cluster.in_inbox(1, "user1");
        assert!(last(&wire.ask("e", "e ENABLE QRESYNC\r\n")).starts_with("e OK "));
        wire
    };
    let mut wire = again();
    cluster.within(4 * MIB, "numbers", || {
        for (answer, commands) in [("a OK ", &good[..]), ("a BAD ", &bad[..])] {
            for command in commands {
                let said = wire.ask("n", format!("a {command}\r\nn NOOP\r\n"));
                let is_told = said.iter().any(|line| line.starts_with(answer));
                assert!(is_told, "{command}: {said:?}");
                if command.starts_with("SELECT") {
                    wire = again();
                }
            }
        }
        for range in ["1:*", "*:1", "4294967295:1", "1"] {
            let set = vec![range; 65_000 / (range.len() + 1) - 10].join(",");
            let said = wire.ask("a", format!("a UID FETCH {set} UID\r\n"));
            let told = said.iter().filter(|line| line.contains(" FETCH (")).count();
            let is_told_once = last(&said).starts_with("a OK ");
            assert!(
                is_told_once || last(&said).starts_with("a BAD [TOOBIG] "),
                "{range}"
            );
            assert!(told < 1_000, "each is told once: {told}");
        }
    });
    cluster.serves(1, "numbers");
}
