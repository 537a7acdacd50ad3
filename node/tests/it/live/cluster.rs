//! One cluster of `rookeryd demo` for all tests of this process.
//!
//! Node 2 is stricter than the others: it takes passwords over TLS only, mail from nobody without a
//! certificate, messages up to 1 MiB, and few who have not logged in. Node 3 takes certificates and
//! tokens of mail clients, and has a proxy before it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use client::demo::{Demo, DemoNode};
use node::config::{Config, PlainLogin};
use node::demo::plan::{Options, Plan};
use node::demo::ports::Ports;

use super::dialogue_login;
use super::wire::Wire;

/// The password of all accounts of a demo.
pub const PASSWORD: &str = "pass";

/// Their domain.
pub const DOMAIN: &str = "demo.example";

/// Who sets the quotas of all, once there is such a user.
pub const QUOTA_ADMIN: &str = "quotas";

/// Largest message of node 2, bytes.
pub const STRICT_MESSAGE_BYTES: usize = 1 << 20;

/// Connections of node 2 that have not logged in: of one address, and of all.
pub const STRICT_WAITING_OF_ADDRESS_MAX: usize = 40;
pub const STRICT_WAITING_MAX: usize = 100;

/// Within so many seconds one has to log in there.
const STRICT_WAITING_SECS: u64 = 20;

/// No input may make a node larger by more than this, bytes.
pub const GROWTH_MAX: u64 = 64 << 20;

/// One at a time starts nodes on ports that it has chosen: until then somebody else might choose
/// the same.
pub static PORTS: Mutex<()> = Mutex::new(());

/// So that a test ends.
const START_WAIT: Duration = Duration::from_secs(300);

/// Runs the demo until its own standard input ends, which the kernel sees to however this process
/// ends; then removes the folder.
const KEEPER: &str = r#"
    "$0" demo --dir "$1/cluster" --accounts 3 > "$1/demo.out" 2>&1 &
    cat > /dev/null
    kill $!
    wait $!
    rm -rf "$1"
"#;

/// A cluster that runs.
pub struct Cluster {
    dir: PathBuf,
    pub demo: Demo,
    _keeper: Child,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// Held by all that use the cluster; alone by those that look at memory.
static USE: RwLock<()> = RwLock::new(());

/// The cluster, beside others.
pub fn cluster() -> (&'static Cluster, RwLockReadGuard<'static, ()>) {
    let guard = USE.read().unwrap_or_else(PoisonError::into_inner);
    (CLUSTER.get_or_init(Cluster::start), guard)
}

/// The cluster, alone.
pub fn cluster_alone() -> (&'static Cluster, RwLockWriteGuard<'static, ()>) {
    let guard = USE.write().unwrap_or_else(PoisonError::into_inner);
    (CLUSTER.get_or_init(Cluster::start), guard)
}

impl Cluster {
    fn start() -> Self {
        let _ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap().keep();
        let options = Options {
            ports: Ports::Any,
            segment_bytes: Some(16 << 20),
            ..Options::default()
        };
        let plan = Plan::create(&dir.join("cluster"), 3, &options).unwrap();
        for node in &plan.nodes {
            // Calm, so that no leader changes while the machine has much else to do.
            let mut config = Config::load(&node.config).unwrap();
            config.raft.heartbeat_ms = 100;
            config.raft.election_ms_min = 700;
            config.raft.election_ms_max = 1400;
            config.imap.quota_admins = vec![format!("{QUOTA_ADMIN}@{DOMAIN}")];
            fs::write(&node.config, config.to_toml()).unwrap();
        }
        // Little memory, so that many large messages at once have to share it.
        let small = &plan.nodes[0].config;
        let mut config = Config::load(small).unwrap();
        config.memory.budget_bytes = 64 << 20;
        fs::write(small, config.to_toml()).unwrap();
        let strict = &plan.nodes[1].config;
        let mut config = Config::load(strict).unwrap();
        config.login.plain = PlainLogin::Never;
        config.lmtp.networks = vec!["192.0.2.0/24".parse().unwrap()];
        config.limits.message_bytes_max = STRICT_MESSAGE_BYTES as u64;
        config.limits.imap_connections_max = 2 * STRICT_WAITING_MAX;
        config.limits.pre_auth_per_address_max = STRICT_WAITING_OF_ADDRESS_MAX;
        config.limits.pre_auth_secs_max = STRICT_WAITING_SECS;
        fs::write(strict, config.to_toml()).unwrap();
        let open = &plan.nodes[2].config;
        let mut config = Config::load(open).unwrap();
        dialogue_login::prepare(&dir, &mut config);
        fs::write(open, config.to_toml()).unwrap();
        drop(plan);

        let keeper = Command::new("sh")
            .args(["-c", KEEPER, env!("CARGO_BIN_EXE_rookeryd")])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("there is a shell");
        let deadline = Instant::now() + START_WAIT;
        let demo = loop {
            if let Ok(demo) = Demo::load(&dir.join("cluster")) {
                break demo;
            }
            let said = fs::read_to_string(dir.join("demo.out")).unwrap_or_default();
            let failed = said.contains("rookeryd: ") || Instant::now() > deadline;
            assert!(!failed, "the demo does not start:\n{said}");
            std::thread::sleep(Duration::from_millis(50));
        };
        Self {
            dir,
            demo,
            _keeper: keeper,
        }
    }

