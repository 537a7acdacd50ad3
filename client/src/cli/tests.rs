use clap::CommandFactory;
use clap::error::ErrorKind;
use proto::v1::{
    AdminAccount, AdminCondition, AdminDigestReply, AdminGroup, AdminMoves, AdminNode,
    AdminNodeMove, AdminReplica, AdminReplicaMove, AdminScrubbed, AdminSegment, AdminSnapshot,
    AdminStatus, AdminStorage, AdminVerified,
};

use super::args::{Node, Replica};
use super::*;

fn parsed(line: &str) -> Result<Cli, ErrorKind> {
    Cli::try_parse_from(line.split(' ')).map_err(|error| error.kind())
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn commands_are_understood() {
    let line = "rookery --admin 10.77.0.1:7401 --ca ca.pem --cert a.pem --key a.key \
                cluster init --replicas 3 --partitions 16 --default-domain example.org";
    let cli = parsed(line).unwrap();
    assert_eq!(cli.admin, ["10.77.0.1:7401"]);
    let Command::Cluster { command } = cli.command else {
        panic!("not cluster init")
    };
    let Cluster::Init {
        replicas,
        partitions,
        default_domain,
    } = command
    else {
        panic!("not cluster init")
    };
    assert_eq!(
        (replicas, partitions, default_domain.as_str()),
        (3, 16, "example.org")
    );

    let cli = parsed("rookery node add --node 2 --peer [::1]:7400 --json --demo d").unwrap();
    assert!(cli.json);
    assert!(matches!(
        cli.command,
        Command::Node {
            command: Node::Add {
                node: 2,
                wait: false,
                ..
            }
        }
    ));

    let cli = parsed("rookery node replace 3 4 --peer h:1 --wait --demo d").unwrap();
    let Command::Node { command } = cli.command else {
        panic!("not node")
    };
    assert!(matches!(
        command,
        Node::Replace {
            old: 3,
            new: 4,
            wait: true,
            ..
        }
    ));

    let cli = parsed("rookery replica move --group 5 --from 1 --to 4 --demo d").unwrap();
    let Command::Replica { command } = cli.command else {
        panic!("not replica")
    };
    assert!(matches!(
        command,
        Replica::Move {
            group: 5,
            from: 1,
            to: 4,
            wait: false
        }
    ));

    let cli = parsed("rookery status --admin a:1,b:2 --admin c:3 --timeout 5").unwrap();
    assert_eq!(
        (cli.admin, cli.timeout),
        (vec!["a:1".into(), "b:2".into(), "c:3".into()], Some(5))
    );

    let cli = parsed("rookery partition transfer 0 --to 2").unwrap();
    let Command::Partition { command } = cli.command else {
        panic!("not partition")
    };
    assert!(matches!(command, Partition::Transfer { group: 0, to: 2 }));

    let cli = parsed("rookery verify 0 3").unwrap();
    assert!(matches!(cli.command, Command::Verify { groups, deep: false } if groups == [0, 3]));
}

#[test]
fn commands_about_deleted_mail_are_understood() {
    let cli = parsed("rookery mail undelete alice --mailbox a/b --uids 3:7,9 --since 2d --into c");
    let Command::Mail { command } = cli.unwrap().command else {
        panic!("not mail")
    };
    let args::Mail::Undelete {
        account,
        mailbox,
        id,
        uids,
        since,
        into,
    } = command
    else {
        panic!("not undelete")
    };
    let words = [Some(account), mailbox, uids, into].map(Option::unwrap);
    assert_eq!(words, ["alice", "a/b", "3:7,9", "c"]);
    assert!(id.is_none() && since.is_some());
    for (word, days) in [("default", Days::Default), ("30", Days::Own(30))] {
        let cli = parsed(&format!("rookery account retention alice {word}")).unwrap();
        let Command::Account { command } = cli.command else {
            panic!("not account")
        };
        assert!(matches!(command, Account::Retention { days: found, .. } if found == days));
    }
    let cli = parsed("rookery account quota alice --messages 0").unwrap();
    let Command::Account { command } = cli.command else {
        panic!("not account")
    };
    assert!(matches!(
        command,
        Account::Quota {
            bytes: None,
            messages: Some(0),
            ..
        }
    ));
}

#[test]
fn what_was_deleted_is_shown() {
    let deleted = proto::v1::AdminDeleted {
        mailboxes: vec![proto::v1::AdminDeletedMailbox {
            mailbox: 7,
            name: "a\u{7}b".into(),
            messages: 2,
            bytes: 2048,
            deleted_ms: 1_700_000_000_000,
            deadline_ms: 1_700_604_800_000,
        }],
        messages: vec![proto::v1::AdminDeletedMessage {
            mailbox: "INBOX".into(),
            uid: 9,
            size: 100,
            ..proto::v1::AdminDeletedMessage::default()
        }],
        held_messages: 3,
        held_bytes: 2148,
        retention_ms: 604_800_000,
        own_retention: true,
        next: Vec::new().into(),
    };
    let report = Report::Deleted(deleted);
    let text = report.text();
    assert!(text.starts_with(
        "2.0 KiB held by 3 deleted messages, kept for 7 days, the account's own retention\n"
    ));
    for words in ["a\\u{7}b", "2023-11-14 22:13", "2023-11-21 22:13", "INBOX"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["mailboxes"][0]["mailbox"], 7);
    assert_eq!(json["messages"][0]["uid"], 9);
    assert_eq!(json["held_bytes"], 2148);
}

#[test]
fn wrong_words_are_refused() {
    for line in [
        "rookery",
        "rookery --admin nowhere status",
        "rookery --admin ::1:7401 status",
        "rookery --admin host:0 status",
        "rookery --demo d --admin h:1 status",
        "rookery --timeout 0 status",
        "rookery node add --node 0 --peer h:1",
        "rookery node add --node 2",
        "rookery node replace 3",
        "rookery node remove 0",
        "rookery replica move --group 0 --from 1 --to 2",
        "rookery cluster init --replicas 0",
        "rookery account create alice --password secret",
        "rookery account create",
        "rookery partition transfer 1",
        "rookery cluster retention 0",
        "rookery account retention alice 3651",
        "rookery account retention alice never",
        "rookery account quota alice --bytes none",
        "rookery mail undelete",
        "rookery mail undelete alice --uids 1",
        "rookery mail undelete alice --since yesterday",
        "rookery mail undelete alice --mailbox a --id 1",
    ] {
        assert!(parsed(line).is_err(), "{line}");
    }
}

#[test]
fn passwords_come_whole_or_not_at_all() {
    let read = |bytes: &[u8]| {
        let password = password::first_line(bytes)?;
        password::check(&password).map(|()| password)
    };
    assert_eq!(read(b"pass word \r\nsecond line\n").unwrap(), "pass word ");
    assert_eq!(read(b"no line break").unwrap(), "no line break");
    assert_eq!(read(&[b'x'; 1024]).unwrap().len(), 1024);
    assert!(read(&[b'x'; 1025]).unwrap_err().contains("longer"));
    assert!(read(&[b'x'; 9000]).unwrap_err().contains("longer"));
    assert!(read(b"").unwrap_err().contains("empty"));
    assert!(read(b"a\rb\n").unwrap_err().contains("line break"));
    assert!(read(b"\xff\n").unwrap_err().contains("UTF-8"));
}

fn status() -> AdminStatus {
    let node = |node, reachable| AdminNode {
        node,
        peer: format!("10.77.0.{node}:7400"),
        imap: format!("10.77.0.{node}:143"),
        imaps: String::new(),
        lmtp: String::new(),
        admin: String::new(),
        reachable,
        state: "active".into(),
        condition: reachable.then_some(AdminCondition {
            room_bytes: 3 << 30,
            takes_mail: true,
            sync_us: 2345,
            clock_ahead_ms: 0,
        }),
    };
    let replica = |node, voter, matched| AdminReplica {
        replica: 10 + node,
        node,
        voter,
        matched,
        leaving: false,
    };
    let group = |group, leader| AdminGroup {
        group,
        term: 3,
        leader,
        last_index: 42,
        applied_index: 42,
        replicas: vec![replica(1, true, Some(42)), replica(2, false, Some(40))],
        trouble: String::new(),
    };
    AdminStatus {
        cluster: vec![0xab; 16].into(),
        node: 1,
        nodes: vec![node(1, true), node(2, false)],
        groups: vec![group(0, 1), group(1, 0)],
        accounts: 5,
        version: "0.1.0\u{1b}[2J".into(),
        snapshots: Vec::new(),
        cluster_groups: 2,
    }
}

/// Trailing blanks are how columns are filled; they are of no interest.
fn lines(text: &str) -> Vec<String> {
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn status_for_people() {
    let text = Report::Status(status()).text();
    let expected = [
        "cluster abababababababababababababababab, version 0.1.0\\u{1b}[2J, 5 accounts, \
         as node 1 sees it",
        "",
        "NODE STATE  REACHABLE ROOM    SYNC   PEER           IMAP          IMAPS LMTP ADMIN",
        "1    active yes       3.0 GiB 2.3 ms 10.77.0.1:7400 10.77.0.1:143",
        "2    active NO        ?       ?      10.77.0.2:7400 10.77.0.2:143",
        "",
        "2 groups: node 1 leads 1",
        "WITHOUT A LEADER: 1",
    ];
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let found: Vec<String> = lines(&text).iter().map(|line| squeezed(line)).collect();
    assert_eq!(found, expected.map(squeezed), "{text}");
    let mut sick = status();
    sick.nodes[0].condition = Some(AdminCondition {
        room_bytes: 5 << 20,
        takes_mail: false,
        sync_us: 0,
        clock_ahead_ms: -61_500,
    });
    let text = Report::Status(sick).text();
    assert!(
        squeezed(&text).contains("yes 5.0 MiB FULL ?, CLOCK -61 s 10.77"),
        "{text}"
    );
    let empty = Report::Status(AdminStatus {
        node: 2,
        ..AdminStatus::default()
    })
    .text();
    assert!(
        empty.starts_with("node 2 belongs to no cluster yet"),
        "{empty}"
    );
}

#[test]
fn status_for_programs() {
    let json: serde_json::Value = serde_json::from_str(&Report::Status(status()).json()).unwrap();
    assert_eq!(json["cluster"], "ab".repeat(16));
    assert_eq!(json["nodes"][1]["reachable"], false);
    assert_eq!(json["groups"][0]["replicas"][1]["matched"], 40);
    assert_eq!(json["groups"][1]["leader"], 0);
    assert_eq!(json["groups"][1]["trouble"], "");
    assert_eq!(json["cluster_groups"], 2);
}

/// A node whose replica does not serve does not know who leads the group.
#[test]
fn groups_that_are_out_of_service_here() {
    let mut groups = status().groups;
    groups[1].trouble = "damaged\n".into();
    let report = Report::Groups(groups);
    let text = report.text();
    assert!(text.contains("group 1 HERE: damaged\\n\n"), "{text}");
    let mut rows = text.lines().map(str::trim_start);
    let row = rows.find(|row| row.starts_with("1 ")).unwrap();
    assert_eq!(row.split_whitespace().nth(1), Some("?"), "{text}");
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json[1]["trouble"], "damaged\n");
}

#[test]
fn what_was_not_compared_is_not_equal() {
    assert_eq!(judge(&AdminVerifyReply::default()), Exit::Failed);
    assert_eq!(
        judge(&verified(true, &[(8, 1, ""), (8, 1, "")])),
        Exit::Done
    );
}

#[test]
fn no_more_partitions_than_a_cluster_may_have() {
    let parsed = |partitions: u32| {
        parsed(&format!(
            "rookery cluster init --partitions {partitions} --demo d"
        ))
        .map(drop)
    };
    assert_eq!(parsed(256), Ok(()));
    assert_eq!(parsed(257), Err(ErrorKind::ValueValidation));
}

#[test]
fn status_shows_snapshots_on_their_way() {
    let sending = AdminSnapshot {
        group: 3,
        replica: 12,
        node: 2,
        row_bytes: 3 << 20,
        rows: 700,
        bodies: 12,
        body_bytes: 1536,
        seconds: 4,
    };
    let report = Report::Status(AdminStatus {
        snapshots: vec![sending],
        ..status()
    });
    let shown = report.text();
    let last: Vec<&str> = shown.lines().rev().take(2).collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(last[0]), "group 3 2 700 3.0 MiB 12 1.5 KiB 4");
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["snapshots"][0]["body_bytes"], 1536);
}

