//! Four nodes and three replicas: clients of the node that has none of them.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use client::members::Goal;
use node::demo::child::{NodeProcess, tail};
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;
use node::demo::{form, make_accounts};

use super::cluster::{DOMAIN, PASSWORD, PORTS};
use super::wire::Wire;

/// The only partition.
const PARTITION: u64 = 1;

/// So that a test ends.
const START_WAIT: Duration = Duration::from_secs(180);

/// A session asks by itself after 30 seconds: what comes sooner was hinted.
const HINT_WAIT: Duration = Duration::from_secs(10);

/// Messages that are waited for one after the other, so that none of it is chance.
const MESSAGES: usize = 3;

async fn start(plan: &Plan) -> Vec<NodeProcess> {
    let program = Path::new(env!("CARGO_BIN_EXE_rookeryd"));
    let mut processes = Vec::new();
    for node in &plan.nodes {
        let mut process = NodeProcess::start(program, node, &[]).unwrap();
        while plan.status_of(node.id).await.is_err() {
            assert_eq!(process.ended().unwrap(), None, "{}", tail(&node.log));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        processes.push(process);
    }
    processes
}

/// Adds node 4, and waits until replicas move no more; the node without one of the partition.
async fn grow(plan: &Plan) -> u64 {
    let operator = plan.operator(&[1]).unwrap();
    let peer = plan.node(4).unwrap().addresses.peer.to_string();
    operator.add_node(4, peer).await.unwrap();
    let deadline = Instant::now() + START_WAIT;
    loop {
        let moves = operator.moves().await.unwrap();
        let is_settled = (1..=4).all(|id| Goal::NodeSettled(id).is_reached(&moves));
        let mut without = Vec::new();
        for node in &plan.nodes {
            let status = plan.status_of(node.id).await.unwrap();
            if status.groups.iter().all(|group| group.group != PARTITION) {
                without.push(node.id);
            }
        }
        if let ([far], true) = (&without[..], is_settled) {
            return *far;
        }
        assert!(Instant::now() < deadline, "{moves:?}, without: {without:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn deliver(address: &str, number: usize) {
    let mut wire = Wire::connect(address);
    wire.line().unwrap();
    wire.send(b"LHLO client.example\r\n");
    wire.until("250 ");
    let head = format!("MAIL FROM:<a@else.example>\r\nRCPT TO:<alice@{DOMAIN}>\r\nDATA\r\n");
    wire.send(head.as_bytes());
    wire.until("354 ");
    wire.send(format!("Subject: {number}\r\n\r\n.\r\n").as_bytes());
    let said = wire.line().unwrap();
    assert!(said.starts_with("250 "), "{said}");
}

#[test]
fn who_idles_far_from_all_replicas_hears_of_mail() {
    let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ports: Ports::Any,
        segment_bytes: Some(16 << 20),
        ..Options::default()
    };
    let plan = Plan::create(&dir.path().join("cluster"), 4, &options).unwrap();
    let processes = runtime.block_on(start(&plan));
    drop(ports);
    let far = runtime.block_on(async {
        form(&plan, &[1, 2, 3], 3, 1, DOMAIN).await.unwrap();
        let far = grow(&plan).await;
        let users = vec!["alice".into()];
        let made = make_accounts(&plan, users, DOMAIN, Some(PASSWORD), |_, _| {});
        made.await.unwrap();
        far
    });

    let addresses = &plan.node(far).unwrap().addresses;
    let mut wire = Wire::connect(&addresses.imap.to_string());
    wire.line().unwrap();
    let login = format!("l LOGIN alice {PASSWORD}\r\ns SELECT INBOX\r\n");
    let said = wire.ask("s", login);
    assert!(said.last().unwrap().starts_with("s OK"), "{said:?}");
    wire.send(b"i IDLE\r\n");
    wire.until("+ ");
    for number in 1..=MESSAGES {
        deliver(&addresses.lmtp.to_string(), number);
        let delivered = Instant::now();
        wire.until(&format!("* {number} EXISTS"));
        let waited = delivered.elapsed();
        assert!(waited < HINT_WAIT, "message {number}: {waited:?}");
    }
    drop(processes);
}
