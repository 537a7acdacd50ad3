//! A cluster is made once; what was refused, or interrupted, is asked for again.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;

use client::Error;
use node::config::Config;
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;
use node::identity::{FEATURE_LEVEL, Identity, Membership};
use proto::v1::AdminInitRequest;

use super::cluster::PORTS;

/// A node that serves until its standard input is closed.
fn run(plan: &Plan) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rookeryd"));
    command.arg("--config").arg(&plan.nodes[0].config);
    command.arg("--exit-with-stdin").env_remove("RUST_LOG");
    command.stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
    }
    // What it says later must go somewhere.
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    child
}

fn end(mut node: Child) {
    drop(node.stdin.take());
    assert!(node.wait().unwrap().success());
}

/// The cluster's id, or why there is none.
fn init(plan: &Plan, default_domain: &str) -> Result<Vec<u8>, Error> {
    let wanted = AdminInitRequest {
        replicas: 1,
        partitions: 1,
        default_domain: default_domain.to_owned(),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let operator = plan.operator(&[1]).unwrap();
    let made = runtime.block_on(operator.init_cluster(wanted))?;
    Ok(made.cluster.to_vec())
}

#[test]
fn init_is_asked_for_again() {
    let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        ports: Ports::Any,
        segment_bytes: Some(16 << 20),
        ..Options::default()
    };
    let plan = Plan::create(dir.path(), 1, &options).unwrap();
    let config = Config::load(&plan.nodes[0].config).unwrap();
    let data = config.node.data_dir.as_path();

    // What the directory would refuse is refused before the node belongs to anything.
    let node = run(&plan);
    for _ in 0..2 {
        let refused = init(&plan, "not a domain").unwrap_err().to_string();
        assert!(refused.contains("default domain"), "{refused}");
    }
    end(node);
    let identity = Identity::read(data, 1, FEATURE_LEVEL).unwrap().unwrap();
    assert_eq!(identity.cluster, None);

    // The process ended when it had just said to which cluster it belongs.
    let begun = Identity {
        cluster: Some(Membership {
            id: "00112233445566778899aabbccddeeff".to_owned(),
            directory_replica: 1,
            peers: Vec::new(),
        }),
        ..identity
    };
    begun.write(data).unwrap();
    let node = run(&plan);
    let made = init(&plan, "example.org").unwrap();
    assert_eq!(
        u128::from_be_bytes(made.try_into().unwrap()),
        0x0011_2233_4455_6677_8899_aabb_ccdd_eeff
    );
    let again = init(&plan, "example.org").unwrap_err().to_string();
    assert!(again.contains("belongs to a cluster"), "{again}");
    end(node);

    // And after that too.
    let node = run(&plan);
    assert!(init(&plan, "example.org").is_err());
    end(node);
}