    /// The folder of the demo.
    pub fn folder(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    /// Node 1, 2 or 3.
    pub fn node(&self, id: u64) -> &DemoNode {
        self.demo.nodes.iter().find(|node| node.id == id).unwrap()
    }

    /// A client of IMAP that was greeted.
    pub fn imap(&self, node: u64) -> Wire {
        let mut wire = Wire::connect(&self.node(node).imap);
        let greeting = wire.line().unwrap();
        assert!(greeting.starts_with("* OK [CAPABILITY "), "{greeting}");
        wire
    }

    /// One that has logged in and selected INBOX.
    pub fn in_inbox(&self, node: u64, user: &str) -> Wire {
        let mut wire = self.imap(node);
        let login = format!("l LOGIN {user} {PASSWORD}\r\ns SELECT INBOX\r\n");
        let said = wire.ask("s", login);
        assert!(said.last().unwrap().starts_with("s OK"), "{said:?}");
        wire
    }

    /// A client of LMTP that has said LHLO.
    pub fn lmtp(&self, node: u64) -> Wire {
        let mut wire = Wire::connect(&self.node(node).lmtp);
        assert_eq!(wire.line().unwrap(), "220 localhost LMTP ready");
        wire.send(b"LHLO client.example\r\n");
        let said = wire.until("250 ");
        assert!(said.last().unwrap().starts_with("250 "), "{said:?}");
        wire
    }

    /// Delivers a message; the replies after the final dot.
    pub fn deliver(&self, node: u64, recipients: &[&str], message: &[u8]) -> Vec<String> {
        let mut wire = self.lmtp(node);
        let mut head = String::from("MAIL FROM:<sender@else.example>\r\n");
        for recipient in recipients {
            head += &format!("RCPT TO:<{recipient}@{DOMAIN}>\r\n");
        }
        wire.send(format!("{head}DATA\r\n").as_bytes());
        wire.until("354 ");
        wire.send(message);
        wire.send(b"\r\n.\r\nQUIT\r\n");
        let mut said = wire.until("221 ");
        assert!(said.pop().is_some_and(|bye| bye.starts_with("221 ")));
        said
    }

    /// The next clients of a node get what they want, and no process has died.
    pub fn serves(&self, node: u64, after: &str) {
        self.serves_imap(node, after);
        self.serves_lmtp(node, after);
        let mut wire = self.in_inbox(node, "bob");
        let said = wire.ask("f", "f FETCH 1:* FLAGS\r\n");
        assert!(
            said.last().unwrap().starts_with("f "),
            "after {after}: {said:?}"
        );
    }

    /// The next client of IMAP logs in.
    pub fn serves_imap(&self, node: u64, after: &str) {
        let login = format!("l LOGIN bob {PASSWORD}\r\nn NOOP\r\n");
        let said = self.imap(node).ask("n", login);
        assert_eq!(said.last().unwrap(), "n OK NOOP completed", "after {after}");
        self.is_well(after);
    }

    /// The next client of LMTP has a recipient taken.
    pub fn serves_lmtp(&self, node: u64, after: &str) {
        let mut wire = self.lmtp(node);
        wire.send(format!("MAIL FROM:<>\r\nRCPT TO:<bob@{DOMAIN}>\r\nQUIT\r\n").as_bytes());
        let said = wire.rest();
        assert!(said[1].starts_with("250 2.1.5 "), "after {after}: {said:?}");
        self.is_well(after);
    }

    /// No process has died, and none has met a panic.
    pub fn is_well(&self, after: &str) {
        for node in &self.demo.nodes {
            let status = fs::read_to_string(format!("/proc/{}/status", node.pid));
            let status = status.unwrap_or_default();
            assert!(
                status.contains("rookeryd"),
                "node {} is gone, after {after}",
                node.id
            );
            let log = self.log(node.id);
            assert!(!log.contains("panic"), "after {after}: {log}");
        }
    }

    /// What a node has logged.
    pub fn log(&self, node: u64) -> String {
        fs::read_to_string(self.folder().join(format!("node-{node}.log"))).unwrap()
    }

    /// Does something that must not make any node larger by more than `max` bytes, not even for a
    /// moment.
    pub fn within<T>(&self, max: u64, what: &str, work: impl FnOnce() -> T) -> T {
        let before: Vec<u64> = self.demo.nodes.iter().map(|node| rss(node.pid)).collect();
        let done = work();
        for (node, before) in self.demo.nodes.iter().zip(before) {
            let peak = status_bytes(node.pid, "VmHWM:");
            let growth = peak.saturating_sub(before);
            println!("{what}: node {}: {before} + {growth} bytes", node.id);
            assert!(
                growth < max,
                "{what}: node {} grew from {before} to {peak} bytes",
                node.id
            );
        }
        done
    }
}

/// What a process has in memory, bytes; its peak is counted from here on.
fn rss(pid: u32) -> u64 {
    // proc(5): 5 sets the peak to what is used now.
    fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    status_bytes(pid, "VmRSS:")
}

fn status_bytes(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap();
    kib.parse::<u64>().unwrap() << 10
}

/// All that is in a folder.
pub fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}
