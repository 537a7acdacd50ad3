//! A cluster is saved while it serves, and comes back on another node.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use client::members::Goal;
use node::config::Config;
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;
use node::pki::{Authority, Making};

use super::cluster::{Cluster, PASSWORD, PORTS, cluster};
use super::wire::Wire;

const ROOKERYD: &str = env!("CARGO_BIN_EXE_rookeryd");

/// No node of the cluster had these numbers.
const NEW: [u64; 3] = [9, 10, 11];

/// So that a test ends.
const LEADER_WAIT: Duration = Duration::from_secs(60);

const LOOK: &str = "f UID FETCH 1:* (UID FLAGS MODSEQ INTERNALDATE RFC822.SIZE BODY.PEEK[])\r\n";

/// All of a mailbox: UIDVALIDITY and UIDNEXT, and each message whole.
fn contents(wire: &mut Wire, mailbox: &str) -> Vec<String> {
    let asked = format!("s STATUS {mailbox} (MESSAGES UIDNEXT UIDVALIDITY HIGHESTMODSEQ)\r\n");
    let mut said = wire.ask("s", asked);
    said.extend(wire.ask("x", format!("x EXAMINE {mailbox}\r\n")));
    said.extend(wire.ask("f", LOOK));
    // Which client sees a message as recent is no matter of the mailbox.
    said.retain(|line| !line.contains("RECENT"));
    said.iter()
        .map(|line| line.replace(" \\Recent", "").replace("\\Recent", ""))
        .collect()
}

fn logged_in(address: &str, user: &str) -> Wire {
    let mut wire = Wire::connect(address);
    wire.line().unwrap();
    let said = wire.ask("l", format!("l LOGIN {user} {PASSWORD}\r\n"));
    assert!(said.last().unwrap().starts_with("l OK"), "{said:?}");
    wire
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_all().build().unwrap().block_on(future)
}

fn save(cluster: &Cluster, to: &Path) {
    let saved = block_on(async {
        let admin = client::Admin::of_demo(&cluster.folder()).unwrap();
        admin.backup(to, |_| ()).await.unwrap()
    });
    assert_eq!(saved.last().unwrap().group, 0, "the directory is read last");
    assert!(saved.iter().map(|group| group.bodies).sum::<u64>() >= 1);
    assert!(to.join("backup.json").exists());
}

/// The configuration of a node that was never started.
fn new_node(dir: &Path) -> Config {
    new_nodes(dir).0.remove(0)
}

/// Several, and whoever operates them.
fn new_nodes(dir: &Path) -> (Vec<Config>, client::Admin) {
    let options = Options {
        ports: Ports::Any,
        segment_bytes: Some(16 << 20),
        ..Options::default()
    };
    let plan = Plan::create(dir, NEW.len(), &options).unwrap();
    let authority = Authority::open(&dir.join("pki")).unwrap();
    let configs = plan.nodes.iter().zip(NEW).map(|(node, id)| {
        let names = ["localhost".to_owned()];
        let made = authority.node(id, &names, Making::default()).unwrap();
        let mut config = Config::load(&node.config).unwrap();
        config.node.id = id;
        config.node.data_dir = dir.join(format!("restored-{id}"));
        (config.tls.cert, config.tls.key) = (made.certificate, made.key);
        config
    });
    (configs.collect(), plan.operator(&[]).unwrap())
}

