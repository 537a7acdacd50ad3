use std::path::Path;
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cluster::{Place, Rote, nobody};

/// A word that is empty, as where a variable of a script is not set.
const EMPTY: &str = "''";

/// Runs `rookery` with words, an environment and an input.
async fn rookery(demo: &Path, words: &str, env: Option<&str>, input: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rookery"));
    command
        .args(words.split_whitespace().map(|word| match word {
            EMPTY => "",
            word => word,
        }))
        .env_clear()
        .env("ROOKERY_DEMO", demo);
    if let Some(password) = env {
        command.env("ROOKERY_PASSWORD", password);
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads no input may be gone already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    child.wait_with_output().await.unwrap()
}

fn out(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

#[tokio::test]
async fn a_cluster_is_made() {
    let place = Place::new();
    let rote = Rote::of(1);
    let dir = place.write_demo(&[place.node(rote.clone()).await]);
    let words = "cluster init --replicas 3 --partitions 16 --default-domain example.org";
    let output = rookery(dir, words, None, "").await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(out(&output), format!("made cluster {}\n", "cd".repeat(16)));
    let output = rookery(dir, "node add --node 2 --peer 10.77.0.2:7400", None, "").await;
    assert_eq!(out(&output), "node 2 has joined\n");
    let output = rookery(dir, "--json partition transfer 3 --to 2", None, "").await;
    assert_eq!(out(&output), "{}\n");
    let expected = [
        "init 3 16 example.org",
        "add 2 10.77.0.2:7400",
        "transfer 3 2",
    ];
    assert_eq!(rote.asked(), expected);
}

#[tokio::test]
async fn a_node_is_replaced_and_waited_for() {
    let place = Place::new();
    let rote = Rote::of(1);
    let dir = place.write_demo(&[place.node(rote.clone()).await]);
    let words = "--json node replace 3 4 --peer 10.77.0.4:7400 --wait";
    let output = rookery(dir, words, None, "").await;
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(out(&output), "{}\n");
    // What nobody reads by program goes elsewhere, a line for each thing that it begins to do.
    assert_eq!(
        err(&output),
        "group 5: replica 40 on node 4: waits: 0 of 900 entries\n\
         group 5: replica 40 on node 4: takes a checkpoint: 1000 rows, 3 bodies, 2.0 KiB\n\
         group 5: replica 40 on node 4: catches up: 700 of 900 entries\n\
         group 5: replica 40 votes\n"
    );
    let words = "node remove 2 --shrink";
    let output = rookery(dir, words, None, "").await;
    assert_eq!(out(&output), "node 2 is leaving\n");
    rookery(dir, "replica move --group 5 --from 1 --to 4", None, "").await;
    let expected = ["replace 3 4 10.77.0.4:7400", "remove 2 true", "move 5 1 4"];
    assert_eq!(rote.asked(), expected);
}

#[tokio::test]
async fn passwords_never_come_from_the_command_line() {
    let place = Place::new();
    let rote = Rote::of(1);
    let dir = place.write_demo(&[place.node(rote.clone()).await]);
    let words = "account create alice --quota-bytes 7 --password-stdin";
    let output = rookery(dir, words, Some("unused"), "from input\n").await;
    assert_eq!(
        out(&output),
        "made account alice (9) in partition 4\n",
        "{}",
        err(&output)
    );
    rookery(dir, "account passwd alice", Some("from environment"), "").await;
    rookery(dir, "account create list --no-password", Some("unused"), "").await;
    let expected = [
        "create alice from input 7",
        "password alice from environment",
        "create list without a password 0",
    ];
    assert_eq!(rote.asked(), expected);

    let output = rookery(dir, "account passwd alice", None, "not asked for").await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("--password-stdin"),
        "{}",
        err(&output)
    );
    let output = rookery(dir, "account passwd alice --password x", None, "").await;
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a_refusal_is_one_line_and_exits_with_1() {
    let place = Place::new();
    let rote = Rote {
        accounts: vec!["alice".into()],
        ..Rote::of(1)
    };
    let dir = place.write_demo(&[place.node(rote).await]);
    let output = rookery(dir, "account create alice", Some("secret"), "").await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(err(&output), "rookery: alice exists\\r\\n\n");
}

#[tokio::test]
async fn nobody_there_exits_with_3() {
    let place = Place::new();
    let dir = place.write_demo(&[nobody().await, nobody().await]);
    let output = rookery(dir, "status", None, "").await;
    assert_eq!(output.status.code(), Some(3));
    let words = err(&output);
    assert!(
        words.starts_with("rookery: cannot reach any node: 127.0.0.1:"),
        "{words}"
    );
    assert_eq!(
        (words.lines().count(), words.matches("refused").count()),
        (1, 2),
        "{words}"
    );
}

#[tokio::test]
async fn replicas_that_differ_exit_with_4() {
    let place = Place::new();
    let dir = place.write_demo(&[place.node(Rote::of(1)).await]);
    assert_eq!(
        rookery(dir, "verify", None, "").await.status.code(),
        Some(0)
    );
    let rote = Rote {
        different: true,
        ..Rote::of(1)
    };
    let dir = place.write_demo(&[place.node(rote.clone()).await]);
    let output = rookery(dir, "verify 1 2 --json", None, "").await;
    assert_eq!(output.status.code(), Some(4));
    let found: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(found["equal"], false);
    assert_eq!(rote.asked(), ["verify [1, 2]"]);
}

#[tokio::test]
async fn without_credentials_it_exits_with_2() {
    let run = async |words: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_rookery"))
            .args(words)
            .env_clear()
            .output()
            .await;
        output.unwrap()
    };
    let output = run(&["status"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(
        err(&output).contains("--ca, --cert and --key"),
        "{}",
        err(&output)
    );
    assert_eq!(run(&["no-such-command"]).await.status.code(), Some(2));
    assert_eq!(run(&["--version"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn endpoints_and_files_may_be_named_one_by_one() {
    let place = Place::new();
    let node = place.node(Rote::of(7)).await.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_rookery"))
        .env_clear()
        .args(["--admin", &node, "--ca"])
        .arg(place.path("ca.pem"))
        .arg("--cert")
        .arg(place.path("admin.pem"))
        .arg("--key")
        .arg(place.path("admin.key"))
        .args(["status", "--json"])
        .output()
        .await
        .unwrap();
    let status: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(status["node"], 7);
}

#[tokio::test]
async fn deleted_mail_is_listed_brought_back_and_purged() {
    let place = Place::new();
    let rote = Rote::of(1);
    let dir = place.write_demo(&[place.node(rote.clone()).await]);
    let output = rookery(dir, "--json mail deleted alice --mailbox a", None, "").await;
    let told: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    let uids: Vec<_> = told["messages"].as_array().unwrap().iter().collect();
    assert_eq!(uids.len(), 3, "all pages: {told}");
    let words = "mail undelete alice --mailbox a --uids 3:7 --into b";
    let output = rookery(dir, words, None, "").await;
    assert_eq!(out(&output), "2 messages are back, in a\n");
    let output = rookery(dir, "mail purge alice", None, "").await;
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    assert!(err(&output).contains("--yes"));
    let output = rookery(dir, "mail purge alice --yes", None, "").await;
    assert_eq!(out(&output), "2 messages, 99 B, are gone for good\n");
    rookery(dir, "account retention alice 30", None, "").await;
    rookery(dir, "account retention alice default", None, "").await;
    let output = rookery(dir, "cluster retention 14", None, "").await;
    assert_eq!(
        out(&output),
        "what accounts delete is kept for 14 days\n",
        "{}",
        err(&output)
    );
    let asked = rote.asked();
    assert_eq!(
        asked[3..],
        [
            "undelete alice a 3:7 b 0",
            "purge alice None",
            "retention Some(\"alice\") 30",
            "retention Some(\"alice\") 0",
            "retention None 14",
        ]
    );
}

#[tokio::test]
async fn empty_words_are_not_all() {
    let place = Place::new();
    let rote = Rote::of(1);
    let dir = place.write_demo(&[place.node(rote.clone()).await]);
    for words in [
        "account retention '' 1",
        "account delete ''",
        "account quota '' --bytes 1",
        "mail purge alice --mailbox '' --yes",
        "mail purge '' --yes",
        "mail deleted alice --mailbox ''",
        "mail undelete alice --mailbox '' --uids 3",
        "mail undelete alice --mailbox INBOX --uids ''",
        "mail undelete alice --mailbox INBOX --into ''",
    ] {
        let output = rookery(dir, words, None, "").await;
        assert_eq!(output.status.code(), Some(2), "{words}: {}", err(&output));
    }
    assert_eq!(rote.asked(), [""; 0]);
}

#[tokio::test]
async fn limits_of_an_account_are_shown_and_set() {
    let place = Place::new();
    let rote = Rote::of(1);
    let dir = place.write_demo(&[place.node(rote.clone()).await]);
    let output = rookery(dir, "account quota alice", None, "").await;
    assert_eq!(
        out(&output),
        "2.0 KiB (no limit), 7 messages (no limit), 6 mailboxes\n"
    );
    let words = "--json account quota alice --bytes 4096 --messages 0";
    let output = rookery(dir, words, None, "").await;
    let json: serde_json::Value = serde_json::from_str(out(&output)).unwrap();
    assert_eq!(json["bytes_max"], 4096);
    assert_eq!(
        rote.asked(),
        ["quota alice None None", "quota alice Some(4096) Some(0)"]
    );
}