#[test]
fn replicas_on_their_way_are_shown() {
    let mut status = status();
    status.groups[1].replicas[0].leaving = true;
    let groups = Report::Groups(status.groups.split_off(1));
    let text = groups.text();
    let words = "node 1 leaving, node 2 learner -2";
    assert!(text.contains(words), "{text}");
    let json: serde_json::Value = serde_json::from_str(&groups.json()).unwrap();
    assert_eq!(json[0]["replicas"][0]["leaving"], true);

    let moves = Report::Moves(AdminMoves {
        nodes: vec![AdminNodeMove {
            node: 3,
            state: "leaving".into(),
            successor: 4,
        }],
        replicas: vec![AdminReplicaMove {
            group: 5,
            replica: 40,
            node: 4,
            last_index: 900,
            matched: Some(700),
            ..AdminReplicaMove::default()
        }],
    });
    assert_eq!(
        lines(&moves.text()),
        [
            "node 3 is leaving, and node 4 takes its place",
            "GROUP  REPLICA  NODE  DOES        ENTRIES     CHECKPOINT",
            "5      40       4     catches up  700 of 900",
        ]
    );
    let json: serde_json::Value = serde_json::from_str(&moves.json()).unwrap();
    assert_eq!(json["replicas"][0]["matched"], 700);
    let settled = Report::Moves(AdminMoves::default()).text();
    assert_eq!(settled, "all groups are as they shall be\n");
}

