//! A node that knows of no leader of the directory.

use std::fs;
use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use node::config::Config;
use node::demo::child::{NodeProcess, tail};
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;

use super::cluster::PORTS;
use super::wire::Wire;

/// More than are let fail.
const TRIES: usize = 24;

/// While nobody can say whether a password is new, wrong ones count as wrong.
#[test]
fn guesses_cost_while_the_directory_has_no_leader() {
    let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ports: Ports::Any,
        segment_bytes: Some(16 << 20),
        ..Options::default()
    };
    let plan = Plan::create(&dir.path().join("cluster"), 1, &options).unwrap();
    let node = &plan.nodes[0];
    let mut config = Config::load(&node.config).unwrap();
    config.limits.imap_leader_wait_secs = 1;
    fs::write(&node.config, config.to_toml()).unwrap();
    // It belongs to no cluster.
    let process = runtime.block_on(async {
        let program = Path::new(env!("CARGO_BIN_EXE_rookeryd"));
        let mut process = NodeProcess::start(program, node, &[]).unwrap();
        while plan.status_of(node.id).await.is_err() {
            assert_eq!(process.ended().unwrap(), None, "{}", tail(&node.log));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        process
    });
    drop(ports);

    let guest = || {
        let mut wire = Wire::connect(&node.addresses.imap.to_string());
        assert!(wire.line().unwrap().starts_with("* OK "));
        wire
    };
    let guess = "a LOGIN alice guess\r\n";
    let mut guests: Vec<Wire> = (0..TRIES).map(|_| guest()).collect();
    for wire in &mut guests {
        wire.send(guess.as_bytes());
    }
    let unavailable = |said: &Vec<String>| said[0].starts_with("a NO [UNAVAILABLE]");
    let said = guests
        .iter_mut()
        .map(|wire| wire.until("a "))
        .filter(unavailable);
    assert!(said.count() > 0, "nobody was asked");
    assert_eq!(
        guest().ask("a", guess),
        ["a NO [LIMIT] Too many failed logins, try again later"]
    );
    drop(process);
}