/// Nodes are added until every group has three voters, and all replicas are alike.
fn grow(admin: &client::Admin, others: &[Config]) {
    block_on(async {
        for config in others {
            let peer = config.advertised().peer;
            admin.add_node(config.node.id, peer).await.unwrap();
        }
        let deadline = Instant::now() + LEADER_WAIT;
        loop {
            let verified = admin.verify_deep(&[]).await.unwrap();
            let whole = verified.groups.iter().all(|group| {
                let good = group.replicas.iter().filter(|one| one.error.is_empty());
                group.equal && good.count() == NEW.len()
            });
            let moves = admin.moves().await.unwrap();
            let settled = NEW
                .iter()
                .all(|id| Goal::NodeSettled(*id).is_reached(&moves));
            if whole && settled {
                return;
            }
            assert!(Instant::now() < deadline, "{verified:?} {moves:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

fn restore(config: &Path, from: &Path) -> (bool, String) {
    let done = Command::new(ROOKERYD)
        .args(["restore", "--config"])
        .arg(config)
        .arg("--from")
        .arg(from)
        .output()
        .unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8(said).unwrap())
}

/// Serves until its standard input is closed.
fn run(config: &Path) -> Child {
    let mut command = Command::new(ROOKERYD);
    command.arg("--config").arg(config).arg("--exit-with-stdin");
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("serving") {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "it ended");
    }
    std::thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
    child
}

#[test]
fn a_cluster_comes_back() {
    let (cluster, _using) = cluster();
    let dir = tempfile::tempdir().unwrap();
    for number in 0..3 {
        let message = format!("Subject: saved {number}\r\n\r\nto be read again\r\n");
        cluster.deliver(1, &["user2"], message.as_bytes());
    }
    // Larger than what rides in one entry.
    let large = format!(
        "Subject: large\r\n\r\n{}",
        "0123456789abcdef\r\n".repeat(90_000)
    );
    cluster.deliver(3, &["user2"], large.as_bytes());
    let mut before = logged_in(&cluster.node(1).imap, "user2");
    let marked = before.ask("d", "c SELECT INBOX\r\nd STORE 2 +FLAGS (\\Seen kept)\r\n");
    assert!(marked.last().unwrap().starts_with("d OK"), "{marked:?}");
    let copied = before.ask("y", "x CREATE Old\r\ny COPY 1:2 Old\r\n");
    assert!(copied.last().unwrap().starts_with("y OK"), "{copied:?}");
    let mut before = logged_in(&cluster.node(3).imap, "user2");
    let was = ["INBOX", "Old"].map(|mailbox| contents(&mut before, mailbox));

    let saved = dir.path().join("saved");
    save(cluster, &saved);

    let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut configs, admin) = new_nodes(&dir.path().join("new"));
    let mut config = configs.remove(0);
    let path = dir.path().join("rookeryd.toml");
    // A node of the old cluster has a life of its own in it.
    let fresh = config.clone();
    config.node.id = 1;
    fs::write(&path, config.to_toml()).unwrap();
    let (done, said) = restore(&path, &saved);
    assert!(!done, "{said}");
    fs::remove_dir_all(&config.node.data_dir).unwrap();

    fs::write(&path, fresh.to_toml()).unwrap();
    let (done, said) = restore(&path, &saved);
    assert!(done, "{said}");
    let (again, said) = restore(&path, &saved);
    assert!(!again && said.contains("is not empty"), "{said}");

    let mut children = vec![run(&path)];
    for other in &configs {
        let path = dir.path().join(format!("rookeryd-{}.toml", other.node.id));
        fs::write(&path, other.to_toml()).unwrap();
        children.push(run(&path));
    }
    drop(ports);
    let imap = fresh.listen.imap.unwrap().to_string();
    let deadline = Instant::now() + LEADER_WAIT;
    let mut after = loop {
        let mut wire = Wire::connect(&imap);
        wire.line().unwrap();
        let said = wire.ask("l", format!("l LOGIN user2 {PASSWORD}\r\n"));
        if said.last().is_some_and(|last| last.starts_with("l OK")) {
            break wire;
        }
        assert!(Instant::now() < deadline, "{said:?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    let is = ["INBOX", "Old"].map(|mailbox| contents(&mut after, mailbox));
    assert!(was == is, "{was:#?}\n{is:#?}");
    let appended = after.ask("a", "a CREATE New\r\n");
    assert!(appended.last().unwrap().starts_with("a OK"), "{appended:?}");

    // It grows to what it was.
    grow(&admin, &configs);
    let imap = configs[1].listen.imap.unwrap().to_string();
    let mut grown = logged_in(&imap, "user2");
    let is = ["INBOX", "Old"].map(|mailbox| contents(&mut grown, mailbox));
    assert!(was == is, "{was:#?}\n{is:#?}");
    for mut child in children {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_backup_that_was_cut_is_refused() {
    let (cluster, _using) = cluster();
    let dir = tempfile::tempdir().unwrap();
    cluster.deliver(1, &["user1"], b"Subject: cut\r\n\r\n");
    let saved = dir.path().join("saved");
    save(cluster, &saved);
    let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    let config = new_node(&dir.path().join("new"));
    let path = dir.path().join("rookeryd.toml");
    fs::write(&path, config.to_toml()).unwrap();
    let refuses = |why: &str| {
        let (done, said) = restore(&path, &saved);
        assert!(!done && said.contains(why), "{why}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!config.node.data_dir.join("NODE").exists());
        fs::remove_dir_all(&config.node.data_dir).unwrap();
    };
    let file = saved.join("group-1.backup");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 1]).unwrap();
    refuses("group-1.backup: it was cut");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&file, &flipped).unwrap();
    refuses("group-1.backup: ");
    fs::write(&file, b"rookery backup 2\n").unwrap();
    refuses("in a format that this one does not know");
    fs::remove_file(&file).unwrap();
    refuses("group-1.backup: ");
    fs::write(&file, &whole).unwrap();
    fs::remove_file(saved.join("backup.json")).unwrap();
    let (done, said) = restore(&path, &saved);
    assert!(!done && said.contains("no whole backup"), "{said}");
}