#[test]
fn storage_says_what_is_needed() {
    let segment = |number, live_bytes, sealed| AdminSegment {
        number,
        file_bytes: 64 << 20,
        bytes: 60 << 20,
        live_bytes,
        sealed,
    };
    let storage = AdminStorage {
        node: 2,
        segments: vec![segment(7, 1 << 20, true), segment(9, 1536, false)],
        spare_segments: 1,
        written_bytes: 300,
        copied_bytes: 100,
        freed_bytes: 64 << 20,
        filled_bytes: 50,
        room_bytes: 192 << 20,
        reserve_bytes: 256 << 20,
        takes_mail: false,
        scrubbed: Some(AdminScrubbed {
            bytes: 128 << 20,
            damaged: 3,
            mended: 2,
            open: 1,
            ..AdminScrubbed::default()
        }),
    };
    let report = Report::Storage(storage);
    assert_eq!(
        lines(&report.text()),
        [
            "node 2: 2 segments and 1 spare, 128.0 MiB on disk, 120.0 MiB written there, \
             1.0 MiB of it needed",
            "room for 192.0 MiB, of which mail leaves 256.0 MiB: NO MAIL IS TAKEN",
            "since its start: 300 B written, 100 B of it by the cleaner, 50 B of zeros in advance \
             (1.75 times), 64.0 MiB freed",
            "scrubbed: not read whole yet; since its start: 128.0 MiB read, 3 damaged, 2 mended, \
             1 not yet",
            "",
            "SEGMENT  FILE      WRITTEN   NEEDED   SEALED",
            "7        64.0 MiB  60.0 MiB  1.0 MiB  yes",
            "9        64.0 MiB  60.0 MiB  1.5 KiB  no",
        ]
    );
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["segments"][1]["live_bytes"], 1536);
    // One that has just started.
    let fresh = Report::Storage(AdminStorage::default());
    assert!(fresh.text().contains("(nothing else was)"));
}

