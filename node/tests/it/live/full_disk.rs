//! A node whose log may take only so much: it is filled, and clients are told.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use node::config::Config;
use node::demo::child::{NodeProcess, tail};
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;
use node::demo::{form, make_accounts};

use super::cluster::{DOMAIN, PASSWORD, PORTS};
use super::wire::Wire;

const SEGMENT_BYTES: u64 = 16 << 20;
const RESERVE_BYTES: u64 = 2 * SEGMENT_BYTES;

/// What the log may take: it has room for a few dozen MiB of mail.
const LOG_BYTES_MAX: u64 = RESERVE_BYTES + 4 * SEGMENT_BYTES;

/// More mail than that, in messages of this many bytes.
const MESSAGE_BYTES: usize = 3 << 19;
const MESSAGES_MAX: usize = 60;

struct Small {
    _dir: tempfile::TempDir,
    plan: Plan,
}

impl Small {
    fn set_log_bytes_max(&self, bytes: u64) {
        let node = &self.plan.nodes[0];
        let mut config = Config::load(&node.config).unwrap();
        config.storage.log_bytes_max = bytes;
        config.storage.reserve_bytes = RESERVE_BYTES;
        fs::write(&node.config, config.to_toml()).unwrap();
    }

    async fn start(&self, is_new: bool) -> NodeProcess {
        let node = &self.plan.nodes[0];
        let program = Path::new(env!("CARGO_BIN_EXE_rookeryd"));
        let mut process = NodeProcess::start(program, node, &[]).unwrap();
        loop {
            assert_eq!(process.ended().unwrap(), None, "{}", tail(&node.log));
            match self.plan.status_of(node.id).await {
                Ok(_) if is_new => break,
                // It takes a moment until it has read what it belongs to.
                Ok(status) if !status.cluster.is_empty() => break,
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        if is_new {
            form(&self.plan, &[1], 1, 1, DOMAIN).await.unwrap();
        }
        process
    }

    fn imap(&self) -> Wire {
        let mut wire = Wire::connect(&self.plan.nodes[0].addresses.imap.to_string());
        wire.line().unwrap();
        let said = wire.ask(
            "s",
            format!("l LOGIN alice {PASSWORD}\r\ns SELECT INBOX\r\n"),
        );
        assert!(said.last().unwrap().starts_with("s OK"), "{said:?}");
        wire
    }

    /// Delivers a message; what is said to RCPT and, if that is taken, after the data.
    fn deliver(&self, bytes: usize) -> Vec<String> {
        let mut wire = Wire::connect(&self.plan.nodes[0].addresses.lmtp.to_string());
        wire.line().unwrap();
        wire.send(b"LHLO client.example\r\n");
        wire.until("250 ");
        let to = format!("MAIL FROM:<a@else.example>\r\nRCPT TO:<alice@{DOMAIN}>\r\n");
        wire.send(to.as_bytes());
        wire.line().unwrap();
        let mut said = vec![wire.line().unwrap()];
        if said[0].starts_with("250") {
            wire.send(b"DATA\r\n");
            wire.line().unwrap();
            let mut message = format!("Subject: {}\r\n\r\n", rand::random::<u64>()).into_bytes();
            message.resize(bytes, b'x');
            message.extend_from_slice(b"\r\n.\r\n");
            wire.send(&message);
            said.push(wire.line().unwrap());
        }
        said
    }
}

/// New mail is refused by name before it is sent, nothing of it is stored, and what wins room or
/// needs none goes on; with more room mail is taken again.
#[test]
fn a_disk_that_fills_up() {
    let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ports: Ports::Any,
        segment_bytes: Some(u32::try_from(SEGMENT_BYTES).unwrap()),
        ..Options::default()
    };
    let plan = Plan::create(&dir.path().join("cluster"), 1, &options).unwrap();
    let small = Small { _dir: dir, plan };
    small.set_log_bytes_max(LOG_BYTES_MAX);
    let mut process = runtime.block_on(small.start(true));
    let made = make_accounts(
        &small.plan,
        vec!["alice".into()],
        DOMAIN,
        Some(PASSWORD),
        |_, _| {},
    );
    runtime.block_on(made).unwrap();

    let mut stored = 0;
    let refused = loop {
        let said = small.deliver(MESSAGE_BYTES);
        if !said.last().unwrap().starts_with("250") {
            break said;
        }
        stored += 1;
        assert!(stored < MESSAGES_MAX, "the disk does not fill up");
    };
    assert!(stored > 10, "{stored} and then {refused:?}");
    // The one during which it filled up was told at its end, and the next at RCPT.
    let refusal = format!("452 4.3.1 <alice@{DOMAIN}> no space left, try again");
    assert_eq!(refused.last().unwrap(), &refusal);
    assert_eq!(small.deliver(100), std::slice::from_ref(&refusal));

    let mut imap = small.imap();
    let nearly_full = "NO [UNAVAILABLE] The server's disk is nearly full, nothing can be added now";
    for (tag, command) in [
        ("a", "a APPEND INBOX {5}\r\n"),
        ("b", "b APPEND INBOX {5+}\r\nhello\r\n"),
        ("c", "c COPY 1 INBOX\r\n"),
        ("d", "d CREATE New\r\n"),
    ] {
        assert_eq!(imap.ask(tag, command), [format!("{tag} {nearly_full}")]);
    }
    let said = imap.ask("e", "e STATUS INBOX (MESSAGES)\r\n");
    assert_eq!(said[0], format!("* STATUS INBOX (MESSAGES {stored})"));
    for (tag, command) in [
        ("f", "f FETCH 1 (FLAGS BODY.PEEK[HEADER])\r\n"),
        ("g", "g STORE 1,2 +FLAGS.SILENT (\\Deleted)\r\n"),
        ("h", "h MOVE 3 Trash\r\n"),
        ("i", "i EXPUNGE\r\n"),
    ] {
        let said = imap.ask(tag, command);
        assert!(
            said.last().unwrap().starts_with(&format!("{tag} OK")),
            "{said:?}"
        );
    }
    let said = imap.ask("j", "j STATUS INBOX (MESSAGES)\r\n");
    assert_eq!(said[0], format!("* STATUS INBOX (MESSAGES {})", stored - 3));
    drop(imap);

    // A kill on a full disk takes nothing, and more room is all that it needs.
    runtime.block_on(process.kill()).unwrap();
    let mut process = runtime.block_on(small.start(false));
    assert_eq!(small.deliver(100), [refusal]);
    runtime.block_on(process.kill()).unwrap();
    small.set_log_bytes_max(LOG_BYTES_MAX + 4 * SEGMENT_BYTES);
    let mut process = runtime.block_on(small.start(false));
    let said = small.deliver(MESSAGE_BYTES);
    assert!(said[1].starts_with("250"), "{said:?}");
    let said = small.imap().ask("k", "k STATUS INBOX (MESSAGES)\r\n");
    assert_eq!(said[0], format!("* STATUS INBOX (MESSAGES {})", stored - 2));
    let stopped = process.stop(Duration::from_secs(100));
    assert!(runtime.block_on(stopped).unwrap());
}