#[test]
fn groups_show_who_lags() {
    let text = Report::Groups(status().groups).text();
    assert!(text.contains("0 (directory)"), "{text}");
    assert!(text.contains("node 1, node 2 learner -2"), "{text}");
    assert!(text.contains("none"), "{text}");
}

#[test]
fn accounts_are_listed() {
    let account = |name: &str| AdminAccount {
        account: 7,
        name: name.into(),
        partition: 3,
        state: "active".into(),
    };
    let report = Report::Accounts(vec![account("alice@example.org"), account("b\r\nob")]);
    assert!(report.text().contains("b\\r\\nob"), "{}", report.text());
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json[0]["name"], "alice@example.org");
    assert_eq!(json[1]["name"], "b\r\nob");
}

fn verified(equal: bool, replicas: &[(u64, u8, &str)]) -> AdminVerifyReply {
    let replicas = replicas
        .iter()
        .zip(1..)
        .map(|((index, digest, error), node)| AdminDigestReply {
            node,
            replica: node,
            applied_index: *index,
            digest: vec![*digest; 16].into(),
            error: (*error).to_owned(),
            ..AdminDigestReply::default()
        })
        .collect();
    AdminVerifyReply {
        groups: vec![AdminVerified {
            group: 1,
            replicas,
            equal,
        }],
    }
}

#[test]
fn only_a_difference_is_a_difference() {
    assert_eq!(
        judge(&verified(true, &[(5, 1, ""), (5, 1, "")])),
        Exit::Done
    );
    assert_eq!(
        judge(&verified(false, &[(5, 1, ""), (5, 2, "")])),
        Exit::Different
    );
    assert_eq!(
        judge(&verified(false, &[(5, 1, ""), (0, 0, "not reachable")])),
        Exit::Failed
    );
    assert_eq!(
        judge(&verified(false, &[(5, 1, ""), (6, 2, "")])),
        Exit::Failed
    );
    assert_eq!(judge(&AdminVerifyReply::default()), Exit::Failed);
    let text = Report::Verified(verified(false, &[(5, 1, ""), (0, 0, "gone")])).text();
    assert!(
        text.contains("gone") && text.contains("0 of 1 groups have equal replicas"),
        "{text}"
    );
}

#[test]
fn failures_have_their_exit_codes() {
    let exit = |error: Error| Failure::from(error).exit;
    assert_eq!(exit(Error::Unreachable(vec![])), Exit::Unreachable);
    let refused = Error::Refused {
        code: tonic::Code::AlreadyExists,
        message: "alice exists".into(),
    };
    assert_eq!(exit(refused), Exit::Failed);
    assert_eq!(
        [Exit::Done as u8, Exit::Usage as u8, Exit::Different as u8],
        [0, 2, 4]
    );
}

#[test]
fn bad_bodies_are_told_and_count_as_a_difference() {
    let mut found = verified(true, &[(8, 1, ""), (8, 1, "")]);
    assert_eq!(judge(&found) as u8, Exit::Done as u8);
    found.groups[0].replicas[1].bodies = 9;
    found.groups[0].replicas[1]
        .bad
        .push(proto::v1::AdminBadBody {
            term: 2,
            index: 7,
            why: "it is damaged".into(),
        });
    assert_eq!(judge(&found) as u8, Exit::Different as u8);
    let report = Report::Verified(found);
    let told = "BAD BODY: group 1, node 2, replica 2, entry 2.7: it is damaged\n";
    assert!(report.text().contains(told), "{}", report.text());
    let json: serde_json::Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["groups"][0]["replicas"][1]["bad"][0]["index"], 7);
}
